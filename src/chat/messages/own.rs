//! A request in its own words, for an upstream that speaks Messages too: nothing of it is lost on the way there. And without what only such
//! an upstream can do, for everything else that reads it.

use serde_json::value::{RawValue, to_raw_value};

use crate::chat::error::ChatError;
use crate::chat::native::thoughts::object;
use crate::chat::object::{Object, Shape, elements, shape};
use crate::chat::seal::Seal;
use crate::chat::signed_id;

/// What is said anew for every upstream, or holds for Trimtab alone.
const LEFT: [&str; 3] = ["model", "stream", "trimtab"];

/// What the translation says too, or what changes no answer.
const KNOWN: [&str; 12] = [
    "system",
    "messages",
    "max_tokens",
    "tools",
    "tool_choice",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "thinking",
    "output_format",
    "metadata",
];

/// Fields that ask for something that runs at Anthropic.
const HOSTED: [&str; 2] = ["mcp_servers", "container"];

/// Kinds of blocks that the translation knows.
const BLOCKS: [&str; 8] =
    ["text", "image", "document", "search_result", "tool_result", "thinking", "redacted_thinking", "tool_use"];

/// Fields of blocks and tools that the translation says too, or what changes no answer.
const PARTS: [&str; 18] = [
    "type",
    "text",
    "cache_control",
    "source",
    "title",
    "id",
    "name",
    "input",
    "tool_use_id",
    "content",
    "is_error",
    "thinking",
    "signature",
    "data",
    "description",
    "input_schema",
    "strict",
    "eager_input_streaming",
];

/// What stands in for a block that nobody else can read.
const NOTHING: &str = r#"{"type":"text","text":""}"#;

/// A request as sent.
pub(super) struct Own {
    /// Its fields in order, but for thoughts of other providers.
    pub(super) words: Box<RawValue>,
    /// Those of its words that the translation does not say and that may change an answer, where there are any.
    pub(super) more: Option<Box<RawValue>>,
    /// The first field that asks for something of Anthropic's alone.
    pub(super) hosted: Option<String>,
    /// The whole request without what is Anthropic's alone, where it asks for something of it.
    pub(super) plain: Option<String>,
}

/// Reads the words of a request. What is wrong with them is for the translation to say.
///
/// # Errors
/// What cannot be written again, which nothing that was read is.
pub(super) fn own(body: &Object<'_>) -> Result<Own, ChatError> {
    let mut found = Found::default();
    for name in HOSTED {
        if body.raw(name).is_some_and(|raw| raw.get() != "[]") {
            found.is_hosted(&body.path_of(name));
        }
    }
    tools(body, &mut found);
    let messages = messages(body, &mut |role, block| found.block(role, block));
    let words = body.fields().filter(|(name, _)| !LEFT.contains(name));
    let words = raw(object(words.map(|(name, raw)| match (name, &messages) {
        ("messages", Some(told)) => (name, told.as_str()),
        (_, _) => (name, raw.get()),
    })))?;
    let odd = format!("[{}]", found.odd.join(","));
    let more = body.fields().filter(|(name, _)| !LEFT.contains(name) && !KNOWN.contains(name) && !is_said(body, name));
    let more = more.map(|(name, raw)| (name, raw.get()));
    let more: Vec<_> = more.chain((!found.odd.is_empty()).then_some(("parts", odd.as_str()))).collect();
    let more = if more.is_empty() { None } else { Some(raw(object(more.into_iter()))?) };
    let plain = found.hosted.is_some().then(|| plain(body)).flatten();
    Ok(Own { words, more, hosted: found.hosted, plain })
}

/// Whether this field is an `output_config` that the translation says whole: it knows no effort beyond `xhigh`, and nothing to come.
fn is_said(body: &Object<'_>, name: &str) -> bool {
    let is_known = |(name, raw): (&str, &RawValue)| name == "format" || (name == "effort" && raw.get() != "\"max\"");
    let config = || body.object(name).ok().flatten();
    name == "output_config" && config().is_none_or(|config| config.fields().all(is_known))
}

/// What was found in a request.
#[derive(Default)]
struct Found {
    hosted: Option<String>,
    /// Blocks and tools with something that the translation leaves out.
    odd: Vec<String>,
}

impl Found {
    fn is_hosted(&mut self, path: &str) {
        self.hosted.get_or_insert_with(|| path.to_owned());
    }

    /// How a block is told to an upstream of the same dialect. Thoughts that nobody signed, or somebody else, are refused there, and so is a
    /// text of nothing but spaces, which others may have said; a call is called as its provider called it.
    fn block(&mut self, role: &str, block: &Block<'_>) -> Told {
        if let Some(field) = block.hosted(role) {
            self.is_hosted(&block.object.path_of(field));
            self.odd.push(block.raw.get().to_owned());
        } else if block.object.fields().any(|(name, _)| !PARTS.contains(&name)) {
            self.odd.push(block.raw.get().to_owned());
        }
        let text = |name: &str| block.object.text(name).ok().flatten().filter(|text| !text.is_empty());
        let plain_id = |name: &'static str| {
            let given = text(name)?;
            let (id, Some(_)) = signed_id::split(&given) else { return None };
            block.with(name, to_raw_value(id).ok()?.get())
        };
        match block.kind.as_str() {
            "text" if role == "assistant" && text("text").is_none_or(|text| text.trim().is_empty()) => Told::Left,
            "thinking" if text("signature").is_none_or(|signature| Seal::read(&signature).is_some()) => Told::Left,
            "redacted_thinking" if text("data").is_none() => Told::Left,
            "tool_use" => plain_id("id").map_or(Told::AsItIs, Told::Anew),
            "tool_result" => plain_id("tool_use_id").map_or(Told::AsItIs, Told::Anew),
            _ => Told::AsItIs,
        }
    }
}

/// Notes what the tools have that is Anthropic's alone.
fn tools(body: &Object<'_>, found: &mut Found) {
    for (path, raw) in body.list("tools").unwrap_or_default() {
        let Ok(tool) = Object::at(path, raw) else { continue };
        if is_hosted_tool(&tool) {
            found.is_hosted(&tool.path_of("type"));
        } else if tool.fields().any(|(name, _)| !PARTS.contains(&name)) {
            found.odd.push(raw.get().to_owned());
        }
    }
}

fn is_hosted_tool(tool: &Object<'_>) -> bool {
    tool.text("type").is_ok_and(|kind| kind.is_some_and(|kind| kind != "custom"))
}

/// The request without what is Anthropic's alone.
fn plain(body: &Object<'_>) -> Option<String> {
    let mut nothing = |role: &str, block: &Block<'_>| match block.hosted(role) {
        Some(_) => Told::Anew(NOTHING.to_owned()),
        None => Told::AsItIs,
    };
    let messages = messages(body, &mut nothing);
    let tools = body.list("tools").ok()?.into_iter();
    let tools = tools.filter(|(path, raw)| !Object::at(path.clone(), raw).is_ok_and(|tool| is_hosted_tool(&tool)));
    let tools = format!("[{}]", tools.map(|(_, raw)| raw.get()).collect::<Vec<_>>().join(","));
    let fields = body.fields().filter(|(name, _)| !HOSTED.contains(name));
    let fields = fields.map(|(name, raw)| match (name, &messages) {
        ("messages", Some(told)) => (name, told.as_str()),
        ("tools", _) => (name, tools.as_str()),
        (_, _) => (name, raw.get()),
    });
    String::from_utf8(object(fields)).ok()
}

/// How a part is told.
enum Told {
    AsItIs,
    Left,
    Anew(String),
}

/// A block of a message.
struct Block<'a> {
    kind: String,
    object: Object<'a>,
    raw: &'a RawValue,
}

impl<'a> Block<'a> {
    /// `None` for what is none.
    fn read(path: String, raw: &'a RawValue) -> Option<Self> {
        let object = Object::at(path, raw).ok()?;
        let kind = object.text("type").ok().flatten()?;
        Some(Self { kind, object, raw })
    }

    /// The field by which it asks for something that Anthropic alone has, if it does.
    fn hosted(&self, role: &str) -> Option<&'static str> {
        let from_elsewhere = |known: &[&str]| {
            let kind = self.object.object("source").ok().flatten()?.text("type").ok().flatten()?;
            (!known.contains(&kind.as_str())).then_some("source.type")
        };
        match (self.kind.as_str(), role) {
            ("image", "user") => from_elsewhere(&["base64", "url"]),
            ("document", "user") => from_elsewhere(&["base64", "text", "content"]),
            (kind, _) if BLOCKS.contains(&kind) => None,
            (_, _) => Some("type"),
        }
    }

    /// The block with another value of one field.
    fn with(&self, field: &str, value: &str) -> Option<String> {
        let fields = self.object.fields().map(|(name, raw)| (name, if name == field { value } else { raw.get() }));
        String::from_utf8(object(fields)).ok()
    }
}

type Tell<'t> = dyn FnMut(&str, &Block<'_>) -> Told + 't;

/// The messages as they are told. `None` where they stay as they are, byte for byte.
fn messages(body: &Object<'_>, tell: &mut Tell<'_>) -> Option<String> {
    list(&body.path_of("messages"), body.raw("messages")?, &mut |path, raw| {
        let Ok(message) = Object::at(path, raw) else { return Told::AsItIs };
        let role = message.text("role").ok().flatten().filter(|role| role == "user" || role == "assistant");
        let (Some(role), Some(content)) = (role, message.raw("content")) else { return Told::AsItIs };
        let told = blocks(&message.path_of("content"), content, &mut |block| tell(&role, block));
        match told.as_deref() {
            None => Told::AsItIs,
            // Nothing is left to be said.
            Some("[]") => Told::Left,
            Some(told) => {
                let fields =
                    message.fields().map(|(name, raw)| (name, if name == "content" { told } else { raw.get() }));
                String::from_utf8(object(fields)).map_or(Told::AsItIs, Told::Anew)
            }
        }
    })
}

/// The blocks of a content as they are told, those in the results of tools too. Results hold no results: what stands deeper is not looked at, so
/// that no request is too deep to be read.
fn blocks(path: &str, raw: &RawValue, tell: &mut dyn FnMut(&Block<'_>) -> Told) -> Option<String> {
    list(path, raw, &mut |path, raw| {
        let Some(block) = Block::read(path, raw) else { return Told::AsItIs };
        let told = tell(&block);
        let content = block.object.raw("content").filter(|_| block.kind == "tool_result");
        let mut tell = |path, raw: &RawValue| Block::read(path, raw).map_or(Told::AsItIs, |block| tell(&block));
        let inner = content.and_then(|raw| list(&block.object.path_of("content"), raw, &mut tell));
        match (inner, told) {
            (Some(inner), Told::AsItIs) => block.with("content", &inner).map_or(Told::AsItIs, Told::Anew),
            (_, told) => told,
        }
    })
}

/// A list whose elements are told. `None` where it stays as it is, and for what is no list.
fn list(path: &str, raw: &RawValue, tell: &mut dyn FnMut(String, &RawValue) -> Told) -> Option<String> {
    let is_list = matches!(shape(raw), Shape::List);
    let items = elements(path, raw).ok().filter(|_| is_list)?;
    let mut changed = false;
    let mut all = Vec::with_capacity(items.len());
    for (path, raw) in items {
        match tell(path, raw) {
            Told::AsItIs => all.push(raw.get().to_owned()),
            Told::Left => changed = true,
            Told::Anew(told) => {
                changed = true;
                all.push(told);
            }
        }
    }
    changed.then(|| format!("[{}]", all.join(",")))
}

fn raw(json: Vec<u8>) -> Result<Box<RawValue>, ChatError> {
    let not_json = |problem: String| ChatError::NotJson { problem };
    let text = String::from_utf8(json).map_err(|error| not_json(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| not_json(error.to_string()))
}

#[cfg(test)]
mod tests;
