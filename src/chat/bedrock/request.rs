//! A chat completions request as a request to converse.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::anthropic::request::{
    at_most_one, effort_word, is_off, lacks_thoughts, says, schema_or_none, thinks_by_budget,
};
use crate::chat::bedrock::PROVIDER;
use crate::chat::native::request::{
    Asked, Choice, Content, Effort, Format, Part, Said, Source, Thought, Tool, ToolResult, Turn,
};
use crate::chat::native::{Untranslatable, to_bytes};

/// What asks for JSON where the dialect has no word for it.
const JSON_PLEASE: &str = "Answer with one JSON object and nothing else.";
/// The least that may be thought.
const LEAST_BUDGET: u64 = 1_024;

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
struct CachePoint {
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
struct ToolConfig<'a> {
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WireTool<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct InputSchema<'a> {
    json: Cow<'a, RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolChoice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
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
/// What Converse cannot do at all: more than one answer, sound, and pictures or documents that are not in the request itself.
pub fn request(asked: &Asked<'_>) -> Result<Bytes, Untranslatable> {
    asked.one_answer(PROVIDER)?;
    let mut system = blocks(&asked.system)?;
    if matches!(asked.format, Format::Json) {
        system.push(Block::Text(JSON_PLEASE));
    }
    let schema = match &asked.format {
        Format::Schema { name, description, schema, strict: _ } => {
            Some(JsonSchema { schema: schema.get(), name, description: description.as_deref() })
        }
        Format::Text | Format::Json => None,
    };
    let fields = model_fields(asked);
    let thinks = fields.as_ref().and_then(|fields| fields.thinking.as_deref()).is_some_and(|raw| !is_off(raw));
    Ok(to_bytes(&Wire {
        messages: messages(&asked.turns)?,
        system,
        inference_config: InferenceConfig {
            max_tokens: asked.max_tokens,
            temperature: if thinks { None } else { asked.sampling.temperature.map(at_most_one) },
            top_p: if thinks { None } else { asked.sampling.top_p },
            // A stop sequence of nothing but spaces is refused.
            stop_sequences: asked.stop.iter().map(String::as_str).filter(|stop| !stop.trim().is_empty()).collect(),
        },
        tool_config: tool_config(asked),
        output_config: schema.map(|json_schema| OutputConfig {
            text_format: TextFormat { kind: "json_schema", structure: Structure { json_schema } },
        }),
        additional_model_request_fields: fields,
    }))
}

/// Thinking and `top_k` have no word in Converse; they are Anthropic's own, and go to Anthropic's models alone.
fn model_fields<'a>(asked: &Asked<'a>) -> Option<ModelFields<'a>> {
    if !asked.model.contains("anthropic") {
        return None;
    }
    let must_call = matches!(asked.choice, Choice::Required | Choice::Tool(_)) && !asked.tools.is_empty();
    let raw = |text: String| RawValue::from_string(text).ok().map(Cow::Owned);
    let (thinking, effort) = match (asked.thinking, asked.effort) {
        _ if must_call || lacks_thoughts(&asked.turns) => (None, None),
        (Some(raw), effort) => {
            let effort = effort.filter(|_| says(raw, "adaptive")).and_then(effort_word);
            (Some(Cow::Borrowed(raw)), effort.map(|effort| Effortful { effort }))
        }
        (None, None | Some(Effort::None)) => (None, None),
        (None, Some(effort)) if thinks_by_budget(&asked.model) => {
            let most = asked.max_tokens.map_or(u64::MAX, |limit| limit.saturating_sub(1));
            let budget = Some(effort.budget().min(most)).filter(|budget| *budget >= LEAST_BUDGET);
            (budget.and_then(|budget| raw(format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#))), None)
        }
        (None, Some(effort)) => {
            (raw(r#"{"type":"adaptive"}"#.to_owned()), effort_word(effort).map(|effort| Effortful { effort }))
        }
    };
    let thinks = thinking.as_deref().is_some_and(|raw| !is_off(raw));
    let top_k = asked.sampling.top_k.filter(|_| !thinks);
    let is_empty = thinking.is_none() && top_k.is_none() && effort.is_none();
    (!is_empty).then_some(ModelFields { top_k, thinking, output_config: effort })
}

fn tool_config<'a>(asked: &'a Asked<'_>) -> Option<ToolConfig<'a>> {
    let has_called = asked.turns.iter().any(|turn| match turn {
        Turn::Assistant(said) => !said.calls.is_empty(),
        Turn::User(_) | Turn::Tool(_) => false,
    });
    // Converse has no word for calling nothing; where nothing was called before, the tools can be left out instead.
    let are_forbidden = asked.choice == Choice::None && !has_called;
    if asked.tools.is_empty() || are_forbidden {
        return None;
    }
    let spec = |tool: &'a Tool<'_>| {
        let spec = WireTool::ToolSpec(ToolSpec {
            name: &tool.name,
            description: tool.description.as_deref().filter(|description| !description.is_empty()),
            input_schema: InputSchema { json: schema_or_none(tool.parameters) },
            strict: tool.strict.filter(|strict| *strict),
        });
        [Some(spec), tool.cache.map(|_| WireTool::CachePoint(CACHE_POINT))].into_iter().flatten()
    };
    let tool_choice = match &asked.choice {
        Choice::Unsaid | Choice::None => None,
        Choice::Auto => Some(ToolChoice::Auto {}),
        Choice::Required => Some(ToolChoice::Any {}),
        Choice::Tool(name) => Some(ToolChoice::Tool { name }),
    };
    Some(ToolConfig { tools: asked.tools.iter().flat_map(spec).collect(), tool_choice })
}

const CACHE_POINT: CachePoint = CachePoint { kind: "default" };

/// The messages; as in Anthropic's dialect, neighbours of one role are one message.
fn messages<'a>(turns: &'a [Turn<'a>]) -> Result<Vec<Message<'a>>, Untranslatable> {
    let mut messages: Vec<Message<'a>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let (role, blocks) = match turn {
            Turn::User(parts) => ("user", blocks(parts)?),
            Turn::Assistant(said) => ("assistant", assistant(said)?),
            Turn::Tool(result) => ("user", tool_result(result)?),
        };
        match messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            Some(_) | None => messages.push(Message { role, content: blocks }),
        }
    }
    messages.retain(|message| !message.content.is_empty());
    Ok(messages)
}

fn assistant<'a>(said: &'a Said<'a>) -> Result<Vec<Block<'a>>, Untranslatable> {
    let thoughts = said.thinking.iter().map(|thought| {
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
    Ok(thoughts.chain(blocks(&said.parts)?).chain(calls).collect())
}

fn tool_result<'a>(result: &'a ToolResult<'a>) -> Result<Vec<Block<'a>>, Untranslatable> {
    let (points, mut content): (Vec<_>, Vec<_>) =
        blocks(&result.parts)?.into_iter().partition(|block| matches!(block, Block::CachePoint(_)));
    if content.is_empty() {
        content.push(Block::Text(" "));
    }
    let result = Block::ToolResult { tool_use_id: &result.id, content };
    Ok([result].into_iter().chain(points).collect())
}

fn blocks<'a>(parts: &'a [Part<'a>]) -> Result<Vec<Block<'a>>, Untranslatable> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        match &part.content {
            // An empty text is refused.
            Content::Text(text) if text.is_empty() => {}
            Content::Text(text) => blocks.push(Block::Text(text)),
            Content::Image(source) => blocks.push(Block::Image(image(part, source)?)),
            Content::File(source, name) => blocks.push(Block::Document(document(part, (source, name.as_deref()))?)),
            Content::Kept(_) => return Err(part.is_kept_elsewhere(PROVIDER)),
            Content::Audio(_) => {
                return Err(part.unsupported(PROVIDER, "it does not hear sound; send a transcript as text"));
            }
        }
        if part.cache.is_some() {
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
    Ok(Media { format, name: Some(plain_name(name.unwrap_or("document"))), source: MediaSource { bytes: data } })
}

/// A document's name with nothing but what Converse allows: letters, digits, single spaces, hyphens, round and square brackets.
fn plain_name(name: &str) -> String {
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-()[]".contains(c) { c } else { ' ' });
    let plain: String = plain.collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() { "document".to_owned() } else { words.join(" ") }
}
