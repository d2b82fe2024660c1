//! The request as it is written to upstreams.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::native::thoughts;
use crate::chat::openai::{ChatRequest, push_field, push_json};

impl ChatRequest {
    /// The body for an upstream of OpenAI's dialect: its own model name, no `trimtab` object, and for a stream a request for usage. All
    /// other fields are the client's bytes.
    #[must_use]
    pub fn body_for(&self, upstream_model: &str) -> Bytes {
        self.body(upstream_model, &[])
    }

    /// The same for an upstream that it will be translated for: with the marks, thoughts and settings of other dialects, which a server
    /// of OpenAI's may refuse.
    #[must_use]
    pub fn body_to_translate(&self, upstream_model: &str) -> Bytes {
        self.body(upstream_model, &self.aside)
    }

    /// The body for a server of OpenAI's dialect that wants the thoughts of earlier turns as `reasoning_content`.
    #[must_use]
    pub fn body_with_thoughts(&self, upstream_model: &str) -> Bytes {
        let named = |fields: &[(String, Box<RawValue>)]| fields.iter().position(|(name, _)| name == "messages");
        let told = named(&self.fields).zip(named(&self.aside)).and_then(|(plain, rich)| {
            let (name, plain) = self.fields.get(plain)?;
            Some((name.clone(), thoughts::with(plain, &self.aside.get(rich)?.1)?))
        });
        self.body(upstream_model, told.as_slice())
    }

    fn body(&self, upstream_model: &str, aside: &[(String, Box<RawValue>)]) -> Bytes {
        let size = self.fields.iter().chain(aside).map(|(key, raw)| key.len() + raw.get().len() + 4).sum::<usize>();
        let mut body = Vec::with_capacity(size + upstream_model.len() + 64);
        body.extend_from_slice(b"{\"model\":");
        push_json(&mut body, upstream_model);
        let is_aside = |name: &str| aside.iter().any(|(key, _)| key == name);
        for (key, raw) in self.fields.iter().filter(|(key, _)| !is_aside(key)).chain(aside) {
            let injects = self.stream && key == "stream_options" && !self.wants_usage;
            if !injects {
                push_field(&mut body, key, raw.get());
            }
        }
        if self.stream && !self.wants_usage {
            push_field(&mut body, "stream_options", &self.stream_options_with_usage());
        }
        body.push(b'}');
        Bytes::from(body)
    }

    /// The client's stream options with `include_usage` switched on.
    fn stream_options_with_usage(&self) -> String {
        let given = self.fields.iter().find(|(key, _)| key == "stream_options");
        let mut options = given
            .and_then(|(_, raw)| serde_json::from_str::<serde_json::Map<String, Value>>(raw.get()).ok())
            .unwrap_or_default();
        options.insert("include_usage".to_owned(), Value::Bool(true));
        Value::Object(options).to_string()
    }
}
