//! Converse's answer as a chat completion.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::native::Stamp;
use crate::chat::native::answer::{Answer, Call, ChoiceSaid, Finish, Tokens, WireThought};
use crate::chat::usage::NotAnAnswer;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    output: Option<Output>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Output {
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Block>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    tool_use: Option<ToolUse>,
    reasoning_content: Option<Reasoning>,
    citations_content: Option<Cited>,
}

/// A text with where it comes from.
#[derive(Deserialize)]
struct Cited {
    #[serde(default)]
    content: Vec<CitedText>,
}

#[derive(Deserialize)]
struct CitedText {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    input: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    reasoning_text: Option<ReasoningText>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    #[serde(default)]
    text: String,
    signature: Option<String>,
}

/// Converse's count of tokens. Those read from and written to the cache are not among the input tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

impl From<WireUsage> for Tokens {
    fn from(usage: WireUsage) -> Self {
        let cached = usage.cache_read_input_tokens.unwrap_or(0);
        let written = usage.cache_write_input_tokens.unwrap_or(0);
        Self {
            input: usage.input_tokens.unwrap_or(0).saturating_add(cached).saturating_add(written),
            cached,
            written,
            output: usage.output_tokens.unwrap_or(0),
            reasoning: None,
        }
    }
}

/// Why an answer ended, in OpenAI's words.
pub(super) fn finish(reason: &str) -> Finish {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        // `end_turn`, `stop_sequence`, and whatever is to come.
        _ => Finish::Stop,
    }
}

/// The answer as a chat completion.
///
/// # Errors
/// When the bytes are no answer of Converse.
pub fn completion(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    if body.is_empty() {
        return Err(NotAnAnswer::Empty);
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_| NotAnAnswer::NotJson)?;
    let message = wire.output.and_then(|output| output.message).ok_or(NotAnAnswer::NoChoices)?;
    let mut said =
        ChoiceSaid { finish: finish(wire.stop_reason.as_deref().unwrap_or_default()), ..ChoiceSaid::default() };
    for block in message.content {
        add(&mut said, block);
    }
    if said.text.is_none() && said.calls.is_empty() {
        said.text = Some(String::new());
    }
    let answer = Answer {
        id: stamp.id.clone(),
        created: stamp.created,
        model: String::new(),
        choices: vec![said],
        tokens: wire.usage.map(Into::into),
    };
    Ok(answer.to_bytes())
}

fn add(said: &mut ChoiceSaid, block: Block) {
    let cited = block.citations_content.into_iter().flat_map(|cited| cited.content).map(|cited| cited.text);
    for text in block.text.into_iter().chain(cited) {
        said.text.get_or_insert_default().push_str(&text);
    }
    if let Some(ToolUse { tool_use_id, name, input }) = block.tool_use {
        let arguments = input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
        said.calls.push(Call { id: tool_use_id, name, arguments, signature: None });
    }
    let Some(Reasoning { reasoning_text, redacted_content }) = block.reasoning_content else { return };
    if let Some(ReasoningText { text, signature }) = reasoning_text {
        said.reasoning.push_str(&text);
        if let Some(signature) = signature {
            said.thinking.push(WireThought::signed(&text, &signature).to_raw());
        }
    }
    if let Some(data) = redacted_content {
        said.thinking.push(WireThought::redacted(&data).to_raw());
    }
}
