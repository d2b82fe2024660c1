//! `/v1/chat/completions` from outside, against a scripted upstream.

use serde_json::{Value, json};

use crate::support::app::chat;
use crate::support::fake::{FakeUpstream, events_reply, json as whole};
use crate::support::{Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"vendor/cheap-1","vendor_field":{"kept":1e400},"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}"#;

/// A body that always goes to the cheap model.
fn cheap(ask: &str) -> Value {
    let mut body = chat("auto", ask);
    body["trimtab"] = json!({ "quality": 0 });
    body
}

#[tokio::test]
async fn forwards_the_request_and_names_the_model_that_served() {
    let upstream = FakeUpstream::script([whole(ANSWER)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let mut body = cheap("hello");
    body["temperature"] = json!(0.25);
    body["made_up_by_a_provider"] = json!({ "deep": [1, 2, 3] });

    let reply = app.post("/v1/chat/completions", &body).await;
    let sent: Value = serde_json::from_slice(&upstream.requests()[0].body).unwrap();

    assert_eq!(reply.status, 200);
    assert!(reply.text.contains(r#""model":"cheap""#), "{}", reply.text);
    assert!(reply.text.contains(r#""vendor_field":{"kept":1e400}"#), "{}", reply.text);
    assert_eq!(sent["model"], "vendor/cheap-1");
    assert_eq!((&sent["temperature"], &sent["made_up_by_a_provider"]), (&json!(0.25), &json!({ "deep": [1, 2, 3] })));
    assert!(sent.get("trimtab").is_none());
    assert_eq!((reply.header("x-trimtab-model"), reply.header("x-trimtab-tier")), ("cheap", "small"));
    assert_eq!(reply.header("x-trimtab-cost-usd"), "0.000140000");
    assert!(reply.header("x-trimtab-decision-id").starts_with("dec_"));
    assert_eq!(reply.header("x-trimtab-bundle"), "tiny");
    assert!(reply.header("x-trimtab-latency-us").parse::<u64>().is_ok());
}

#[tokio::test]
async fn headers_of_the_caller_do_not_reach_the_upstream() {
    let upstream = FakeUpstream::script([whole(ANSWER)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let request = app
        .client
        .post(format!("{}/v1/chat/completions", app.url))
        .header("content-type", "application/json")
        .header("cookie", "canary")
        .header("x-forwarded-host", "evil.example")
        .header("x-trimtab-quality", "0")
        .bearer_auth("canary")
        .body(chat("auto", "hello").to_string());

    app.send(request).await;

    let received = &upstream.requests()[0];
    let all = format!("{:?}", received.headers);
    assert!(!all.contains("canary") && !all.contains("evil") && !all.contains("x-trimtab"), "{all}");
    assert!(received.header("x-request-id").is_some());
}

#[tokio::test]
async fn streams_the_answer_and_keeps_back_usage_that_was_not_asked_for() {
    let upstream = FakeUpstream::script([events_reply(&[
        r#"{"id":"c1","model":"vendor/cheap-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}"#,
        r#"{"id":"c1","model":"vendor/cheap-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c1","model":"vendor/cheap-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}"#,
        "[DONE]",
    ])])
    .await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;
    let mut body = cheap("hello");
    body["stream"] = json!(true);

    let silent = app.post("/v1/chat/completions", &body).await;
    body["stream_options"] = json!({ "include_usage": true });
    let asking = app.post("/v1/chat/completions", &body).await;

    let sent: Value = serde_json::from_slice(&upstream.requests()[0].body).unwrap();
    assert_eq!(sent["stream_options"], json!({ "include_usage": true }));
    assert_eq!(silent.header("content-type"), "text/event-stream");
    assert!(silent.text.ends_with("data: [DONE]\n\n"));
    assert!(!silent.text.contains("\"choices\":[]"), "{}", silent.text);
    assert!(asking.text.contains("\"choices\":[]"), "{}", asking.text);
    for line in silent.text.lines().filter(|line| line.starts_with("data: {")) {
        assert_eq!(serde_json::from_str::<Value>(&line[6..]).unwrap()["model"], "cheap");
    }
    assert_eq!((silent.header("x-trimtab-model"), silent.header("x-trimtab-reason")), ("cheap", "cheapest_asked"));
}

#[tokio::test]
async fn a_named_model_passes_straight_through() {
    let (first, last) = (FakeUpstream::script([whole(ANSWER)]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()])).await;

    let reply = app.post("/v1/chat/completions", &chat("dear", "hello")).await;

    assert_eq!((reply.header("x-trimtab-reason"), reply.header("x-trimtab-model")), ("named", "dear"));
    assert_eq!((first.requests().len(), last.requests().len()), (0, 1));
}
