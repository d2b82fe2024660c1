//! The embeddings request and its answer: what we act on is read, everything else passes through untouched.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::error::ChatError;
use crate::chat::openai::top_level;
use crate::chat::usage::{Completion, NotAnAnswer, PublicModel, present, read_usage};
use crate::domain::prompt::estimate_tokens;

/// An embeddings request.
#[derive(Debug)]
pub struct EmbeddingsRequest {
    /// Every top-level field but `model` and `trimtab`, in order, exactly as sent.
    fields: Vec<(String, Box<RawValue>)>,
    /// The model asked for; `None` where the request named none, or `auto`.
    pub model: Option<String>,
    /// About how many tokens the inputs have.
    pub input_tokens: u64,
}

impl EmbeddingsRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// Bytes that are not UTF-8 or not JSON, and an `input` that is missing, empty, or neither texts nor tokens.
    pub fn parse(body: &[u8]) -> Result<Self, ChatError> {
        let text = std::str::from_utf8(body).map_err(|error| ChatError::NotUtf8 { offset: error.valid_up_to() })?;
        let entries = top_level(text)?;
        let field = |name: &str| {
            entries.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
        };
        let wrong = |field: &str, expected| ChatError::Wrong { field: field.to_owned(), expected };
        let model = field("model").map(|raw| serde_json::from_str::<String>(raw.get())).transpose();
        let model = model.map_err(|_| wrong("model", "a text"))?.filter(|model| model != "auto");
        let fix = "send a text, or a list of texts";
        let input = field("input").ok_or(ChatError::Missing { field: "input".to_owned(), fix })?;
        let expected = "a text, a list of texts, or tokens, and not empty";
        let input: Value = serde_json::from_str(input.get()).map_err(|_| wrong("input", expected))?;
        let input_tokens = tokens(&input, Depth::Outer).ok_or_else(|| wrong("input", expected))?;
        let fields = entries.into_iter().filter(|(key, _)| key != "model" && key != "trimtab");
        Ok(Self { fields: fields.map(|(key, raw)| (key, raw.to_owned())).collect(), model, input_tokens })
    }

    /// The body for an upstream: its own model name, and all other fields as the client sent them.
    #[must_use]
    pub fn body_for(&self, upstream_model: &str) -> Bytes {
        let mut body = format!("{{\"model\":{}", json!(upstream_model));
        for (key, raw) in &self.fields {
            body.push_str(&format!(",{}:{}", json!(key), raw.get()));
        }
        body.push('}');
        Bytes::from(body)
    }
}

/// How deep in an input a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outer,
    Inner,
}

/// About how many tokens an input has. `None` for what is no input.
fn tokens(input: &Value, depth: Depth) -> Option<u64> {
    match (input, depth) {
        (Value::String(text), _) => (!text.is_empty()).then(|| estimate_tokens(text.len())),
        (Value::Array(items), _) if items.iter().all(Value::is_u64) => {
            (!items.is_empty()).then_some(items.len() as u64)
        }
        (Value::Array(items), Depth::Outer) => items.iter().map(|item| tokens(item, Depth::Inner)).sum(),
        (Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_), _) => None,
    }
}

impl Completion {
    /// Reads an answer with embeddings and names the model that served it.
    ///
    /// # Errors
    /// When the bytes are not such an answer.
    pub fn read_embeddings(body: Bytes, model: &PublicModel) -> Result<Self, NotAnAnswer> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(default, borrow, deserialize_with = "present")]
            model: Option<&'a RawValue>,
            data: Option<Vec<IgnoredAny>>,
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
        }
        if body.is_empty() {
            return Err(NotAnAnswer::Empty);
        }
        let wire: Wire<'_> = serde_json::from_slice(&body).map_err(|_| NotAnAnswer::NotJson)?;
        if wire.data.is_none_or(|data| data.is_empty()) {
            return Err(NotAnAnswer::NoEmbeddings);
        }
        let usage = wire.usage.and_then(read_usage);
        let Some(named) = wire.model else { return Ok(Self { body, usage, output_bytes: 0 }) };
        // The raw value is a part of the body, so the distance of their addresses is its place.
        let start = named.get().as_ptr().addr() - body.as_ptr().addr();
        let (head, tail) = (body.get(..start), body.get(start + named.get().len()..));
        let mut edited = BytesMut::with_capacity(body.len() + model.value.len());
        edited.extend_from_slice(head.unwrap_or_default());
        edited.extend_from_slice(&model.value);
        edited.extend_from_slice(tail.unwrap_or_default());
        Ok(Self { body: edited.freeze(), usage, output_bytes: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ModelName;

    fn parse(body: &Value) -> Result<EmbeddingsRequest, ChatError> {
        EmbeddingsRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn reads_texts_and_tokens_and_passes_everything_else_on() {
        for (input, tokens) in
            [(json!("abcdefgh"), 2), (json!(["abcd", "abcde"]), 3), (json!([1, 2, 3]), 3), (json!([[1, 2], [3]]), 3)]
        {
            let request = parse(&json!({ "model": "e", "input": input, "dimensions": 8, "trimtab": {} })).unwrap();

            let sent: Value = serde_json::from_slice(&request.body_for("vendor/e")).unwrap();

            assert_eq!(request.input_tokens, tokens, "{input}");
            assert_eq!(sent, json!({ "model": "vendor/e", "input": input, "dimensions": 8 }));
        }
        assert_eq!(parse(&json!({ "input": "x" })).unwrap().model, None);
    }

    #[test]
    fn refuses_inputs_that_are_none() {
        for input in [
            json!(""),
            json!([]),
            json!([""]),
            json!([[]]),
            json!([[["a"]]]),
            json!(7),
            json!({}),
            json!([1.5]),
            json!(["a", 1]),
        ] {
            assert_eq!(parse(&json!({ "input": input })).unwrap_err().field(), Some("input"), "{input}");
        }
        assert_eq!(parse(&json!({})).unwrap_err().field(), Some("input"));
        assert_eq!(parse(&json!({ "input": "x", "model": 7 })).unwrap_err().field(), Some("model"));
    }

    #[test]
    fn names_the_public_model_and_counts_the_tokens() {
        let body = r#"{"object":"list","data":[{"embedding":[0.1]}],"model":"vendor/e","usage":{"prompt_tokens":5,"total_tokens":5}}"#;
        let model = PublicModel::from(&ModelName::from("e"));

        let read = Completion::read_embeddings(Bytes::from(body), &model).unwrap();

        assert_eq!(read.body, body.replace("vendor/e", "e"));
        assert_eq!(read.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((5, 0)));
        let refused = |body: &'static str| Completion::read_embeddings(Bytes::from_static(body.as_bytes()), &model);
        assert_eq!(refused(r#"{"data":[]}"#), Err(NotAnAnswer::NoEmbeddings));
        assert_eq!(refused(""), Err(NotAnAnswer::Empty));
        assert_eq!(refused("<html>"), Err(NotAnAnswer::NotJson));
    }
}
