//! Streams of chat completion chunks as the named events of Messages.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::chat::completion::Tokens;
use crate::chat::dialect::{Dialect, Events, Naming, Problem, check_length, read_chunk};
use crate::chat::messages::answer::{Block, Ending, Message, Usage, named, whole};
use crate::chat::messages::error::error_type;
use crate::chat::messages::request::Reply;
use crate::chat::native::thoughts::object;
use crate::chat::openai::Fields;
use crate::chat::parts::{Assembler, Kind, Opening, Parts, Piece, Place};
use crate::chat::usage::NotAnAnswer;

/// Writes one answer as a message.
#[derive(Debug)]
pub struct MessageWriter {
    naming: Naming,
    reply: Reply,
    assembler: Assembler,
    has_begun: bool,
    telling: Telling,
    ending: Ending,
    tokens: Option<Tokens>,
}

/// In whose words a message is told.
#[derive(Debug)]
enum Telling {
    /// In ours.
    Anew,
    /// In those of its provider, which speaks the same dialect.
    AsItComes {
        /// The event that ends it, once it has come.
        last: Option<Box<RawValue>>,
    },
}

impl MessageWriter {
    pub(super) fn new(reply: Reply, naming: Naming) -> Self {
        let assembler = Assembler::new(naming.key.clone());
        Self {
            naming,
            reply,
            assembler,
            has_begun: false,
            telling: Telling::Anew,
            ending: Ending::default(),
            tokens: None,
        }
    }

    /// The first event. The tokens in it are an estimate; those of `message_delta` are counted.
    fn begin(&mut self, model: &str, events: &mut Events) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let message = Message {
            id: format!("msg_{}", self.naming.key),
            kind: "message",
            role: "assistant",
            model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: Usage::estimated(&self.naming, 0),
        };
        events.put("message_start", &Start { kind: "message_start", message });
    }

    /// Hands on an event as its provider said it, but for the names in the first. The last waits for the end of the stream, so that whoever
    /// reads it has read all.
    fn relay(&mut self, (words, model): (Box<RawValue>, &str), events: &mut Events) -> Result<(), Problem> {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
        }
        let event: Event<'_> = serde_json::from_str(words.get()).map_err(|_| Problem::garbage())?;
        match (event.kind.as_ref(), event.message) {
            ("message_stop", _) => {
                self.telling = Telling::AsItComes { last: Some(words) };
                return Ok(());
            }
            ("message_start", Some(message)) => {
                let message = named(message, &self.naming, model).ok_or_else(Problem::garbage)?;
                let message = String::from_utf8(message).map_err(|_| Problem::garbage())?;
                let Fields(fields) = serde_json::from_str(words.get()).map_err(|_| Problem::garbage())?;
                let told = fields.iter().map(|(name, raw)| match name.as_str() {
                    "message" => ("message", message.as_str()),
                    other => (other, raw.get()),
                });
                events.put_data("message_start", &object(told));
            }
            (kind, _) => events.put_data(kind, words.get().as_bytes()),
        }
        self.telling = Telling::AsItComes { last: None };
        Ok(())
    }
}

impl Dialect for MessageWriter {
    fn sign_of_life(&self) -> &'static [u8] {
        b"event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }

    fn whole(self, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
        whole(&self.naming, &self.reply, completion)
    }

    fn chunk(&mut self, data: &[u8], events: &mut Events) -> Result<(), Problem> {
        let mut chunk = read_chunk(data)?;
        if let Some(words) = chunk.words.take() {
            return self.relay((words, chunk.model.as_deref().unwrap_or_default()), events);
        }
        if matches!(self.telling, Telling::AsItComes { .. }) {
            return Ok(());
        }
        self.begin(chunk.model.as_deref().unwrap_or_default(), events);
        self.tokens = chunk.usage.or(self.tokens);
        let Some(mut choice) = chunk.into_choice() else { return Ok(()) };
        let said = choice.said();
        self.ending.is_refused |= said.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
        self.assembler.feed(&said, &mut Blocks(events));
        check_length(self.assembler.bytes())?;
        self.ending.finish = choice.finish_reason.take().or(self.ending.finish.take());
        self.ending.stop = choice.stop_reason.take().or(self.ending.stop.take());
        Ok(())
    }

    fn end(&mut self, events: &mut Events) {
        match &self.telling {
            Telling::Anew => {}
            Telling::AsItComes { last: Some(last) } => return events.put_data("message_stop", last.get().as_bytes()),
            Telling::AsItComes { last: None } => {
                return events.put("message_stop", &json!({ "type": "message_stop" }));
            }
        }
        self.begin("", events);
        self.assembler.finish(&mut Blocks(events));
        self.ending.calls = self.assembler.calls();
        let (stop_reason, stop_sequence) = self.ending.reason(&self.reply);
        let estimate = || Usage::estimated(&self.naming, self.assembler.bytes());
        let usage = self.tokens.as_ref().map_or_else(estimate, Usage::counted);
        let delta = json!({ "stop_reason": stop_reason, "stop_sequence": stop_sequence });
        events.put("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        events.put("message_stop", &json!({ "type": "message_stop" }));
    }

    fn fail(&mut self, problem: &Problem, events: &mut Events) {
        let error = json!({ "type": error_type(problem.status), "message": problem.message });
        events.put("error", &json!({ "type": "error", "error": error }));
    }
}

#[derive(Serialize)]
struct Start<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct BlockStart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    content_block: Block<'a>,
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: usize,
    delta: Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

/// Tells of parts as content blocks.
struct Blocks<'a>(&'a mut Events);

impl Parts for Blocks<'_> {
    fn open(&mut self, part: Opening<'_>) {
        let start = BlockStart { kind: "content_block_start", index: part.at, content_block: Block::opening(part) };
        self.0.put("content_block_start", &start);
    }

    fn grow(&mut self, piece: Piece<'_>) {
        let delta = match piece.kind {
            Kind::Thinking => Delta::Thinking { thinking: piece.text },
            Kind::Text | Kind::Refusal => Delta::Text { text: piece.text },
            Kind::Tool => Delta::InputJson { partial_json: piece.text },
        };
        self.delta(piece.at, delta);
    }

    fn close(&mut self, at: usize, _kind: Kind) {
        self.0.put("content_block_stop", &json!({ "type": "content_block_stop", "index": at }));
    }

    fn sign(&mut self, at: usize, signature: &str) {
        self.delta(at, Delta::Signature { signature });
    }

    fn secret(&mut self, at: usize, data: &str) -> Place {
        let content_block = Block::RedactedThinking { data };
        self.0.put("content_block_start", &BlockStart { kind: "content_block_start", index: at, content_block });
        self.close(at, Kind::Thinking);
        Place::Taken
    }
}

impl Blocks<'_> {
    fn delta(&mut self, index: usize, delta: Delta<'_>) {
        self.0.put("content_block_delta", &BlockDelta { kind: "content_block_delta", index, delta });
    }
}
