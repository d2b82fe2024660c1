//! Whole answers as messages.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::completion::Tokens;
use crate::chat::dialect::{Naming, read_whole};
use crate::chat::messages::request::Reply;
use crate::chat::native::thoughts::object;
use crate::chat::openai::Fields;
use crate::chat::parts::{Assembler, Kind, Opening, Parts, Piece, Place};
use crate::chat::usage::NotAnAnswer;
use crate::domain::prompt::estimate_tokens;

/// A message.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    pub(super) stop_reason: Option<&'static str>,
    pub(super) stop_sequence: Option<String>,
    pub(super) usage: Usage,
}

/// A block of a message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Box<RawValue> },
}

impl<'a> Block<'a> {
    /// A block as it opens.
    pub(super) fn opening(part: Opening<'a>) -> Self {
        match part.kind {
            Kind::Thinking => Self::Thinking { thinking: "", signature: "" },
            Kind::Text | Kind::Refusal => Self::Text { text: "" },
            Kind::Tool => Self::ToolUse { id: part.id, name: part.name, input: input("") },
        }
    }
}

/// The tokens of a message. The input does not count what the cache gave or took, unlike OpenAI's.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl Usage {
    /// What an upstream counted.
    pub(super) fn counted(tokens: &Tokens) -> Self {
        let (read, written) = (tokens.cache_read(), tokens.cache_written());
        let thinking = Some(tokens.reasoning()).filter(|thinking| *thinking > 0);
        Self {
            input_tokens: tokens.input().saturating_sub(read).saturating_sub(written),
            output_tokens: tokens.output(),
            cache_read_input_tokens: read,
            cache_creation_input_tokens: written,
            output_tokens_details: thinking.map(|thinking_tokens| OutputDetails { thinking_tokens }),
        }
    }

    /// What is likely, where no upstream counted.
    pub(super) fn estimated(naming: &Naming, answer_bytes: usize) -> Self {
        Self {
            input_tokens: naming.input_tokens,
            output_tokens: estimate_tokens(answer_bytes),
            cache_read_input_tokens: 0,
            cache_creation_input_tokens: 0,
            output_tokens_details: None,
        }
    }
}

/// How an answer ended, in OpenAI's words.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    pub(super) finish: Option<String>,
    pub(super) stop: Option<String>,
    pub(super) calls: usize,
    pub(super) is_refused: bool,
}

impl Ending {
    /// The stop reason, and the stop sequence where the upstream named one that the caller gave.
    pub(super) fn reason(&self, reply: &Reply) -> (&'static str, Option<String>) {
        let stop = self.stop.clone().filter(|stop| reply.stop_sequences.contains(stop));
        let reason = match self.finish.as_deref() {
            Some("length") => "max_tokens",
            Some("content_filter") => "refusal",
            Some("tool_calls" | "function_call") => "tool_use",
            Some(_) | None if self.calls > 0 => "tool_use",
            Some(_) | None if self.is_refused => "refusal",
            Some(_) | None if stop.is_some() => "stop_sequence",
            Some(_) | None => "end_turn",
        };
        (reason, stop)
    }
}

/// Translates a whole answer.
pub(super) fn whole(naming: &Naming, reply: &Reply, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
    let answer = read_whole(completion)?;
    if let Some(words) = &answer.words {
        return named(words, naming, answer.model.as_deref().unwrap_or_default()).ok_or(NotAnAnswer::NotJson);
    }
    let (model, tokens) = (answer.model.clone().unwrap_or_default(), answer.usage);
    let mut choice = answer.into_choice().ok_or(NotAnAnswer::NoChoices)?;
    let mut assembler = Assembler::new(naming.key.clone());
    let mut blocks = Blocks::default();
    assembler.feed(&choice.said(), &mut blocks);
    assembler.finish(&mut blocks);
    let ending = Ending {
        finish: choice.finish_reason.take(),
        stop: choice.stop_reason.take(),
        calls: assembler.calls(),
        is_refused: blocks.0.iter().any(|block| block.kind == Kind::Refusal),
    };
    let (stop_reason, stop_sequence) = ending.reason(reply);
    let estimate = || Usage::estimated(naming, assembler.bytes());
    let message = Message {
        id: format!("msg_{}", naming.key),
        kind: "message",
        role: "assistant",
        model: &model,
        content: blocks.0.iter().map(Gathered::block).collect(),
        stop_reason: Some(stop_reason),
        stop_sequence,
        usage: tokens.as_ref().map_or_else(estimate, Usage::counted),
    };
    serde_json::to_vec(&message).map_err(|_| NotAnAnswer::NotJson)
}

/// A message in its provider's words, under the names that the caller knows: ours of the answer, and the public one of the model. `None`
/// for what is no object.
pub(super) fn named(message: &RawValue, naming: &Naming, model: &str) -> Option<Vec<u8>> {
    let Fields(fields) = serde_json::from_str(message.get()).ok()?;
    let (id, model) = (Value::from(format!("msg_{}", naming.key)).to_string(), Value::from(model).to_string());
    let told = fields.iter().map(|(name, raw)| match name.as_str() {
        "id" => ("id", id.as_str()),
        "model" => ("model", model.as_str()),
        other => (other, raw.get()),
    });
    Some(object(told))
}

/// Gathers parts into whole blocks.
#[derive(Default)]
struct Blocks(Vec<Gathered>);

struct Gathered {
    kind: Kind,
    id: String,
    name: String,
    text: String,
    proof: ProvenBy,
}

/// What proves a thought.
#[derive(Default)]
enum ProvenBy {
    #[default]
    Nothing,
    Signature(String),
    /// The text is the encrypted thought.
    Secrecy,
}

impl Gathered {
    fn block(&self) -> Block<'_> {
        match self.kind {
            Kind::Thinking => match &self.proof {
                ProvenBy::Nothing => Block::Thinking { thinking: &self.text, signature: "" },
                ProvenBy::Signature(signature) => Block::Thinking { thinking: &self.text, signature },
                ProvenBy::Secrecy => Block::RedactedThinking { data: &self.text },
            },
            Kind::Text | Kind::Refusal => Block::Text { text: &self.text },
            Kind::Tool => Block::ToolUse { id: &self.id, name: &self.name, input: input(&self.text) },
        }
    }
}

impl Parts for Blocks {
    fn open(&mut self, part: Opening<'_>) {
        let (id, name) = (part.id.to_owned(), part.name.to_owned());
        self.0.push(Gathered { kind: part.kind, id, name, text: String::new(), proof: ProvenBy::Nothing });
    }

    fn grow(&mut self, piece: Piece<'_>) {
        if let Some(block) = self.0.get_mut(piece.at) {
            block.text.push_str(piece.text);
        }
    }

    fn close(&mut self, _at: usize, _kind: Kind) {}

    fn sign(&mut self, at: usize, signature: &str) {
        if let Some(block) = self.0.get_mut(at) {
            block.proof = ProvenBy::Signature(signature.to_owned());
        }
    }

    fn secret(&mut self, _at: usize, data: &str) -> Place {
        let (kind, text, proof) = (Kind::Thinking, data.to_owned(), ProvenBy::Secrecy);
        self.0.push(Gathered { kind, id: String::new(), name: String::new(), text, proof });
        Place::Taken
    }
}

/// Arguments as the object that Anthropic's clients expect. What a model wrote that is no object is kept in a field of the name that
/// Anthropic recommends for it.
fn input(arguments: &str) -> Box<RawValue> {
    let is_object = arguments.trim_start().starts_with('{');
    let given = RawValue::from_string(arguments.trim().to_owned()).ok().filter(|_| is_object);
    given.unwrap_or_else(|| {
        let text = if arguments.trim().is_empty() {
            "{}".to_owned()
        } else {
            Value::from_iter([("INVALID_JSON", arguments)]).to_string()
        };
        RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}
