//! Functions on offer, and which of them the model should call.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::chat::canonical::{Function, Tool, ToolChoice};
use crate::chat::error::ChatError;
use crate::chat::generate_content::schema::{Objects, json_schema};
use crate::chat::object::Object;

/// A function on offer, its parameters as a JSON schema.
#[derive(Debug)]
pub(super) struct Declared {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
}

/// The functions of a request.
pub(super) fn declared(body: &Object<'_>) -> Result<Vec<Declared>, ChatError> {
    let mut found = Vec::new();
    for (path, raw) in body.list("tools")? {
        let tool = Object::at(path, raw)?.in_camel_case()?;
        if let Some((name, _)) = tool.fields().find(|(name, _)| *name != "functionDeclarations") {
            let expected = "left out: Google's own tools run at Google alone; describe what they do as functions in `functionDeclarations`";
            return Err(tool.wrong(name, expected));
        }
        for (path, raw) in tool.list("functionDeclarations")? {
            found.push(function(&Object::at(path, raw)?.in_camel_case()?)?);
        }
    }
    Ok(found)
}

fn function(declaration: &Object<'_>) -> Result<Declared, ChatError> {
    let parameters = match (declaration.raw("parametersJsonSchema"), declaration.raw("parameters")) {
        (Some(schema), _) => Some(schema.to_owned()),
        (None, Some(schema)) => Some(json_schema(&declaration.path_of("parameters"), schema, Objects::AsSaid)?.raw),
        (None, None) => None,
    };
    Ok(Declared {
        name: declaration.needed_text("name", "name the function")?,
        description: declaration.text("description")?,
        parameters,
    })
}

/// The functions that may be called, and the choice among them. Where only some are allowed, only those are offered.
pub(super) fn offer<'a>(
    declared: &'a [Declared],
    body: &Object<'_>,
) -> Result<(Vec<Tool<'a>>, Option<ToolChoice>), ChatError> {
    let (mut allowed, mut choice) = (HashSet::new(), None);
    if let Some(config) = body.object("toolConfig")?.map(Object::in_camel_case).transpose()?
        && let Some(calling) = config.object("functionCallingConfig")?.map(Object::in_camel_case).transpose()?
    {
        let names = names(&calling)?;
        choice = mode(&calling, &names)?;
        allowed.extend(names);
    }
    let is_offered = |tool: &&Declared| allowed.is_empty() || allowed.contains(&tool.name);
    let tools = declared.iter().filter(is_offered).map(|tool| {
        let (name, description) = (tool.name.clone(), tool.description.clone());
        let function = Function { name, description, parameters: tool.parameters.as_deref(), strict: None };
        Tool::Function { function, cache_control: None }
    });
    Ok((tools.collect(), choice))
}

fn names(calling: &Object<'_>) -> Result<Vec<String>, ChatError> {
    let expected = "a list of names";
    let read =
        |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| calling.wrong("allowedFunctionNames", expected));
    Ok(calling.raw("allowedFunctionNames").map(read).transpose()?.unwrap_or_default())
}

fn mode(calling: &Object<'_>, allowed: &[String]) -> Result<Option<ToolChoice>, ChatError> {
    let mode = calling.text("mode")?.map(|mode| mode.to_ascii_uppercase());
    Ok(Some(match (mode.as_deref(), allowed) {
        (None | Some("MODE_UNSPECIFIED"), _) => return Ok(None),
        (Some("AUTO" | "VALIDATED"), _) => ToolChoice::Mode("auto"),
        (Some("NONE"), _) => ToolChoice::Mode("none"),
        (Some("ANY"), [name]) => ToolChoice::function(name),
        (Some("ANY"), _) => ToolChoice::Mode("required"),
        (Some(_), _) => return Err(calling.wrong("mode", "`AUTO`, `ANY`, `VALIDATED` or `NONE`")),
    }))
}
