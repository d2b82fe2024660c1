use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::dialect::corpus::{answered, any_json, cases, check_cuts, data, events, events_of, told};
use crate::chat::dialect::{Dialect, Naming};
use crate::chat::messages::error::error_type;
use crate::chat::openai::ChatRequest;

fn parse(body: &str) -> ChatRequest {
    MessagesRequest::parse(body.as_bytes()).unwrap().chat
}

fn writer() -> MessageWriter {
    let body = r#"{"stop_sequences": ["STOP"], "messages": [{"role": "user", "content": "Hi"}]}"#;
    let naming = Naming { key: "01".to_owned(), created: 5, input_tokens: 11 };
    MessagesRequest::parse(body.as_bytes()).unwrap().reply.writer(naming)
}

#[test]
fn requests_become_chat_completions() {
    let mut said = String::new();
    for (name, body) in cases(include_str!("requests.txt")) {
        let sent = String::from_utf8(parse(body).body_for("upstream-model").to_vec()).unwrap();
        assert!(serde_json::from_str::<Value>(&sent).is_ok(), "{sent}");
        said.push_str(&format!("=== {name}\n{sent}\n"));
    }
    insta::assert_snapshot!(said);
}

/// What a server of OpenAI's dialect would refuse, and Anthropic understands.
#[test]
fn marks_thoughts_and_settings_are_kept_for_translations_alone() {
    let mut said = String::new();
    for (name, body) in cases(include_str!("requests.txt")) {
        let chat = parse(body);
        let (plain, rich) = (chat.body_for("upstream-model"), chat.body_to_translate("upstream-model"));
        let plain = String::from_utf8(plain.to_vec()).unwrap();
        for foreign in ["cache_control", "thinking", "top_k"] {
            assert!(!plain.contains(foreign), "{name}: {plain}");
        }
        if rich != plain {
            said.push_str(&format!("=== {name}\n{}\n", String::from_utf8(rich.to_vec()).unwrap()));
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn whole_answers_become_messages() {
    insta::assert_snapshot!(answered(writer));
}

#[test]
fn streams_become_named_events() {
    insta::assert_snapshot!(told(writer));
}

#[test]
fn events_do_not_depend_on_how_the_stream_is_cut() {
    check_cuts(writer);
}

#[test]
fn a_stream_tells_what_a_whole_answer_tells() {
    let data = data(&events_of(writer(), "a text, then a tool call"));
    let arguments: String = data.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();

    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({ "city": "Zü}rich\"" }));
    assert_eq!(data[data.len() - 2]["usage"]["cache_read_input_tokens"], 64);
    assert_eq!(data[data.len() - 2]["usage"]["input_tokens"], 120 - 64 - 16);
}

#[test]
fn the_ask_is_found_under_tool_results_and_reminders() {
    let asks: Vec<String> = cases(include_str!("requests.txt")).map(|(_, body)| parse(body).prompt.ask).collect();

    assert!(asks.contains(&"fix the failing test".to_owned()), "{asks:?}");
    assert!(asks.contains(&"So, which is nicer?".to_owned()), "{asks:?}");
    // A turn of tool results alone keeps the human's ask.
    assert!(asks.contains(&"Go.".to_owned()), "{asks:?}");
}

#[test]
fn a_conversation_is_recognised_although_its_billing_line_differs() {
    let body = |line: &str| {
        let system = json!([{ "type": "text", "text": format!("x-anthropic-billing-header: {line}") }, { "type": "text", "text": "Be kind." }]);
        json!({ "system": system, "messages": [{ "role": "user", "content": "Hi" }] }).to_string()
    };

    assert_eq!(parse(&body("cch=1")).prompt.shape.opening_digest, parse(&body("cch=2")).prompt.shape.opening_digest);
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let message = |content: Value| json!({ "messages": [{ "role": "user", "content": content }] });
    let with = |name: &str, value: Value| {
        let mut body = message(json!("Hi"));
        body[name] = value;
        body
    };
    let cases = [
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": {} }), "messages"),
        (json!({ "messages": [7] }), "messages[0]"),
        (json!({ "messages": [{ "content": "Hi" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "tool", "content": "Hi" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (
            json!({ "messages": [{ "role": "assistant", "content": [{ "type": "image" }] }] }),
            "messages[0].content[0].type",
        ),
        (message(json!(7)), "messages[0].content"),
        (message(json!([{ "text": "Hi" }])), "messages[0].content[0].type"),
        (message(json!([{ "type": "text" }])), "messages[0].content[0].text"),
        (message(json!([{ "type": "text", "text": 7 }])), "messages[0].content[0].text"),
        (message(json!([{ "type": "image" }])), "messages[0].content[0].source"),
        (message(json!([{ "type": "tool_result" }])), "messages[0].content[0].tool_use_id"),
        (message(json!([{ "type": "tool_use" }])), "messages[0].content[0].type"),
        (with("max_tokens", json!("many")), "max_tokens"),
        (with("model", json!(7)), "model"),
        (with("stream", json!("yes")), "stream"),
        (with("system", json!(7)), "system"),
        (with("stop_sequences", json!("END")), "stop_sequences"),
        (with("tools", json!([{ "type": 7, "name": "a", "input_schema": {} }])), "tools[0].type"),
        (with("tools", json!([{ "name": "a" }])), "tools[0].input_schema"),
        (with("tool_choice", json!({ "type": "many" })), "tool_choice.type"),
        (with("tool_choice", json!({ "type": "tool" })), "tool_choice.name"),
        (with("output_config", json!({ "format": { "type": "xml" } })), "output_config.format.type"),
        (with("trimtab", json!({ "quality": 7 })), "trimtab.quality"),
    ];
    for (body, field) in cases {
        let error = MessagesRequest::parse(body.to_string().as_bytes()).unwrap_err();

        assert_eq!(error.field(), Some(field), "{body}: {error}");
    }
    for bytes in [&b"{"[..], b"\xff", b"[]", b"", b"null"] {
        assert!(MessagesRequest::parse(bytes).is_err());
    }
}

#[test]
fn errors_have_anthropics_shape() {
    let ours = br#"{"error":{"message":"must be a text","type":"invalid_request_error","param":"model","code":"invalid_request"}}"#;

    assert_eq!(
        error_body(400, ours, "req_1"),
        json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "model: must be a text" }, "request_id": "req_1" })
    );
    let types = [401, 403, 404, 405, 408, 413, 429, 500, 502, 503, 504, 529].map(error_type);
    insta::assert_debug_snapshot!(types);
    assert_eq!(error_body(502, b"nonsense", "r")["error"]["type"], "api_error");
}

/// The words that the readers look for.
const WORDS: &[&str] = &[
    "type",
    "text",
    "tool_use",
    "tool_result",
    "content",
    "role",
    "user",
    "assistant",
    "choices",
    "delta",
    "index",
    "é",
];

proptest! {
    #[test]
    fn no_request_and_no_answer_makes_it_panic(json in any_json(WORDS), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let body = json!({ "messages": [{ "role": "user", "content": json }, json], "system": json, "tools": [json], "thinking": json });
        drop(MessagesRequest::parse(body.to_string().as_bytes()));
        drop(writer().whole(json!({ "choices": [json, { "message": json }] }).to_string().as_bytes()));
        let chunk = json!({ "choices": [{ "delta": { "content": json, "tool_calls": [{ "index": 0, "function": json }] }, "finish_reason": null }] });
        let told = events(writer(), &[format!("data: {chunk}\n\ndata: {json}\n\n").as_bytes(), &bytes]);
        // Whatever comes, the stream ends in an event that says so.
        prop_assert!(told.contains("event: error") || told.contains("event: message_stop"), "{}", told);
    }
}

#[test]
fn a_signature_of_gemini_comes_back_with_the_id_of_its_call_and_no_other_server_sees_it() {
    let answer = r#"{"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"a","arguments":"{}"},"extra_content":{"google":{"thought_signature":"a+/="}}},{"id":"c2","type":"function","function":{"name":"b","arguments":"{}"}}]}}]}"#;
    let whole: Value = serde_json::from_slice(&writer().whole(answer.as_bytes()).unwrap()).unwrap();
    let streamed = events(writer(), &[format!("data: {}\n\n", answer.replace("message", "delta")).as_bytes()]);
    let (signed, plain) = (&whole["content"][0]["id"], &whole["content"][1]["id"]);
    let results = [signed, plain].map(|id| json!({ "type": "tool_result", "tool_use_id": id, "content": "x" }));
    let body = json!({ "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": whole["content"] },
        { "role": "user", "content": results },
    ] });

    let chat = parse(&body.to_string());

    assert_eq!((plain, streamed.contains(signed.as_str().unwrap())), (&json!("c2"), true));
    let read = |body: Bytes| serde_json::from_slice::<Value>(&body).unwrap()["messages"].clone();
    let (server, translation) = (read(chat.body_for("m")), read(chat.body_to_translate("m")));
    for messages in [&server, &translation] {
        assert_eq!((&messages[1]["tool_calls"][0]["id"], &messages[2]["tool_call_id"]), (&json!("c1"), &json!("c1")));
    }
    assert!(server[1]["tool_calls"][0].get("extra_content").is_none(), "{server}");
    assert_eq!(translation[1]["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "a+/=");
    assert!(translation[1]["tool_calls"][1].get("extra_content").is_none(), "{translation}");
}
