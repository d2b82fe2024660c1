//! Schemas as Google writes them, which are OpenAPI's: types in capitals, `nullable`, numbers as texts. As JSON schemas, which every other
//! provider reads. The order of properties stays.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::chat::error::ChatError;
use crate::chat::object::{Object, Shape, camel, elements, shape};

/// Deeper than anyone writes.
const DEPTH: usize = 64;

/// Keywords whose value is a schema, a list of them, and an object of them.
const SCHEMA: [&str; 3] = ["items", "additionalProperties", "not"];
const LIST: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];

/// What OpenAI takes in a schema that answers are held to.
const STRICT: [&str; 19] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "enum",
    "const",
    "description",
    "title",
    "$ref",
    "$defs",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "format",
];

/// Numbers that Google's clients write as texts.
const COUNTS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// What an object may have beside the properties that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objects {
    /// What the schema says.
    AsSaid,
    /// Nothing, where the schema does not say: that is what Gemini gives, and what others want to be told.
    Closed,
}

/// A JSON schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) raw: Box<RawValue>,
    /// Whether OpenAI can hold an answer to it: every object names all that it has.
    pub(super) is_strict: bool,
}

/// Reads the schema at a path. One that is a JSON schema already keeps its meaning.
///
/// # Errors
/// What is no object, and what is nested too deep.
pub(super) fn json_schema(path: &str, raw: &RawValue, objects: Objects) -> Result<Schema, ChatError> {
    if raw.get().as_bytes().first() != Some(&b'{') {
        return Err(ChatError::Wrong { field: path.to_owned(), expected: "a schema: an object" });
    }
    let mut writer = Writer { objects, depth: DEPTH, is_strict: true, text: String::with_capacity(raw.get().len()) };
    writer.schema(path, raw)?;
    let raw = RawValue::from_string(writer.text).map_err(|error| ChatError::NotJson { problem: error.to_string() })?;
    Ok(Schema { raw, is_strict: writer.is_strict })
}

struct Writer {
    objects: Objects,
    /// How much deeper it may go.
    depth: usize,
    is_strict: bool,
    text: String,
}

impl Writer {
    fn schema(&mut self, path: &str, raw: &RawValue) -> Result<(), ChatError> {
        // Other values than objects, such as `true`, say all that they can.
        if raw.get().as_bytes().first() != Some(&b'{') {
            self.text.push_str(raw.get());
            return Ok(());
        }
        self.depth = self.depth.checked_sub(1).ok_or_else(|| {
            let expected = "nested less deep";
            ChatError::Wrong { field: path.to_owned(), expected }
        })?;
        let fields: Vec<(String, &RawValue)> =
            Object::at(path.to_owned(), raw)?.into_fields().map(|(name, raw)| (camel(&name), raw)).collect();
        let of = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, raw)| *raw);
        let is_nullable = of("nullable").is_some_and(|raw| raw.get() == "true");
        self.text.push('{');
        for (name, raw) in &fields {
            let (name, raw, path) = (name.as_str(), *raw, format!("{path}.{name}"));
            match name {
                "nullable" | "propertyOrdering" | "example" => continue,
                "format" if !is_known_format(raw) => continue,
                "type" => self.field(name, &kind(raw, is_nullable)),
                "anyOf" if is_nullable => self.list(&path, (name, raw), ",{\"type\":\"null\"}")?,
                _ if LIST.contains(&name) => self.list(&path, (name, raw), "")?,
                _ if SCHEMA.contains(&name) => {
                    self.name(name);
                    self.schema(&path, raw)?;
                }
                _ if NAMED.contains(&name) => self.named(&path, (name, raw))?,
                _ if COUNTS.contains(&name) => self.field(name, raw.get().trim_matches('"')),
                _ => self.field(name, raw.get()),
            }
            self.is_strict &= STRICT.contains(&name);
        }
        let is_object = of("properties").is_some() || of("type").is_some_and(|raw| kind(raw, false) == "\"object\"");
        if is_object {
            if self.objects == Objects::Closed && of("additionalProperties").is_none() {
                self.field("additionalProperties", "false");
            } else {
                self.is_strict &= of("additionalProperties").is_some_and(|raw| raw.get() == "false");
            }
            self.is_strict &= requires_all(of("properties"), of("required"));
        }
        self.text.push('}');
        self.depth += 1;
        Ok(())
    }

    /// Schemas in a list, and more of them.
    fn list(&mut self, path: &str, (name, raw): (&str, &RawValue), more: &str) -> Result<(), ChatError> {
        self.name(name);
        self.text.push('[');
        for (at, (path, raw)) in elements(path, raw)?.into_iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            self.schema(&path, raw)?;
        }
        self.text.push_str(if self.text.ends_with('[') { more.trim_start_matches(',') } else { more });
        self.text.push(']');
        Ok(())
    }

    /// Schemas by name. The names are the caller's.
    fn named(&mut self, path: &str, (name, raw): (&str, &RawValue)) -> Result<(), ChatError> {
        self.name(name);
        self.text.push('{');
        for (name, raw) in Object::at(path.to_owned(), raw)?.into_fields() {
            self.name(&name);
            self.schema(&format!("{path}.{name}"), raw)?;
        }
        self.text.push('}');
        Ok(())
    }

    fn field(&mut self, name: &str, json: &str) {
        self.name(name);
        self.text.push_str(json);
    }

    fn name(&mut self, name: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push_str(&serde_json::Value::from(name).to_string());
        self.text.push(':');
    }
}

/// A type, in small letters.
fn kind(raw: &RawValue, is_nullable: bool) -> String {
    let told = raw.get().to_ascii_lowercase();
    match shape(raw) {
        Shape::Text if is_nullable => format!("[{told},\"null\"]"),
        Shape::Text | Shape::List | Shape::Other => told,
    }
}

/// Formats of numbers and of enums are Google's own.
fn is_known_format(raw: &RawValue) -> bool {
    !["\"int32\"", "\"int64\"", "\"float\"", "\"double\"", "\"enum\""].contains(&raw.get())
}

fn requires_all(properties: Option<&RawValue>, required: Option<&RawValue>) -> bool {
    let Some(properties) = properties else { return true };
    let required: HashSet<String> = required.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let properties = Object::at(String::new(), properties).map(|object| object.into_fields().collect::<Vec<_>>());
    properties.is_ok_and(|properties| properties.iter().all(|(name, _)| required.contains(name)))
}
