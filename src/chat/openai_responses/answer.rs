//! A response as a chat completion.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::native::Stamp;
use crate::chat::native::answer::{Answer, Call, ChoiceSaid, Finish, Tokens, WireThought};
use crate::chat::native::request::sealed;
use crate::chat::openai_responses::error_status;
use crate::chat::usage::NotAnAnswer;

/// A response, whole or as far as it is.
#[derive(Default, Deserialize)]
pub(super) struct Response {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    status: Option<String>,
    pub(super) error: Option<Failure>,
    incomplete_details: Option<Details>,
    output: Option<Vec<Item>>,
    pub(super) usage: Option<WireUsage>,
}

/// Why a response failed.
#[derive(Deserialize)]
pub(super) struct Failure {
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Details {
    reason: Option<String>,
}

/// An item of the output; which fields are there depends on its type.
#[derive(Deserialize)]
pub(super) struct Item {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) call_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
    pub(super) content: Option<Vec<Part>>,
    pub(super) summary: Option<Vec<Part>>,
    pub(super) encrypted_content: Option<String>,
}

/// A part of an item.
#[derive(Deserialize)]
pub(super) struct Part {
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
    logprobs: Option<Vec<Box<RawValue>>>,
}

/// The count of tokens. Those read from a cache are among the input tokens, as in chat completions.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl From<WireUsage> for Tokens {
    fn from(usage: WireUsage) -> Self {
        let input = usage.input_tokens_details.unwrap_or_default();
        Self {
            input: usage.input_tokens.unwrap_or(0),
            cached: input.cached_tokens.unwrap_or(0),
            written: input.cache_write_tokens.unwrap_or(0),
            output: usage.output_tokens.unwrap_or(0),
            reasoning: usage.output_tokens_details.and_then(|details| details.reasoning_tokens),
        }
    }
}

impl Response {
    /// Why the response ended, in the words of chat completions.
    pub(super) fn finish(&self, calls: usize) -> Finish {
        let is_cut = self.status.as_deref() == Some("incomplete");
        match self.incomplete_details.as_ref().and_then(|details| details.reason.as_deref()) {
            Some("content_filter") if is_cut => Finish::ContentFilter,
            // `max_output_tokens`, and whatever is to come.
            Some(_) | None if is_cut => Finish::Length,
            Some(_) | None if calls > 0 => Finish::ToolCalls,
            Some(_) | None => Finish::Stop,
        }
    }
}

impl Item {
    /// The thoughts of a reasoning item, as far as they are shown.
    pub(super) fn thoughts(&self) -> String {
        let of = |parts: &Option<Vec<Part>>| -> Vec<String> {
            parts.iter().flatten().filter_map(|part| part.text.clone()).collect()
        };
        let summary = of(&self.summary);
        if summary.is_empty() { of(&self.content).concat() } else { summary.join("\n\n") }
    }
}

/// The response as a chat completion.
///
/// # Errors
/// When the bytes are no response, and for one that says that it failed.
pub fn completion(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    if body.is_empty() {
        return Err(NotAnAnswer::Empty);
    }
    let response: Response = serde_json::from_slice(body).map_err(|_| NotAnAnswer::NotJson)?;
    let is_over = matches!(response.status.as_deref(), Some("completed" | "incomplete") | None);
    if response.error.is_some() || !is_over {
        let code = response.error.and_then(|error| error.code).unwrap_or_default();
        return Err(NotAnAnswer::Failed { status: Some(error_status(&code)) });
    }
    let mut said = ChoiceSaid::default();
    for item in response.output.as_ref().ok_or(NotAnAnswer::NoChoices)? {
        add(&mut said, item);
    }
    said.finish = response.finish(said.calls.len());
    if said.text.is_none() && said.calls.is_empty() && said.refusal.is_none() {
        said.text = Some(String::new());
    }
    let answer = Answer {
        id: response.id.unwrap_or_else(|| stamp.id.clone()),
        created: stamp.created,
        model: response.model.unwrap_or_default(),
        choices: vec![said],
        tokens: response.usage.map(Into::into),
    };
    Ok(answer.to_bytes())
}

fn add(said: &mut ChoiceSaid, item: &Item) {
    match item.kind.as_str() {
        "message" => {
            for part in item.content.iter().flatten() {
                if let Some(text) = &part.text {
                    said.text.get_or_insert_default().push_str(text);
                }
                if let Some(refusal) = &part.refusal {
                    said.refusal.get_or_insert_default().push_str(refusal);
                }
                said.logprobs.extend(part.logprobs.iter().flatten().cloned());
            }
        }
        "reasoning" => {
            let thoughts = item.thoughts();
            if let Some(seal) = &item.encrypted_content {
                said.thinking.push(WireThought::signed(&thoughts, &sealed(seal)).to_raw());
            }
            said.reasoning.push_str(&thoughts);
        }
        "function_call" => said.calls.push(Call {
            id: item.call_id.clone().unwrap_or_default(),
            name: item.name.clone().unwrap_or_default(),
            arguments: item.arguments.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "{}".to_owned()),
            signature: None,
        }),
        // Items of tools that run at OpenAI, and whatever is to come, have no place in a chat completion.
        _ => {}
    }
}
