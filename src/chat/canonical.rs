//! The canonical request as other dialects write it: a chat completions body. What nobody here acts on, such as JSON schemas and
//! sampling settings, stays the client's bytes.

mod tools;

use std::collections::BTreeMap;

use serde::Serialize;

use serde_json::value::{RawValue, to_raw_value};

use crate::chat::error::ChatError;
use crate::chat::openai::{ChatRequest, thinker};
use crate::domain::ids::AccountId;

pub(crate) use tools::{Called, Function, Tool, ToolCall, ToolChoice};

/// A chat completions request being written.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Canonical<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    pub(crate) messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_effort: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
    /// Fields that mean the same in both dialects, as sent, by the name they have here.
    #[serde(flatten)]
    pub(crate) same: BTreeMap<&'static str, &'a RawValue>,
}

/// What is asked of a stream.
#[derive(Debug, Serialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
}

/// One message.
#[derive(Debug, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum Message {
    System {
        content: Content,
    },
    User {
        content: Content,
    },
    Assistant {
        content: Option<Content>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
        /// Its thoughts as the provider gave them. Only translations read them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        thinking_blocks: Vec<Box<RawValue>>,
        /// Its thoughts in words. Only servers that want them read it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning_content: Option<String>,
    },
    Tool {
        tool_call_id: String,
        content: String,
        /// As [`Marked::cache_control`].
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
}

/// Anthropic's word that a prompt should be cached up to here, as sent.
pub(crate) type Mark = Box<RawValue>;

/// What is said: a text, or parts.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Marked>),
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        parts.into_iter().map(Marked::from).collect::<Vec<_>>().into()
    }
}

impl From<Vec<Marked>> for Content {
    /// A single text needs no list, which the smallest servers understand best.
    fn from(mut parts: Vec<Marked>) -> Self {
        match (parts.pop(), parts.is_empty()) {
            (Some(Marked { part: Part::Text { text }, cache_control: None }), true) => Self::Text(text),
            (last, _) => {
                parts.extend(last);
                Self::Parts(parts)
            }
        }
    }
}

/// A part, and whether everything up to it should be cached. Only translations read the mark.
#[derive(Debug, Serialize)]
pub(crate) struct Marked {
    #[serde(flatten)]
    pub(crate) part: Part,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<Mark>,
}

impl From<Part> for Marked {
    fn from(part: Part) -> Self {
        Self { part, cache_control: None }
    }
}

/// A part of what is said.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Part {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
    File { file: File },
    InputAudio { input_audio: Audio },
}

/// Where an image is; `data:` with the image itself where it was sent along.
#[derive(Debug, Serialize)]
pub(crate) struct ImageUrl {
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// A file that was sent along, or that the provider has.
#[derive(Debug, Default, Serialize)]
pub(crate) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_id: Option<String>,
}

/// Sound that was sent along.
#[derive(Debug, Serialize)]
pub(crate) struct Audio {
    pub(crate) data: String,
    pub(crate) format: &'static str,
}

/// What shape the answer must have.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ResponseFormat<'a> {
    Text,
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

/// A schema with its name.
#[derive(Debug, Serialize)]
pub(crate) struct JsonSchema<'a> {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
    pub(crate) schema: &'a RawValue,
}

impl Canonical<'_> {
    /// Asks for a stream, with its usage, since every other dialect ends a stream in it.
    pub(crate) fn streaming(mut self, stream: Option<bool>) -> Self {
        self.stream = stream;
        self.stream_options = (stream == Some(true)).then_some(StreamOptions { include_usage: true });
        self
    }

    /// The request as the line reads it.
    ///
    /// # Errors
    /// What [`ChatRequest::from_text`] finds, such as an unknown option of `trimtab`.
    pub(crate) fn into_chat(mut self) -> Result<ChatRequest, ChatError> {
        // OpenAI refuses to hear about a choice among no tools. Whoever demands a call is told so.
        if self.tools.is_empty() {
            self.parallel_tool_calls = None;
            self.tool_choice = self.tool_choice.filter(|choice| !matches!(choice, ToolChoice::Mode("auto" | "none")));
        }
        ChatRequest::from_text(&json(&self)?)
    }

    /// The same, where the request holds marks, thoughts and fields (`apart`) that no server of OpenAI's dialect knows: those are kept
    /// aside for translations to providers that do.
    ///
    /// # Errors
    /// As [`Canonical::into_chat`].
    pub(crate) fn into_chat_with(mut self, apart: &[(&'static str, &RawValue)]) -> Result<ChatRequest, ChatError> {
        let mut aside: Vec<(String, Box<RawValue>)> =
            apart.iter().map(|(name, raw)| ((*name).to_owned(), (*raw).to_owned())).collect();
        let thinkers: Vec<AccountId> =
            self.messages.iter().flat_map(Message::thoughts).flat_map(|thought| thinker(thought)).collect();
        if self.messages.iter().any(Message::is_rich) {
            aside.push(("messages".to_owned(), raw(&self.messages)?));
            self.messages = self.messages.into_iter().map(Message::plain).collect();
        }
        if self.tools.iter().any(Tool::is_marked) {
            aside.push(("tools".to_owned(), raw(&self.tools)?));
            for Tool::Function { function: _, cache_control } in &mut self.tools {
                *cache_control = None;
            }
        }
        let mut chat = self.into_chat()?.with_aside(aside);
        chat.prompt.shape.thinkers.extend(thinkers);
        Ok(chat)
    }
}

fn json(value: &impl Serialize) -> Result<String, ChatError> {
    serde_json::to_string(value).map_err(|error| ChatError::NotJson { problem: error.to_string() })
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, ChatError> {
    to_raw_value(value).map_err(|error| ChatError::NotJson { problem: error.to_string() })
}

impl Message {
    /// Its thoughts as the provider gave them.
    fn thoughts(&self) -> &[Box<RawValue>] {
        match self {
            Self::Assistant { thinking_blocks, .. } => thinking_blocks,
            Self::System { .. } | Self::User { .. } | Self::Tool { .. } => &[],
        }
    }

    /// Whether it holds what only translations read.
    fn is_rich(&self) -> bool {
        match self {
            Self::System { content } | Self::User { content } => content.is_marked(),
            Self::Assistant { content, thinking_blocks, reasoning_content, refusal: _, tool_calls } => {
                let has_thoughts = !thinking_blocks.is_empty() || reasoning_content.is_some();
                let is_signed = tool_calls.iter().any(ToolCall::is_signed);
                has_thoughts || is_signed || content.as_ref().is_some_and(Content::is_marked)
            }
            Self::Tool { cache_control, .. } => cache_control.is_some(),
        }
    }

    /// The message in words that every server knows.
    fn plain(self) -> Self {
        match self {
            Self::System { content } => Self::System { content: content.joined() },
            Self::User { content } => Self::User { content: content.unmarked() },
            Self::Assistant { content, refusal, tool_calls, thinking_blocks: _, reasoning_content: _ } => {
                Self::Assistant {
                    content: content.map(Content::joined),
                    refusal,
                    tool_calls: tool_calls.into_iter().map(ToolCall::unsigned).collect(),
                    thinking_blocks: Vec::new(),
                    reasoning_content: None,
                }
            }
            Self::Tool { tool_call_id, content, cache_control: _ } => {
                Self::Tool { tool_call_id, content, cache_control: None }
            }
        }
    }
}

impl Content {
    /// Texts as they are where one of them is marked, else as one.
    pub(crate) fn texts(parts: Vec<Marked>) -> Self {
        let content = Self::Parts(parts);
        if content.is_marked() { content } else { content.joined() }
    }

    fn is_marked(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Parts(parts) => parts.iter().any(|part| part.cache_control.is_some()),
        }
    }

    fn unmarked(self) -> Self {
        match self {
            Self::Text(_) => self,
            Self::Parts(parts) => parts.into_iter().map(|marked| marked.part).collect::<Vec<_>>().into(),
        }
    }

    /// The texts as one.
    fn joined(self) -> Self {
        Self::Text(self.into_text())
    }

    /// The texts, joined by line breaks.
    pub(crate) fn into_text(self) -> String {
        let parts = match self {
            Self::Text(text) => return text,
            Self::Parts(parts) => parts,
        };
        let texts = parts.into_iter().filter_map(|marked| match marked.part {
            Part::Text { text } => Some(text),
            Part::ImageUrl { .. } | Part::File { .. } | Part::InputAudio { .. } => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Parts(parts) => parts.is_empty(),
        }
    }
}
