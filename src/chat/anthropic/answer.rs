//! A message as a chat completion.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::native::Stamp;
use crate::chat::native::answer::{Answer, Call, ChoiceSaid, Finish, Tokens, WireThought};
use crate::chat::usage::NotAnAnswer;

#[derive(Deserialize)]
struct Wire {
    id: Option<String>,
    model: Option<String>,
    content: Option<Vec<Block>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    #[serde(default)]
    usage: WireUsage,
}

/// A block of an answer, or the beginning of one in a stream; which fields are there depends on its type.
#[derive(Deserialize)]
pub(super) struct Block {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) data: Option<String>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) input: Option<Box<RawValue>>,
}

/// Anthropic's count of tokens. Those read from and written to the cache are not among the input tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl WireUsage {
    /// The newer of two counts, number by number: a stream counts what it read first and what it wrote last.
    pub(crate) fn or(self, older: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.or(older.input_tokens),
            output_tokens: self.output_tokens.or(older.output_tokens),
            cache_read_input_tokens: self.cache_read_input_tokens.or(older.cache_read_input_tokens),
            cache_creation_input_tokens: self.cache_creation_input_tokens.or(older.cache_creation_input_tokens),
        }
    }

    /// The count as OpenAI has it; `None` where nothing was counted.
    pub(crate) fn tokens(self) -> Option<Tokens> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        Some(Tokens {
            input: self.input_tokens.unwrap_or(0).saturating_add(cached).saturating_add(written),
            cached,
            written,
            output: self.output_tokens.unwrap_or(0),
            reasoning: None,
        })
    }
}

/// Why an answer ended, in OpenAI's words.
pub(crate) fn finish(reason: &str) -> Finish {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        // `end_turn`, `stop_sequence`, `pause_turn`, and whatever is to come.
        _ => Finish::Stop,
    }
}

/// The message as a chat completion.
///
/// # Errors
/// When the bytes are no message.
pub fn completion(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    Ok(read(body, stamp)?.to_bytes())
}

/// The same with the message as it came beside it.
///
/// # Errors
/// As [`completion`].
pub fn with_words(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    let answer = read(body, stamp)?;
    let words = serde_json::from_slice(body).map_err(|_| NotAnAnswer::NotJson)?;
    Ok(Answer { words: Some(words), ..answer }.to_bytes())
}

fn read(body: &[u8], stamp: &Stamp) -> Result<Answer, NotAnAnswer> {
    if body.is_empty() {
        return Err(NotAnAnswer::Empty);
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|_| NotAnAnswer::NotJson)?;
    let blocks = wire.content.ok_or(NotAnAnswer::NoChoices)?;
    let mut said = ChoiceSaid {
        finish: finish(wire.stop_reason.as_deref().unwrap_or_default()),
        stop: wire.stop_sequence,
        ..ChoiceSaid::default()
    };
    for block in blocks {
        add(&mut said, block);
    }
    if said.text.is_none() && said.calls.is_empty() {
        said.text = Some(String::new());
    }
    Ok(Answer {
        id: wire.id.unwrap_or_else(|| stamp.id.clone()),
        created: stamp.created,
        model: wire.model.unwrap_or_default(),
        choices: vec![said],
        tokens: wire.usage.tokens(),
        words: None,
    })
}

/// Whether a block has a place in a chat completion. Blocks of tools that run at Anthropic, and whatever is to come, have none.
pub(super) fn is_known(kind: &str) -> bool {
    matches!(kind, "text" | "thinking" | "redacted_thinking" | "tool_use")
}

fn add(said: &mut ChoiceSaid, block: Block) {
    match block.kind.as_str() {
        "text" => said.text.get_or_insert_default().push_str(&block.text.unwrap_or_default()),
        "thinking" => {
            let (text, signature) = (block.thinking.unwrap_or_default(), block.signature.unwrap_or_default());
            said.reasoning.push_str(&text);
            said.thinking.push(WireThought::signed(&text, &signature).to_raw());
        }
        "redacted_thinking" => {
            said.thinking.push(WireThought::redacted(&block.data.unwrap_or_default()).to_raw());
        }
        "tool_use" => said.calls.push(Call {
            id: block.id.unwrap_or_default(),
            name: block.name.unwrap_or_default(),
            arguments: block.input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned()),
            signature: None,
        }),
        // What is not known.
        _ => {}
    }
}
