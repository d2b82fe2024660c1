//! Providers that do not speak OpenAI's dialect, each in its published shapes: what is sent, what the client reads, what happens on failure.

mod fidelity;
mod scripted;

use serde_json::{Value, json};

use self::scripted::*;
use crate::support::app::chat;
use crate::support::aws::frame;
use crate::support::fake::{FakeUpstream, Reply as Scripted, json as whole_answer, raw_stream, status, whole};
use crate::support::{Reply, Setup, TestApp};

#[tokio::test]
async fn a_whole_answer_is_asked_for_in_the_providers_words_and_read_in_openais() {
    for provider in providers() {
        let (reply, first, _) = ask(&provider, whole_answer(provider.answer), &cheap()).await;

        let name = provider.name;
        let request = &first.requests()[0];
        assert_eq!(request.path, provider.whole_path, "{name}");
        assert!(request.header(provider.key_header).is_some(), "{name}: {:?}", request.headers);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text);
        let answer = reply.json();
        assert_eq!(answer["object"], "chat.completion", "{name}");
        assert_eq!(answer["model"], "cheap", "{name}");
        assert_eq!(answer["choices"][0]["message"]["content"], "Hello", "{name}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{name}");
        assert_eq!(
            (&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]),
            (&json!(1000), &json!(100))
        );
        assert_eq!(reply.header("x-trimtab-cost-usd"), "0.000140000", "{name}");
    }
}

#[tokio::test]
async fn a_stream_is_read_in_openais_words() {
    for provider in providers() {
        let mut body = cheap();
        body["stream"] = json!(true);
        let (silent, first, _) = ask(&provider, (provider.stream)(), &body).await;
        body["stream_options"] = json!({ "include_usage": true });
        let (asking, ..) = ask(&provider, (provider.stream)(), &body).await;

        let name = provider.name;
        assert_eq!(first.requests()[0].path, provider.stream_path, "{name}");
        assert_eq!(silent.header("content-type"), "text/event-stream", "{name}");
        for reply in [&silent, &asking] {
            let (text, chunks) = read_stream(reply);
            assert_eq!(text, "Hello", "{name}: {}", reply.text);
            assert!(reply.text.ends_with("data: [DONE]\n\n"), "{name}: {}", reply.text);
            assert!(chunks.iter().all(|chunk| chunk["model"] == "cheap"), "{name}: {}", reply.text);
            let ends = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop").count();
            assert_eq!(ends, 1, "{name}");
        }
        let counted = |reply: &Reply| read_stream(reply).1.iter().any(|chunk| chunk["usage"]["completion_tokens"] == 2);
        assert_eq!((counted(&silent), counted(&asking)), (false, true), "{name}: {}", asking.text);
    }
}

#[tokio::test]
async fn tools_are_called_through_every_provider() {
    for provider in providers() {
        let mut body = cheap();
        body["tools"] = json!([{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object", "properties": { "town": { "type": "string" } } } } }]);
        let (reply, first, _) = ask(&provider, whole_answer(provider.tool_answer), &body).await;

        let choice = &reply.json()["choices"][0];
        let call = &choice["message"]["tool_calls"][0]["function"];
        let sent = String::from_utf8(first.requests()[0].body.clone()).unwrap();
        assert_eq!(choice["finish_reason"], "tool_calls", "{}: {}", provider.name, reply.text);
        assert_eq!((&call["name"], &call["arguments"]), (&json!("weather"), &json!(r#"{"town":"Bonn"}"#)));
        assert!(sent.contains(r#""properties":{"town":{"type":"string"}}"#), "{sent}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_openais_shape_without_the_key_and_never_retried() {
    for provider in providers() {
        let refusal = whole(400, "application/json", provider.refusal.as_bytes());
        let (reply, first, last) = ask(&provider, refusal, &cheap()).await;

        assert_eq!(reply.status, 400, "{}: {}", provider.name, reply.text);
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("[redacted]"), "{}", reply.text);
        assert!(!reply.text.contains("canary"), "{}", reply.text);
        assert_eq!((first.requests().len(), last.requests().len()), (1, 0), "{}", provider.name);
    }
}

#[tokio::test]
async fn overload_and_a_wrong_key_move_on_to_the_next_model() {
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let throttled =
        r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"90s"}]}}"#;
    let wrong_key = r#"{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    let cases = [
        (anthropic(), 529, overloaded),
        (gemini(), 429, throttled),
        (gemini(), 400, wrong_key),
        (bedrock(), 424, r#"{"message":"the model failed"}"#),
        (azure(), 503, "{}"),
        (responses(), 200, r#"{"status":"failed","error":{"code":"server_error","message":"x"},"output":[]}"#),
    ];
    for (provider, status, body) in cases {
        let failure = whole(status, "application/json", body.as_bytes());
        let (reply, _, last) = ask(&provider, failure, &cheap()).await;

        assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{} {status}", provider.name);
        assert_eq!(last.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_failure_before_the_first_token_is_never_seen() {
    let start = r#"{"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":9}}}"#;
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let script =
        raw_stream(&[format!("event: message_start\ndata: {start}\n\n"), format!("event: error\ndata: {error}\n\n")]);
    let first = FakeUpstream::script([script]).await;
    let last = FakeUpstream::script([crate::support::fake::sse(&["hi"])]).await;
    let app = self::start(&anthropic(), &first, &last).await;
    let mut body = cheap();
    body["stream"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
    assert!(!reply.text.contains("error"), "{}", reply.text);
}

#[tokio::test]
async fn a_cut_stream_ends_in_one_error_event_and_nothing_is_switched() {
    for (provider, cut) in [(anthropic(), 4), (gemini(), 1), (azure(), 3), (responses(), 4)] {
        let mut body = cheap();
        body["stream"] = json!(true);
        let (reply, first, last) = ask(&provider, (provider.stream)().cut_after(cut), &body).await;

        let errors = reply.text.lines().filter(|line| line.contains("\"error\"")).count();
        assert_eq!(errors, 1, "{}: {}", provider.name, reply.text);
        assert!(!reply.text.contains("[DONE]"), "{}", reply.text);
        assert_eq!((first.requests().len(), last.requests().len()), (1, 0), "{}", provider.name);
    }
    let mut body = cheap();
    body["stream"] = json!(true);
    let (reply, ..) = ask(&bedrock(), (bedrock().stream)().cut_in_body(), &body).await;
    assert_eq!(reply.text.lines().filter(|line| line.contains("\"error\"")).count(), 1, "{}", reply.text);
}

#[tokio::test]
async fn what_a_provider_has_no_words_for_goes_to_the_next_one_or_comes_back_with_its_field() {
    let mut body = cheap();
    body["n"] = json!(2);
    let (moved, first, last) = ask(&anthropic(), whole_answer(anthropic().answer), &body).await;
    body["model"] = json!("cheap");
    let (named, second, _) = ask(&anthropic(), whole_answer(anthropic().answer), &body).await;

    assert_eq!((moved.status, moved.header("x-trimtab-model")), (200, "dear"), "{}", moved.text);
    assert_eq!((first.requests().len(), last.requests().len()), (0, 1), "nothing was sent to the provider");
    assert_eq!(named.error(), (400, "invalid_request".to_owned(), Some("n".to_owned())));
    assert_eq!(second.requests().len(), 0);

    let mut body = cheap();
    body["tools"] = json!([{ "type": "custom", "custom": { "name": "patch" } }]);
    let (moved, first, last) = ask(&anthropic(), whole_answer(anthropic().answer), &body).await;
    assert_eq!((moved.status, moved.header("x-trimtab-model")), (200, "dear"), "{}", moved.text);
    assert_eq!((first.requests().len(), last.requests().len()), (0, 1), "a tool of OpenAI's own is no mistake");
}

#[tokio::test]
async fn requests_to_bedrock_are_signed_for_their_region_with_the_session() {
    let (_, first, _) = ask(&bedrock(), whole_answer(bedrock().answer), &cheap()).await;

    let request = &first.requests()[0];
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDCANARY/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/bedrock/aws4_request"), "{authorization}");
    assert!(authorization.contains("host;x-amz-date;x-amz-security-token"), "{authorization}");
    assert_eq!(request.header("x-amz-security-token"), Some("canary-token"));
    assert!(!format!("{:?}", request.headers).contains(KEY), "the secret half is never sent");
}

#[tokio::test]
async fn a_preset_sends_what_its_provider_takes() {
    let upstream = FakeUpstream::script([crate::support::fake::sse(&["hi"])]).await;
    let mut setup = Setup::tiers(&[upstream.base_url()]);
    let preset = "[upstreams.first]\nkind = \"openai\"\npreset = \"mistral\"\ndrop_fields = [\"top_p\"]";
    setup.toml = setup.toml.replacen("[upstreams.first]", preset, 1);
    let app = TestApp::start(setup).await;
    let mut body = cheap();
    for (field, value) in [
        ("stream", json!(true)),
        ("max_completion_tokens", json!(5)),
        ("seed", json!(1)),
        ("top_p", json!(1)),
        ("user", json!("u")),
    ] {
        body[field] = value;
    }

    let reply = app.post("/v1/chat/completions", &body).await;
    let sent: Value = serde_json::from_slice(&upstream.requests()[0].body).unwrap();

    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!((&sent["max_tokens"], &sent["random_seed"]), (&json!(5), &json!(1)));
    for field in ["max_completion_tokens", "seed", "stream_options", "top_p", "user"] {
        assert!(sent.get(field).is_none(), "{field}: {sent}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_provider() {
    let proxy = FakeUpstream::script([whole_answer(anthropic().answer)]).await;
    let address = proxy.base_url().replace("/v1", "");
    let toml = format!("[upstreams.first]\nkind = \"anthropic\"\nproxy = \"{address}\"");
    let mut setup = Setup::tiers(&["http://provider.invalid".to_owned()]);
    setup.toml = setup.toml.replacen("[upstreams.first]", &toml, 1);
    let app = TestApp::start(setup).await;

    let reply = app.post("/v1/chat/completions", &cheap()).await;

    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(proxy.requests()[0].path, "http://provider.invalid/v1/messages");
    assert_eq!(proxy.requests()[0].header("host"), Some("provider.invalid"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = FakeUpstream::script([whole_answer(anthropic().answer)]).await;
    let redirect = whole(307, "text/plain", b"").header("location", &format!("{}/messages", elsewhere.base_url()));
    let (reply, ..) = ask(&anthropic(), redirect, &cheap()).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"));
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn a_model_that_lacks_a_capability_is_left_out_before_any_call() {
    let tool = json!([{ "type": "function", "function": { "name": "a" } }]);
    let picture = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }] }]);
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": { "type": "object" } } });
    let cases = [
        ("tools", tool, "tools = false", "needs_tools"),
        ("messages", picture, "images = false", "needs_images"),
        ("response_format", schema, "json_schema = false", "needs_json_schema"),
        ("max_tokens", json!(9_000), "context = 8000", "context_too_small"),
    ];
    for (field, value, lack, reason) in cases {
        let first = FakeUpstream::script([status(500)]).await;
        let last = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
        let mut setup = Setup::tiers(&[first.base_url(), last.base_url()]);
        setup.toml = setup.toml.replacen("name = \"cheap\"", &format!("name = \"cheap\"\n{lack}"), 1);
        setup.toml = setup.toml.replacen("name = \"dear\"", "name = \"dear\"\nimages = true", 1);
        let app = TestApp::start(setup).await;
        let mut body = cheap();
        body[field] = value;

        let decision = app.post("/v1/route", &body).await.json();
        let reply = app.post("/v1/chat/completions", &body).await;

        assert_eq!(decision["candidates"][0]["excluded_by"], reason, "{decision}");
        assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
        assert_eq!(first.requests().len(), 0, "{reason}");
    }
}

#[tokio::test]
async fn a_request_of_responses_reaches_responses_in_its_own_words_and_its_thoughts_come_back() {
    let sealed = r#"{"id":"resp_1","status":"completed","model":"gpt","output":[{"id":"rs_up","type":"reasoning","summary":[],"encrypted_content":"gAAA"},{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":1,"output_tokens":1}}"#;
    let first = FakeUpstream::script([whole_answer(sealed)]).await;
    let app = start(&responses(), &first, &first).await;
    let mut body = json!({
        "model": "cheap", "input": "Hi", "reasoning": { "effort": "low", "summary": "auto" }, "include": ["reasoning.encrypted_content"],
        "max_tool_calls": 2, "tools": [{ "type": "function", "name": "a", "novelty": 1 }],
    });

    let reply = app.post("/v1/responses", &body).await.json();
    let thought = &reply["output"][0];
    body["input"] = json!([{ "role": "user", "content": "Hi" }, thought, reply["output"][1], { "role": "user", "content": "Go on" }]);
    app.post("/v1/responses", &body).await;

    assert_eq!((&thought["type"], &thought["summary"]), (&json!("reasoning"), &json!([])));
    assert!(thought["encrypted_content"].as_str().is_some_and(|sealed| sealed.ends_with(":gAAA")), "{thought}");
    let sent: Vec<Value> =
        first.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    for field in ["reasoning", "include", "max_tool_calls", "tools"] {
        assert_eq!(sent[0][field], body[field], "{field}: {}", sent[0]);
    }
    assert_eq!((&sent[0]["model"], &sent[0]["store"]), (&json!("vendor/cheap-1"), &json!(false)));
    assert_eq!((&sent[1]["input"][1]["encrypted_content"], sent[1]["input"][1].get("id")), (&json!("gAAA"), None));
}

#[tokio::test]
async fn fields_that_an_operator_leaves_out_never_reach_responses() {
    let mut provider = responses();
    provider.toml = "kind = \"responses\"\ndrop_fields = [\"temperature\", \"metadata\"]";
    let first = FakeUpstream::script([whole_answer(responses().answer)]).await;
    let app = start(&provider, &first, &first).await;
    let settings = json!({ "model": "cheap", "temperature": 0.5, "metadata": { "a": "b" } });
    let (mut own, mut chat) = (settings.clone(), settings);
    own["input"] = json!("Hi");
    chat["messages"] = json!([{ "role": "user", "content": "Hi" }]);

    app.post("/v1/responses", &own).await;
    app.post("/v1/chat/completions", &chat).await;

    for request in first.requests() {
        let sent: Value = serde_json::from_slice(&request.body).unwrap();
        assert!(sent.get("temperature").is_none() && sent.get("metadata").is_none(), "{sent}");
    }
    assert_eq!(first.requests().len(), 2);
}

#[tokio::test]
async fn pictures_by_address_keep_bedrock_from_being_asked_and_those_in_the_request_are_sent() {
    let image = |url: &str| {
        let parts =
            json!([{ "type": "text", "text": "What is this?" }, { "type": "image_url", "image_url": { "url": url } }]);
        json!([{ "role": "user", "content": parts }])
    };
    for (url, model, asked) in [
        ("https://example.com/a.png", "dear", 0),
        ("http://127.0.0.1:1/a.png", "dear", 0),
        ("data:image/png;base64,AA==", "cheap", 1),
    ] {
        let first = FakeUpstream::script([whole_answer(bedrock().answer)]).await;
        let last = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
        let mut setup = Setup::tiers(&[first.base_url(), last.base_url()]);
        setup.toml = setup.toml.replacen("[upstreams.first]", &format!("[upstreams.first]\n{}", bedrock().toml), 1);
        for name in ["cheap", "dear"] {
            let (old, new) = (format!("name = \"{name}\""), format!("name = \"{name}\"\nimages = true"));
            setup.toml = setup.toml.replacen(&old, &new, 1);
        }
        for (name, value) in [("KEY", KEY), ("AWS_ID", "AKIDCANARY"), ("AWS_TOKEN", "canary-token")] {
            setup.environment.push((name.to_owned(), value.to_owned()));
        }
        let app = TestApp::start(setup).await;
        let mut body = cheap();
        body["messages"] = image(url);

        let decision = app.post("/v1/route", &body).await.json();
        let reply = app.post("/v1/chat/completions", &body).await;
        body["model"] = json!("cheap");
        let named = app.post("/v1/chat/completions", &body).await;

        let reason = if asked == 0 { json!("needs_image_urls") } else { Value::Null };
        assert_eq!(decision["candidates"][0]["excluded_by"], reason, "{url}: {decision}");
        assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, model), "{url}: {}", reply.text);
        let sent = first.requests();
        assert_eq!(sent.len(), 2 * asked, "{url}");
        if asked == 0 {
            assert_eq!(named.error(), (400, "invalid_request".to_owned(), Some("messages[0].content[1]".to_owned())));
        } else {
            let sent = String::from_utf8(sent[0].body.clone()).unwrap();
            assert!(sent.contains(r#"{"image":{"format":"png","source":{"bytes":"AA=="}}}"#), "{sent}");
        }
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_made_to_call_a_tool_leaves_the_call_to_another() {
    let parameters = json!({ "type": "object", "properties": { "town": { "type": "string" } } });
    let tool = json!([{ "type": "function", "function": { "name": "weather", "parameters": parameters } }]);
    let claudes = json!([{ "name": "weather", "input_schema": parameters }]);
    let flat = json!([{ "type": "function", "name": "weather", "parameters": parameters }]);
    let ask = json!([{ "role": "user", "content": "Weather in Bonn?" }]);
    let calls = [
        ("/v1/chat/completions", json!({ "messages": ask, "tools": tool, "tool_choice": "required" })),
        (
            "/v1/messages",
            json!({ "max_tokens": 9, "messages": ask, "tools": claudes, "tool_choice": { "type": "tool", "name": "weather" } }),
        ),
        ("/v1/responses", json!({ "input": "Weather in Bonn?", "tools": flat, "tool_choice": "required" })),
    ];
    let setup = |first: &FakeUpstream, last: &FakeUpstream, model: &str| {
        let mut setup = Setup::tiers(&[first.base_url(), last.base_url()])
            .with("[policies.balanced]\nquality = 1.0\nallow_weaker_fallback = false\n");
        setup.toml = setup.toml.replacen("[upstreams.last]", &format!("[upstreams.last]\n{}", anthropic().toml), 1);
        setup.toml = setup.toml.replacen("name = \"dear\"", &format!("name = \"dear\"\n{model}"), 1);
        setup.environment.push(("KEY".to_owned(), KEY.to_owned()));
        setup
    };
    let opus = r#"upstream_model = "claude-opus-5-5""#;
    for (path, mut body) in calls {
        body["model"] = json!("auto");
        let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
        let last = FakeUpstream::script([whole_answer(anthropic().answer)]).await;
        let app = TestApp::start(setup(&first, &last, opus)).await;

        let decision = app.post("/v1/route", &chat_of(&body, &tool)).await.json();
        let forced = app.post(path, &body).await;
        body["tool_choice"] = if path == "/v1/messages" { json!({ "type": "auto" }) } else { json!("auto") };
        let free = app.post(path, &body).await;

        assert_eq!(decision["candidates"][1]["excluded_by"], "needs_forced_tools", "{decision}");
        assert_eq!((forced.status, forced.header("x-trimtab-model")), (200, "cheap"), "{path}: {}", forced.text);
        assert_eq!((free.status, free.header("x-trimtab-model")), (200, "dear"), "{path}: {}", free.text);
        assert_eq!((first.requests().len(), last.requests().len()), (1, 1), "{path}");
    }
    for (model, takes) in [
        (r#"upstream_model = "claude-opus-4-7""#, true),
        ("upstream_model = \"claude-opus-4-7\"\nforced_tools = false", false),
    ] {
        let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
        let last = FakeUpstream::script([whole_answer(anthropic().answer)]).await;
        let app = TestApp::start(setup(&first, &last, model)).await;
        let body = json!({ "model": "auto", "messages": ask, "tools": tool, "tool_choice": "required" });

        let reply = app.post("/v1/chat/completions", &body).await;

        assert_eq!(reply.header("x-trimtab-model"), if takes { "dear" } else { "cheap" }, "{model}: {}", reply.text);
    }
}

/// A request of any dialect as `/v1/route` takes it.
fn chat_of(body: &Value, tool: &Value) -> Value {
    let ask = json!([{ "role": "user", "content": "Weather in Bonn?" }]);
    let mut body = body.clone();
    body["messages"] = ask;
    body["tools"] = tool.clone();
    body["tool_choice"] = json!("required");
    body
}

#[tokio::test]
async fn thoughts_of_earlier_turns_go_where_they_are_wanted_and_not_where_they_are_refused() {
    let tool = json!({ "name": "now", "parameters": { "type": "object" } });
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "now", "arguments": "{}" } });
    let mut signed = call.clone();
    signed["extra_content"] = json!({ "google": { "thought_signature": "Z29v" } });
    let chat_body = json!({ "tools": [{ "type": "function", "function": tool }], "messages": [
        { "role": "user", "content": "What time is it?" },
        { "role": "assistant", "content": null, "reasoning_content": "A clock.", "thinking_blocks": [], "tool_calls": [signed] },
        { "role": "tool", "tool_call_id": "c1", "content": "noon" },
    ] });
    let messages = json!({ "max_tokens": 9, "tools": [{ "name": "now", "input_schema": { "type": "object" } }], "messages": [
        { "role": "user", "content": "What time is it?" },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "A clock.", "signature": "" },
            { "type": "tool_use", "id": "c1", "name": "now", "input": {} },
        ] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "c1", "content": "noon" }] },
    ] });
    let responses = json!({ "tools": [{ "type": "function", "name": "now", "parameters": { "type": "object" } }], "input": [
        { "role": "user", "content": "What time is it?" },
        { "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "A clock." }] },
        { "type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c1", "output": "noon" },
    ] });
    let asks = [("/v1/chat/completions", chat_body), ("/v1/messages", messages), ("/v1/responses", responses)];
    for (preset, thought) in [("deepseek", true), ("mistral", false), ("groq", false)] {
        for (path, body) in &asks {
            let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
            let mut setup = Setup::tiers(&[first.base_url()]);
            let with_preset = format!("[upstreams.first]\npreset = \"{preset}\"");
            setup.toml = setup.toml.replacen("[upstreams.first]", &with_preset, 1);
            let app = TestApp::start(setup).await;
            let mut body = body.clone();
            body["model"] = json!("cheap");

            let reply = app.post(path, &body).await;

            assert_eq!(reply.status, 200, "{preset} {path}: {}", reply.text);
            let sent: Value = serde_json::from_slice(&first.requests()[0].body).unwrap();
            let said = &sent["messages"][1];
            assert_eq!(said["reasoning_content"] == "A clock.", thought, "{preset} {path}: {sent}");
            assert_eq!(said["tool_calls"][0]["id"], "c1", "{preset} {path}: {sent}");
            if !thought {
                assert!(said.get("reasoning_content").is_none() && said.get("thinking_blocks").is_none(), "{sent}");
                assert_eq!(said["tool_calls"][0], call, "{preset} {path}");
            }
        }
    }
    let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
    let mut checked = Setup::tiers(&[first.base_url()])
        .with("\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\nmust_match = ['.']\n");
    checked.toml = checked.toml.replacen("[upstreams.first]", "[upstreams.first]\npreset = \"deepseek\"", 1);
    let mut body = asks[1].1.clone();
    body["model"] = json!("auto:frugal");
    let reply = TestApp::start(checked).await.post("/v1/messages", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let sent: Value = serde_json::from_slice(&first.requests()[0].body).unwrap();
    assert_eq!(sent["messages"][1]["reasoning_content"], "A clock.", "an answer that is checked first: {sent}");
    let first = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
    let app = TestApp::start(Setup::tiers(&[first.base_url()])).await;
    let mut body = asks[1].1.clone();
    body["model"] = json!("cheap");
    app.post("/v1/messages", &body).await;
    let sent: Value = serde_json::from_slice(&first.requests()[0].body).unwrap();
    assert!(sent["messages"][1].get("reasoning_content").is_none(), "nobody said that it is wanted: {sent}");
}

#[tokio::test]
async fn what_was_written_to_a_cache_is_billed_at_its_own_price() {
    let answer = r#"{"id":"m","model":"x","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":200,"cache_creation_input_tokens":700,"output_tokens":100}}"#;
    let converse = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":100,"cacheReadInputTokens":200,"cacheWriteInputTokens":700,"outputTokens":100}}"#;
    for (provider, answer) in [(anthropic(), answer), (bedrock(), converse)] {
        for (price, cost) in [("", "0.000140000"), (", cached_input = 0.01, cache_write = 0.2", "0.000192000")] {
            let first = FakeUpstream::script([whole_answer(answer)]).await;
            let mut setup = Setup::tiers(&[first.base_url(), first.base_url()]);
            setup.toml = setup.toml.replacen("[upstreams.first]", &format!("[upstreams.first]\n{}", provider.toml), 1);
            setup.toml = setup.toml.replacen("output = 0.4", &format!("output = 0.4{price}"), 1);
            for (name, value) in [("KEY", KEY), ("AWS_ID", "AKIDCANARY"), ("AWS_TOKEN", "canary-token")] {
                setup.environment.push((name.to_owned(), value.to_owned()));
            }
            let app = TestApp::start(setup).await;

            let reply = app.post("/v1/chat/completions", &cheap()).await;

            assert_eq!(reply.header("x-trimtab-cost-usd"), cost, "{}: {}", provider.name, reply.text);
            assert_eq!(reply.json()["usage"]["prompt_tokens_details"]["cache_write_tokens"], 700, "{}", reply.text);
        }
    }
}
