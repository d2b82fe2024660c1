//! Answers in another dialect: canonical bytes in, the dialect's bytes out.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_json::Value;

use crate::chat::completion::Completion;
use crate::chat::sse::{SseDecoder, SseEvent};
use crate::chat::usage::NotAnAnswer;

/// The most bytes of one canonical event. The relay has bounded events long before; this is a second net.
const MOST_EVENT_BYTES: usize = 64 << 20;

/// The most bytes of a streamed answer, as many as a whole one may have. Beyond it the stream ends in an error: some dialects repeat
/// everything in the last event, and so must hold it.
const MOST_ANSWER_BYTES: usize = 64 << 20;

/// How an answer is called, and what is known of it before it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// What makes its ids unique: letters and digits.
    pub key: String,
    /// When it began, in seconds since 1970.
    pub created: u64,
    /// About how many input tokens it has; what is told until the upstream has counted.
    pub input_tokens: u64,
}

/// Writes one answer of a dialect, whole or as a stream.
pub trait Dialect {
    /// Sent now and then while a stream is silent, so that nobody on the way hangs up. A whole event or comment.
    fn sign_of_life(&self) -> &'static [u8];

    /// Translates a whole answer.
    ///
    /// # Errors
    /// Bytes that are not a chat completion.
    fn whole(self, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer>;

    /// Writes what a chunk adds. Data that is no chunk is a failure of the upstream, which is told.
    fn chunk(&mut self, data: &[u8], events: &mut Events) -> Result<(), Problem>;

    /// Ends a stream well.
    fn end(&mut self, events: &mut Events);

    /// Ends a stream that broke.
    fn fail(&mut self, problem: &Problem, events: &mut Events);
}

/// Tells whole answers in one dialect, whenever they come.
#[derive(Clone)]
pub struct Teller(Arc<Tell>);

type Tell = dyn Fn(Naming, &[u8]) -> Result<Vec<u8>, NotAnAnswer> + Send + Sync;

impl Teller {
    /// A teller by what makes the writer of an answer, which is copied when there is one to tell and not before.
    #[must_use]
    pub fn new<D: Dialect, W>(writer: Arc<W>) -> Self
    where
        W: FnOnce(Naming) -> D + Clone + Send + Sync + 'static,
    {
        Self(Arc::new(move |naming, completion| W::clone(&writer)(naming).whole(completion)))
    }

    /// Translates a whole answer.
    ///
    /// # Errors
    /// As [`Dialect::whole`].
    pub fn tell(&self, naming: Naming, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
        (self.0)(naming, completion)
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

/// Why a stream broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In words.
    pub message: String,
    /// The word of the canonical error, such as `upstream_cut`.
    pub code: Option<String>,
    /// The HTTP status that it corresponds to.
    pub status: u16,
}

impl Problem {
    /// What an upstream sent that is no part of an answer.
    #[must_use]
    pub fn garbage() -> Self {
        Self {
            message: "the answer was cut short: the upstream sent something that is no part of an answer".to_owned(),
            code: Some("upstream_garbage".to_owned()),
            status: 502,
        }
    }

    /// More than any answer has.
    #[must_use]
    pub fn too_long() -> Self {
        Self {
            message: format!("the answer was cut short: it is longer than {MOST_ANSWER_BYTES} bytes"),
            code: Some("upstream_garbage".to_owned()),
            status: 502,
        }
    }

    /// A stream that ended before the answer did.
    #[must_use]
    pub fn cut() -> Self {
        Self {
            message: "the answer was cut short: the stream ended before the answer did".to_owned(),
            code: Some("upstream_cut".to_owned()),
            status: 502,
        }
    }

    /// Reads the `error` of a canonical error event.
    #[must_use]
    pub fn reported(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = text("code");
        let given = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let by_word = match (code.as_deref(), error.get("type").and_then(Value::as_str)) {
            (Some("upstream_idle" | "upstream_slow" | "deadline_exceeded"), _) | (_, Some("timeout_error")) => 504,
            (Some("rate_limit_exceeded"), _) | (_, Some("rate_limit_error")) => 429,
            (_, Some("overloaded_error")) => 529,
            (_, Some("invalid_request_error")) => 400,
            (_, _) => 502,
        };
        let status = given.filter(|status| (400..600).contains(status)).unwrap_or(by_word);
        let message = text("message").unwrap_or_else(|| "the upstream failed in the middle of its answer".to_owned());
        Self { message, code, status }
    }
}

/// Named server-sent events being written, or going nowhere.
#[derive(Debug)]
pub struct Events(Option<BytesMut>);

impl Default for Events {
    fn default() -> Self {
        Self(Some(BytesMut::new()))
    }
}

impl Events {
    /// Events that nobody reads, so that none is written.
    pub(crate) const fn nowhere() -> Self {
        Self(None)
    }

    /// Whether somebody reads them.
    pub(crate) const fn are_read(&self) -> bool {
        self.0.is_some()
    }

    /// Adds an event. Data that cannot be written as JSON, which no data of ours is, is left out.
    pub(crate) fn put(&mut self, name: &str, data: &impl Serialize) {
        if let (true, Ok(data)) = (self.are_read(), serde_json::to_vec(data)) {
            self.put_data(name, &data);
        }
    }

    /// Adds an event of data that is JSON already. Line breaks, which mean nothing between the parts of JSON, become spaces, and the name
    /// has none.
    pub(crate) fn put_data(&mut self, name: &str, data: &[u8]) {
        let Some(events) = &mut self.0 else { return };
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        events.extend_from_slice(b"event: ");
        events.extend(name.bytes().filter(|byte| !is_break(byte)));
        events.extend_from_slice(b"\ndata: ");
        let start = events.len();
        events.extend_from_slice(data);
        for byte in events.iter_mut().skip(start).filter(|byte| is_break(byte)) {
            *byte = b' ';
        }
        events.extend_from_slice(b"\n\n");
    }

    /// Adds bytes that are whole events already.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        if let Some(events) = &mut self.0 {
            events.extend_from_slice(bytes);
        }
    }

    /// Takes what was written.
    pub fn take(&mut self) -> Bytes {
        self.0.as_mut().map(|events| events.split().freeze()).unwrap_or_default()
    }
}

/// Translates a canonical stream, however its bytes are cut. Holds at most one event.
#[derive(Debug)]
pub struct StreamTranslator<D> {
    decoder: SseDecoder,
    dialect: D,
    events: Events,
    standing: Standing,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Ended,
    Broken,
}

impl<D: Dialect> StreamTranslator<D> {
    /// A translator into this dialect.
    #[must_use]
    pub fn new(dialect: D) -> Self {
        Self {
            decoder: SseDecoder::new(MOST_EVENT_BYTES),
            dialect,
            events: Events::default(),
            standing: Standing::Open,
        }
    }

    /// Takes the next bytes and gives what they mean; nothing while an event is not whole, and nothing after the end.
    pub fn push(&mut self, bytes: Bytes) -> Bytes {
        if !self.is_over() {
            self.decoder.push(bytes);
        }
        while !self.is_over() {
            match self.decoder.next_event() {
                Ok(Some(event)) => self.event(&event),
                Ok(None) => break,
                Err(_) => self.fail(&Problem::garbage()),
            }
        }
        self.events.take()
    }

    /// The canonical stream has ended: what is left to say. A stream that did not say its end was cut.
    pub fn finish(&mut self) -> Bytes {
        if !self.is_over() {
            self.fail(&Problem::cut());
        }
        self.events.take()
    }

    /// Whether the dialect's stream has said its end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self.standing {
            Standing::Open => false,
            Standing::Ended | Standing::Broken => true,
        }
    }

    /// Whether the stream has ended in an error. What comes after it is of no use to anybody.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        match self.standing {
            Standing::Open | Standing::Ended => false,
            Standing::Broken => true,
        }
    }

    fn event(&mut self, event: &SseEvent) {
        if event.data.is_empty() {
            self.events.put_bytes(self.dialect.sign_of_life());
        } else if event.data.as_ref() == b"[DONE]" {
            self.standing = Standing::Ended;
            self.dialect.end(&mut self.events);
        } else if let Err(problem) = self.dialect.chunk(&event.data, &mut self.events) {
            self.fail(&problem);
        }
    }

    fn fail(&mut self, problem: &Problem) {
        self.standing = Standing::Broken;
        self.dialect.fail(problem, &mut self.events);
    }
}

/// Reads a chunk.
pub(crate) fn read_chunk(data: &[u8]) -> Result<Completion, Problem> {
    let chunk: Completion = serde_json::from_slice(data).map_err(|_| Problem::garbage())?;
    match chunk.error.as_ref().filter(|error| !error.is_null()) {
        Some(error) => Err(Problem::reported(error)),
        None => Ok(chunk),
    }
}

/// Passes a streamed answer of so many bytes, if it is not too long.
pub(crate) fn check_length(bytes: usize) -> Result<(), Problem> {
    if bytes > MOST_ANSWER_BYTES { Err(Problem::too_long()) } else { Ok(()) }
}

/// Passes a whole answer that every dialect here can tell.
///
/// # Errors
/// What [`Dialect::whole`] would find: bytes that are not a chat completion, and one without a first choice.
pub fn translatable(completion: Bytes) -> Result<Bytes, NotAnAnswer> {
    read_whole(&completion)?.into_choice().ok_or(NotAnAnswer::NoChoices)?;
    Ok(completion)
}

/// Reads a whole answer.
pub(crate) fn read_whole(bytes: &[u8]) -> Result<Completion, NotAnAnswer> {
    if bytes.is_empty() {
        return Err(NotAnAnswer::Empty);
    }
    serde_json::from_slice(bytes).map_err(|_| NotAnAnswer::NotJson)
}

#[cfg(test)]
pub(crate) mod corpus;
