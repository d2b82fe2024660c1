//! A stream of message events as chat completion chunks.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::anthropic::answer::{Block, WireUsage, finish, is_known};
use crate::chat::anthropic::{ErrorBody, error_status};
use crate::chat::native::Stamp;
use crate::chat::native::answer::{Call, Tokens, WireThought};
use crate::chat::native::chunks::ChunkWriter;
use crate::chat::native::decoder::Translate;
use crate::chat::sse::{SseError, SseEvent};

/// Translates the events of one message.
#[derive(Debug)]
pub struct AnthropicStream {
    chunks: ChunkWriter,
    usage: WireUsage,
    words: Words,
    /// The places of blocks that are nothing in chat completions.
    others: HashSet<u32>,
}

/// What becomes of the events' own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Kept,
    Left,
}

/// An event; which fields are there depends on its type.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: u32,
    message: Option<Message>,
    content_block: Option<Block>,
    delta: Option<Delta>,
    usage: Option<WireUsage>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    model: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
}

impl AnthropicStream {
    /// Begins a stream.
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        Self {
            chunks: ChunkWriter::new(stamp),
            usage: WireUsage::default(),
            words: Words::Left,
            others: HashSet::new(),
        }
    }

    /// Keeps the events as they came, beside what they are in chat completions.
    #[must_use]
    pub fn with_words(self) -> Self {
        Self { words: Words::Kept, ..self }
    }

    /// Tells an event as it came.
    fn tells(&mut self, data: &[u8], event: &Event) {
        if self.words == Words::Left || matches!(event.kind.as_str(), "ping" | "error") {
            return;
        }
        let Ok(words) = serde_json::from_slice::<&RawValue>(data) else { return };
        if event.content_block.as_ref().is_some_and(|block| !is_known(&block.kind)) {
            self.others.insert(event.index);
        }
        let is_part = matches!(event.kind.as_str(), "content_block_start" | "content_block_delta");
        if is_part && self.others.contains(&event.index) {
            self.chunks.words_alone(words);
        } else {
            self.chunks.words(words);
        }
    }

    fn starts_block(&mut self, index: u32, block: Block) {
        match block.kind.as_str() {
            "text" => self.chunks.say(&block.text.unwrap_or_default()),
            "thinking" => self.chunks.think(&block.thinking.unwrap_or_default()),
            "redacted_thinking" => self.chunks.thought(0, WireThought::redacted(&block.data.unwrap_or_default())),
            "tool_use" => self.starts_call(index, block),
            // As in a whole answer.
            _ => {}
        }
    }

    fn starts_call(&mut self, index: u32, block: Block) {
        let given = block.input.as_deref().map(RawValue::get).filter(|input| !matches!(*input, "{}" | "null" | "\"\""));
        let arguments = given.unwrap_or_default().to_owned();
        let (id, name) = (block.id.unwrap_or_default(), block.name.unwrap_or_default());
        self.chunks.begin_call(index, &Call { id, name, arguments, signature: None });
    }

    fn continues_block(&mut self, index: u32, delta: &Delta) {
        self.chunks.say(delta.text.as_deref().unwrap_or_default());
        self.chunks.think(delta.thinking.as_deref().unwrap_or_default());
        if let Some(signature) = &delta.signature {
            self.chunks.sign(signature);
        }
        self.chunks.piece(index, delta.partial_json.as_deref().unwrap_or_default());
    }

    fn ends_message(&mut self, delta: &Delta) {
        if let Some(reason) = &delta.stop_reason {
            self.chunks.finish_at(0, (finish(reason), delta.stop_sequence.as_deref()));
        }
        if let Some(tokens) = self.usage.tokens().filter(|_| delta.stop_reason.is_some()) {
            self.chunks.tokens(tokens);
        }
    }
}

impl Translate for AnthropicStream {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<SseEvent>, SseError> {
        if event.data.is_empty() {
            return Ok(vec![event.clone()]);
        }
        let data = &event.data;
        let event: Event = serde_json::from_slice(data).map_err(|_| SseError::Foreign)?;
        if let Some(usage) = event.usage {
            self.usage = usage.or(self.usage);
        }
        self.tells(data, &event);
        match (event.kind.as_str(), event.message, event.content_block, event.delta) {
            ("message_start", Some(message), _, _) => {
                self.usage = message.usage.unwrap_or_default().or(self.usage);
                self.chunks.name(message.id, message.model);
                self.chunks.role(0);
            }
            ("content_block_start", _, Some(block), _) => self.starts_block(event.index, block),
            ("content_block_delta", _, _, Some(delta)) => self.continues_block(event.index, &delta),
            ("content_block_stop", ..) => self.chunks.end_block(event.index),
            ("message_delta", _, _, Some(delta)) => self.ends_message(&delta),
            ("message_stop", ..) => self.chunks.done(),
            ("ping", ..) => self.chunks.comment(),
            ("error", ..) => {
                let error = event.error.ok_or(SseError::Foreign)?;
                self.chunks.error(&error.message, (&error.kind, error_status(&error.kind)));
            }
            // Events to come.
            _ => {}
        }
        Ok(self.chunks.take())
    }

    fn finish(&mut self) -> Vec<SseEvent> {
        Vec::new()
    }

    /// The input is counted in the first event.
    fn counted(&self) -> Option<Tokens> {
        self.usage.tokens()
    }
}
