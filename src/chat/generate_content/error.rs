//! Errors in Google's shape.

use serde_json::{Value, json};

/// Google's word for a status.
pub(super) const fn status_word(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        502 | 503 | 529 => "UNAVAILABLE",
        400..500 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// An error of a status.
pub(super) fn error(status: u16, message: &str) -> Value {
    json!({ "error": { "code": status, "message": message, "status": status_word(status) } })
}

/// An error in OpenAI's shape as one in Google's. A field that the message does not name is added to it, since Google's errors have no
/// place for it.
#[must_use]
pub fn error_body(status: u16, ours: &[u8]) -> Value {
    let ours: Value = serde_json::from_slice(ours).unwrap_or_default();
    let text = |name: &str| ours.get("error").and_then(|error| error.get(name)).and_then(Value::as_str);
    let message = text("message").unwrap_or("the request failed");
    match text("param") {
        Some(field) if !message.contains(field) => error(status, &format!("{field}: {message}")),
        Some(_) | None => error(status, message),
    }
}
