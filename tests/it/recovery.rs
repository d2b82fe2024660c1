//! Keys, deployments, chains, breakers and stand-ins, from the configuration to what the caller and the operator see.

use serde_json::{Value, json};

use crate::support::app::chat;
use crate::support::fake::{FakeUpstream, hang, json as whole, raw_stream, sse, status};
use crate::support::{Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;
const REFUSAL: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"no"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;
const KEYS: [&str; 2] = ["sk-canary-one", "sk-canary-two"];

fn cheap(policy: &str) -> Value {
    let mut body = chat(policy, "hello");
    body["trimtab"] = json!({ "quality": 0 });
    body
}

/// The setup of two tiers, the first upstream with two keys.
fn two_keys(upstreams: &[String]) -> Setup {
    let mut setup = Setup::tiers(upstreams);
    let keys = "[upstreams.first]\napi_keys = [{ env = \"KEY_ONE\" }, { env = \"KEY_TWO\" }]";
    setup.toml = setup.toml.replace("[upstreams.first]", keys);
    setup.environment = vec![("KEY_ONE".to_owned(), KEYS[0].to_owned()), ("KEY_TWO".to_owned(), KEYS[1].to_owned())];
    setup
}

async fn target(app: &TestApp, upstream: &str, key: Value) -> Value {
    let all = app.send(app.client.get(format!("{}/admin/upstreams", app.admin_url))).await.json();
    let found = all["data"].as_array().unwrap().iter().find(|one| one["upstream"] == upstream && one["key"] == key);
    found.unwrap_or_else(|| panic!("no {upstream} {key} in {all}")).clone()
}

#[tokio::test]
async fn load_is_spread_over_the_keys_of_an_upstream() {
    let upstream = FakeUpstream::script([whole(ANSWER)]).await;
    let app = TestApp::start(two_keys(&[upstream.base_url()])).await;

    for _ in 0..10 {
        assert_eq!(app.post("/v1/chat/completions", &chat("cheap", "hello")).await.status, 200);
    }

    let requests = upstream.requests();
    for key in KEYS {
        let bearer = format!("Bearer {key}");
        assert_eq!(requests.iter().filter(|one| one.header("authorization") == Some(&bearer)).count(), 5);
    }
    let shown = app.send(app.client.get(format!("{}/admin/upstreams", app.admin_url))).await.text;
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn a_key_that_is_refused_counts_for_itself_and_the_other_one_serves() {
    let mut script = Vec::new();
    for _ in 0..5 {
        script.extend([status(401), whole(ANSWER)]);
    }
    script.push(whole(ANSWER));
    let upstream = FakeUpstream::script(script).await;
    let mut setup = two_keys(&[upstream.base_url()]);
    setup.toml = setup.toml.replace("name = \"cheap\"", "name = \"cheap\"\nbalance = \"cost\"");
    let app = TestApp::start(setup.with("\n[breaker]\nin_a_row = 1\n")).await;

    for _ in 0..4 {
        let reply = app.post("/v1/chat/completions", &chat("cheap", "hello")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }

    let states = [target(&app, "first", json!(1)).await, target(&app, "first", json!(2)).await];
    let open = states.iter().filter(|one| one["key_breaker"]["state"] != "closed").count();
    assert!(open >= 1, "{states:?}");
    let metrics = app.get("/metrics").await.text;
    assert!(
        metrics.contains(
            r#"trimtab_breaker_opened_total{upstream="first",model="cheap",upstream_model="vendor/cheap-1",key="#
        ),
        "{metrics}"
    );
    assert!(!metrics.contains("canary"));
}

#[tokio::test]
async fn one_model_may_answer_at_several_upstreams() {
    let (first, last) = (FakeUpstream::script([whole(ANSWER)]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let mut setup = Setup::tiers(&[first.base_url(), last.base_url()]);
    setup.toml = setup.toml.replace(
        "upstream = \"first\"\n            upstream_model = \"vendor/cheap-1\"",
        "targets = [{ upstream = \"first\", upstream_model = \"a\", weight = 3 }, { upstream = \"last\", upstream_model = \"b\" }]",
    );
    let app = TestApp::start(setup).await;

    for _ in 0..20 {
        let reply = app.post("/v1/chat/completions", &chat("cheap", "hello")).await;
        assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "cheap"));
    }

    assert!((13..=17).contains(&first.requests().len()), "{}", first.requests().len());
    assert_eq!(first.requests().len() + last.requests().len(), 20);
    let sent: Value = serde_json::from_slice(&last.requests()[0].body).unwrap();
    assert_eq!(sent["model"], "b");
}

#[tokio::test]
async fn keys_with_less_left_get_less() {
    let upstream = FakeUpstream::answering(|request| {
        let is_first = request.header("authorization").is_some_and(|bearer| bearer.ends_with(KEYS[0]));
        let left = if is_first { "10" } else { "90" };
        whole(ANSWER).header("x-ratelimit-limit", "100").header("x-ratelimit-remaining", left)
    })
    .await;
    let app = TestApp::start(two_keys(&[upstream.base_url()])).await;

    for _ in 0..40 {
        assert_eq!(app.post("/v1/chat/completions", &chat("cheap", "hello")).await.status, 200);
    }

    let bearer = format!("Bearer {}", KEYS[0]);
    let made = upstream.requests().iter().filter(|one| one.header("authorization") == Some(&bearer)).count();
    assert!((3..=7).contains(&made), "{made} of 40 where a tenth is left");
    let headroom = target(&app, "first", json!(1)).await["headroom"].as_f64().unwrap();
    assert!((headroom - 0.1).abs() < 1e-9, "{headroom}");
}

/// One model at two upstreams, balanced in this way, without haste.
fn balanced(balance: &str, upstreams: &[String]) -> Setup {
    let mut setup = Setup::tiers(upstreams);
    setup.toml = setup.toml.replace(
        "upstream = \"first\"\n            upstream_model = \"vendor/cheap-1\"",
        &format!("balance = \"{balance}\"\ntargets = [{{ upstream = \"first\" }}, {{ upstream = \"last\" }}]"),
    );
    setup.toml =
        setup.toml.replace("headers = \"1s\"", "headers = \"20s\"").replace("total = \"5s\"", "total = \"30s\"");
    setup
}

#[tokio::test]
async fn a_busy_place_is_spared_where_the_least_busy_one_is_asked() {
    let (busy, idle) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let app = TestApp::start(balanced("least_busy", &[busy.base_url(), idle.base_url()])).await;
    let body = chat("cheap", "hello");

    let others = async {
        busy.asked().await;
        for _ in 0..6 {
            assert_eq!(app.post("/v1/chat/completions", &body).await.status, 200);
        }
    };
    tokio::select! {
        reply = app.post("/v1/chat/completions", &body) => panic!("nobody answers: {}", reply.text),
        () = others => {}
    }

    assert_eq!((busy.requests().len(), idle.requests().len()), (1, 6));
}

#[tokio::test]
async fn a_slow_place_is_spared_where_the_fastest_one_is_asked() {
    let gate = FakeUpstream::script([whole(ANSWER)]).await;
    let slow = FakeUpstream::script([whole(ANSWER).when_asked(&gate)]).await;
    let fast = FakeUpstream::script([whole(ANSWER)]).await;
    let app = TestApp::start(balanced("latency", &[slow.base_url(), fast.base_url()])).await;
    let body = chat("cheap", "hello");

    // The first call takes as long as all that happens before the gate opens.
    let others = async {
        slow.asked().await;
        assert_eq!(app.post("/v1/chat/completions", &body).await.status, 200);
        for _ in 0..30 {
            assert_eq!(app.get("/metrics").await.status, 200);
        }
        app.client.post(gate.base_url()).body("{}").send().await.unwrap();
    };
    let (first, ()) = tokio::join!(app.post("/v1/chat/completions", &body), others);
    assert_eq!(first.status, 200, "{}", first.text);
    for _ in 0..3 {
        assert_eq!(app.post("/v1/chat/completions", &body).await.status, 200);
    }

    assert_eq!((slow.requests().len(), fast.requests().len()), (1, 4));
}

#[tokio::test]
async fn a_policy_may_fall_back_on_refusals_along_its_own_chain() {
    let (first, last) = (FakeUpstream::script([whole(REFUSAL)]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let policies = "\n[policies.picky]\nquality = 0.5\nfallback = [\"dear\"]\nfallback_on = [\"refusal\"]\n";
    let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()]).with(policies)).await;

    let usual = app.post("/v1/chat/completions", &cheap("auto")).await;
    let picky = app.post("/v1/chat/completions", &cheap("auto:picky")).await;

    assert_eq!(usual.header("x-trimtab-model"), "cheap");
    assert!(usual.text.contains("refusal") && usual.headers.get("x-trimtab-attempts").is_none());
    assert_eq!(picky.header("x-trimtab-model"), "dear");
    assert_eq!(picky.header("x-trimtab-attempts"), "cheap@first=unfit, dear@last=success");
    assert_eq!(picky.header("x-trimtab-cost-usd"), "0.000131400", "both are billed");
}

#[tokio::test]
async fn a_model_asked_for_by_name_falls_back_where_it_says_so() {
    let (bad, good) = (FakeUpstream::script([status(503)]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let setup = Setup::tiers(&[good.base_url(), bad.base_url()]).with("fallback = [\"cheap\"]\n");
    let app = TestApp::start(setup).await;

    let reply = app.post("/v1/chat/completions", &chat("dear", "hello")).await;

    assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "cheap"));
}

#[tokio::test]
async fn words_stand_in_for_an_answer_and_say_so() {
    let upstream = FakeUpstream::script([status(503)]).await;
    let policies = "\n[policies.calm]\nquality = 0.5\ndegraded = \"Please try again later ({request_id}).\"\n";
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(policies)).await;
    let mut body = cheap("auto:calm");

    let whole = app.post("/v1/chat/completions", &body).await;
    body["stream"] = json!(true);
    let stream = app.post("/v1/chat/completions", &body).await;

    assert_eq!((whole.status, whole.header("x-trimtab-degraded")), (200, "template"));
    let text = whole.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Please try again later (req_"), "{text}");
    assert_eq!((stream.header("x-trimtab-degraded"), stream.header("content-type")), ("template", "text/event-stream"));
    assert!(stream.text.ends_with("data: [DONE]\n\n"), "{}", stream.text);
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert!(rows.iter().all(|row| row["class"] == "transient"), "{rows:?}");
}

#[tokio::test]
async fn an_open_breaker_is_shown_skipped_and_named() {
    let (bad, good) = (FakeUpstream::script([status(500)]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let setup = Setup::tiers(&[bad.base_url(), good.base_url()])
        .with("\n[breaker]\nin_a_row = 2\ncooling = \"1h\"\nlongest_cooling = \"1h\"\n");
    let app = TestApp::start(setup).await;

    let first = app.post("/v1/chat/completions", &cheap("auto")).await;
    let second = app.post("/v1/chat/completions", &cheap("auto")).await;

    assert_eq!(first.header("x-trimtab-attempts"), "cheap@first=transient, cheap@first=transient, dear@last=success");
    assert_eq!(second.header("x-trimtab-attempts"), "cheap@first=skipped, dear@last=success");
    assert_eq!(bad.requests().len(), 2);
    let shown = target(&app, "first", Value::Null).await;
    assert_eq!((&shown["state"], &shown["breaker"]["failures"]), (&json!("open"), &json!(2)));
    assert_eq!(target(&app, "last", Value::Null).await["state"], "closed");
    let metrics = app.get("/metrics").await.text;
    assert!(
        metrics.contains(
            r#"trimtab_breaker_state{upstream="first",model="cheap",upstream_model="vendor/cheap-1",key="1"} 2"#
        ),
        "{metrics}"
    );
    assert!(metrics.contains(r#"trimtab_extra_calls_total{kind="retry",result="made"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_stream_and_frees_its_place() {
    let word =
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(256 << 10));
    let upstream = FakeUpstream::script([raw_stream(&vec![word; 160]), whole(ANSWER)]).await;
    let limits = "\n[server]\nclient_timeout = \"1s\"\nmax_concurrent_requests = 1\n";
    let setup = Setup::tiers(&[upstream.base_url()]);
    let app = TestApp::start(Setup { toml: format!("{limits}{}", setup.toml), ..setup }).await;
    let mut body = cheap("auto");
    body["stream"] = json!(true);
    let request =
        app.client.post(format!("{}/v1/chat/completions", app.url)).header("content-type", "application/json");
    let mut response = request.body(body.to_string()).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());

    assert_eq!(app.post("/v1/chat/completions", &cheap("auto")).await.status, 429, "its place is taken");
    tokio::time::timeout(crate::support::app::PATIENCE, upstream.client_gone())
        .await
        .expect("the upstream's call ends");

    drop(response);
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!(rows[0]["class"], "cancelled", "{rows:?}");
}

#[tokio::test]
async fn an_interactive_policy_does_not_wait_for_a_late_first_token() {
    let (late, good) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([sse(&["hi"])]).await);
    let policies = "\n[policies.chat]\nquality = 0.5\nfirst_token_timeout = \"50ms\"\n";
    let app = TestApp::start(Setup::tiers(&[late.base_url(), good.base_url()]).with(policies)).await;
    let mut body = cheap("auto:chat");
    body["stream"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert_eq!(reply.header("x-trimtab-attempts"), "cheap@first=transient, dear@last=success");
    assert!(reply.text.contains("hi"), "{}", reply.text);
}

#[tokio::test]
async fn an_interactive_policy_asks_a_second_target_when_the_first_is_late() {
    let (late, good) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let policies = "\n[policies.chat]\nquality = 0.5\nhedge_after = \"50ms\"\n";
    let app = TestApp::start(Setup::tiers(&[late.base_url(), good.base_url()]).with(policies)).await;

    let reply = app.post("/v1/chat/completions", &cheap("auto:chat")).await;

    assert_eq!(reply.header("x-trimtab-attempts"), "cheap@first=cancelled, dear@last=success");
    tokio::time::timeout(crate::support::app::PATIENCE, late.client_gone()).await.expect("the loser is cancelled");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(r#"trimtab_extra_calls_total{kind="hedge",result="made"} 1"#), "{metrics}");
}
