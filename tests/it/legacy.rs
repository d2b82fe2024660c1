//! `/v1/completions` and `/v1/embeddings` from outside, and the official client against both and against the cache.

use serde_json::{Value, json};

use crate::clients::{PYTHON, run};
use crate::support::fake::{self, FakeUpstream};
use crate::support::{Setup, TestApp};

const EMBEDDED: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.5]},{"object":"embedding","index":1,"embedding":[1.0,0.0]}],"model":"vendor/embed-1","usage":{"prompt_tokens":1000,"total_tokens":1000}}"#;

fn whole(text: &str) -> fake::Reply {
    fake::json(
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "vendor/cheap-1",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12 },
        })
        .to_string(),
    )
}

fn embedding_model(name: &str, upstream: &FakeUpstream) -> String {
    format!(
        r#"
        [upstreams.{name}]
        base_url = "{}"
        api_key = {{ env = "EMBED_KEY" }}
        timeouts = {{ connect = "1s", headers = "1s", idle = "1s", total = "5s" }}
        [[embeddings]]
        name = "{name}"
        upstream = "{name}"
        upstream_model = "vendor/embed-1"
        price = {{ input = 0.02 }}
        "#,
        upstream.base_url()
    )
}

fn keyed(setup: Setup) -> Setup {
    Setup { environment: vec![("EMBED_KEY".to_owned(), "embed-secret".to_owned())], ..setup }
}

#[tokio::test]
async fn a_legacy_prompt_is_answered_by_a_chat_model() {
    let upstream = FakeUpstream::script([whole(" a time")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let body = json!({ "model": "auto", "prompt": "Once upon", "max_tokens": 5, "trimtab": { "quality": 0 } });

    let reply = app.post("/v1/completions", &body).await;

    let sent: Value = serde_json::from_slice(&upstream.requests()[0].body).unwrap();
    assert_eq!((upstream.requests()[0].path.as_str(), reply.status), ("/v1/chat/completions", 200), "{}", reply.text);
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": "Once upon" }]));
    let answer = reply.json();
    assert_eq!(
        (&answer["object"], &answer["id"], &answer["model"]),
        (&json!("text_completion"), &json!("cmpl-1"), &json!("cheap"))
    );
    assert_eq!((&answer["choices"][0]["text"], &answer["usage"]["total_tokens"]), (&json!(" a time"), &json!(12)));
    assert_eq!((reply.header("x-trimtab-model"), reply.header("x-trimtab-reason")), ("cheap", "cheapest_asked"));
}

#[tokio::test]
async fn a_legacy_stream_ends_as_streams_do_and_a_cut_one_in_an_error() {
    let (good, cut) = (fake::sse(&["He", "y"]), fake::sse(&["He", "y"]).cut_after(1));
    let upstream = FakeUpstream::script([good, cut]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let body = json!({ "model": "cheap", "prompt": ["Say"], "stream": true });

    let good = app.post("/v1/completions", &body).await;
    let cut = app.post("/v1/completions", &body).await;

    let chunks: Vec<Value> =
        good.text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!((text.as_str(), good.header("content-type")), ("Hey", "text/event-stream"));
    assert!(
        chunks.iter().all(|chunk| chunk["object"] == "text_completion" && chunk["model"] == "cheap"),
        "{}",
        good.text
    );
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(good.text.ends_with("data: [DONE]\n\n"), "{}", good.text);
    assert!(cut.text.contains("\"error\"") && !cut.text.contains("[DONE]"), "{}", cut.text);
}

/// An answer that only looks like one is the upstream's failure: the next model is asked.
#[tokio::test]
async fn a_legacy_answer_that_cannot_be_told_moves_on_to_the_next_model() {
    let strange = fake::json(r#"{"choices":[{"index":1,"message":{"content":"odd"},"finish_reason":"stop"}]}"#);
    let (first, last) = (FakeUpstream::script([strange]).await, FakeUpstream::script([whole("good")]).await);
    let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()])).await;

    let body = json!({ "model": "auto", "prompt": "Say", "trimtab": { "quality": 0 } });
    let reply = app.post("/v1/completions", &body).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
    assert_eq!(reply.json()["choices"][0]["text"], "good");
    assert_eq!(reply.header("content-length"), reply.text.len().to_string());
}

#[tokio::test]
async fn what_chat_models_do_not_offer_is_refused_by_name() {
    let upstream = FakeUpstream::script([whole("x")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    for (name, value) in
        [("suffix", json!("end")), ("logprobs", json!(2)), ("echo", json!(true)), ("prompt", json!(["a", "b"]))]
    {
        let mut body = json!({ "model": "auto", "prompt": "x" });
        body[name] = value;

        let reply = app.post("/v1/completions", &body).await;

        assert_eq!(reply.error(), (400, "invalid_request".to_owned(), Some(name.to_owned())));
    }
    assert_eq!(app.post("/v1/completions", &json!({ "model": "nope", "prompt": "x" })).await.error().0, 404);
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn the_only_embedding_model_answers_and_is_billed() {
    let (chat, embed) = (FakeUpstream::script([whole("x")]).await, FakeUpstream::script([fake::json(EMBEDDED)]).await);
    let setup = Setup::tiers(&[chat.base_url()]).with(&embedding_model("embed", &embed));
    let app = TestApp::start(keyed(setup)).await;

    let reply = app.post("/v1/embeddings", &json!({ "input": ["one", "two"], "dimensions": 2 })).await;

    let received = &embed.requests()[0];
    let sent: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(
        (received.path.as_str(), received.header("authorization")),
        ("/v1/embeddings", Some("Bearer embed-secret"))
    );
    assert_eq!(sent, json!({ "model": "vendor/embed-1", "input": ["one", "two"], "dimensions": 2 }));
    assert_eq!(reply.text, EMBEDDED.replace("vendor/embed-1", "embed"));
    assert_eq!((reply.header("x-trimtab-model"), reply.header("x-trimtab-cost-usd")), ("embed", "0.000020000"));
    assert_eq!(reply.header("x-trimtab-reason"), "named");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("trimtab_tokens_total{model=\"embed\",kind=\"input\"} 1000\n"), "{metrics}");
    let models = app.get("/v1/models").await.json();
    assert!(models["data"].as_array().unwrap().iter().any(|model| model["id"] == "embed"), "{models}");
    let shown = app.send(app.client.get(format!("{}/admin/upstreams", app.admin_url))).await.json();
    let target = shown["data"].as_array().unwrap().iter().find(|one| one["model"] == "embed").expect("its target");
    assert_eq!((&target["tier"], &target["breaker"]["calls"]), (&json!("embeddings"), &json!(1)), "{target}");
    assert!(metrics.contains("model=\"embed\",upstream_model=\"vendor/embed-1\",key=\"1\"} 0"), "{metrics}");
    assert!(chat.requests().is_empty());
}

#[tokio::test]
async fn an_embedding_goes_to_the_next_key_where_one_has_expired() {
    let chat = FakeUpstream::script([whole("x")]).await;
    let embed = FakeUpstream::script([fake::status(401), fake::json(EMBEDDED)]).await;
    let two_keys = "api_keys = [{ env = \"EMBED_KEY\" }, { env = \"OTHER_KEY\" }]";
    let model = embedding_model("embed", &embed).replace("api_key = { env = \"EMBED_KEY\" }", two_keys);
    let mut setup = keyed(Setup::tiers(&[chat.base_url()]).with(&model));
    setup.environment.push(("OTHER_KEY".to_owned(), "other-secret".to_owned()));
    let app = TestApp::start(setup).await;

    let reply = app.post("/v1/embeddings", &json!({ "input": "x" })).await;

    assert_eq!(reply.status, 200, "{}", reply.text);
    let requests = embed.requests();
    let mut keys: Vec<_> = requests.iter().filter_map(|request| request.header("authorization")).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["Bearer embed-secret", "Bearer other-secret"]);
}

#[tokio::test]
async fn embedding_models_are_named_where_there_are_several_and_never_stand_in_for_each_other() {
    let (one, two) =
        (FakeUpstream::script([fake::status(503)]).await, FakeUpstream::script([fake::json(EMBEDDED)]).await);
    let chat = FakeUpstream::script([whole("x")]).await;
    let setup =
        Setup::tiers(&[chat.base_url()]).with(&embedding_model("one", &one)).with(&embedding_model("two", &two));
    let app = TestApp::start(keyed(setup)).await;
    let embed = async |model: Value| app.post("/v1/embeddings", &json!({ "model": model, "input": "x" })).await;

    assert_eq!(embed(json!(null)).await.error(), (404, "model_not_found".to_owned(), Some("model".to_owned())));
    assert_eq!(embed(json!("cheap")).await.error().0, 404);
    assert_eq!(embed(json!("one")).await.error(), (502, "upstream_failed".to_owned(), None));
    assert!(two.requests().is_empty());
    assert_eq!(embed(json!("two")).await.status, 200);
    let empty = app.post("/v1/embeddings", &json!({ "model": "two", "input": [] })).await;
    assert_eq!(empty.error(), (400, "invalid_request".to_owned(), Some("input".to_owned())));
    let chat_with_embedder = app.post("/v1/chat/completions", &crate::support::app::chat("two", "hi")).await;
    assert_eq!(chat_with_embedder.error().0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_completes_embeds_and_reads_replays() {
    let embed = FakeUpstream::script([fake::json(EMBEDDED)]).await;
    let chat = FakeUpstream::script([
        whole("Hello there"),
        fake::sse(&["Hel", "lo"]),
        whole("Hello again"),
        fake::sse(&["Bye", "."]),
    ])
    .await;
    let cache = "[cache]\nresponses = \"exact\"\n";
    let setup = Setup::tiers(&[chat.base_url()]).with(&embedding_model("embed", &embed)).with(cache);
    run(PYTHON, "tests/clients/python/gateway.py", keyed(setup), &[]).await;
}
