//! The chunks of a stream, gathered into the whole completion that they tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::chat::native::OWN_WORDS;
use crate::chat::sse::SseDecoder;
use crate::domain::money::Usage;

/// The most bytes of one event, as a multiple of those of the whole completion: the frame around a token is longer than the token by far.
const FRAME: usize = 64;

/// Gathers a stream, up to a size. What cannot be joined without loss is given up, never guessed.
#[derive(Debug)]
pub struct Gather {
    /// How many bytes of completion it may yet hold.
    room: usize,
    events: SseDecoder,
    top: Map<String, Value>,
    choices: BTreeMap<u64, Map<String, Value>>,
    usage: Option<Value>,
    given_up: bool,
}

impl Gather {
    /// Starts with nothing. A stream that tells of a completion of more bytes than `limit` is given up, as soon as that is known.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            room: limit,
            events: SseDecoder::new(limit.saturating_mul(FRAME)),
            top: Map::new(),
            choices: BTreeMap::new(),
            usage: None,
            given_up: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &Bytes) {
        if self.given_up {
            return;
        }
        self.events.push(bytes.clone());
        while !self.given_up {
            match self.events.next_event() {
                Ok(Some(event)) if event.data.is_empty() || event.data.as_ref() == b"[DONE]" => {}
                Ok(Some(event)) => match serde_json::from_slice(&event.data) {
                    Ok(Value::Object(chunk)) => self.given_up |= self.add(chunk).is_none(),
                    Ok(_) | Err(_) => self.given_up = true,
                },
                Ok(None) => return,
                Err(_) => self.given_up = true,
            }
        }
        self.let_go();
    }

    /// What was given up is held no longer.
    fn let_go(&mut self) {
        self.events = SseDecoder::new(0);
        self.top.clear();
        self.choices.clear();
        self.usage = None;
    }

    /// The whole completion. `None` where the stream was given up, had no choice, or a choice without an end. `counted` stands in for a
    /// usage that the stream did not tell.
    #[must_use]
    pub fn finish(self, counted: Option<Usage>) -> Option<Value> {
        if self.given_up || self.choices.is_empty() {
            return None;
        }
        let mut whole = self.top;
        whole.insert("object".to_owned(), Value::from("chat.completion"));
        let mut choices = Vec::with_capacity(self.choices.len());
        for (index, mut choice) in self.choices {
            choice.get("finish_reason").filter(|reason| !reason.is_null())?;
            choice.insert("index".to_owned(), json!(index));
            choice.entry("logprobs").or_insert(Value::Null);
            let message = choice.entry("message").or_insert_with(|| json!({ "role": "assistant" })).as_object_mut()?;
            let says_otherwise = message.contains_key("tool_calls") || message.contains_key("function_call");
            message.entry("role").or_insert(Value::from("assistant"));
            let content = message.entry("content").or_insert(Value::Null);
            if says_otherwise && content == "" {
                *content = Value::Null;
            }
            choices.push(Value::Object(choice));
        }
        whole.insert("choices".to_owned(), Value::Array(choices));
        if let Some(usage) = self.usage.or_else(|| counted.map(usage_json)) {
            whole.insert("usage".to_owned(), usage);
        }
        Some(Value::Object(whole))
    }

    fn add(&mut self, mut chunk: Map<String, Value>) -> Option<()> {
        // What it says has no words in chat completions, or is said in the next chunks.
        if chunk.contains_key(OWN_WORDS) {
            return Some(());
        }
        let choices = chunk.remove("choices");
        let room = &mut self.room;
        if let Some(usage) = chunk.remove("usage").filter(|usage| !usage.is_null()) {
            self.usage = Some(usage);
        }
        for (name, value) in chunk {
            if !self.top.contains_key(&name) {
                take(room, name.len() + size(&value))?;
                self.top.insert(name, value);
            }
        }
        for choice in choices.into_iter().filter_map(list).flatten() {
            let Value::Object(mut choice) = choice else { return None };
            let index = choice.remove("index").as_ref().and_then(Value::as_u64).unwrap_or(0);
            if !self.choices.contains_key(&index) {
                take(room, "{\"index\":0}".len())?;
            }
            let kept = self.choices.entry(index).or_default();
            if let Some(Value::Object(delta)) = choice.remove("delta") {
                let message = kept.entry("message").or_insert_with(|| json!({})).as_object_mut()?;
                join_message(message, delta, room)?;
            }
            if let Some(Value::Object(logprobs)) = choice.remove("logprobs") {
                let kept = kept.entry("logprobs").or_insert_with(|| json!({})).as_object_mut()?;
                join(kept, logprobs, room)?;
            }
            for (name, value) in choice.into_iter().filter(|(_, value)| !value.is_null()) {
                take(room, name.len() + size(&value))?;
                kept.insert(name, value);
            }
        }
        Some(())
    }
}

/// A usage as OpenAI writes it.
#[must_use]
pub fn usage_json(usage: Usage) -> Value {
    let written = Some(usage.cache_write_tokens).filter(|tokens| *tokens > 0);
    let details = [("cached_tokens", Some(usage.cached_input_tokens)), ("cache_write_tokens", written)];
    let details: Map<String, Value> =
        details.into_iter().filter_map(|(name, tokens)| Some((name.to_owned(), json!(tokens?)))).collect();
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": details,
    })
}

fn join_message(message: &mut Map<String, Value>, mut delta: Map<String, Value>, room: &mut usize) -> Option<()> {
    if let Some(role) = delta.remove("role").filter(|role| !role.is_null()) {
        message.insert("role".to_owned(), role);
    }
    if let Some(calls) = delta.remove("tool_calls").and_then(list) {
        let kept = message.entry("tool_calls").or_insert_with(|| json!([])).as_array_mut()?;
        for call in calls {
            join_call(kept, call, room)?;
        }
    }
    join(message, delta, room)
}

/// Joins a piece of a tool call to the call of its place. Places come in order.
fn join_call(calls: &mut Vec<Value>, piece: Value, room: &mut usize) -> Option<()> {
    let Value::Object(mut piece) = piece else { return None };
    let at = usize::try_from(piece.remove("index")?.as_u64()?).ok()?;
    if at == calls.len() {
        take(room, size(&json!({})))?;
        calls.push(json!({}));
    }
    let call = calls.get_mut(at)?.as_object_mut()?;
    for fixed in ["id", "type"] {
        if let Some(value) = piece.remove(fixed).filter(|value| !value.is_null() && value != "") {
            take(room, size(&value))?;
            call.insert(fixed.to_owned(), value);
        }
    }
    if let Some(Value::Object(function)) = piece.remove("function") {
        join(call.entry("function").or_insert_with(|| json!({})).as_object_mut()?, function, room)?;
    }
    join(call, piece, room)
}

/// Joins fields: texts and lists grow, everything else must be new or the same.
fn join(kept: &mut Map<String, Value>, more: Map<String, Value>, room: &mut usize) -> Option<()> {
    for (name, value) in more {
        match (kept.get_mut(&name), value) {
            (_, Value::Null) => {}
            (None, value) => {
                take(room, name.len() + size(&value))?;
                kept.insert(name, value);
            }
            (Some(Value::String(text)), Value::String(more)) => {
                take(room, more.len())?;
                text.push_str(&more);
            }
            (Some(Value::Array(items)), Value::Array(more)) => {
                take(room, more.iter().map(size).sum())?;
                items.extend(more);
            }
            (Some(old), value) if *old == value => {}
            (Some(_), _) => return None,
        }
    }
    Some(())
}

/// Takes up room. `None` where there is not so much left.
fn take(room: &mut usize, bytes: usize) -> Option<()> {
    *room = room.checked_sub(bytes)?;
    Some(())
}

/// The least number of bytes that a value takes as JSON, so that nothing is given up that could be kept.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 1,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 1 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        Value::Object(fields) => 1 + fields.iter().map(|(name, value)| 4 + name.len() + size(value)).sum::<usize>(),
    }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(data: &[&str]) -> Option<Value> {
        let mut gather = Gather::new(10_000);
        for data in data {
            gather.push(&Bytes::from(format!("data: {data}\n\n")));
        }
        gather.finish(Some(Usage { input_tokens: 9, cached_input_tokens: 4, output_tokens: 2, ..Usage::default() }))
    }

    #[test]
    fn counts_stand_in_for_a_usage_that_was_kept_back() {
        let whole = gathered(&[
            r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"He"}}]}"#,
            r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"y"},"finish_reason":null}]}"#,
            r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ])
        .unwrap();

        assert_eq!(whole["choices"][0]["message"], json!({ "role": "assistant", "content": "Hey" }));
        assert_eq!(whole["usage"]["total_tokens"], 11);
    }

    #[test]
    fn a_role_that_was_not_told_is_the_assistants() {
        let whole =
            gathered(&[r#"{"choices":[{"index":0,"delta":{"content":"Hey"},"finish_reason":"stop"}]}"#]).unwrap();

        assert_eq!(whole["choices"][0]["message"], json!({ "role": "assistant", "content": "Hey" }));
    }

    #[test]
    fn tool_calls_are_joined_by_place() {
        let whole = gathered(&[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}},{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        ])
        .unwrap();

        let calls = &whole["choices"][0]["message"]["tool_calls"];
        assert_eq!(calls[0]["function"]["arguments"], "{\"x\":1}");
        assert_eq!(calls[1]["id"], "b");
    }

    #[test]
    fn holds_no_more_than_the_answer_may_have_however_it_is_framed() {
        let frame = |text: &str| {
            Bytes::from(format!(
                "data: {{\"id\":\"{}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n",
                "f".repeat(100)
            ))
        };
        let (mut short, mut long) = (Gather::new(1_000), Gather::new(1_000));
        for _ in 0..500 {
            short.push(&frame("x"));
        }
        short.push(&Bytes::from_static(
            b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        ));
        for _ in 0..5 {
            long.push(&frame(&"x".repeat(250)));
        }

        assert_eq!(short.finish(None).unwrap()["choices"][0]["message"]["content"], "x".repeat(500));
        assert!(long.given_up && long.choices.is_empty() && long.top.is_empty());
        assert_eq!(long.finish(None), None);
    }

    #[test]
    fn gives_up_what_it_cannot_join() {
        let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        let unjoinable = r#"{"choices":[{"index":0,"delta":{"audio":{"data":"a"}}}]}"#;
        let other = r#"{"choices":[{"index":0,"delta":{"audio":{"data":"b"}}}]}"#;
        let skipping = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":5,"id":"a"}]}}]}"#;
        let long = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(20_000));

        assert_eq!(gathered(&[unjoinable, other, end]), None);
        assert_eq!(gathered(&[skipping, end]), None);
        assert_eq!(gathered(&[&long, end]), None);
        assert_eq!(gathered(&["[1]", end]), None);
        assert_eq!(gathered(&[r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#]), None);
        assert_eq!(gathered(&[]), None);
    }
}
