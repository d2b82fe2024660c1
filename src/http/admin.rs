//! Administration: retraining with its progress, and which bundle serves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::body::{json_text, read_json};
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;
use crate::model::error::PrepareError;
use crate::retrain::bundles::{Bundles, Gates};
use crate::retrain::job::Job;
use crate::retrain::{RetrainError, Then, Wish};

/// How often progress is sent.
const EVERY: Duration = Duration::from_millis(500);

/// The body of `POST /admin/train`. Everything may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TrainBody {
    id: Option<String>,
    export: Option<String>,
    promote: bool,
    seed: Option<u64>,
}

/// The body of `POST /admin/bundle/promote`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromoteBody {
    id: String,
    #[serde(default)]
    force: bool,
}

/// Starts a retraining from the server's own records, or from an export in the data directory. 202 with the job.
///
/// # Errors
/// 400 for a name that is not one, 404 for an export that is not there, 409 while another runs or the bundle exists.
pub async fn train(
    State(server): State<Arc<Server>>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let TrainBody { id, export, promote, seed } = body(&server, request, "{}").await?;
    let then = if promote { Then::Promote } else { Then::Keep };
    // Records that are still on their way to the disk are learned from too.
    if let Some(store) = &server.store {
        drop(store.sync(Duration::from_secs(5)).await);
    }
    let job = server.retrainer.start(Wish { id, export, then, seed })?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// The job that runs, or the last one; null where there was none.
pub async fn job(State(server): State<Arc<Server>>) -> Json<Value> {
    Json(json!({ "object": "training", "job": server.retrainer.job() }))
}

/// Progress as server-sent events: the job whenever it changed, at most twice a second, until it has ended.
pub async fn events(State(server): State<Arc<Server>>) -> Response {
    let first = (server, tokio::time::interval(EVERY), None::<String>, false);
    let events = stream::unfold(first, |(server, mut ticks, sent, over)| async move {
        if over {
            return None;
        }
        loop {
            ticks.tick().await;
            let job = server.retrainer.job();
            let over = job.as_ref().is_none_or(|job| !job.is_running()) || server.is_draining();
            let text = json!(job).to_string();
            // Time passes while nothing else does, so a job that runs is always news.
            if over || sent.as_ref() != Some(&text) {
                let event = Bytes::from(format!("event: job\ndata: {text}\n\n"));
                return Some((Ok::<_, Infallible>(event), (server, ticks, Some(text), over)));
            }
        }
    });
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Ends the running training. It stops at its next step and leaves nothing behind. 202 with the job.
///
/// # Errors
/// 404 where none runs.
pub async fn cancel(State(server): State<Arc<Server>>) -> Result<(StatusCode, Json<Job>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(server.retrainer.cancel()?)))
}

/// The bundles of the models directory, with the gates that each failed.
///
/// # Errors
/// 500 where the models directory cannot be read.
pub async fn list(State(server): State<Arc<Server>>) -> Result<Json<Value>, ApiError> {
    let bundles = blocking(&server, Bundles::list).await?;
    Ok(Json(json!({ "object": "list", "data": bundles })))
}

/// Makes a bundle the serving one: `{"id", "force"}`. It is loaded first, and takes over within a second without a dropped request.
///
/// # Errors
/// 404 for a bundle that is not there, 409 for one that failed a gate, unless forced, or while the configuration pins another.
pub async fn promote(State(server): State<Arc<Server>>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let PromoteBody { id, force } = body(&server, request, "").await?;
    let gates = if force { Gates::Overruled } else { Gates::Heeded };
    let path = blocking(&server, move |bundles| bundles.promote(&id, gates)).await?;
    Ok(Json(json!({ "object": "bundle", "path": path })))
}

/// Makes the bundle that served before serve again.
///
/// # Errors
/// 409 where there is none, or while the configuration pins a bundle.
pub async fn rollback(State(server): State<Arc<Server>>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let _: Value = body(&server, request, "{}").await?;
    let path = blocking(&server, Bundles::rollback).await?;
    Ok(Json(json!({ "object": "bundle", "path": path })))
}

/// Reads a body that says that it is JSON: a page in a browser cannot send one here without asking first. An empty one is `empty`.
pub(super) async fn body<T: DeserializeOwned>(
    server: &Server,
    request: Request<Body>,
    empty: &'static str,
) -> Result<T, ApiError> {
    if !request.headers().contains_key(CONTENT_TYPE) {
        let message = "send `content-type: application/json`, with an empty body where nothing is to be said";
        return Err(ApiError::new(Kind::UnsupportedMediaType, message).at("content-type"));
    }
    let bytes = read_json(request, server.body_limits).await?;
    let bytes = if bytes.trim_ascii().is_empty() { empty.as_bytes() } else { &bytes };
    serde_json::from_str(json_text(bytes)?)
        .map_err(|error| ApiError::new(Kind::InvalidRequest, format!("the body cannot be read: {error}")))
}

/// Runs what reads files where blocking is allowed.
async fn blocking<T: Send + 'static>(
    server: &Arc<Server>,
    work: impl FnOnce(&Bundles) -> Result<T, RetrainError> + Send + 'static,
) -> Result<T, ApiError> {
    let server = Arc::clone(server);
    let done = tokio::task::spawn_blocking(move || work(server.retrainer.bundles())).await;
    let done = done.map_err(|_| ApiError::new(Kind::Internal, "the work ended unexpectedly; see the log"))?;
    done.map_err(ApiError::from)
}

impl From<RetrainError> for ApiError {
    fn from(error: RetrainError) -> Self {
        let message = error.to_string();
        match error {
            RetrainError::Busy(_) => Self::new(Kind::TrainingRunning, message),
            RetrainError::Idle => Self::new(Kind::NotFound, message),
            RetrainError::Name { field } => Self::new(Kind::InvalidRequest, message).at(field),
            RetrainError::Exists(_) => Self::new(Kind::Conflict, message).at("id"),
            RetrainError::Unknown { what, .. } => {
                Self::new(Kind::NotFound, message).at(if what == "export" { "export" } else { "id" })
            }
            RetrainError::NoStore => Self::new(Kind::StoreUnavailable, message),
            RetrainError::GatesFailed(_) => Self::new(Kind::GatesFailed, message).at("id"),
            RetrainError::Pinned => Self::new(Kind::Conflict, message),
            RetrainError::Model(PrepareError::NoEarlier) => Self::new(Kind::Conflict, message),
            RetrainError::Model(_) | RetrainError::Io(_) => Self::new(Kind::Internal, message),
        }
    }
}
