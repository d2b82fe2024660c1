//! Tools on offer, and which of them the model should call.

use std::collections::HashSet;

use crate::chat::canonical::{Function, Tool, ToolChoice};
use crate::chat::error::ChatError;
use crate::chat::object::{Object, Shape, shape};

/// What the model may call.
pub(super) struct Offer<'a> {
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) choice: Option<ToolChoice>,
}

/// The tools of a request and the choice among them. Where only some are allowed, only those are offered.
pub(super) fn offer<'a>(body: &Object<'a>) -> Result<Offer<'a>, ChatError> {
    let list = body.list("tools")?;
    let mut tools = list.into_iter().map(|(path, raw)| tool(&Object::at(path, raw)?)).collect::<Result<Vec<_>, _>>()?;
    let Some(raw) = body.raw("tool_choice") else { return Ok(Offer { tools, choice: None }) };
    let choice = match shape(raw) {
        Shape::Text => mode(body, "tool_choice")?,
        Shape::List | Shape::Other => {
            let choice = Object::at(body.path_of("tool_choice"), raw)?;
            match choice.needed_text("type", "say `function` or `allowed_tools`")?.as_str() {
                "function" => ToolChoice::function(&choice.needed_text("name", "name the function")?),
                "allowed_tools" => {
                    let allowed = allowed(&choice)?;
                    tools.retain(|tool| allowed.contains(tool.name()));
                    mode(&choice, "mode")?
                }
                _ => {
                    return Err(choice.wrong("type", "`function` or `allowed_tools`: hosted tools run at OpenAI alone"));
                }
            }
        }
    };
    Ok(Offer { tools, choice: Some(choice) })
}

fn mode(object: &Object<'_>, name: &str) -> Result<ToolChoice, ChatError> {
    match object.text(name)?.as_deref() {
        Some("auto") | None => Ok(ToolChoice::Mode("auto")),
        Some("none") => Ok(ToolChoice::Mode("none")),
        Some("required") => Ok(ToolChoice::Mode("required")),
        Some(_) => Err(object.wrong(name, "`auto`, `none` or `required`")),
    }
}

fn allowed(choice: &Object<'_>) -> Result<HashSet<String>, ChatError> {
    let name = |(path, raw)| {
        let tool = Object::at(path, raw)?;
        if tool.text("type")?.as_deref() != Some("function") {
            return Err(tool.wrong("type", "`function`: hosted tools run at OpenAI alone"));
        }
        tool.needed_text("name", "name the function")
    };
    choice.list("tools")?.into_iter().map(name).collect()
}

fn tool<'a>(tool: &Object<'a>) -> Result<Tool<'a>, ChatError> {
    if tool.needed_text("type", "say `function`")? != "function" {
        let expected = "`function`: hosted and custom tools run at OpenAI alone; describe the tool as a function";
        return Err(tool.wrong("type", expected));
    }
    let function = Function {
        name: tool.needed_text("name", "name the function")?,
        description: tool.text("description")?,
        parameters: tool.raw("parameters"),
        strict: tool.flag("strict")?,
    };
    Ok(Tool::Function { function, cache_control: None })
}
