//! Whether a value follows a JSON schema: the part of the language that providers accept for structured output. Pure.
//!
//! Keywords that are not known here are not checked, so that a value is never called wrong that is right.

use std::cell::Cell;

use serde_json::{Map, Value};

/// Deeper than anyone writes.
const DEPTH: usize = 64;
/// More than any schema that is meant takes. The caller writes the schema, and a few words of it may ask for more than a machine can do.
const STEPS: usize = 100_000;
/// Bytes of text that take about as long as any other step.
const BYTES_PER_STEP: usize = 256;

/// Whether a value follows a schema as far as that is checked. What would take too many steps, or go too deep, is not checked to its end and
/// counts as right.
#[must_use]
pub fn follows(value: &Value, schema: &Value) -> bool {
    let check = Check { root: schema, steps: Cell::new(STEPS) };
    check.is_right(value, schema, DEPTH) || check.steps.get() == 0
}

struct Check<'a> {
    root: &'a Value,
    /// How many are left.
    steps: Cell<usize>,
}

impl Check<'_> {
    /// Goes so many steps; false when none is left.
    fn goes_on(&self, steps: usize) -> bool {
        self.steps.set(self.steps.get().saturating_sub(steps));
        self.steps.get() > 0
    }

    fn is_right(&self, value: &Value, schema: &Value, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            self.steps.set(0);
            return true;
        };
        if !self.goes_on(1) {
            return true;
        }
        let Some(schema) = schema.as_object() else { return schema != &Value::Bool(false) };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            if !self.goes_on(target.len() / BYTES_PER_STEP) {
                return true;
            }
            let found = target.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return found.is_none_or(|found| self.is_right(value, found, depth));
        }
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        let follows = |one: &Value| self.is_right(value, one, depth);
        is_of_type(value, schema.get("type"))
            && list("enum").is_none_or(|allowed| allowed.iter().any(|one| self.is_equal(one, value)))
            && schema.get("const").is_none_or(|only| self.is_equal(only, value))
            && list("anyOf").is_none_or(|any| any.iter().any(follows))
            && list("oneOf").is_none_or(|one| one.iter().filter(|one| follows(one)).count() == 1)
            && list("allOf").is_none_or(|all| all.iter().all(follows))
            && self.is_in_range(value, schema)
            && self.has_right_fields(value, schema, depth)
            && self.has_right_items(value, schema, depth)
    }

    fn has_right_fields(&self, value: &Value, schema: &Map<String, Value>, depth: usize) -> bool {
        let Some(fields) = value.as_object() else { return true };
        let required = schema.get("required").and_then(Value::as_array);
        let has = |name: &str| !self.goes_on(1) || fields.contains_key(name);
        let has_all = required.is_none_or(|names| names.iter().filter_map(Value::as_str).all(has));
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

    fn is_in_range(&self, value: &Value, schema: &Map<String, Value>) -> bool {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let number = value.as_f64();
        let text = value.as_str().filter(|_| schema.contains_key("minLength") || schema.contains_key("maxLength"));
        let length =
            text.filter(|text| self.goes_on(text.len() / BYTES_PER_STEP)).map(|text| text.chars().count() as f64);
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

    /// Whether two values are the same JSON; 1 is 1.0.
    fn is_equal(&self, one: &Value, other: &Value) -> bool {
        if !self.goes_on(1) {
            return true;
        }
        match (one, other) {
            (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
            (Value::String(a), Value::String(b)) => self.goes_on(a.len().min(b.len()) / BYTES_PER_STEP) && a == b,
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.is_equal(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                let same = |(name, one)| b.get(name).is_some_and(|other| self.is_equal(one, other));
                a.len() == b.len() && a.iter().all(same)
            }
            (Value::Null | Value::Bool(_) | Value::Number(_), _) => one == other,
            (Value::String(_) | Value::Array(_) | Value::Object(_), _) => false,
        }
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
        for (allowed, value) in [(json!(1), json!(1.0)), (json!([{ "a": 2.0 }]), json!([{ "a": 2 }]))] {
            assert!(follows(&value, &json!({ "enum": [allowed] })), "{value}");
            assert!(follows(&value, &json!({ "const": allowed })), "{value}");
        }
        let endless = json!({ "$ref": "#" });
        assert!(follows(&json!(1), &endless));
        assert!(!follows(&json!(1), &json!(false)));
    }
    #[test]
    fn a_schema_that_asks_for_more_than_can_be_done_is_not_checked_to_its_end() {
        let again = json!({ "$ref": "#" });
        let allowed: Vec<u32> = (0..2_000).collect();
        let items = vec![json!(1_999); 2_000];
        for (value, schema) in [
            (json!(1), json!({ "allOf": [again, again] })),
            (json!(1), json!({ "oneOf": [again, again, again] })),
            (json!([1]), json!({ "anyOf": [{ "items": again }, again], "oneOf": [again, { "items": again }] })),
            (json!(items), json!({ "items": { "enum": allowed } })),
            (json!("x".repeat(1 << 20)), json!({ "allOf": vec![json!({ "minLength": 1 }); 50_000] })),
        ] {
            let check = Check { root: &schema, steps: Cell::new(STEPS) };

            assert!(follows(&value, &schema));
            check.is_right(&value, &schema, DEPTH);
            assert_eq!(check.steps.get(), 0, "that there was an end is why this test has one");
        }
    }
}
