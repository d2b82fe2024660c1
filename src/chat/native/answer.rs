//! Chat completions, written from what other dialects say.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::native::to_bytes;
use crate::domain::money::Usage;

/// A whole answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its id.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The model, as the provider calls it.
    pub model: String,
    /// The choices in order.
    pub choices: Vec<ChoiceSaid>,
    /// The tokens, where they were counted.
    pub tokens: Option<Tokens>,
    /// The answer as the provider gave it, for a client of the same dialect.
    pub words: Option<Box<RawValue>>,
}

/// One choice of an answer.
#[derive(Debug, Default)]
pub struct ChoiceSaid {
    /// Its place.
    pub index: u32,
    /// Its text; absent where the model said none.
    pub text: Option<String>,
    /// Why the model or its provider will not answer, where they say so in words.
    pub refusal: Option<String>,
    /// Its thoughts, as far as they are shown.
    pub reasoning: String,
    /// Its thoughts as the provider wants to see them again in the next turn.
    pub thinking: Vec<Box<RawValue>>,
    /// The tools it calls.
    pub calls: Vec<Call>,
    /// The log probabilities of its text, a JSON object for each token.
    pub logprobs: Vec<Box<RawValue>>,
    /// Why it ended.
    pub finish: Finish,
    /// The stop sequence that ended it, where the provider says which.
    pub stop: Option<String>,
}

/// A tool call.
#[derive(Debug, Default)]
pub struct Call {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments, JSON as text.
    pub arguments: String,
    /// Gemini's signature of the thought behind it.
    pub signature: Option<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    #[default]
    Stop,
    /// The answer was as long as it may be.
    Length,
    /// Tools are to be called.
    ToolCalls,
    /// The model or its provider refused.
    ContentFilter,
}

impl Finish {
    /// OpenAI's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// How many tokens a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt, those read from and written to a cache included.
    pub input: u64,
    /// Of those, read from a cache.
    pub cached: u64,
    /// Of those, written to a cache.
    pub written: u64,
    /// Of the answer, thoughts included.
    pub output: u64,
    /// Of those, thoughts; where the provider counts them.
    pub reasoning: Option<u64>,
}

#[derive(Serialize)]
struct WireAnswer<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    #[serde(rename = "trimtab.words", skip_serializing_if = "Option::is_none")]
    words: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    message: WireMessage<'a>,
    logprobs: Option<WireLogprobs<'a>>,
    finish_reason: &'static str,
    /// As vLLM has it: OpenAI has no word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

/// Log probabilities of a text, or of a piece of it.
#[derive(Serialize)]
pub(super) struct WireLogprobs<'a> {
    content: &'a [Box<RawValue>],
    refusal: Option<()>,
}

impl<'a> WireLogprobs<'a> {
    /// `None` where none were given.
    pub(super) fn of(content: &'a [Box<RawValue>]) -> Option<Self> {
        (!content.is_empty()).then_some(Self { content, refusal: None })
    }
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    thinking_blocks: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
}

/// A tool call of an answer, or the beginning or a piece of one in a stream.
#[derive(Default, Serialize)]
pub(super) struct WireCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: WireFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<WireExtra<'a>>,
}

#[derive(Default, Serialize)]
pub(super) struct WireFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

#[derive(Serialize)]
pub(super) struct WireExtra<'a> {
    google: WireGoogle<'a>,
}

#[derive(Serialize)]
struct WireGoogle<'a> {
    thought_signature: &'a str,
}

#[derive(Serialize)]
pub(super) struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: WirePromptDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<WireCompletionDetails>,
}

#[derive(Serialize)]
struct WirePromptDetails {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct WireCompletionDetails {
    reasoning_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Tokens> for WireUsage {
    fn from(tokens: Tokens) -> Self {
        Self {
            prompt_tokens: tokens.input,
            completion_tokens: tokens.output,
            total_tokens: tokens.input.saturating_add(tokens.output),
            prompt_tokens_details: WirePromptDetails {
                cached_tokens: tokens.cached,
                cache_write_tokens: tokens.written,
            },
            completion_tokens_details: tokens
                .reasoning
                .map(|reasoning_tokens| WireCompletionDetails { reasoning_tokens }),
        }
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.input,
            cached_input_tokens: tokens.cached,
            cache_write_tokens: tokens.written,
            output_tokens: tokens.output,
        }
    }
}

impl<'a> WireCall<'a> {
    pub(super) fn whole(call: &'a Call, index: Option<u32>) -> Self {
        let google = call.signature.as_deref().map(|thought_signature| WireGoogle { thought_signature });
        Self {
            index,
            id: Some(&call.id),
            kind: Some("function"),
            function: WireFunction { name: Some(&call.name), arguments: &call.arguments },
            extra_content: google.map(|google| WireExtra { google }),
        }
    }
}

impl Answer {
    /// The answer as a chat completion.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let choices = self.choices.iter().map(|choice| WireChoice {
            index: choice.index,
            message: WireMessage {
                role: "assistant",
                content: choice.text.as_deref(),
                refusal: choice.refusal.as_deref(),
                reasoning_content: &choice.reasoning,
                thinking_blocks: &choice.thinking,
                tool_calls: choice.calls.iter().map(|call| WireCall::whole(call, None)).collect(),
            },
            logprobs: WireLogprobs::of(&choice.logprobs),
            finish_reason: choice.finish.as_str(),
            stop_reason: choice.stop.as_deref(),
        });
        to_bytes(&WireAnswer {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: &self.model,
            choices: choices.collect(),
            usage: self.tokens.map(Into::into),
            words: self.words.as_deref(),
        })
    }
}

/// A thought as the provider wants to see it again.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct WireThought<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a str>,
}

impl<'a> WireThought<'a> {
    /// A thought in words.
    pub(crate) const fn signed(text: &'a str, signature: &'a str) -> Self {
        Self { kind: "thinking", thinking: Some(text), signature: Some(signature), data: None }
    }

    /// An encrypted one.
    pub(crate) const fn redacted(data: &'a str) -> Self {
        Self { kind: "redacted_thinking", thinking: None, signature: None, data: Some(data) }
    }

    /// The thought as JSON.
    pub(crate) fn to_raw(&self) -> Box<RawValue> {
        serde_json::value::to_raw_value(self).unwrap_or_default()
    }
}
