//! The legacy completions request as a chat request, and chat answers as legacy completions.
//!
//! Lost on the way: `suffix`, `logprobs`, `echo`, `best_of` above one and several prompts at once, which chat models do not offer. They are
//! refused by name rather than dropped.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::chat::completion::text;
use crate::chat::dialect::{Dialect, Events, Problem};
use crate::chat::error::ChatError;
use crate::chat::object::Object;
use crate::chat::openai::ChatRequest;
use crate::chat::sse;
use crate::chat::usage::NotAnAnswer;

/// How long a completion is where the request does not say: what the legacy interface promises.
const MAX_TOKENS: &str = "16";

/// Reads a legacy body as a chat request with one user message. `max_tokens` is 16 where it is absent, as it always was.
///
/// # Errors
/// As [`ChatRequest::parse`], and options that chat models do not offer.
pub fn to_chat(body: &[u8]) -> Result<ChatRequest, ChatError> {
    let body = Object::body(body)?;
    let mut fields = Vec::new();
    let mut prompt = None;
    for (name, raw) in body.fields() {
        match name {
            "prompt" => prompt = Some(one_text(raw)?),
            "suffix" | "logprobs" | "echo" | "best_of" | "messages" => check_neutral(name, raw)?,
            _ => fields.push(format!("{}:{}", Value::from(name), raw.get())),
        }
    }
    let fix = "send the text to go on from";
    let prompt = prompt.ok_or_else(|| body.missing("prompt", fix))?;
    if body.raw("max_tokens").is_none() {
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

/// Writes one answer as a legacy completion.
#[derive(Debug, Default)]
pub struct LegacyWriter {
    /// The event in which a failure was reported, which says more than we know.
    reported: Option<Bytes>,
}

impl Dialect for LegacyWriter {
    fn sign_of_life(&self) -> &'static [u8] {
        b":\n\n"
    }

    fn whole(self, completion: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
        let completion: Map<String, Value> = serde_json::from_slice(completion).map_err(|_| NotAnAnswer::NotJson)?;
        let choices = completion.get("choices").and_then(Value::as_array).ok_or(NotAnAnswer::NoChoices)?;
        let choices = choices.iter().map(|choice| legacy_choice(choice, choice.get("message")));
        Ok(framed(&completion, choices.collect()).to_string().into_bytes())
    }

    /// A chunk that says nothing to legacy clients, such as a role alone, becomes nothing.
    fn chunk(&mut self, data: &[u8], events: &mut Events) -> Result<(), Problem> {
        let chunk: Map<String, Value> = serde_json::from_slice(data).map_err(|_| Problem::garbage())?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            self.reported = Some(Bytes::copy_from_slice(data));
            return Err(Problem::reported(error));
        }
        let choices = match chunk.get("choices") {
            Some(Value::Array(choices)) => choices.as_slice(),
            Some(Value::Null) | None => &[],
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                return Err(Problem::garbage());
            }
        };
        let choices = choices.iter().map(|choice| legacy_choice(choice, choice.get("delta")));
        let choices: Vec<Value> =
            choices.filter(|choice| choice["text"] != "" || !choice["finish_reason"].is_null()).collect();
        let has_usage = chunk.get("usage").is_some_and(|usage| !usage.is_null());
        if !choices.is_empty() || has_usage {
            events.put_bytes(&sse::encode(framed(&chunk, choices).to_string().as_bytes()));
        }
        Ok(())
    }

    fn end(&mut self, events: &mut Events) {
        events.put_bytes(&sse::DONE);
    }

    fn fail(&mut self, problem: &Problem, events: &mut Events) {
        let ours = || {
            let error =
                json!({ "message": problem.message, "type": "upstream_error", "param": null, "code": problem.code });
            Bytes::from(json!({ "error": error }).to_string())
        };
        events.put_bytes(&sse::encode(&self.reported.take().unwrap_or_else(ours)));
    }
}

fn legacy_choice(choice: &Value, says: Option<&Value>) -> Value {
    let text = says.and_then(|says| says.get("content")).and_then(|content| text(content).ok().flatten());
    json!({
        "text": text.unwrap_or_default(),
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
    use crate::chat::dialect::StreamTranslator;

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

    /// What a stream of these data says.
    fn told(data: &[&str]) -> String {
        let mut translator = StreamTranslator::new(LegacyWriter::default());
        let stream: String = data.iter().map(|data| format!("data: {data}\n\n")).collect();
        let (mut told, end) = (translator.push(Bytes::from(stream)).to_vec(), translator.finish());
        told.extend_from_slice(&end);
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn answers_and_chunks_take_the_old_shape() {
        let chat = br#"{"id":"chatcmpl-7","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":[{"type":"text","text":"a time"}]},"finish_reason":"stop"}],"usage":{"total_tokens":3}}"#;
        let old: Value = serde_json::from_slice(&LegacyWriter::default().whole(chat).unwrap()).unwrap();
        let choice = json!({ "text": "a time", "index": 0, "logprobs": null, "finish_reason": "stop" });
        assert_eq!(
            (&old["id"], &old["object"], &old["choices"]),
            (&json!("cmpl-7"), &json!("text_completion"), &json!([choice]))
        );
        assert_eq!(LegacyWriter::default().whole(b"no"), Err(NotAnAnswer::NotJson));
        assert_eq!(LegacyWriter::default().whole(b"{}"), Err(NotAnAnswer::NoChoices));

        let role =
            r#"{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        assert_eq!(told(&[role, "{}", "[DONE]"]), "data: [DONE]\n\n");
        let said = told(&[
            r#"{"id":"x","choices":[{"index":1,"delta":{"content":"Hi"},"finish_reason":null}]}"#,
            r#"{"choices":[],"usage":{"total_tokens":3}}"#,
            "[DONE]",
        ]);
        assert!(said.contains(r#""text":"Hi""#) && said.contains(r#""index":1"#), "{said}");
        assert!(said.contains("total_tokens") && said.ends_with("data: [DONE]\n\n"), "{said}");
    }

    #[test]
    fn a_stream_that_breaks_ends_in_an_error_in_the_upstreams_words_where_it_has_some() {
        let reported = r#"{"error":{"message":"cut","type":"odd_error","param":null,"code":"odd"}}"#;

        assert_eq!(told(&[reported, "[DONE]"]), format!("data: {reported}\n\n"));
        for strange in [r#"{"choices":7}"#, "[]"] {
            let told = told(&[strange, "[DONE]"]);
            assert!(told.contains("upstream_garbage") && !told.contains("[DONE]"), "{told}");
        }
        assert!(told(&[]).contains("upstream_cut"));
    }
}
