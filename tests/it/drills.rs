//! Fire drills: each target is called by itself, and what that finds is shown, measured and felt by breakers.

use serde_json::{Value, json};

use crate::support::app::chat;
use crate::support::fake::{FakeUpstream, json as whole, status};
use crate::support::{Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"OK"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;

async fn drill(app: &TestApp) -> Value {
    let call = app.client.post(format!("{}/admin/drills", app.admin_url)).header("content-type", "application/json");
    let reply = app.send(call).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

async fn shown(app: &TestApp, path: &str) -> Value {
    app.send(app.client.get(format!("{}{path}", app.admin_url))).await.json()
}

fn of<'a>(view: &'a Value, upstream: &str) -> &'a Value {
    view["data"].as_array().unwrap().iter().find(|one| one["upstream"] == upstream).expect("the upstream")
}

#[tokio::test]
async fn every_target_is_called_by_itself_and_a_broken_one_is_shown() {
    let (good, bad) = (FakeUpstream::script([whole(ANSWER)]).await, FakeUpstream::script([status(503)]).await);
    let app = TestApp::start(Setup::tiers(&[good.base_url(), bad.base_url()])).await;

    let before = shown(&app, "/admin/drills").await;
    let after = drill(&app).await;

    assert_eq!((&before["enabled"], &of(&before, "last")["state"]), (&json!(false), &json!("untried")));
    assert_eq!((good.requests().len(), bad.requests().len()), (1, 1), "no retry and no fallback");
    let sent: Value = serde_json::from_slice(&good.requests()[0].body).unwrap();
    assert_eq!((&sent["model"], &sent["max_completion_tokens"]), (&json!("vendor/cheap-1"), &json!(64)));
    assert_eq!((&of(&after, "first")["state"], &of(&after, "first")["error"]), (&json!("ok"), &Value::Null));
    let broken = of(&after, "last");
    assert_eq!(
        (&broken["state"], &broken["class"], &broken["failures_in_a_row"]),
        (&json!("broken"), &json!("transient"), &json!(1))
    );
    assert!(broken["error"].as_str().unwrap().contains("503") && broken["age_s"].as_f64().unwrap() < 20.0, "{broken}");
    assert!((after["spent_usd"].as_f64().unwrap() - 1.4e-6).abs() < 1e-12, "{after}");

    let metrics = app.get("/metrics").await.text;
    for line in [
        r#"trimtab_drill_broken{upstream="first",model="cheap",upstream_model="vendor/cheap-1",key="1"} 0"#,
        r#"trimtab_drill_broken{upstream="last",model="dear",upstream_model="dear",key="1"} 1"#,
        r#"trimtab_drills_total{upstream="last",model="dear",upstream_model="dear",key="1",result="broken"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("trimtab_decisions_total{") && !metrics.contains("trimtab_tokens_total{"), "no caller's");
    let directory = app.stop().await;
    assert!(crate::commands::export(directory.path(), &[]).is_empty(), "nothing to learn from");
}

#[tokio::test]
async fn breakers_learn_from_drills() {
    let mut script = vec![status(500); 3];
    script.push(whole(ANSWER));
    let (shaky, good) = (FakeUpstream::script(script).await, FakeUpstream::script([whole(ANSWER)]).await);
    let setup = Setup::tiers(&[shaky.base_url(), good.base_url()])
        .with("\n[breaker]\nin_a_row = 3\ncooling = \"1h\"\nlongest_cooling = \"1h\"\n");
    let app = TestApp::start(setup).await;
    let state = async || of(&shown(&app, "/admin/upstreams").await, "first")["state"].clone();

    for _ in 0..3 {
        assert_eq!(state().await, "closed");
        drill(&app).await;
    }
    assert_eq!(state().await, "open", "failures count");
    let mended = drill(&app).await;

    assert_eq!(state().await, "closed", "a success closes it");
    assert_eq!(of(&mended, "first")["state"], "ok");
    let mut body = chat("auto", "hello");
    body["trimtab"] = json!({ "quality": 0 });
    assert_eq!(app.post("/v1/chat/completions", &body).await.header("x-trimtab-model"), "cheap");
}

#[tokio::test]
async fn drills_that_would_cost_too_much_are_left_out() {
    let upstream = FakeUpstream::script([whole(ANSWER)]).await;
    let setup = Setup::tiers(&[upstream.base_url()]).with("\n[drills]\nmax_usd_per_day = 0.0001\n");
    let app = TestApp::start(setup).await;

    let view = drill(&app).await;

    // 24 tokens in and 64 out are 28 millionths for the cheap one, and 2160 for the dear one.
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!((&of(&view, "first")["state"], &of(&view, "first")["over_budget"]), (&json!("ok"), &json!(false)));
    assert_eq!((&of(&view, "last")["state"], &of(&view, "last")["over_budget"]), (&json!("untried"), &json!(true)));
}

#[tokio::test]
async fn scheduled_drills_run_and_end_with_the_server() {
    let upstream = FakeUpstream::script([whole(ANSWER)]).await;
    let setup = Setup::tiers(&[upstream.base_url()]).with("\n[drills]\nenabled = true\nevery = \"1s\"\njitter = 0\n");
    let app = TestApp::start(setup).await;

    let seen = async {
        while of(&shown(&app, "/admin/drills").await, "first")["state"] != "ok" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::app::PATIENCE, seen).await.expect("a drill by itself");

    tokio::time::timeout(crate::support::app::PATIENCE, app.stop()).await.expect("the server ends");
}

#[tokio::test]
async fn a_drill_is_asked_for_as_other_administration_is() {
    let app = TestApp::start(Setup::default()).await;

    let bare = app.send(app.client.post(format!("{}/admin/drills", app.admin_url))).await;

    assert_eq!(bare.status, 415, "a page in a browser cannot ask for one");
}
