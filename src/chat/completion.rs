//! Canonical answers as other dialects read them: a chat completion, or a chunk of one. Lenient where providers differ, but not about what
//! was said: a choice that cannot be read makes the whole unreadable, so that nothing of an answer is lost without a word.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A whole chat completion, or a chunk of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Completion {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) model: Option<String>,
    choices: Option<Vec<Choice>>,
    #[serde(default, deserialize_with = "counted")]
    pub(crate) usage: Option<Tokens>,
    #[serde(default)]
    pub(crate) error: Option<Value>,
    /// Its own words, where its provider speaks the dialect in which it is told.
    #[serde(default, rename = "trimtab.words")]
    pub(crate) words: Option<Box<RawValue>>,
}

impl Completion {
    /// The first choice, which is the only one that most dialects can show.
    pub(crate) fn into_choice(self) -> Option<Choice> {
        self.choices?.into_iter().find(|choice| choice.index == 0)
    }

    /// Every choice with its place.
    pub(crate) fn into_choices(self) -> impl Iterator<Item = (u64, Choice)> {
        self.choices.into_iter().flatten().map(|choice| (choice.index, choice))
    }
}

/// One choice. A whole answer has its message, a chunk what was added to it.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    #[serde(default)]
    index: u64,
    message: Option<Said>,
    delta: Option<Said>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) finish_reason: Option<String>,
    /// The stop sequence that ended the answer, where a server such as vLLM says so.
    #[serde(default, deserialize_with = "text")]
    pub(crate) stop_reason: Option<String>,
    #[serde(default, deserialize_with = "or_none")]
    logprobs: Option<Logprobs>,
}

impl Choice {
    /// What was said. Takes it out.
    pub(crate) fn said(&mut self) -> Said {
        self.delta.take().or_else(|| self.message.take()).unwrap_or_default()
    }

    /// The log probabilities of the text's tokens. Takes them out.
    pub(crate) fn logprobs(&mut self) -> Vec<Box<RawValue>> {
        self.logprobs.take().and_then(|logprobs| logprobs.content).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
struct Logprobs {
    content: Option<Vec<Box<RawValue>>>,
}

/// What a model said, whole or a piece of it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Said {
    #[serde(default, deserialize_with = "text")]
    pub(crate) content: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) refusal: Option<String>,
    #[serde(default, deserialize_with = "text")]
    reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "text")]
    reasoning: Option<String>,
    #[serde(default)]
    pub(crate) tool_calls: Option<Vec<Call>>,
    #[serde(default, deserialize_with = "or_none")]
    thinking_blocks: Option<Vec<Thought>>,
}

/// A thought as its provider wants to see it again.
#[derive(Debug, Deserialize)]
struct Thought {
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
}

/// What proves a thought to its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof<'a> {
    /// Its words and their signature.
    Signed { text: &'a str, signature: &'a str },
    /// The thought itself, encrypted.
    Secret { data: &'a str },
}

impl Said {
    /// The thoughts that are signed or encrypted; others are told by [`Said::reasoning`] alone.
    pub(crate) fn proofs(&self) -> impl Iterator<Item = Proof<'_>> {
        self.thinking_blocks.iter().flatten().filter_map(|thought| {
            let full = |text: &&str| !text.is_empty();
            let text = thought.thinking.as_deref().unwrap_or_default();
            let signed = thought.signature.as_deref().filter(full).map(|signature| Proof::Signed { text, signature });
            signed.or_else(|| thought.data.as_deref().filter(full).map(|data| Proof::Secret { data }))
        })
    }

    /// Whether these words are those of the proofs.
    pub(crate) fn is_proven(&self, words: &str) -> bool {
        let mut rest = Some(words);
        for proof in self.proofs() {
            if let Proof::Signed { text, signature: _ } = proof {
                rest = rest.and_then(|rest| rest.strip_prefix(text));
            }
        }
        rest == Some("")
    }

    /// Reasoning, under either of the names that providers use. Some send both, with the same text.
    pub(crate) fn reasoning(&self) -> Option<&str> {
        let full = |text: &&str| !text.is_empty();
        self.reasoning_content.as_deref().filter(full).or_else(|| self.reasoning.as_deref().filter(full))
    }
}

/// A tool call, whole or a piece of it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Call {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) index: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) id: Option<String>,
    function: Option<Function>,
    #[serde(default, deserialize_with = "or_none")]
    extra_content: Option<ExtraContent>,
}

#[derive(Debug, Deserialize)]
struct ExtraContent {
    google: GoogleContent,
}

#[derive(Debug, Deserialize)]
struct GoogleContent {
    thought_signature: String,
}

impl Call {
    pub(crate) fn name(&self) -> &str {
        self.function.as_ref().and_then(|function| function.name.as_deref()).unwrap_or_default()
    }

    /// Gemini's signature of the thought behind the call.
    pub(crate) fn signature(&self) -> Option<&str> {
        let signature = &self.extra_content.as_ref()?.google.thought_signature;
        (!signature.is_empty()).then_some(signature.as_str())
    }

    pub(crate) fn arguments(&self) -> &str {
        self.function.as_ref().and_then(|function| function.arguments.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
struct Function {
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "arguments")]
    arguments: Option<String>,
}

/// The tokens of a call.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Tokens {
    #[serde(default, deserialize_with = "or_none")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "or_none")]
    completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "or_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default, deserialize_with = "or_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    #[serde(alias = "cache_creation_tokens")]
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Tokens {
    /// Every input token, cached or not.
    pub(crate) fn input(&self) -> u64 {
        self.prompt_tokens.unwrap_or(0)
    }

    /// Every output token, reasoning included.
    pub(crate) fn output(&self) -> u64 {
        self.completion_tokens.unwrap_or(0)
    }

    /// The part of the input that came from the provider's prompt cache.
    pub(crate) fn cache_read(&self) -> u64 {
        self.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0)
    }

    /// The part of the input that was written into the provider's prompt cache.
    pub(crate) fn cache_written(&self) -> u64 {
        self.prompt_tokens_details.and_then(|details| details.cache_write_tokens).unwrap_or(0)
    }

    /// The part of the output that was reasoning.
    pub(crate) fn reasoning(&self) -> u64 {
        self.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0)
    }
}

/// A text, or the texts in a list of parts. Anything else counts as none.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    })
}

/// Arguments in a text, or as the object itself, as some servers send them.
fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = <Box<RawValue>>::deserialize(deserializer)?;
    Ok(match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).ok(),
        Some(b'{') => Some(raw.get().to_owned()),
        Some(_) | None => None,
    })
}

/// Tokens of which at least one side was counted. An empty object is no count: it must not stand for zero, nor for an earlier count.
fn counted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tokens>, D::Error> {
    let tokens: Option<Tokens> = or_none(deserializer)?;
    Ok(tokens.filter(|tokens| tokens.prompt_tokens.is_some() || tokens.completion_tokens.is_some()))
}

/// A value that is strange is no reason to lose an answer.
fn or_none<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let raw = <Box<RawValue>>::deserialize(deserializer)?;
    // A null is no error, which would take longer to make than all else of a chunk to read.
    Ok(serde_json::from_str::<Option<T>>(raw.get()).ok().flatten())
}
