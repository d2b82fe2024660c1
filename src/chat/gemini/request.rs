//! A chat completions request as a request to generate content.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::anthropic::claude::is_off;
use crate::chat::gemini::PROVIDER;
use crate::chat::native::request::{
    Asked, Called, Choice, Content, Effort, Format, Part, Said, Source, ToolResult, Turn,
};
use crate::chat::native::{Untranslatable, to_bytes};

/// What Google's documentation says to send for a call whose signature is not known. Gemini 3 refuses a call without one.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The least that a Pro before Gemini 3 may think.
const LEAST_BUDGET_OF_PRO: u64 = 128;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<WireContent<'a>>,
    contents: Vec<WireContent<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Declarations<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_settings: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct WireContent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<WirePart<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<InlineData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<FileData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InlineData<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    file_uri: &'a str,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'a> {
    id: &'a str,
    name: Cow<'a, str>,
    response: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declarations<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
}

/// The request in Gemini's words. The model and whether to stream are said by the path.
///
/// # Errors
/// Parts that Gemini has no place for; before Gemini 3, JSON where there are tools.
pub fn request(asked: &Asked<'_>) -> Result<Bytes, Untranslatable> {
    if thinks_by_budget(&asked.model) && !asked.tools.is_empty() && !matches!(asked.format, Format::Text) {
        let problem = "this model gives JSON or calls tools; leave one of them out, or ask another model";
        return Err(Untranslatable::Unsupported { field: "response_format".to_owned(), provider: PROVIDER, problem });
    }
    let (mime_type, schema) = match &asked.format {
        Format::Text => (None, None),
        Format::Json => (Some("application/json"), None),
        Format::Schema { name: _, description: _, schema, strict: _ } => (Some("application/json"), Some(*schema)),
    };
    let declarations: Vec<Declaration<'_>> = asked
        .tools
        .iter()
        .map(|tool| Declaration {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters_json_schema: tool.parameters,
        })
        .collect();
    let tools =
        if declarations.is_empty() { Vec::new() } else { vec![Declarations { function_declarations: declarations }] };
    let system = asked.system.iter().filter_map(Part::text);
    let system: Vec<WirePart<'_>> = system.map(|text| WirePart { text: Some(text), ..WirePart::default() }).collect();
    Ok(to_bytes(&Wire {
        system_instruction: (!system.is_empty()).then_some(WireContent { role: None, parts: system }),
        contents: contents(asked)?,
        tool_config: tool_config(asked),
        tools,
        generation_config: GenerationConfig {
            temperature: asked.sampling.temperature,
            top_p: asked.sampling.top_p,
            top_k: asked.sampling.top_k,
            seed: asked.sampling.seed,
            presence_penalty: asked.sampling.presence_penalty,
            frequency_penalty: asked.sampling.frequency_penalty,
            max_output_tokens: asked.max_tokens,
            candidate_count: (asked.n > 1).then_some(asked.n),
            stop_sequences: &asked.stop,
            response_mime_type: mime_type,
            response_json_schema: schema,
            thinking_config: asked.effort.map(|effort| thinking(effort, &asked.model)).or_else(|| shown(asked)),
        },
        safety_settings: asked.safety,
    }))
}

fn tool_config<'a>(asked: &'a Asked<'_>) -> Option<ToolConfig<'a>> {
    let (mode, allowed_function_names) = match &asked.choice {
        Choice::Unsaid => return None,
        _ if asked.tools.is_empty() => return None,
        Choice::Auto => ("AUTO", None),
        Choice::None => ("NONE", None),
        Choice::Required => ("ANY", None),
        Choice::Tool(name) => ("ANY", Some([name.as_str()])),
    };
    Some(ToolConfig { function_calling_config: CallingConfig { mode, allowed_function_names } })
}

/// Gemini 3 and later think at levels, those before up to a budget. None of the later ones can be kept from thinking, nor can the strongest of
/// any age, which think a little at least.
fn thinking(effort: Effort, model: &str) -> ThinkingConfig {
    let include_thoughts = effort != Effort::None;
    let is_strongest = model.contains("pro");
    if thinks_by_budget(model) {
        let least = if is_strongest { LEAST_BUDGET_OF_PRO } else { 0 };
        let thinking_budget = Some(effort.budget().max(least));
        return ThinkingConfig { include_thoughts, thinking_budget, thinking_level: None };
    }
    let level = match effort {
        Effort::None | Effort::Minimal if !is_strongest => "minimal",
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    };
    ThinkingConfig { include_thoughts, thinking_budget: None, thinking_level: Some(level) }
}

/// Thoughts that the model makes as it sees fit are told where the client asks to think so. Models that think not at all refuse the question.
fn shown(asked: &Asked<'_>) -> Option<ThinkingConfig> {
    let is_old = ["gemini-1", "gemini-2.0"].iter().any(|old| asked.model.contains(old));
    let thinks = asked.model.contains("gemini") && !is_old;
    let wanted = asked.thinking.is_some_and(|thinking| !is_off(thinking)) && thinks;
    wanted.then_some(ThinkingConfig { include_thoughts: true, thinking_budget: None, thinking_level: None })
}

fn thinks_by_budget(model: &str) -> bool {
    ["gemini-1", "gemini-2"].iter().any(|old| model.contains(old))
}

/// The conversation. Results of tools belong to the user; neighbours of one role are one content, as Gemini wants them.
fn contents<'a>(asked: &'a Asked<'a>) -> Result<Vec<WireContent<'a>>, Untranslatable> {
    // A result names the function, where OpenAI's names the call.
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut contents: Vec<WireContent<'a>> = Vec::with_capacity(asked.turns.len());
    for turn in &asked.turns {
        let (role, parts) = match turn {
            Turn::User(parts) => ("user", wire_parts(parts)?),
            Turn::Assistant(said) => {
                names.extend(said.calls.iter().map(|call| (call.id.as_ref(), call.name.as_ref())));
                ("model", model(said, &asked.model)?)
            }
            Turn::Tool(result) => {
                let name = names.get(result.id.as_ref()).copied();
                ("user", tool_result(result, name)?)
            }
        };
        match contents.last_mut() {
            Some(last) if last.role == Some(role) => last.parts.extend(parts),
            Some(_) | None => contents.push(WireContent { role: Some(role), parts }),
        }
    }
    contents.retain(|content| !content.parts.is_empty());
    Ok(contents)
}

fn model<'a>(said: &'a Said<'a>, model: &str) -> Result<Vec<WirePart<'a>>, Untranslatable> {
    let needs_signature = !thinks_by_budget(model);
    let mut parts = wire_parts(&said.parts)?;
    parts.extend(said.calls.iter().enumerate().map(|(at, call)| {
        // Of parallel calls only the first is signed.
        let unsigned = (at == 0 && needs_signature).then_some(NO_SIGNATURE);
        let Called { id, name, arguments, signature } = call;
        WirePart {
            function_call: Some(FunctionCall { id, name, args: arguments }),
            thought_signature: signature.as_deref().or(unsigned),
            ..WirePart::default()
        }
    }));
    Ok(parts)
}

fn tool_result<'a>(result: &'a ToolResult<'a>, name: Option<&'a str>) -> Result<Vec<WirePart<'a>>, Untranslatable> {
    let text: Vec<&str> = result.parts.iter().filter_map(Part::text).collect();
    let text = text.join("\n");
    let as_object = serde_json::from_str::<Box<RawValue>>(&text).ok().filter(|raw| raw.get().starts_with('{'));
    let wrapped = || {
        let output = HashMap::from([("output", text.as_str())]);
        to_raw_value(&output).unwrap_or_default()
    };
    let response = FunctionResponse {
        id: &result.id,
        name: name.map_or_else(|| Cow::Borrowed(result.id.as_ref()), Cow::Borrowed),
        response: as_object.unwrap_or_else(wrapped),
    };
    let mut parts = vec![WirePart { function_response: Some(response), ..WirePart::default() }];
    // What is not text follows the result, in the same content.
    for part in result.parts.iter().filter(|part| !matches!(part.content, Content::Text(_))) {
        check(part)?;
        parts.push(wire_part(part));
    }
    Ok(parts)
}

fn wire_parts<'a>(parts: &'a [Part<'a>]) -> Result<Vec<WirePart<'a>>, Untranslatable> {
    let is_empty = |part: &&Part<'_>| matches!(&part.content, Content::Text(text) if text.is_empty());
    for part in parts {
        check(part)?;
    }
    Ok(parts.iter().filter(|part| !is_empty(part)).map(wire_part).collect())
}

/// Refuses addresses that Gemini cannot fetch.
fn check(part: &Part<'_>) -> Result<(), Untranslatable> {
    let source = match &part.content {
        Content::Text(_) => return Ok(()),
        Content::Kept(_) => return Err(part.is_kept_elsewhere(PROVIDER)),
        Content::Image(source) | Content::File(source, _) | Content::Audio(source) => source,
    };
    match source {
        Source::Base64 { .. } => Ok(()),
        Source::Url(url) if url.starts_with("https://") || url.starts_with("gs://") => Ok(()),
        Source::Url(_) => Err(part.unsupported(PROVIDER, "it fetches https: and gs: alone; send a data: address")),
    }
}

fn wire_part<'a>(part: &'a Part<'a>) -> WirePart<'a> {
    match &part.content {
        Content::Text(text) => WirePart { text: Some(text), ..WirePart::default() },
        // Was refused by `check`.
        Content::Kept(_) => WirePart::default(),
        Content::Image(source) | Content::File(source, _) | Content::Audio(source) => match source {
            Source::Base64 { media_type, data } => {
                WirePart { inline_data: Some(InlineData { mime_type: media_type, data }), ..WirePart::default() }
            }
            Source::Url(url) => {
                let file = FileData { mime_type: mime_type(url), file_uri: url };
                WirePart { file_data: Some(file), ..WirePart::default() }
            }
        },
    }
}

/// The media type that the end of an address shows.
fn mime_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let (_, extension) = path.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "heic" => Some("image/heic"),
        "gif" => Some("image/gif"),
        "pdf" => Some("application/pdf"),
        _ => None,
    }
}
