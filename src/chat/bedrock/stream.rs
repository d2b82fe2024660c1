//! A stream of Converse's events as chat completion chunks.

use std::collections::HashMap;

use serde::Deserialize;

use crate::chat::bedrock::answer::{WireUsage, finish};
use crate::chat::bedrock::frame::Frame;
use crate::chat::bedrock::{WireError, exception_status};
use crate::chat::native::Stamp;
use crate::chat::native::answer::{Call, WireThought};
use crate::chat::native::chunks::ChunkWriter;
use crate::chat::sse::{SseError, SseEvent};

/// Translates the frames of one answer.
#[derive(Debug)]
pub struct BedrockStream {
    chunks: ChunkWriter,
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

/// A payload; which fields are there depends on the event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    content_block_index: u32,
    start: Option<Start>,
    delta: Option<Delta>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    tool_use: Option<ToolStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolStart {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    text: Option<String>,
    tool_use: Option<ToolDelta>,
    reasoning_content: Option<ReasoningDelta>,
}

#[derive(Deserialize)]
struct ToolDelta {
    #[serde(default)]
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

impl BedrockStream {
    /// Begins a stream.
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        Self { chunks: ChunkWriter::new(stamp), calls: HashMap::new(), thought: String::new() }
    }

    /// What a frame is in chat completion chunks.
    pub(crate) fn frame(&mut self, frame: &Frame) -> Result<Vec<SseEvent>, SseError> {
        if frame.is_failure {
            let error: Option<WireError> = serde_json::from_slice(&frame.payload).ok();
            let message = error.and_then(|error| error.message).unwrap_or_default();
            self.chunks.error(&message, (&frame.name, exception_status(&frame.name)));
            return Ok(self.chunks.take());
        }
        let payload: Payload = serde_json::from_slice(&frame.payload).map_err(|_| SseError::Foreign)?;
        let index = payload.content_block_index;
        match frame.name.as_str() {
            "messageStart" => self.chunks.role(0),
            "contentBlockStart" => {
                if let Some(tool) = payload.start.and_then(|start| start.tool_use) {
                    self.starts_call(index, tool);
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = payload.delta {
                    self.continues_block(index, delta);
                }
            }
            // As in Anthropic's streams: a tool that takes nothing is called without a word about its arguments.
            "contentBlockStop" => {
                if let Some(call) = self.calls.get(&index).filter(|call| !call.has_arguments) {
                    self.chunks.arguments(0, (call.place, "{}"));
                }
            }
            "messageStop" => self.chunks.finish(0, finish(payload.stop_reason.as_deref().unwrap_or_default())),
            "metadata" => {
                if let Some(usage) = payload.usage {
                    self.chunks.tokens(usage.into());
                }
                self.chunks.done();
            }
            // Events to come.
            _ => {}
        }
        Ok(self.chunks.take())
    }

    fn starts_call(&mut self, index: u32, ToolStart { tool_use_id, name }: ToolStart) {
        let place = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        let call = Call { id: tool_use_id, name, ..Call::default() };
        self.chunks.call(0, (place, &call));
        self.calls.insert(index, OpenCall { place, has_arguments: false });
    }

    fn continues_block(&mut self, index: u32, delta: Delta) {
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            self.chunks.text(0, &text);
        }
        let piece = delta.tool_use.map(|tool| tool.input).filter(|piece| !piece.is_empty());
        if let (Some(piece), Some(call)) = (piece, self.calls.get_mut(&index)) {
            call.has_arguments = true;
            self.chunks.arguments(0, (call.place, &piece));
        }
        let Some(reasoning) = delta.reasoning_content else { return };
        if let Some(text) = reasoning.text.filter(|text| !text.is_empty()) {
            self.thought.push_str(&text);
            self.chunks.reasoning(0, &text);
        }
        if let Some(signature) = reasoning.signature {
            let thought = std::mem::take(&mut self.thought);
            self.chunks.thought(0, WireThought::signed(&thought, &signature));
        }
        if let Some(data) = reasoning.redacted_content {
            self.chunks.thought(0, WireThought::redacted(&data));
        }
    }
}
