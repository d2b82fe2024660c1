//! A stream of message events as chat completion chunks.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::anthropic::answer::{WireUsage, finish};
use crate::chat::anthropic::{ErrorBody, error_status};
use crate::chat::native::Stamp;
use crate::chat::native::answer::{Call, WireThought};
use crate::chat::native::chunks::ChunkWriter;
use crate::chat::native::decoder::Translate;
use crate::chat::sse::{SseError, SseEvent};

/// Translates the events of one message.
#[derive(Debug)]
pub struct AnthropicStream {
    chunks: ChunkWriter,
    usage: WireUsage,
    /// The tool calls by the place of their block.
    calls: HashMap<u32, OpenCall>,
    /// The thought that is being thought: its signature is worth nothing without its words.
    thought: String,
}

#[derive(Debug)]
struct OpenCall {
    /// Its place among the tool calls.
    place: u32,
    has_arguments: bool,
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
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

impl AnthropicStream {
    /// Begins a stream.
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        let (usage, calls) = (WireUsage::default(), HashMap::new());
        Self { chunks: ChunkWriter::new(stamp), usage, calls, thought: String::new() }
    }

    fn starts_block(&mut self, index: u32, block: &Block) {
        match block.kind.as_str() {
            "text" => self.say(block.text.as_deref(), ChunkWriter::text),
            "thinking" => self.thinks(block.thinking.as_deref()),
            "redacted_thinking" => {
                self.chunks.thought(0, WireThought::redacted(block.data.as_deref().unwrap_or_default()));
            }
            "tool_use" => self.starts_call(index, block),
            // As in a whole answer.
            _ => {}
        }
    }

    fn starts_call(&mut self, index: u32, block: &Block) {
        let place = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        let given = block.input.as_deref().map(RawValue::get).filter(|input| !matches!(*input, "{}" | "null" | "\"\""));
        let call = Call {
            id: block.id.clone().unwrap_or_default(),
            name: block.name.clone().unwrap_or_default(),
            arguments: given.unwrap_or_default().to_owned(),
            signature: None,
        };
        self.chunks.call(0, (place, &call));
        self.calls.insert(index, OpenCall { place, has_arguments: given.is_some() });
    }

    fn continues_block(&mut self, index: u32, delta: &Delta) {
        self.say(delta.text.as_deref(), ChunkWriter::text);
        self.thinks(delta.thinking.as_deref());
        if let Some(signature) = &delta.signature {
            let thought = std::mem::take(&mut self.thought);
            self.chunks.thought(0, WireThought::signed(&thought, signature));
        }
        let piece = delta.partial_json.as_deref().filter(|piece| !piece.is_empty());
        if let (Some(piece), Some(call)) = (piece, self.calls.get_mut(&index)) {
            call.has_arguments = true;
            self.chunks.arguments(0, (call.place, piece));
        }
    }

    /// A tool that takes nothing is called without a word about its arguments, where OpenAI's clients expect an object.
    fn ends_block(&mut self, index: u32) {
        if let Some(call) = self.calls.get(&index).filter(|call| !call.has_arguments) {
            self.chunks.arguments(0, (call.place, "{}"));
        }
    }

    fn ends_message(&mut self, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.chunks.finish(0, finish(reason));
        }
        if let Some(tokens) = self.usage.tokens().filter(|_| reason.is_some()) {
            self.chunks.tokens(tokens);
        }
    }

    fn thinks(&mut self, text: Option<&str>) {
        self.thought.push_str(text.unwrap_or_default());
        self.say(text, ChunkWriter::reasoning);
    }

    fn say(&mut self, text: Option<&str>, write: fn(&mut ChunkWriter, u32, &str)) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            write(&mut self.chunks, 0, text);
        }
    }
}

impl Translate for AnthropicStream {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<SseEvent>, SseError> {
        if event.data.is_empty() {
            return Ok(vec![event.clone()]);
        }
        let event: Event = serde_json::from_slice(&event.data).map_err(|_| SseError::Foreign)?;
        if let Some(usage) = event.usage {
            self.usage = usage.or(self.usage);
        }
        match (event.kind.as_str(), event.message, event.content_block, event.delta) {
            ("message_start", Some(message), _, _) => {
                self.usage = message.usage.unwrap_or_default().or(self.usage);
                self.chunks.name(message.id, message.model);
                self.chunks.role(0);
            }
            ("content_block_start", _, Some(block), _) => self.starts_block(event.index, &block),
            ("content_block_delta", _, _, Some(delta)) => self.continues_block(event.index, &delta),
            ("content_block_stop", ..) => self.ends_block(event.index),
            ("message_delta", _, _, Some(delta)) => self.ends_message(delta.stop_reason.as_deref()),
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
}
