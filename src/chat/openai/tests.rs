use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: &Value) -> ChatRequest {
    ChatRequest::parse(value.to_string().as_bytes()).unwrap()
}

fn refused(body: &str) -> ChatError {
    ChatRequest::parse(body.as_bytes()).unwrap_err()
}

#[test]
fn reads_content_of_every_shape() {
    let shapes = [
        json!("hello"),
        json!([{ "type": "text", "text": "hello" }]),
        json!([{ "type": "image_url", "image_url": { "url": "data:…" } }, { "type": "text", "text": "hello" }]),
        json!([{ "type": "text", "text": "hello", "cache_control": { "type": "ephemeral" } }, { "type": "file", "file": {} }]),
    ];
    for content in shapes {
        let request = parse(&json!({ "messages": [{ "role": "user", "content": content }] }));

        assert_eq!(request.prompt.ask, "hello");
    }
}

#[test]
fn null_and_absent_content_are_no_text() {
    let request = parse(&json!({ "messages": [
        { "role": "user", "content": "ask" },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "1" }] },
        { "role": "assistant" },
        { "role": "tool", "content": "result" },
    ] }));

    assert_eq!(request.prompt.ask, "ask");
    assert_eq!(request.prompt.shape.turns, 4);
}

#[test]
fn names_the_field_that_is_wrong() {
    let cases = [
        ("{}", "messages"),
        (r#"{"messages":null}"#, "messages"),
        (r#"{"messages":[]}"#, "messages"),
        (r#"{"messages":"hi"}"#, "messages"),
        (r#"{"messages":["hi"]}"#, "messages[0]"),
        (r#"{"messages":[{"content":"hi"}]}"#, "messages[0].role"),
        (r#"{"messages":[{"role":7,"content":"hi"}]}"#, "messages[0].role"),
        (r#"{"messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":{"text":"hi"}}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":[["hi"]]}]}"#, "messages[0].content[0]"),
        (r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#, "messages[0].content[0]"),
        (r#"{"messages":[{"role":"user","content":[{"type":"text","text":{}}]}]}"#, "messages[0].content[0].text"),
        (r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#, "messages[0]"),
        (r#"{"model":7,"messages":[{"role":"user","content":"hi"}]}"#, "model"),
        (r#"{"stream":"yes","messages":[{"role":"user","content":"hi"}]}"#, "stream"),
        (r#"{"model":"a","model":"b","messages":[{"role":"user","content":"hi"}]}"#, "model"),
        (r#"{"trimtab":7,"messages":[{"role":"user","content":"hi"}]}"#, "trimtab"),
    ];
    for (body, field) in cases {
        assert_eq!(refused(body).field(), Some(field), "{body}");
    }
}

#[test]
fn says_where_json_and_utf8_break() {
    assert!(refused("{\"messages\": [").to_string().contains("line 1 column"));
    assert!(matches!(refused("[]"), ChatError::NotJson { .. }));
    assert_eq!(ChatRequest::parse(b"{\"a\":\"\xff\"}").unwrap_err(), ChatError::NotUtf8 { offset: 6 });
}

#[test]
fn deep_nesting_is_refused_and_not_a_crash() {
    let deep = format!(
        r#"{{"trimtab":{}{},"messages":[{{"role":"user","content":"hi"}}]}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );

    assert!(ChatRequest::parse(deep.as_bytes()).is_err());
}

#[test]
fn fields_pass_through_byte_for_byte() {
    let body = r#"{"model":"auto","temperature":0.10,"seed":12345678901234567890,"x":{"b":1,"a":[1e400]},"trimtab":{"quality":1},"messages":[{"role":"user","content":"caf\u00e9","name":"n"}]}"#;

    let sent = ChatRequest::parse(body.as_bytes()).unwrap().body_for("gpt");

    assert_eq!(
        std::str::from_utf8(&sent).unwrap(),
        r#"{"model":"gpt","temperature":0.10,"seed":12345678901234567890,"x":{"b":1,"a":[1e400]},"messages":[{"role":"user","content":"caf\u00e9","name":"n"}]}"#
    );
}

#[test]
fn asks_the_upstream_for_usage_of_a_stream() {
    let silent = parse(&json!({ "stream": true, "messages": [{ "role": "user", "content": "hi" }] }));
    let asking = parse(&json!({
        "stream": true, "stream_options": { "include_usage": true }, "messages": [{ "role": "user", "content": "hi" }],
    }));
    let other = parse(&json!({
        "stream": true, "stream_options": { "include_obfuscation": false }, "messages": [{ "role": "user", "content": "hi" }],
    }));
    let options = |request: &ChatRequest| {
        serde_json::from_slice::<Value>(&request.body_for("m")).unwrap()["stream_options"].clone()
    };

    assert_eq!(options(&silent), json!({ "include_usage": true }));
    assert_eq!(options(&asking), json!({ "include_usage": true }));
    assert_eq!(options(&other), json!({ "include_obfuscation": false, "include_usage": true }));
    assert!(asking.wants_usage && !silent.wants_usage && !other.wants_usage);
}

#[test]
fn sees_what_the_request_needs() {
    let request = parse(&json!({
        "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }],
        "tools": [{}, {}], "response_format": { "type": "json_schema" }, "max_tokens": 50, "max_completion_tokens": 70,
    }));
    let shape = &request.prompt.shape;

    assert_eq!((shape.images, shape.tools, shape.json_schema), (1, 2, true));
    assert_eq!(shape.max_output_tokens, Some(70));
    assert!(shape.input_tokens >= IMAGE_TOKENS);
    assert_ne!(shape.system_digest, 0);
}

#[test]
fn sees_whether_a_tool_must_be_called() {
    let named = json!({ "type": "function", "function": { "name": "a" } });
    let allowed = |mode: &str| json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": [named] } });
    let insists = |more: Value| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "x" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parse(&body).prompt.shape.must_call
    };
    for (choice, expected) in [
        (json!("required"), true),
        (json!("any"), true),
        (named.clone(), true),
        (allowed("required"), true),
        (allowed("auto"), false),
        (json!("auto"), false),
        (json!("none"), false),
        (json!(null), false),
        (json!("perhaps"), false),
        (json!([7]), false),
    ] {
        assert_eq!(insists(json!({ "tools": [{}], "tool_choice": choice })), expected, "{choice}");
        assert!(!insists(json!({ "tool_choice": choice })), "{choice}: there is nothing to call");
    }
    assert!(insists(json!({ "functions": [{}], "function_call": { "name": "a" } })));
    assert!(!insists(json!({ "functions": [{}], "function_call": "auto" })));
}

#[test]
fn a_file_and_a_recording_count_by_their_size_and_not_as_text() {
    let tokens = |part: Value| {
        let message = json!({ "role": "user", "content": [{ "type": "text", "text": "Sum up." }, part] });
        parse(&json!({ "messages": [message] })).prompt.shape.input_tokens
    };
    let data = "A".repeat(4_000_000);
    let (file, sound) = (
        json!({ "file_data": format!("data:application/pdf;base64,{data}") }),
        json!({ "data": data, "format": "mp3" }),
    );

    for part in [json!({ "type": "file", "file": file }), json!({ "type": "input_audio", "input_audio": sound })] {
        let counted = tokens(part);
        assert!((50_000..100_000).contains(&counted), "{counted}");
    }
    let known = tokens(json!({ "type": "file", "file": { "file_id": "file-1" } }));
    assert!((IMAGE_TOKENS..IMAGE_TOKENS + 20).contains(&known), "{known}");
}

#[test]
fn a_conversation_is_recognised_by_its_opening_and_not_by_what_follows() {
    let shape = |messages: Value| parse(&json!({ "messages": messages })).prompt.shape;
    let user = |text: &str| json!({ "role": "user", "content": text });
    let opening = |system: &str, first: &str| shape(json!([{ "role": "system", "content": system }, user(first)]));
    let first = opening("Be brief.", "How do tides work?");
    let later = shape(json!([
        { "role": "system", "content": "Be brief." },
        user("How do tides work?"),
        { "role": "assistant", "content": "The moon." },
        user("And the sun?"),
    ]));

    assert_eq!((first.is_answered, later.is_answered), (false, true));
    assert_eq!(first.opening_digest, later.opening_digest);
    assert_ne!(first.opening_digest, opening("Be thorough.", "How do tides work?").opening_digest);
    assert_ne!(first.opening_digest, opening("Be brief.", "How do winds work?").opening_digest);
    let long = |length: usize| opening("", &"a".repeat(length)).opening_digest;
    assert_ne!(long(10_000), long(10_001), "the length counts beyond what is read");
    assert_eq!(shape(json!([{ "role": "system", "content": "Be brief." }])).opening_digest, 0);
}

#[test]
fn a_hundred_thousand_messages_are_read() {
    let message = r#"{"role":"user","content":"hi"},"#;
    let body = format!(r#"{{"messages":[{}{{"role":"user","content":"last"}}]}}"#, message.repeat(100_000));

    let request = ChatRequest::parse(body.as_bytes()).unwrap();

    assert_eq!(request.prompt.ask, "last");
    assert_eq!(request.prompt.shape.turns, 100_001);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(ChatRequest::parse(&body));
    }

    #[test]
    fn any_text_survives_the_round_trip(text in "\\PC{0,80}", model in "\\PC{1,20}") {
        let sent = parse(&json!({ "messages": [{ "role": "user", "content": text }] })).body_for(&model);
        let value: Value = serde_json::from_slice(&sent).unwrap();

        prop_assert_eq!(value["messages"][0]["content"].as_str(), Some(text.as_str()));
        prop_assert_eq!(value["model"].as_str(), Some(model.as_str()));
    }
}
