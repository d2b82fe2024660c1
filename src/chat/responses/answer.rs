//! Response objects and their items.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::completion::Tokens;
use crate::chat::dialect::{Naming, Problem};
use crate::chat::parts::Kind;
use crate::chat::responses::request::Reply;
use crate::domain::prompt::estimate_tokens;

/// A response object. It says that it was not stored.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created_at: u64,
    pub(super) status: &'static str,
    pub(super) error: Option<Value>,
    pub(super) incomplete_details: Option<Value>,
    pub(super) model: &'a str,
    pub(super) output: Vec<Value>,
    pub(super) previous_response_id: Option<&'static str>,
    pub(super) store: bool,
    pub(super) background: bool,
    pub(super) truncation: &'static str,
    pub(super) usage: Option<Value>,
    #[serde(flatten)]
    pub(super) reply: &'a Reply,
}

/// How far a response is.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Begun,
    Completed,
    /// Ended before it was complete, for this reason.
    Incomplete(&'static str),
    Failed(Problem),
}

impl Standing {
    /// How an answer stands that ended with this reason, in OpenAI's words.
    pub(super) fn of(finish: Option<&str>) -> Self {
        match finish {
            Some("length") => Self::Incomplete("max_output_tokens"),
            Some("content_filter") => Self::Incomplete("content_filter"),
            Some(_) | None => Self::Completed,
        }
    }

    pub(super) const fn status(&self) -> &'static str {
        match self {
            Self::Begun => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(_) => "failed",
        }
    }

    /// The name of the event that says so.
    pub(super) const fn event(&self) -> &'static str {
        match self {
            Self::Begun => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Incomplete(_) => "response.incomplete",
            Self::Failed(_) => "response.failed",
        }
    }

    pub(super) fn error(&self) -> Option<Value> {
        match self {
            Self::Begun | Self::Completed | Self::Incomplete(_) => None,
            Self::Failed(problem) => Some(json!({ "code": failure_code(problem), "message": problem.message })),
        }
    }

    pub(super) fn details(&self) -> Option<Value> {
        match self {
            Self::Begun | Self::Completed | Self::Failed(_) => None,
            Self::Incomplete(reason) => Some(json!({ "reason": reason })),
        }
    }
}

/// The word that OpenAI's clients know for a failure.
pub(super) const fn failure_code(problem: &Problem) -> &'static str {
    match problem.status {
        429 => "rate_limit_exceeded",
        _ => "server_error",
    }
}

/// An item of the output.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// The item's own id.
    pub(super) id: String,
    /// The id by which its output is sent back, of a call.
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) logprobs: Vec<Box<RawValue>>,
    /// A thought as OpenAI encrypted it, sealed.
    pub(super) encrypted: Option<String>,
    /// `in_progress`, `completed` or `incomplete`.
    pub(super) status: &'static str,
}

impl Item {
    /// The item as an object.
    pub(super) fn to_json(&self) -> Value {
        let (id, status) = (&self.id, self.status);
        match self.kind {
            Kind::Thinking => {
                let mut item = json!({ "id": id, "type": "reasoning", "status": status, "summary": self.contents() });
                if let (Some(fields), Some(encrypted)) = (item.as_object_mut(), &self.encrypted) {
                    fields.insert("encrypted_content".to_owned(), Value::from(encrypted.as_str()));
                }
                item
            }
            Kind::Text | Kind::Refusal => {
                json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": self.contents() })
            }
            Kind::Tool => json!({
                "id": id, "type": "function_call", "status": status, "call_id": self.call_id, "name": self.name,
                "arguments": self.text,
            }),
        }
    }

    /// The item's only part.
    pub(super) fn part(&self) -> Value {
        match self.kind {
            Kind::Thinking => json!({ "type": "summary_text", "text": self.text }),
            Kind::Text | Kind::Tool => {
                json!({ "type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs })
            }
            Kind::Refusal => json!({ "type": "refusal", "refusal": self.text }),
        }
    }

    /// The parts so far: none before the first piece.
    fn contents(&self) -> Vec<Value> {
        if self.text.is_empty() { Vec::new() } else { vec![self.part()] }
    }
}

/// The tokens of a response: counted by the upstream, or estimated where it did not.
pub(super) fn usage(naming: &Naming, tokens: Option<&Tokens>, answer_bytes: usize) -> Value {
    let output = tokens.map_or_else(|| estimate_tokens(answer_bytes), Tokens::output);
    let input = tokens.map_or(naming.input_tokens, Tokens::input);
    json!({
        "input_tokens": input,
        "input_tokens_details": {
            "cached_tokens": tokens.map_or(0, Tokens::cache_read),
            "cache_write_tokens": tokens.map_or(0, Tokens::cache_written),
        },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": tokens.map_or(0, Tokens::reasoning) },
        "total_tokens": input.saturating_add(output),
    })
}
