//! `GET /admin/upstreams`: how every target stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::state::Server;
use crate::telemetry::metrics::targets::{ExtraCalls, TargetFigures};
use crate::upstream::breaker::{BreakerState, BreakerView};

/// Every target with its breakers, its load, its speed, what is left of its limits, and how many extra calls there were.
pub async fn list(State(server): State<Arc<Server>>) -> Json<Value> {
    let now = Instant::now();
    let targets: Vec<Value> = server
        .app
        .catalog
        .targets()
        .map(|target| {
            let health = target.health.view(now);
            json!({
                "upstream": target.upstream.id(),
                "key": target.key,
                "model": target.model,
                "upstream_model": target.upstream_model,
                "tier": target.tier,
                "weight": target.weight,
                "state": health.state().as_str(),
                "breaker": breaker(&health.breaker),
                "key_breaker": breaker(&health.lane),
                "in_flight": health.in_flight,
                "latency_ms": health.latency.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
                "headroom": health.headroom,
                "rests_for_ms": health.rests_for.as_millis() as u64,
            })
        })
        .collect();
    let extra = |(made, refused): (u64, u64)| json!({ "made": made, "refused": refused });
    let ExtraCalls { retries, hedges } = extra_calls(&server);
    Json(json!({ "object": "list", "data": targets, "retries": extra(retries), "hedges": extra(hedges) }))
}

fn breaker(view: &BreakerView) -> Value {
    json!({
        "state": view.state.as_str(),
        "calls": view.calls,
        "failures": view.failures,
        "opened": view.opened,
        "remaining_ms": view.remaining.as_millis() as u64,
    })
}

/// Brings the metrics of targets up to date.
pub(super) fn measure(server: &Server) {
    let now = Instant::now();
    server.app.metrics.targets(server.app.catalog.targets().map(|target| {
        let health = target.health.view(now);
        TargetFigures {
            upstream: target.upstream.id().clone(),
            model: target.model.clone(),
            upstream_model: target.upstream_model.clone(),
            key: target.key.unwrap_or(1),
            breaker: match health.state() {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            },
            opened: health.breaker.opened + health.lane.opened,
            in_flight: health.in_flight,
            headroom: health.headroom,
        }
    }));
    server.app.metrics.extra_calls(extra_calls(server));
}

fn extra_calls(server: &Server) -> ExtraCalls {
    let traffic = &server.app.traffic;
    ExtraCalls { retries: traffic.retries.counts(), hedges: traffic.hedges.counts() }
}
