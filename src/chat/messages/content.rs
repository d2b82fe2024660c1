//! Messages and their blocks.

use serde_json::value::RawValue;

use crate::chat::canonical::{Called, Content, File, ImageUrl, Mark, Marked, Message, Part, ToolCall};
use crate::chat::error::ChatError;
use crate::chat::native::answer::WireThought;
use crate::chat::object::{Object, Shape, elements, shape};
use crate::chat::signed_id;

/// How the first line begins that Claude Code puts before its system prompt. It differs from request to request, so that no provider
/// could cache the prompt and no session would be recognised.
const BILLING_LINE: &str = "x-anthropic-billing-header:";

/// The list of messages.
pub(super) fn messages(body: &Object<'_>) -> Result<Vec<Message>, ChatError> {
    let fix = "send a list with at least one message, such as {\"role\": \"user\", \"content\": \"…\"}";
    let raw = body.raw("messages").ok_or_else(|| body.missing("messages", fix))?;
    let list = elements("messages", raw)?;
    if list.is_empty() {
        return Err(body.wrong("messages", "a list with at least one message"));
    }
    let mut messages = Vec::with_capacity(list.len());
    for (path, raw) in list {
        message(&Object::at(path, raw)?, &mut messages)?;
    }
    Ok(messages)
}

/// A system prompt: a text, or text blocks.
pub(super) fn system_content(path: &str, raw: &RawValue) -> Result<Content, ChatError> {
    Ok(Content::texts(texts(path, raw)?))
}

fn texts(path: &str, raw: &RawValue) -> Result<Vec<Marked>, ChatError> {
    let mut texts = Vec::new();
    for block in blocks(path, raw)? {
        let (text, cache_control) = match block {
            Block::Text(text) => (text, None),
            Block::Object { kind, object } if kind == "text" => {
                (object.needed_text("text", "send the text")?, mark(&object))
            }
            Block::Object { object, .. } => return Err(object.wrong("type", "`text` in a system prompt")),
        };
        if !text.starts_with(BILLING_LINE) {
            texts.push(Marked { part: Part::Text { text }, cache_control });
        }
    }
    Ok(texts)
}

/// The mark of a block that everything up to it should be cached.
fn mark(block: &Object<'_>) -> Option<Mark> {
    block.raw("cache_control").map(ToOwned::to_owned)
}

fn message(message: &Object<'_>, messages: &mut Vec<Message>) -> Result<(), ChatError> {
    let role = message.needed_text("role", "say `user` or `assistant`")?;
    let fix = "send a text or a list of blocks";
    let raw = message.raw("content").ok_or_else(|| message.missing("content", fix))?;
    let path = message.path_of("content");
    match role.as_str() {
        "user" => user(blocks(&path, raw)?, messages),
        "assistant" => {
            messages.push(assistant(blocks(&path, raw)?)?);
            Ok(())
        }
        "system" => {
            messages.push(Message::System { content: system_content(&path, raw)? });
            Ok(())
        }
        _ => Err(message.wrong("role", "`user` or `assistant`; a system prompt goes into `system`")),
    }
}

/// One block of content.
enum Block<'a> {
    /// A content that is only a text.
    Text(String),
    Object {
        kind: String,
        object: Object<'a>,
    },
}

fn blocks<'a>(path: &str, raw: &'a RawValue) -> Result<Vec<Block<'a>>, ChatError> {
    let wrong = || ChatError::Wrong { field: path.to_owned(), expected: "a text or a list of blocks" };
    match shape(raw) {
        Shape::Text => Ok(vec![Block::Text(serde_json::from_str(raw.get()).map_err(|_| wrong())?)]),
        Shape::List => elements(path, raw)?
            .into_iter()
            .map(|(path, raw)| {
                let object = Object::at(path, raw)?;
                let kind = object.needed_text("type", "say what the block is, such as `text`")?;
                Ok(Block::Object { kind, object })
            })
            .collect(),
        Shape::Other => Err(wrong()),
    }
}

/// A user message becomes the tool results in it, then the rest. Images and files of tool results join the rest, since a tool message of
/// chat completions is text.
fn user(blocks: Vec<Block<'_>>, messages: &mut Vec<Message>) -> Result<(), ChatError> {
    let mut parts = Vec::new();
    let had = messages.len();
    for block in blocks {
        match block {
            Block::Text(text) => parts.push(Part::Text { text }.into()),
            Block::Object { kind, object } if kind == "tool_result" => {
                messages.push(tool_result(&object, &mut parts)?);
            }
            Block::Object { kind, object } => marked_part(&kind, &object, &mut parts)?,
        }
    }
    if !parts.is_empty() || messages.len() == had {
        messages.push(Message::User {
            content: if parts.is_empty() { Content::Text(String::new()) } else { parts.into() },
        });
    }
    Ok(())
}

fn tool_result(result: &Object<'_>, others: &mut Vec<Marked>) -> Result<Message, ChatError> {
    let tool_call_id = result.needed_text("tool_use_id", "name the `tool_use` that it answers")?;
    let tool_call_id = signed_id::split(&tool_call_id).0.to_owned();
    let (mut parts, mut inner_mark) = (Vec::new(), None);
    if let Some(raw) = result.raw("content") {
        for block in blocks(&result.path_of("content"), raw)? {
            match block {
                Block::Text(text) => parts.push(Part::Text { text }),
                Block::Object { kind, object } => {
                    part(&kind, &object, &mut parts)?;
                    inner_mark = mark(&object).or(inner_mark);
                }
            }
        }
    }
    let mut texts = Vec::new();
    for one in parts {
        match one {
            Part::Text { text } => texts.push(text),
            Part::ImageUrl { .. } | Part::File { .. } | Part::InputAudio { .. } => others.push(one.into()),
        }
    }
    let mut content = texts.join("\n");
    if result.flag("is_error")? == Some(true) {
        content.insert_str(0, "Error: ");
    }
    Ok(Message::Tool { tool_call_id, content, cache_control: mark(result).or(inner_mark) })
}

/// A block that a user may send, as parts. Where it becomes several, the last of them has its mark.
fn marked_part(kind: &str, block: &Object<'_>, parts: &mut Vec<Marked>) -> Result<(), ChatError> {
    let mut found = Vec::new();
    part(kind, block, &mut found)?;
    let had = parts.len();
    parts.extend(found.into_iter().map(Marked::from));
    if let Some(last) = parts.get_mut(had..).and_then(<[Marked]>::last_mut) {
        last.cache_control = mark(block);
    }
    Ok(())
}

/// A block that a user may send, as parts.
fn part(kind: &str, block: &Object<'_>, parts: &mut Vec<Part>) -> Result<(), ChatError> {
    match kind {
        "text" => parts.push(Part::Text { text: block.needed_text("text", "send the text")? }),
        "image" => parts.push(Part::ImageUrl { image_url: ImageUrl { url: image(block)?, detail: None } }),
        "document" => document(block, parts)?,
        "search_result" => {
            let title = block.text("title")?.unwrap_or_default();
            let source = block.text("source")?.unwrap_or_default();
            let raw = block.raw("content").ok_or_else(|| block.missing("content", "send its text blocks"))?;
            let text = Content::Parts(texts(&block.path_of("content"), raw)?).into_text();
            parts.push(Part::Text { text: format!("{title}\n{source}\n{text}").trim().to_owned() });
        }
        _ => {
            return Err(block.wrong("type", "`text`, `image`, `document`, `search_result` or `tool_result`"));
        }
    }
    Ok(())
}

fn source<'a>(block: &Object<'a>) -> Result<(String, Object<'a>), ChatError> {
    let source = block.object("source")?.ok_or_else(|| block.missing("source", "say where it is"))?;
    Ok((source.needed_text("type", "say `base64` or `url`")?, source))
}

fn image(block: &Object<'_>) -> Result<String, ChatError> {
    let (kind, source) = source(block)?;
    match kind.as_str() {
        "base64" => data_url(&source),
        "url" => source.needed_text("url", "send the address"),
        _ => Err(source.wrong("type", "`base64` or `url`: files that Anthropic keeps cannot be reached from here")),
    }
}

fn data_url(source: &Object<'_>) -> Result<String, ChatError> {
    let media_type = source.needed_text("media_type", "say what it is, such as `image/png`")?;
    let data = source.needed_text("data", "send it in Base64")?;
    Ok(format!("data:{media_type};base64,{data}"))
}

fn document(block: &Object<'_>, parts: &mut Vec<Part>) -> Result<(), ChatError> {
    let title = block.text("title")?;
    let (kind, source) = source(block)?;
    match kind.as_str() {
        "base64" => {
            let file_data = Some(data_url(&source)?);
            let filename = Some(title.unwrap_or_else(|| "document.pdf".to_owned()));
            parts.push(Part::File { file: File { filename, file_data, file_id: None } });
        }
        "text" => {
            let text = source.needed_text("data", "send the text")?;
            parts.push(Part::Text { text: title.map_or_else(|| text.clone(), |title| format!("{title}\n{text}")) });
        }
        "content" => {
            let raw = source.raw("content").ok_or_else(|| source.missing("content", "send a text or blocks"))?;
            for inner in blocks(&source.path_of("content"), raw)? {
                match inner {
                    Block::Text(text) => parts.push(Part::Text { text }),
                    Block::Object { kind, object } if matches!(kind.as_str(), "text" | "image") => {
                        part(&kind, &object, parts)?;
                    }
                    Block::Object { object, .. } => return Err(object.wrong("type", "`text` or `image` in a document")),
                }
            }
        }
        _ => {
            let expected = "`base64`, `text` or `content`: send the document itself, Trimtab fetches none";
            return Err(source.wrong("type", expected));
        }
    }
    Ok(())
}

/// What the model said before. Thoughts with a signature are kept as they came, for the provider that made them; their words, and those
/// without a signature, for providers that sign nothing and want them back.
fn assistant(blocks: Vec<Block<'_>>) -> Result<Message, ChatError> {
    let (mut texts, mut tool_calls, mut thinking_blocks) = (Vec::new(), Vec::new(), Vec::new());
    let mut thoughts = Vec::new();
    let said = |text, cache_control| Marked { part: Part::Text { text }, cache_control };
    for block in blocks {
        match block {
            Block::Text(text) => texts.push(said(text, None)),
            Block::Object { kind, object } => match kind.as_str() {
                "text" => texts.push(said(object.needed_text("text", "send the text")?, mark(&object))),
                "thinking" | "redacted_thinking" => {
                    thoughts.extend(object.text("thinking")?.filter(|text| !text.is_empty()));
                    thinking_blocks.extend(thought(&object)?);
                }
                "tool_use" => tool_calls.push(tool_use(&object)?),
                _ => {
                    return Err(object.wrong("type", "`text`, `thinking`, `redacted_thinking` or `tool_use`"));
                }
            },
        }
    }
    let content = if texts.is_empty() && !tool_calls.is_empty() { None } else { Some(Content::texts(texts)) };
    let reasoning_content = (!thoughts.is_empty()).then(|| thoughts.join("\n"));
    Ok(Message::Assistant { content, refusal: None, tool_calls, thinking_blocks, reasoning_content })
}

fn thought(block: &Object<'_>) -> Result<Option<Box<RawValue>>, ChatError> {
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (text, signature, data) = (block.text("thinking")?, full(block.text("signature")?), full(block.text("data")?));
    Ok(match (signature, data) {
        (Some(signature), _) => Some(WireThought::signed(text.as_deref().unwrap_or_default(), &signature).to_raw()),
        (None, Some(data)) => Some(WireThought::redacted(&data).to_raw()),
        (None, None) => None,
    })
}

fn tool_use(block: &Object<'_>) -> Result<ToolCall, ChatError> {
    let id = block.needed_text("id", "repeat the id of the call")?;
    let name = block.needed_text("name", "repeat the name of the tool")?;
    let arguments = block.raw("input").map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned());
    Ok(ToolCall::new(&id, Called { name, arguments }))
}
