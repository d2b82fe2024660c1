//! From bytes to [`Asked`].

mod options;
mod shapes;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::chat::native::Untranslatable;
pub(super) use crate::chat::native::request::read::options::choice;
use crate::chat::native::request::read::options::{effort, format, stop, tools};
use crate::chat::native::request::read::shapes::{arguments_object, plain_id, source};
use crate::chat::native::request::{Asked, Called, Content, Part, Said, Sampling, Source, Thought, ToolResult, Turn};
use crate::chat::seal::Seal;

/// Every field that is read. All others have no equivalent in any other dialect.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    max_completion_tokens: Option<&'a RawValue>,
    temperature: Option<&'a RawValue>,
    top_p: Option<&'a RawValue>,
    top_k: Option<&'a RawValue>,
    seed: Option<&'a RawValue>,
    presence_penalty: Option<&'a RawValue>,
    frequency_penalty: Option<&'a RawValue>,
    stop: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    functions: Option<&'a RawValue>,
    tool_choice: Option<&'a RawValue>,
    function_call: Option<&'a RawValue>,
    parallel_tool_calls: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    reasoning_effort: Option<&'a RawValue>,
    thinking: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    safety_identifier: Option<&'a RawValue>,
    n: Option<&'a RawValue>,
    logprobs: Option<&'a RawValue>,
    top_logprobs: Option<&'a RawValue>,
    verbosity: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    service_tier: Option<&'a RawValue>,
    prompt_cache_key: Option<&'a RawValue>,
    prompt_cache_retention: Option<&'a RawValue>,
    prompt_cache_options: Option<&'a RawValue>,
    moderation: Option<&'a RawValue>,
    #[serde(rename = "trimtab.responses")]
    responses: Option<&'a RawValue>,
    #[serde(rename = "trimtab.responses.more")]
    responses_more: Option<&'a RawValue>,
    #[serde(rename = "trimtab.messages")]
    own_messages: Option<&'a RawValue>,
    #[serde(rename = "trimtab.messages.betas")]
    betas: Option<&'a RawValue>,
    #[serde(rename = "trimtab.safety")]
    safety: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
    #[serde(borrow)]
    function_call: Option<WireFunction<'a>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thinking_blocks: Option<Vec<WireThought<'a>>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireThought<'a> {
    #[serde(borrow, default, deserialize_with = "borrowed")]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    data: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    #[serde(borrow, default, deserialize_with = "borrowed")]
    id: Option<Cow<'a, str>>,
    /// Absent in calls of tools that are no functions.
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
    extra_content: Option<ExtraContent>,
}

/// Where Google's own compatible endpoint puts the signature of a thought.
#[derive(Deserialize)]
struct ExtraContent {
    google: Option<GoogleContent>,
}

#[derive(Deserialize)]
struct GoogleContent {
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    arguments: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    file: Option<WireFile<'a>>,
    #[serde(borrow)]
    input_audio: Option<WireAudio<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireUrl<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow)]
    detail: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow, default, deserialize_with = "borrowed")]
    file_data: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    file_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "borrowed")]
    filename: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    format: Cow<'a, str>,
}

type Read<T> = Result<T, Untranslatable>;

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text that stays where it is unless it holds escapes. Without this serde copies every text that may be absent.
fn borrowed<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    Ok(Option::<Text<'a>>::deserialize(from)?.map(|Text(text)| text))
}

pub(super) fn request(body: &[u8]) -> Read<Asked<'_>> {
    let wire: Wire<'_> = serde_json::from_slice(body).map_err(|_| wrong("body", "a JSON object"))?;
    let (system, turns) = messages(wire.messages)?;
    let whole = "a whole number";
    let max_tokens = read(wire.max_completion_tokens, "max_completion_tokens", whole)?;
    let max_tokens = max_tokens.map_or_else(|| read(wire.max_tokens, "max_tokens", whole), |limit| Ok(Some(limit)))?;
    let (choice, allowed) = choice(wire.tool_choice, wire.function_call)?;
    let tools = tools(wire.tools, wire.functions)?;
    let tools = match allowed {
        Some(allowed) => tools.into_iter().filter(|tool| allowed.iter().any(|name| *name == tool.name)).collect(),
        None => tools,
    };
    let same = [
        ("user", wire.user),
        ("safety_identifier", wire.safety_identifier),
        ("metadata", wire.metadata),
        ("service_tier", wire.service_tier),
        ("prompt_cache_key", wire.prompt_cache_key),
        ("prompt_cache_retention", wire.prompt_cache_retention),
        ("prompt_cache_options", wire.prompt_cache_options),
        ("moderation", wire.moderation),
    ];
    let user = read(wire.user, "user", "a text")?;
    let user =
        user.map_or_else(|| read(wire.safety_identifier, "safety_identifier", "a text"), |user| Ok(Some(user)))?;
    let wants_logprobs = read(wire.logprobs, "logprobs", "true or false")?.unwrap_or(false);
    let logprobs = read(wire.top_logprobs, "top_logprobs", whole)?;
    Ok(Asked {
        model: read(wire.model, "model", "a text")?.unwrap_or_default(),
        system,
        turns,
        stream: read(wire.stream, "stream", "true or false")?.unwrap_or(false),
        max_tokens,
        sampling: Sampling {
            temperature: wire.temperature,
            top_p: wire.top_p,
            top_k: wire.top_k,
            seed: wire.seed,
            presence_penalty: wire.presence_penalty,
            frequency_penalty: wire.frequency_penalty,
        },
        stop: stop(wire.stop)?,
        tools,
        choice,
        parallel: read(wire.parallel_tool_calls, "parallel_tool_calls", "true or false")?,
        format: format(wire.response_format)?,
        effort: effort(wire.reasoning_effort)?,
        thinking: wire.thinking,
        user,
        n: read(wire.n, "n", whole)?.unwrap_or(1),
        logprobs: wants_logprobs.then(|| logprobs.unwrap_or(0)),
        verbosity: wire.verbosity,
        same: same.into_iter().filter_map(|(name, raw)| Some((name, raw?))).collect(),
        responses: wire.responses,
        responses_more: wire.responses_more,
        messages: wire.own_messages,
        betas: read(wire.betas, "anthropic-beta", "a text")?,
        safety: wire.safety,
    })
}

fn wrong(field: &str, expected: &'static str) -> Untranslatable {
    Untranslatable::Wrong { field: field.to_owned(), expected }
}

fn elsewhere(field: &str, problem: &'static str) -> Untranslatable {
    Untranslatable::Elsewhere { field: field.to_owned(), problem }
}

fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, field: &str, expected: &'static str) -> Read<Option<T>> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| wrong(field, expected))).transpose()
}

fn messages<'a>(raw: Option<&'a RawValue>) -> Read<(Vec<Part<'a>>, Vec<Turn<'a>>)> {
    let list: Vec<&RawValue> = read(raw, "messages", "a list of messages")?.unwrap_or_default();
    let (mut system, mut turns) = (Vec::new(), Vec::with_capacity(list.len()));
    for (at, raw) in list.into_iter().enumerate() {
        let path = format!("messages[{at}]");
        let expected = "a message: `role`, `content`, and `tool_calls` or `tool_call_id` where there are any";
        let message: WireMessage<'a> = serde_json::from_str(raw.get()).map_err(|_| wrong(&path, expected))?;
        let mut parts = parts(message.content, &format!("{path}.content"))?;
        if let (Some(last), Some(cache)) = (parts.last_mut(), message.cache_control) {
            last.cache = last.cache.or(Some(cache));
        }
        match message.role.as_ref() {
            "system" | "developer" => system.extend(parts),
            "user" => turns.push(Turn::User(parts)),
            "assistant" => turns.push(Turn::Assistant(said(parts, message, &path)?)),
            "tool" => {
                let id = message.tool_call_id.ok_or_else(|| wrong(&format!("{path}.tool_call_id"), "a text"))?;
                turns.push(Turn::Tool(ToolResult { id: plain_id(id), parts }));
            }
            "function" => {
                let id = message.name.ok_or_else(|| wrong(&format!("{path}.name"), "a text"))?;
                turns.push(Turn::Tool(ToolResult { id: plain_id(id), parts }));
            }
            _ => {
                let expected = "one of `system`, `developer`, `user`, `assistant`, `tool`";
                return Err(wrong(&format!("{path}.role"), expected));
            }
        }
    }
    Ok((system, turns))
}

fn said<'a>(mut parts: Vec<Part<'a>>, message: WireMessage<'a>, path: &str) -> Read<Said<'a>> {
    if let Some(refusal) = message.refusal.filter(|refusal| !refusal.is_empty()) {
        parts.push(Part::of_text(format!("{path}.refusal"), refusal));
    }
    let (mut thinking, mut sealed) = (Vec::new(), Vec::new());
    for thought in message.thinking_blocks.unwrap_or_default() {
        match (thought.thinking, thought.signature, thought.data) {
            (_, _, Some(data)) => thinking.push(Thought::Redacted { data: data.into_owned() }),
            (text, Some(signature), None) => match Seal::read(&signature) {
                Some(seal) => sealed.push(seal),
                None => thinking.push(Thought::Signed {
                    text: text.unwrap_or_default().into_owned(),
                    signature: signature.into_owned(),
                }),
            },
            // A thought without its signature is refused by whoever thought it.
            (_, None, None) => {}
        }
    }
    // The older form has no ids; its result names the function, so that the name stands for the id.
    let legacy = message.function_call.map(|function| WireCall {
        id: Some(function.name.clone()),
        function: Some(function),
        extra_content: None,
    });
    let calls = message.tool_calls.unwrap_or_default().into_iter().chain(legacy).enumerate().map(|(at, call)| {
        let problem = "calls of tools that are no functions are known to OpenAI alone";
        let function = call.function.ok_or_else(|| elsewhere(&format!("{path}.tool_calls[{at}]"), problem))?;
        Ok(Called {
            id: plain_id(call.id.unwrap_or_else(|| function.name.clone())),
            arguments: arguments_object(function.arguments.as_deref().unwrap_or_default()),
            name: function.name,
            signature: call.extra_content.and_then(|extra| extra.google).and_then(|google| google.thought_signature),
        })
    });
    Ok(Said { parts, thinking, sealed, calls: calls.collect::<Read<_>>()? })
}

fn parts<'a>(raw: Option<&'a RawValue>, path: &str) -> Read<Vec<Part<'a>>> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    if raw.get().starts_with('"') {
        let text = read(Some(raw), path, "a text")?.map(|Text(text)| text).unwrap_or_default();
        return Ok(vec![Part::of_text(path.to_owned(), text)]);
    }
    let list: Vec<&RawValue> = read(Some(raw), path, "a text or a list of parts")?.unwrap_or_default();
    list.into_iter().enumerate().map(|(at, raw)| part(raw, format!("{path}[{at}]"))).collect()
}

fn part(raw: &RawValue, path: String) -> Read<Part<'_>> {
    let expected = "a part of a message with its `type`";
    let wire: WirePart<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong(&path, expected))?;
    let missing = |what: &'static str| wrong(&path, what);
    let mut detail = None;
    let content = match wire.kind.as_ref() {
        "text" | "input_text" => Content::Text(wire.text.ok_or_else(|| missing("a part with `text`"))?),
        "refusal" => Content::Text(wire.refusal.unwrap_or_default()),
        "image_url" | "input_image" => {
            let raw = wire.image_url.ok_or_else(|| missing("a part with `image_url`"))?;
            let image = url(raw).ok_or_else(|| missing("a part with `image_url.url`"))?;
            detail = image.detail;
            Content::Image(source(image.url))
        }
        "file" => {
            let problem = "a file with `file_data`, or with a `file_id` where OpenAI answers";
            let file = wire.file.ok_or_else(|| missing(problem))?;
            match (file.file_data, file.file_id) {
                (Some(data), _) => Content::File(source(data), file.filename),
                (None, Some(id)) => Content::Kept(id),
                (None, None) => return Err(missing(problem)),
            }
        }
        "input_audio" => {
            let audio = wire.input_audio.ok_or_else(|| missing("a part with `input_audio`"))?;
            Content::Audio(Source::Base64 { media_type: format!("audio/{}", audio.format), data: audio.data })
        }
        _ => return Err(missing("a part of type `text`, `image_url`, `file` or `input_audio`")),
    };
    Ok(Part { path, content, detail, cache: wire.cache_control })
}

fn url(raw: &RawValue) -> Option<WireUrl<'_>> {
    if raw.get().starts_with('"') {
        return serde_json::from_str(raw.get()).ok().map(|Text(url)| WireUrl { url, detail: None });
    }
    serde_json::from_str(raw.get()).ok()
}
