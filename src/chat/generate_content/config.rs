//! What `generationConfig` asks for: the form of the answer, and how hard to think about it.

use serde_json::value::RawValue;

use crate::chat::canonical::{JsonSchema, ResponseFormat};
use crate::chat::error::ChatError;
use crate::chat::generate_content::request::Thoughts;
use crate::chat::generate_content::schema::{Objects, Schema, json_schema};
use crate::chat::native::request::{LOW_BUDGET, MEDIUM_BUDGET};
use crate::chat::object::Object;

/// The most candidates that may be asked for, as Google has it.
const MOST_CANDIDATES: u64 = 8;

/// The settings of a request.
#[derive(Debug)]
pub(super) struct Config<'a> {
    /// All of them as sent.
    pub(super) generation: Option<Object<'a>>,
    /// The form of the answer; any text where there is none.
    pub(super) schema: Option<Form>,
    /// Whether OpenAI can be held to the schema.
    pub(super) is_strict: bool,
    pub(super) thinking: Thinking,
    pub(super) candidates: u64,
}

/// How to think, and what of it is told.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// Nothing where the model itself decides.
    pub(super) effort: Option<String>,
    /// Not at all.
    pub(super) is_off: bool,
    pub(super) thoughts: Thoughts,
}

/// JSON as an answer.
#[derive(Debug)]
pub(super) enum Form {
    Any,
    Schema(Box<RawValue>),
}

impl Form {
    pub(super) fn format(&self, is_strict: bool) -> ResponseFormat<'_> {
        match self {
            Self::Any => ResponseFormat::JsonObject,
            Self::Schema(schema) => {
                let strict = is_strict.then_some(true);
                let json_schema = JsonSchema { name: "answer".to_owned(), description: None, strict, schema };
                ResponseFormat::JsonSchema { json_schema }
            }
        }
    }
}

/// Reads the settings.
pub(super) fn config<'a>(body: &Object<'a>) -> Result<Config<'a>, ChatError> {
    let Some(generation) = body.object("generationConfig")?.map(Object::in_camel_case).transpose()? else {
        return Ok(Config {
            generation: None,
            schema: None,
            is_strict: false,
            thinking: Thinking::default(),
            candidates: 1,
        });
    };
    let is_text = |raw: &RawValue| raw.get().trim_matches('"').eq_ignore_ascii_case("text");
    if generation.list("responseModalities")?.iter().any(|(_, raw)| !is_text(raw)) {
        return Err(
            generation.wrong("responseModalities", "`TEXT` or left out: Trimtab gives no pictures and no sound")
        );
    }
    let candidates = generation.count("candidateCount")?.unwrap_or(1);
    if !(1..=MOST_CANDIDATES).contains(&candidates) {
        return Err(generation.wrong("candidateCount", "from 1 to 8"));
    }
    let (schema, is_strict) = form(&generation)?;
    let thinking = thinking(&generation)?;
    Ok(Config { schema, is_strict, thinking, candidates, generation: Some(generation) })
}

/// The form of the answer, and whether OpenAI can be held to it.
fn form(config: &Object<'_>) -> Result<(Option<Form>, bool), ChatError> {
    let schema = ["responseJsonSchema", "_responseJsonSchema", "responseSchema"]
        .into_iter()
        .find_map(|name| Some((config.path_of(name), config.raw(name)?)));
    let (is_json, expected) = match config.text("responseMimeType")?.as_deref() {
        Some("application/json") => (true, ""),
        Some("text/plain") | None => (false, "left out, or `responseMimeType` `application/json`"),
        Some(_) => return Err(config.wrong("responseMimeType", "`application/json` or `text/plain`")),
    };
    match schema {
        Some((field, _)) if !is_json => Err(ChatError::Wrong { field, expected }),
        Some((path, raw)) => {
            let Schema { raw, is_strict } = json_schema(&path, raw, Objects::Closed)?;
            Ok((Some(Form::Schema(raw)), is_strict))
        }
        None => Ok((is_json.then_some(Form::Any), false)),
    }
}

/// How to think, by level or by budget. Where the model itself decides (a budget of -1), nothing is said.
fn thinking(config: &Object<'_>) -> Result<Thinking, ChatError> {
    let Some(wish) = config.object("thinkingConfig")?.map(Object::in_camel_case).transpose()? else {
        return Ok(Thinking::default());
    };
    let thoughts = match wish.flag("includeThoughts")? {
        Some(true) => Thoughts::Told,
        Some(false) | None => Thoughts::Sealed,
    };
    let (effort, is_off) = effort(&wish)?;
    Ok(Thinking { effort, is_off, thoughts })
}

/// How hard to think, and whether not at all.
fn effort(thinking: &Object<'_>) -> Result<(Option<String>, bool), ChatError> {
    if let Some(level) = thinking.text("thinkingLevel")? {
        let level = level.to_ascii_lowercase();
        return match level.as_str() {
            "minimal" | "low" | "medium" | "high" => Ok((Some(level), false)),
            "thinking_level_unspecified" => Ok((None, false)),
            _ => Err(thinking.wrong("thinkingLevel", "`MINIMAL`, `LOW`, `MEDIUM` or `HIGH`")),
        };
    }
    let is_dynamic = thinking.raw("thinkingBudget").is_some_and(|raw| raw.get() == "-1");
    let budget = if is_dynamic { None } else { thinking.count("thinkingBudget")? };
    let effort = match budget {
        None | Some(0) => None,
        Some(..=LOW_BUDGET) => Some("low".to_owned()),
        Some(..=MEDIUM_BUDGET) => Some("medium".to_owned()),
        Some(_) => Some("high".to_owned()),
    };
    Ok((effort, budget == Some(0)))
}
