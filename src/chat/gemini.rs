//! Google's Gemini: a chat completions request in its words, and its answers and streams put back.

pub mod answer;
pub mod request;
pub mod stream;

use std::time::Duration;

use serde::Deserialize;

use crate::chat::native::{Delivery, Refused, Words, escape, words};

/// The name in messages.
pub(crate) const PROVIDER: &str = "Gemini";

/// The longest pause that is read from an error.
const LONGEST_PAUSE: f64 = 3_600.0;

/// What an error body says, received with this status.
#[must_use]
pub fn refused(status: u16, body: &[u8]) -> Refused {
    let Some(error) = read_error(body) else { return Refused { status, retry_after: None, words: None } };
    let retry_after = error.details.iter().find_map(|detail| detail.retry_delay.as_deref()).and_then(seconds);
    // A wrong key is reported as a mistake of the caller, which it is not.
    let is_key = error.details.iter().any(|detail| detail.reason.as_deref() == Some("API_KEY_INVALID"));
    let status = if is_key { 401 } else { status };
    let kind = error.status.as_deref().unwrap_or("upstream_error");
    let words = words(&Words { message: &error.message, kind, param: None, code: Some(kind) });
    Refused { status, retry_after, words: Some(words) }
}

/// A duration as protocol buffers write them in JSON: `34.5s`.
fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?.parse::<f64>().ok()?;
    (number.is_finite() && number >= 0.0).then(|| Duration::from_secs_f64(number.min(LONGEST_PAUSE)))
}

/// An error, alone or as the first of a list.
fn read_error(body: &[u8]) -> Option<ErrorBody> {
    // A list would be read as the fields of the object in order.
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let error: WireError = if is_list {
        serde_json::from_slice::<Vec<WireError>>(body).ok()?.into_iter().next()?
    } else {
        serde_json::from_slice(body).ok()?
    };
    Some(error.error)
}

#[derive(Deserialize)]
struct WireError {
    error: ErrorBody,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) code: Option<u16>,
    #[serde(default)]
    pub(crate) message: String,
    pub(crate) status: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    reason: Option<String>,
    retry_delay: Option<String>,
}

/// The path of a model: `models/` is added where the name has no folder of its own, and every byte that a path cannot hold is escaped.
#[must_use]
pub fn path(model: &str, delivery: Delivery) -> String {
    let folder = if model.contains('/') { "" } else { "models/" };
    let verb = match delivery {
        Delivery::Whole => "generateContent",
        Delivery::Stream => "streamGenerateContent",
    };
    format!("/{folder}{}:{verb}", escape(model, b"/"))
}

#[cfg(test)]
mod tests;
