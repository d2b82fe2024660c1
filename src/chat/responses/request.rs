//! A Responses request as a chat completions request.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::canonical::{Canonical, Content, JsonSchema, Message, ResponseFormat};
use crate::chat::dialect::Naming;
use crate::chat::error::ChatError;
use crate::chat::object::Object;
use crate::chat::openai::{ChatRequest, RESPONSES, RESPONSES_MORE};
use crate::chat::responses::input::messages;
use crate::chat::responses::own::{Own, own};
use crate::chat::responses::stream::ResponseWriter;
use crate::chat::responses::tools::{Offer, offer};

/// Fields that mean the same in both dialects and keep their names.
const SAME: [&str; 11] = [
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "moderation",
    "trimtab",
];

/// What of `include` asks for the log probabilities of the text.
const LOGPROBS: &str = "message.output_text.logprobs";

/// A Responses request, read.
#[derive(Debug)]
pub struct ResponsesRequest {
    /// The request as the line walks it.
    pub chat: ChatRequest,
    /// How its answer is written.
    pub reply: Reply,
}

/// What of a request its answer repeats, as sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instructions: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u64>,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) parallel_tool_calls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) safety_identifier: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_cache_key: Option<Box<RawValue>>,
    pub(super) temperature: Option<Box<RawValue>>,
    pub(super) text: Option<Box<RawValue>>,
    pub(super) tool_choice: Value,
    pub(super) tools: Vec<Box<RawValue>>,
    pub(super) top_p: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Box<RawValue>>,
}

impl Reply {
    /// A writer of the answer under these names.
    #[must_use]
    pub fn writer(self, naming: Naming) -> ResponseWriter {
        ResponseWriter::new(self, naming)
    }
}

impl ResponsesRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are not JSON, fields of the wrong kind, and what cannot be said in chat completions, each by its path and with the
    /// remedy.
    pub fn parse(body: &[u8]) -> Result<Self, ChatError> {
        let body = Object::body(body)?;
        refuse_server_side(&body)?;
        let mut list = Vec::new();
        list.extend(
            body.text("instructions")?
                .filter(|text| !text.is_empty())
                .map(|text| Message::System { content: Content::Text(text) }),
        );
        list.extend(messages(&body)?);
        let text = body.object("text")?;
        let Offer { tools, choice } = offer(&body)?;
        let mut same: std::collections::BTreeMap<_, _> =
            SAME.iter().filter_map(|name| Some((*name, body.raw(name)?))).collect();
        if let Some(verbosity) = text.as_ref().and_then(|text| text.raw("verbosity")) {
            same.insert("verbosity", verbosity);
        }
        let canonical = Canonical {
            model: body.text("model")?,
            messages: list,
            max_completion_tokens: body.count("max_output_tokens")?,
            tools,
            tool_choice: choice,
            parallel_tool_calls: body.flag("parallel_tool_calls")?,
            reasoning_effort: body
                .object("reasoning")?
                .map(|reasoning| reasoning.text("effort"))
                .transpose()?
                .flatten(),
            response_format: text.map(|text| response_format(&text)).transpose()?.flatten(),
            logprobs: wants_logprobs(&body)?.then_some(true),
            same,
            ..Canonical::default()
        };
        let Own { known, more, thinkers } = own(&body)?;
        let apart: Vec<_> = [Some((RESPONSES, &*known)), more.as_deref().map(|more| (RESPONSES_MORE, more))]
            .into_iter()
            .flatten()
            .collect();
        let mut chat = canonical.streaming(body.flag("stream")?).into_chat_with(&apart)?;
        chat.prompt.shape.thinkers.extend(thinkers);
        Ok(Self { chat, reply: reply(&body)? })
    }
}

/// What would need a memory, or tools of OpenAI's own servers.
fn refuse_server_side(body: &Object<'_>) -> Result<(), ChatError> {
    let refused = [
        ("previous_response_id", "left out: Trimtab keeps no answers; send the whole conversation as `input`"),
        ("conversation", "left out: Trimtab keeps no conversations; send the whole conversation as `input`"),
        ("prompt", "left out: Trimtab has no stored prompts; send the text as `instructions` and `input`"),
        ("context_management", "left out: Trimtab shortens no conversations; send what the model should read"),
    ];
    for (name, expected) in refused {
        if body.raw(name).is_some_and(|raw| raw.get() != "[]") {
            return Err(body.wrong(name, expected));
        }
    }
    if body.flag("store")? == Some(true) {
        let expected = "false or left out: Trimtab keeps no answers; send the whole conversation as `input` each time";
        return Err(body.wrong("store", expected));
    }
    if body.flag("background")? == Some(true) {
        return Err(
            body.wrong("background", "false or left out: Trimtab answers at once; use `stream` for long answers")
        );
    }
    if body.text("truncation")?.is_some_and(|truncation| truncation != "disabled") {
        let expected = "`disabled` or left out: Trimtab shortens no conversations; send what the model should read";
        return Err(body.wrong("truncation", expected));
    }
    Ok(())
}

fn wants_logprobs(body: &Object<'_>) -> Result<bool, ChatError> {
    let listed = body.list("include")?.iter().any(|(_, raw)| raw.get().trim_matches('"') == LOGPROBS);
    Ok(listed || body.count("top_logprobs")?.is_some_and(|count| count > 0))
}

fn response_format<'a>(text: &Object<'a>) -> Result<Option<ResponseFormat<'a>>, ChatError> {
    let Some(format) = text.object("format")? else { return Ok(None) };
    let kind = format.needed_text("type", "say `text`, `json_object` or `json_schema`")?;
    Ok(Some(match kind.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            let schema = format.raw("schema").ok_or_else(|| format.missing("schema", "send a JSON schema"))?;
            let name = format.needed_text("name", "name the schema")?;
            let (description, strict) = (format.text("description")?, format.flag("strict")?);
            ResponseFormat::JsonSchema { json_schema: JsonSchema { name, description, strict, schema } }
        }
        _ => return Err(format.wrong("type", "`text`, `json_object` or `json_schema`")),
    }))
}

fn reply(body: &Object<'_>) -> Result<Reply, ChatError> {
    let same = |name: &str| body.raw(name).map(RawValue::to_owned);
    let tool_choice = body.raw("tool_choice").and_then(|raw| serde_json::from_str(raw.get()).ok());
    Ok(Reply {
        instructions: same("instructions"),
        max_output_tokens: body.count("max_output_tokens")?,
        metadata: same("metadata").or_else(|| literal("{}")),
        parallel_tool_calls: body.flag("parallel_tool_calls")?.unwrap_or(true),
        reasoning: same("reasoning"),
        safety_identifier: same("safety_identifier"),
        prompt_cache_key: same("prompt_cache_key"),
        temperature: same("temperature"),
        text: same("text").or_else(|| literal(r#"{"format":{"type":"text"}}"#)),
        tool_choice: tool_choice.unwrap_or_else(|| Value::from("auto")),
        tools: body.list("tools")?.into_iter().map(|(_, raw)| raw.to_owned()).collect(),
        top_p: same("top_p"),
        user: same("user"),
    })
}

fn literal(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}
