//! `/v1/messages` and `/v1/responses` from outside, against a scripted upstream, and what they have in common with Google's API.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fake::{FakeUpstream, events_reply, json as whole, sse, status, whole as body};
use crate::support::{Setup, TestApp};

pub(crate) const CALLS: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"I look.","tool_calls":[{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Paris\"}"}},{"id":"call_b","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Rome\"}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":400}}}"#;

/// A request that always goes to the cheap model, in both dialects.
fn asks(extra: &Value) -> [(&'static str, Value); 2] {
    let with = |mut body: Value| {
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let trimtab = json!({ "quality": 0 });
    let messages = json!([{ "role": "user", "content": "Hello there" }]);
    [
        ("/v1/messages", with(json!({ "model": "auto", "max_tokens": 64, "messages": messages, "trimtab": trimtab }))),
        ("/v1/responses", with(json!({ "model": "auto", "input": "Hello there", "trimtab": trimtab }))),
    ]
}

/// The same, and one in Google's words, whose address says whether to stream.
fn all(extra: &Value) -> Vec<(&'static str, Value)> {
    let path = if extra["stream"] == true {
        "/v1beta/models/auto:streamGenerateContent?alt=sse"
    } else {
        "/v1beta/models/auto:generateContent"
    };
    let contents = json!([{ "parts": [{ "text": "Hello there" }] }]);
    let googles = (path, json!({ "contents": contents, "trimtab": { "quality": 0 } }));
    asks(extra).into_iter().chain([googles]).collect()
}

/// The data of every event of a stream, whose names must agree with it.
fn events(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for event in text.split("\n\n").filter(|event| !event.is_empty()) {
        let (name, data) = event.split_once('\n').unwrap_or_else(|| panic!("{event}"));
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{event}");
        found.push(data);
    }
    found
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_answer_tells_its_decision_and_its_calls_in_each_dialect() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for (path, ask) in asks(&json!({})) {
        let reply = app.post(path, &ask).await;

        let answer = reply.json();
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{answer}");
        assert_eq!((reply.header("x-trimtab-model"), reply.header("x-trimtab-tier")), ("cheap", "small"));
        assert_eq!((reply.header("x-trimtab-reason"), answer["model"].as_str()), ("cheapest_asked", Some("cheap")));
        assert_eq!(reply.header("x-trimtab-cost-usd"), "0.000140000");
        let id = reply.header("x-trimtab-decision-id").strip_prefix("dec_").unwrap();
        assert!(answer["id"].as_str().unwrap().ends_with(id), "{answer}");
        let inputs: Vec<Value> = if path == "/v1/messages" {
            assert_eq!(answer["stop_reason"], "tool_use");
            assert_eq!(
                (&answer["usage"]["input_tokens"], &answer["usage"]["cache_read_input_tokens"]),
                (&json!(600), &json!(400))
            );
            answer["content"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|block| block["type"] == "tool_use")
                .map(|call| call["input"].clone())
                .collect()
        } else {
            assert_eq!((answer["status"].as_str(), &answer["store"]), (Some("completed"), &json!(false)));
            assert_eq!(
                (&answer["usage"]["input_tokens"], &answer["usage"]["total_tokens"]),
                (&json!(1000), &json!(1100))
            );
            let calls = answer["output"].as_array().unwrap().iter().filter(|item| item["type"] == "function_call");
            calls.map(|call| serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap()).collect()
        };
        assert_eq!(inputs, [json!({ "city": "Paris" }), json!({ "city": "Rome" })]);
    }
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!((rows.len(), &rows[0]["class"]), (2, &json!("success")));
}

#[tokio::test]
async fn the_upstream_gets_a_chat_completion() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for (path, ask) in asks(&json!({ "temperature": 0.5 })) {
        app.post(path, &ask).await;
    }

    for (received, limit) in upstream.requests().iter().zip([json!(64), Value::Null]) {
        let sent: Value = serde_json::from_slice(&received.body).unwrap();
        assert!(received.path.ends_with("/chat/completions"), "{}", received.path);
        assert_eq!(sent["messages"], json!([{ "role": "user", "content": "Hello there" }]));
        assert_eq!((&sent["model"], &sent["temperature"]), (&json!("vendor/cheap-1"), &json!(0.5)));
        assert_eq!((&sent["max_completion_tokens"], sent.get("trimtab"), sent.get("input")), (&limit, None, None));
    }
}

#[tokio::test]
async fn streams_have_the_events_of_their_dialect_and_usage() {
    let upstream = FakeUpstream::script([events_reply(&[
        r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#,
        r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}"#,
        r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
        "[DONE]",
    ])])
    .await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let [(messages, ask), (responses, other)] = asks(&json!({ "stream": true }));

    let reply = app.post(messages, &ask).await;
    let told = events(&reply.text);
    assert_eq!((reply.header("content-type"), reply.header("x-trimtab-model")), ("text/event-stream", "cheap"));
    let deltas = ["content_block_delta", "content_block_delta"];
    let expected = [
        &["message_start", "content_block_start"][..],
        &deltas,
        &["content_block_stop", "message_delta", "message_stop"],
    ];
    assert_eq!(types(&told), expected.concat());
    assert_eq!(told[0]["message"]["model"], "cheap");
    assert_eq!((&told[5]["usage"]["input_tokens"], &told[5]["usage"]["output_tokens"]), (&json!(9), &json!(2)));

    let reply = app.post(responses, &other).await;
    let told = events(&reply.text);
    let last = &told.last().unwrap()["response"];
    assert_eq!(types(&told)[..2], ["response.created", "response.in_progress"]);
    assert_eq!((last["status"].as_str(), last["model"].as_str()), (Some("completed"), Some("cheap")));
    assert_eq!(
        (&last["output"][0]["content"][0]["text"], &last["usage"]["total_tokens"]),
        (&json!("Hello"), &json!(11))
    );
    for received in upstream.requests() {
        let sent: Value = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(sent["stream_options"], json!({ "include_usage": true }));
    }
}

#[tokio::test]
async fn a_cut_stream_ends_in_the_error_event_of_its_dialect() {
    let upstream = FakeUpstream::script([sse(&["a", "b", "c"]).cut_after(2)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for (path, ask) in asks(&json!({ "stream": true })) {
        let reply = app.post(path, &ask).await;

        let told = events(&reply.text);
        let error = told.iter().find(|event| event["type"] == "error").unwrap_or_else(|| panic!("{}", reply.text));
        if path == "/v1/messages" {
            assert_eq!(error["error"]["type"], "api_error");
            assert_eq!(types(&told).last(), Some(&"error"));
        } else {
            assert_eq!(error["code"], "upstream_cut");
            assert_eq!(told.last().unwrap()["response"]["status"], "failed");
        }
    }
    let directory = app.stop().await;
    for row in crate::commands::export(directory.path(), &[]) {
        assert_eq!(row["class"], "truncated");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_and_is_billed() {
    for (path, ask) in all(&json!({ "stream": true })) {
        let upstream = FakeUpstream::script([sse(&["a", "b", "c"]).stall_after(2)]).await;
        let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
        let request = app.client.post(format!("{}{path}", app.url)).header("content-type", "application/json");

        let mut response = request.body(ask.to_string()).send().await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        drop(response);

        let gone = tokio::time::timeout(Duration::from_secs(10), upstream.client_gone()).await;
        gone.expect("the upstream call is cancelled");
        let directory = app.stop().await;
        let rows = crate::commands::export(directory.path(), &[]);
        assert_eq!(rows[0]["class"], "cancelled", "{path}");
        assert!(rows[0]["cost_usd"].as_f64().unwrap() > 0.0, "{}", rows[0]);
    }
}

#[tokio::test]
async fn every_error_under_messages_has_anthropics_shape() {
    let keys = "[server]\nmax_body_bytes = 2000\n[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n";
    let upstream = FakeUpstream::script([body(
        400,
        "application/json",
        br#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":null}}"#,
    )])
    .await;
    let mut setup = Setup::tiers(&[upstream.base_url()]);
    setup.toml = format!("{keys}{}", setup.toml);
    setup.environment.push(("ALICE_KEY".to_owned(), "alice-key".to_owned()));
    let app = TestApp::start(setup).await;
    let ask = &asks(&json!({}))[0].1;
    let with = |name: &str, value: Value| {
        let mut body = ask.clone();
        body[name] = value;
        body
    };
    let send = async |path: &str, key: &str, body: &Value| {
        let request = app.client.post(format!("{}{path}", app.url)).header("content-type", "application/json");
        app.send(request.header("x-api-key", key).header("anthropic-version", "2023-06-01").body(body.to_string()))
            .await
    };

    let cases = [
        (send("/v1/messages", "wrong", ask).await, 401, "authentication_error"),
        (send("/v1/messages/count_tokens", "wrong", ask).await, 401, "authentication_error"),
        (send("/v1/messages", "alice-key", &with("model", json!("nope"))).await, 404, "not_found_error"),
        (send("/v1/messages", "alice-key", &with("messages", json!([]))).await, 400, "invalid_request_error"),
        (send("/v1/messages", "alice-key", &with("system", json!("x".repeat(3000)))).await, 413, "request_too_large"),
        (send("/v1/messages", "alice-key", ask).await, 400, "invalid_request_error"),
        (send("/v1/messages/batches", "alice-key", ask).await, 404, "not_found_error"),
        (app.get("/v1/messages").await, 405, "invalid_request_error"),
    ];
    for (reply, status, kind) in cases {
        let error = reply.json();
        assert_eq!((reply.status, error["type"].as_str()), (status, Some("error")), "{error}");
        assert_eq!(error["error"]["type"], kind, "{error}");
        assert_eq!(error["request_id"].as_str(), Some(reply.header("request-id")));
        assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert!(reply.headers.contains_key("x-should-retry"));
    }
    let counted = send("/v1/messages/count_tokens", "alice-key", ask).await;
    assert!(counted.json()["input_tokens"].as_u64().unwrap() > 0, "{}", counted.text);
}

#[tokio::test]
async fn failures_keep_their_decision_in_each_dialect() {
    let upstream = FakeUpstream::script([status(503)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for (path, ask) in all(&json!({})) {
        let reply = app.post(path, &ask).await;

        assert_eq!((reply.status, reply.header("x-trimtab-cost-usd")), (502, "0.000000000"), "{}", reply.text);
        assert!(reply.header("x-trimtab-decision-id").starts_with("dec_"));
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("`cheap` at `first`"), "{}", reply.text);
    }
    let memory = app.post("/v1/responses", &json!({ "input": "Hi", "previous_response_id": "resp_1" })).await;
    assert_eq!(memory.error(), (400, "invalid_request".to_owned(), Some("previous_response_id".to_owned())));
}

/// An answer that only looks like one is the upstream's failure and not the caller's: the next model is asked, and the books say so.
#[tokio::test]
async fn an_answer_that_cannot_be_told_anew_moves_on_to_the_next_model() {
    let strange = r#"{"choices":[{"index":1,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
    for (path, ask) in all(&json!({})) {
        let (first, last) = (FakeUpstream::script([whole(strange)]).await, FakeUpstream::script([whole(CALLS)]).await);
        let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()])).await;

        let reply = app.post(path, &ask).await;

        assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{path}: {}", reply.text);
        assert!(reply.header("x-trimtab-attempts").contains("cheap"), "{:?}", reply.headers);
    }
}

/// Claude's own client at Claude: what only those two understand reaches the provider and comes back, and no other provider sees it.
#[tokio::test]
async fn marks_and_thoughts_pass_between_anthropics_clients_and_anthropic() {
    const THOUGHTS: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"x","content":[{"type":"thinking","thinking":"Hm.","signature":"bmV3"},{"type":"redacted_thinking","data":"cmVk"},{"type":"text","text":"Dry."}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_read_input_tokens":90,"output_tokens":5}}"#;
    let (claude, other) = (FakeUpstream::script([whole(THOUGHTS)]).await, FakeUpstream::script([whole(CALLS)]).await);
    let mut setup = Setup::tiers(&[claude.base_url(), other.base_url()]);
    setup.toml = setup.toml.replacen("[upstreams.first]", "[upstreams.first]\nkind = \"anthropic\"", 1);
    let app = TestApp::start(setup).await;
    let mark = json!({ "type": "ephemeral", "ttl": "1h" });
    let thinking = json!({ "type": "enabled", "budget_tokens": 2_000 });
    let thought = json!({ "type": "thinking", "thinking": "One call.", "signature": "b2xk" });
    let ask = json!({
        "model": "cheap", "max_tokens": 4_000, "thinking": thinking, "top_k": 7,
        "system": [{ "type": "text", "text": "Be kind.", "cache_control": mark }, { "type": "text", "text": "Be brief." }],
        "tools": [{ "name": "look", "input_schema": { "type": "object" }, "cache_control": mark }],
        "messages": [
            { "role": "user", "content": "Rain?" },
            { "role": "assistant", "content": [thought, { "type": "tool_use", "id": "t1", "name": "look", "input": {} }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "no", "cache_control": mark }] },
        ],
    });

    let reply = app.post("/v1/messages", &ask).await.json();
    let mut elsewhere = ask.clone();
    elsewhere["model"] = json!("dear");
    assert_eq!(app.post("/v1/messages", &elsewhere).await.status, 200);

    let sent: Value = serde_json::from_slice(&claude.requests()[0].body).unwrap();
    assert_eq!((&sent["thinking"], &sent["system"], &sent["max_tokens"]), (&thinking, &ask["system"], &json!(4_000)));
    assert_eq!((&sent["messages"][1]["content"][0], &sent["tools"][0]["cache_control"]), (&thought, &mark));
    assert_eq!(sent["messages"][2]["content"][0]["cache_control"], mark);
    let blocks = json!([
        { "type": "thinking", "thinking": "Hm.", "signature": "bmV3" },
        { "type": "redacted_thinking", "data": "cmVk" },
        { "type": "text", "text": "Dry." },
    ]);
    assert_eq!(reply["content"], blocks);
    assert_eq!((&reply["usage"]["input_tokens"], &reply["usage"]["cache_read_input_tokens"]), (&json!(10), &json!(90)));
    let plain = String::from_utf8(other.requests()[0].body.clone()).unwrap();
    for foreign in ["cache_control", "thinking", "top_k", "b2xk"] {
        assert!(!plain.contains(foreign), "{plain}");
    }
}

#[tokio::test]
async fn turns_in_any_dialect_are_turns_of_a_session() {
    let app = TestApp::start(Setup::default()).await;
    let opening = "How do tides work?";
    let turns = [
        ("/v1/messages", json!({ "messages": [{ "role": "user", "content": opening }] }), None),
        (
            "/v1/messages",
            json!({ "messages": [{ "role": "user", "content": opening }, { "role": "assistant", "content": "By the moon." }, { "role": "user", "content": "And twice a day?" }] }),
            Some("kept"),
        ),
        (
            "/v1/responses",
            json!({ "input": [{ "role": "user", "content": opening }, { "role": "assistant", "content": "By the moon." }, { "role": "user", "content": "And twice a day?" }] }),
            Some("kept"),
        ),
        (
            "/v1beta/models/auto:generateContent",
            json!({ "contents": [{ "parts": [{ "text": opening }] }, { "role": "model", "parts": [{ "text": "By the moon." }] }, { "parts": [{ "text": "And twice a day?" }] }] }),
            Some("kept"),
        ),
    ];
    for (path, mut ask, event) in turns {
        ask["trimtab"] = json!({ "quality": 0.01 });
        let reply = app.post(path, &ask).await;

        let told = reply.headers.get("x-trimtab-session-event").map(|value| value.to_str().unwrap());
        assert_eq!((reply.status, told), (200, event), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_silent_stream_gives_signs_of_life_in_every_dialect() {
    let upstream = FakeUpstream::script([sse(&["Oslo", "."]).stall_after(1)]).await;
    let setup = Setup::tiers(&[upstream.base_url()]);
    let app =
        TestApp::start(Setup { toml: format!("[server]\nkeep_alive = \"100ms\"\n{}", setup.toml), ..setup }).await;
    let ask = json!([{ "role": "user", "content": "Hi" }]);
    let google = json!({ "contents": [{ "parts": [{ "text": "Hi" }] }] });
    let piece =
        "\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"index\":0}]}\n\n";
    let cases = [
        ("/v1/chat/completions", json!({ "model": "cheap", "stream": true, "messages": ask }), ": still here\n\n"),
        ("/v1/completions", json!({ "model": "cheap", "stream": true, "prompt": "Hi" }), ":\n\n"),
        (
            "/v1/messages",
            json!({ "model": "cheap", "stream": true, "max_tokens": 9, "messages": ask }),
            "event: ping\n",
        ),
        ("/v1/responses", json!({ "model": "cheap", "stream": true, "input": "Hi" }), ": still here\n\n"),
        ("/v1beta/models/cheap:streamGenerateContent?alt=sse", google, piece),
    ];
    for (path, body, sign) in cases {
        let text = app.post(path, &body).await.text;

        let (word, signs, end) = (text.find("Oslo"), text.matches(sign).count(), text.find("cut short"));
        assert!(word < text.find(sign) && text.rfind(sign) < end, "{path}: {text}");
        assert!(signs >= 3, "{path}: a second of silence has several: {text}");
    }
}
