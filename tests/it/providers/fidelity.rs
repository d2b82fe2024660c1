//! What two turns, or two parties that speak the same dialect, say to each other through Trimtab: nothing of it is lost, and nothing of it
//! goes to whom it is not for.

use std::time::Duration;

use super::*;

/// A response with an encrypted thought.
const THOUGHT: &str = r#"{"id":"resp_1","status":"completed","model":"gpt","output":[{"id":"rs_up","type":"reasoning","summary":[],"encrypted_content":"gAAA"},{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":1,"output_tokens":1}}"#;

/// A server whose cheap model is at `kind = "responses"` with these settings.
async fn thinking(settings: &str, first: &FakeUpstream, last: &FakeUpstream, last_settings: &str) -> TestApp {
    let mut setup = Setup::tiers(&[first.base_url(), last.base_url()]);
    for (name, settings) in [("first", settings), ("last", last_settings)] {
        let (old, new) = (format!("[upstreams.{name}]"), format!("[upstreams.{name}]\n{settings}"));
        setup.toml = setup.toml.replacen(&old, &new, 1);
    }
    for key in ["KEY_A", "KEY_B"] {
        setup.environment.push((key.to_owned(), format!("sk-{key}")));
    }
    TestApp::start(setup).await
}

const TWO_KEYS: &str = "kind = \"responses\"\napi_keys = [{ env = \"KEY_A\" }, { env = \"KEY_B\" }]";

/// The bearer keys of what an upstream was asked, and what it was asked.
fn asked(upstream: &FakeUpstream) -> Vec<(String, Value)> {
    let requests = upstream.requests();
    let read = |request: &crate::support::fake::Received| {
        let key = request.header("authorization").unwrap_or_default().to_owned();
        (key, serde_json::from_slice(&request.body).unwrap())
    };
    requests.iter().map(read).collect()
}

#[tokio::test]
async fn a_thought_reaches_only_the_account_that_made_it() {
    let first = FakeUpstream::script([whole_answer(THOUGHT)]).await;
    let app = thinking(TWO_KEYS, &first, &first, TWO_KEYS).await;
    let ask = json!({ "role": "user", "content": "Hi" });

    let reply = app.post("/v1/responses", &json!({ "model": "cheap", "input": [ask] })).await.json();
    let said = app
        .post("/v1/chat/completions", &json!({ "model": "cheap", "messages": [ask] }))
        .await
        .json()["choices"][0]["message"]
        .clone();
    let (own, other) = (asked(&first)[0].0.clone(), asked(&first)[1].0.clone());
    assert_ne!(own, other, "keys take turns");
    for _ in 0..4 {
        app.post(
            "/v1/responses",
            &json!({ "model": "cheap", "input": [ask, reply["output"][0], reply["output"][1], ask] }),
        )
        .await;
        app.post("/v1/chat/completions", &json!({ "model": "cheap", "messages": [ask, said, ask] })).await;
    }

    assert!(reply["output"][0]["encrypted_content"].as_str().unwrap().starts_with("openai:"), "{reply}");
    for (at, (key, sent)) in asked(&first)[2..].iter().enumerate() {
        let thought = sent["input"].as_array().unwrap().iter().find(|item| item["type"] == "reasoning");
        assert_eq!(thought.unwrap()["encrypted_content"], "gAAA", "{sent}");
        assert_eq!(key, if at % 2 == 0 { &own } else { &other }, "{sent}");
    }
}

#[tokio::test]
async fn keys_of_one_account_share_its_thoughts_and_thoughts_of_nobody_here_are_left_out() {
    let first = FakeUpstream::script([whole_answer(THOUGHT)]).await;
    let one_account = format!("{TWO_KEYS}\naccount = \"acme\"");
    let app = thinking(&one_account, &first, &first, &one_account).await;
    let thought = |content: &str| json!({ "type": "reasoning", "summary": [], "encrypted_content": content });
    let ask = |content: &str| json!({ "model": "cheap", "input": [{ "role": "user", "content": "Hi" }, thought(content), { "role": "user", "content": "Go on" }] });

    for content in ["openai:acme:gAAA", "openai:acme:gAAA", "openai:elsewhere:gBBB", "gCCC"] {
        assert_eq!(app.post("/v1/responses", &ask(content)).await.status, 200, "{content}");
    }

    let sent = asked(&first);
    assert_ne!(sent[0].0, sent[1].0, "both keys read them");
    let thoughts: Vec<Value> = sent.iter().map(|(_, sent)| sent["input"][1]["encrypted_content"].clone()).collect();
    assert_eq!(thoughts, [json!("gAAA"), json!("gAAA"), Value::Null, json!("gCCC")]);
}

#[tokio::test]
async fn a_target_of_another_account_is_excluded_with_its_reason() {
    let first = FakeUpstream::script([status(500)]).await;
    let last = FakeUpstream::script([whole_answer(THOUGHT)]).await;
    let app = thinking(
        "kind = \"responses\"\naccount = \"acme\"",
        &first,
        &last,
        "kind = \"responses\"\naccount = \"other\"",
    )
    .await;
    let thought = json!({ "type": "thinking", "thinking": "", "signature": "openai:other:gAAA" });
    let said = json!({ "role": "assistant", "content": "Hello", "thinking_blocks": [thought] });
    let mut body = cheap();
    body["messages"] = json!([{ "role": "user", "content": "Hi" }, said, { "role": "user", "content": "Go on" }]);
    let mut claude = json!({ "model": "auto", "max_tokens": 9, "trimtab": { "quality": 0 } });
    claude["messages"] = json!([{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": [thought, { "type": "text", "text": "Hello" }] }, { "role": "user", "content": "Go on" }]);

    let decision = app.post("/v1/route", &body).await.json();
    let reply = app.post("/v1/chat/completions", &body).await;
    let message = app.post("/v1/messages", &claude).await;
    body["model"] = json!("cheap");
    let named = app.post("/v1/chat/completions", &body).await;

    assert_eq!(decision["candidates"][0]["excluded_by"], "other_account", "{decision}");
    assert_eq!(decision["candidates"][1]["excluded_by"], Value::Null, "{decision}");
    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
    assert_eq!((message.status, message.header("x-trimtab-model")), (200, "dear"), "{}", message.text);
    assert_eq!(named.status, 400, "{}", named.text);
    assert!(named.text.contains("`cheap` would be shown encrypted thoughts"), "{}", named.text);
    assert_eq!(first.requests().len(), 0);
    let sent = asked(&last);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, sent)| sent["input"][1]["encrypted_content"] == "gAAA"), "{sent:?}");
}

#[tokio::test]
async fn a_thought_that_one_account_cannot_read_is_shown_to_the_next() {
    let refusal = r#"{"error":{"message":"The encrypted content gAAA could not be verified.","type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}"#;
    let first = FakeUpstream::script([whole(400, "application/json", refusal.as_bytes())]).await;
    let last = FakeUpstream::script([whole_answer(THOUGHT)]).await;
    let app = thinking("kind = \"responses\"", &first, &last, "kind = \"responses\"").await;
    let thought = json!({ "type": "reasoning", "summary": [], "encrypted_content": "gAAA" });
    let body = json!({ "model": "auto", "trimtab": { "quality": 0 }, "input": [{ "role": "user", "content": "Hi" }, thought] });

    let reply = app.post("/v1/responses", &body).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
}

#[tokio::test]
async fn the_stop_sequence_that_ended_a_message_is_told() {
    let whole = r#"{"id":"m","model":"x","content":[{"type":"text","text":"Hel"}],"stop_reason":"stop_sequence","stop_sequence":"lo","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let pieces = [
        r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":1,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hel"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"lo"},"usage":{"output_tokens":1}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let pieces: Vec<String> = pieces.iter().map(|data| format!("data: {data}\n\n")).collect();
    for (stream, script) in [(false, whole_answer(whole)), (true, raw_stream(&pieces))] {
        let first = FakeUpstream::script([script]).await;
        let app = start(&anthropic(), &first, &first).await;
        let body = json!({ "model": "cheap", "max_tokens": 9, "stream": stream, "stop_sequences": ["lo"], "messages": [{ "role": "user", "content": "Hi" }] });

        let told = app.post("/v1/messages", &body).await.text;

        assert!(
            told.contains(r#""stop_reason":"stop_sequence""#) && told.contains(r#""stop_sequence":"lo""#),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_cancelled_claude_stream_is_billed_by_the_counts_of_its_start() {
    let start_event = r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":1000,"cache_read_input_tokens":20000,"cache_creation_input_tokens":3000,"output_tokens":1}}}"#;
    let word = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"four letter"}}"#;
    let pieces = [
        format!("data: {start_event}\n\n"),
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
            .to_owned(),
        format!("data: {word}\n\n"),
        format!("data: {word}\n\n"),
    ];
    let first = FakeUpstream::script([raw_stream(&pieces).stall_after(3)]).await;
    let mut setup = Setup::tiers(&[first.base_url(), first.base_url()]);
    setup.toml = setup.toml.replacen("[upstreams.first]", &format!("[upstreams.first]\n{}", anthropic().toml), 1);
    let price = "output = 0.4, cached_input = 0.01, cache_write = 0.2";
    setup.toml = setup.toml.replacen("output = 0.4", price, 1);
    setup.environment.push(("KEY".to_owned(), KEY.to_owned()));
    let app = TestApp::start(setup).await;
    let mut body = cheap();
    body["stream"] = json!(true);
    let request =
        app.client.post(format!("{}/v1/chat/completions", app.url)).header("content-type", "application/json");

    let mut response = request.body(body.to_string()).send().await.unwrap();
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("four letter") {
        told.extend_from_slice(&response.chunk().await.unwrap().unwrap());
    }
    drop(response);

    tokio::time::timeout(Duration::from_secs(10), first.client_gone()).await.expect("the upstream call is cancelled");
    let row = crate::commands::export(app.stop().await.path(), &[])[0].clone();
    assert_eq!((&row["class"], &row["usage_estimated"]), (&json!("cancelled"), &json!(true)), "{row}");
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(24_000), &json!(3)), "{row}");
    let cost = (1_000.0 * 0.1 + 20_000.0 * 0.01 + 3_000.0 * 0.2 + 3.0 * 0.4) / 1e6;
    assert!((row["cost_usd"].as_f64().unwrap() - cost).abs() < 1e-9, "{row}");
}

/// What chat completions have no words for, in a request and in an answer of Anthropic's.
fn hosted(stream: bool) -> Value {
    json!({
        "model": "auto", "max_tokens": 9, "stream": stream, "trimtab": { "quality": 0 },
        "tools": [{ "type": "web_search_20260209", "name": "web_search", "max_uses": 3 }],
        "context_management": { "edits": [{ "type": "clear_tool_uses_20250919" }] },
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hello there" }, { "type": "document", "source": { "type": "url", "url": "https://example.com/a.pdf" }, "citations": { "enabled": true } }] }],
    })
}

const ANTHROPIC: &str =
    "kind = \"anthropic\"\napi_key = { env = \"KEY_A\" }\nheaders = { \"anthropic-beta\" = \"ours-1\" }";

#[tokio::test]
async fn words_of_anthropics_reach_anthropic_and_come_back() {
    let whole = r#"{"id":"msg_up","type":"message","role":"assistant","model":"claude","content":[{"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"x"}},{"type":"text","text":"Hi","citations":[{"url":"https://example.com"}]}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":3,"server_tool_use":{"web_search_requests":1}}}"#;
    let told = [
        r#"{"type":"message_start","message":{"id":"msg_up","model":"claude","usage":{"input_tokens":7,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"Hi","citations":[]}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"url":"https://example.com"}}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let events = told.map(|data| {
        let kind: Value = serde_json::from_str(data).unwrap();
        format!("event: {}\ndata: {data}\n\n", kind["type"].as_str().unwrap())
    });
    for (stream, script, answer) in
        [(false, whole_answer(whole), whole.to_owned()), (true, raw_stream(&events), events.concat())]
    {
        let first = FakeUpstream::script([script]).await;
        let app = thinking(ANTHROPIC, &first, &first, ANTHROPIC).await;
        let request = app.client.post(format!("{}/v1/messages", app.url)).header("content-type", "application/json");
        let request = request.header("anthropic-beta", "theirs-1,theirs-2").header("anthropic-beta", "theirs-3");

        let reply = app.send(request.body(hosted(stream).to_string())).await;

        let id = reply.header("x-trimtab-decision-id").replace("dec_", "msg_");
        let answer = answer.replace("msg_up", &id).replace("\"claude\"", "\"cheap\"");
        assert_eq!((reply.status, reply.text.as_str()), (200, answer.as_str()));
        let (sent, mut wanted) = (first.requests()[0].clone(), hosted(stream));
        wanted.as_object_mut().unwrap().remove("trimtab");
        wanted["model"] = json!("vendor/cheap-1");
        if !stream {
            wanted.as_object_mut().unwrap().remove("stream");
        }
        assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), wanted);
        assert_eq!(sent.header("anthropic-beta"), Some("ours-1,theirs-1,theirs-2,theirs-3"));
        let row = crate::commands::export(app.stop().await.path(), &[])[0].clone();
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(7), &json!(3)), "{row}");
    }
}

#[tokio::test]
async fn what_runs_at_anthropic_is_asked_of_anthropic_alone() {
    let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
    let last = FakeUpstream::script([whole_answer(anthropic().answer), status(500)]).await;
    let app = thinking("", &first, &last, ANTHROPIC).await;
    let mut named = hosted(false);
    named["model"] = json!("cheap");

    let reply = app.post("/v1/messages", &hosted(false)).await;
    let refused = app.post("/v1/messages", &named).await;
    let failed = app.post("/v1/messages", &hosted(false)).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(
        refused.text.contains("tools[0].type: ") && refused.text.contains("`cheap` is at no provider"),
        "{}",
        refused.text
    );
    assert!(failed.status >= 500, "{}", failed.text);
    assert_eq!(first.requests().len(), 0);
}

#[tokio::test]
async fn what_runs_at_anthropic_is_for_callers_only_where_the_operator_lets_them() {
    let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
    let last = FakeUpstream::script([whole_answer(anthropic().answer)]).await;
    let app = thinking("", &first, &last, &format!("{ANTHROPIC}\nhosted_tools = false")).await;
    let mut plain = hosted(false);
    plain["model"] = json!("dear");
    plain["tools"] = json!([{ "name": "a", "input_schema": { "type": "object" } }]);
    plain["messages"] = json!([{ "role": "user", "content": "Hi" }]);

    let refused = app.post("/v1/messages", &hosted(false)).await;
    let answered = app.post("/v1/messages", &plain).await;

    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("tools[0].type"), "{}", refused.text);
    assert_eq!((answered.status, last.requests().len()), (200, 1), "{}", answered.text);
}

#[tokio::test]
async fn words_of_anthropics_that_change_little_are_left_out_elsewhere() {
    let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
    let app = thinking("", &first, &first, "").await;
    let mut body = hosted(false);
    body["tools"] = json!([{ "name": "a", "input_schema": {}, "defer_loading": true }]);
    body["messages"] = json!([{ "role": "user", "content": "Hi" }]);
    let request = app.client.post(format!("{}/v1/messages", app.url)).header("content-type", "application/json");

    let reply = app.send(request.header("anthropic-beta", "theirs-1").body(body.to_string())).await;

    assert_eq!(reply.status, 200, "{}", reply.text);
    let sent = first.requests()[0].clone();
    assert_eq!(sent.header("anthropic-beta"), None);
    let text = String::from_utf8(sent.body).unwrap();
    for foreign in ["context_management", "defer_loading", "trimtab", "theirs-1"] {
        assert!(!text.contains(foreign), "{text}");
    }
}
