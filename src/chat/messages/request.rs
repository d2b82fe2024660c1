//! A Messages request as a chat completions request.

use serde_json::value::{RawValue, to_raw_value};

use crate::chat::canonical::{Canonical, JsonSchema, Message, ResponseFormat};
use crate::chat::dialect::Naming;
use crate::chat::error::ChatError;
use crate::chat::messages::content::{messages, system_content};
use crate::chat::messages::own::{Own, own};
use crate::chat::messages::stream::MessageWriter;
use crate::chat::messages::tools::{choice, tools};
use crate::chat::native::request::{LOW_BUDGET, MEDIUM_BUDGET};
use crate::chat::object::Object;
use crate::chat::openai::{ChatRequest, MESSAGES, MESSAGES_BETAS, MESSAGES_MORE};
use crate::domain::api::Api;
use crate::domain::prompt::Hosted;

/// The longest user name that OpenAI takes. A longer one, such as the digests that Claude Code sends, is left out.
const LONGEST_USER: usize = 64;

/// A Messages request, read.
#[derive(Debug)]
pub struct MessagesRequest {
    /// The request as the line walks it.
    pub chat: ChatRequest,
    /// How its answer is written.
    pub reply: Reply,
}

/// What of a request its answer depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub(super) stop_sequences: Vec<String>,
}

impl Reply {
    /// A writer of the answer under these names.
    #[must_use]
    pub fn writer(self, naming: Naming) -> MessageWriter {
        MessageWriter::new(self, naming)
    }
}

impl MessagesRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are not JSON, fields of the wrong kind, and what neither can be said in chat completions nor is Anthropic's own, each by its
    /// path and with the remedy.
    pub fn parse(body: &[u8]) -> Result<Self, ChatError> {
        let given = Object::body(body)?;
        let Own { words, more, hosted, plain } = own(&given)?;
        let body = plain.as_ref().map_or(Ok(given), |plain| Object::body(plain.as_bytes()))?;
        let mut list = Vec::new();
        let system = body.raw("system").map(|raw| system_content("system", raw)).transpose()?;
        list.extend(system.filter(|content| !content.is_empty()).map(|content| Message::System { content }));
        list.extend(messages(&body)?);
        let (tool_choice, parallel_tool_calls) = choice(&body)?;
        let stop_sequences = stop_sequences(&body)?;
        let output = body.object("output_config")?;
        let same =
            [("temperature", "temperature"), ("top_p", "top_p"), ("stop_sequences", "stop"), ("trimtab", "trimtab")];
        let canonical = Canonical {
            model: body.text("model")?,
            messages: list,
            max_completion_tokens: body.count("max_tokens")?,
            tools: tools(&body)?,
            tool_choice,
            parallel_tool_calls,
            reasoning_effort: effort(&body, output.as_ref())?,
            response_format: response_format(&body, output.as_ref())?,
            user: user(&body)?,
            same: same.iter().filter_map(|(theirs, ours)| Some((*ours, body.raw(theirs)?))).collect(),
            ..Canonical::default()
        };
        let apart = ["thinking", "top_k"].into_iter().filter_map(|name| Some((name, body.raw(name)?)));
        let own = [Some((MESSAGES, &*words)), more.as_deref().map(|more| (MESSAGES_MORE, more))];
        let apart: Vec<_> = apart.chain(own.into_iter().flatten()).collect();
        let mut chat = canonical.streaming(body.flag("stream")?).into_chat_with(&apart)?;
        chat.prompt.shape.hosted = hosted.map(|field| Hosted { api: Api::Messages, field });
        Ok(Self { chat, reply: Reply { stop_sequences } })
    }

    /// The request of a client that would have something of what Anthropic is still trying out. Upstreams of the same dialect alone hear of it.
    #[must_use]
    pub fn with_betas(self, betas: &str) -> Self {
        match to_raw_value(betas) {
            Ok(raw) => Self { chat: self.chat.and_aside(MESSAGES_BETAS, raw), ..self },
            // A text can always be written.
            Err(_) => self,
        }
    }
}

fn stop_sequences(body: &Object<'_>) -> Result<Vec<String>, ChatError> {
    let expected = "a list of texts";
    let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| body.wrong("stop_sequences", expected));
    Ok(body.raw("stop_sequences").map(read).transpose()?.unwrap_or_default())
}

/// How hard the model should think: as `output_config` says it, else by the budget of `thinking`. Where the model itself decides
/// (`adaptive`), nothing is said, which means the same to other providers.
fn effort(body: &Object<'_>, output: Option<&Object<'_>>) -> Result<Option<String>, ChatError> {
    if let Some(effort) = output.map(|output| output.text("effort")).transpose()?.flatten() {
        return Ok(Some(if effort == "max" { "xhigh".to_owned() } else { effort }));
    }
    let Some(thinking) = body.object("thinking")? else { return Ok(None) };
    let fix = "say `enabled`, `adaptive` or `disabled`";
    let kind = thinking.needed_text("type", fix)?;
    Ok(match (kind.as_str(), thinking.count("budget_tokens")?) {
        ("enabled", Some(..=LOW_BUDGET)) => Some("low".to_owned()),
        ("enabled", None | Some(..=MEDIUM_BUDGET)) => Some("medium".to_owned()),
        ("enabled", Some(_)) => Some("high".to_owned()),
        _ => None,
    })
}

/// The schema of the answer, under its present name or the one it had before.
fn response_format<'a>(
    body: &Object<'a>,
    output: Option<&Object<'a>>,
) -> Result<Option<ResponseFormat<'a>>, ChatError> {
    let now = output.map(|output| output.object("format")).transpose()?.flatten();
    let Some(format) = now.map_or_else(|| body.object("output_format"), |now| Ok(Some(now)))? else { return Ok(None) };
    if format.text("type")?.as_deref() != Some("json_schema") {
        return Err(format.wrong("type", "`json_schema`"));
    }
    let schema = format.raw("schema").ok_or_else(|| format.missing("schema", "send a JSON schema"))?;
    let json_schema = JsonSchema { name: "answer".to_owned(), description: None, strict: Some(true), schema };
    Ok(Some(ResponseFormat::JsonSchema { json_schema }))
}

fn user(body: &Object<'_>) -> Result<Option<String>, ChatError> {
    let Some(metadata) = body.object("metadata")? else { return Ok(None) };
    Ok(metadata.text("user_id")?.filter(|user| !user.is_empty() && user.len() <= LONGEST_USER))
}
