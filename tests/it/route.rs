//! `/v1/route` from outside.

use serde_json::{Value, json};

use crate::support::app::{chat, install_default_models};
use crate::support::{Setup, TestApp};

const ASK: &str = "Prove that there are infinitely many primes.";

#[tokio::test]
async fn decides_without_calling_a_model() {
    let app = TestApp::start(Setup::default()).await;

    let reply = app.post("/v1/route", &json!({ "messages": [{ "role": "user", "content": ASK }] })).await;
    let decision = reply.json();

    assert_eq!(reply.status, 200);
    assert_eq!(decision["object"], "route.decision");
    assert_eq!(decision["candidates"].as_array().unwrap().len(), 3);
    for candidate in decision["candidates"].as_array().unwrap() {
        let (low, p, high) = (&candidate["interval"][0], &candidate["success"], &candidate["interval"][1]);
        assert!(low.as_f64() <= p.as_f64() && p.as_f64() <= high.as_f64(), "{candidate}");
        assert!(candidate["cost_usd"]["p50"].as_f64() <= candidate["cost_usd"]["p90"].as_f64());
    }
    assert!(decision["signals"]["task"].is_string());
    assert!(decision["explanation"].as_str().unwrap().ends_with('.'));
    assert!(decision["timings_us"]["total"].as_u64().is_some());
    assert_eq!(reply.header("x-trimtab-decision-id"), decision["id"]);
    assert_eq!(reply.header("x-trimtab-model"), decision["model"]);
    assert!(reply.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn the_alias_and_the_batch_decide_alike() {
    let app = TestApp::start(Setup::default()).await;
    let body = chat("auto", ASK);

    let alias = app.post("/route", &body).await.json();
    let batch = app
        .post("/v1/route/batch", &json!({ "requests": [body, { "messages": [] }, chat("auto:quality", ASK)] }))
        .await
        .json();

    assert_eq!(batch["data"][0]["model"], alias["model"]);
    assert_eq!(batch["data"][0]["candidates"], alias["candidates"]);
    assert_eq!(batch["data"][1]["error"]["param"], "messages");
    assert_eq!(batch["data"][2]["policy"], "quality");
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused() {
    let app = TestApp::start(Setup::default()).await;

    for body in
        [json!({}), json!({ "requests": [] }), json!({ "requests": {} }), json!({ "requests": vec![json!({}); 1001] })]
    {
        assert_eq!(
            app.post("/v1/route/batch", &body).await.error(),
            (400, "invalid_request".to_owned(), Some("requests".to_owned()))
        );
    }
}

#[tokio::test]
async fn the_dial_moves_the_choice() {
    let app = TestApp::start(Setup::default()).await;
    let with_quality = |quality: f64| {
        let mut body = chat("auto", ASK);
        body["trimtab"] = json!({ "quality": quality });
        body
    };

    let cheapest = app.post("/v1/route", &with_quality(0.0)).await.json();
    let strongest = app.post("/v1/route", &with_quality(1.0)).await.json();

    assert_eq!((&cheapest["tier"], &cheapest["reason"]), (&json!("small"), &json!("cheapest_asked")));
    assert_eq!((&strongest["tier"], &strongest["reason"]), (&json!("large"), &json!("strongest_asked")));
}

#[tokio::test]
async fn headers_say_what_a_body_may() {
    let app = TestApp::start(Setup::default()).await;
    let post = |name: &str, value: &str| {
        app.client
            .post(format!("{}/v1/route", app.url))
            .header("content-type", "application/json")
            .header(name, value)
            .body(chat("auto", ASK).to_string())
    };

    let cheapest = app.send(post("x-trimtab-quality", "0")).await.json();
    let nan = app.send(post("x-trimtab-quality", "NaN")).await;
    let negative = app.send(post("x-trimtab-quality", "-0.5")).await;
    let few = app.send(post("x-trimtab-candidates", "demo-large")).await.json();

    assert_eq!(cheapest["tier"], "small");
    assert_eq!(nan.error(), (400, "invalid_request".to_owned(), Some("trimtab.quality".to_owned())));
    assert_eq!(negative.error(), (400, "invalid_request".to_owned(), Some("trimtab.quality".to_owned())));
    assert_eq!((&few["model"], &few["reason"]), (&json!("demo-large"), &json!("only_eligible")));
}

#[tokio::test]
async fn model_names_are_understood_as_documented() {
    let app = TestApp::start(Setup::default()).await;
    let decide = async |model: &str| app.post("/v1/route", &chat(model, ASK)).await;

    assert_eq!(decide("auto:economy").await.json()["policy"], "economy");
    assert_eq!(decide("router-mf-0.9").await.json()["threshold"], 0.9);
    assert_eq!(decide("demo-medium").await.json()["reason"], "named");
    assert_eq!(decide("router-mf-7").await.error(), (404, "model_not_found".to_owned(), Some("model".to_owned())));
    assert_eq!(decide("gpt-17").await.error(), (404, "model_not_found".to_owned(), Some("model".to_owned())));
    assert_eq!(
        decide("auto:nope").await.error(),
        (400, "invalid_request".to_owned(), Some("trimtab.policy".to_owned()))
    );
}

#[tokio::test]
async fn what_cannot_serve_is_excluded_with_its_reason() {
    let toml = r#"
        [upstreams.u]
        base_url = "http://127.0.0.1:9/v1"
        [[tiers]]
        id = "small"
        [[tiers.models]]
        name = "plain"
        upstream = "u"
        tools = false
        [[tiers]]
        id = "large"
        [[tiers.models]]
        name = "able"
        upstream = "u"
        images = false
        context = 5000
    "#;
    let app = TestApp::start(Setup::default().with(toml)).await;
    let mut tools = chat("auto", "What is the weather?");
    tools["tools"] = json!([{ "type": "function", "function": { "name": "weather" } }]);
    let images = json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "http://x/y.png" } }, { "type": "text", "text": "what is it?" }] }], "tools": [{}] });

    let with_tools = app.post("/v1/route", &tools).await.json();
    let nobody = app.post("/v1/route", &images).await;

    assert_eq!(with_tools["model"], "able");
    assert_eq!(with_tools["candidates"][0]["excluded_by"], "needs_tools");
    assert_eq!(nobody.error(), (400, "no_eligible_model".to_owned(), None));
    assert!(nobody.text.contains("does not read images"), "{}", nobody.text);
}

#[tokio::test]
async fn a_request_without_text_goes_to_the_default_tier() {
    let app = TestApp::start(Setup::default()).await;

    let decision: Value =
        app.post("/v1/route", &json!({ "messages": [{ "role": "user", "content": null }] })).await.json();

    assert_eq!(decision["scoring_failure"], "empty_ask");
    assert_eq!(decision["reason"], "scoring_failed");
}

#[tokio::test]
async fn a_script_that_the_encoder_does_not_know_goes_to_the_default_tier() {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();

    let decision = app.post("/v1/route", &chat("auto", "ⴰⵣⵓⵍ ⴰⵎⴷⴰⴽⴽⵯⵍ")).await.json();

    assert_eq!((&decision["scoring_failure"], &decision["tier"]), (&json!("unknown_text"), &json!("large")));
}

#[tokio::test]
async fn lists_every_model_a_request_may_name() {
    let app = TestApp::start(Setup::default()).await;

    let list = app.get("/v1/models").await.json();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();

    assert_eq!(
        ids,
        ["auto", "auto:balanced", "auto:economy", "auto:quality", "demo-small", "demo-medium", "demo-large"]
    );
    assert_eq!(app.get("/v1/models/demo-large").await.json()["tier"], "large");
    assert_eq!(app.get("/v1/models/nope").await.error().0, 404);
}
