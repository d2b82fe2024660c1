//! A stream of Converse's events as chat completion chunks.

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
    pub const fn new(stamp: Stamp) -> Self {
        Self { chunks: ChunkWriter::new(stamp) }
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
                if let Some(ToolStart { tool_use_id, name }) = payload.start.and_then(|start| start.tool_use) {
                    self.chunks.begin_call(index, &Call { id: tool_use_id, name, ..Call::default() });
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = payload.delta {
                    self.continues_block(index, delta);
                }
            }
            "contentBlockStop" => self.chunks.end_block(index),
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

    fn continues_block(&mut self, index: u32, delta: Delta) {
        self.chunks.say(&delta.text.unwrap_or_default());
        if let Some(ToolDelta { input }) = delta.tool_use {
            self.chunks.piece(index, &input);
        }
        let Some(reasoning) = delta.reasoning_content else { return };
        self.chunks.think(&reasoning.text.unwrap_or_default());
        if let Some(signature) = reasoning.signature {
            self.chunks.sign(&signature);
        }
        if let Some(data) = reasoning.redacted_content {
            self.chunks.thought(0, WireThought::redacted(&data));
        }
    }
}
