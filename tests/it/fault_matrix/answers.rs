//! The answers of the upstreams with faults.

use serde_json::{Value, json};

use crate::support::fake::{Reply, raw_stream};

/// What every answer that comes whole says.
pub(super) const OWN_TEXT: &str = "Héllo";
/// What of it comes first.
pub(super) const FIRST: &str = "Hé";
/// As much of the arguments of a tool call as came.
pub(super) const TOOL_ARGUMENTS: &str = "{\"city\": \"Par";
/// More bytes than an event may have.
pub(super) const BIG: usize = (1 << 20) + 1;

pub(super) const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Héllo"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;
pub(super) const HEALTHY_TEXT: &str = "All is well";
pub(super) const ROLE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
pub(super) const TOOL_START: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Par"}}]},"finish_reason":null}]}"#;

fn chunk(delta: &Value, reason: &Value) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
    json!({ "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] })
        .to_string()
}

fn counted() -> Value {
    json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 })
}

/// The data of a stream in which nothing is wrong: the role, two texts, the reason, the usage and the end.
pub(super) fn events() -> [String; 6] {
    let usage = json!({ "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": counted() });
    [
        ROLE.to_owned(),
        chunk(&json!({ "content": FIRST }), &Value::Null),
        chunk(&json!({ "content": "llo" }), &Value::Null),
        chunk(&json!({}), &json!("stop")),
        usage.to_string(),
        "[DONE]".to_owned(),
    ]
}

/// A chunk that counts the tokens besides.
pub(super) fn counting(chunk: &str) -> String {
    let mut chunk: Value = serde_json::from_str(chunk).unwrap();
    chunk["usage"] = counted();
    chunk.to_string()
}

/// The same with usage that grows from chunk to chunk.
pub(super) fn with_usage_everywhere() -> Vec<String> {
    let with = |(at, data): (usize, String)| match serde_json::from_str::<Value>(&data) {
        Ok(mut chunk) if at < 4 => {
            chunk["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": at + 2 });
            chunk.to_string()
        }
        Ok(_) | Err(_) => data,
    };
    let mut all: Vec<String> = events().into_iter().enumerate().map(with).collect();
    all.remove(4);
    all
}

/// An event with this data.
pub(super) fn telling(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// A stream of events with these data, each in a piece of its own.
pub(super) fn stream_of(data: &[&str]) -> Reply {
    raw_stream(&data.iter().map(|data| telling(data)).collect::<Vec<_>>())
}

pub(super) fn bytes_of(text: &str) -> Vec<[u8; 1]> {
    text.bytes().map(|byte| [byte]).collect()
}

/// The text with a byte in its content that no UTF-8 has.
pub(super) fn garbled(text: &str) -> Vec<u8> {
    let at = text.find("\"content\":\"").unwrap() + "\"content\":\"".len();
    let mut bytes = text.as_bytes().to_vec();
    bytes.insert(at, 0xff);
    bytes
}

/// JSON with choices that are none.
pub(super) fn another_shape(field: &str) -> String {
    json!({ "id": "c1", "choices": [{ "index": 0, field: "no object" }] }).to_string()
}

/// A whole answer that calls a tool with arguments that were cut.
pub(super) fn cut_arguments() -> String {
    let function = json!({ "name": "get_weather", "arguments": TOOL_ARGUMENTS });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "call_a", "type": "function", "function": function }] });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "length" });
    json!({ "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": counted() })
        .to_string()
}

/// A whole answer that does not fit into the buffers of a connection.
pub(super) fn big_answer() -> String {
    ANSWER.replace("llo", &"x".repeat(4 << 20))
}

/// A whole answer that does not fit into the buffers of both ends.
pub(super) fn huge_answer() -> String {
    ANSWER.replace("llo", &"x".repeat(16 << 20))
}

/// A stream of so many large pieces.
pub(super) fn big_stream(pieces: usize) -> Reply {
    let [role, _, _, finish, usage, done] = events();
    let large = chunk(&json!({ "content": "x".repeat(256 << 10) }), &Value::Null);
    let mut all = vec![role.as_str()];
    all.extend(vec![large.as_str(); pieces]);
    all.extend([finish.as_str(), &usage, &done]);
    stream_of(&all)
}

/// What a healthy target says, whole and as a stream.
pub(super) fn healthy() -> (Reply, Reply) {
    let [role, _, _, finish, usage, done] = events();
    let text = chunk(&json!({ "content": HEALTHY_TEXT }), &Value::Null);
    let whole = crate::support::fake::json(&ANSWER.replace(OWN_TEXT, HEALTHY_TEXT));
    (whole, stream_of(&[&role, &text, &finish, &usage, &done]))
}
