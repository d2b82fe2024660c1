//! Whether a value follows a JSON schema: the part of the language that providers accept for structured output. Pure.
//!
//! Keywords that are not known here are not checked, so that a value is never called wrong that is right.

use serde_json::{Map, Value};

/// Deeper than anyone writes; what is deeper is not checked.
const DEPTH: usize = 64;

/// Whether a value follows a schema as far as that is checked.
#[must_use]
pub fn follows(value: &Value, schema: &Value) -> bool {
    Check { root: schema }.is_right(value, schema, DEPTH)
}

struct Check<'a> {
    root: &'a Value,
}

impl Check<'_> {
    fn is_right(&self, value: &Value, schema: &Value, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return true };
        let Some(schema) = schema.as_object() else { return schema != &Value::Bool(false) };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return found.is_none_or(|found| self.is_right(value, found, depth));
        }
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        let follows = |one: &Value| self.is_right(value, one, depth);
        is_of_type(value, schema.get("type"))
            && list("enum").is_none_or(|allowed| allowed.contains(value))
            && schema.get("const").is_none_or(|only| only == value)
            && list("anyOf").is_none_or(|any| any.iter().any(follows))
            && list("oneOf").is_none_or(|one| one.iter().filter(|one| follows(one)).count() == 1)
            && list("allOf").is_none_or(|all| all.iter().all(follows))
            && is_in_range(value, schema)
            && self.has_right_fields(value, schema, depth)
            && self.has_right_items(value, schema, depth)
    }

    fn has_right_fields(&self, value: &Value, schema: &Map<String, Value>, depth: usize) -> bool {
        let Some(fields) = value.as_object() else { return true };
        let required = schema.get("required").and_then(Value::as_array);
        let has_all =
            required.is_none_or(|names| names.iter().filter_map(Value::as_str).all(|name| fields.contains_key(name)));
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        has_all
            && fields.iter().all(|(name, field)| match known.and_then(|known| known.get(name)) {
                Some(schema) => self.is_right(field, schema, depth),
                // Names may be allowed by a pattern, which is not checked.
                None if schema.contains_key("patternProperties") => true,
                None => others.is_none_or(|others| self.is_right(field, others, depth)),
            })
    }

    fn has_right_items(&self, value: &Value, schema: &Map<String, Value>, depth: usize) -> bool {
        let Some(items) = value.as_array() else { return true };
        let is_enough = |key: &str, fits: fn(u64, u64) -> bool| {
            schema.get(key).and_then(Value::as_u64).is_none_or(|bound| fits(items.len() as u64, bound))
        };
        let leading = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
        is_enough("minItems", |length, least| length >= least)
            && is_enough("maxItems", |length, most| length <= most)
            && schema
                .get("items")
                .is_none_or(|schema| items.iter().skip(leading).all(|item| self.is_right(item, schema, depth)))
    }
}

fn is_of_type(value: &Value, wanted: Option<&Value>) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    match wanted {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        Some(_) | None => true,
    }
}

fn is_in_range(value: &Value, schema: &Map<String, Value>) -> bool {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let number = value.as_f64();
    let length = value.as_str().map(|text| text.chars().count() as f64);
    let holds = |given: Option<f64>, key: &str, fits: fn(f64, f64) -> bool| match (given, bound(key)) {
        (Some(given), Some(bound)) => fits(given, bound),
        (Some(_) | None, _) => true,
    };
    holds(number, "minimum", |given, bound| given >= bound)
        && holds(number, "maximum", |given, bound| given <= bound)
        && holds(number, "exclusiveMinimum", |given, bound| given > bound)
        && holds(number, "exclusiveMaximum", |given, bound| given < bound)
        && holds(length, "minLength", |given, bound| given >= bound)
        && holds(length, "maxLength", |given, bound| given <= bound)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_structured_output_uses_is_checked() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 1 },
                "kind": { "enum": ["a", "b"] },
                "age": { "type": ["integer", "null"], "minimum": 0 },
                "parts": { "type": "array", "items": { "$ref": "#/$defs/part" }, "maxItems": 2 },
                "either": { "anyOf": [{ "type": "string" }, { "const": 7 }] }
            },
            "required": ["name", "kind"],
            "additionalProperties": false,
            "$defs": { "part": { "type": "object", "properties": { "part": { "$ref": "#/$defs/part" } }, "required": ["n"] } }
        });
        for right in [
            json!({ "name": "x", "kind": "a" }),
            json!({ "name": "x", "kind": "b", "age": null, "parts": [{ "n": 1, "part": { "n": 2 } }], "either": 7 }),
        ] {
            assert!(follows(&right, &schema), "{right}");
        }
        for wrong in [
            json!([]),
            json!({ "name": "x" }),
            json!({ "name": "", "kind": "a" }),
            json!({ "name": "x", "kind": "c" }),
            json!({ "name": "x", "kind": "a", "more": 1 }),
            json!({ "name": "x", "kind": "a", "age": 1.5 }),
            json!({ "name": "x", "kind": "a", "age": -1 }),
            json!({ "name": "x", "kind": "a", "parts": [{ "n": 1, "part": {} }] }),
            json!({ "name": "x", "kind": "a", "parts": [{ "n": 1 }, { "n": 1 }, { "n": 1 }] }),
            json!({ "name": "x", "kind": "a", "either": 8 }),
        ] {
            assert!(!follows(&wrong, &schema), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_held_against_a_value() {
        for schema in
            [json!(true), json!({}), json!({ "pattern": "^a$", "format": "date" }), json!({ "$ref": "http://x/y" })]
        {
            assert!(follows(&json!("anything"), &schema), "{schema}");
        }
        let endless = json!({ "$ref": "#" });
        assert!(follows(&json!(1), &endless));
        assert!(!follows(&json!(1), &json!(false)));
    }
}
