//! A stream of generated content as chat completion chunks.

use std::collections::BTreeMap;

use crate::chat::gemini::answer::{Candidate, UsageMetadata, Wire, blocked, call, finish};
use crate::chat::native::Stamp;
use crate::chat::native::answer::{Call, Finish};
use crate::chat::native::chunks::ChunkWriter;
use crate::chat::native::decoder::Translate;
use crate::chat::sse::{SseError, SseEvent};

/// Translates the pieces of one answer. The stream has no end of its own but that of its bytes.
#[derive(Debug)]
pub struct GeminiStream {
    chunks: ChunkWriter,
    /// What was seen of each candidate.
    candidates: BTreeMap<u32, Seen>,
    /// Every piece counts all tokens so far; the last count stands.
    usage: Option<UsageMetadata>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: u32,
    has_ended: bool,
}

impl GeminiStream {
    /// Begins a stream.
    #[must_use]
    pub const fn new(stamp: Stamp) -> Self {
        Self { chunks: ChunkWriter::new(stamp), candidates: BTreeMap::new(), usage: None }
    }

    fn candidate(&mut self, candidate: Candidate) {
        let index = candidate.index;
        let chunks = &mut self.chunks;
        let seen = self.candidates.entry(index).or_insert_with(|| {
            chunks.role(index);
            Seen::default()
        });
        for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
            if let Some(function) = part.function_call {
                let answer = chunks.id().to_owned();
                let place = usize::try_from(seen.calls).unwrap_or(usize::MAX);
                let call = Call { signature: part.thought_signature, ..call(function, (&answer, index, place)) };
                chunks.call(index, (seen.calls, &call));
                seen.calls = seen.calls.saturating_add(1);
            } else if let Some(text) = part.text.filter(|text| !text.is_empty()) {
                if part.thought { chunks.reasoning(index, &text) } else { chunks.text(index, &text) }
            }
        }
        if let Some(reason) = candidate.finish_reason.filter(|_| !seen.has_ended) {
            seen.has_ended = true;
            chunks.finish(index, finish(&reason, seen.calls > 0));
        }
    }

    fn blocked(&mut self, reason: &str) {
        self.chunks.role(0);
        self.chunks.refusal(0, &blocked(reason));
        self.chunks.finish(0, Finish::ContentFilter);
        self.candidates.insert(0, Seen { calls: 0, has_ended: true });
    }
}

impl Translate for GeminiStream {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<SseEvent>, SseError> {
        if event.data.is_empty() {
            return Ok(vec![event.clone()]);
        }
        let wire: Wire = serde_json::from_slice(&event.data).map_err(|_| SseError::Foreign)?;
        if let Some(error) = wire.error {
            let kind = error.status.as_deref().unwrap_or("upstream_error");
            self.chunks.error(&error.message, (kind, error.code.map(|status| error.amounts_to(status))));
            return Ok(self.chunks.take());
        }
        self.chunks.name(wire.response_id, wire.model_version);
        self.usage = wire.usage_metadata.or(self.usage);
        for candidate in wire.candidates.unwrap_or_default() {
            self.candidate(candidate);
        }
        let reason = wire.prompt_feedback.and_then(|feedback| feedback.block_reason);
        if let Some(reason) = reason.filter(|_| self.candidates.is_empty()) {
            self.blocked(&reason);
        }
        Ok(self.chunks.take())
    }

    fn finish(&mut self) -> Vec<SseEvent> {
        let is_complete = !self.candidates.is_empty() && self.candidates.values().all(|seen| seen.has_ended);
        if is_complete {
            if let Some(usage) = self.usage {
                self.chunks.tokens(usage.into());
            }
            self.chunks.done();
        }
        self.chunks.take()
    }
}
