//! What passes from an upstream's stream to the client, event by event. The clock is read only where the upstream says when to come back.

use std::time::SystemTime;

use bytes::Bytes;

use crate::chat::replay::UsageChunk;
use crate::chat::sse::SseEvent;
use crate::chat::usage::{Chunk, PublicModel, is_error_body};
use crate::domain::money::Usage;
use crate::upstream::classify::Trouble;
use crate::upstream::said;
use crate::upstream::scrub::Scrubber;

/// Watches one stream: names the public model, counts, and keeps back the usage that only we asked for, wherever it stands.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) model: PublicModel,
    pub(crate) wants_usage: bool,
    pub(crate) scrubber: Scrubber,
    pub(crate) usage: Option<Usage>,
    pub(crate) output_bytes: usize,
    seen: u64,
    ended: u64,
}

/// What an event is to the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// A sign of life for the client: a comment, or an event without data.
    Comment(Bytes),
    /// Bytes for the client that begin or surround the answer, such as a role.
    Frame(Bytes),
    /// Bytes for the client with a part of the answer.
    Token(Bytes),
    /// Nothing for the client.
    Nothing,
    /// The end of the stream.
    Done,
    /// The upstream failed and said so, in these words if they are fit for the client: an error object in OpenAI's shape, scrubbed.
    Failed(Trouble, Option<Bytes>),
}

impl Tap {
    pub(crate) const fn new(model: PublicModel, wants_usage: bool, scrubber: Scrubber) -> Self {
        Self { model, wants_usage, scrubber, usage: None, output_bytes: 0, seen: 0, ended: 0 }
    }

    /// Whether every choice that was begun has given the reason why it ended.
    pub(crate) const fn is_complete(&self) -> bool {
        self.seen != 0 && self.seen == self.ended
    }

    /// Reads an event.
    pub(crate) fn see(&mut self, event: SseEvent) -> Result<Passage, Trouble> {
        if event.data.is_empty() {
            return Ok(Passage::Comment(event.raw));
        }
        if event.data.as_ref() == b"[DONE]" {
            return Ok(Passage::Done);
        }
        let wish = if self.wants_usage { UsageChunk::Sent } else { UsageChunk::Left };
        let chunk = Chunk::read(&event.data, &self.model, wish)?;
        let is_error = event.name.as_deref() == Some(b"error".as_slice());
        if let Some(status) = chunk.error.or(is_error.then_some(None)) {
            let trouble = Trouble::reported(status, said::read(&event.data, SystemTime::now()));
            let is_fit = !trouble.is_of_our_account() && is_error_body(&event.data);
            let words = is_fit.then(|| self.scrubber.bytes(event.data));
            return Ok(Passage::Failed(trouble, words));
        }
        self.usage = chunk.usage.or(self.usage);
        self.output_bytes += chunk.output_bytes;
        self.seen |= chunk.choices;
        self.ended |= chunk.ended;
        let is_usage_alone = !chunk.has_choices && chunk.usage.is_some();
        if is_usage_alone && !self.wants_usage {
            return Ok(Passage::Nothing);
        }
        let edits = chunk.edits.iter().flatten().map(|edit| (edit.range.clone(), edit.with.as_ref()));
        let bytes = if chunk.edits.iter().any(Option::is_some) { event.splice(edits) } else { event.raw };
        Ok(if chunk.is_semantic { Passage::Token(bytes) } else { Passage::Frame(bytes) })
    }
}
