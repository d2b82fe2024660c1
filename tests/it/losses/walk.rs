//! What became of a value: the two translations, with it and without it, are compared place by place.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::losses::Probe;

/// Most places that a cell names.
const MOST_PLACES: usize = 3;

/// What becomes of something that is translated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    /// The same value at these places.
    At(Vec<String>),
    /// In other words at these places.
    Becomes(Vec<String>),
    /// Something that was said without it is not said with it.
    TakesAway(Vec<String>),
    LeftOut,
    AnotherModel,
    Refused,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |places: &[String]| {
            let more = if places.len() > MOST_PLACES { ", …" } else { "" };
            let named: Vec<String> = places.iter().take(MOST_PLACES).map(|place| format!("`{place}`")).collect();
            named.join(", ") + more
        };
        match self {
            Self::Kept => f.write_str("kept"),
            Self::At(at) => f.write_str(&places(at)),
            Self::Becomes(at) => write!(f, "becomes {}", places(at)),
            Self::TakesAway(at) => write!(f, "takes away {}", places(at)),
            Self::LeftOut => f.write_str("left out"),
            Self::AnotherModel => f.write_str("another model"),
            Self::Refused => f.write_str("400"),
        }
    }
}

/// The places where two values differ, each with whether what was looked for is there.
#[derive(Default)]
struct Places {
    /// What is there with it and was not, or was another.
    new: BTreeMap<String, Is>,
    gone: BTreeMap<String, Is>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    Else,
    Given,
}

/// What became of the probe, by the translations without it and with it.
pub(super) fn fate(probe: &Probe, (without, with): (&Value, &Value)) -> Fate {
    let sent = places((&probe.without, &probe.with), &probe.given);
    let told = places((without, with), &probe.given);
    let of = |places: &BTreeMap<String, Is>, is: Is| -> Vec<String> {
        places.iter().filter(|(_, found)| **found == is).map(|(place, _)| place.clone()).collect()
    };
    let (same, others) = (of(&told.new, Is::Given), of(&told.new, Is::Else));
    if same.is_empty() && others.is_empty() {
        let gone: Vec<String> = told.gone.into_keys().collect();
        return if gone.is_empty() { Fate::LeftOut } else { Fate::TakesAway(gone) };
    }
    if same.is_empty() {
        Fate::Becomes(others)
    } else if same == of(&sent.new, Is::Given) {
        Fate::Kept
    } else {
        Fate::At(same)
    }
}

fn places((without, with): (&Value, &Value), given: &Value) -> Places {
    let mut places = Places::default();
    walk("", (Some(without), Some(with)), (given, &mut places));
    places
}

fn walk(at: &str, (without, with): (Option<&Value>, Option<&Value>), (given, places): (&Value, &mut Places)) {
    if without == with {
        return;
    }
    let Some(with) = with else {
        places.gone.insert(at.to_owned(), Is::Else);
        return;
    };
    let none = (Map::new(), Vec::new());
    match with {
        found if is_given(found, given) => drop(places.new.insert(at.to_owned(), Is::Given)),
        Value::Object(fields) if !fields.is_empty() || without.is_some_and(Value::is_object) => {
            let before = without.and_then(Value::as_object).unwrap_or(&none.0);
            for name in before.keys().filter(|name| !fields.contains_key(*name)) {
                walk(&joined(at, name), (before.get(name), None), (given, places));
            }
            for (name, value) in fields {
                walk(&joined(at, name), (before.get(name), Some(value)), (given, places));
            }
        }
        Value::Array(items) if !items.is_empty() || without.is_some_and(Value::is_array) => {
            let before = without.and_then(Value::as_array).unwrap_or(&none.1);
            for item in before.iter().skip(items.len()) {
                walk(&format!("{at}[]"), (Some(item), None), (given, places));
            }
            for (place, item) in items.iter().enumerate() {
                walk(&format!("{at}[]"), (before.get(place), Some(item)), (given, places));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            let found = places.new.entry(at.to_owned()).or_insert(Is::Else);
            *found = (*found).max(Is::Else);
        }
    }
}

fn joined(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// Whether a value is the one that is looked for; a text may have something before or behind it, and JSON may be told as a text.
fn is_given(found: &Value, given: &Value) -> bool {
    match (found, given) {
        (Value::String(found), Value::String(given)) => found.contains(given.as_str()),
        (Value::String(found), Value::Object(_)) => {
            serde_json::from_str::<Value>(found).is_ok_and(|found| found == *given)
        }
        (found, given) => found == given,
    }
}

#[test]
fn a_probe_is_kept_moved_changed_or_lost() {
    use serde_json::json;
    let probe = Probe { name: "x", given: json!(5), without: json!({ "a": 1 }), with: json!({ "a": 1, "x": 5 }) };
    let told = |without: Value, with: Value| fate(&probe, (&without, &with)).to_string();

    assert_eq!(told(json!({ "a": 1 }), json!({ "a": 1, "x": 5 })), "kept");
    assert_eq!(told(json!({}), json!({ "y": [{ "z": 5 }] })), "`y[].z`");
    assert_eq!(told(json!({ "y": 1 }), json!({ "y": 2 })), "becomes `y`");
    assert_eq!(told(json!({ "y": 1 }), json!({})), "takes away `y`");
    assert_eq!(told(json!({ "y": 1 }), json!({ "y": 1 })), "left out");
}
