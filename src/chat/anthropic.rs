//! Anthropic's Messages: a chat completions request in its words, and its answers and streams put back.

pub mod answer;
pub(crate) mod claude;
pub mod request;
pub mod stream;

use serde::Deserialize;

use crate::chat::native::{Refused, Words, words};

/// The name in messages.
pub(crate) const PROVIDER: &str = "Anthropic";

/// What an error body says, received with this status; with OpenAI's code for what it is about, where that is known.
#[must_use]
pub fn refused(status: u16, body: &[u8], code: Option<&str>) -> Refused {
    let Ok(WireError { error }) = serde_json::from_slice(body) else { return Refused { status, words: None } };
    let code = code.or(Some(&error.kind));
    let words = words(&Words { message: &error.message, kind: &error.kind, param: None, code });
    Refused { status: error_status(&error.kind).unwrap_or(status), words: Some(words) }
}

/// The status that a type of error has.
pub(crate) fn error_status(kind: &str) -> Option<u16> {
    match kind {
        "invalid_request_error" => Some(400),
        "authentication_error" => Some(401),
        "billing_error" => Some(402),
        "permission_error" => Some(403),
        "not_found_error" => Some(404),
        "request_too_large" => Some(413),
        "rate_limit_error" => Some(429),
        "api_error" => Some(500),
        "timeout_error" => Some(504),
        "overloaded_error" => Some(529),
        _ => None,
    }
}

#[derive(Deserialize)]
pub(crate) struct WireError {
    pub(crate) error: ErrorBody,
}

#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) message: String,
}

#[cfg(test)]
pub(in crate::chat) mod tests;
