//! The embeddings request: what we act on is read, everything else passes through untouched.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::error::ChatError;
use crate::chat::object::{Object, Shape, shape};
use crate::chat::openai::{push_field, push_json};
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
        let body = Object::body(body)?;
        let model = body.text("model")?.filter(|model| model != "auto");
        let fix = "send a text, or a list of texts";
        let input = body.raw("input").ok_or_else(|| body.missing("input", fix))?;
        let expected = "a text, a list of texts, or tokens, and not empty";
        let input_tokens = tokens(input, Depth::Outer).ok_or_else(|| body.wrong("input", expected))?;
        let fields = body.into_fields().filter(|(key, _)| key != "model" && key != "trimtab");
        Ok(Self { fields: fields.map(|(key, raw)| (key, raw.to_owned())).collect(), model, input_tokens })
    }

    /// The body for an upstream: its own model name, and all other fields as the client sent them.
    #[must_use]
    pub fn body_for(&self, upstream_model: &str) -> Bytes {
        let size = self.fields.iter().map(|(key, raw)| key.len() + raw.get().len() + 4).sum::<usize>();
        let mut body = Vec::with_capacity(size + upstream_model.len() + 16);
        body.extend_from_slice(b"{\"model\":");
        push_json(&mut body, upstream_model);
        for (key, raw) in &self.fields {
            push_field(&mut body, key, raw.get());
        }
        body.push(b'}');
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
fn tokens(input: &RawValue, depth: Depth) -> Option<u64> {
    match shape(input) {
        Shape::Text => {
            let text: String = serde_json::from_str(input.get()).ok()?;
            (!text.is_empty()).then(|| estimate_tokens(text.len()))
        }
        Shape::List => match (serde_json::from_str::<Vec<u64>>(input.get()), depth) {
            (Ok(tokens), _) => (!tokens.is_empty()).then_some(tokens.len() as u64),
            (Err(_), Depth::Outer) => {
                let items: Vec<&RawValue> = serde_json::from_str(input.get()).ok()?;
                items.into_iter().map(|item| tokens(item, Depth::Inner)).sum()
            }
            (Err(_), Depth::Inner) => None,
        },
        Shape::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::usage::{Completion, NotAnAnswer, PublicModel};
    use crate::domain::ids::ModelName;

    fn parse(body: &Value) -> Result<EmbeddingsRequest, ChatError> {
        EmbeddingsRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn reads_texts_and_tokens_and_passes_everything_else_on() {
        for (input, tokens) in [
            (json!("abcdefgh"), 2),
            (json!(["abcd", "abcde"]), 3),
            (json!([1, 2, 3]), 3),
            (json!([[1, 2], [3]]), 3),
            (json!("\u{e9}\"\n"), 1),
        ] {
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
        let strange = Bytes::from_static(b"{\"data\":[[0.1]],\"made_up\":\"\xff\"}");
        assert_eq!(Completion::read_embeddings(strange, &model), Err(NotAnAnswer::NotJson));
        let nameless = Completion::read_embeddings(Bytes::from_static(br#"{"data":[[0.1]]}"#), &model);
        assert_eq!(nameless.unwrap().body, r#"{"model":"e","data":[[0.1]]}"#);
    }
}
