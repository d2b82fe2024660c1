//! Requests that wait for an answer: the reference, the answer that comes later, and everything that may come between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::app::{PATIENCE, chat};
use crate::support::fake::{FakeUpstream, hang, json as whole, status};
use crate::support::{Reply, Setup, TestApp};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;

/// One attempt at each target, breakers that stay shut, and a queue that is quick.
const QUEUED: &str = "\n[retry]\nper_target = 1\n[breaker]\nin_a_row = 1000\nleast_calls = 1000\n[policies.calm]\nquality = 0\ndegraded = \"queued\"\n[deferred]\npause = \"100ms\"\nlongest_pause = \"100ms\"\nmax_tries = 1000\n";

const DOWN: u8 = 0;
const UP: u8 = 1;
const REFUSING: u8 = 2;
const SILENT: u8 = 3;

/// An upstream that is down until it is told otherwise.
struct Shaky {
    fake: FakeUpstream,
    state: Arc<AtomicU8>,
}

impl Shaky {
    async fn new() -> Self {
        let state = Arc::new(AtomicU8::new(DOWN));
        let told = Arc::clone(&state);
        let fake = FakeUpstream::answering(move |_| match told.load(Ordering::SeqCst) {
            UP => whole(ANSWER),
            REFUSING => status(422),
            SILENT => hang(),
            _ => status(503),
        });
        Self { fake: fake.await, state }
    }

    fn is(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    async fn app(&self, toml: &str) -> TestApp {
        TestApp::start(Setup::tiers(&[self.fake.base_url()]).with(toml)).await
    }
}

/// The reference of a request that is queued.
fn reference(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.header("x-trimtab-degraded")), (200, "queued"), "{}", reply.text);
    let reference = reply.header("x-trimtab-deferred").to_owned();
    assert!(
        reference.starts_with("dfr_") && reply.text.contains(&format!("GET /v1/deferred/{reference}.")),
        "{reply:?}"
    );
    reference
}

/// Waits until an entry stands so.
async fn standing(app: &TestApp, reference: &str, status: &str) -> Value {
    let began = Instant::now();
    loop {
        let entry = app.get(&format!("/v1/deferred/{reference}")).await.json();
        if entry["status"] == status {
            return entry;
        }
        assert!(began.elapsed() < PATIENCE, "not {status}: {entry}");
    }
}

async fn delete(app: &TestApp, reference: &str) -> Reply {
    app.send(app.client.delete(format!("{}/v1/deferred/{reference}", app.url))).await
}

/// A request in each dialect, and what tells where the text of its answer is.
fn dialects(stream: bool) -> [(&'static str, Value, &'static str); 5] {
    let mut asked = chat("auto:calm", "hello");
    asked["stream"] = json!(stream);
    let mut messages = asked.clone();
    messages["max_tokens"] = json!(9);
    let googles = if stream {
        "/v1beta/models/auto:calm:streamGenerateContent?alt=sse"
    } else {
        "/v1beta/models/auto:calm:generateContent"
    };
    [
        ("/v1/chat/completions", asked, "/choices/0/message/content"),
        ("/v1/messages", messages, "/content/0/text"),
        (
            "/v1/responses",
            json!({ "model": "auto:calm", "input": "hello", "stream": stream, "store": false }),
            "/output/0/content/0/text",
        ),
        ("/v1/completions", json!({ "model": "auto:calm", "prompt": "hello", "stream": stream }), "/choices/0/text"),
        (googles, json!({ "contents": [{ "parts": [{ "text": "hello" }] }] }), "/candidates/0/content/parts/0/text"),
    ]
}

#[tokio::test]
async fn every_dialect_reads_a_reference_and_later_the_answer_which_is_billed_once() {
    let upstream = Shaky::new().await;
    let app = upstream.app(QUEUED).await;
    let mut waiting = Vec::new();
    for stream in [false, true] {
        for (path, body, place) in dialects(stream) {
            let reply = app.post(path, &body).await;
            let kind = if stream { "text/event-stream" } else { "application/json" };
            assert_eq!(reply.header("content-type"), kind);
            let is_broken = reply.text.contains("event: error") || reply.text.contains("response.failed");
            assert!(!is_broken, "it ends well: {}", reply.text);
            if path == "/v1/chat/completions" {
                assert!(reply.text.contains(r#""degraded":"queued""#), "{}", reply.text);
            }
            waiting.push((reference(&reply), place));
        }
    }
    let (first, _) = &waiting[0];
    let failed = standing(&app, first, "queued").await;
    assert_eq!(
        (&failed["id"], &failed["object"], &failed["answer"]),
        (&json!(first), &json!("deferred"), &Value::Null)
    );
    assert_eq!(failed["expires"].as_u64().unwrap() - failed["created"].as_u64().unwrap(), 3_600);

    upstream.is(UP);
    let mut cost = 0.0;
    for (reference, place) in &waiting {
        let entry = standing(&app, reference, "done").await;
        assert_eq!(entry["answer"].pointer(place), Some(&json!("hello")), "{entry}");
        assert_eq!((entry["model"].is_string(), &entry["error"]), (true, &Value::Null));
        assert!(entry["attempts"].as_u64().unwrap() >= 1 && entry["decision_id"].is_string(), "{entry}");
        // The upstream may be well again between the attempts at one model and the next.
        let expected = if entry["model"] == "cheap" { 1.4e-6 } else { 1.3e-4 };
        assert!((entry["cost_usd"].as_f64().unwrap() - expected).abs() < 1e-12, "{entry}");
        cost += expected;
    }

    let sent: Vec<Value> =
        upstream.fake.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert!(sent.last().unwrap().get("stream").is_none(), "nobody reads a stream");
    let metrics = app.get("/metrics").await.text;
    for line in [
        r#"trimtab_degraded_total{policy="calm",kind="queued"} 10"#,
        r#"trimtab_deferred_entries{status="done"} 10"#,
        r#"trimtab_deferred_entries{status="queued"} 0"#,
        r#"trimtab_deferred_total{event="done"} 10"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    let (good, bad): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["class"] == "success");
    assert_eq!(good.len(), 10, "each is answered once");
    let billed: f64 = rows.iter().filter_map(|row| row["cost_usd"].as_f64()).sum();
    assert!((billed - cost).abs() < 1e-12, "{billed} for {cost}");
    assert!(bad.len() >= 10 && bad.iter().all(|row| row["class"] == "transient"), "{bad:?}");
}

#[tokio::test]
async fn a_reference_is_of_use_to_its_caller_alone_who_may_take_the_request_back() {
    let upstream = Shaky::new().await;
    let keys = "[[server.keys]]\nname = \"alice\"\nkey = { env = \"A\" }\n[[server.keys]]\nname = \"bob\"\nkey = { env = \"B\" }\n";
    let mut setup = Setup::tiers(&[upstream.fake.base_url()]).with(QUEUED).with(keys);
    setup.environment = vec![("A".to_owned(), "alices".to_owned()), ("B".to_owned(), "bobs".to_owned())];
    let app = TestApp::start(setup).await;
    let asked = app.client.post(format!("{}/v1/chat/completions", app.url)).bearer_auth("alices");
    let asked = asked.header("content-type", "application/json").body(chat("auto:calm", "hello").to_string());
    let reference = reference(&app.send(asked).await);
    let url = format!("{}/v1/deferred/{reference}", app.url);

    let [bobs, alices] = ["bobs", "alices"].map(|key| app.client.get(&url).bearer_auth(key));
    let nobodys = app.get(&format!("/v1/deferred/{reference}")).await;
    let stolen = app.send(app.client.delete(&url).bearer_auth("bobs")).await;

    let (bobs, alices) = (app.send(bobs).await, app.send(alices).await);
    assert_eq!((bobs.error().0, nobodys.error().0, stolen.error().0), (404, 401, 404));
    assert!(!bobs.text.contains("alice"));
    assert_eq!(alices.status, 200, "{}", alices.text);
    let taken = app.send(app.client.delete(&url).bearer_auth("alices")).await;
    assert_eq!((taken.status, &taken.json()["deleted"]), (200, &json!(true)));
    let again = app.send(app.client.get(&url).bearer_auth("alices")).await;
    assert!(again.error().0 == 404 && again.text.contains("restarted"), "{}", again.text);
    let odd = app.send(app.client.get(format!("{}/v1/deferred/x%2Fy", app.url)).bearer_auth("alices")).await;
    assert_eq!(odd.error().0, 404);
}

#[tokio::test]
async fn a_full_queue_leaves_the_usual_error_or_the_policys_words() {
    let upstream = Shaky::new().await;
    let wordy = "max_entries = 1\n[policies.wordy]\nquality = 0\ndegraded = { queued = \"Wait for {reference}.\", text = \"Later.\" }\n";
    let app = upstream.app(&format!("{QUEUED}{wordy}")).await;

    let first = app.post("/v1/chat/completions", &chat("auto:wordy", "hello")).await;
    let full = app.post("/v1/chat/completions", &chat("auto:calm", "hello")).await;
    let words = app.post("/v1/chat/completions", &chat("auto:wordy", "hello")).await;

    let reference = first.header("x-trimtab-deferred");
    assert_eq!(first.json()["choices"][0]["message"]["content"], format!("Wait for {reference}."));
    assert_eq!(full.error(), (502, "upstream_failed".to_owned(), None));
    for piece in
        ["`cheap` at `first`", "`dear` at `last`", "queue of deferred requests is full", "deferred.max_entries"]
    {
        assert!(full.text.contains(piece), "{piece} in {}", full.text);
    }
    assert_eq!(words.header("x-trimtab-degraded"), "template");
    assert!(words.headers.get("x-trimtab-deferred").is_none() && words.text.contains("Later."));
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(r#"trimtab_deferred_total{event="refused"} 2"#), "{metrics}");
}

#[tokio::test]
async fn a_request_that_nobody_answers_in_time_expires_and_is_forgotten() {
    let upstream = Shaky::new().await;
    let app = upstream.app(&format!("{QUEUED}keep_for = \"1s\"\n")).await;
    let reference = reference(&app.post("/v1/chat/completions", &chat("auto:calm", "hello")).await);

    let entry = standing(&app, &reference, "expired").await;

    assert_eq!((&entry["answer"], &entry["error"]), (&Value::Null, &Value::Null));
    let began = Instant::now();
    while app.get(&format!("/v1/deferred/{reference}")).await.status != 404 {
        assert!(began.elapsed() < PATIENCE, "it is forgotten as long after that");
    }
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(r#"trimtab_deferred_total{event="expired"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_request_that_is_refused_later_fails_in_the_upstreams_words() {
    let upstream = Shaky::new().await;
    let app = upstream.app(QUEUED).await;
    let reference = reference(&app.post("/v1/chat/completions", &chat("auto:calm", "hello")).await);
    let began = Instant::now();
    let mut waiting = standing(&app, &reference, "queued").await;
    while waiting["error"].is_null() {
        assert!(began.elapsed() < PATIENCE, "it is tried while the upstream is down: {waiting}");
        waiting = app.get(&format!("/v1/deferred/{reference}")).await.json();
    }
    assert_eq!(waiting["error"]["code"], "upstream_failed");

    upstream.is(REFUSING);
    let entry = standing(&app, &reference, "failed").await;

    assert_eq!((&entry["error"]["message"], &entry["answer"]), (&json!("scripted 422"), &Value::Null));
    assert_eq!(delete(&app, &reference).await.json()["status"], "failed");
}

#[tokio::test]
async fn taking_a_request_back_ends_the_call_that_is_made_for_it() {
    let upstream = Shaky::new().await;
    let app = upstream.app(QUEUED).await;
    let reference = reference(&app.post("/v1/chat/completions", &chat("auto:calm", "hello")).await);
    upstream.is(SILENT);
    standing(&app, &reference, "running").await;

    let taken = delete(&app, &reference).await;

    assert_eq!((taken.status, taken.json()["deleted"].as_bool()), (200, Some(true)), "{}", taken.text);
    tokio::time::timeout(PATIENCE, upstream.fake.client_gone()).await.expect("the call ends");
    assert_eq!(app.get(&format!("/v1/deferred/{reference}")).await.status, 404);
}

#[tokio::test]
async fn an_answer_that_is_fetched_keeps_its_place_until_its_last_byte_is_sent() {
    // More than lies between two programs of one machine.
    let long = ANSWER.replace("hello", &"x".repeat(12 << 20));
    let upstream = FakeUpstream::script([status(503), status(503), whole(&long)]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(QUEUED)).await;
    let reference = reference(&app.post("/v1/chat/completions", &chat("auto:calm", "hello")).await);
    let began = Instant::now();
    while !app.get("/metrics").await.text.contains(r#"trimtab_deferred_total{event="done"} 1"#) {
        assert!(began.elapsed() < PATIENCE);
    }
    let mut client = TcpStream::connect(app.url.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET /v1/deferred/{reference} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();

    let mut first = [0; 12];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // The other listener, whose requests have no place among these.
    let metrics = async || app.send(app.client.get(format!("{}/metrics", app.admin_url))).await.text;
    let held = metrics().await;
    assert!(held.contains("trimtab_requests_in_flight 1\n"), "{held}");

    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > long.len());
    let began = Instant::now();
    while !metrics().await.contains("trimtab_requests_in_flight 0\n") {
        assert!(began.elapsed() < PATIENCE, "its place is free when it is sent");
    }
}

#[tokio::test]
async fn a_request_that_was_asked_as_often_as_may_be_has_failed() {
    let upstream = Shaky::new().await;
    let app = upstream.app(&QUEUED.replace("max_tries = 1000", "max_tries = 2")).await;
    let reference = reference(&app.post("/v1/chat/completions", &chat("auto:calm", "hello")).await);

    let entry = standing(&app, &reference, "failed").await;

    assert_eq!((&entry["attempts"], &entry["error"]["code"]), (&json!(2), &json!("upstream_failed")));
    assert_eq!(upstream.fake.requests().len(), 6, "two targets, three times");
}

#[tokio::test]
async fn a_server_that_stops_waits_neither_for_what_is_queued_nor_for_what_is_being_asked() {
    let upstream = Shaky::new().await;
    // The upstream may be silent for far longer than anybody waits.
    let setup = Setup::tiers(&[upstream.fake.base_url()]).with(&format!("{QUEUED}at_once = 3\n"));
    let patient =
        setup.toml.replace(r#"headers = "1s", idle = "1s", total = "5s""#, r#"headers = "300s", total = "300s""#);
    let app = TestApp::start(Setup { toml: patient, ..setup }).await;
    let references = [0; 3].map(|_| chat("auto:calm", "hello"));
    let mut last = String::new();
    for body in &references {
        last = reference(&app.post("/v1/chat/completions", body).await);
    }
    upstream.is(SILENT);
    standing(&app, &last, "running").await;

    let directory = app.stop().await;

    let rows = crate::commands::export(directory.path(), &[]);
    assert!(rows.iter().any(|row| row["class"] == "cancelled"), "the call that was cut is recorded: {rows:?}");
}
