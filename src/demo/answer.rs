//! What the demo says, whole and in words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use thiserror::Error;

use crate::chat::sse;
use crate::demo::MODELS;

/// Why the demo does not answer.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("the body is not a JSON object")]
    NotJson,
    #[error("`{field}` {problem}")]
    Field { field: &'static str, problem: &'static str },
    #[error("the demo has no model `{model}`; ask for demo-small, demo-medium or demo-large")]
    UnknownModel { model: String },
}

impl Refusal {
    pub(crate) const fn param(&self) -> Option<&'static str> {
        match self {
            Self::NotJson => None,
            Self::Field { field, .. } => Some(field),
            Self::UnknownModel { .. } => Some("model"),
        }
    }

    pub(crate) const fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotJson | Self::Field { .. } => None,
            Self::UnknownModel { .. } => Some("model_not_found"),
        }
    }
}

/// A request as far as the demo understands it.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) stream: bool,
    model: &'static str,
    wants_usage: bool,
    /// The words of the answer, each with the space before it.
    words: Vec<String>,
    finish_reason: &'static str,
    prompt_tokens: u64,
    completion_tokens: u64,
    id: u64,
    created: u64,
}

impl Question {
    /// Reads a chat completions request.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::NotJson)?;
        if !body.is_object() {
            return Err(Refusal::NotJson);
        }
        let model = model(field(&body, "model"))?;
        let problem = "must be a list with at least one message";
        let messages = field(&body, "messages")
            .as_array()
            .filter(|messages| !messages.is_empty())
            .ok_or(Refusal::Field { field: "messages", problem })?;
        if !matches!(field(&body, "n").as_u64(), None | Some(1)) {
            return Err(Refusal::Field { field: "n", problem: "must be 1: the demo gives one answer" });
        }
        let tools = field(&body, "tools").as_array().map_or(0, Vec::len);
        let limit =
            field(&body, "max_completion_tokens").as_u64().or(field(&body, "max_tokens").as_u64()).unwrap_or(u64::MAX);
        let (words, completion_tokens, is_cut) = within(&text(model, messages, tools), limit);
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(Self {
            stream: field(&body, "stream").as_bool().unwrap_or(false),
            model,
            wants_usage: field(field(&body, "stream_options"), "include_usage").as_bool().unwrap_or(false),
            words,
            finish_reason: if is_cut { "length" } else { "stop" },
            prompt_tokens: messages.iter().map(|message| tokens(&content(message))).sum(),
            completion_tokens,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        })
    }

    /// The whole answer.
    pub(crate) fn completion(&self) -> Value {
        let message = json!({ "role": "assistant", "content": self.words.concat(), "refusal": null });
        json!({
            "id": self.name(), "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason }],
            "usage": self.usage(), "system_fingerprint": "trimtab-demo",
        })
    }

    /// The answer word by word.
    pub(crate) fn events(self) -> impl Iterator<Item = Bytes> + Send + 'static {
        let role = self.chunk(&json!({ "role": "assistant", "content": "" }), None);
        let words: Vec<Value> = self.words.iter().map(|word| self.chunk(&json!({ "content": word }), None)).collect();
        let last = self.chunk(&json!({}), Some(self.finish_reason));
        let usage = self.wants_usage.then(|| self.frame(&json!([]), &self.usage()));
        let chunks = [role].into_iter().chain(words).chain([last]).chain(usage);
        chunks.map(|chunk| sse::encode(chunk.to_string().as_bytes())).chain([sse::DONE])
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
        self.frame(&json!([choice]), &Value::Null)
    }

    /// A chunk. `usage` is in every one where it was asked for and in none otherwise.
    fn frame(&self, choices: &Value, usage: &Value) -> Value {
        let mut frame = json!({
            "id": self.name(), "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "system_fingerprint": "trimtab-demo", "choices": choices, "usage": usage,
        });
        if let (false, Some(fields)) = (self.wants_usage, frame.as_object_mut()) {
            fields.remove("usage");
        }
        frame
    }

    fn name(&self) -> String {
        format!("chatcmpl-demo-{}", self.id)
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": { "cached_tokens": 0 },
        })
    }
}

fn model(value: &Value) -> Result<&'static str, Refusal> {
    let name = value.as_str().ok_or(Refusal::Field { field: "model", problem: "must be a text" })?;
    let known = MODELS.into_iter().find(|model| *model == name);
    known.ok_or_else(|| Refusal::UnknownModel { model: name.chars().take(80).collect() })
}

fn text(model: &str, messages: &[Value], tools: usize) -> String {
    let length = messages.last().map_or(0, |last| content(last).chars().count());
    let messages = count(messages.len(), "message");
    let tools = match tools {
        0 => String::new(),
        tools => format!(" It was offered {} and calls none.", count(tools, "tool")),
    };
    format!(
        "This is Trimtab's demo upstream, standing in for `{model}`. No language model was called. It received {messages}; \
         the last one is {} long.{tools} Configure a real upstream in trimtab.toml to get real answers.",
        count(length, "character"),
    )
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A field, `null` where it is absent.
fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get(name).unwrap_or(&Value::Null)
}

/// The text of a message: a string, or the text parts of a list.
fn content(message: &Value) -> String {
    match field(message, "content") {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| field(part, "text").as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// The demo's own count: each word is a token for every four bytes begun.
fn tokens(text: &str) -> u64 {
    text.split_whitespace().map(word_tokens).sum()
}

fn word_tokens(word: &str) -> u64 {
    u64::try_from(word.len()).unwrap_or(u64::MAX).div_ceil(4)
}

/// The words that fit the limit, their tokens, and whether some did not fit.
fn within(text: &str, limit: u64) -> (Vec<String>, u64, bool) {
    let mut words = Vec::new();
    let mut total = 0;
    for word in text.split_whitespace() {
        let cost = word_tokens(word);
        if total + cost > limit {
            return (words, total, true);
        }
        total += cost;
        words.push(if words.is_empty() { word.to_owned() } else { format!(" {word}") });
    }
    (words, total, false)
}
