//! The items of `input` as messages.

use serde_json::value::RawValue;

use crate::chat::canonical::{Called, Content, File, ImageUrl, Message, Part, ToolCall};
use crate::chat::error::ChatError;
use crate::chat::object::{Object, Shape, elements, shape};
use crate::chat::signed_id;

/// The messages of a request.
pub(super) fn messages(body: &Object<'_>) -> Result<Vec<Message>, ChatError> {
    let fix = "send a text, or a list with at least one item such as {\"role\": \"user\", \"content\": \"…\"}";
    let raw = body.raw("input").ok_or_else(|| body.missing("input", fix))?;
    let mut said = Conversation::default();
    match shape(raw) {
        Shape::Text => {
            let text = body.needed_text("input", fix)?;
            said.push(Message::User { content: Content::Text(text) });
        }
        Shape::List => {
            for (path, raw) in elements("input", raw)? {
                item(&Object::at(path, raw)?, &mut said)?;
            }
        }
        Shape::Other => return Err(body.wrong("input", "a text or a list of items")),
    }
    said.show();
    if said.messages.is_empty() {
        return Err(body.wrong("input", "a text, or a list with at least one message"));
    }
    Ok(said.messages)
}

/// The messages so far. Providers want every call of a message answered right after it.
#[derive(Default)]
struct Conversation {
    messages: Vec<Message>,
    /// Images and files of the outputs of calls, until the last of these outputs is known.
    shown: Vec<Part>,
    /// What the model thought before what it says next.
    thought: Option<String>,
}

impl Conversation {
    /// Adds a message that is no output of a call.
    fn push(&mut self, message: Message) {
        self.show();
        self.thought = None;
        self.messages.push(message);
    }

    /// Shows what the outputs held beside text in a message of the user's, since a tool message of chat completions is text.
    fn show(&mut self) {
        if !self.shown.is_empty() {
            self.messages.push(Message::User { content: std::mem::take(&mut self.shown).into() });
        }
    }

    /// Adds what the model thought, for providers that sign nothing and want it back.
    fn thinks(&mut self, text: String) {
        let joined = |before: Option<String>| before.into_iter().chain([text]).collect::<Vec<_>>().join("\n");
        self.thought = Some(joined(self.thought.take()));
    }

    /// Adds what the model said. Text after calls joins their message: a message between them and their outputs is refused.
    fn said(&mut self, text: Option<String>, refused: Option<String>) {
        match self.messages.last_mut() {
            Some(Message::Assistant { content, refusal, tool_calls, .. }) if !tool_calls.is_empty() => {
                let before = content.take().map(Content::into_text).filter(|text| !text.is_empty());
                let texts: Vec<String> = before.into_iter().chain(text).collect();
                *content = (!texts.is_empty()).then(|| Content::Text(texts.join("\n")));
                *refusal = refused.or(refusal.take());
            }
            Some(Message::System { .. } | Message::User { .. } | Message::Assistant { .. } | Message::Tool { .. })
            | None => {
                let reasoning_content = self.thought.take();
                self.push(Message::Assistant {
                    content: Some(Content::Text(text.unwrap_or_default())),
                    refusal: refused,
                    tool_calls: Vec::new(),
                    thinking_blocks: Vec::new(),
                    reasoning_content,
                });
            }
        }
    }

    /// A call joins what the model said before it: chat completions hold both in one message.
    fn called(&mut self, call: ToolCall) {
        match self.messages.last_mut() {
            Some(Message::Assistant { tool_calls, reasoning_content, .. }) => {
                tool_calls.push(call);
                let thoughts: Vec<String> = reasoning_content.take().into_iter().chain(self.thought.take()).collect();
                *reasoning_content = (!thoughts.is_empty()).then(|| thoughts.join("\n"));
            }
            Some(Message::System { .. } | Message::User { .. } | Message::Tool { .. }) | None => {
                let reasoning_content = self.thought.take();
                let (tool_calls, thinking_blocks) = (vec![call], Vec::new());
                let content = None;
                self.push(Message::Assistant {
                    content,
                    refusal: None,
                    tool_calls,
                    thinking_blocks,
                    reasoning_content,
                });
            }
        }
    }
}

fn item(item: &Object<'_>, said: &mut Conversation) -> Result<(), ChatError> {
    // A message need not say that it is one.
    let kind = item.text("type")?.unwrap_or_else(|| "message".to_owned());
    match kind.as_str() {
        "message" => message(item, said),
        "function_call" => {
            said.called(call(item)?);
            Ok(())
        }
        "function_call_output" => output(item, said),
        "reasoning" => {
            if let Some(text) = thought(item)? {
                said.thinks(text);
            }
            Ok(())
        }
        "item_reference" => {
            Err(item
                .wrong("type", "an item itself: Trimtab keeps no answers, so send the whole item instead of its id"))
        }
        _ => {
            let expected = "`message`, `function_call`, `function_call_output` or `reasoning`; other items come from tools that run at OpenAI alone";
            Err(item.wrong("type", expected))
        }
    }
}

fn message(item: &Object<'_>, conversation: &mut Conversation) -> Result<(), ChatError> {
    let role = item.needed_text("role", "say `user`, `assistant`, `system` or `developer`")?;
    let raw = item.raw("content").ok_or_else(|| item.missing("content", "send a text or a list of parts"))?;
    let path = item.path_of("content");
    match role.as_str() {
        "user" => conversation.push(Message::User { content: user(&path, raw)? }),
        // Other providers know no developer; OpenAI reads a system message as one.
        "system" | "developer" => {
            conversation.push(Message::System { content: Content::Text(said(&path, raw)?.0.unwrap_or_default()) });
        }
        "assistant" => {
            let (text, refusal) = said(&path, raw)?;
            conversation.said(text, refusal);
        }
        _ => return Err(item.wrong("role", "`user`, `assistant`, `system` or `developer`")),
    }
    Ok(())
}

/// One part of a content, with its type.
struct Piece<'a> {
    kind: String,
    part: Object<'a>,
}

/// A content: a text, or its parts.
enum Given<'a> {
    Text(String),
    Parts(Vec<Piece<'a>>),
}

fn given<'a>(path: &str, raw: &'a RawValue) -> Result<Given<'a>, ChatError> {
    let wrong = || ChatError::Wrong { field: path.to_owned(), expected: "a text or a list of parts" };
    match shape(raw) {
        Shape::Text => serde_json::from_str(raw.get()).map(Given::Text).map_err(|_| wrong()),
        Shape::List => {
            let piece = |(path, raw)| {
                let part = Object::at(path, raw)?;
                let kind = part.needed_text("type", "say what the part is, such as `input_text`")?;
                Ok(Piece { kind, part })
            };
            Ok(Given::Parts(elements(path, raw)?.into_iter().map(piece).collect::<Result<_, ChatError>>()?))
        }
        Shape::Other => Err(wrong()),
    }
}

fn user(path: &str, raw: &RawValue) -> Result<Content, ChatError> {
    match given(path, raw)? {
        Given::Text(text) => Ok(Content::Text(text)),
        Given::Parts(pieces) => {
            let parts = pieces.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            Ok(if parts.is_empty() { Content::Text(String::new()) } else { parts.into() })
        }
    }
}

fn part(piece: &Piece<'_>) -> Result<Part, ChatError> {
    let part = &piece.part;
    match piece.kind.as_str() {
        "input_text" | "output_text" | "text" => Ok(Part::Text { text: part.needed_text("text", "send the text")? }),
        "input_image" => {
            let fix = "send the address or a `data:` URL; files that OpenAI keeps cannot be shown to other providers";
            let url = part.needed_text("image_url", fix)?;
            Ok(Part::ImageUrl { image_url: ImageUrl { url, detail: part.text("detail")? } })
        }
        "input_file" => {
            let file = File {
                filename: part.text("filename")?,
                file_data: part.text("file_data")?,
                file_id: part.text("file_id")?,
            };
            if file.file_data.is_none() && file.file_id.is_none() {
                return Err(part.missing("file_data", "send the file itself as a `data:` URL, Trimtab fetches none"));
            }
            Ok(Part::File { file })
        }
        _ => Err(part.wrong("type", "`input_text`, `input_image` or `input_file`")),
    }
}

/// The text and the refusal of what a model or a developer said.
fn said(path: &str, raw: &RawValue) -> Result<(Option<String>, Option<String>), ChatError> {
    let pieces = match given(path, raw)? {
        Given::Text(text) => return Ok((Some(text), None)),
        Given::Parts(pieces) => pieces,
    };
    let (mut texts, mut refusal) = (Vec::new(), None);
    for Piece { kind, part } in pieces {
        match kind.as_str() {
            "output_text" | "input_text" | "text" => texts.push(part.needed_text("text", "send the text")?),
            "refusal" => refusal = part.text("refusal")?,
            _ => return Err(part.wrong("type", "`output_text`, `input_text` or `refusal`")),
        }
    }
    Ok(((!texts.is_empty()).then(|| texts.join("\n")), refusal))
}

/// What a model thought, in words: all of it where it is there, else what it showed of it. What cannot be read is passed over: of a thought that
/// is left out elsewhere nothing depends on its shape.
fn thought(item: &Object<'_>) -> Result<Option<String>, ChatError> {
    for field in ["content", "summary"] {
        let Some(raw) = item.raw(field).filter(|raw| matches!(shape(raw), Shape::List)) else { continue };
        let mut texts = Vec::new();
        for (path, raw) in elements(&item.path_of(field), raw)? {
            let text = Object::at(path, raw).and_then(|element| element.text("text"));
            texts.extend(text.ok().flatten().filter(|text| !text.is_empty()));
        }
        if !texts.is_empty() {
            return Ok(Some(texts.join("\n")));
        }
    }
    Ok(None)
}

fn call(item: &Object<'_>) -> Result<ToolCall, ChatError> {
    let id = item.needed_text("call_id", "repeat the id of the call")?;
    let name = item.needed_text("name", "repeat the name of the function")?;
    let arguments = item.text("arguments")?.unwrap_or_else(|| "{}".to_owned());
    Ok(ToolCall::new(&id, Called { name, arguments }))
}

/// The output of a call. Its images and files follow after the last output beside it.
fn output(item: &Object<'_>, said: &mut Conversation) -> Result<(), ChatError> {
    let tool_call_id = item.needed_text("call_id", "name the `function_call` that it answers")?;
    let tool_call_id = signed_id::split(&tool_call_id).0.to_owned();
    let raw = item.raw("output").ok_or_else(|| item.missing("output", "send what the function gave"))?;
    let mut texts = Vec::new();
    match given(&item.path_of("output"), raw)? {
        Given::Text(text) => texts.push(text),
        Given::Parts(pieces) => {
            for piece in &pieces {
                match part(piece)? {
                    Part::Text { text } => texts.push(text),
                    other @ (Part::ImageUrl { .. } | Part::File { .. } | Part::InputAudio { .. }) => {
                        said.shown.push(other);
                    }
                }
            }
        }
    }
    said.messages.push(Message::Tool { tool_call_id, content: texts.join("\n"), cache_control: None });
    Ok(())
}
