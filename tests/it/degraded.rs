//! Who waits for an answer, what stands in for one, and whether an escalation helped.

use serde_json::{Value, json};

use crate::support::app::{PATIENCE, chat};
use crate::support::fake::{FakeUpstream, Reply, hang, json as whole, sse, status};
use crate::support::{Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;

fn cheap(policy: &str, latency: &str) -> Value {
    let mut body = chat(policy, "hello");
    body["trimtab"] = json!({ "quality": 0, "latency": latency });
    body
}

fn told(text: &str) -> Reply {
    whole(&ANSWER.replace("hello", text))
}

#[tokio::test]
async fn a_batch_call_waits_for_a_late_answer_and_asks_nobody_else() {
    let late = || FakeUpstream::script([status(429).header("retry-after-ms", "300"), whole(ANSWER)]);
    let (first, last) = (late().await, FakeUpstream::script([whole(ANSWER)]).await);
    let policies = "\n[retry]\npatience = \"10ms\"\n[policies.chat]\nquality = 0.5\nfirst_token_timeout = \"50ms\"\nhedge_after = \"1ms\"\n";
    let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()]).with(policies)).await;

    let batch = app.post("/v1/chat/completions", &cheap("auto:chat", "batch")).await;

    assert_eq!(batch.header("x-trimtab-attempts"), "cheap@first=throttled, cheap@first=success");
    assert!(last.requests().is_empty());
}

#[tokio::test]
async fn an_interactive_call_of_a_batch_policy_gives_a_late_first_token_up() {
    let (late, good) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([sse(&["hi"])]).await);
    let policies = "\n[policies.night]\nquality = 0.5\nlatency = \"batch\"\nfirst_token_timeout = \"50ms\"\n";
    let app = TestApp::start(Setup::tiers(&[late.base_url(), good.base_url()]).with(policies)).await;
    let mut body = chat("auto:night", "hello");
    body["trimtab"] = json!({ "quality": 0 });
    body["stream"] = json!(true);
    let request = app.client.post(format!("{}/v1/chat/completions", app.url));
    let request = request.header("content-type", "application/json").header("x-trimtab-latency", "interactive");

    let reply = app.send(request.body(body.to_string())).await;

    assert_eq!(reply.header("x-trimtab-attempts"), "cheap@first=transient, dear@last=success");
}

#[tokio::test]
async fn a_word_that_is_no_latency_is_refused_by_name() {
    let app = TestApp::start(Setup::tiers(&[hang_url().await])).await;

    let body = app.post("/v1/chat/completions", &cheap("auto", "soon")).await;
    let request = app.client.post(format!("{}/v1/chat/completions", app.url)).header("x-trimtab-latency", "now");
    let request = request.header("content-type", "application/json").body(chat("auto", "hi").to_string());
    let header = app.send(request).await;

    for reply in [body, header] {
        let (status, _, field) = reply.error();
        assert_eq!((status, field.as_deref()), (400, Some("trimtab.latency")));
        assert!(reply.text.contains("`interactive` or `batch`"), "{}", reply.text);
    }
}

async fn hang_url() -> String {
    FakeUpstream::script([hang()]).await.base_url()
}

#[tokio::test]
async fn the_last_answer_stands_in_when_nothing_answers_and_says_how_old_it_is() {
    let upstream = FakeUpstream::script([whole(ANSWER), status(503)]).await;
    let settings = "\n[cache]\nresponses = \"exact\"\nttl = \"1s\"\n[policies.calm]\nquality = 0\ndegraded = { cached = true, text = \"Later.\" }\n";
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(settings)).await;
    let ask = |stream: bool, text: &str| {
        let mut body = chat("auto:calm", text);
        body["stream"] = json!(stream);
        body
    };
    let first = app.post("/v1/chat/completions", &ask(false, "hello")).await;
    assert_eq!((first.status, first.header("x-trimtab-cache")), (200, "miss"));
    let mut again = app.post("/v1/chat/completions", &ask(false, "hello")).await;
    let began = tokio::time::Instant::now();
    while again.header("x-trimtab-cache") == "hit" {
        assert!(began.elapsed() < PATIENCE, "an answer is too old after a second");
        again = app.post("/v1/chat/completions", &ask(false, "hello")).await;
    }

    let stream = app.post("/v1/chat/completions", &ask(true, "hello")).await;
    let messages =
        json!({ "model": "auto:calm", "max_tokens": 9, "messages": [{ "role": "user", "content": "other" }] });
    let other = app.post("/v1/messages", &messages).await;

    let answer = again.json();
    assert_eq!((again.status, again.header("x-trimtab-degraded")), (200, "cached"));
    assert!(again.header("age").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer["choices"][0]["message"]["content"], "hello");
    assert_eq!(answer["trimtab"]["degraded"], "cached");
    assert_eq!((stream.header("x-trimtab-degraded"), stream.header("content-type")), ("cached", "text/event-stream"));
    assert!(stream.text.contains("hello") && stream.text.ends_with("data: [DONE]\n\n"), "{}", stream.text);
    assert_eq!(other.header("x-trimtab-degraded"), "template", "nothing is kept of that");
    assert!(other.text.contains("Later."), "{}", other.text);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(r#"trimtab_degraded_total{policy="calm",kind="cached"} 2"#), "{metrics}");
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!(rows.iter().filter(|row| row["class"] == "transient").count(), 3, "{rows:?}");
}

/// Waits until a line is among the metrics: it is counted when the client has its answer.
async fn counted(app: &TestApp, line: &str) {
    let began = tokio::time::Instant::now();
    loop {
        let metrics = app.get("/metrics").await.text;
        if metrics.contains(line) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn an_escalation_is_known_to_have_helped_or_not_by_the_check_that_asked_for_it() {
    let cheap = FakeUpstream::script([told("no idea")]).await;
    let dear = FakeUpstream::script([told("It is 42."), sse(&["no ", "idea"]), status(503)]).await;
    let policy = "\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\nmust_match = ['\\d']\n";
    let app = TestApp::start(Setup::tiers(&[cheap.base_url(), dear.base_url()]).with(policy)).await;
    let mut body = chat("auto:frugal", "hello");

    app.post("/v1/chat/completions", &body).await;
    counted(&app, r#"trimtab_escalations_total{policy="frugal",check="must_match",result="helped"} 1"#).await;
    body["stream"] = json!(true);
    app.post("/v1/chat/completions", &body).await;
    counted(&app, r#"trimtab_escalations_total{policy="frugal",check="must_match",result="in_vain"} 1"#).await;
    app.post("/v1/chat/completions", &body).await;
    counted(&app, r#"trimtab_escalations_total{policy="frugal",check="must_match",result="in_vain"} 2"#).await;
}

#[tokio::test]
async fn the_verifier_is_asked_about_the_answer_that_is_given_where_the_policy_says_so() {
    let judge = FakeUpstream::script([whole(r#"{"ok":false}"#), whole(r#"{"ok":true}"#)]).await;
    let (cheap, dear) = (FakeUpstream::script([told("3")]).await, FakeUpstream::script([told("2")]).await);
    let policy = format!(
        "\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\nverifier = {{ url = \"{}\", given_share = 1 }}\n",
        judge.base_url()
    );
    let app = TestApp::start(Setup::tiers(&[cheap.base_url(), dear.base_url()]).with(&policy)).await;

    app.post("/v1/chat/completions", &chat("auto:frugal", "1+1?")).await;

    counted(&app, r#"trimtab_escalations_total{policy="frugal",check="verifier",result="helped"} 1"#).await;
    let asked: Value = serde_json::from_slice(&judge.requests()[1].body).unwrap();
    assert_eq!((&asked["answer"], &asked["model"]), (&json!("2"), &json!("dear")));
}

#[tokio::test]
async fn a_decision_shows_the_breaker_of_each_candidate() {
    let (bad, good) = (FakeUpstream::script([status(500)]).await, FakeUpstream::script([whole(ANSWER)]).await);
    let setup = Setup::tiers(&[bad.base_url(), good.base_url()])
        .with("\n[breaker]\nin_a_row = 1\ncooling = \"1h\"\nlongest_cooling = \"1h\"\n");
    let app = TestApp::start(setup).await;
    app.post("/v1/chat/completions", &cheap("auto", "batch")).await;

    let decision = app.post("/v1/route", &chat("auto", "hello")).await.json();

    let candidates = decision["candidates"].as_array().unwrap();
    let of = |model: &str| &candidates.iter().find(|one| one["model"] == model).unwrap()["breaker"];
    assert_eq!((of("cheap"), of("dear")), (&json!("open"), &json!("closed")), "{decision}");
}

#[tokio::test]
async fn an_answer_that_nobody_counted_is_billed_by_estimate() {
    let uncounted = ANSWER.replace("usage", "bill").replace("hello", &"word ".repeat(80));
    let upstream = FakeUpstream::script([whole(&uncounted)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    let reply = app.post("/v1/chat/completions", &chat("cheap", "hello")).await;

    assert!(reply.header("x-trimtab-cost-usd").parse::<f64>().unwrap() > 0.0);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("trimtab_usage_estimated_total 1"), "{metrics}");
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!(rows[0]["output_tokens"], 100, "{rows:?}");
    assert!(rows[0]["cost_usd"].as_f64().unwrap() > 0.0);
}
