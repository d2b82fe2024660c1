//! Chunks of chat completions, written from the streams of other dialects.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::native::answer::{Call, Finish, Tokens, WireCall, WireFunction, WireLogprobs, WireThought, WireUsage};
use crate::chat::native::{Stamp, to_bytes};
use crate::chat::sse::SseEvent;

/// Writes the chunks of one answer, in order, as events.
#[derive(Debug)]
pub struct ChunkWriter {
    stamp: Stamp,
    model: String,
    out: Vec<SseEvent>,
    /// The tool calls by the place of their block.
    calls: BTreeMap<u32, OpenCall>,
    /// The thought that is being thought: its signature is worth nothing without its words.
    thought: String,
}

#[derive(Debug)]
struct OpenCall {
    /// Its place among the tool calls.
    place: u32,
    has_arguments: bool,
}

#[derive(Serialize)]
struct WireChunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [WireDeltaChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    #[serde(rename = "trimtab.words", skip_serializing_if = "Option::is_none")]
    words: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct WireDeltaChoice<'a> {
    index: u32,
    delta: WireDelta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<WireLogprobs<'a>>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct WireDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_blocks: Option<[WireThought<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[WireCall<'a>; 1]>,
    /// A part of the answer that has no words in chat completions.
    #[serde(rename = "trimtab.other", skip_serializing_if = "Option::is_none")]
    other: Option<bool>,
}

impl ChunkWriter {
    /// A writer for an answer. The stamp's id stands until [`ChunkWriter::name`] is told another.
    #[must_use]
    pub const fn new(stamp: Stamp) -> Self {
        Self { stamp, model: String::new(), out: Vec::new(), calls: BTreeMap::new(), thought: String::new() }
    }

    /// Names the answer and its model as the provider does.
    pub fn name(&mut self, id: Option<String>, model: Option<String>) {
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            self.stamp.id = id;
        }
        self.model = model.unwrap_or_else(|| std::mem::take(&mut self.model));
    }

    /// The id of the answer.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.stamp.id
    }

    /// What was written since this was asked the last time.
    #[must_use]
    pub fn take(&mut self) -> Vec<SseEvent> {
        std::mem::take(&mut self.out)
    }

    /// A choice begins.
    pub fn role(&mut self, index: u32) {
        self.delta(index, WireDelta { role: Some("assistant"), content: Some(""), ..WireDelta::default() });
    }

    /// A piece of text.
    pub fn text(&mut self, index: u32, text: &str) {
        self.delta(index, WireDelta { content: Some(text), ..WireDelta::default() });
    }

    /// A piece of text with the log probabilities of its tokens, where there are any.
    pub fn text_with(&mut self, index: u32, (text, logprobs): (&str, &[Box<RawValue>])) {
        let delta = WireDelta { content: Some(text), ..WireDelta::default() };
        self.choice(WireDeltaChoice {
            index,
            delta,
            logprobs: WireLogprobs::of(logprobs),
            finish_reason: None,
            stop_reason: None,
        });
    }

    /// A refusal in words.
    pub fn refusal(&mut self, index: u32, text: &str) {
        self.delta(index, WireDelta { refusal: Some(text), ..WireDelta::default() });
    }

    /// A piece of a thought.
    pub fn reasoning(&mut self, index: u32, text: &str) {
        self.delta(index, WireDelta { reasoning_content: Some(text), ..WireDelta::default() });
    }

    /// A thought as the provider wants to see it again.
    pub(crate) fn thought(&mut self, index: u32, thought: WireThought<'_>) {
        self.delta(index, WireDelta { thinking_blocks: Some([thought]), ..WireDelta::default() });
    }

    /// A tool call begins, with as much of its arguments as is known.
    pub fn call(&mut self, index: u32, (place, call): (u32, &Call)) {
        let call = WireCall::whole(call, Some(place));
        self.delta(index, WireDelta { tool_calls: Some([call]), ..WireDelta::default() });
    }

    /// A piece of the arguments of a tool call.
    pub fn arguments(&mut self, index: u32, (place, piece): (u32, &str)) {
        let function = WireFunction { name: None, arguments: piece };
        let call = WireCall { index: Some(place), function, ..WireCall::default() };
        self.delta(index, WireDelta { tool_calls: Some([call]), ..WireDelta::default() });
    }

    /// A choice ends.
    pub fn finish(&mut self, index: u32, finish: Finish) {
        self.finish_at(index, (finish, None));
    }

    /// A choice ends, at this stop sequence where the provider says so.
    pub fn finish_at(&mut self, index: u32, (finish, stop): (Finish, Option<&str>)) {
        let (delta, finish_reason) = (WireDelta::default(), Some(finish.as_str()));
        self.choice(WireDeltaChoice { index, delta, logprobs: None, finish_reason, stop_reason: stop });
    }

    /// The tokens of the whole answer.
    pub fn tokens(&mut self, tokens: Tokens) {
        self.write(&[], (Some(tokens), None));
    }

    /// An event in the provider's own words, for a client of the same dialect. What it is in chat completions is told beside it.
    pub fn words(&mut self, event: &RawValue) {
        self.write(&[], (None, Some(event)));
    }

    /// The same for a part of the answer that is nothing in chat completions.
    pub fn words_alone(&mut self, event: &RawValue) {
        let delta = WireDelta { other: Some(true), ..WireDelta::default() };
        let choice = WireDeltaChoice { index: 0, delta, logprobs: None, finish_reason: None, stop_reason: None };
        self.write(&[choice], (None, Some(event)));
    }

    /// The end of the stream.
    pub fn done(&mut self) {
        self.out.push(SseEvent::of(&Bytes::from_static(b"[DONE]")));
    }

    /// A sign of life.
    pub fn comment(&mut self) {
        self.out.push(SseEvent::comment());
    }

    /// An error that the provider reports inside the stream, with the status it amounts to.
    pub fn error(&mut self, message: &str, (kind, status): (&str, Option<u16>)) {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Error<'a>,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            message: &'a str,
            #[serde(rename = "type")]
            kind: &'a str,
            param: Option<()>,
            code: Option<u16>,
        }
        let error = Error { message, kind, param: None, code: status };
        self.out.push(SseEvent::of(&to_bytes(&Body { error })));
    }

    fn delta(&mut self, index: u32, delta: WireDelta<'_>) {
        self.choice(WireDeltaChoice { index, delta, logprobs: None, finish_reason: None, stop_reason: None });
    }

    fn choice(&mut self, choice: WireDeltaChoice<'_>) {
        self.write(&[choice], (None, None));
    }

    fn write(&mut self, choices: &[WireDeltaChoice<'_>], (tokens, words): (Option<Tokens>, Option<&RawValue>)) {
        let chunk = WireChunk {
            id: &self.stamp.id,
            object: "chat.completion.chunk",
            created: self.stamp.created,
            model: &self.model,
            choices,
            usage: tokens.map(Into::into),
            words,
        };
        let mut bytes = BytesMut::with_capacity(256).writer();
        // Writing plain data to memory cannot fail.
        drop(serde_json::to_writer(&mut bytes, &chunk));
        self.out.push(SseEvent::of(&bytes.into_inner().freeze()));
    }
}

/// Answers of one choice that come block by block.
impl ChunkWriter {
    /// A block that calls a tool begins, with as much of the arguments as is known.
    pub fn begin_call(&mut self, block: u32, call: &Call) {
        let place = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.call(0, (place, call));
        self.calls.insert(block, OpenCall { place, has_arguments: !call.arguments.is_empty() });
    }

    /// A piece of the arguments of the call in this block.
    pub fn piece(&mut self, block: u32, piece: &str) {
        let Some(call) = self.calls.get_mut(&block).filter(|_| !piece.is_empty()) else { return };
        call.has_arguments = true;
        let place = call.place;
        self.arguments(0, (place, piece));
    }

    /// A block ends. A tool that takes nothing is called without a word about its arguments, where OpenAI's clients expect an object.
    pub fn end_block(&mut self, block: u32) {
        if let Some(place) = self.calls.get(&block).filter(|call| !call.has_arguments).map(|call| call.place) {
            self.arguments(0, (place, "{}"));
        }
    }

    /// A piece of a thought, which is kept until it is signed.
    pub fn think(&mut self, text: &str) {
        if !text.is_empty() {
            self.thought.push_str(text);
            self.reasoning(0, text);
        }
    }

    /// The thought is whole, and this is its signature.
    pub fn sign(&mut self, signature: &str) {
        let thought = std::mem::take(&mut self.thought);
        self.thought(0, WireThought::signed(&thought, signature));
    }

    /// A piece of text, where there is one.
    pub fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.text(0, text);
        }
    }
}
