//! The tools of a request, in Converse's words.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::anthropic::request::schema_or_none;
use crate::chat::bedrock::Maker;
use crate::chat::bedrock::request::{CACHE_POINT, CachePoint};
use crate::chat::native::request::{Asked, Choice, Tool, Turn};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WireTool<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct InputSchema<'a> {
    json: Cow<'a, RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolChoice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

/// The tools, and which must be called.
pub(super) fn tool_config<'a>(asked: &'a Asked<'_>, maker: Maker) -> Option<ToolConfig<'a>> {
    let called = called(&asked.turns);
    if asked.tools.is_empty() {
        // Calls in the conversation are refused where no tool is offered, so that those which were called are.
        let input_schema = || InputSchema { json: schema_or_none(None) };
        let bare = |name| ToolSpec { name, description: None, input_schema: input_schema(), strict: None };
        let tools: Vec<WireTool<'_>> = called.into_iter().map(bare).map(WireTool::ToolSpec).collect();
        return (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice: None });
    }
    // Converse has no word for calling nothing; where nothing was called before, the tools can be left out instead.
    if asked.choice == Choice::None && called.is_empty() {
        return None;
    }
    let specs = |tool: &'a Tool<'_>| {
        let point = tool.cache.filter(|_| maker == Maker::Anthropic).map(|_| WireTool::CachePoint(CACHE_POINT));
        let spec = WireTool::ToolSpec(ToolSpec {
            name: &tool.name,
            description: tool.description.as_deref().filter(|description| !description.is_empty()),
            input_schema: InputSchema { json: schema_or_none(tool.parameters) },
            strict: tool.strict.filter(|strict| *strict),
        });
        [Some(spec), point].into_iter().flatten()
    };
    let tool_choice = match &asked.choice {
        Choice::Unsaid | Choice::None => None,
        Choice::Auto => Some(ToolChoice::Auto {}),
        Choice::Required => Some(ToolChoice::Any {}),
        Choice::Tool(name) => Some(ToolChoice::Tool { name }),
    };
    Some(ToolConfig { tools: asked.tools.iter().flat_map(specs).collect(), tool_choice })
}

/// The tools that were called in the conversation, each once.
fn called<'a>(turns: &'a [Turn<'_>]) -> BTreeSet<&'a str> {
    let calls = turns.iter().flat_map(|turn| match turn {
        Turn::Assistant(said) => said.calls.as_slice(),
        Turn::User(_) | Turn::Tool(_) => &[],
    });
    calls.map(|call| call.name.as_ref()).collect()
}
