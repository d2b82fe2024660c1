use serde_json::{Value, json};

use crate::chat::messages::MessagesRequest;
use crate::chat::openai::sameness::Apart;
use crate::domain::api::Api;

/// What of a request an upstream of the same dialect is told, and what upstreams of OpenAI's dialect are.
fn told(body: &Value) -> (Value, Value) {
    let chat = MessagesRequest::parse(body.to_string().as_bytes()).unwrap().chat;
    let read = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    (read(&chat.body_to_translate("m"))["trimtab.messages"].clone(), read(&chat.body_for("m")))
}

fn asks(content: &Value) -> Value {
    json!({ "model": "auto", "max_tokens": 9, "messages": [{ "role": "user", "content": content }] })
}

fn with(name: &str, value: Value) -> Value {
    let mut body = asks(&json!("Hi"));
    body[name] = value;
    body
}

#[test]
fn a_request_keeps_its_words_byte_for_byte() {
    let fields = r#""max_tokens": 9, "context_management" : {"edits":[]}, "messages":[{"role":"user","content":[{"type":"text","text":"H\u0069","citations":null}]}],"tools":[{"name":"a","input_schema":{"type" : "object"},"defer_loading":true}]"#;
    let body = format!(r#"{{"model":"auto","stream":true,"trimtab":{{"quality":0}},{fields}}}"#);

    let chat = MessagesRequest::parse(body.as_bytes()).unwrap().chat;

    let sent = String::from_utf8(chat.body_to_translate("m").to_vec()).unwrap();
    let (_, own) = sent.split_once(r#""trimtab.messages":"#).unwrap();
    for piece in [
        r#"[{"role":"user","content":[{"type":"text","text":"H\u0069","citations":null}]}]"#,
        r#"{"edits":[]}"#,
        r#"[{"name":"a","input_schema":{"type" : "object"},"defer_loading":true}]"#,
    ] {
        assert!(own.contains(piece), "{piece} in {own}");
    }
    let own = told(&serde_json::from_str(&body).unwrap()).0;
    for name in ["model", "stream", "trimtab"] {
        assert!(own.get(name).is_none(), "{own}");
    }
    let plain = String::from_utf8(chat.body_for("m").to_vec()).unwrap();
    assert!(!plain.contains("trimtab") && !plain.contains("context_management"), "{plain}");
}

#[test]
fn what_another_provider_said_is_told_in_words_that_anthropic_takes() {
    let blocks = json!([
        { "type": "thinking", "thinking": "unsigned", "signature": "" },
        { "type": "thinking", "thinking": "OpenAI's", "signature": "openai:acme:gAAA" },
        { "type": "thinking", "thinking": "its own", "signature": "c2ln" },
        { "type": "redacted_thinking", "data": "cmVk" },
        { "type": "text", "text": " " },
        { "type": "text", "text": "Hello" },
        { "type": "tool_use", "id": "c1__thought__c2ln", "name": "a", "input": {} },
    ]);
    let mut body = asks(&json!("Hi"));
    let result = json!({ "type": "tool_result", "tool_use_id": "c1__thought__c2ln", "content": "x" });
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": blocks }));
    messages.push(json!({ "role": "user", "content": [result] }));
    messages.push(json!({ "role": "assistant", "content": [{ "type": "text", "text": "" }] }));

    let messages = told(&body).0["messages"].clone();

    assert_eq!(messages.as_array().map(Vec::len), Some(3), "nothing is no message: {messages}");
    assert_eq!(
        messages[1]["content"],
        json!([blocks[2], blocks[3], blocks[5], { "type": "tool_use", "id": "c1", "name": "a", "input": {} }])
    );
    assert_eq!(messages[2]["content"][0]["tool_use_id"], "c1");
}

#[test]
fn what_runs_at_anthropic_alone_is_named_and_others_are_told_the_rest() {
    let file = json!({ "type": "file", "file_id": "f" });
    let hosted = [
        (
            with(
                "tools",
                json!([{ "name": "a", "input_schema": {} }, { "type": "web_search_20260209", "name": "web_search" }]),
            ),
            "tools[1].type",
        ),
        (with("mcp_servers", json!([{ "type": "url", "url": "u", "name": "n" }])), "mcp_servers"),
        (with("container", json!({ "skills": [] })), "container"),
        (
            asks(&json!([{ "type": "text", "text": "Hi" }, { "type": "container_upload", "file_id": "f" }])),
            "messages[0].content[1].type",
        ),
        (asks(&json!([{ "type": "image", "source": file }])), "messages[0].content[0].source.type"),
        (
            asks(&json!([{ "type": "document", "source": { "type": "url", "url": "u" } }])),
            "messages[0].content[0].source.type",
        ),
        (
            asks(
                &json!([{ "type": "tool_result", "tool_use_id": "c", "content": [{ "type": "tool_reference", "tool_name": "a" }] }]),
            ),
            "messages[0].content[0].content[0].type",
        ),
    ];
    for (body, field) in hosted {
        let shape = MessagesRequest::parse(body.to_string().as_bytes()).unwrap().chat.prompt.shape;
        let hosted = shape.hosted.unwrap_or_else(|| panic!("{body}"));

        assert_eq!((hosted.api, hosted.field.as_str()), (Api::Messages, field), "{body}");
        let (own, plain) = told(&body);
        assert_eq!(own["messages"], body["messages"]);
        assert_eq!((&own["tools"], &own["mcp_servers"]), (&body["tools"], &body["mcp_servers"]));
        for foreign in ["web_search", "mcp_servers", "container", "file_id", "tool_reference", "source"] {
            assert!(!plain.to_string().contains(foreign), "{plain}");
        }
    }
    for body in
        [with("mcp_servers", json!([])), with("tools", json!([{ "type": "custom", "name": "a", "input_schema": {} }]))]
    {
        assert_eq!(
            MessagesRequest::parse(body.to_string().as_bytes()).unwrap().chat.prompt.shape.hosted,
            None,
            "{body}"
        );
    }
}

#[test]
fn requests_that_differ_in_words_of_anthropics_alone_are_not_the_same() {
    let same = |body: &Value, betas: Option<&str>| {
        let request = MessagesRequest::parse(body.to_string().as_bytes()).unwrap();
        let request = if let Some(betas) = betas { request.with_betas(betas) } else { request };
        request.chat.sameness(Apart::Not)
    };
    let cited =
        json!([{ "type": "document", "source": { "type": "text", "data": "x" }, "citations": { "enabled": true } }]);
    let uncited = json!([{ "type": "document", "source": { "type": "text", "data": "x" } }]);
    let plain = same(&asks(&uncited), None);

    assert_eq!(plain, same(&asks(&uncited), None));
    assert_ne!(plain, same(&asks(&cited), None));
    assert_ne!(plain, same(&asks(&uncited), Some("a-1")));
    assert_ne!(same(&with("speed", json!("fast")), None), same(&with("speed", json!("slow")), None));
    let output = |config: Value| with("output_config", config);
    let most = output(json!({ "effort": "max" }));
    assert_ne!(same(&most, None), same(&output(json!({ "effort": "xhigh" })), None));
    assert_ne!(same(&output(json!({ "task_budget": 9 })), None), same(&output(json!({})), None));
    let is_kept =
        |body: &Value| !MessagesRequest::parse(body.to_string().as_bytes()).unwrap().chat.has_words_of_its_own();
    assert_eq!(
        [&asks(&cited), &most, &output(json!({ "effort": "low" })), &asks(&uncited)].map(is_kept),
        [false, false, true, true]
    );
    let marked = json!([{ "type": "text", "text": "Hi", "cache_control": { "type": "ephemeral" } }]);
    let unmarked = json!([{ "type": "text", "text": "Hi" }]);
    assert_eq!(same(&asks(&marked), None), same(&asks(&unmarked), None));
}

#[test]
fn no_request_is_too_deep_to_be_read() {
    const LEVELS: usize = 100_000;
    let open = r#"{"type":"tool_result","tool_use_id":"x","content":["#.repeat(LEVELS);
    let deep = format!("[{open}{}]", "]}".repeat(LEVELS));
    let body = format!(r#"{{"model":"auto","max_tokens":9,"messages":[{{"role":"user","content":{deep}}}]}}"#);

    assert!(MessagesRequest::parse(body.as_bytes()).is_err());
}
