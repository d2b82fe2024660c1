//! `GET` and `DELETE /admin/cache`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cache::Matching;
use crate::domain::ids::CallerId;
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;

/// Whose answers are meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    caller: Option<String>,
}

/// What the caches hold and have done; `responses` is `off` and `decisions` null where there is none.
pub async fn show(State(server): State<Arc<Server>>) -> Json<Value> {
    let decisions = decisions(&server);
    let Some(cache) = &server.app.cache else {
        return Json(json!({ "object": "cache", "responses": "off", "decisions": decisions }));
    };
    let (settings, totals, tenants) = (cache.settings(), cache.totals(Instant::now().into_std()), cache.tenants());
    let (responses, similarity) = match settings.matching {
        Matching::Exact => ("exact", None),
        // As it was written: the digits beyond come from the narrower float.
        Matching::Similar(least) => ("semantic", Some((f64::from(least) * 1e4).round() / 1e4)),
    };
    Json(json!({
        "object": "cache",
        "responses": responses,
        "similarity": similarity,
        "ttl_seconds": settings.ttl.as_secs(),
        "entries": totals.entries,
        "max_entries": settings.max_entries,
        "bytes": totals.bytes,
        "max_bytes": settings.max_bytes,
        "hits": totals.hits,
        "semantic_hits": totals.similar,
        "misses": totals.misses,
        "evicted": totals.evicted,
        "expired": totals.expired,
        "saved_usd": totals.saved.as_usd(),
        "callers": callers(&tenants),
        "decisions": decisions,
    }))
}

fn decisions(server: &Server) -> Value {
    let Some(cache) = &server.app.decisions else { return Value::Null };
    let (settings, totals, tenants) = (cache.settings(), cache.totals(Instant::now().into_std()), cache.tenants());
    json!({
        "ttl_seconds": settings.ttl.as_secs(),
        "entries": totals.entries,
        "max_entries": settings.max_entries,
        "bytes": totals.bytes,
        "max_bytes": settings.max_bytes,
        "hits": totals.hits,
        "refreshed": totals.refreshed,
        "misses": totals.misses,
        "bypassed": totals.bypassed,
        "evicted": totals.evicted,
        "expired": totals.expired,
        "outdated": totals.outdated,
        "callers": callers(&tenants),
    })
}

/// Entries and bytes of every caller.
fn callers(tenants: &BTreeMap<CallerId, (usize, usize)>) -> Value {
    let shown = tenants
        .iter()
        .map(|(caller, (entries, bytes))| json!({ "caller": caller, "entries": entries, "bytes": bytes }));
    shown.collect()
}

/// Forgets every answer and every score, or with `?caller=NAME` those of one caller. Says how many they were.
///
/// # Errors
/// A query that says anything else, since forgetting everything is not what a slip of the pen should do.
pub async fn clear(State(server): State<Arc<Server>>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let Query(Whose { caller }) = Query::try_from_uri(&uri).map_err(|_| {
        let message = "the query cannot be read; send `?caller=NAME` for one caller, or none for all";
        ApiError::new(Kind::InvalidRequest, message).at("caller")
    })?;
    let caller = caller.map(CallerId::from);
    let removed = server.app.cache.as_ref().map_or(0, |cache| cache.clear(caller.as_ref()));
    let scores = server.app.decisions.as_ref().map_or(0, |cache| cache.clear(caller.as_ref()));
    Ok(Json(json!({ "object": "cache.cleared", "caller": caller, "removed": removed, "removed_decisions": scores })))
}

/// Has the metrics show what the caches hold and have done.
pub fn measure(server: &Server) {
    if let Some(cache) = &server.app.cache {
        server.app.metrics.cache(&cache.totals(Instant::now().into_std()));
    }
    if let Some(cache) = &server.app.decisions {
        server.app.metrics.decision_cache(&cache.totals(Instant::now().into_std()));
    }
}
