//! How much of an answer a delta or a message holds.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What is read of it.
#[derive(Default)]
pub(super) struct Delta {
    /// Whether it holds a part of the answer itself. A role alone is none.
    pub(super) is_semantic: bool,
    /// Bytes of answer, as written in JSON.
    pub(super) bytes: usize,
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Delta;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a delta object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta, A::Error> {
                let mut delta = Delta::default();
                while let Some(Key(key)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    let is_empty = matches!(value.get(), "null" | "\"\"" | "[]" | "{}");
                    if !is_empty && key != "role" {
                        delta.is_semantic = true;
                        delta.bytes += match key.as_ref() {
                            "tool_calls" => tool_bytes(value),
                            // What was thought, once more, with its signature.
                            "thinking_blocks" => 0,
                            _ => text_bytes(value),
                        };
                    }
                }
                Ok(delta)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_bytes(value: &RawValue) -> usize {
    let text = value.get();
    if text.starts_with('"') { text.len() - 2 } else { text.len() }
}

/// The bytes that a model wrote of tool calls: names and arguments, not the frame around them.
fn tool_bytes(value: &RawValue) -> usize {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        function: Option<Function<'a>>,
    }
    #[derive(Deserialize)]
    struct Function<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let calls: Vec<Call<'_>> = serde_json::from_str(value.get()).unwrap_or_default();
    let functions = calls.into_iter().filter_map(|call| call.function);
    functions.flat_map(|function| [function.name, function.arguments]).flatten().map(text_bytes).sum()
}
