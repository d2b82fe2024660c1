//! Errors in Anthropic's shape.

use serde_json::{Value, json};

/// The word for a status.
pub(super) const fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// An error in OpenAI's shape as one in Anthropic's. A field that the message does not name is added to it, since Anthropic's errors have
/// no place for it.
#[must_use]
pub fn error_body(status: u16, ours: &[u8], request_id: &str) -> Value {
    let ours: Value = serde_json::from_slice(ours).unwrap_or_default();
    let text = |name: &str| ours.get("error").and_then(|error| error.get(name)).and_then(Value::as_str);
    let message = text("message").unwrap_or("the request failed");
    let message = match text("param") {
        Some(field) if !message.contains(field) => format!("{field}: {message}"),
        Some(_) | None => message.to_owned(),
    };
    let error = json!({ "type": error_type(status), "message": message });
    json!({ "type": "error", "error": error, "request_id": request_id })
}
