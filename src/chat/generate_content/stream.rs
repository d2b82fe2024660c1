//! Canonical answers as answers of Google's, whole and in pieces.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::chat::completion::{Choice, Tokens};
use crate::chat::dialect::{Dialect, Events, Naming, Problem, check_length, read_chunk, read_whole};
use crate::chat::generate_content::answer::{Answer, Candidate, Usage};
use crate::chat::generate_content::error::error;
use crate::chat::generate_content::request::{Framing, Reply};
use crate::chat::sse::encode;
use crate::chat::usage::NotAnAnswer;

/// Writes one answer as candidates.
#[derive(Debug)]
pub struct CandidateWriter {
    naming: Naming,
    reply: Reply,
    candidates: BTreeMap<u64, Candidate>,
    model: String,
    tokens: Option<Tokens>,
    has_begun: bool,
}

impl CandidateWriter {
    pub(super) fn new(reply: Reply, naming: Naming) -> Self {
        let (candidates, model) = (BTreeMap::new(), String::new());
        Self { naming, reply, candidates, model, tokens: None, has_begun: false }
    }

    fn take(&mut self, (index, mut choice): (u64, Choice)) -> Result<(), Problem> {
        // More candidates than are wanted come from nowhere, and would fill the memory.
        if index >= self.reply.candidates {
            return Ok(());
        }
        let candidate =
            self.candidates.entry(index).or_insert_with(|| Candidate::new(index, &self.naming, self.reply.thoughts));
        candidate.take(&mut choice);
        check_length(candidate.bytes())
    }

    /// The last of the answer, or all of it.
    fn last(&mut self) -> Answer<'_> {
        if self.candidates.is_empty() {
            self.candidates.insert(0, Candidate::new(0, &self.naming, self.reply.thoughts));
        }
        let bytes = self.candidates.values().map(Candidate::bytes).sum();
        let usage = self.tokens.as_ref().map_or_else(|| Usage::estimated(&self.naming, bytes), Usage::counted);
        Answer {
            candidates: self.candidates.values_mut().map(Candidate::ended).collect(),
            usage_metadata: Some(usage),
            model_version: &self.model,
            response_id: &self.naming.key,
        }
    }
}

impl Dialect for CandidateWriter {
    /// In a list space, among events a piece that says nothing: Google's own clients take a comment or an empty line for a broken answer.
    fn sign_of_life(&self) -> &'static [u8] {
        match self.reply.framing {
            Framing::List => b"\n",
            Framing::Events => {
                b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"index\":0}]}\n\n"
            }
        }
    }

    fn whole(mut self, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
        let answer = read_whole(completion)?;
        self.model = answer.model.clone().unwrap_or_default();
        self.tokens = answer.usage;
        for choice in answer.into_choices() {
            // No whole answer is as long as a stream may be.
            drop(self.take(choice));
        }
        if !self.candidates.contains_key(&0) {
            return Err(NotAnAnswer::NoChoices);
        }
        serde_json::to_vec(&self.last()).map_err(|_| NotAnAnswer::NotJson)
    }

    fn chunk(&mut self, data: &[u8], events: &mut Events) -> Result<(), Problem> {
        let chunk = read_chunk(data)?;
        if let Some(model) = &chunk.model {
            self.model.clone_from(model);
        }
        self.tokens = chunk.usage.or(self.tokens);
        for choice in chunk.into_choices() {
            self.take(choice)?;
        }
        let candidates: Vec<_> = self.candidates.values_mut().filter_map(Candidate::told).collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let (model_version, response_id) = (self.model.as_str(), self.naming.key.as_str());
        let piece = Answer { candidates, usage_metadata: None, model_version, response_id };
        let mut frame = Frame { framing: self.reply.framing, has_begun: &mut self.has_begun, events };
        frame.put(&piece);
        Ok(())
    }

    fn end(&mut self, events: &mut Events) {
        let (framing, mut has_begun) = (self.reply.framing, self.has_begun);
        let mut frame = Frame { framing, has_begun: &mut has_begun, events };
        frame.put(&self.last());
        frame.close();
    }

    fn fail(&mut self, problem: &Problem, events: &mut Events) {
        let mut frame = Frame { framing: self.reply.framing, has_begun: &mut self.has_begun, events };
        frame.put(&error(problem.status, &problem.message));
        frame.close();
    }
}

/// Puts pieces into their frame.
struct Frame<'a> {
    framing: Framing,
    has_begun: &'a mut bool,
    events: &'a mut Events,
}

impl Frame<'_> {
    /// Adds a piece. One that cannot be written as JSON, which none of ours is, is left out.
    fn put(&mut self, piece: &impl Serialize) {
        let Ok(json) = serde_json::to_vec(piece) else { return };
        let has_begun = std::mem::replace(self.has_begun, true);
        match self.framing {
            Framing::Events => self.events.put_bytes(&encode(&json)),
            Framing::List => {
                self.events.put_bytes(if has_begun { b",\n" } else { b"[" });
                self.events.put_bytes(&json);
            }
        }
    }

    fn close(&mut self) {
        match self.framing {
            Framing::Events => {}
            Framing::List => self.events.put_bytes(b"]\n"),
        }
    }
}
