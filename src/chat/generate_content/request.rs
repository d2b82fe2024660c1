//! A request to generate content as a chat completions request.

use serde_json::value::RawValue;

use crate::chat::canonical::{Canonical, Message};
use crate::chat::dialect::Naming;
use crate::chat::error::ChatError;
use crate::chat::generate_content::config::{Config, Thinking, config};
use crate::chat::generate_content::content::{messages, system};
use crate::chat::generate_content::stream::CandidateWriter;
use crate::chat::generate_content::tools::{declared, offer};
use crate::chat::object::Object;
use crate::chat::openai::{ChatRequest, SAFETY};

/// How a stream is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// As server-sent events.
    #[default]
    Events,
    /// As the elements of one list.
    List,
}

/// How the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All at once.
    Whole,
    /// In pieces.
    Stream(Framing),
}

/// A request to generate content, read.
#[derive(Debug)]
pub struct GenerateContentRequest {
    /// The request as the line walks it.
    pub chat: ChatRequest,
    /// How its answer is written.
    pub reply: Reply,
}

/// What is told of thoughts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Thoughts {
    /// Their words.
    Told,
    /// Nothing that clients show: those that know nothing of thoughts take every text for the answer. What providers want to see again is
    /// sealed into the field that clients keep.
    #[default]
    Sealed,
}

/// What of a request its answer depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(super) framing: Framing,
    /// How many candidates are wanted; what an upstream gives beyond them is not told.
    pub(super) candidates: u64,
    pub(super) thoughts: Thoughts,
}

impl Reply {
    /// A writer of the answer under these names.
    #[must_use]
    pub fn writer(self, naming: Naming) -> CandidateWriter {
        CandidateWriter::new(self, naming)
    }
}

impl GenerateContentRequest {
    /// Reads a body. The model and the way of answering are said by the address.
    ///
    /// # Errors
    /// Bytes that are not JSON, fields of the wrong kind, and what cannot be said in chat completions, each by its path and with the
    /// remedy.
    pub fn parse(body: &[u8], model: &str, delivery: Delivery) -> Result<Self, ChatError> {
        Self::read(&Object::body(body)?.in_camel_case()?, model, delivery)
    }

    /// Reads what is to be counted: contents, or a whole request in `generateContentRequest`.
    ///
    /// # Errors
    /// As [`GenerateContentRequest::parse`].
    pub fn parse_counted(body: &[u8], model: &str) -> Result<Self, ChatError> {
        let body = Object::body(body)?.in_camel_case()?;
        let inner = body.object("generateContentRequest")?.map(Object::in_camel_case).transpose()?;
        Self::read(&inner.unwrap_or(body), model, Delivery::Whole)
    }

    fn read(body: &Object<'_>, model: &str, delivery: Delivery) -> Result<Self, ChatError> {
        if body.raw("cachedContent").is_some() {
            let expected = "left out: Trimtab keeps no contents; send the whole conversation as `contents`";
            return Err(body.wrong("cachedContent", expected));
        }
        let mut list: Vec<Message> = system(body)?.map(|content| Message::System { content }).into_iter().collect();
        list.extend(messages(body)?);
        let declared = declared(body)?;
        let (tools, tool_choice) = offer(&declared, body)?;
        let Config { generation, schema, is_strict, thinking, candidates } = &config(body)?;
        let Thinking { effort, is_off, thoughts } = thinking;
        let generation = generation.as_ref();
        let mut same: std::collections::BTreeMap<_, _> = generation.into_iter().flat_map(same).collect();
        same.extend(body.raw("trimtab").map(|raw| ("trimtab", raw)));
        let logprobs = generation.map(|config| config.flag("responseLogprobs")).transpose()?.flatten();
        if logprobs != Some(true) {
            same.remove("top_logprobs");
        }
        let canonical = Canonical {
            model: Some(model.to_owned()),
            messages: list,
            max_completion_tokens: generation.map(|config| config.count("maxOutputTokens")).transpose()?.flatten(),
            tools,
            tool_choice,
            reasoning_effort: effort.clone(),
            response_format: schema.as_ref().map(|schema| schema.format(*is_strict)),
            logprobs: logprobs.filter(|wanted| *wanted),
            same,
            ..Canonical::default()
        };
        let stream = (delivery != Delivery::Whole).then_some(true);
        body.list("safetySettings")?;
        let (none, freely) = (literal("\"none\""), literal("{\"type\":\"adaptive\"}"));
        let shows = *thoughts == Thoughts::Told && !is_off;
        let apart = [
            generation.and_then(|config| config.raw("topK")).map(|raw| ("top_k", raw)),
            // Models that think may be told not to; others refuse to hear about it.
            none.as_deref().filter(|_| *is_off).map(|none| ("reasoning_effort", none)),
            // Thoughts can only be told by models that are asked for them.
            freely.as_deref().filter(|_| shows).map(|freely| ("thinking", freely)),
            body.raw("safetySettings").map(|raw| (SAFETY, raw)),
        ];
        let apart: Vec<_> = apart.into_iter().flatten().collect();
        let chat = canonical.streaming(stream).into_chat_with(&apart)?;
        let framing = match delivery {
            Delivery::Whole => Framing::default(),
            Delivery::Stream(framing) => framing,
        };
        Ok(Self { chat, reply: Reply { framing, candidates: *candidates, thoughts: *thoughts } })
    }
}

/// Settings that mean the same in both dialects.
fn same<'a>(config: &Object<'a>) -> Vec<(&'static str, &'a RawValue)> {
    let names = [
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("stopSequences", "stop"),
        ("candidateCount", "n"),
        ("seed", "seed"),
        ("presencePenalty", "presence_penalty"),
        ("frequencyPenalty", "frequency_penalty"),
        ("logprobs", "top_logprobs"),
    ];
    let given = names.iter().filter_map(|(theirs, ours)| Some((*ours, config.raw(theirs)?)));
    // What says nothing is not said: some servers refuse even that.
    given.filter(|(name, raw)| !matches!((*name, raw.get()), ("stop", "[]") | ("n", "1"))).collect()
}

fn literal(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}
