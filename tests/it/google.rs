//! Google's API from outside, against a scripted upstream.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::dialects::CALLS;
use crate::support::fake::{FakeUpstream, events_reply, json as whole, sse, whole as body};
use crate::support::{Setup, TestApp};

const WHOLE: &str = "/v1beta/models/auto:generateContent";
const EVENTS: &str = "/v1beta/models/auto:streamGenerateContent?alt=sse";
const LIST: &str = "/v1beta/models/auto:streamGenerateContent";

const STREAM: [&str; 5] = [
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    r#"{"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
    "[DONE]",
];

/// A request that always goes to the cheap model.
fn ask() -> Value {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hello there" }] }], "trimtab": { "quality": 0 } })
}

/// The same address in the version that is no beta.
fn stable(path: &str) -> String {
    path.replacen("/v1beta/", "/v1/", 1)
}

/// The pieces of a stream, however it is framed.
fn pieces(path: &str, text: &str) -> Vec<Value> {
    if path == LIST {
        return serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
    let data = text.split("\n\n").filter(|event| !event.is_empty()).map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn an_answer_tells_its_decision_its_calls_and_its_tokens() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    let reply = app.post(WHOLE, &ask()).await;

    let answer = reply.json();
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{answer}");
    assert_eq!((reply.header("x-trimtab-model"), answer["modelVersion"].as_str()), ("cheap", Some("cheap")));
    assert_eq!(reply.header("x-trimtab-cost-usd"), "0.000140000");
    let id = reply.header("x-trimtab-decision-id").strip_prefix("dec_").unwrap();
    assert_eq!(answer["responseId"], id);
    let call =
        |id: &str, city: &str| json!({ "functionCall": { "id": id, "name": "get_weather", "args": { "city": city } } });
    let parts = json!([{ "text": "I look." }, call("call_a", "Paris"), call("call_b", "Rome")]);
    let candidate = json!({ "content": { "parts": parts, "role": "model" }, "finishReason": "STOP", "index": 0 });
    assert_eq!(answer["candidates"], json!([candidate]));
    let usage = json!({ "promptTokenCount": 1000, "cachedContentTokenCount": 400, "candidatesTokenCount": 100, "totalTokenCount": 1100 });
    assert_eq!(answer["usageMetadata"], usage);
    let sent: Value = serde_json::from_slice(&upstream.requests()[0].body).unwrap();
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": "Hello there" }]));
    assert_eq!((&sent["model"], sent.get("contents"), sent.get("trimtab")), (&json!("vendor/cheap-1"), None, None));
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!((&rows[0]["api"], &rows[0]["class"]), (&json!("generate_content"), &json!("success")));
}

#[tokio::test]
async fn streams_are_events_where_the_address_asks_for_them_and_else_one_list() {
    let upstream = FakeUpstream::script([events_reply(&STREAM)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for (path, kind) in [(EVENTS, "text/event-stream"), (LIST, "application/json")] {
        let reply = app.post(path, &ask()).await;
        let stable = app.post(&stable(path), &ask()).await;
        assert_eq!((stable.status, stable.header("content-type")), (200, kind), "{}", stable.text);

        assert_eq!((reply.header("content-type"), reply.header("x-trimtab-model")), (kind, "cheap"));
        let pieces = pieces(path, &reply.text);
        let texts = pieces.iter().map(|piece| piece["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap());
        assert_eq!(texts.collect::<String>(), "Hello", "{path}");
        let last = pieces.last().unwrap();
        assert_eq!((&last["candidates"][0]["finishReason"], &last["modelVersion"]), (&json!("STOP"), &json!("cheap")));
        assert_eq!(
            last["usageMetadata"],
            json!({ "promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11 })
        );
    }
    for received in upstream.requests() {
        let sent: Value = serde_json::from_slice(&received.body).unwrap();
        assert_eq!((&sent["stream"], &sent["stream_options"]), (&json!(true), &json!({ "include_usage": true })));
    }
}

#[tokio::test]
async fn a_cut_stream_ends_in_an_error_of_googles() {
    let upstream = FakeUpstream::script([sse(&["a", "b", "c"]).cut_after(2)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for path in [EVENTS, LIST] {
        let reply = app.post(path, &ask()).await;

        let pieces = pieces(path, &reply.text);
        let error = &pieces.last().unwrap()["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(502), &json!("UNAVAILABLE")), "{path}: {}", reply.text);
        assert!(pieces[0]["candidates"].is_array() && pieces[0]["usageMetadata"].is_null(), "{}", reply.text);
    }
}

#[tokio::test]
async fn every_error_under_googles_paths_has_googles_shape() {
    let keys = "[server]\nmax_body_bytes = 2000\n[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n";
    let refusal = br#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":null}}"#;
    let upstream = FakeUpstream::script([body(400, "application/json", refusal)]).await;
    let mut setup = Setup::tiers(&[upstream.base_url()]);
    setup.toml = format!("{keys}{}", setup.toml);
    setup.environment.push(("ALICE_KEY".to_owned(), "alice-key".to_owned()));
    let app = TestApp::start(setup).await;
    let post = async |path: &str, body: &Value| {
        let request = app.client.post(format!("{}{path}", app.url)).header("content-type", "application/json");
        app.send(request.header("x-goog-api-key", "alice-key").body(body.to_string())).await
    };
    let long = json!({ "contents": [{ "parts": [{ "text": "x".repeat(3000) }] }] });
    let put = app.client.put(format!("{}{WHOLE}", app.url)).header("x-goog-api-key", "alice-key");

    let cases = [
        (app.post(WHOLE, &ask()).await, 401, "UNAUTHENTICATED"),
        (app.post(&format!("{EVENTS}&key=wrong"), &ask()).await, 401, "UNAUTHENTICATED"),
        (app.get("/v1beta/models").await, 401, "UNAUTHENTICATED"),
        (post("/v1beta/models/nope:generateContent", &ask()).await, 404, "NOT_FOUND"),
        (post("/v1beta/models/auto:embedContent", &ask()).await, 404, "NOT_FOUND"),
        (post("/v1beta/models/auto", &ask()).await, 404, "NOT_FOUND"),
        (app.post(&stable(WHOLE), &ask()).await, 401, "UNAUTHENTICATED"),
        (post("/v1/models/nope:generateContent", &ask()).await, 404, "NOT_FOUND"),
        (post("/v1beta/files", &ask()).await, 404, "NOT_FOUND"),
        (post("/v1alpha/models/auto:generateContent", &ask()).await, 404, "NOT_FOUND"),
        (app.get("/v1beta/models/nope?key=alice-key").await, 404, "NOT_FOUND"),
        (post(WHOLE, &json!({ "contents": [] })).await, 400, "INVALID_ARGUMENT"),
        (post("/v1beta/models/auto:countTokens", &json!({})).await, 400, "INVALID_ARGUMENT"),
        (post(WHOLE, &long).await, 413, "INVALID_ARGUMENT"),
        (post(WHOLE, &ask()).await, 400, "INVALID_ARGUMENT"),
        (post(EVENTS, &ask()).await, 400, "INVALID_ARGUMENT"),
        (app.send(put).await, 405, "INVALID_ARGUMENT"),
    ];
    for (at, (reply, status, word)) in cases.into_iter().enumerate() {
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, error["code"].as_u64()), (status, Some(status.into())), "{at}: {error}");
        assert_eq!(error["status"], word, "{at}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{at}: {error}");
    }
    // What names a field in OpenAI's shape names it in the words of the message.
    let named = post(WHOLE, &json!({ "contents": [{ "role": "system" }] })).await.json();
    assert!(named["error"]["message"].as_str().unwrap().contains("contents[0].role"), "{named}");
}

#[tokio::test]
async fn keys_come_in_googles_header_or_in_the_address() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let mut setup = Setup::tiers(&[upstream.base_url()]);
    setup.toml.insert_str(0, "[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n");
    setup.environment.push(("ALICE_KEY".to_owned(), "alice-key".to_owned()));
    let app = TestApp::start(setup).await;
    let request = app.client.post(format!("{}{WHOLE}", app.url)).header("content-type", "application/json");

    let stable = app.post(&format!("{}?key=alice-key", stable(WHOLE)), &ask()).await;
    let by_header = app.send(request.header("x-goog-api-key", "alice-key").body(ask().to_string())).await;
    let by_address = app.post(&format!("{WHOLE}?key=alice-key"), &ask()).await;
    let elsewhere = app.post("/v1/chat/completions?key=alice-key", &crate::support::app::chat("auto", "Hi")).await;

    assert_eq!((by_header.status, by_address.status), (200, 200), "{} {}", by_header.text, by_address.text);
    assert_eq!((stable.status, elsewhere.status), (200, 401), "{}", stable.text);
    for received in upstream.requests() {
        assert!(!received.path.contains("alice") && received.header("x-goog-api-key").is_none(), "{}", received.path);
    }
}

#[tokio::test]
async fn models_are_listed_as_googles_clients_read_them() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let embeddings = "[[embeddings]]\nname = \"embed\"\nupstream = \"first\"\n";
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(embeddings)).await;

    let list = app.get("/v1beta/models?pageSize=50").await.json();

    let models = list["models"].as_array().unwrap();
    let names: BTreeSet<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
    let expected = ["models/auto", "models/auto:economy", "models/cheap", "models/dear"];
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    let stable = app.client.get(format!("{}/v1/models", app.url)).header("x-goog-api-key", "any");
    assert_eq!(app.send(stable).await.json(), list);
    assert!(!names.contains("models/embed") && list.get("nextPageToken").is_none(), "{list}");
    for name in ["auto:economy", "cheap"] {
        let one = app.get(&format!("/v1beta/models/{name}")).await.json();
        let stable = app.client.get(format!("{}/v1/models/{name}", app.url)).header("x-goog-api-key", "any");
        assert_eq!(app.send(stable).await.json(), one);
        assert_eq!((&one["name"], &one["displayName"]), (&json!(format!("models/{name}")), &json!(name)));
        assert_eq!(one["supportedGenerationMethods"], json!(["generateContent", "countTokens"]));
    }
}

#[tokio::test]
async fn tokens_are_counted_without_a_call() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let path = "/v1beta/models/auto:countTokens";

    let counted = app.post(path, &ask()).await.json();
    let wrapped = app.post(path, &json!({ "generateContentRequest": ask() })).await.json();

    assert!(counted["totalTokens"].as_u64().unwrap() > 0, "{counted}");
    assert_eq!(counted, wrapped);
    assert!(upstream.requests().is_empty());
}

/// Whatever models clients name, the labels of the metrics stay few.
#[tokio::test]
async fn metrics_tell_of_a_route_and_not_of_the_models_in_addresses() {
    let upstream = FakeUpstream::script([whole(CALLS)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    for name in ["canary-1", "canary-2", "auto"] {
        app.post(&format!("/v1beta/models/{name}:generateContent"), &ask()).await;
    }

    let metrics = app.get("/metrics").await.text;

    let route =
        |class: &str| format!("trimtab_requests_total{{route=\"/v1beta/models/{{*model}}\",status_class=\"{class}\"}}");
    assert!(
        metrics.contains(&format!("{} 2", route("4xx"))) && metrics.contains(&format!("{} 1", route("2xx"))),
        "{metrics}"
    );
    assert!(!metrics.contains("canary"), "{metrics}");
}

/// Google's client at Gemini: what only those two understand reaches the provider and comes back, and no other provider sees it.
#[tokio::test]
async fn filters_thoughts_and_signatures_pass_between_googles_clients_and_gemini() {
    const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hm.","thought":true},{"functionCall":{"name":"look","args":{}},"thoughtSignature":"bmV3"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":18},"modelVersion":"gemini-3","responseId":"r1"}"#;
    let (gemini, other) = (FakeUpstream::script([whole(ANSWER)]).await, FakeUpstream::script([whole(CALLS)]).await);
    let mut setup = Setup::tiers(&[gemini.base_url(), other.base_url()]);
    setup.toml = setup.toml.replacen("[upstreams.first]", "[upstreams.first]\nkind = \"gemini\"", 1);
    setup.toml = setup.toml.replacen("vendor/cheap-1", "gemini-3-flash", 1);
    let app = TestApp::start(setup).await;
    let safety = json!([{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE" }]);
    let look = |name: &str, value: Value| json!({ name: { "name": "look", "id": "c1", "args": {} }, "thoughtSignature": value });
    let mut ask = json!({
        "safetySettings": safety,
        "generationConfig": { "topK": 7, "thinkingConfig": { "includeThoughts": true } },
        "tools": [{ "functionDeclarations": [{ "name": "look", "parameters": { "type": "OBJECT", "properties": { "at": { "type": "STRING" } } } }] }],
        "contents": [
            { "parts": [{ "text": "Rain?" }] },
            { "role": "model", "parts": [look("functionCall", json!("b2xk"))] },
            { "parts": [{ "functionResponse": { "name": "look", "id": "c1", "response": { "sky": "grey" } } }] },
        ],
    });

    let reply = app.post("/v1beta/models/cheap:generateContent", &ask).await.json();
    let elsewhere = app.post("/v1beta/models/dear:generateContent", &ask).await;
    ask["generationConfig"]["thinkingConfig"] = json!({ "thinkingBudget": 1024 });
    let unasked = app.post("/v1beta/models/cheap:generateContent", &ask).await.json();

    let sent: Value = serde_json::from_slice(&gemini.requests()[0].body).unwrap();
    assert_eq!((&sent["safetySettings"], &sent["generationConfig"]["topK"]), (&safety, &json!(7)));
    assert_eq!(sent["generationConfig"]["thinkingConfig"], json!({ "includeThoughts": true }));
    assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], "b2xk");
    assert_eq!(sent["contents"][2]["parts"][0]["functionResponse"]["response"], json!({ "sky": "grey" }));
    let parts = &reply["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0], json!({ "text": "Hm.", "thought": true }));
    assert_eq!((&parts[1]["functionCall"]["name"], &parts[1]["thoughtSignature"]), (&json!("look"), &json!("bmV3")));
    assert_eq!(
        (&reply["usageMetadata"]["thoughtsTokenCount"], &reply["usageMetadata"]["totalTokenCount"]),
        (&json!(3), &json!(18))
    );
    let parts = unasked["candidates"][0]["content"]["parts"].as_array().unwrap();
    assert!(parts.iter().all(|part| part["text"] != "Hm."), "{unasked}");
    assert_eq!(elsewhere.status, 200, "{}", elsewhere.text);
    let plain = String::from_utf8(other.requests()[0].body.clone()).unwrap();
    for foreign in ["HARM_", "thinking", "top_k", "b2xk", "safety"] {
        assert!(!plain.contains(foreign), "{plain}");
    }
}
