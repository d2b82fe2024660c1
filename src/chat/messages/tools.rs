//! Tools on offer, and which of them the model should call.

use crate::chat::canonical::{Function, Tool, ToolChoice};
use crate::chat::error::ChatError;
use crate::chat::object::Object;

/// The tools of a request.
pub(super) fn tools<'a>(body: &Object<'a>) -> Result<Vec<Tool<'a>>, ChatError> {
    body.list("tools")?.into_iter().map(|(path, raw)| tool(&Object::at(path, raw)?)).collect()
}

fn tool<'a>(tool: &Object<'a>) -> Result<Tool<'a>, ChatError> {
    // Those of another type are Anthropic's own, and are not among these.
    tool.text("type")?;
    let name = tool.needed_text("name", "name the tool")?;
    let parameters = tool.raw("input_schema").ok_or_else(|| tool.missing("input_schema", "send a JSON schema"))?;
    let function = Function {
        name,
        description: tool.text("description")?,
        parameters: Some(parameters),
        strict: tool.flag("strict")?,
    };
    Ok(Tool::Function { function, cache_control: tool.raw("cache_control") })
}

/// The choice among them, and whether several may be called at once.
pub(super) fn choice(body: &Object<'_>) -> Result<(Option<ToolChoice>, Option<bool>), ChatError> {
    let Some(choice) = body.object("tool_choice")? else { return Ok((None, None)) };
    let parallel = choice.flag("disable_parallel_tool_use")?.map(|disable| !disable);
    let kind = choice.needed_text("type", "say `auto`, `any`, `tool` or `none`")?;
    let choice = match kind.as_str() {
        "auto" => ToolChoice::Mode("auto"),
        "any" => ToolChoice::Mode("required"),
        "none" => ToolChoice::Mode("none"),
        "tool" => ToolChoice::function(&choice.needed_text("name", "name the tool")?),
        _ => return Err(choice.wrong("type", "`auto`, `any`, `tool` or `none`")),
    };
    Ok((Some(choice), parallel))
}
