//! Tools, calls of them, and which must be called.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::signed_id;

/// A call that the model made before.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToolCall {
    Function {
        id: String,
        function: Called,
        /// Gemini's signature. Only translations read it.
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<ExtraContent>,
    },
}

/// Where Google's own compatible endpoint puts the signature of a thought.
#[derive(Debug, Serialize)]
pub(crate) struct ExtraContent {
    google: GoogleContent,
}

#[derive(Debug, Serialize)]
struct GoogleContent {
    thought_signature: String,
}

impl ToolCall {
    /// A call of a function, whose id may carry a signature.
    pub(crate) fn new(id: &str, function: Called) -> Self {
        let (id, signature) = signed_id::split(id);
        Self::signed(id.to_owned(), function, signature)
    }

    /// The same with the signature beside it, as Gemini's own clients send it.
    pub(crate) fn signed(id: String, function: Called, signature: Option<String>) -> Self {
        let extra_content =
            signature.map(|thought_signature| ExtraContent { google: GoogleContent { thought_signature } });
        Self::Function { id, function, extra_content }
    }

    pub(super) const fn is_signed(&self) -> bool {
        let Self::Function { id: _, function: _, extra_content } = self;
        extra_content.is_some()
    }

    pub(super) fn unsigned(self) -> Self {
        let Self::Function { id, function, extra_content: _ } = self;
        Self::Function { id, function, extra_content: None }
    }
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
    Function {
        function: Function<'a>,
        /// As [`super::Marked::cache_control`].
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
}

impl Tool<'_> {
    pub(crate) fn name(&self) -> &str {
        let Self::Function { function, cache_control: _ } = self;
        &function.name
    }

    pub(super) const fn is_marked(&self) -> bool {
        let Self::Function { function: _, cache_control } = self;
        cache_control.is_some()
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
