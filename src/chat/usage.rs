//! What an OpenAI answer says that we act on: its usage, its model, and whether it is an answer at all.
//!
//! Only the fields acted on are read. A model name is replaced in place; every other byte stays as the upstream wrote it.

mod delta;

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::chat::replay::UsageChunk;
use crate::chat::usage::delta::Delta;
use crate::domain::ids::ModelName;
use crate::domain::money::Usage;

/// Why bytes from an upstream are not an answer. Never holds any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAnAnswer {
    /// There were no bytes.
    #[error("an empty body")]
    Empty,
    /// Not JSON, or not an object whose fields have the shape of an answer.
    #[error("something that is not a JSON answer")]
    NotJson,
    /// An object without an embedding.
    #[error("JSON without embeddings in `data`")]
    NoEmbeddings,
    /// An object without a choice.
    #[error("JSON without `choices`")]
    NoChoices,
    /// A success that reports an error.
    #[error("a report of an error")]
    Failed {
        /// The status that the error amounts to, where that is known.
        status: Option<u16>,
    },
}

impl NotAnAnswer {
    /// The problem, once more with the whole body at hand: what has no answer may report an error instead.
    #[must_use]
    pub fn in_body(self, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        match self {
            Self::NotJson | Self::NoEmbeddings | Self::NoChoices => {
                let error = serde_json::from_slice::<Body<'_>>(body).ok().and_then(|Body { error }| reported(error));
                error.unwrap_or(self)
            }
            Self::Empty | Self::Failed { .. } => self,
        }
    }
}

/// The model name that callers are to read, ready to be written into answers.
#[derive(Clone, Debug)]
pub struct PublicModel {
    /// The name as a JSON string.
    value: Bytes,
    /// The whole field with a comma after it, for answers that lack it.
    field: Bytes,
}

impl From<&ModelName> for PublicModel {
    fn from(name: &ModelName) -> Self {
        let value = serde_json::Value::from(name.as_str()).to_string();
        Self { field: Bytes::from(format!("\"model\":{value},")), value: Bytes::from(value) }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The answer for the client: the upstream's bytes, with the public model name.
    pub body: Bytes,
    /// The tokens, if the upstream counted them.
    pub usage: Option<Usage>,
    /// Bytes of answer, as written in JSON, where it did not.
    pub output_bytes: usize,
}

impl Completion {
    /// Reads a whole answer and names the model that served it.
    ///
    /// # Errors
    /// When the bytes are not an answer.
    pub fn read(body: Bytes, model: &PublicModel) -> Result<Self, NotAnAnswer> {
        let wire: Wire<'_, Given<'_>> = parse(&body)?;
        let errors = wire.choices.iter().flatten().map(|choice| choice.error);
        if let Some(failed) = errors.chain([wire.error]).find_map(reported) {
            return Err(failed);
        }
        if wire.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(NotAnAnswer::NoChoices);
        }
        // What is no message cannot be said in other dialects, and is found out while another target may still be asked.
        let is_message = |choice: &Given<'_>| choice.message.is_none_or(|message| message.get().starts_with('{'));
        if !wire.choices.iter().flatten().all(is_message) {
            return Err(NotAnAnswer::NotJson);
        }
        let usage = wire.usage.and_then(read_usage);
        let messages = wire.choices.iter().flatten().filter_map(|choice| choice.message).filter(|_| usage.is_none());
        let said = messages.filter_map(|message| serde_json::from_str::<Delta>(message.get()).ok());
        let output_bytes = said.map(|said| said.bytes).sum();
        let edit = wire.model_edit(&body, model);
        Ok(Self { body: apply(edit, body), usage, output_bytes })
    }

    /// Reads an answer with embeddings and names the model that served it.
    ///
    /// # Errors
    /// When the bytes are not such an answer.
    pub fn read_embeddings(body: Bytes, model: &PublicModel) -> Result<Self, NotAnAnswer> {
        let wire: Wire<'_, IgnoredAny> = parse(&body)?;
        if let Some(failed) = reported(wire.error) {
            return Err(failed);
        }
        let data = wire.data.and_then(|data| serde_json::from_str::<Vec<IgnoredAny>>(data.get()).ok());
        if data.is_none_or(|data| data.is_empty()) {
            return Err(NotAnAnswer::NoEmbeddings);
        }
        let usage = wire.usage.and_then(read_usage);
        let edit = wire.model_edit(&body, model);
        Ok(Self { body: apply(edit, body), usage, output_bytes: 0 })
    }
}

fn apply(edit: Option<Edit>, body: Bytes) -> Bytes {
    let Some(Edit { range, with }) = edit else { return body };
    let (head, tail) = (body.get(..range.start), body.get(range.end..));
    let mut edited = BytesMut::with_capacity(body.len() + with.len());
    edited.extend_from_slice(head.unwrap_or_default());
    edited.extend_from_slice(&with);
    edited.extend_from_slice(tail.unwrap_or_default());
    edited.freeze()
}

/// What one chunk of a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What must change in the chunk so that it names the public model, and holds no usage where the client wants none; in order.
    pub edits: [Option<Edit>; 2],
    /// The tokens, if this chunk counts them. The last count of a stream stands.
    pub usage: Option<Usage>,
    /// Whether the chunk carries a choice. One that carries only usage does not.
    pub has_choices: bool,
    /// Whether the chunk carries a part of the answer itself: text, reasoning, a tool call, or the reason why the answer ends. A role
    /// alone is none.
    pub is_semantic: bool,
    /// The choices of this chunk, a bit for each index below 64.
    pub choices: u64,
    /// Those among them that end here.
    pub ended: u64,
    /// Bytes of answer in this chunk, as written in JSON: what is known of the output when the usage never comes.
    pub output_bytes: usize,
    /// The upstream reports a failure instead of a part; its status, if it gives one.
    pub error: Option<Option<u16>>,
}

/// A replacement of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes to replace; empty to insert.
    pub range: Range<usize>,
    /// What to put there.
    pub with: Bytes,
}

impl Chunk {
    /// Reads the data of one event. An object that is none of ours is a chunk without choices, since upstreams send signs of life.
    ///
    /// # Errors
    /// When the data is not a JSON object, or its fields have not the shape of a chunk.
    pub fn read(data: &[u8], model: &PublicModel, usage: UsageChunk) -> Result<Self, NotAnAnswer> {
        let wire: Wire<'_, Choice<'_>> = parse(data)?;
        let error = wire.error.filter(|raw| is_error(raw)).map(error_status);
        let mut chunk = Self {
            edits: wire.edits(data, model, usage),
            usage: wire.usage.and_then(read_usage),
            has_choices: false,
            is_semantic: false,
            choices: 0,
            ended: 0,
            output_bytes: 0,
            error,
        };
        for choice in wire.choices.unwrap_or_default() {
            chunk.add(choice);
        }
        Ok(chunk)
    }

    fn add(&mut self, choice: Choice<'_>) {
        let bit = 1_u64.checked_shl(choice.index).unwrap_or(0);
        let delta = choice.delta.unwrap_or_default();
        let ends = choice.finish_reason.is_some();
        self.has_choices = true;
        self.error = self.error.or(choice.error.filter(|raw| is_error(raw)).map(error_status));
        self.is_semantic |= delta.is_semantic || ends;
        self.output_bytes += delta.bytes;
        self.choices |= bit;
        self.ended |= if ends { bit } else { 0 };
    }
}

/// Whether an upstream's error has OpenAI's shape: an object `error` with a text `message`.
#[must_use]
pub fn is_error_body(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(rename = "message")]
        _message: String,
    }
    serde_json::from_slice::<Body>(body).is_ok_and(|Body { error: Message { _message } }| true)
}

/// The error object of a body that has more, where it is in OpenAI's shape.
#[must_use]
pub fn error_alone(body: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    let Body { error } = serde_json::from_slice(body).ok()?;
    Some(Bytes::from(format!(r#"{{"error":{}}}"#, error.get()))).filter(|alone| is_error_body(alone))
}

/// The top level of an answer or a chunk.
#[derive(Deserialize)]
struct Wire<'a, C> {
    #[serde(default, borrow, deserialize_with = "present")]
    model: Option<&'a RawValue>,
    #[serde(default = "Option::default")]
    choices: Option<Vec<C>>,
    /// The embeddings of an answer that has some.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<C> Wire<'_, C> {
    /// The model first: it is named at the start where it is missing.
    fn edits(&self, source: &[u8], model: &PublicModel, usage: UsageChunk) -> [Option<Edit>; 2] {
        let unwanted = self.usage.filter(|_| usage == UsageChunk::Left).and_then(|raw| without_field(source, raw));
        match (self.model_edit(source, model), unwanted) {
            (Some(model), Some(usage)) if usage.range.start < model.range.start => [Some(usage), Some(model)],
            edits => edits.into(),
        }
    }

    fn model_edit(&self, source: &[u8], model: &PublicModel) -> Option<Edit> {
        match self.model {
            Some(raw) if raw.get().as_bytes() == model.value => None,
            Some(raw) => Some(Edit { range: place(source, raw), with: model.value.clone() }),
            None if self.choices.is_some() || self.data.is_some() => {
                let start = source.iter().position(|byte| *byte == b'{')? + 1;
                Some(Edit { range: start..start, with: model.field.clone() })
            }
            None => None,
        }
    }
}

/// Where a value stands. It is a part of `source`, so the distance of their addresses is its place.
fn place(source: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr().addr() - source.as_ptr().addr();
    start..start + raw.get().len()
}

/// Takes the field `usage` out of its object, with a comma beside it. `None` where its name is written in a way that nobody writes it.
fn without_field(source: &[u8], raw: &RawValue) -> Option<Edit> {
    let value = place(source, raw);
    let name = source.get(..value.start)?.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = name.strip_suffix(br#""usage""#)?.trim_ascii_end();
    let range = match before.strip_suffix(b",") {
        Some(before) => before.len()..value.end,
        None => {
            let after = source.get(value.end..)?.trim_ascii_start();
            let after = after.strip_prefix(b",").unwrap_or(after);
            before.len()..source.len() - after.len()
        }
    };
    Some(Edit { range, with: Bytes::new() })
}

/// A choice of a whole answer.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    /// OpenRouter reports here what failed while the model wrote.
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    finish_reason: Option<IgnoredAny>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads JSON, whose every byte must be UTF-8: what is not read here goes to the client as it is.
fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NotAnAnswer> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotAnAnswer::NotJson)?;
    serde_json::from_str(text).map_err(|_| if bytes.is_empty() { NotAnAnswer::Empty } else { NotAnAnswer::NotJson })
}

/// A field that is there, `null` or not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Lenient: a count that is missing or strange is no reason to lose an answer.
fn read_usage(raw: &RawValue) -> Option<Usage> {
    #[derive(Deserialize)]
    struct WireUsage {
        prompt_tokens: Option<u64>,
        completion_tokens: Option<u64>,
        prompt_tokens_details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        cached_tokens: Option<u64>,
        #[serde(alias = "cache_creation_tokens")]
        cache_write_tokens: Option<u64>,
    }
    let wire: WireUsage = serde_json::from_str(raw.get()).ok()?;
    if wire.prompt_tokens.is_none() && wire.completion_tokens.is_none() {
        return None;
    }
    let details = wire.prompt_tokens_details;
    Some(Usage {
        input_tokens: wire.prompt_tokens.unwrap_or(0),
        cached_input_tokens: details.as_ref().and_then(|details| details.cached_tokens).unwrap_or(0),
        cache_write_tokens: details.and_then(|details| details.cache_write_tokens).unwrap_or(0),
        output_tokens: wire.completion_tokens.unwrap_or(0),
    })
}

/// The error that stands in place of an answer, if one does.
fn reported(error: Option<&RawValue>) -> Option<NotAnAnswer> {
    error.filter(|raw| is_error(raw)).map(|raw| NotAnAnswer::Failed { status: error_status(raw) })
}

/// Some send an empty `error` with every answer.
fn is_error(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "\"\"" | "{}" | "[]")
}

/// The status that an error gives as its `code`, a number or the text of one.
fn error_status(raw: &RawValue) -> Option<u16> {
    #[derive(Deserialize)]
    struct WireError<'a> {
        #[serde(borrow)]
        code: &'a RawValue,
    }
    let code = serde_json::from_str::<WireError<'_>>(raw.get()).ok()?.code.get();
    code.trim_matches('"').parse().ok().filter(|status| (400..600).contains(status))
}

#[cfg(test)]
mod tests;
