//! Chat completions and streams of their chunks as response objects and the typed events of Responses.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::completion::{Choice, Tokens};
use crate::chat::dialect::{Dialect, Events, Naming, Problem, check_length, read_chunk, read_whole};
use crate::chat::parts::{Assembler, Kind, Opening, Parts, Piece};
use crate::chat::responses::answer::{Item, Response, Standing, failure_code, usage};
use crate::chat::responses::request::Reply;
use crate::chat::seal::Seal;
use crate::chat::usage::NotAnAnswer;

/// Writes one answer as a response.
#[derive(Debug)]
pub struct ResponseWriter {
    naming: Naming,
    reply: Reply,
    assembler: Assembler,
    model: String,
    has_begun: bool,
    finish: Option<String>,
    tokens: Option<Tokens>,
    output: Output,
}

/// The items so far, and the number of the next event.
#[derive(Debug, Default)]
struct Output {
    key: String,
    items: Vec<Item>,
    sequence: u64,
    /// Log probabilities of the text that is about to be told.
    logprobs: Vec<Box<RawValue>>,
    /// Their bytes, and those of the ones before them.
    logprob_bytes: usize,
    /// Whether what is closed now was cut off.
    is_cut: bool,
}

impl ResponseWriter {
    pub(super) fn new(reply: Reply, naming: Naming) -> Self {
        Self {
            assembler: Assembler::new(naming.key.clone()),
            output: Output { key: naming.key.clone(), ..Output::default() },
            naming,
            reply,
            model: String::new(),
            has_begun: false,
            finish: None,
            tokens: None,
        }
    }

    fn begin(&mut self, events: &mut Events) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.tell("response.created", &Standing::Begun, events);
        self.tell(Standing::Begun.event(), &Standing::Begun, events);
    }

    /// Takes what a choice adds. Events go nowhere where there is no stream.
    fn take(&mut self, mut choice: Choice, events: &mut Events) {
        self.output.logprobs = choice.logprobs();
        self.output.logprob_bytes += self.output.logprobs.iter().map(|token| token.get().len()).sum::<usize>();
        self.assembler.feed(&choice.said(), &mut Telling { output: &mut self.output, events });
        self.finish = choice.finish_reason.take().or(self.finish.take());
    }

    fn response(&self, standing: &Standing) -> Response<'_> {
        let is_over = !matches!(standing, Standing::Begun);
        let output = self.output.items.iter().map(Item::to_json).collect();
        Response {
            id: format!("resp_{}", self.naming.key),
            object: "response",
            created_at: self.naming.created,
            status: standing.status(),
            error: standing.error(),
            incomplete_details: standing.details(),
            model: &self.model,
            output,
            previous_response_id: None,
            store: false,
            background: false,
            truncation: "disabled",
            usage: is_over.then(|| usage(&self.naming, self.tokens.as_ref(), self.assembler.bytes())),
            reply: &self.reply,
        }
    }

    fn tell(&mut self, event: &'static str, standing: &Standing, events: &mut Events) {
        let sequence_number = self.output.next();
        let response = self.response(standing);
        events.put(event, &Told { kind: event, sequence_number, response });
    }

    fn close_items(&mut self, events: &mut Events) -> Standing {
        let standing = Standing::of(self.finish.as_deref());
        self.output.is_cut = matches!(standing, Standing::Incomplete(_));
        self.assembler.finish(&mut Telling { output: &mut self.output, events });
        standing
    }
}

impl Dialect for ResponseWriter {
    fn sign_of_life(&self) -> &'static [u8] {
        b": still here\n\n"
    }

    fn whole(mut self, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
        let answer = read_whole(completion)?;
        self.model = answer.model.clone().unwrap_or_default();
        self.tokens = answer.usage;
        let choice = answer.into_choice().ok_or(NotAnAnswer::NoChoices)?;
        let mut nowhere = Events::nowhere();
        self.take(choice, &mut nowhere);
        let standing = self.close_items(&mut nowhere);
        serde_json::to_vec(&self.response(&standing)).map_err(|_| NotAnAnswer::NotJson)
    }

    fn chunk(&mut self, data: &[u8], events: &mut Events) -> Result<(), Problem> {
        let chunk = read_chunk(data)?;
        if let (true, Some(model)) = (self.model.is_empty(), &chunk.model) {
            self.model.clone_from(model);
        }
        self.begin(events);
        self.tokens = chunk.usage.or(self.tokens);
        if let Some(choice) = chunk.into_choice() {
            self.take(choice, events);
        }
        check_length(self.assembler.bytes().saturating_add(self.output.logprob_bytes))
    }

    fn end(&mut self, events: &mut Events) {
        self.begin(events);
        let standing = self.close_items(events);
        self.tell(standing.event(), &standing, events);
    }

    fn fail(&mut self, problem: &Problem, events: &mut Events) {
        self.begin(events);
        for item in self.output.items.iter_mut().filter(|item| item.status == "in_progress") {
            item.status = "incomplete";
        }
        let sequence_number = self.output.next();
        events.put(
            "error",
            &json!({
                "type": "error", "code": problem.code.as_deref().unwrap_or(failure_code(problem)), "message": problem.message,
                "param": null, "sequence_number": sequence_number,
            }),
        );
        let standing = Standing::Failed(problem.clone());
        self.tell(standing.event(), &standing, events);
    }
}

/// An event with the response so far.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    response: Response<'a>,
}

/// An event that adds to an item.
#[derive(Serialize)]
struct Added<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<usize>,
    delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a [Box<RawValue>]>,
}

impl Output {
    const fn next(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += 1;
        number
    }
}

/// Tells of parts as output items.
struct Telling<'a> {
    output: &'a mut Output,
    events: &'a mut Events,
}

impl Telling<'_> {
    /// An event about the only part of an item, whose fields are those given and its place.
    fn about(&mut self, at: usize, kind: &'static str, mut fields: Value) {
        let sequence = self.output.next();
        let Some(item) = self.output.items.get(at).filter(|_| self.events.are_read()) else { return };
        let place = match item.kind {
            Kind::Thinking => Some("summary_index"),
            Kind::Text | Kind::Refusal => Some("content_index"),
            Kind::Tool => None,
        };
        if let Value::Object(fields) = &mut fields {
            fields.insert("type".to_owned(), Value::from(kind));
            fields.insert("sequence_number".to_owned(), Value::from(sequence));
            fields.insert("output_index".to_owned(), Value::from(at));
            fields.insert("item_id".to_owned(), Value::from(item.id.as_str()));
            fields.extend(place.map(|place| (place.to_owned(), Value::from(0))));
        }
        self.events.put(kind, &fields);
    }

    fn item(&mut self, at: usize, kind: &'static str) {
        let sequence = self.output.next();
        let Some(item) = self.output.items.get(at).filter(|_| self.events.are_read()) else { return };
        let item = item.to_json();
        self.events.put(kind, &json!({ "type": kind, "sequence_number": sequence, "output_index": at, "item": item }));
    }
}

impl Parts for Telling<'_> {
    fn open(&mut self, part: Opening<'_>) {
        let prefix = match part.kind {
            Kind::Thinking => "rs",
            Kind::Text | Kind::Refusal => "msg",
            Kind::Tool => "fc",
        };
        let item = Item {
            kind: part.kind,
            id: format!("{prefix}_{}_{}", self.output.key, part.at),
            call_id: part.id.to_owned(),
            name: part.name.to_owned(),
            text: String::new(),
            logprobs: Vec::new(),
            encrypted: None,
            status: "in_progress",
        };
        let empty = item.part();
        self.output.items.push(item);
        self.item(part.at, "response.output_item.added");
        match part.kind {
            // A thought that is not shown has no summary.
            Kind::Thinking => {}
            Kind::Text | Kind::Refusal => self.about(part.at, "response.content_part.added", json!({ "part": empty })),
            Kind::Tool => {}
        }
    }

    fn grow(&mut self, piece: Piece<'_>) {
        let begins = |item: &Item| item.kind == Kind::Thinking && item.text.is_empty();
        if let Some(empty) = self.output.items.get(piece.at).filter(|item| begins(item)).map(Item::part) {
            self.about(piece.at, "response.reasoning_summary_part.added", json!({ "part": empty }));
        }
        let sequence_number = self.output.next();
        let logprobs = if piece.kind == Kind::Text { std::mem::take(&mut self.output.logprobs) } else { Vec::new() };
        let Some(item) = self.output.items.get_mut(piece.at) else { return };
        item.text.push_str(piece.text);
        let (kind, content_index, summary_index) = match piece.kind {
            Kind::Thinking => ("response.reasoning_summary_text.delta", None, Some(0)),
            Kind::Text => ("response.output_text.delta", Some(0), None),
            Kind::Refusal => ("response.refusal.delta", Some(0), None),
            Kind::Tool => ("response.function_call_arguments.delta", None, None),
        };
        let (item_id, output_index, delta) = (item.id.as_str(), piece.at, piece.text);
        let told = (piece.kind == Kind::Text).then_some(logprobs.as_slice());
        let added =
            Added { kind, sequence_number, item_id, output_index, content_index, summary_index, delta, logprobs: told };
        self.events.put(kind, &added);
        item.logprobs.extend(logprobs);
    }

    fn close(&mut self, at: usize, kind: Kind) {
        // A function without parameters is called with nothing by some models; clients read its arguments as JSON.
        if kind == Kind::Tool && self.output.items.get(at).is_some_and(|item| item.text.is_empty()) {
            self.grow(Piece { at, kind, text: "{}" });
        }
        let is_cut = self.output.is_cut;
        let Some(item) = self.output.items.get_mut(at) else { return };
        item.status = if is_cut { "incomplete" } else { "completed" };
        if !self.events.are_read() {
            return;
        }
        let (part, text, name) = (item.part(), item.text.clone(), item.name.clone());
        let logprobs = item.logprobs.clone();
        match kind {
            Kind::Thinking if text.is_empty() => {}
            Kind::Thinking => {
                self.about(at, "response.reasoning_summary_text.done", json!({ "text": text }));
                self.about(at, "response.reasoning_summary_part.done", json!({ "part": part }));
            }
            Kind::Text => {
                self.about(at, "response.output_text.done", json!({ "text": text, "logprobs": logprobs }));
                self.about(at, "response.content_part.done", json!({ "part": part }));
            }
            Kind::Refusal => {
                self.about(at, "response.refusal.done", json!({ "refusal": text }));
                self.about(at, "response.content_part.done", json!({ "part": part }));
            }
            Kind::Tool => {
                self.about(at, "response.function_call_arguments.done", json!({ "arguments": text, "name": name }));
            }
        }
        self.item(at, "response.output_item.done");
    }

    /// Signatures of other providers have no place here. OpenAI's keep their seal, by which their account is found again.
    fn sign(&mut self, at: usize, signature: &str) {
        if let (Some(item), Some(_)) = (self.output.items.get_mut(at), Seal::read(signature)) {
            item.encrypted = Some(signature.to_owned());
        }
    }
}
