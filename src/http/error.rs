//! The only place where our errors become HTTP.
//!
//! The shape is OpenAI's: `{"error": {"message", "type", "param", "code"}}`, so that every OpenAI client raises its own typed error.
//! Each answer says whether a retry makes sense (`x-should-retry`). Each error is logged once, here.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use serde_json::json;

use crate::catalog::UnknownName;
use crate::chat::error::ChatError;
use crate::domain::candidate::Exclusion;
use crate::domain::decide::NoCandidate;
use crate::pipeline::RouteError;
use crate::store::FeedbackError;
use crate::upstream::dispatch::DispatchError;

/// Says whether the client should try again, as the OpenAI and Anthropic clients read it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error as a caller sees it.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    kind: Kind,
    message: String,
    param: Option<String>,
    retry_after_seconds: Option<u64>,
    headers: Option<Box<HeaderMap>>,
    /// An upstream's own error body, passed through in place of ours.
    passed_through: Option<Bytes>,
}

/// What kind of error it is: the `type` and `code` of the body and the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request itself is wrong.
    InvalidRequest,
    /// The body is larger than the server takes.
    TooLarge,
    /// The content type is not JSON.
    UnsupportedMediaType,
    /// No key, or a wrong one.
    InvalidApiKey,
    /// No such model.
    ModelNotFound,
    /// No configured model can serve the request.
    NoEligibleModel,
    /// No such page or method.
    NotFound,
    /// The method is not allowed there.
    MethodNotAllowed,
    /// No such decision.
    DecisionNotFound,
    /// The idempotency key was used for something else.
    IdempotencyConflict,
    /// A training runs already.
    TrainingRunning,
    /// The bundle failed a gate.
    GatesFailed,
    /// What is asked for cannot be as things are.
    Conflict,
    /// Too many requests at once.
    Overloaded,
    /// The request took too long to arrive.
    RequestTimeout,
    /// Every upstream failed.
    UpstreamFailed,
    /// Every upstream asked to slow down.
    UpstreamThrottled,
    /// No upstream answered in time.
    UpstreamTimeout,
    /// An upstream refused the request itself.
    UpstreamRejected,
    /// No answer is kept, and the caller wants no other.
    NotCached,
    /// The store cannot be written.
    StoreUnavailable,
    /// The server is not ready.
    NotReady,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// The `type` of the body.
    const fn kind(self) -> &'static str {
        match self {
            Self::InvalidRequest
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::InvalidApiKey
            | Self::ModelNotFound
            | Self::NoEligibleModel
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::DecisionNotFound
            | Self::IdempotencyConflict
            | Self::TrainingRunning
            | Self::GatesFailed
            | Self::Conflict
            | Self::RequestTimeout
            | Self::UpstreamRejected
            | Self::NotCached => "invalid_request_error",
            Self::Overloaded | Self::UpstreamThrottled => "rate_limit_error",
            Self::UpstreamFailed | Self::UpstreamTimeout => "upstream_error",
            Self::StoreUnavailable | Self::NotReady | Self::Internal => "server_error",
        }
    }

    /// The `code` of the body and the label of the metric.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::TooLarge => "request_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidApiKey => "invalid_api_key",
            Self::ModelNotFound => "model_not_found",
            Self::NoEligibleModel => "no_eligible_model",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::DecisionNotFound => "decision_not_found",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::TrainingRunning => "training_running",
            Self::GatesFailed => "gates_failed",
            Self::Conflict => "conflict",
            Self::Overloaded => "overloaded",
            Self::RequestTimeout => "request_timeout",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamThrottled => "rate_limit_exceeded",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamRejected => "upstream_rejected",
            Self::NotCached => "not_cached",
            Self::StoreUnavailable => "store_unavailable",
            Self::NotReady => "not_ready",
            Self::Internal => "internal_error",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::NoEligibleModel | Self::UpstreamRejected => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidApiKey => StatusCode::UNAUTHORIZED,
            Self::ModelNotFound | Self::NotFound | Self::DecisionNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::IdempotencyConflict | Self::TrainingRunning | Self::GatesFailed | Self::Conflict => {
                StatusCode::CONFLICT
            }
            Self::Overloaded | Self::UpstreamThrottled => StatusCode::TOO_MANY_REQUESTS,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout | Self::NotCached => StatusCode::GATEWAY_TIMEOUT,
            Self::StoreUnavailable | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same request may succeed later. Upstream failures were retried here already, so a client need not hammer.
    const fn should_retry(self) -> bool {
        match self {
            Self::Overloaded
            | Self::UpstreamThrottled
            | Self::NotReady
            | Self::StoreUnavailable
            | Self::RequestTimeout => true,
            Self::InvalidRequest
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::InvalidApiKey
            | Self::ModelNotFound
            | Self::NoEligibleModel
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::DecisionNotFound
            | Self::IdempotencyConflict
            | Self::TrainingRunning
            | Self::GatesFailed
            | Self::Conflict
            | Self::UpstreamFailed
            | Self::UpstreamTimeout
            | Self::UpstreamRejected
            | Self::NotCached
            | Self::Internal => false,
        }
    }
}

impl ApiError {
    /// An error of a kind, with a message for the caller.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status: kind.status(),
            kind,
            message: message.into(),
            param: None,
            retry_after_seconds: None,
            headers: None,
            passed_through: None,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.param = Some(field.into());
        self
    }

    /// Asks the client to wait.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Adds headers, such as those that tell of a decision.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = Some(Box::new(headers));
        self
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The body, as it stands in the entries of a batch.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "error": {
                "message": self.message,
                "type": self.kind.kind(),
                "param": self.param,
                "code": self.kind.code(),
            }
        })
    }

    /// The `error` of the body: what an upstream said, where its words are passed through.
    #[must_use]
    pub fn object(&self) -> serde_json::Value {
        let passed: Option<serde_json::Value> =
            self.passed_through.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        let mut body = passed.filter(|body| body.get("error").is_some()).unwrap_or_else(|| self.to_json());
        body.get_mut("error").map(serde_json::Value::take).unwrap_or_default()
    }

    fn log(&self) {
        let (code, status, message) = (self.kind.code(), self.status.as_u16(), &self.message);
        if self.status.is_server_error() {
            tracing::error!(code, status, %message, "request failed");
        } else if self.status == StatusCode::TOO_MANY_REQUESTS {
            tracing::warn!(code, status, %message, "request refused");
        } else {
            tracing::debug!(code, status, %message, "request refused");
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        self.log();
        let body = self.passed_through.clone().unwrap_or_else(|| Bytes::from(self.to_json().to_string()));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let kind = self.kind;
        let headers = response.headers_mut();
        headers.extend(self.headers.into_iter().flat_map(|extra| *extra));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let should_retry = if kind.should_retry() { "true" } else { "false" };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(should_retry));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(kind);
        response
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        let api = Self::new(Kind::InvalidRequest, error.to_string());
        match error.field() {
            Some(field) => api.at(field),
            None => api,
        }
    }
}

impl From<UnknownName> for ApiError {
    fn from(error: UnknownName) -> Self {
        let message = error.to_string();
        match error {
            UnknownName::Model { .. } | UnknownName::EmbeddingModel { .. } | UnknownName::Threshold { .. } => {
                Self::new(Kind::ModelNotFound, message).at("model")
            }
            UnknownName::Policy { .. } => Self::new(Kind::InvalidRequest, message).at("trimtab.policy"),
            UnknownName::Candidate { .. } => Self::new(Kind::InvalidRequest, message).at("trimtab.candidates"),
        }
    }
}

impl From<NoCandidate> for ApiError {
    fn from(error: NoCandidate) -> Self {
        let reasons: Vec<String> = error
            .considered
            .iter()
            .filter_map(|one| one.excluded.map(|exclusion| format!("`{}` {}", one.model, exclusion.words())))
            .collect();
        let message = format!("no configured model can serve this request: {}", reasons.join("; "));
        let mut fields = error.considered.iter().filter_map(|one| one.excluded).map(Exclusion::field);
        let field = fields.next().filter(|first| fields.all(|other| other == *first)).flatten();
        let api = Self::new(Kind::NoEligibleModel, message);
        match field {
            Some(field) => api.at(field),
            None => api,
        }
    }
}

impl From<DispatchError> for ApiError {
    fn from(error: DispatchError) -> Self {
        let (message, throttled) = (error.to_string(), error.is_throttled());
        match error {
            DispatchError::Rejected { status, body, .. } => Self::rejected(status, body),
            DispatchError::Exhausted { retry_after, .. } if throttled => {
                // Whoever comes back a moment too early is refused again.
                let seconds = retry_after.map_or(5, |wait| wait.as_millis().div_ceil(1000).max(1) as u64);
                Self::new(Kind::UpstreamThrottled, message).retry_after(seconds)
            }
            DispatchError::Exhausted { .. } => Self::new(Kind::UpstreamFailed, message),
            DispatchError::Deadline { .. } => Self::new(Kind::UpstreamTimeout, message),
            DispatchError::NoTarget => Self::new(
                Kind::UpstreamFailed,
                "the chosen model has no target; check the `tiers` of the configuration",
            ),
        }
    }
}

impl ApiError {
    /// The upstream's own refusal, with its status and body, so that the client's error handling works as without us.
    fn rejected(status: u16, body: Bytes) -> Self {
        let mut error = Self::new(Kind::UpstreamRejected, "the upstream refused the request");
        error.status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        error.passed_through = Some(body);
        error
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Unknown(error) => error.into(),
            RouteError::NoCandidate(error) => error.into(),
            RouteError::NotCached(error) => Self::new(Kind::NotCached, error.to_string()).at("trimtab.cache"),
            RouteError::Dispatch(error) => error.into(),
        }
    }
}

impl From<FeedbackError> for ApiError {
    fn from(error: FeedbackError) -> Self {
        let message = error.to_string();
        match error {
            FeedbackError::UnknownDecision(_) => Self::new(Kind::DecisionNotFound, message).at("decision_id"),
            FeedbackError::IdempotencyConflict { .. } => {
                Self::new(Kind::IdempotencyConflict, message).at("idempotency-key")
            }
            FeedbackError::Empty => Self::new(Kind::InvalidRequest, message).at("score"),
            FeedbackError::TooLong { field, .. } => Self::new(Kind::InvalidRequest, message).at(field),
            FeedbackError::Unavailable { .. } => Self::new(Kind::StoreUnavailable, message).retry_after(1),
        }
    }
}
