//! The canonical request as other dialects write it: a chat completions body. What nobody here acts on, such as JSON schemas and
//! sampling settings, stays the client's bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::error::ChatError;
use crate::chat::openai::ChatRequest;

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
        content: String,
    },
    User {
        content: Content,
    },
    Assistant {
        content: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    Tool {
        tool_call_id: String,
        content: String,
    },
}

/// What a user says.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

impl From<Vec<Part>> for Content {
    /// A single text needs no list, which the smallest servers understand best.
    fn from(mut parts: Vec<Part>) -> Self {
        match (parts.pop(), parts.is_empty()) {
            (Some(Part::Text { text }), true) => Self::Text(text),
            (last, _) => {
                parts.extend(last);
                Self::Parts(parts)
            }
        }
    }
}

/// A part of what a user says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Part {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
    File { file: File },
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

/// A call that the model made before.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToolCall {
    Function { id: String, function: Called },
}

/// The function called, its arguments as JSON in a text.
#[derive(Debug, Serialize)]
pub(crate) struct Called {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// A tool on offer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Tool<'a> {
    Function { function: Function<'a> },
}

impl Tool<'_> {
    pub(crate) fn name(&self) -> &str {
        let Self::Function { function } = self;
        &function.name
    }
}

/// A function on offer, its parameters as a JSON schema.
#[derive(Debug, Serialize)]
pub(crate) struct Function<'a> {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
}

/// Which tool the model should call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum ToolChoice {
    Mode(&'static str),
    Named(Value),
}

impl ToolChoice {
    /// This function and no other.
    pub(crate) fn function(name: &str) -> Self {
        Self::Named(serde_json::json!({ "type": "function", "function": { "name": name } }))
    }
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
    pub(crate) fn into_chat(self) -> Result<ChatRequest, ChatError> {
        let text = serde_json::to_string(&self).map_err(|error| ChatError::NotJson { problem: error.to_string() })?;
        ChatRequest::from_text(&text)
    }
}
