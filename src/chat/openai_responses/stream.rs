//! A stream of a response's events as chat completion chunks.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::native::Stamp;
use crate::chat::native::answer::{Call, WireThought};
use crate::chat::native::chunks::ChunkWriter;
use crate::chat::native::decoder::Translate;
use crate::chat::openai_responses::answer::{Failure, Item, Response};
use crate::chat::openai_responses::error_status;
use crate::chat::seal::sealed;
use crate::chat::sse::{SseError, SseEvent};
use crate::domain::ids::AccountId;

/// Translates the events of one response.
#[derive(Debug)]
pub struct ResponsesStream {
    chunks: ChunkWriter,
    /// Whose thoughts they are.
    account: AccountId,
    has_begun: bool,
    /// The tool calls by the place of their item.
    calls: HashMap<u32, OpenCall>,
    /// The items of which something was told before they were whole.
    told: HashSet<u32>,
    /// The thought that is being thought: its seal comes with its words.
    thought: String,
}

#[derive(Debug)]
struct OpenCall {
    /// Its place among the tool calls.
    place: u32,
    has_arguments: bool,
}

/// An event; which fields are there depends on its type.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    summary_index: u32,
    response: Option<Response>,
    item: Option<Item>,
    delta: Option<String>,
    arguments: Option<String>,
    logprobs: Option<Vec<Box<RawValue>>>,
    error: Option<Failure>,
    code: Option<String>,
    message: Option<String>,
}

impl ResponsesStream {
    /// Begins a stream, whose encrypted thoughts are sealed for the account that asked.
    #[must_use]
    pub fn new(stamp: Stamp, account: AccountId) -> Self {
        Self {
            chunks: ChunkWriter::new(stamp),
            account,
            has_begun: false,
            calls: HashMap::new(),
            told: HashSet::new(),
            thought: String::new(),
        }
    }

    fn begin(&mut self, response: Option<&Response>) {
        if let Some(response) = response {
            self.chunks.name(response.id.clone(), response.model.clone());
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            self.chunks.role(0);
        }
    }

    fn starts_item(&mut self, at: u32, item: &Item) {
        if item.kind == "function_call" && !self.calls.contains_key(&at) {
            let place = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
            let arguments = item.arguments.clone().unwrap_or_default();
            let has_arguments = !arguments.is_empty();
            let (id, name) = (item.call_id.clone().unwrap_or_default(), item.name.clone().unwrap_or_default());
            self.chunks.call(0, (place, &Call { id, name, arguments, signature: None }));
            self.calls.insert(at, OpenCall { place, has_arguments });
        }
    }

    fn says(&mut self, at: u32, text: Option<&str>, logprobs: &[Box<RawValue>]) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        self.told.insert(at);
        self.chunks.text_with(0, (text, logprobs));
    }

    fn refuses(&mut self, at: u32, text: Option<&str>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        self.told.insert(at);
        self.chunks.refusal(0, text);
    }

    fn thinks(&mut self, at: u32, text: Option<&str>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        self.told.insert(at);
        self.thought.push_str(text);
        self.chunks.reasoning(0, text);
    }

    fn argues(&mut self, at: u32, piece: Option<&str>) {
        let piece = piece.filter(|piece| !piece.is_empty());
        if let (Some(piece), Some(call)) = (piece, self.calls.get_mut(&at)) {
            call.has_arguments = true;
            self.chunks.arguments(0, (call.place, piece));
        }
    }

    /// The whole arguments of a call: told where no piece of them was.
    fn has_argued(&mut self, at: u32, arguments: Option<&str>) {
        if self.calls.get(&at).is_some_and(|call| !call.has_arguments) {
            self.argues(at, arguments.filter(|text| !text.is_empty()).or(Some("{}")));
        }
    }

    /// An item is whole. Servers that did not tell its pieces tell it now.
    fn ends_item(&mut self, at: u32, item: &Item) {
        let is_new = !self.told.contains(&at);
        match item.kind.as_str() {
            "message" if is_new => {
                for part in item.content.iter().flatten() {
                    self.says(at, part.text.as_deref(), &[]);
                    self.refuses(at, part.refusal.as_deref());
                }
            }
            "reasoning" => {
                if is_new {
                    self.thinks(at, Some(&item.thoughts()));
                }
                let thought = std::mem::take(&mut self.thought);
                if let Some(seal) = &item.encrypted_content {
                    self.chunks.thought(0, WireThought::signed(&thought, &sealed(&self.account, seal)));
                }
            }
            "function_call" => {
                self.starts_item(at, item);
                self.has_argued(at, item.arguments.as_deref());
            }
            // As in a whole answer.
            _ => {}
        }
    }

    fn ends(&mut self, response: &Response) {
        self.begin(Some(response));
        self.chunks.finish(0, response.finish(self.calls.len()));
        if let Some(usage) = response.usage {
            self.chunks.tokens(usage.into());
        }
        self.chunks.done();
    }

    fn fails(&mut self, code: Option<&str>, message: &str) {
        let code = code.unwrap_or("server_error");
        self.chunks.error(message, (code, Some(error_status(code))));
    }
}

impl Translate for ResponsesStream {
    fn event(&mut self, event: &SseEvent) -> Result<Vec<SseEvent>, SseError> {
        // Some servers end as chat completions do, after the event that has said so.
        if event.data == "[DONE]" {
            return Ok(Vec::new());
        }
        if event.data.is_empty() {
            self.chunks.comment();
            return Ok(self.chunks.take());
        }
        let event: Event = serde_json::from_slice(&event.data).map_err(|_| SseError::Foreign)?;
        let (at, delta) = (event.output_index, event.delta.as_deref());
        match (event.kind.as_str(), event.item.as_ref(), event.response.as_ref()) {
            ("response.created" | "response.in_progress", _, response) => self.begin(response),
            ("response.output_item.added", Some(item), _) => self.starts_item(at, item),
            ("response.output_item.done", Some(item), _) => self.ends_item(at, item),
            ("response.output_text.delta", ..) => self.says(at, delta, event.logprobs.as_deref().unwrap_or_default()),
            ("response.refusal.delta", ..) => self.refuses(at, delta),
            ("response.reasoning_summary_part.added", ..) if event.summary_index > 0 => self.thinks(at, Some("\n\n")),
            ("response.reasoning_summary_text.delta" | "response.reasoning_text.delta", ..) => self.thinks(at, delta),
            ("response.function_call_arguments.delta", ..) => self.argues(at, delta),
            ("response.function_call_arguments.done", ..) => self.has_argued(at, event.arguments.as_deref()),
            ("response.completed" | "response.incomplete", _, Some(response)) => self.ends(response),
            ("response.failed", _, response) => {
                let error = response.and_then(|response| response.error.as_ref());
                self.fails(
                    error.and_then(|error| error.code.as_deref()),
                    error.map_or("the response failed", |error| &error.message),
                );
            }
            ("error", ..) => match &event.error {
                Some(error) => self.fails(error.code.as_deref(), &error.message),
                None => self.fails(event.code.as_deref(), event.message.as_deref().unwrap_or_default()),
            },
            // What repeats or only frames what was told, and events to come.
            _ => {}
        }
        Ok(self.chunks.take())
    }

    fn finish(&mut self) -> Vec<SseEvent> {
        Vec::new()
    }
}
