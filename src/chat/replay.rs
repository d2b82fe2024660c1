//! A whole chat completion as a stream of chunks.

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};

use crate::chat::sse;

/// The most bytes of text in one chunk.
const PIECE: usize = 256;

/// What every chunk says again. Everything else is told once, since it may be as large as the answer.
const REPEATED: [&str; 6] = ["id", "object", "created", "model", "system_fingerprint", "service_tier"];

/// Whether a stream tells its usage, which it does in its last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageChunk {
    /// The client asked for it.
    Sent,
    /// It did not, and finds no word of it.
    Left,
}

/// The events of a stream that says what a whole completion says, `[DONE]` included. Empty where the value is no completion.
#[must_use]
pub fn replay(completion: &Value, usage: UsageChunk) -> Bytes {
    let Some(fields) = completion.as_object() else { return Bytes::new() };
    let counted = fields.get("usage").filter(|usage| !usage.is_null()).cloned();
    let told = fields.iter().filter(|(name, _)| *name != "choices" && *name != "usage");
    let told = told.map(|(name, value)| (name.clone(), value.clone()));
    let (mut top, mut once): (Map<_, _>, Map<_, _>) =
        told.partition(|(name, value)| REPEATED.contains(&name.as_str()) && is_short(value));
    top.insert("object".to_owned(), Value::from("chat.completion.chunk"));
    let mut chunk = |choices: Value| {
        let mut chunk = top.clone();
        chunk.append(&mut once);
        chunk.insert("choices".to_owned(), choices);
        if usage == UsageChunk::Sent {
            chunk.insert("usage".to_owned(), Value::Null);
        }
        chunk
    };
    let mut events = BytesMut::new();
    for choice in fields.get("choices").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
        steps(choice).into_iter().for_each(|step| events.extend_from_slice(&encode(chunk(json!([step])))));
    }
    if let (UsageChunk::Sent, Some(counted)) = (usage, counted) {
        let mut last = chunk(json!([]));
        last.insert("usage".to_owned(), counted);
        events.extend_from_slice(&encode(last));
    }
    if !events.is_empty() {
        events.extend_from_slice(&sse::DONE);
    }
    events.freeze()
}

fn is_short(value: &Value) -> bool {
    !value.is_array() && !value.is_object() && value.as_str().is_none_or(|text| text.len() <= PIECE)
}

fn encode(chunk: Map<String, Value>) -> Bytes {
    sse::encode(Value::Object(chunk).to_string().as_bytes())
}

/// The steps in which a choice is told: its role, what else the message says, and why it ended.
fn steps(choice: &Map<String, Value>) -> Vec<Value> {
    let index = choice.get("index").cloned().unwrap_or(json!(0));
    let logprobs = choice.get("logprobs").filter(|logprobs| !logprobs.is_null());
    let step = |delta: Value| json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": null });
    let message = choice.get("message").and_then(Value::as_object);
    let role = message.and_then(|message| message.get("role")).cloned().unwrap_or(json!("assistant"));
    let mut steps = vec![step(json!({ "role": role, "content": "" }))];
    let (content, others): (Vec<_>, Vec<_>) =
        message.into_iter().flatten().filter(|(name, _)| *name != "role").partition(|(name, _)| *name == "content");
    // Reasoning comes before what it led to.
    let (texts, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, value)| value.is_string());
    for (name, value) in texts.into_iter().chain(content).chain(rest) {
        match value {
            Value::Null => {}
            // Which tokens make which piece is not told, so the piece is one.
            Value::String(text) if name == "content" && logprobs.is_some() => steps
                .push(json!({ "index": index, "delta": { name: text }, "logprobs": logprobs, "finish_reason": null })),
            Value::String(text) => steps.extend(pieces(text).map(|piece| step(json!({ name: piece })))),
            Value::Array(items) if items.is_empty() => {}
            Value::Array(calls) if name == "tool_calls" => steps.push(step(json!({ name: numbered(calls) }))),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                steps.push(step(json!({ name: value })));
            }
        }
    }
    let mut last = choice.clone();
    last.remove("message");
    last.extend([("delta".to_owned(), json!({})), ("logprobs".to_owned(), Value::Null)]);
    last.entry("index").or_insert(index);
    steps.push(Value::Object(last));
    steps
}

/// Tool calls with their places, as chunks carry them.
fn numbered(calls: &[Value]) -> Value {
    let numbered = calls.iter().enumerate().map(|(at, call)| {
        let mut call = call.clone();
        if let Some(fields) = call.as_object_mut() {
            fields.insert("index".to_owned(), json!(at));
        }
        call
    });
    numbered.collect()
}

/// A text in pieces of at most [`PIECE`] bytes, cut between characters.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at_checked(text.floor_char_boundary(PIECE))?;
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::gather::Gather;

    fn there_and_back(completion: &Value) -> Value {
        let mut gather = Gather::new(1 << 20);
        gather.push(&replay(completion, UsageChunk::Sent));
        gather.finish(None).unwrap()
    }

    #[test]
    fn a_replayed_stream_gathers_into_the_same_completion() {
        let completion = json!({
            "id": "c1", "object": "chat.completion", "created": 7, "model": "cheap", "system_fingerprint": "fp",
            "choices": [
                { "index": 0, "logprobs": null, "finish_reason": "stop",
                  "message": { "role": "assistant", "reasoning_content": "hm ".repeat(300), "content": "é".repeat(1_000) } },
                { "index": 1, "logprobs": { "content": [{ "token": "a", "logprob": -0.1 }] }, "finish_reason": "length",
                  "message": { "role": "assistant", "content": "a" } },
                { "index": 2, "logprobs": null, "finish_reason": "tool_calls",
                  "message": { "role": "assistant", "content": null, "tool_calls": [
                      { "id": "t1", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } },
                      { "id": "t2", "type": "function", "function": { "name": "g", "arguments": "{}" } } ] } },
            ],
            "usage": { "prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "completion_tokens_details": { "reasoning_tokens": 2 } },
        });

        assert_eq!(there_and_back(&completion), completion);
    }

    #[test]
    fn what_is_large_beside_the_text_is_told_once() {
        let message = json!({ "role": "assistant", "content": "x".repeat(100 * PIECE) });
        let completion = json!({
            "id": "c1", "object": "chat.completion", "created": 7, "model": "cheap", "citations": "y".repeat(100 * PIECE),
            "choices": [{ "index": 0, "logprobs": null, "finish_reason": "stop", "message": message }],
        });

        let size: usize = replay(&completion, UsageChunk::Left).len();

        assert!(size < 5 * completion.to_string().len(), "{size}");
        assert_eq!(there_and_back(&completion), completion);
    }

    #[test]
    fn usage_comes_only_where_it_was_asked_for() {
        let completion = json!({ "id": "c", "choices": [{ "index": 0, "message": { "role": "assistant", "content": "a" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 5 } });
        let text = |usage| replay(&completion, usage).to_vec();

        let (sent, left) = (text(UsageChunk::Sent), text(UsageChunk::Left));

        assert!(String::from_utf8(sent).unwrap().contains("\"prompt_tokens\":3"));
        let left = String::from_utf8(left).unwrap();
        assert!(!left.contains("usage") && left.ends_with("data: [DONE]\n\n"), "{left}");
    }

    #[test]
    fn what_is_no_completion_has_no_events() {
        assert!(replay(&json!({ "choices": [] }), UsageChunk::Sent).is_empty());
        assert!(replay(&json!("x"), UsageChunk::Left).is_empty());
    }
}
