use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::chat::dialect::corpus::{answered, cases, check_cuts, data, events, events_of, streams, told};
use crate::chat::dialect::{Dialect, Naming, StreamTranslator};
use crate::chat::openai::ChatRequest;

fn parse(body: &str) -> ChatRequest {
    ResponsesRequest::parse(body.as_bytes()).unwrap().chat
}

fn writer() -> ResponseWriter {
    let body = r#"{"instructions": "Be kind.", "input": "Hi", "tools": [{"type": "function", "name": "a"}], "temperature": 0.70}"#;
    let naming = Naming { key: "01".to_owned(), created: 5, input_tokens: 11 };
    ResponsesRequest::parse(body.as_bytes()).unwrap().reply.writer(naming)
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

#[test]
fn whole_answers_become_responses() {
    insta::assert_snapshot!(answered(writer));
}

#[test]
fn streams_become_typed_events() {
    insta::assert_snapshot!(told(writer));
}

#[test]
fn events_do_not_depend_on_how_the_stream_is_cut() {
    check_cuts(writer);
}

#[test]
fn events_are_numbered_and_end_in_a_response() {
    for (name, stream) in streams() {
        let told = data(&events(writer(), &[stream.as_bytes()]));
        let numbers: Vec<u64> = told.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();

        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{name}");
        let last = told.last().unwrap();
        let status = last["response"]["status"].as_str().unwrap();
        assert_eq!(last["type"], format!("response.{status}"), "{name}");
        assert!(matches!(status, "completed" | "incomplete" | "failed"), "{name}");
    }
}

#[test]
fn the_last_event_holds_what_the_whole_answer_would() {
    let told = data(&events_of(writer(), "reasoning before a text"));
    let whole = json!({
        "model": "cheap",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "reasoning_content": "Let me see.", "content": "42" } }],
        "usage": { "prompt_tokens": 120, "completion_tokens": 30, "prompt_tokens_details": { "cached_tokens": 64, "cache_write_tokens": 16 }, "completion_tokens_details": { "reasoning_tokens": 12 } },
    });
    let whole: Value = serde_json::from_slice(&writer().whole(whole.to_string().as_bytes()).unwrap()).unwrap();

    assert_eq!(told.last().unwrap()["response"], whole);
}

#[test]
fn a_stream_without_end_is_cut_before_it_fills_the_memory() {
    let text = "a".repeat(1 << 20);
    let delta = json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
    let likely = json!({ "choices": [{ "index": 0, "delta": { "content": "a" }, "logprobs": { "content": [{ "token": text }] } }] });
    for chunk in [delta, likely] {
        let chunk = Bytes::from(format!("data: {chunk}\n\n"));
        let mut translator = StreamTranslator::new(writer());
        let pushed = (1..100).find(|_| {
            translator.push(chunk.clone());
            translator.is_broken()
        });
        assert!(pushed.is_some_and(|pushed| (64..=65).contains(&pushed)), "{pushed:?}");
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let with = |name: &str, value: Value| {
        let mut body = json!({ "input": "Hi" });
        body[name] = value;
        body
    };
    let input = |item: Value| json!({ "input": [item] });
    let cases = [
        (json!({}), "input"),
        (json!({ "input": [] }), "input"),
        (json!({ "input": 7 }), "input"),
        (input(json!(7)), "input[0]"),
        (input(json!({ "content": "Hi" })), "input[0].role"),
        (input(json!({ "role": "tool", "content": "Hi" })), "input[0].role"),
        (input(json!({ "role": "user" })), "input[0].content"),
        (input(json!({ "role": "user", "content": [{ "text": "Hi" }] })), "input[0].content[0].type"),
        (input(json!({ "role": "user", "content": [{ "type": "input_audio" }] })), "input[0].content[0].type"),
        (
            input(json!({ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] })),
            "input[0].content[0].image_url",
        ),
        (
            input(json!({ "role": "user", "content": [{ "type": "input_file", "file_url": "u" }] })),
            "input[0].content[0].file_data",
        ),
        (input(json!({ "type": "item_reference", "id": "x" })), "input[0].type"),
        (input(json!({ "type": "web_search_call" })), "input[0].type"),
        (input(json!({ "type": "function_call", "name": "a" })), "input[0].call_id"),
        (input(json!({ "type": "function_call_output", "output": "x" })), "input[0].call_id"),
        (input(json!({ "type": "function_call_output", "call_id": "x" })), "input[0].output"),
        (with("previous_response_id", json!("resp_1")), "previous_response_id"),
        (with("conversation", json!("conv_1")), "conversation"),
        (with("prompt", json!({ "id": "p" })), "prompt"),
        (with("store", json!(true)), "store"),
        (with("background", json!(true)), "background"),
        (with("truncation", json!("auto")), "truncation"),
        (with("instructions", json!(7)), "instructions"),
        (with("max_output_tokens", json!(-1)), "max_output_tokens"),
        (with("tools", json!([{ "type": "web_search" }])), "tools[0].type"),
        (with("tools", json!([{ "type": "custom", "name": "a" }])), "tools[0].type"),
        (with("tools", json!([{ "type": "function" }])), "tools[0].name"),
        (with("tool_choice", json!("any")), "tool_choice"),
        (with("tool_choice", json!({ "type": "file_search" })), "tool_choice.type"),
        (with("text", json!({ "format": { "type": "xml" } })), "text.format.type"),
        (with("text", json!({ "format": { "type": "json_schema", "name": "a" } })), "text.format.schema"),
        (with("trimtab", json!({ "qualty": 7 })), "trimtab.qualty"),
    ];
    for (body, field) in cases {
        let error = ResponsesRequest::parse(body.to_string().as_bytes()).unwrap_err();

        assert_eq!(error.field(), Some(field), "{body}: {error}");
    }
}

#[test]
fn a_signature_of_gemini_comes_back_with_the_id_of_its_call_and_openai_never_sees_it() {
    let answer = r#"{"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"a","arguments":"{}"},"extra_content":{"google":{"thought_signature":"a+/="}}}]}}]}"#;
    let whole: Value = serde_json::from_slice(&writer().whole(answer.as_bytes()).unwrap()).unwrap();
    let call = &whole["output"][0];
    let body = json!({ "input": [{ "role": "user", "content": "Hi" }, call, { "type": "function_call_output", "call_id": call["call_id"], "output": "x" }] });

    let chat = parse(&body.to_string());

    let read = |body: Bytes| serde_json::from_slice::<Value>(&body).unwrap();
    let (server, translation) = (read(chat.body_for("m")), read(chat.body_to_translate("m")));
    assert_ne!(call["call_id"], "c1");
    assert_eq!(
        (&server["messages"][1]["tool_calls"][0]["id"], &server["messages"][2]["tool_call_id"]),
        (&json!("c1"), &json!("c1"))
    );
    assert!(!server.to_string().contains("extra_content"), "{server}");
    assert_eq!(translation["messages"][1]["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "a+/=");
    let own = &translation["trimtab.responses"]["input"];
    assert_eq!((&own[1]["call_id"], &own[2]["call_id"]), (&json!("c1"), &json!("c1")), "{own}");
}

#[test]
fn a_thought_in_another_shape_is_passed_over_and_refuses_nothing() {
    let chat = |reasoning: Value| {
        let call = json!({ "type": "function_call", "call_id": "c", "name": "a", "arguments": "{}" });
        let body = json!({ "input": [{ "role": "user", "content": "Hi" }, reasoning, call] });
        String::from_utf8(parse(&body.to_string()).body_with_thoughts("m").to_vec()).unwrap()
    };

    for odd in [json!(["text"]), json!([{ "type": "summary_text", "text": 7 }]), json!([null, [], 1]), json!("text")] {
        let told = chat(json!({ "type": "reasoning", "summary": odd, "content": odd }));
        assert!(!told.contains("reasoning_content"), "{odd}: {told}");
    }
    let mixed = json!(["text", { "type": "summary_text", "text": "So." }]);
    let told = chat(json!({ "type": "reasoning", "summary": mixed }));
    assert!(told.contains(r#""reasoning_content":"So.""#), "{told}");
}
