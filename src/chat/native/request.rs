//! The chat completions request, typed as far as other dialects need it. What only passes through is kept as the client's bytes, so that
//! the properties of a schema keep their order.

mod read;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::native::Untranslatable;
use crate::chat::seal::Seal;

/// A chat completions request.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The model, as the upstream knows it.
    pub model: String,
    /// The texts of system and developer messages, wherever they stood.
    pub system: Vec<Part<'a>>,
    /// All other messages in order.
    pub turns: Vec<Turn<'a>>,
    /// Whether the answer should be streamed.
    pub stream: bool,
    /// Most tokens of the answer: `max_completion_tokens`, else `max_tokens`.
    pub max_tokens: Option<u64>,
    /// Numbers that shape sampling.
    pub sampling: Sampling<'a>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// The tools that may be called. Those that `allowed_tools` leaves out are not here.
    pub tools: Vec<Tool<'a>>,
    /// Which of them must be called.
    pub choice: Choice,
    /// `Some(false)` where one call at a time is wanted.
    pub parallel: Option<bool>,
    /// The form of the answer.
    pub format: Format<'a>,
    /// How hard to think.
    pub effort: Option<Effort>,
    /// The `thinking` object that clients of Anthropic send along.
    pub thinking: Option<&'a RawValue>,
    /// Who the end user is.
    pub user: Option<String>,
    /// How many answers are wanted.
    pub n: u64,
    /// How many alternatives per token are wanted, where log probabilities are.
    pub logprobs: Option<u64>,
    /// How long the answer should be, in OpenAI's words.
    pub verbosity: Option<&'a RawValue>,
    /// Settings that both of OpenAI's dialects know by one name, as sent.
    pub same: Vec<(&'static str, &'a RawValue)>,
    /// The words of a client of Responses that the rest of this says too; absent for clients of other dialects.
    pub responses: Option<&'a RawValue>,
    /// Its words for what nothing else here says.
    pub responses_more: Option<&'a RawValue>,
    /// The words of a client of Anthropic's, all of them; absent for clients of other dialects.
    pub messages: Option<&'a RawValue>,
    /// What such a client would have of what Anthropic is still trying out, as its header says it.
    pub betas: Option<String>,
    /// What a client of Google's wants Gemini to filter.
    pub safety: Option<&'a RawValue>,
}

/// Numbers that shape sampling, as the client wrote them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling<'a> {
    /// 0 to 2.
    pub temperature: Option<&'a RawValue>,
    /// 0 to 1.
    pub top_p: Option<&'a RawValue>,
    /// Not OpenAI's, but many clients send it.
    pub top_k: Option<&'a RawValue>,
    /// A whole number.
    pub seed: Option<&'a RawValue>,
    /// -2 to 2.
    pub presence_penalty: Option<&'a RawValue>,
    /// -2 to 2.
    pub frequency_penalty: Option<&'a RawValue>,
}

/// One message.
#[derive(Debug)]
pub enum Turn<'a> {
    /// From the user.
    User(Vec<Part<'a>>),
    /// From the model.
    Assistant(Said<'a>),
    /// The result of a tool call.
    Tool(ToolResult<'a>),
}

/// What the model said in an earlier turn.
#[derive(Debug, Default)]
pub struct Said<'a> {
    /// Its text.
    pub parts: Vec<Part<'a>>,
    /// Its thoughts with their signatures, as [`answer`](crate::chat::native::answer) gave them to the client.
    pub thinking: Vec<Thought>,
    /// Its thoughts as OpenAI's Responses encrypted them.
    pub sealed: Vec<Seal>,
    /// The tools it called.
    pub calls: Vec<Called<'a>>,
}

/// A thought of an earlier turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thought {
    /// In words, with the signature that proves them.
    Signed {
        /// The words.
        text: String,
        /// The signature.
        signature: String,
    },
    /// Encrypted by the provider.
    Redacted {
        /// The provider's bytes in base64.
        data: String,
    },
}

/// A tool call of an earlier turn.
#[derive(Debug)]
pub struct Called<'a> {
    /// Its id, of letters, digits, `_` and `-`.
    pub id: Cow<'a, str>,
    /// The tool.
    pub name: Cow<'a, str>,
    /// What it was called with: a JSON object.
    pub arguments: Box<RawValue>,
    /// Gemini's signature of the thought behind the call.
    pub signature: Option<String>,
}

/// The result of a tool call.
#[derive(Debug)]
pub struct ToolResult<'a> {
    /// The call that it answers.
    pub id: Cow<'a, str>,
    /// The result.
    pub parts: Vec<Part<'a>>,
}

/// A piece of a message.
#[derive(Debug)]
pub struct Part<'a> {
    /// Where it stands, for errors.
    pub path: String,
    /// What it is.
    pub content: Content<'a>,
    /// How closely to look at a picture, in OpenAI's words.
    pub detail: Option<Cow<'a, str>>,
    /// Whether everything up to here should be cached, as clients of Anthropic mark it.
    pub cache: Option<&'a RawValue>,
}

/// What a piece of a message is.
#[derive(Debug)]
pub enum Content<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A picture.
    Image(Source<'a>),
    /// A document, with its name.
    File(Source<'a>, Option<Cow<'a, str>>),
    /// A document that OpenAI keeps, by its id.
    Kept(Cow<'a, str>),
    /// Sound.
    Audio(Source<'a>),
}

/// Where the bytes of a picture, a document or a sound are.
#[derive(Debug)]
pub enum Source<'a> {
    /// In the request.
    Base64 {
        /// For example `image/png`.
        media_type: String,
        /// The bytes in base64.
        data: Cow<'a, str>,
    },
    /// Elsewhere. Trimtab never fetches it.
    Url(Cow<'a, str>),
}

/// A tool.
#[derive(Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema of its arguments.
    pub parameters: Option<&'a RawValue>,
    /// Whether arguments must follow the schema.
    pub strict: Option<bool>,
    /// As [`Part::cache`].
    pub cache: Option<&'a RawValue>,
}

/// Which tool must be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The request does not say.
    Unsaid,
    /// The model decides.
    Auto,
    /// None.
    None,
    /// Any, but one.
    Required,
    /// This one.
    Tool(String),
}

impl Choice {
    /// Whether a request that says so insists on a call. What cannot be read insists on nothing: the upstream judges it.
    #[must_use]
    pub fn is_forced(tool_choice: Option<&RawValue>, function_call: Option<&RawValue>) -> bool {
        read::choice(tool_choice, function_call).is_ok_and(|(choice, _)| choice.insists())
    }

    /// Whether a call is insisted on.
    #[must_use]
    pub const fn insists(&self) -> bool {
        match self {
            Self::Required | Self::Tool(_) => true,
            Self::Unsaid | Self::Auto | Self::None => false,
        }
    }
}

/// The form of an answer.
#[derive(Debug)]
pub enum Format<'a> {
    /// Any text.
    Text,
    /// A JSON object.
    Json,
    /// JSON of this schema.
    Schema {
        /// The name of the schema.
        name: Cow<'a, str>,
        /// What it is for.
        description: Option<Cow<'a, str>>,
        /// The schema.
        schema: &'a RawValue,
        /// Whether the answer must follow it to the letter.
        strict: Option<bool>,
    },
}

/// How hard to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Somewhat.
    Medium,
    /// Hard.
    High,
    /// Harder.
    XHigh,
    /// As hard as possible.
    Max,
}

/// Up to how many tokens of thinking an effort is low, and medium.
pub(crate) const LOW_BUDGET: u64 = 4_096;
pub(crate) const MEDIUM_BUDGET: u64 = 16_384;

impl Effort {
    /// The effort that a budget of tokens amounts to.
    #[must_use]
    pub const fn of_budget(tokens: u64) -> Self {
        if tokens <= LOW_BUDGET {
            Self::Low
        } else if tokens <= MEDIUM_BUDGET {
            Self::Medium
        } else {
            Self::High
        }
    }

    /// The tokens that Google's own translation of the words gives to thinking; others take them too.
    #[must_use]
    pub const fn budget(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1_024,
            Self::Medium => 8_192,
            Self::High | Self::XHigh | Self::Max => 24_576,
        }
    }
}

impl<'a> Asked<'a> {
    /// Reads a request that [`ChatRequest`](crate::chat::openai::ChatRequest) has written for an upstream.
    ///
    /// # Errors
    /// Fields that are not what chat completions have there.
    pub fn read(body: &'a [u8]) -> Result<Self, Untranslatable> {
        read::request(body)
    }

    /// Refuses what a provider cannot do at all.
    ///
    /// # Errors
    /// More than one answer.
    pub fn one_answer(&self, provider: &'static str) -> Result<(), Untranslatable> {
        if self.n <= 1 {
            return Ok(());
        }
        let problem = "it gives one answer a call; send 1, or call several times";
        Err(Untranslatable::Unsupported { field: "n".to_owned(), provider, problem })
    }
}

impl<'a> Part<'a> {
    /// A text and nothing else.
    #[must_use]
    pub const fn of_text(path: String, text: Cow<'a, str>) -> Self {
        Self { path, content: Content::Text(text), detail: None, cache: None }
    }

    /// The text, where it is one that is not empty.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) if !text.is_empty() => Some(text),
            Content::Text(_) | Content::Image(_) | Content::File(..) | Content::Kept(_) | Content::Audio(_) => None,
        }
    }

    /// That a provider cannot take this file, which another one keeps.
    #[must_use]
    pub fn is_kept_elsewhere(&self, provider: &'static str) -> Untranslatable {
        self.unsupported(provider, "it has none of OpenAI's files; send the file itself as `file_data`")
    }

    /// That a provider cannot take this part.
    #[must_use]
    pub fn unsupported(&self, provider: &'static str, problem: &'static str) -> Untranslatable {
        Untranslatable::Unsupported { field: self.path.clone(), provider, problem }
    }
}

#[cfg(test)]
mod tests;
