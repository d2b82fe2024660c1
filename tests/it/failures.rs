//! Upstreams that are down, slow, silent, or answer garbage: what the client sees, how many calls are made, what is recorded.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::chat;
use crate::support::fake::{FakeUpstream, garbage, hang, json as whole, refused_url, sse, status};
use crate::support::{Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;

fn cheap() -> Value {
    let mut body = chat("auto", "hello");
    body["trimtab"] = json!({ "quality": 0 });
    body
}

#[tokio::test]
async fn a_failing_target_is_retried_once_and_then_the_next_one_answers() {
    // A silent target is not asked again: the client would wait as long once more.
    for (failure, calls) in [(status(503), 2), (status(500), 2), (garbage(), 2), (hang(), 1)] {
        let (first, last) = (FakeUpstream::script([failure]).await, FakeUpstream::script([whole(ANSWER)]).await);
        let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()])).await;

        let reply = app.post("/v1/chat/completions", &cheap()).await;

        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!((reply.header("x-trimtab-model"), reply.header("x-trimtab-tier")), ("dear", "large"));
        assert_eq!((first.requests().len(), last.requests().len()), (calls, 1));
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_passed_over() {
    let last = FakeUpstream::script([sse(&["hi"])]).await;
    let app = TestApp::start(Setup::tiers(&[refused_url().await, last.base_url()])).await;
    let mut body = cheap();
    body["stream"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"));
}

#[tokio::test]
async fn when_all_fail_the_error_names_every_attempt_and_the_decision() {
    let upstream = FakeUpstream::script([status(503)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    let reply = app.post("/v1/chat/completions", &cheap()).await;

    assert_eq!(reply.error(), (502, "upstream_failed".to_owned(), None));
    assert!(reply.text.contains("`cheap` at `first`") && reply.text.contains("`dear` at `last`"), "{}", reply.text);
    assert!(reply.header("x-trimtab-decision-id").starts_with("dec_"));
    assert_eq!((reply.header("x-trimtab-cost-usd"), reply.header("x-should-retry")), ("0.000000000", "false"));
    assert_eq!(upstream.requests().len(), 4);
}

#[tokio::test]
async fn when_all_are_throttled_the_client_is_told_when_to_come_back() {
    let upstream = FakeUpstream::script([status(429).header("retry-after", "700.2")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    let reply = app.post("/v1/chat/completions", &cheap()).await;

    assert_eq!(reply.error(), (429, "rate_limit_exceeded".to_owned(), None));
    assert_eq!(reply.header("x-should-retry"), "true");
    assert_eq!(reply.header("retry-after"), "701", "a moment too early would be refused again");
}

#[tokio::test]
async fn a_refusal_of_the_request_comes_back_as_it_is_and_is_never_retried() {
    let refusal = r#"{"error":{"message":"max_tokens is too large","type":"invalid_request_error","param":"max_tokens","code":"too_large"}}"#;
    let upstream =
        FakeUpstream::script([crate::support::fake::whole(400, "application/json", refusal.as_bytes())]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    let reply = app.post("/v1/chat/completions", &cheap()).await;

    assert_eq!(reply.error(), (400, "too_large".to_owned(), Some("max_tokens".to_owned())));
    assert_eq!(upstream.requests().len(), 1);
    assert!(reply.header("x-trimtab-decision-id").starts_with("dec_"));
}

#[tokio::test]
async fn nothing_is_switched_after_the_first_byte() {
    let (first, last) =
        (FakeUpstream::script([sse(&["Hel", "lo"]).cut_after(2)]).await, FakeUpstream::script([sse(&["other"])]).await);
    let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()])).await;
    let mut body = cheap();
    body["stream"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert_eq!((first.requests().len(), last.requests().len()), (1, 0));
    let error = reply.text.lines().filter(|line| line.contains("\"error\"")).count();
    assert_eq!(error, 1, "{}", reply.text);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_call() {
    let upstream = FakeUpstream::script([sse(&["a", "b", "c"]).stall_after(2)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let mut body = cheap();
    body["stream"] = json!(true);
    let request =
        app.client.post(format!("{}/v1/chat/completions", app.url)).header("content-type", "application/json");

    let mut response = request.body(body.to_string()).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let id = response.headers()["x-trimtab-decision-id"].to_str().unwrap().to_owned();
    drop(response);

    tokio::time::timeout(Duration::from_secs(10), upstream.client_gone())
        .await
        .expect("the upstream call is cancelled");
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!((&rows[0]["prompt_id"], &rows[0]["class"]), (&json!(id), &json!("cancelled")));
    assert!(rows[0]["cost_usd"].as_f64().unwrap() > 0.0, "what was streamed is billed: {}", rows[0]);
}

#[tokio::test]
async fn keys_never_reach_an_answer() {
    let echo = r#"{"error":{"message":"bad key sk-canary-123","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
    for code in [400, 401] {
        let upstream =
            FakeUpstream::script([crate::support::fake::whole(code, "application/json", echo.as_bytes())]).await;
        let mut setup = Setup::tiers(&[upstream.base_url()]);
        setup.toml = setup.toml.replace("[upstreams.first]", "[upstreams.first]\napi_key = { env = \"FIRST_KEY\" }");
        setup.toml = setup.toml.replace("[upstreams.last]", "[upstreams.last]\napi_key = { env = \"FIRST_KEY\" }");
        setup.environment.push(("FIRST_KEY".to_owned(), "sk-canary-123".to_owned()));
        let app = TestApp::start(setup).await;

        let reply = app.post("/v1/chat/completions", &cheap()).await;
        let metrics = app.get("/metrics").await.text;

        assert_eq!(upstream.requests()[0].header("authorization"), Some("Bearer sk-canary-123"));
        assert!(reply.status >= 400);
        assert!(!reply.text.contains("canary") && !format!("{:?}", reply.headers).contains("canary"), "{}", reply.text);
        assert!(!metrics.contains("canary"));
    }
}
