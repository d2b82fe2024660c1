//! Contents and their parts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::take;

use serde_json::value::RawValue;

use crate::chat::canonical::{Audio, Called, Content, File, ImageUrl, Message, Part, ToolCall};
use crate::chat::error::ChatError;
use crate::chat::generate_content::proof::{Proof, Sealed, standard};
use crate::chat::object::Object;

/// What a part may hold, in the order in which it is looked for.
const KINDS: [&str; 5] = ["functionCall", "functionResponse", "inlineData", "fileData", "text"];

/// The system prompt: the texts of `systemInstruction`.
pub(super) fn system(body: &Object<'_>) -> Result<Option<Content>, ChatError> {
    let Some(instruction) = body.object("systemInstruction")? else { return Ok(None) };
    let mut texts = Vec::new();
    for part in parts(&instruction)? {
        texts.push(part.text("text")?.ok_or_else(|| part.is_not("a part with `text`"))?);
    }
    let text = texts.join("\n");
    Ok((!text.is_empty()).then_some(Content::Text(text)))
}

/// The conversation.
pub(super) fn messages(body: &Object<'_>) -> Result<Vec<Message>, ChatError> {
    let fix = "send a list with at least one content, such as {\"role\": \"user\", \"parts\": [{\"text\": \"…\"}]}";
    body.raw("contents").ok_or_else(|| body.missing("contents", fix))?;
    let list = body.list("contents")?;
    if list.is_empty() {
        return Err(body.wrong("contents", "a list with at least one content"));
    }
    let mut conversation = Conversation::default();
    for (path, raw) in list {
        let content = Object::at(path, raw)?.in_camel_case()?;
        let parts = parts(&content)?;
        match content.text("role")?.as_deref() {
            // Clients keep the pieces of a stream as contents of their own.
            Some("model") => conversation.model.extend(parts),
            Some("user" | "function") | None => conversation.user(&parts)?,
            Some(_) => {
                return Err(content.wrong("role", "`user` or `model`; a system prompt goes into `systemInstruction`"));
            }
        }
    }
    conversation.settle()?;
    Ok(conversation.messages)
}

fn parts<'a>(content: &Object<'a>) -> Result<Vec<Object<'a>>, ChatError> {
    let list = content.list("parts")?.into_iter();
    list.map(|(path, raw)| Object::at(path, raw)?.in_camel_case()).collect()
}

/// A conversation being read.
#[derive(Default)]
struct Conversation<'a> {
    messages: Vec<Message>,
    /// What the model has said since the user did.
    model: Vec<Object<'a>>,
    /// The ids of the calls of its last turn that wait for a result, by name.
    open: HashMap<String, VecDeque<String>>,
    /// Those of them that results have named.
    answered: HashSet<String>,
    /// How many calls there were, from which those without an id get one: the same in every later turn.
    calls: usize,
}

impl Conversation<'_> {
    /// What the user says: the results of calls first, then the rest. What is not text in a result joins the rest.
    fn user(&mut self, given: &[Object<'_>]) -> Result<(), ChatError> {
        self.settle()?;
        let (mut said, had) = (Vec::new(), self.messages.len());
        for part in given {
            match kind(part)? {
                Some("functionResponse") => {
                    let message = self.result(part, &mut said)?;
                    self.messages.push(message);
                }
                Some("functionCall") => return Err(part.wrong("functionCall", "in a content of the `model`")),
                Some(_) => said.push(media(part)?),
                None => {}
            }
        }
        if !said.is_empty() || self.messages.len() == had {
            let content = if said.is_empty() { Content::Text(String::new()) } else { said.into() };
            self.messages.push(Message::User { content });
        }
        Ok(())
    }

    /// The first call of this name that waits for a result.
    fn first_open(&mut self, name: &str) -> Option<String> {
        let waiting = self.open.get_mut(name)?;
        std::iter::from_fn(|| waiting.pop_front()).find(|id| !self.answered.contains(id))
    }

    /// A result, as the JSON that it is.
    fn result(&mut self, part: &Object<'_>, others: &mut Vec<Part>) -> Result<Message, ChatError> {
        let result = inner(part, "functionResponse")?;
        let given = result.text("id")?.filter(|id| !id.is_empty());
        let name = result.text("name")?;
        let expected = "the result of a `functionCall` before it; repeat its `id`, or its `name`";
        let tool_call_id = given.or_else(|| self.first_open(&name?)).ok_or_else(|| result.is_not(expected))?;
        self.answered.insert(tool_call_id.clone());
        for (path, raw) in result.list("parts")? {
            others.push(media(&Object::at(path, raw)?.in_camel_case()?)?);
        }
        let content = result.raw("response").map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned());
        Ok(Message::Tool { tool_call_id, content, cache_control: None })
    }

    /// Makes one message of what the model has said. Its texts are pieces of one. Thoughts with a signature are kept as they came, for the
    /// provider that made them; their words for providers that sign nothing and want them back.
    fn settle(&mut self) -> Result<(), ChatError> {
        let parts = take(&mut self.model);
        if parts.is_empty() {
            return Ok(());
        }
        self.open.clear();
        self.answered.clear();
        let (mut text, mut thoughts, mut tool_calls) = (None, Thoughts::default(), Vec::new());
        for part in &parts {
            match kind(part)? {
                Some("functionCall") => tool_calls.push(self.call(part)?),
                Some("text") if part.flag("thought")? == Some(true) => thoughts.add(part)?,
                Some("text") => text.get_or_insert_with(String::new).push_str(&part.text("text")?.unwrap_or_default()),
                Some(other) => {
                    return Err(part.wrong(other, "`text` or `functionCall` in a content of the `model`"));
                }
                None => {}
            }
        }
        let text = text.filter(|text| !text.is_empty() || tool_calls.is_empty());
        let content = text.or_else(|| tool_calls.is_empty().then(String::new)).map(Content::Text);
        let reasoning_content = (!thoughts.words.is_empty()).then(|| thoughts.words.join("\n"));
        let thinking_blocks = thoughts.proven;
        self.messages.push(Message::Assistant {
            content,
            refusal: None,
            tool_calls,
            thinking_blocks,
            reasoning_content,
        });
        Ok(())
    }

    fn call(&mut self, part: &Object<'_>) -> Result<ToolCall, ChatError> {
        let call = inner(part, "functionCall")?;
        self.calls += 1;
        let id = call.text("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{}", self.calls));
        let name = call.needed_text("name", "repeat the name of the function")?;
        let arguments = call.raw("args").map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned());
        self.open.entry(name.clone()).or_default().push_back(id.clone());
        let signature = part.text("thoughtSignature")?.filter(|signature| !signature.is_empty());
        Ok(ToolCall::signed(id, Called { name, arguments }, signature.map(|signature| standard(&signature))))
    }
}

/// The thoughts of a turn.
#[derive(Default)]
struct Thoughts {
    words: Vec<String>,
    proven: Vec<Box<RawValue>>,
    /// Whether the last of the words wait for more of their thought.
    is_open: bool,
}

impl Thoughts {
    /// Adds a part. A stream gives a thought in pieces, the last of which has its signature.
    fn add(&mut self, part: &Object<'_>) -> Result<(), ChatError> {
        let text = part.text("text")?.unwrap_or_default();
        let proof = part.text("thoughtSignature")?.as_deref().and_then(Proof::read);
        if !text.is_empty() {
            match self.words.last_mut().filter(|_| self.is_open) {
                Some(last) => last.push_str(&text),
                None => self.words.push(text),
            }
            self.is_open = true;
        }
        let Some(proof) = proof else { return Ok(()) };
        let words = self.words.last().filter(|_| self.is_open);
        self.proven.extend(proof.thought(words.map_or("", String::as_str)));
        if let Proof::Sealed(Sealed { words, signature: _ }) = proof
            && !words.is_empty()
        {
            self.words.push(words);
        }
        self.is_open = false;
        Ok(())
    }
}

/// What a part holds. Clients leave parts that hold nothing but a signature.
fn kind(part: &Object<'_>) -> Result<Option<&'static str>, ChatError> {
    let found = KINDS.into_iter().find(|kind| part.raw(kind).is_some());
    let is_known = |name: &str| ["text", "thought", "thoughtSignature", "partMetadata"].contains(&name);
    match found {
        None if !part.fields().all(|(name, _)| is_known(name)) => {
            let expected = "a part with `text`, `inlineData`, `fileData`, `functionCall` or `functionResponse`; others come from Google's servers alone";
            Err(part.is_not(expected))
        }
        found => Ok(found),
    }
}

fn inner<'a>(part: &Object<'a>, name: &str) -> Result<Object<'a>, ChatError> {
    part.object(name)?.ok_or_else(|| part.missing(name, "send an object"))?.in_camel_case()
}

/// What a user may send beside results.
fn media(part: &Object<'_>) -> Result<Part, ChatError> {
    if part.raw("inlineData").is_some() {
        let blob = inner(part, "inlineData")?;
        let mime_type = blob.needed_text("mimeType", "say what it is, such as `image/png`")?.to_ascii_lowercase();
        let data = standard(&blob.needed_text("data", "send it in Base64")?);
        if let Some(format) = sound(&mime_type) {
            return Ok(Part::InputAudio { input_audio: Audio { data, format } });
        }
        let url = format!("data:{mime_type};base64,{data}");
        return Ok(match mime_type.split_once('/') {
            Some(("image", _)) => Part::ImageUrl { image_url: ImageUrl { url, detail: None } },
            Some((_, kind)) => file(&blob, url, kind)?,
            None => return Err(blob.wrong("mimeType", "two words, such as `image/png`")),
        });
    }
    if part.raw("fileData").is_some() {
        let data = inner(part, "fileData")?;
        let url = data.needed_text("fileUri", "send the address")?;
        if data.text("mimeType")?.is_some_and(|kind| !kind.to_ascii_lowercase().starts_with("image/")) {
            let expected = "that of an image: send other files as `inlineData`, Trimtab fetches none";
            return Err(data.wrong("mimeType", expected));
        }
        return Ok(Part::ImageUrl { image_url: ImageUrl { url, detail: None } });
    }
    let text = part.text("text")?.ok_or_else(|| part.is_not("a part with `text`, `inlineData` or `fileData`"))?;
    Ok(Part::Text { text })
}

/// OpenAI's word for a sound. Others than these go as files, for whoever can read them.
fn sound(mime_type: &str) -> Option<&'static str> {
    match mime_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mp3" | "audio/mpeg" => Some("mp3"),
        _ => None,
    }
}

fn file(blob: &Object<'_>, url: String, kind: &str) -> Result<Part, ChatError> {
    let filename = blob.text("displayName")?.unwrap_or_else(|| format!("document.{kind}"));
    Ok(Part::File { file: File { filename: Some(filename), file_data: Some(url), file_id: None } })
}
