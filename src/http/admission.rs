//! The door: who may come in, how many at once, and what is counted.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::api::Api;
use crate::domain::ids::{CallerId, DecisionId};
use crate::domain::probability::Probability;
use crate::http::auth::Keys;
use crate::http::error::{ApiError, Kind};
use crate::http::headers::REQUEST_ID;
use crate::http::state::Server;
use crate::pipeline::Admission;
use crate::telemetry::metrics::{InFlight, Rejection};

/// What admission learned about a request. Handlers find it in the request's extensions.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who called.
    pub caller: CallerId,
    /// The name of the request in logs.
    pub request_id: String,
    /// When it came.
    pub started: Instant,
    /// The same moment on the wall clock, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Held until the answer's last byte, by handlers whose answers outlive them.
    pub guard: Guard,
}

/// One place among the requests in flight. The last clone to go frees it.
pub type Guard = Arc<(OwnedSemaphorePermit, InFlight)>;

impl Admitted {
    /// What the line knows of a call that came by this API. Each call of a batch is one of its own.
    #[must_use]
    pub fn to(&self, api: Api) -> Admission {
        Admission {
            id: new_decision_id(),
            caller: self.caller.clone(),
            request_id: self.request_id.clone(),
            started: self.started,
            at_unix_ms: self.at_unix_ms,
            draw: Probability::clamped(rand::random::<f64>()),
            api,
        }
    }
}

/// Lets a request in if its key is good and there is room. Refuses at once when there is none: a queue at the door only adds latency.
pub async fn admit(State(server): State<Arc<Server>>, mut request: Request<Body>, next: Next) -> Response {
    let admitted = match check(&server, &request) {
        Ok(admitted) => admitted,
        Err((rejection, error)) => {
            server.app.metrics.rejected(rejection);
            return unread(&request, error.into_response());
        }
    };
    request.extensions_mut().insert(admitted);
    next.run(request).await
}

/// The answer to a request whose body nobody read. Its connection ends with it, and a client that is not told would send its next request
/// there.
fn unread(request: &Request<Body>, mut response: Response) -> Response {
    if request.version() < Version::HTTP_2 && !request.body().is_end_stream() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Lets an administrator in.
pub async fn administer(State(keys): State<Arc<Keys>>, request: Request<Body>, next: Next) -> Response {
    match keys.caller(request.headers(), request.uri()) {
        Ok(_) => next.run(request).await,
        Err(error) => unread(&request, error.into_response()),
    }
}

fn check(server: &Server, request: &Request<Body>) -> Result<Admitted, (Rejection, ApiError)> {
    if server.is_draining() {
        let error = ApiError::new(Kind::NotReady, "the server is shutting down; try again elsewhere").retry_after(1);
        return Err((Rejection::Draining, error));
    }
    let caller =
        server.keys.caller(request.headers(), request.uri()).map_err(|error| (Rejection::Unauthenticated, error))?;
    let permit = Arc::clone(&server.permits).try_acquire_owned().map_err(|_| {
        let message = "too many requests are in flight; try again shortly, or raise `server.max_concurrent_requests`";
        (Rejection::Busy, ApiError::new(Kind::Overloaded, message).retry_after(1))
    })?;
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let guard = Arc::new((permit, server.app.metrics.admitted()));
    Ok(Admitted { caller, request_id, started: Instant::now(), at_unix_ms: now_unix_ms(), guard })
}

/// The name of a request, given by the client or made here.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Names the request, counts it, and puts the name on the answer.
pub async fn observe(State(server): State<Arc<Server>>, mut request: Request<Body>, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| is_plain(text));
    let id = given.map_or_else(|| format!("req_{}", fresh_uuid().simple()), str::to_owned);
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", |path| route_label(path.as_str()));
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    server.app.metrics.request(route, response.status().as_u16());
    if let Some(kind) = response.extensions().get::<Kind>() {
        server.app.metrics.error(kind.code());
    }
    response
}

/// The label of a route, from a list that cannot grow with what clients send.
fn route_label(path: &str) -> &'static str {
    const ROUTES: [&str; 16] = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/route",
        "/route",
        "/v1/route/batch",
        "/v1/feedback",
        "/v1/models",
        "/v1/models/{*model}",
        "/v1beta/models",
        "/v1beta/models/{*model}",
        "/v1/deferred/{id}",
        "/metrics",
    ];
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("other")
}

/// Whether a client's request id may be repeated in logs and headers.
fn is_plain(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// A name for a decision. Names sort by time.
#[must_use]
pub fn new_decision_id() -> DecisionId {
    DecisionId::from_u128(fresh_uuid().as_u128())
}

/// A UUID version 7, so that names sort by time. Its random part comes from the thread's own generator, which asks the system for randomness far
/// less often than for every name.
fn fresh_uuid() -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now_unix_ms(), &rand::random()).into_uuid()
}

/// Milliseconds since 1970 on the wall clock.
#[must_use]
pub fn now_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
