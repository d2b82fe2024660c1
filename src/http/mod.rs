//! The axum edge: routes, extraction, admission, errors. The only room that knows status codes of ours.

pub mod admin;
pub mod admission;
mod alive;
pub mod auth;
pub mod body;
pub mod cache;
pub mod chat_completions;
pub mod completions;
pub mod deferred;
pub mod dialect;
pub mod drift;
pub mod drills;
pub mod embeddings;
pub mod error;
pub mod export;
pub mod feedback;
pub mod generate_content;
pub mod headers;
pub mod health;
mod impatient;
mod lingering;
pub mod listen;
pub mod messages;
pub mod models;
pub mod responses;
pub mod route;
pub mod speak;
pub mod state;
pub mod threads;
pub mod upstreams;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::http::auth::Keys;
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;

/// The public routes.
pub fn public(server: Arc<Server>) -> Router {
    // Behind a key, where keys are configured, and counted against the limit of concurrent requests.
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat_completions::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/responses", post(responses::create))
        .route("/v1/route", post(route::one))
        .route("/route", post(route::one))
        .route("/v1/route/batch", post(route::batch))
        .route("/v1/feedback", post(feedback::create))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::one).post(generate_content::create))
        .route("/v1beta/models", get(models::list))
        .route("/v1beta/models/{*model}", get(models::one).post(generate_content::create))
        .route("/v1/deferred/{id}", get(deferred::show).delete(deferred::delete))
        .route("/metrics", get(health::metrics))
        .route_layer(from_fn_with_state(Arc::clone(&server), admission::admit));
    guarded
        .merge(open())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(speak::speak))
        .layer(from_fn_with_state(Arc::clone(&server), admission::observe))
        .with_state(server)
}

/// The administration routes, on their own listener and with a key of their own.
pub fn admin(server: Arc<Server>, keys: Keys) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/admin/bundle", get(health::bundle))
        .route("/admin/cache", get(cache::show).delete(cache::clear))
        .route("/admin/drift", get(drift::report))
        .route("/admin/drills", get(drills::show).post(drills::run))
        .route("/admin/upstreams", get(upstreams::list))
        .route("/admin/bundles", get(admin::list))
        .route("/admin/bundle/promote", post(admin::promote))
        .route("/admin/bundle/rollback", post(admin::rollback))
        .route("/admin/train", get(admin::job).post(admin::train).delete(admin::cancel))
        .route("/admin/train/events", get(admin::events))
        .route("/v1/feedback/export", get(export::export))
        .route_layer(from_fn_with_state(Arc::new(keys), admission::administer))
        .merge(open())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(server)
}

/// What needs no key: a load balancer has none.
fn open() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(health::welcome))
        .route("/health/live", get(health::live))
        .route("/livez", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::ready))
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(
        Kind::NotFound,
        format!(
            "there is nothing at `{}`; the API is at /v1/chat/completions, /v1/messages, /v1/responses, /v1beta/models, \
             /v1/completions, /v1/embeddings, /v1/models and /v1/route",
            uri.path()
        ),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Kind::MethodNotAllowed, format!("`{}` does not take {method}", uri.path()))
}
