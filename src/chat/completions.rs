//! The legacy completions request as a chat request, and chat answers as legacy completions.
//!
//! Lost on the way: `suffix`, `logprobs`, `echo`, `best_of` above one and several prompts at once, which chat models do not offer. They are
//! refused by name rather than dropped.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::chat::error::ChatError;
use crate::chat::openai::{ChatRequest, top_level};
use crate::chat::sse;

/// How long a completion is where the request does not say: what the legacy interface promises.
const MAX_TOKENS: &str = "16";

/// Reads a legacy body as a chat request with one user message. `max_tokens` is 16 where it is absent, as it always was.
///
/// # Errors
/// As [`ChatRequest::parse`], and options that chat models do not offer.
pub fn to_chat(body: &[u8]) -> Result<ChatRequest, ChatError> {
    let text = std::str::from_utf8(body).map_err(|error| ChatError::NotUtf8 { offset: error.valid_up_to() })?;
    let entries = top_level(text)?;
    let given = entries.iter().filter(|(_, raw)| raw.get() != "null");
    let mut fields = Vec::new();
    let mut prompt = None;
    for (name, raw) in given {
        match name.as_str() {
            "prompt" => prompt = Some(one_text(raw)?),
            "suffix" | "logprobs" | "echo" | "best_of" | "messages" => check_neutral(name, raw)?,
            _ => fields.push(format!("{}:{}", Value::from(name.as_str()), raw.get())),
        }
    }
    let fix = "send the text to go on from";
    let prompt = prompt.ok_or(ChatError::Missing { field: "prompt".to_owned(), fix })?;
    if !entries.iter().any(|(name, raw)| name == "max_tokens" && raw.get() != "null") {
        fields.push(format!("\"max_tokens\":{MAX_TOKENS}"));
    }
    let message = json!([{ "role": "user", "content": prompt }]);
    fields.push(format!("\"messages\":{message}"));
    ChatRequest::from_text(&format!("{{{}}}", fields.join(",")))
}

/// The one text of a prompt.
fn one_text(raw: &RawValue) -> Result<String, ChatError> {
    let wrong = || ChatError::Wrong {
        field: "prompt".to_owned(),
        expected: "a text, or a list with one text; send several prompts as several requests, and texts instead of tokens",
    };
    match serde_json::from_str(raw.get()).map_err(|_| wrong())? {
        Value::String(text) => Ok(text),
        Value::Array(items) => match <[Value; 1]>::try_from(items) {
            Ok([Value::String(text)]) => Ok(text),
            Ok(_) | Err(_) => Err(wrong()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

/// Lets an option pass that asks for nothing.
fn check_neutral(name: &str, raw: &RawValue) -> Result<(), ChatError> {
    let (neutral, expected): (&[&str], _) = match name {
        "suffix" => (&["\"\""], "left out: chat models do not fill gaps; say in the prompt what is to follow"),
        "logprobs" => (&[], "left out: ask /v1/chat/completions for `logprobs` and `top_logprobs`"),
        "echo" => (&["false"], "false: put the prompt in front of the answer yourself"),
        "best_of" => (&["1"], "1: ask for `n` answers and choose"),
        _ => (&[], "left out: conversations go to /v1/chat/completions"),
    };
    if neutral.contains(&raw.get()) { Ok(()) } else { Err(ChatError::Wrong { field: name.to_owned(), expected }) }
}

/// A whole chat completion as a legacy one. `None` where it cannot be read.
#[must_use]
pub fn whole(body: &[u8]) -> Option<Bytes> {
    let Value::Object(completion) = serde_json::from_slice(body).ok()? else { return None };
    let choices = completion.get("choices")?.as_array()?;
    let choices = choices.iter().map(|choice| legacy_choice(choice, choice.get("message")));
    Some(Bytes::from(framed(&completion, choices.collect()).to_string()))
}

/// One event of a chat stream as an event of a legacy one. `None` where it says nothing to legacy clients, such as a role alone. What is no
/// chunk, such as an error, stays as it is.
#[must_use]
pub fn event(data: &[u8]) -> Option<Bytes> {
    let as_it_is = || Some(sse::encode(data));
    let Ok(Value::Object(chunk)) = serde_json::from_slice(data) else { return as_it_is() };
    let Some(choices) = chunk.get("choices").and_then(Value::as_array) else { return as_it_is() };
    let choices: Vec<Value> = choices
        .iter()
        .map(|choice| legacy_choice(choice, choice.get("delta")))
        .filter(|choice| choice["text"] != "" || !choice["finish_reason"].is_null())
        .collect();
    let has_usage = chunk.get("usage").is_some_and(|usage| !usage.is_null());
    (!choices.is_empty() || has_usage).then(|| sse::encode(framed(&chunk, choices).to_string().as_bytes()))
}

fn legacy_choice(choice: &Value, says: Option<&Value>) -> Value {
    let text = says.and_then(|says| says.get("content")).and_then(Value::as_str).unwrap_or_default();
    json!({
        "text": text,
        "index": choice.get("index").unwrap_or(&json!(0)),
        "logprobs": null,
        "finish_reason": choice.get("finish_reason"),
    })
}

/// What surrounds the choices.
fn framed(chat: &Map<String, Value>, choices: Vec<Value>) -> Value {
    let mut frame = chat.clone();
    if let Some(Value::String(id)) = frame.get_mut("id")
        && let Some(rest) = id.strip_prefix("chatcmpl-")
    {
        *id = format!("cmpl-{rest}");
    }
    frame.insert("object".to_owned(), Value::from("text_completion"));
    frame.insert("choices".to_owned(), Value::Array(choices));
    Value::Object(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &Value) -> Value {
        let chat = to_chat(body.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&chat.body_for("m")).unwrap()
    }

    #[test]
    fn a_prompt_becomes_a_user_message_and_everything_else_stays() {
        for prompt in [json!("Once upon"), json!(["Once upon"])] {
            let body = json!({ "model": "auto", "prompt": prompt, "temperature": 0.5, "stop": ["."], "suffix": "", "echo": false, "best_of": 1, "logprobs": null });

            let sent = sent(&body);

            assert_eq!(sent["messages"], json!([{ "role": "user", "content": "Once upon" }]));
            assert_eq!(
                (&sent["temperature"], &sent["stop"], &sent["max_tokens"]),
                (&json!(0.5), &json!(["."]), &json!(16))
            );
            assert!(["prompt", "suffix", "echo", "best_of", "logprobs"].iter().all(|name| sent.get(name).is_none()));
        }
        assert_eq!(sent(&json!({ "prompt": "x", "max_tokens": 7 }))["max_tokens"], 7);
    }

    #[test]
    fn refuses_by_name_what_chat_models_do_not_offer() {
        for (name, value) in [
            ("suffix", json!("end")),
            ("logprobs", json!(3)),
            ("echo", json!(true)),
            ("best_of", json!(4)),
            ("messages", json!([])),
            ("prompt", json!(["a", "b"])),
            ("prompt", json!([1, 2])),
            ("prompt", json!(7)),
        ] {
            let mut body = json!({ "prompt": "x" });
            body[name] = value;

            let error = to_chat(body.to_string().as_bytes()).unwrap_err();

            assert_eq!(error.field(), Some(name), "{error}");
        }
        assert_eq!(to_chat(b"{}").unwrap_err().field(), Some("prompt"));
        assert!(matches!(to_chat(b"\xff"), Err(ChatError::NotUtf8 { offset: 0 })));
    }

    #[test]
    fn answers_and_chunks_take_the_old_shape() {
        let chat = br#"{"id":"chatcmpl-7","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a time"},"finish_reason":"stop"}],"usage":{"total_tokens":3}}"#;
        let old: Value = serde_json::from_slice(&whole(chat).unwrap()).unwrap();
        let choice = json!({ "text": "a time", "index": 0, "logprobs": null, "finish_reason": "stop" });
        assert_eq!(
            (&old["id"], &old["object"], &old["choices"]),
            (&json!("cmpl-7"), &json!("text_completion"), &json!([choice]))
        );

        let text = |data: &str| event(data.as_bytes()).map(|event| String::from_utf8(event.to_vec()).unwrap());
        assert_eq!(
            text(
                r#"{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#
            ),
            None
        );
        let said = text(r#"{"id":"x","choices":[{"index":1,"delta":{"content":"Hi"},"finish_reason":null}]}"#).unwrap();
        assert!(said.contains(r#""text":"Hi""#) && said.contains(r#""index":1"#), "{said}");
        assert!(text(r#"{"choices":[],"usage":{"total_tokens":3}}"#).unwrap().contains("total_tokens"));
        assert!(text(r#"{"error":{"message":"cut"}}"#).unwrap().contains("cut"));
        assert_eq!(whole(b"no"), None);
    }
}
