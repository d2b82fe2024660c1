//! What the translations to providers' own dialects share: the request as they read it, the answers as they write them.
//!
//! A provider that does not speak OpenAI's chat completions is asked in its own words, and its answers are put back into OpenAI's before
//! anything else reads them. Everything here and in `chat/anthropic`, `chat/gemini`, `chat/bedrock` and `chat/openai_responses` is pure. `docs/providers.md` lists
//! what is lost on the way.

pub mod answer;
pub mod chunks;
#[cfg(test)]
pub(crate) mod corpus;
pub mod decoder;
pub mod quirks;
pub mod request;
pub(in crate::chat) mod thoughts;

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use crate::chat::openai::Fields;

/// Why a request cannot be put into a provider's words. Names the field and never its value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Untranslatable {
    /// The field is not what chat completions have there.
    #[error("`{field}` must be {expected}")]
    Wrong {
        /// Which field.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The provider has nothing like it; another one may.
    #[error("`{field}` cannot be sent to {provider}: {problem}")]
    Unsupported {
        /// Which field.
        field: String,
        /// Whose API lacks it.
        provider: &'static str,
        /// What is missing, and what to send instead.
        problem: &'static str,
    },
    /// OpenAI's own, and no translation has words for it.
    #[error("`{field}` cannot be put into the words of this provider: {problem}")]
    Elsewhere {
        /// Which field.
        field: String,
        /// What is missing, and what to send instead.
        problem: &'static str,
    },
}

impl Untranslatable {
    /// The error for the client, in OpenAI's shape.
    #[must_use]
    pub fn to_words(&self) -> Bytes {
        let (Self::Wrong { field, .. } | Self::Unsupported { field, .. } | Self::Elsewhere { field, .. }) = self;
        words(&Words {
            message: &self.to_string(),
            kind: "invalid_request_error",
            param: Some(field),
            code: Some("invalid_request"),
        })
    }
}

/// What a provider's error says, put into common words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status that the error amounts to. Providers report some failures under a status that means something else.
    pub status: u16,
    /// The error in OpenAI's shape; `None` where the body is not an error of this provider.
    pub words: Option<Bytes>,
}

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    Whole,
    /// In pieces, as it is made.
    Stream,
}

/// What an answer lacks that OpenAI's answers have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Names the answer where the provider does not.
    pub id: String,
    /// When the answer was made, in seconds since 1970.
    pub created: u64,
}

/// OpenAI's code for a request that is longer than the model's context.
pub const TOO_LONG: &str = "context_length_exceeded";

/// Holds an answer's own words beside what they are in chat completions, for a client of the same dialect: all of a whole answer, an event of a
/// stream.
pub(crate) const OWN_WORDS: &str = "trimtab.words";

/// An answer without its own words, for those who keep it for clients of any dialect.
#[must_use]
pub fn without_own_words(body: Bytes) -> Bytes {
    let Ok(Fields(fields)) = serde_json::from_slice::<Fields<'_>>(&body) else { return body };
    if !fields.iter().any(|(name, _)| name == OWN_WORDS) {
        return body;
    }
    let others = fields.iter().filter(|(name, _)| name != OWN_WORDS).map(|(name, raw)| (name.as_str(), raw.get()));
    Bytes::from(thoughts::object(others))
}

/// The parts of an error in OpenAI's shape.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Words<'a> {
    pub(crate) message: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) param: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
}

/// An error body in OpenAI's shape.
pub(crate) fn words(words: &Words<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a Words<'a>,
    }
    to_bytes(&Body { error: words })
}

/// JSON of plain data, which cannot fail: there are no maps with keys that are not text.
pub(crate) fn to_bytes(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// Text as a part of a path: every byte but letters, digits, `-`, `_`, `.`, `~` and those of `also` is written as `%XX`.
pub(crate) fn escape(text: &str, also: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
