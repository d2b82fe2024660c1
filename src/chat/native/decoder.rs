//! Bytes of any provider's stream to the events of a chat completion stream.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::chat::anthropic::stream::AnthropicStream;
use crate::chat::bedrock::frame::FrameDecoder;
use crate::chat::bedrock::stream::BedrockStream;
use crate::chat::gemini::stream::GeminiStream;
use crate::chat::native::answer::Tokens;
use crate::chat::openai_responses::stream::ResponsesStream;
use crate::chat::sse::{SseDecoder, SseError, SseEvent};
use crate::domain::money::Usage;

/// Splits a stream into the events of a chat completion stream, however its bytes were cut into chunks.
///
/// Call [`Decoder::next_event`] until it gives `None`, then push the next chunk; at the end of the stream call [`Decoder::finish`].
#[derive(Debug)]
pub enum Decoder {
    /// The provider's own stream is one: its events pass as they are.
    OpenAi(SseDecoder),
    /// Anthropic's events.
    Anthropic(Box<Translated<AnthropicStream>>),
    /// Events of OpenAI's Responses.
    Responses(Box<Translated<ResponsesStream>>),
    /// Gemini's answers.
    Gemini(Box<Translated<GeminiStream>>),
    /// Frames of AWS.
    Bedrock(Box<Framed>),
}

/// Server-sent events of another dialect.
#[derive(Debug)]
pub struct Translated<T> {
    sse: SseDecoder,
    stream: T,
    ready: VecDeque<SseEvent>,
}

/// Frames of another dialect.
#[derive(Debug)]
pub struct Framed {
    frames: FrameDecoder,
    stream: BedrockStream,
    ready: VecDeque<SseEvent>,
}

/// What translates the events of a stream one by one.
pub trait Translate {
    /// What an event is in chat completion chunks.
    ///
    /// # Errors
    /// When it is not what the provider's API has.
    fn event(&mut self, event: &SseEvent) -> Result<Vec<SseEvent>, SseError>;

    /// What is still to be said once the stream has ended.
    fn finish(&mut self) -> Vec<SseEvent>;

    /// What the provider has counted so far, where it counts before the end: all of the input, and less of the output than there is.
    fn counted(&self) -> Option<Tokens> {
        None
    }
}

impl<T: Translate> Translated<T> {
    /// Reads events of at most `limit` bytes.
    pub(crate) fn new(limit: usize, stream: T) -> Self {
        Self { sse: SseDecoder::new(limit), stream, ready: VecDeque::new() }
    }

    fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(event) = self.sse.next_event()? else { return Ok(None) };
            self.ready.extend(self.stream.event(&event)?);
        }
    }

    fn finish(mut self) -> Vec<SseEvent> {
        let mut events: Vec<SseEvent> = self.ready.into();
        // An event whose blank line never came may have been cut; then it says nothing.
        let last = self.sse.finish().and_then(|last| self.stream.event(&last).ok());
        events.extend(last.unwrap_or_default());
        events.extend(self.stream.finish());
        events
    }
}

impl Framed {
    /// Reads frames of at most `limit` bytes.
    pub(crate) fn new(limit: usize, stream: BedrockStream) -> Self {
        Self { frames: FrameDecoder::new(limit), stream, ready: VecDeque::new() }
    }

    fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.frames.next_frame()? else { return Ok(None) };
            self.ready.extend(self.stream.frame(&frame)?);
        }
    }
}

impl Decoder {
    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        match self {
            Self::OpenAi(sse) => sse.push(chunk),
            Self::Anthropic(translated) => translated.sse.push(chunk),
            Self::Responses(translated) => translated.sse.push(chunk),
            Self::Gemini(translated) => translated.sse.push(chunk),
            Self::Bedrock(framed) => framed.frames.push(&chunk),
        }
    }

    /// The next complete event, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// When an event is too large, or not what the provider's API has.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        match self {
            Self::OpenAi(sse) => sse.next_event(),
            Self::Anthropic(translated) => translated.next_event(),
            Self::Responses(translated) => translated.next_event(),
            Self::Gemini(translated) => translated.next_event(),
            Self::Bedrock(framed) => framed.next_event(),
        }
    }

    /// The tokens that the provider has counted so far, where it counts before the end: all of the input, and less of the output than there is.
    #[must_use]
    pub fn counted(&self) -> Option<Usage> {
        match self {
            Self::Anthropic(translated) => translated.stream.counted().map(Into::into),
            Self::OpenAi(_) | Self::Responses(_) | Self::Gemini(_) | Self::Bedrock(_) => None,
        }
    }

    /// What is left when the stream has ended. A last event whose blank line is missing is given if it is whole.
    #[must_use]
    pub fn finish(self) -> Vec<SseEvent> {
        match self {
            Self::OpenAi(sse) => sse.finish().filter(is_whole).into_iter().collect(),
            Self::Anthropic(translated) => translated.finish(),
            Self::Responses(translated) => translated.finish(),
            Self::Gemini(translated) => translated.finish(),
            Self::Bedrock(framed) => framed.ready.into(),
        }
    }
}

fn is_whole(event: &SseEvent) -> bool {
    event.data == "[DONE]" || serde_json::from_slice::<IgnoredAny>(&event.data).is_ok()
}
