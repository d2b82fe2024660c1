//! A chat completions request as a request for a message.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::anthropic::{PROVIDER, claude, own};
use crate::chat::native::request::{
    Asked, Choice, Content, Format, Part, Said, Source, Thought, Tool, ToolResult, Turn,
};
use crate::chat::native::{Untranslatable, to_bytes};

/// Most tokens of an answer where the client does not say: Anthropic wants a number.
pub(super) const MAX_TOKENS: u64 = 8_192;

#[derive(Serialize)]
struct Wire<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Image {
        source: WireSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Document {
        source: WireSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Self>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireSource<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ToolChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<WireFormat<'a>>,
}

#[derive(Serialize)]
struct WireFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a RawValue,
}

/// The request in Anthropic's words. One that a client of Anthropic's sent keeps its own.
///
/// # Errors
/// What Anthropic cannot do at all: more than one answer, sound, and documents other than PDF; and to insist on the call of a tool where the
/// model takes no such word.
pub fn request(asked: &Asked<'_>) -> Result<Bytes, Untranslatable> {
    if let Some(words) = asked.messages {
        return own::request(asked, words);
    }
    asked.one_answer(PROVIDER)?;
    claude::may_insist(asked, PROVIDER)?;
    let mut system: Vec<Block<'_>> = asked.system.iter().map(block).collect::<Result<Vec<_>, _>>()?;
    system.retain(|block| !block.is_blank());
    if matches!(asked.format, Format::Json) {
        system.push(Block::Text { text: claude::JSON_PLEASE, cache_control: None });
    }
    let thinking = claude::thinking(asked);
    let max_tokens = asked.max_tokens.unwrap_or(MAX_TOKENS);
    let schema = match &asked.format {
        Format::Schema { name: _, description: _, schema, strict: _ } => {
            Some(WireFormat { kind: "json_schema", schema })
        }
        Format::Text | Format::Json => None,
    };
    let sampling = claude::sampling(asked, &thinking);
    let effort = thinking.effort;
    Ok(to_bytes(&Wire {
        model: &asked.model,
        max_tokens: max_tokens.saturating_add(thinking.room),
        system,
        messages: messages(&asked.turns)?,
        metadata: asked.user.as_deref().map(|user_id| Metadata { user_id }),
        stop_sequences: claude::stops(asked),
        stream: asked.stream,
        temperature: sampling.temperature.map(claude::at_most_one),
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        tools: asked.tools.iter().map(tool).collect(),
        tool_choice: tool_choice(asked),
        thinking: thinking.raw,
        output_config: (effort.is_some() || schema.is_some()).then_some(OutputConfig { effort, format: schema }),
    }))
}

/// The messages. Results of tools belong to the user; neighbours of one role are one message, so that all results of parallel calls are
/// together, as Anthropic wants them.
fn messages<'a>(turns: &'a [Turn<'a>]) -> Result<Vec<Message<'a>>, Untranslatable> {
    let mut messages: Vec<Message<'a>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let (role, blocks) = match turn {
            Turn::User(parts) => ("user", blocks(parts)?),
            Turn::Assistant(said) => ("assistant", assistant(said)?),
            Turn::Tool(result) => ("user", vec![tool_result(result)?]),
        };
        match messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            Some(_) | None => messages.push(Message { role, content: blocks }),
        }
    }
    messages.retain(|message| !message.content.is_empty());
    Ok(messages)
}

fn assistant<'a>(said: &'a Said<'a>) -> Result<Vec<Block<'a>>, Untranslatable> {
    let thoughts = said.thinking.iter().map(|thought| match thought {
        Thought::Signed { text, signature } => Block::Thinking { thinking: text, signature },
        Thought::Redacted { data } => Block::RedactedThinking { data },
    });
    let calls = said.calls.iter().map(|call| Block::ToolUse { id: &call.id, name: &call.name, input: &call.arguments });
    Ok(thoughts.chain(blocks(&said.parts)?).chain(calls).collect())
}

fn tool_result<'a>(result: &'a ToolResult<'a>) -> Result<Block<'a>, Untranslatable> {
    let cache_control = result.parts.iter().find_map(|part| part.cache);
    let mut content = blocks(&result.parts)?;
    for block in &mut content {
        block.forget_cache();
    }
    Ok(Block::ToolResult { tool_use_id: &result.id, content, cache_control })
}

fn blocks<'a>(parts: &'a [Part<'a>]) -> Result<Vec<Block<'a>>, Untranslatable> {
    let mut blocks = parts.iter().map(block).collect::<Result<Vec<_>, _>>()?;
    // A text of nothing but spaces is refused.
    blocks.retain(|block| !block.is_blank());
    Ok(blocks)
}

fn block<'a>(part: &'a Part<'a>) -> Result<Block<'a>, Untranslatable> {
    let cache_control = part.cache;
    let of = |source: &'a Source<'a>| match source {
        Source::Base64 { media_type, data } => WireSource::Base64 { media_type, data },
        Source::Url(url) => WireSource::Url { url },
    };
    match &part.content {
        Content::Text(text) => Ok(Block::Text { text, cache_control }),
        Content::Image(source) => Ok(Block::Image { source: of(source), cache_control }),
        Content::File(Source::Base64 { media_type, data: _ }, _) if media_type != "application/pdf" => {
            Err(part.unsupported(PROVIDER, "documents must be PDF; send other documents as text"))
        }
        Content::File(source, title) => {
            Ok(Block::Document { source: of(source), title: title.as_deref(), cache_control })
        }
        Content::Kept(_) => Err(part.is_kept_elsewhere(PROVIDER)),
        Content::Audio(_) => Err(part.unsupported(PROVIDER, "it does not hear sound; send a transcript as text")),
    }
}

impl Block<'_> {
    fn is_blank(&self) -> bool {
        matches!(self, Block::Text { text, .. } if text.trim().is_empty())
    }

    /// Within the result of a tool only the result itself carries the mark.
    const fn forget_cache(&mut self) {
        match self {
            Block::Text { cache_control, .. }
            | Block::Image { cache_control, .. }
            | Block::Document { cache_control, .. }
            | Block::ToolResult { cache_control, .. } => *cache_control = None,
            Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::ToolUse { .. } => {}
        }
    }
}

fn tool<'a>(tool: &'a Tool<'a>) -> WireTool<'a> {
    WireTool {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: schema_or_none(tool.parameters),
        strict: tool.strict.filter(|strict| *strict),
        cache_control: tool.cache,
    }
}

/// The schema of a tool's arguments, or that of no arguments.
pub(crate) fn schema_or_none(schema: Option<&RawValue>) -> Cow<'_, RawValue> {
    #[derive(Serialize)]
    struct Nothing {
        #[serde(rename = "type")]
        kind: &'static str,
        properties: std::collections::BTreeMap<(), ()>,
    }
    let nothing = || to_raw_value(&Nothing { kind: "object", properties: std::collections::BTreeMap::new() });
    schema.map_or_else(|| Cow::Owned(nothing().unwrap_or_default()), Cow::Borrowed)
}

fn tool_choice<'a>(asked: &'a Asked<'_>) -> Option<ToolChoice<'a>> {
    if asked.tools.is_empty() {
        return None;
    }
    let alone = (asked.parallel == Some(false)).then_some(true);
    let of = |kind, name| Some(ToolChoice { kind, name, disable_parallel_tool_use: alone });
    match &asked.choice {
        Choice::Unsaid if alone.is_none() => None,
        Choice::Unsaid | Choice::Auto => of("auto", None),
        Choice::None => Some(ToolChoice { kind: "none", name: None, disable_parallel_tool_use: None }),
        Choice::Required => of("any", None),
        Choice::Tool(name) => of("tool", Some(name)),
    }
}
