//! The chat completions request: the fields that routing acts on are read, everything else passes through untouched.

pub mod again;
mod body;
pub mod sameness;

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::ask::{Turn, ask};
use crate::chat::error::ChatError;
use crate::chat::native::request::Choice;
use crate::chat::options::RouterOptions;
use crate::chat::seal::{Seal, may_hold_seals};
use crate::domain::ids::AccountId;
use crate::domain::prompt::{Prompt, Shape, estimate_tokens};

/// What an image is taken to cost in input tokens, about what providers charge for a small one.
const IMAGE_TOKENS: u64 = 800;

/// How many bytes of a file or a recording are taken to cost one input token, with [`IMAGE_TOKENS`] as the least. They are base64: a page
/// of a document is tens of thousands of them and about a thousand tokens.
const MEDIA_BYTES_PER_TOKEN: u64 = 64;
/// How the names of fields begin that only Trimtab itself sets, for its translations. A client's are left out.
const OWN: &str = "trimtab.";
/// Holds the words of a client of Responses that the rest of the request says too.
pub(in crate::chat) const RESPONSES: &str = "trimtab.responses";
/// Holds its words for what nothing else says.
pub(in crate::chat) const RESPONSES_MORE: &str = "trimtab.responses.more";
/// Holds the words of a client of Anthropic's.
pub(in crate::chat) const MESSAGES: &str = "trimtab.messages";
/// Holds those of them that nothing else says, by which requests are told apart.
pub(in crate::chat) const MESSAGES_MORE: &str = "trimtab.messages.more";
/// Holds what such a client would have of what Anthropic is still trying out.
pub(in crate::chat) const MESSAGES_BETAS: &str = "trimtab.messages.betas";
/// Holds what a client of Google's wants Gemini to filter.
pub(in crate::chat) const SAFETY: &str = "trimtab.safety";

/// A chat completions request.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// Every top-level field but `model` and `trimtab`, in order, exactly as sent.
    fields: Vec<(String, Box<RawValue>)>,
    /// Fields that only translations to other dialects read, in place of those of the same name or beside them.
    aside: Vec<(String, Box<RawValue>)>,
    /// The model asked for; `auto` where the request named none.
    pub model: String,
    /// Whether the answer should be streamed.
    pub stream: bool,
    /// Whether the client asked for the usage chunk of a stream.
    pub wants_usage: bool,
    /// What the caller asked of the router.
    pub options: RouterOptions,
    /// What is scored.
    pub prompt: Prompt,
}

impl ChatRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// Bytes that are not UTF-8 or not JSON, missing or empty messages, and fields of the wrong kind, each by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ChatError> {
        let text = std::str::from_utf8(body).map_err(|error| ChatError::NotUtf8 { offset: error.valid_up_to() })?;
        Self::from_text(text)
    }

    /// Reads a request that is already text, as the entries of a batch are.
    ///
    /// # Errors
    /// As [`ChatRequest::parse`].
    pub fn from_text(text: &str) -> Result<Self, ChatError> {
        let entries = top_level(text)?;
        let field = |name: &str| {
            entries.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
        };
        let model = field("model").map(|raw| string("model", raw)).transpose()?.unwrap_or_else(|| "auto".to_owned());
        let options = match field("trimtab") {
            Some(raw) => RouterOptions::from_json(&value("trimtab", raw)?)?,
            None => RouterOptions::default(),
        };
        let stream = field("stream").map(|raw| boolean("stream", raw)).transpose()?.unwrap_or(false);
        let wants_usage = field("stream_options").is_some_and(includes_usage);
        let messages = Messages::read(field("messages"))?;
        let system_digest = messages.system_digest();
        let tools = length(field("tools")) + length(field("functions"));
        let shape = Shape {
            turns: messages.turns.len(),
            input_tokens: messages.tokens + estimate_tokens(field("tools").map_or(0, |raw| raw.get().len())),
            max_output_tokens: output_limit(field("max_completion_tokens")).or(output_limit(field("max_tokens"))),
            images: messages.images,
            remote_images: messages.remote_images,
            tools,
            must_call: tools > 0 && Choice::is_forced(field("tool_choice"), field("function_call")),
            json_schema: field("response_format").is_some_and(is_json_schema),
            system_digest,
            opening_digest: messages.opening_digest(system_digest),
            is_answered: messages.turns.iter().any(|turn| turn.role == "assistant"),
            thinkers: messages.thinkers,
            hosted: None,
        };
        let prompt = Prompt::new(&ask(&messages.turns), shape);
        let fields = entries
            .into_iter()
            .filter(|(key, _)| key != "model" && key != "trimtab" && !key.starts_with(OWN))
            .map(|(key, raw)| (key, raw.to_owned()))
            .collect();
        Ok(Self { fields, aside: Vec::new(), model, stream, wants_usage, options, prompt })
    }

    /// The request with what only translations to other dialects may read.
    pub(in crate::chat) fn with_aside(self, aside: Vec<(String, Box<RawValue>)>) -> Self {
        Self { aside, ..self }
    }

    /// The request with one field more that only translations may read.
    pub(in crate::chat) fn and_aside(mut self, name: &'static str, raw: Box<RawValue>) -> Self {
        self.aside.push((name.to_owned(), raw));
        self
    }

    /// A top-level field as it was sent, where it was and is not null.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&RawValue> {
        let (_, raw) = self.fields.iter().find(|(key, _)| key == name)?;
        Some(raw.as_ref()).filter(|raw| raw.get() != "null")
    }
}

/// The top-level fields of a JSON object, in order, each at most once.
pub(in crate::chat) fn top_level(text: &str) -> Result<Vec<(String, &RawValue)>, ChatError> {
    let Fields(entries) = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let mut names: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some((*a).to_owned()),
        _ => None,
    });
    match twice {
        Some(field) => Err(ChatError::Duplicate { field }),
        None => Ok(entries),
    }
}

/// The fields of a JSON object, in order.
pub(crate) struct Fields<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut entries = Vec::with_capacity(16);
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Fields(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The conversation as far as routing reads it.
#[derive(Default)]
struct Messages {
    turns: Vec<Turn>,
    images: usize,
    remote_images: usize,
    tokens: u64,
    thinkers: Vec<AccountId>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking_blocks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
}

impl Messages {
    fn read(raw: Option<&RawValue>) -> Result<Self, ChatError> {
        let fix = "send a list with at least one message, such as {\"role\": \"user\", \"content\": \"…\"}";
        let raw = raw.ok_or(ChatError::Missing { field: "messages".to_owned(), fix })?;
        let list: Vec<&RawValue> = serde_json::from_str(raw.get())
            .map_err(|_| ChatError::Wrong { field: "messages".to_owned(), expected: "a list of messages" })?;
        if list.is_empty() {
            return Err(ChatError::Wrong {
                field: "messages".to_owned(),
                expected: "a list with at least one message",
            });
        }
        let mut messages = Self { turns: Vec::with_capacity(list.len()), ..Self::default() };
        for (at, raw) in list.into_iter().enumerate() {
            messages.push(at, raw)?;
        }
        Ok(messages)
    }

    fn push(&mut self, at: usize, raw: &RawValue) -> Result<(), ChatError> {
        let path = |name: &str| format!("messages[{at}]{name}");
        let message: WireMessage<'_> = serde_json::from_str(raw.get()).map_err(|_| ChatError::Wrong {
            field: path(""),
            expected: "an object with `role` and `content`, each once",
        })?;
        let fix = "give each message a role such as `user`, `assistant`, `system` or `tool`";
        let role = message.role.ok_or_else(|| ChatError::Missing { field: path(".role"), fix })?;
        let role = string(&path(".role"), role)?;
        let text = message.content.map_or(Ok(String::new()), |content| self.text(&path(".content"), content))?;
        // Four tokens a message is what chat templates add around it.
        self.tokens += 4 + estimate_tokens(text.len() + message.tool_calls.map_or(0, |calls| calls.get().len()));
        self.turns.push(Turn { role, text });
        let thoughts = message.thinking_blocks.filter(|raw| may_hold_seals(raw.get()));
        let thoughts = thoughts.and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok());
        self.thinkers.extend(thoughts.into_iter().flatten().filter_map(thinker));
        Ok(())
    }

    /// The text of a content in any shape: a string, parts, or null. Parts that are not text count as images or are left out.
    fn text(&mut self, path: &str, content: &RawValue) -> Result<String, ChatError> {
        match content.get().as_bytes().first() {
            Some(b'"') => string(path, content),
            Some(b'[') => self.parts_text(path, content),
            Some(b'n') => Ok(String::new()),
            Some(_) | None => {
                Err(ChatError::Wrong { field: path.to_owned(), expected: "a text, a list of parts, or null" })
            }
        }
    }

    fn parts_text(&mut self, path: &str, content: &RawValue) -> Result<String, ChatError> {
        let expected = "a list of parts, each an object with a `type`";
        let wrong = |at: usize| ChatError::Wrong { field: format!("{path}[{at}]"), expected };
        let parts: Vec<&RawValue> =
            serde_json::from_str(content.get()).map_err(|_| ChatError::Wrong { field: path.to_owned(), expected })?;
        let mut text = String::new();
        for (at, raw) in parts.into_iter().enumerate() {
            let part: WirePart<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong(at))?;
            match (part.kind.as_deref(), part.text) {
                (Some("text" | "input_text"), Some(raw)) => {
                    let piece = string(&format!("{path}[{at}].text"), raw)?;
                    let separator = if text.is_empty() { "" } else { "\n" };
                    text.push_str(separator);
                    text.push_str(&piece);
                }
                (Some("image_url" | "image" | "input_image"), _) => {
                    self.images += 1;
                    self.remote_images += usize::from(part.image_url.is_some_and(is_elsewhere));
                    self.tokens += IMAGE_TOKENS;
                }
                (Some("file" | "input_file" | "input_audio" | "audio_url" | "video_url"), _) => {
                    self.tokens += (raw.get().len() as u64 / MEDIA_BYTES_PER_TOKEN).max(IMAGE_TOKENS);
                }
                (Some(_), _) => self.tokens += estimate_tokens(raw.get().len()),
                (None, _) => return Err(wrong(at)),
            }
        }
        Ok(text)
    }

    /// A digest of the system and developer messages; zero where there are none.
    fn system_digest(&self) -> u64 {
        let mut texts = self.turns.iter().filter(|turn| turn.role == "system" || turn.role == "developer").peekable();
        if texts.peek().is_none() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        texts.for_each(|turn| turn.text.hash(&mut hasher));
        hasher.finish().max(1)
    }

    /// A digest of the system's, the length of the first user message and its first bytes; zero where there is no such message. Only its beginning is
    /// read, so that a long document costs no time; its length tells most documents with one beginning apart.
    fn opening_digest(&self, system: u64) -> u64 {
        const READ: usize = 4_096;
        let Some(first) = self.turns.iter().find(|turn| turn.role == "user") else { return 0 };
        let beginning = first.text.as_bytes().get(..READ).unwrap_or(first.text.as_bytes());
        let mut hasher = DefaultHasher::new();
        (system, first.text.len(), beginning).hash(&mut hasher);
        hasher.finish().max(1)
    }
}

/// The account at OpenAI's Responses whose thought this is, where it is one and says so.
pub(in crate::chat) fn thinker(thought: &RawValue) -> Option<AccountId> {
    #[derive(Deserialize)]
    struct Thought<'a> {
        #[serde(borrow)]
        signature: std::borrow::Cow<'a, str>,
    }
    Seal::read(&serde_json::from_str::<Thought<'_>>(thought.get()).ok()?.signature)?.account
}

fn not_json(error: &serde_json::Error) -> ChatError {
    ChatError::NotJson { problem: error.to_string() }
}

fn value(field: &str, raw: &RawValue) -> Result<Value, ChatError> {
    serde_json::from_str(raw.get())
        .map_err(|_| ChatError::Wrong { field: field.to_owned(), expected: "plain JSON, not nested beyond 128 levels" })
}

fn string(field: &str, raw: &RawValue) -> Result<String, ChatError> {
    serde_json::from_str(raw.get()).map_err(|_| ChatError::Wrong { field: field.to_owned(), expected: "a text" })
}

fn boolean(field: &str, raw: &RawValue) -> Result<bool, ChatError> {
    serde_json::from_str(raw.get()).map_err(|_| ChatError::Wrong { field: field.to_owned(), expected: "true or false" })
}

fn includes_usage(raw: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    serde_json::from_str::<Options>(raw.get()).is_ok_and(|options| options.include_usage == Some(true))
}

fn is_json_schema(raw: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Format<'a> {
        #[serde(borrow, rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<Format<'_>>(raw.get()).is_ok_and(|format| format.kind == "json_schema")
}

/// Whether an image is an address, and not the image itself in one.
fn is_elsewhere(image: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Image<'a> {
        #[serde(borrow)]
        url: std::borrow::Cow<'a, str>,
    }
    let url = serde_json::from_str::<Image<'_>>(image.get()).map(|image| image.url);
    let url = url.or_else(|_| serde_json::from_str::<String>(image.get()).map(Into::into));
    url.is_ok_and(|url| !url.starts_with("data:"))
}

/// The elements of a list; zero for anything else, which the upstream will judge.
fn length(raw: Option<&RawValue>) -> usize {
    raw.and_then(|raw| serde_json::from_str::<Vec<IgnoredAny>>(raw.get()).ok()).map_or(0, |list| list.len())
}

fn output_limit(raw: Option<&RawValue>) -> Option<u64> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
}

pub(in crate::chat) fn push_field(body: &mut Vec<u8>, key: &str, raw: &str) {
    body.push(b',');
    push_json(body, key);
    body.push(b':');
    body.extend_from_slice(raw.as_bytes());
}

pub(in crate::chat) fn push_json(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests;
