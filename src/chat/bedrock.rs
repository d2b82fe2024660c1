//! AWS Bedrock's Converse: a chat completions request in its words, and its answers and streams put back.

pub mod answer;
pub mod frame;
pub mod request;
pub mod stream;
mod tools;

use serde::Deserialize;

use crate::chat::native::{Delivery, Refused, Words, escape, words};

/// The name in messages.
pub(crate) const PROVIDER: &str = "Bedrock";

/// Who made a model, as far as its name says so. Some of Converse's words are known to the models of some makers alone; the name of an
/// application inference profile says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// Anthropic: thoughts, and cache points everywhere.
    Anthropic,
    /// Amazon: cache points, but not among tools.
    Amazon,
    /// Anyone else: neither.
    Other,
}

impl Maker {
    fn of(model: &str) -> Self {
        if model.contains("anthropic") {
            Self::Anthropic
        } else if model.contains("nova") {
            Self::Amazon
        } else {
            Self::Other
        }
    }
}

/// What an error body says, received with this status; with OpenAI's code for what it is about, where that is known.
#[must_use]
pub fn refused(status: u16, body: &[u8], code: Option<&str>) -> Refused {
    let error: Option<WireError> = serde_json::from_slice(body).ok();
    let message = error.and_then(|error| error.message);
    let words = message.map(|message| words(&Words { message: &message, kind: "upstream_error", param: None, code }));
    // A model that failed (424) is no mistake of the caller.
    let status = if status == 424 { 502 } else { status };
    Refused { status, words }
}

/// The status that an exception inside a stream has.
pub(crate) fn exception_status(name: &str) -> Option<u16> {
    match name {
        "validationException" => Some(400),
        "throttlingException" => Some(429),
        "internalServerException" => Some(500),
        "modelStreamErrorException" => Some(502),
        "serviceUnavailableException" => Some(503),
        "modelTimeoutException" => Some(504),
        _ => None,
    }
}

#[derive(Deserialize)]
pub(crate) struct WireError {
    #[serde(alias = "Message")]
    pub(crate) message: Option<String>,
}

/// The path of a model or of an inference profile, whose names hold colons and slashes.
#[must_use]
pub fn path(model: &str, delivery: Delivery) -> String {
    let verb = match delivery {
        Delivery::Whole => "converse",
        Delivery::Stream => "converse-stream",
    };
    format!("/model/{}/{verb}", escape(model, b""))
}

#[cfg(test)]
pub(in crate::chat) mod tests;
