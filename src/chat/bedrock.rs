//! AWS Bedrock's Converse: a chat completions request in its words, and its answers and streams put back.

pub mod answer;
pub mod frame;
pub mod request;
pub mod stream;

use serde::Deserialize;

use crate::chat::native::{Delivery, Refused, Words, escape, words};

/// The name in messages.
pub(crate) const PROVIDER: &str = "Bedrock";

/// What an error body says, received with this status.
#[must_use]
pub fn refused(status: u16, body: &[u8]) -> Refused {
    let error: Option<WireError> = serde_json::from_slice(body).ok();
    let words = error.and_then(|error| error.message).map(|message| {
        let is_long = ["Input is too long", "prompt is too long"].iter().any(|text| message.contains(text));
        let code = is_long.then_some("context_length_exceeded");
        words(&Words { message: &message, kind: "upstream_error", param: None, code })
    });
    // A model that failed (424) is no mistake of the caller.
    let status = if status == 424 { 502 } else { status };
    Refused { status, retry_after: None, words }
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
mod tests;
