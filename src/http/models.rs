//! `GET /v1/models`: the virtual models, then the configured ones, embedding models last; in Anthropic's shape for those who send
//! `anthropic-version`, and in Google's for those who ask at `/v1beta/models` or send `x-goog-api-key`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

use crate::catalog::{Catalog, EMBEDDINGS};
use crate::domain::time::{Precision, rfc3339};
use crate::http::error::{ApiError, Kind};
use crate::http::speak::Tongue;
use crate::http::state::Server;

/// Lists every model a request may name, on one page.
pub async fn list(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap) -> Json<Value> {
    let models = models(&server.app.catalog, server.started_unix);
    match Tongue::of(&Method::GET, uri.path(), &headers) {
        None => Json(json!({ "object": "list", "data": models })),
        Some(Tongue::Anthropic) => {
            let data: Vec<Value> = models.iter().map(anthropics).collect();
            let id = |model: Option<&Value>| model.and_then(|model| model.get("id")).cloned();
            Json(json!({ "first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data }))
        }
        Some(Tongue::Google) => {
            // Its clients would ask for what only models that answer can do.
            let answering = models.iter().filter(|model| model.get("owned_by") != Some(&json!(EMBEDDINGS)));
            Json(json!({ "models": answering.map(googles).collect::<Vec<_>>() }))
        }
    }
}

/// One model of that list.
///
/// # Errors
/// A name that is not in the list.
pub async fn one(
    State(server): State<Arc<Server>>,
    Path(model): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let found =
        models(&server.app.catalog, server.started_unix).into_iter().find(|one| one.get("id") == Some(&json!(model)));
    let found = found.ok_or_else(|| {
        let message = format!("the model `{model}` is not configured; GET /v1/models lists what is");
        ApiError::new(Kind::ModelNotFound, message).at("model")
    })?;
    Ok(Json(match Tongue::of(&Method::GET, uri.path(), &headers) {
        None => found,
        Some(Tongue::Anthropic) => anthropics(&found),
        Some(Tongue::Google) => googles(&found),
    }))
}

/// A model as Anthropic describes its own.
fn anthropics(model: &Value) -> Value {
    let created = model.get("created").and_then(Value::as_u64).unwrap_or(0);
    json!({
        "type": "model",
        "id": model.get("id"),
        "display_name": model.get("id"),
        "created_at": rfc3339(created.saturating_mul(1_000), Precision::Seconds),
        "lifecycle": "active",
        "max_input_tokens": model.get("context_length"),
    })
}

/// A model as Google describes its own.
fn googles(model: &Value) -> Value {
    let id = model.get("id").and_then(Value::as_str).unwrap_or_default();
    json!({
        "name": format!("models/{id}"),
        "version": "1",
        "displayName": id,
        "inputTokenLimit": model.get("context_length"),
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    })
}

/// Every model that a request may name, as OpenAI describes its own and a little more.
fn models(catalog: &Catalog, created: u64) -> Vec<Value> {
    let virtual_model = |id: String| json!({ "id": id, "object": "model", "created": created, "owned_by": "trimtab" });
    let policies = catalog.policies().into_iter().map(|policy| virtual_model(format!("auto:{}", policy.name)));
    let real = catalog.candidates().iter().map(|candidate| {
        let per_token = |per_mtok: crate::domain::money::NanoUsd| per_mtok.as_usd() / 1e6;
        json!({
            "id": candidate.model,
            "object": "model",
            "created": created,
            "owned_by": candidate.tier,
            "tier": candidate.tier,
            "context_length": candidate.capability.context_tokens,
            "pricing": candidate.price.map(|price| json!({
                "prompt": per_token(price.input_per_mtok), "completion": per_token(price.output_per_mtok),
            })),
        })
    });
    let embedding = catalog.embedding_models().iter().map(|place| {
        let price = place.pool.targets().first().and_then(|target| target.price);
        let per_token = price.map(|price| price.input_per_mtok.as_usd() / 1e6);
        json!({
            "id": place.model,
            "object": "model",
            "created": created,
            "owned_by": EMBEDDINGS,
            "pricing": per_token.map(|prompt| json!({ "prompt": prompt })),
        })
    });
    std::iter::once(virtual_model("auto".to_owned())).chain(policies).chain(real).chain(embedding).collect()
}
