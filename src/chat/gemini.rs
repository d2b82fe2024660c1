//! Google's Gemini: a chat completions request in its words, and its answers and streams put back.

pub mod answer;
pub mod request;
pub mod stream;

use serde::Deserialize;

use crate::chat::native::{Delivery, Refused, Words, escape, words};

/// The name in messages.
pub(crate) const PROVIDER: &str = "Gemini";

/// What an error body says, received with this status; with OpenAI's code for what it is about, where that is known.
#[must_use]
pub fn refused(status: u16, body: &[u8], code: Option<&str>) -> Refused {
    let Some(error) = read_error(body) else { return Refused { status, words: None } };
    let kind = error.status.as_deref().unwrap_or("upstream_error");
    let words = words(&Words { message: &error.message, kind, param: None, code: code.or(Some(kind)) });
    Refused { status: error.amounts_to(status), words: Some(words) }
}

impl ErrorBody {
    /// The status that the error amounts to, received with this one. A wrong key is reported as a mistake of the caller, which it is not.
    pub(crate) fn amounts_to(&self, status: u16) -> u16 {
        let is_key = self.details.iter().any(|detail| detail.reason.as_deref() == Some("API_KEY_INVALID"));
        if is_key { 401 } else { status }
    }
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
struct Detail {
    reason: Option<String>,
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
pub(in crate::chat) mod tests;
