//! A chat completions request as a request to converse.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::anthropic::claude::{self, Thinking};
use crate::chat::bedrock::tools::{ToolConfig, tool_config};
use crate::chat::bedrock::{Maker, PROVIDER};
use crate::chat::native::request::{Asked, Content, Format, Part, Said, Sampling, Source, Thought, ToolResult, Turn};
use crate::chat::native::{Untranslatable, to_bytes};

/// What stands for the result of a tool that said nothing; a text of nothing but spaces is refused.
const NOTHING: &str = "(empty)";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<ModelFields<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// A block of a message: an object with the one field that its kind has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Block<'a> {
    Text(&'a str),
    Image(Media<'a>),
    Document(Media<'a>),
    ReasoningContent(Reasoning<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<Self>,
    },
    CachePoint(CachePoint),
}

#[derive(Serialize)]
struct Media<'a> {
    format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: MediaSource<'a>,
}

#[derive(Serialize)]
struct MediaSource<'a> {
    bytes: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Reasoning<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
pub(super) struct CachePoint {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    text_format: TextFormat<'a>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

/// The schema is JSON as text here.
#[derive(Serialize)]
struct JsonSchema<'a> {
    schema: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

/// What Converse passes on to the model as it is.
#[derive(Serialize)]
struct ModelFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Effortful>,
}

#[derive(Serialize)]
struct Effortful {
    effort: &'static str,
}

/// The request in Converse's words. The model and whether to stream are said by the path.
///
/// # Errors
/// What Converse cannot do at all: more than one answer, sound, and pictures or documents that are not in the request itself; and to insist
/// on the call of a tool where the model takes no such word.
pub fn request(asked: &Asked<'_>) -> Result<Bytes, Untranslatable> {
    asked.one_answer(PROVIDER)?;
    claude::may_insist(asked, PROVIDER)?;
    let maker = Maker::of(&asked.model);
    let mut system = blocks(&asked.system, maker)?;
    if matches!(asked.format, Format::Json) {
        system.push(Block::Text(claude::JSON_PLEASE));
    }
    let schema = match &asked.format {
        Format::Schema { name, description, schema, strict: _ } => {
            Some(JsonSchema { schema: schema.get(), name, description: description.as_deref() })
        }
        Format::Text | Format::Json => None,
    };
    // Thinking and `top_k` have no word in Converse; they are Anthropic's own, and go to Anthropic's models alone.
    let is_claude = maker == Maker::Anthropic;
    let thinking = if is_claude { claude::thinking(asked) } else { Thinking::default() };
    let Sampling { temperature, top_p, top_k, .. } = claude::sampling(asked, &thinking);
    let fields = ModelFields {
        top_k: top_k.filter(|_| is_claude),
        thinking: thinking.raw,
        output_config: thinking.effort.map(|effort| Effortful { effort }),
    };
    Ok(to_bytes(&Wire {
        messages: messages(&asked.turns, maker)?,
        system,
        inference_config: InferenceConfig {
            max_tokens: asked.max_tokens,
            temperature: temperature.map(claude::at_most_one),
            top_p,
            stop_sequences: claude::stops(asked),
        },
        tool_config: tool_config(asked, maker),
        output_config: schema.map(|json_schema| OutputConfig {
            text_format: TextFormat { kind: "json_schema", structure: Structure { json_schema } },
        }),
        additional_model_request_fields: (!fields.is_empty()).then_some(fields),
    }))
}

impl ModelFields<'_> {
    const fn is_empty(&self) -> bool {
        self.thinking.is_none() && self.top_k.is_none() && self.output_config.is_none()
    }
}

pub(super) const CACHE_POINT: CachePoint = CachePoint { kind: "default" };

/// The messages; as in Anthropic's dialect, neighbours of one role are one message.
fn messages<'a>(turns: &'a [Turn<'a>], maker: Maker) -> Result<Vec<Message<'a>>, Untranslatable> {
    let mut messages: Vec<Message<'a>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let (role, blocks) = match turn {
            Turn::User(parts) => ("user", blocks(parts, maker)?),
            Turn::Assistant(said) => ("assistant", assistant(said, maker)?),
            Turn::Tool(result) => ("user", tool_result(result, maker)?),
        };
        match messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            Some(_) | None => messages.push(Message { role, content: blocks }),
        }
    }
    messages.retain(|message| !message.content.is_empty());
    Ok(messages)
}

fn assistant<'a>(said: &'a Said<'a>, maker: Maker) -> Result<Vec<Block<'a>>, Untranslatable> {
    let thoughts = said.thinking.iter().filter(|_| maker == Maker::Anthropic).map(|thought| {
        Block::ReasoningContent(match thought {
            Thought::Signed { text, signature } => Reasoning::ReasoningText { text, signature },
            Thought::Redacted { data } => Reasoning::RedactedContent(data),
        })
    });
    let calls = said.calls.iter().map(|call| Block::ToolUse {
        tool_use_id: &call.id,
        name: &call.name,
        input: &call.arguments,
    });
    Ok(thoughts.chain(blocks(&said.parts, maker)?).chain(calls).collect())
}

fn tool_result<'a>(result: &'a ToolResult<'a>, maker: Maker) -> Result<Vec<Block<'a>>, Untranslatable> {
    let (points, mut content): (Vec<_>, Vec<_>) =
        blocks(&result.parts, maker)?.into_iter().partition(|block| matches!(block, Block::CachePoint(_)));
    if content.is_empty() {
        content.push(Block::Text(NOTHING));
    }
    let result = Block::ToolResult { tool_use_id: &result.id, content };
    Ok([result].into_iter().chain(points).collect())
}

fn blocks<'a>(parts: &'a [Part<'a>], maker: Maker) -> Result<Vec<Block<'a>>, Untranslatable> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        match &part.content {
            // A text of nothing but spaces is refused.
            Content::Text(text) if text.trim().is_empty() => {}
            Content::Text(text) => blocks.push(Block::Text(text)),
            Content::Image(source) => blocks.push(Block::Image(image(part, source)?)),
            Content::File(source, name) => blocks.push(Block::Document(document(part, (source, name.as_deref()))?)),
            Content::Kept(_) => return Err(part.is_kept_elsewhere(PROVIDER)),
            Content::Audio(_) => {
                return Err(part.unsupported(PROVIDER, "it does not hear sound; send a transcript as text"));
            }
        }
        // A point stands behind something.
        if part.cache.is_some() && maker != Maker::Other && !blocks.is_empty() {
            blocks.push(Block::CachePoint(CACHE_POINT));
        }
    }
    Ok(blocks)
}

fn image<'a>(part: &Part<'_>, source: &'a Source<'a>) -> Result<Media<'a>, Untranslatable> {
    let problem = "pictures must be PNG, JPEG, GIF or WebP in a data: address, since it fetches none";
    let unsupported = || part.unsupported(PROVIDER, problem);
    let Source::Base64 { media_type, data } = source else { return Err(unsupported()) };
    let format = match media_type.as_str() {
        "image/png" => "png",
        "image/jpeg" | "image/jpg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => return Err(unsupported()),
    };
    Ok(Media { format, name: None, source: MediaSource { bytes: data } })
}

fn document<'a>(part: &Part<'_>, (source, name): (&'a Source<'a>, Option<&str>)) -> Result<Media<'a>, Untranslatable> {
    let problem = "documents must be PDF, CSV, HTML, Markdown or plain text in a data: address, since it fetches none";
    let unsupported = || part.unsupported(PROVIDER, problem);
    let Source::Base64 { media_type, data } = source else { return Err(unsupported()) };
    let format = match media_type.as_str() {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/markdown" => "md",
        "text/plain" => "txt",
        _ => return Err(unsupported()),
    };
    // No two documents of a conversation may have one name, and a name must stay as the conversation grows: its place follows it.
    let place = part.path.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let place = place.collect::<Vec<_>>().join("-");
    let name = format!("{} {place}", plain_name(name.unwrap_or("document")));
    Ok(Media { format, name: Some(name), source: MediaSource { bytes: data } })
}

/// A document's name with nothing but what Converse allows: letters, digits, single spaces, hyphens, round and square brackets.
fn plain_name(name: &str) -> String {
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-()[]".contains(c) { c } else { ' ' });
    let plain: String = plain.collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() { "document".to_owned() } else { words.join(" ") }
}
