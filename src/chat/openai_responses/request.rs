//! A chat completions request as a request for a response.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::anthropic::claude::is_off;
use crate::chat::anthropic::request::schema_or_none;
use crate::chat::native::request::{
    Asked, Choice, Content, Effort, Format, Part, Said, Source, Tool, ToolResult, Turn,
};
use crate::chat::native::{Untranslatable, to_bytes};
use crate::chat::openai::Fields;
use crate::chat::openai_responses::PROVIDER;
use crate::chat::openai_responses::thoughts::readable;
use crate::domain::ids::AccountId;

/// The least that may be said: a lower limit is refused.
const LEAST_OUTPUT: u64 = 16;

#[derive(Serialize)]
struct Wire<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'static str>,
    #[serde(flatten)]
    same: BTreeMap<&'static str, &'a RawValue>,
    store: bool,
    stream: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message { role: &'static str, content: Vec<Piece<'a>> },
    Reasoning { summary: [(); 0], encrypted_content: &'a str },
    FunctionCall { call_id: &'a str, name: &'a str, arguments: &'a str },
    FunctionCallOutput { call_id: &'a str, output: Output<'a> },
}

/// What a function gave: a text, or parts where it is more than that.
#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(String),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    InputText {
        text: &'a str,
    },
    OutputText {
        text: &'a str,
    },
    InputImage {
        image_url: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    },
    InputFile {
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Cow<'a, RawValue>,
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToolChoice<'a> {
    Mode(&'static str),
    Function {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'a str,
    },
}

#[derive(Serialize)]
struct Reasoning {
    effort: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

#[derive(Serialize)]
struct TextConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    JsonObject,
    JsonSchema {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        schema: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

/// The request in the words of Responses, for an account that is shown its own encrypted thoughts alone. One that a client of Responses sent
/// keeps its own words, byte for byte where that can be.
///
/// # Errors
/// What Responses cannot do at all: more than one answer, and sound.
pub fn request(asked: &Asked<'_>, account: &AccountId) -> Result<Bytes, Untranslatable> {
    if let Some(own) = asked.responses {
        return Ok(as_it_came(asked, [Some(own), asked.responses_more], account));
    }
    asked.one_answer(PROVIDER)?;
    let (instructions, input) = conversation(asked, account)?;
    let reasoning = asked.effort.map(|effort| Reasoning {
        effort: effort_word(effort),
        // Summaries are for those who asked to see thoughts; not every account may have them.
        summary: asked.thinking.filter(|thinking| !is_off(thinking)).map(|_| "auto"),
    });
    let thinks = asked.effort.is_some_and(|effort| effort != Effort::None);
    let include = [
        // Nothing is kept there, so that the model remembers its thoughts by what is sent back. Models that do not think refuse this word.
        thinks.then_some("reasoning.encrypted_content"),
        asked.logprobs.map(|_| "message.output_text.logprobs"),
    ];
    let format = match &asked.format {
        Format::Text => None,
        Format::Json => Some(WireFormat::JsonObject),
        Format::Schema { name, description, schema, strict } => {
            Some(WireFormat::JsonSchema { name, description: description.as_deref(), schema, strict: *strict })
        }
    };
    let has_text = format.is_some() || asked.verbosity.is_some();
    Ok(to_bytes(&Wire {
        model: &asked.model,
        instructions,
        input,
        max_output_tokens: asked.max_tokens.map(|limit| limit.max(LEAST_OUTPUT)),
        temperature: asked.sampling.temperature,
        top_p: asked.sampling.top_p,
        tools: asked.tools.iter().map(tool).collect(),
        tool_choice: tool_choice(asked),
        parallel_tool_calls: asked.parallel,
        reasoning,
        text: has_text.then_some(TextConfig { format, verbosity: asked.verbosity }),
        top_logprobs: asked.logprobs.filter(|count| *count > 0),
        include: include.into_iter().flatten().collect(),
        same: asked.same.iter().copied().collect(),
        store: false,
        stream: asked.stream,
    }))
}

/// The request of a client of the same dialect, with the upstream's name of the model.
fn as_it_came(asked: &Asked<'_>, own: [Option<&RawValue>; 2], account: &AccountId) -> Bytes {
    #[derive(Serialize)]
    struct Own<'a> {
        model: &'a str,
        #[serde(flatten)]
        fields: BTreeMap<String, &'a RawValue>,
        store: bool,
        stream: bool,
    }
    let fields = own.into_iter().flatten().filter_map(|raw| serde_json::from_str::<Fields<'_>>(raw.get()).ok());
    let mut fields: BTreeMap<String, &RawValue> = fields.flat_map(|Fields(fields)| fields).collect();
    let input = fields.get("input").and_then(|input| readable(input, account));
    if let Some(input) = &input {
        fields.insert("input".to_owned(), input);
    }
    to_bytes(&Own { model: &asked.model, fields, store: false, stream: asked.stream })
}

/// The instructions and everything else that was said. Instructions alone are no input, so that they become one then.
fn conversation<'a>(
    asked: &'a Asked<'_>,
    account: &AccountId,
) -> Result<(Option<String>, Vec<Item<'a>>), Untranslatable> {
    let mut items = Vec::with_capacity(asked.turns.len());
    for turn in &asked.turns {
        match turn {
            Turn::User(parts) => items.extend(message("user", pieces(parts)?)),
            Turn::Assistant(said) => assistant((said, account), &mut items)?,
            Turn::Tool(result) => items.push(output(result)?),
        }
    }
    if items.is_empty() {
        items.extend(message("system", pieces(&asked.system)?));
        return Ok((None, items));
    }
    let system: Vec<&str> = asked.system.iter().filter_map(Part::text).collect();
    Ok(((!system.is_empty()).then(|| system.join("\n\n")), items))
}

fn message<'a>(role: &'static str, content: Vec<Piece<'a>>) -> Option<Item<'a>> {
    (!content.is_empty()).then_some(Item::Message { role, content })
}

fn assistant<'a>((said, account): (&'a Said<'_>, &AccountId), items: &mut Vec<Item<'a>>) -> Result<(), Untranslatable> {
    let thoughts = said.sealed.iter().filter(|seal| seal.is_for(account));
    items.extend(thoughts.map(|seal| Item::Reasoning { summary: [], encrypted_content: &seal.content }));
    let mut content = Vec::with_capacity(said.parts.len());
    for part in &said.parts {
        match &part.content {
            Content::Text(text) if text.is_empty() => {}
            Content::Text(text) => content.push(Piece::OutputText { text }),
            Content::Image(_) | Content::File(..) | Content::Kept(_) | Content::Audio(_) => {
                return Err(part.unsupported(PROVIDER, "a model says nothing but text; send it as the user's"));
            }
        }
    }
    items.extend(message("assistant", content));
    items.extend(said.calls.iter().map(|call| Item::FunctionCall {
        call_id: &call.id,
        name: &call.name,
        arguments: call.arguments.get(),
    }));
    Ok(())
}

fn output<'a>(result: &'a ToolResult<'_>) -> Result<Item<'a>, Untranslatable> {
    let texts: Vec<&str> = result.parts.iter().filter_map(Part::text).collect();
    let is_text = result.parts.iter().all(|part| matches!(part.content, Content::Text(_)));
    let output = if is_text { Output::Text(texts.join("\n")) } else { Output::Pieces(pieces(&result.parts)?) };
    Ok(Item::FunctionCallOutput { call_id: &result.id, output })
}

fn pieces<'a>(parts: &'a [Part<'_>]) -> Result<Vec<Piece<'a>>, Untranslatable> {
    let is_empty = |part: &&Part<'_>| matches!(&part.content, Content::Text(text) if text.is_empty());
    parts.iter().filter(|part| !is_empty(part)).map(piece).collect()
}

fn piece<'a>(part: &'a Part<'_>) -> Result<Piece<'a>, Untranslatable> {
    Ok(match &part.content {
        Content::Text(text) => Piece::InputText { text },
        Content::Image(source) => {
            let image_url = match source {
                Source::Url(url) => Cow::Borrowed(url.as_ref()),
                Source::Base64 { media_type, data } => Cow::Owned(data_url(media_type, data)),
            };
            Piece::InputImage { image_url, detail: part.detail.as_deref() }
        }
        Content::File(source, filename) => {
            let (file_data, file_url) = match source {
                Source::Url(url) => (None, Some(url.as_ref())),
                Source::Base64 { media_type, data } => (Some(data_url(media_type, data)), None),
            };
            Piece::InputFile { filename: filename.as_deref(), file_data, file_url, file_id: None }
        }
        Content::Kept(id) => Piece::InputFile { filename: None, file_data: None, file_url: None, file_id: Some(id) },
        Content::Audio(_) => {
            return Err(part.unsupported(PROVIDER, "it does not hear sound; send a transcript as text"));
        }
    })
}

fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// A tool. What is not said to be strict is strict in Responses, and is not in chat completions.
fn tool<'a>(tool: &'a Tool<'_>) -> WireTool<'a> {
    WireTool {
        kind: "function",
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: schema_or_none(tool.parameters),
        strict: tool.strict.unwrap_or(false),
    }
}

fn tool_choice<'a>(asked: &'a Asked<'_>) -> Option<ToolChoice<'a>> {
    if asked.tools.is_empty() {
        return None;
    }
    match &asked.choice {
        Choice::Unsaid => None,
        Choice::Auto => Some(ToolChoice::Mode("auto")),
        Choice::None => Some(ToolChoice::Mode("none")),
        Choice::Required => Some(ToolChoice::Mode("required")),
        Choice::Tool(name) => Some(ToolChoice::Function { kind: "function", name }),
    }
}

const fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh | Effort::Max => "xhigh",
    }
}
