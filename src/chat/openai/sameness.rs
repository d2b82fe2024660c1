//! What makes two requests the same: digests of a form in which the order of fields and the spelling of numbers do not count.

use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};

use crate::chat::openai::{ChatRequest, MESSAGES, MESSAGES_MORE, RESPONSES};

/// Fields that do not change an answer: how it is sent, and what providers file it under.
const IGNORED: [&str; 10] = [
    "stream",
    "stream_options",
    "user",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "store",
];

/// The longest last message that is compared by its meaning, in bytes. Encoders read the start of longer ones only.
const MAX_ASK_BYTES: usize = 1_200;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// A request in the form in which it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Sameness {
    /// The digest of everything that may change the answer, the wanted model and the router's options included.
    pub digest: Digest,
    /// The last message apart from all else; `None` where that is not wanted, or where it is not plain text of a user, or is long.
    pub ask: Option<AskApart>,
}

/// Whether the last message is wanted apart, which takes a second digest of everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// It is.
    Wanted,
    /// It is not.
    Not,
}

/// The last user message, and a digest of everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskApart {
    /// Its text, without the space around it.
    pub text: String,
    /// The digest of all that may change the answer but this text: earlier messages, tools, sampling, the wanted model.
    pub rest: Digest,
}

/// What a request says about chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Temperature zero: the same answer every time.
    Greedy,
    /// Nothing: the provider's default holds.
    Unsaid,
    /// A temperature above zero.
    Random,
}

impl ChatRequest {
    /// What other requests are compared with. `None` where a number has no value in 64 bits, so that nothing can be said about its equality.
    #[must_use]
    pub fn sameness(&self, apart: Apart) -> Option<Sameness> {
        let mut fields = Vec::with_capacity(self.fields.len());
        // What is kept aside of messages and tools are marks for caches and thoughts, which are no part of what is asked; a client's own
        // words for what the fields say are said by them.
        let said = ["messages", "tools", RESPONSES, MESSAGES];
        let aside = self.aside.iter().filter(|(name, _)| !said.contains(&name.as_str()));
        for (name, raw) in self.fields.iter().chain(aside) {
            if !IGNORED.contains(&name.as_str()) && raw.get() != "null" {
                fields.push((name.as_str(), serde_json::from_str::<Value>(raw.get()).ok()?));
            }
        }
        fields.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let options = format!("{:?}", (&self.options.policy, &self.options.limits));
        let sum = |last: Last| {
            let mut sum = Sum(Sha256::new());
            sum.text(&self.model);
            sum.text(&options);
            for (name, value) in &fields {
                sum.text(name);
                match (*name, value, last) {
                    ("messages", Value::Array(messages), Last::Out) => {
                        let earlier = messages.get(..messages.len().saturating_sub(1)).unwrap_or_default();
                        sum.list(b'<', earlier);
                    }
                    (_, value, Last::In | Last::Out) => sum.value(value),
                }
            }
            sum.0.finalize().into()
        };
        let value = |name: &str| fields.iter().find(|(given, _)| *given == name).map(|(_, value)| value);
        let last = value("messages").and_then(Value::as_array).and_then(|messages| messages.last());
        let last = last.filter(|_| apart == Apart::Wanted);
        let text = last.and_then(plain_text).filter(|text| (1..=MAX_ASK_BYTES).contains(&text.trim().len()));
        Some(Sameness {
            digest: sum(Last::In),
            // Only so much of it is read again as was measured: there may be megabytes of space around.
            ask: text.map(|text| AskApart { text: text.trim().to_owned(), rest: sum(Last::Out) }),
        })
    }

    /// What the request says about chance.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let given = self.fields.iter().chain(&self.aside).filter(|(name, _)| name == "temperature");
        let temperatures = given.filter_map(|(_, raw)| serde_json::from_str::<f64>(raw.get()).ok());
        temperatures.fold(Sampling::Unsaid, |before, temperature| match before {
            Sampling::Random => Sampling::Random,
            Sampling::Unsaid | Sampling::Greedy if temperature > 0.0 => Sampling::Random,
            Sampling::Unsaid | Sampling::Greedy => Sampling::Greedy,
        })
    }

    /// Whether it asks in words that only providers of its client's dialect read, for what no answer in canonical form holds.
    #[must_use]
    pub fn has_words_of_its_own(&self) -> bool {
        self.aside.iter().any(|(name, _)| name == MESSAGES_MORE)
    }

    /// Whether the provider is told to store the answer, which an answer from elsewhere would not do.
    #[must_use]
    pub fn stores(&self) -> bool {
        self.fields.iter().any(|(name, raw)| name == "store" && raw.get() == "true")
    }
}

/// Whether the last message is part of a sum.
#[derive(Clone, Copy)]
enum Last {
    In,
    Out,
}

/// The text of a user message that is nothing but text. A name, a cache mark or a part of another kind makes it more than that.
fn plain_text(message: &Value) -> Option<String> {
    let message = message.as_object().filter(|fields| fields.keys().all(|key| key == "role" || key == "content"))?;
    message.get("role").filter(|role| *role == "user")?;
    match message.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Option<Vec<&str>> = parts.iter().map(part_text).collect();
            Some(texts?.join("\n"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn part_text(part: &Value) -> Option<&str> {
    let part = part.as_object().filter(|fields| fields.keys().all(|key| key == "type" || key == "text"))?;
    part.get("type").filter(|kind| *kind == "text")?;
    part.get("text")?.as_str()
}

/// Sums values so that no two different ones give the same bytes: every text and list is preceded by its length.
struct Sum(Sha256);

impl Sum {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.update(b"n"),
            Value::Bool(false) => self.0.update(b"f"),
            Value::Bool(true) => self.0.update(b"t"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text),
            Value::Array(items) => self.list(b'[', items),
            Value::Object(fields) => {
                let mut sorted: Vec<_> = fields.iter().collect();
                sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
                self.head(b'{', sorted.len());
                for (name, value) in sorted {
                    self.text(name);
                    self.value(value);
                }
            }
        }
    }

    fn list(&mut self, mark: u8, items: &[Value]) {
        self.head(mark, items.len());
        for item in items {
            self.value(item);
        }
    }

    fn text(&mut self, text: &str) {
        self.head(b's', text.len());
        self.0.update(text.as_bytes());
    }

    /// Whole numbers by their digits, so that `0` and `0.0` are one; others by their bits.
    fn number(&mut self, number: &Number) {
        let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
        match (number.as_i64(), whole, number.as_f64()) {
            (Some(whole), _, _) => self.text(&whole.to_string()),
            (None, Some(whole), _) => self.text(&(whole as i64).to_string()),
            (None, None, Some(float)) => {
                self.0.update(b"d");
                self.0.update(float.to_bits().to_le_bytes());
            }
            (None, None, None) => self.text(&number.to_string()),
        }
        self.0.update(b"#");
    }

    fn head(&mut self, mark: u8, length: usize) {
        self.0.update([mark]);
        self.0.update((length as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Option<Sameness> {
        ChatRequest::from_text(body).unwrap().sameness(Apart::Wanted)
    }

    fn chat(extra: &Value) -> Sameness {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" }] });
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        read(&body.to_string()).unwrap()
    }

    #[test]
    fn what_does_not_change_the_answer_does_not_change_the_digest() {
        let plain = chat(&json!({}));
        for same in [
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
            json!({ "user": "u-1", "metadata": { "run": "7" }, "seed": null }),
            json!({ "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": { "ttl": "1h" } }),
            json!({ "trimtab": { "session": "s", "tags": ["t"], "explain": true } }),
        ] {
            assert_eq!(chat(&same).digest, plain.digest, "{same}");
        }
    }

    #[test]
    fn what_may_change_the_answer_changes_the_digest() {
        let plain = chat(&json!({}));
        for other in [
            json!({ "temperature": 0 }),
            json!({ "tools": [] }),
            json!({ "seed": 1 }),
            json!({ "model": "auto:economy" }),
            json!({ "trimtab": { "quality": 0.4 } }),
            json!({ "trimtab": { "policy": "economy" } }),
            json!({ "made_up": 1 }),
            json!({ "messages": [{ "role": "user", "content": "Be brief.Hi" }] }),
        ] {
            assert_ne!(chat(&other).digest, plain.digest, "{other}");
        }
    }

    #[test]
    fn order_of_fields_and_spelling_of_numbers_do_not_count() {
        let one =
            r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"Hi"}],"seed":9007199254740993}"#;
        let two = r#"{"messages":[{"content":"\u0048i","role":"user"}],"seed":9007199254740993,"temperature":0.0,"model":"m"}"#;
        let three = one.replace("40993", "40992");

        assert_eq!(read(one), read(two));
        assert_ne!(read(one), read(&three));
    }

    #[test]
    fn a_number_beyond_all_bounds_is_like_no_other() {
        assert_eq!(read(r#"{"messages":[{"role":"user","content":"Hi"}],"x":1e400}"#), None);
    }

    #[test]
    fn the_ask_stands_apart_where_it_is_plain_text() {
        let parts = json!({ "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": [{ "type": "text", "text": "Ho" }] }] });
        let (one, two) = (chat(&json!({})).ask.unwrap(), chat(&parts).ask.unwrap());

        assert_eq!((one.text.as_str(), two.text.as_str()), ("Hi", "Ho"));
        assert_eq!(one.rest, two.rest);
        assert_ne!(one.rest, chat(&json!({ "temperature": 0 })).ask.unwrap().rest);
        for last in [
            json!({ "role": "tool", "content": "4" }),
            json!({ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "x" } }] }),
            json!({ "role": "user", "content": "x".repeat(5_000) }),
            json!({ "role": "user", "content": " " }),
        ] {
            assert_eq!(chat(&json!({ "messages": [last] })).ask, None);
        }
    }

    #[test]
    fn megabytes_of_space_around_the_ask_are_no_part_of_it() {
        let ask = format!("{}{}", "“".repeat(400), " ".repeat(1 << 20));
        let spaced = chat(&json!({ "messages": [{ "role": "user", "content": ask }] }));

        assert_eq!(spaced.ask.unwrap().text, "“".repeat(400));
    }

    #[test]
    fn the_ask_stands_apart_only_where_that_is_wanted() {
        let request = ChatRequest::from_text(r#"{"messages":[{"role":"user","content":"Hi"}]}"#).unwrap();
        let (wanted, not) = (request.sameness(Apart::Wanted).unwrap(), request.sameness(Apart::Not).unwrap());

        assert_eq!((wanted.digest, wanted.ask.is_some(), not.ask), (not.digest, true, None));
    }

    #[test]
    fn chance_and_storage_are_told() {
        let request = |extra: &str| {
            let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{extra}}}"#);
            ChatRequest::from_text(&body).unwrap()
        };
        let sampling = |extra| request(extra).sampling();

        assert_eq!(sampling(""), Sampling::Unsaid);
        assert_eq!(sampling(r#","temperature":null"#), Sampling::Unsaid);
        assert_eq!(sampling(r#","temperature":0.0"#), Sampling::Greedy);
        assert_eq!(sampling(r#","temperature":0.7"#), Sampling::Random);
        assert!(request(r#","store":true"#).stores() && !request(r#","store":false"#).stores());
    }
}
