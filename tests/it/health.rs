//! Health, metrics, admission and shutdown.

use std::time::Duration;

use serde_json::json;

use crate::support::app::chat;
use crate::support::{Setup, TestApp};

#[tokio::test]
async fn says_that_it_lives_and_is_ready() {
    let app = TestApp::start(Setup::default()).await;

    assert_eq!(app.get("/health/live").await.json()["status"], "live");
    let ready = app.get("/health/ready").await;
    assert_eq!(
        (ready.status, &ready.json()["status"], &ready.json()["store"]["state"]),
        (200, &json!("ready"), &json!("healthy"))
    );
    assert!(ready.json()["bundle"].is_string());
    assert!(app.get("/").await.text.contains("/v1/route"));
}

#[tokio::test]
async fn counts_what_it_does() {
    let app = TestApp::start(Setup::default()).await;
    app.post("/v1/route", &chat("auto", "What is the capital of France?")).await;
    app.post("/v1/chat/completions", &chat("demo-small", "hello")).await;
    app.post("/v1/route", &json!({})).await;

    let metrics = app.get("/metrics").await.text;

    for line in [
        "trimtab_requests_total{route=\"/v1/route\",status_class=\"2xx\"} 1",
        "trimtab_requests_total{route=\"/v1/route\",status_class=\"4xx\"} 1",
        "trimtab_errors_total{kind=\"invalid_request\"} 1",
        "trimtab_decision_seconds_count 2",
        "trimtab_upstream_attempts_total{upstream=\"demo\",class=\"success\"} 1",
    ] {
        assert!(metrics.contains(line), "no `{line}` in\n{metrics}");
    }
    assert!(metrics.contains("trimtab_router_cpu_seconds_total"));
    assert!(metrics.contains("trimtab_cost_usd_total{model=\"demo-small\"}"));
}

#[tokio::test]
async fn administration_has_a_listener_of_its_own() {
    let app = TestApp::start(Setup::default()).await;

    let bundle = app.send(app.client.get(format!("{}/admin/bundle", app.admin_url))).await.json();

    assert_eq!(bundle["manifest"]["schema"], 1);
    assert_eq!(app.get("/admin/bundle").await.error().0, 404);
}

#[tokio::test]
async fn refuses_one_request_too_many_at_once() {
    let app = TestApp::start(Setup::default().with("[server]\nmax_concurrent_requests = 1\n")).await;
    let mut stream = chat("demo-small", "tell me something long");
    stream["stream"] = json!(true);
    // The first answer is begun and not read, so its permit is still out.
    let open = app.client.post(format!("{}/v1/chat/completions", app.url)).json_body(&stream).send().await.unwrap();

    let refused = app.post("/v1/route", &chat("auto", "hi")).await;
    drop(open.bytes().await.unwrap());
    let admitted = app.post("/v1/route", &chat("auto", "hi")).await;

    // The demo may have finished before the second request came; then nothing was refused.
    if refused.status != 200 {
        assert_eq!(refused.error(), (429, "overloaded".to_owned(), None));
        assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("1", "true"));
    }
    assert_eq!(admitted.status, 200);
}

#[tokio::test]
async fn finishes_what_it_began_before_it_stops() {
    let app = TestApp::start(Setup::default()).await;
    let mut stream = chat("demo-small", "tell me something");
    stream["stream"] = json!(true);
    let open = app.client.post(format!("{}/v1/chat/completions", app.url)).json_body(&stream).send().await.unwrap();

    let (directory, text) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), app.stop()), open.text());

    assert!(directory.is_ok());
    assert!(text.unwrap().ends_with("data: [DONE]\n\n"));
}

/// `json` needs a feature of reqwest that nothing else does.
trait JsonBody {
    fn json_body(self, body: &serde_json::Value) -> Self;
}

impl JsonBody for reqwest::RequestBuilder {
    fn json_body(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }
}
