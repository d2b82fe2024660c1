//! Generated content as a chat completion.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::gemini::ErrorBody;
use crate::chat::native::Stamp;
use crate::chat::native::answer::{Answer, Call, ChoiceSaid, Finish, Tokens};
use crate::chat::usage::NotAnAnswer;

/// An answer, or a piece of one in a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    pub(super) candidates: Option<Vec<Candidate>>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    pub(super) error: Option<ErrorBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    #[serde(default)]
    pub(super) index: u32,
    pub(super) content: Option<Content>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) thought: bool,
    pub(super) function_call: Option<FunctionCall>,
    pub(super) thought_signature: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall {
    id: Option<String>,
    #[serde(default)]
    name: String,
    args: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    prompt_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
}

impl From<UsageMetadata> for Tokens {
    fn from(usage: UsageMetadata) -> Self {
        let thoughts = usage.thoughts_token_count;
        let prompt = usage.prompt_token_count.unwrap_or(0);
        Self {
            input: prompt.saturating_add(usage.tool_use_prompt_token_count.unwrap_or(0)),
            cached: usage.cached_content_token_count.unwrap_or(0),
            written: 0,
            output: usage.candidates_token_count.unwrap_or(0).saturating_add(thoughts.unwrap_or(0)),
            reasoning: thoughts,
        }
    }
}

/// Why a candidate ended, in OpenAI's words.
pub(super) fn finish(reason: &str, has_calls: bool) -> Finish {
    match reason {
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::ContentFilter,
        // `STOP`, and what has no word there, such as `OTHER` and `MALFORMED_FUNCTION_CALL`.
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

/// What stands for an answer where the prompt was blocked.
pub(super) fn blocked(reason: &str) -> String {
    format!("the provider blocked the prompt ({reason})")
}

/// A call as OpenAI's clients know it. Older models name no id, so that one is made of the answer's own, the candidate's and the call's place.
pub(super) fn call(function: FunctionCall, (answer, candidate, place): (&str, u32, usize)) -> Call {
    Call {
        id: function.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{answer}_{candidate}_{place}")),
        name: function.name,
        arguments: function.args.map_or_else(|| "{}".to_owned(), |args| args.get().to_owned()),
        signature: None,
    }
}

/// The content as a chat completion.
///
/// # Errors
/// When the bytes are no generated content.
pub fn completion(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    if body.is_empty() {
        return Err(NotAnAnswer::Empty);
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_| NotAnAnswer::NotJson)?;
    let id = wire.response_id.unwrap_or_else(|| stamp.id.clone());
    let mut choices: Vec<ChoiceSaid> =
        wire.candidates.unwrap_or_default().into_iter().map(|candidate| choice(candidate, &id)).collect();
    if choices.is_empty() {
        let reason = wire.prompt_feedback.and_then(|feedback| feedback.block_reason).ok_or(NotAnAnswer::NoChoices)?;
        let (refusal, finish) = (Some(blocked(&reason)), Finish::ContentFilter);
        choices.push(ChoiceSaid { refusal, finish, ..ChoiceSaid::default() });
    }
    let answer = Answer {
        id,
        created: stamp.created,
        model: wire.model_version.unwrap_or_default(),
        choices,
        tokens: wire.usage_metadata.map(Into::into),
        words: None,
    };
    Ok(answer.to_bytes())
}

fn choice(candidate: Candidate, id: &str) -> ChoiceSaid {
    let mut said = ChoiceSaid { index: candidate.index, ..ChoiceSaid::default() };
    for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
        if let Some(function) = part.function_call {
            let call = call(function, (id, said.index, said.calls.len()));
            said.calls.push(Call { signature: part.thought_signature, ..call });
        } else if let Some(text) = part.text {
            let into = if part.thought { &mut said.reasoning } else { said.text.get_or_insert_default() };
            into.push_str(&text);
        }
    }
    said.finish = finish(candidate.finish_reason.as_deref().unwrap_or_default(), !said.calls.is_empty());
    if said.text.is_none() && said.calls.is_empty() {
        said.text = Some(String::new());
    }
    said
}
