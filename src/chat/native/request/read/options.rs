//! The fields of a request beside its messages.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::native::request::read::{Read, WireFunction, borrowed, elsewhere, read, wrong};
use crate::chat::native::request::{Choice, Effort, Format, Tool};

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow, default, deserialize_with = "borrowed", rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

pub(super) fn stop(raw: Option<&RawValue>) -> Read<Vec<String>> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let expected = "a text or a list of texts";
    if raw.get().starts_with('"') {
        return Ok(read(Some(raw), "stop", expected)?.into_iter().collect());
    }
    Ok(read(Some(raw), "stop", expected)?.unwrap_or_default())
}

pub(super) fn tools<'a>(tools: Option<&'a RawValue>, functions: Option<&'a RawValue>) -> Read<Vec<Tool<'a>>> {
    let of = |function: WireFunction<'a>, cache| Tool {
        name: function.name,
        description: function.description,
        parameters: function.parameters,
        strict: function.strict,
        cache,
    };
    let list: Vec<&RawValue> = read(tools, "tools", "a list of tools")?.unwrap_or_default();
    let mut found = Vec::with_capacity(list.len());
    for (at, raw) in list.into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let expected = "a tool of type `function` with a `function`";
        let wire: WireTool<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong(&path, expected))?;
        if wire.kind.as_deref().is_some_and(|kind| kind != "function") {
            return Err(elsewhere(&path, "tools of other types than `function` are known to OpenAI alone"));
        }
        let function = wire.function.ok_or_else(|| wrong(&path, expected))?;
        found.push(of(function, wire.cache_control));
    }
    let legacy: Vec<WireFunction<'_>> = read(functions, "functions", "a list of functions")?.unwrap_or_default();
    found.extend(legacy.into_iter().map(|function| of(function, None)));
    Ok(found)
}

/// Which tool must be called, and the only ones that may be, where the request says so.
pub(in crate::chat::native::request) fn choice(
    raw: Option<&RawValue>,
    legacy: Option<&RawValue>,
) -> Read<(Choice, Option<Vec<String>>)> {
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    #[derive(Deserialize)]
    struct Named {
        name: Option<String>,
        function: Option<Name>,
        allowed_tools: Option<Allowed>,
    }
    #[derive(Deserialize)]
    struct Allowed {
        mode: String,
        tools: Vec<Named>,
    }
    let field = if raw.is_some() { "tool_choice" } else { "function_call" };
    let expected = "`auto`, `none`, `required`, or an object that names a function";
    let Some(raw) = raw.or(legacy) else { return Ok((Choice::Unsaid, None)) };
    let by_word = |word: &str| match word {
        "auto" => Ok(Choice::Auto),
        "none" => Ok(Choice::None),
        "required" | "any" => Ok(Choice::Required),
        _ => Err(wrong(field, expected)),
    };
    if raw.get().starts_with('"') {
        let word: String = read(Some(raw), field, expected)?.unwrap_or_default();
        return Ok((by_word(&word)?, None));
    }
    let named: Named = serde_json::from_str(raw.get()).map_err(|_| wrong(field, expected))?;
    let name = |named: Named| named.function.map(|function| function.name).or(named.name);
    if let Some(Allowed { mode, tools }) = named.allowed_tools {
        return Ok((by_word(&mode)?, Some(tools.into_iter().filter_map(name).collect())));
    }
    Ok((Choice::Tool(name(named).ok_or_else(|| wrong(field, expected))?), None))
}

pub(super) fn format(raw: Option<&RawValue>) -> Read<Format<'_>> {
    #[derive(Deserialize)]
    struct WireFormat<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        json_schema: Option<WireSchema<'a>>,
    }
    #[derive(Deserialize)]
    struct WireSchema<'a> {
        #[serde(borrow, default, deserialize_with = "borrowed")]
        name: Option<Cow<'a, str>>,
        #[serde(borrow, default, deserialize_with = "borrowed")]
        description: Option<Cow<'a, str>>,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        strict: Option<bool>,
    }
    let expected = "an object with a `type` of `text`, `json_object` or `json_schema`";
    let wire: Option<WireFormat<'_>> = read(raw, "response_format", expected)?;
    let Some(wire) = wire else { return Ok(Format::Text) };
    match (wire.kind.as_ref(), wire.json_schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", _) => Ok(Format::Json),
        ("json_schema", Some(WireSchema { name, description, schema: Some(schema), strict })) => {
            Ok(Format::Schema { name: name.unwrap_or(Cow::Borrowed("answer")), description, schema, strict })
        }
        ("json_schema", _) => Err(wrong("response_format.json_schema.schema", "a JSON schema")),
        _ => Err(wrong("response_format.type", "`text`, `json_object` or `json_schema`")),
    }
}

pub(super) fn effort(raw: Option<&RawValue>) -> Read<Option<Effort>> {
    let expected = "one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`";
    let word: Option<String> = read(raw, "reasoning_effort", expected)?;
    word.map(|word| match word.as_str() {
        "none" => Ok(Effort::None),
        "minimal" => Ok(Effort::Minimal),
        "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" => Ok(Effort::High),
        "xhigh" => Ok(Effort::XHigh),
        "max" => Ok(Effort::Max),
        _ => Err(wrong("reasoning_effort", expected)),
    })
    .transpose()
}
