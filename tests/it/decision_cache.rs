//! The decision cache from outside: what is scored once, for whom, for how long, and what is never kept.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use trimtab::cache::decisions::{DecisionCache, DecisionCacheSettings};
use trimtab::chat::openai::ChatRequest;
use trimtab::domain::cache::Recall;
use trimtab::domain::scores::Scorer;
use trimtab::model::registry::Prepared;
use trimtab::pipeline::{App, Call, Routed, route};
use trimtab::serve::settings::prepare_settings;
use trimtab::serve::{build_app, local_call};

use crate::support::app::{chat, load_config};
use crate::support::fake::FakeUpstream;
use crate::support::{Reply, Setup, TestApp};

const ASK: &str = "Which of these numbers is prime?";

/// Decisions by one look, so that no busy machine decides about a second one.
fn one_look() -> Setup {
    Setup::default().with("[policies.balanced]\ncareful = \"never\"\n")
}

async fn decide(app: &TestApp, body: &Value) -> Value {
    let reply = app.post("/v1/route", body).await;
    let decision = reply.json();
    let header = reply.headers.get("x-trimtab-decision-cache").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(decision["decision_cache"].as_str(), header.as_deref(), "{decision}");
    decision
}

/// A decision without its name and times, and without what it says about the cache.
fn content(mut decision: Value) -> Value {
    for own in ["id", "created", "timings_us", "decision_cache"] {
        decision.as_object_mut().unwrap().remove(own);
    }
    decision
}

/// The ask of an agent's loop after so many results of a tool.
fn in_a_loop(results: usize) -> Value {
    let mut body = chat("auto", ASK);
    for at in 0..results {
        let call =
            json!({ "id": format!("c{at}"), "type": "function", "function": { "name": "look", "arguments": "{}" } });
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] }));
        messages.push(json!({ "role": "tool", "tool_call_id": format!("c{at}"), "content": format!("page {at}") }));
    }
    body
}

#[tokio::test]
async fn a_repeated_ask_is_not_scored_again_and_decided_the_same() {
    let app = TestApp::start(one_look()).await;

    let first = decide(&app, &chat("auto", ASK)).await;
    let again = decide(&app, &chat("auto", ASK)).await;
    let other = decide(&app, &chat("auto", "Which of these numbers is odd?")).await;

    let words = [&first, &again, &other].map(|decision| decision["decision_cache"].as_str().unwrap());
    assert_eq!(words, ["miss", "hit", "miss"]);
    assert_ne!(again["id"], first["id"]);
    let timings = again["timings_us"].as_object().unwrap();
    assert!(timings.iter().all(|(step, took)| step == "total" || took == 0), "nothing was scored: {again}");
    assert_eq!(content(again), content(first));
    let metrics = app.get("/metrics").await.text;
    for line in [
        "trimtab_decision_cache_lookups_total{result=\"hit\"} 1",
        "trimtab_decision_cache_lookups_total{result=\"miss\"} 2",
        "trimtab_decision_cache_entries 2",
        "trimtab_score_seconds_count{step=\"encode\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn the_ask_of_a_loop_is_scored_once_and_each_turn_is_priced_by_itself() {
    let app = TestApp::start(one_look()).await;

    let first = decide(&app, &in_a_loop(0)).await;
    let later = decide(&app, &in_a_loop(12)).await;

    assert_eq!((&first["decision_cache"], &later["decision_cache"]), (&json!("miss"), &json!("hit")));
    assert_eq!(later["signals"]["difficulty"], first["signals"]["difficulty"]);
    assert_eq!((&first["signals"]["turns"], &later["signals"]["turns"]), (&json!(1), &json!(25)));
    let cost = |decision: &Value| decision["candidates"][0]["cost_usd"]["mean"].as_f64().unwrap();
    assert!(cost(&later) > cost(&first), "{later}");
    assert_eq!(later["session"]["event"], "kept", "a hit is a turn like any other: {later}");
}

#[tokio::test]
async fn what_is_chosen_is_decided_anew() {
    let app = TestApp::start(one_look()).await;
    let at = async |quality: f64| {
        let mut body = chat("auto", ASK);
        body["trimtab"] = json!({ "quality": quality });
        decide(&app, &body).await
    };

    let (cheap, dear) = (at(0.0).await, at(1.0).await);

    assert_eq!((&cheap["decision_cache"], &dear["decision_cache"]), (&json!("miss"), &json!("hit")));
    assert_eq!((&cheap["model"], &dear["model"]), (&json!("demo-small"), &json!("demo-large")));
}

#[tokio::test]
async fn callers_do_not_share_what_was_found_out() {
    let keys = "[[server.keys]]\nname = \"alice\"\nkey = { env = \"A\" }\n[[server.keys]]\nname = \"bob\"\nkey = { env = \"B\" }\n";
    let environment = [("A", "a-key"), ("B", "b-key")].map(|(name, key)| (name.to_owned(), key.to_owned())).to_vec();
    let app = TestApp::start(Setup { environment, ..one_look().with(keys) }).await;
    let ask = async |key: &str| {
        let request = app.client.post(format!("{}/v1/route", app.url)).bearer_auth(key);
        let reply = app.send(request.header("content-type", "application/json").body(chat("auto", ASK).to_string()));
        reply.await.header("x-trimtab-decision-cache").to_owned()
    };

    assert_eq!([ask("a-key").await, ask("b-key").await, ask("a-key").await], ["miss", "miss", "hit"]);
    let cleared = app.send(app.client.delete(format!("{}/admin/cache?caller=alice", app.admin_url))).await.json();
    assert_eq!((&cleared["removed"], &cleared["removed_decisions"]), (&json!(0), &json!(1)), "{cleared}");
    assert_eq!([ask("b-key").await, ask("a-key").await], ["hit", "miss"]);
    let shown = app.send(app.client.get(format!("{}/admin/cache", app.admin_url))).await.json();
    let decisions = &shown["decisions"];
    assert_eq!((&shown["responses"], &decisions["entries"]), (&json!("off"), &json!(2)), "{shown}");
    assert_eq!((&decisions["hits"], &decisions["callers"][1]["caller"]), (&json!(2), &json!("bob")), "{shown}");
}

#[tokio::test]
async fn what_the_router_learns_is_felt_by_the_next_repetition() {
    let app = TestApp::start(one_look()).await;
    let body = chat("auto", ASK);
    let before = decide(&app, &body).await;
    assert_eq!(decide(&app, &body).await["decision_cache"], "hit");

    let report = app.post("/v1/feedback", &json!({ "decision_id": before["id"], "score": 0.0 })).await.json();
    let after = decide(&app, &body).await;

    assert_eq!((&report["learned"], &after["decision_cache"]), (&json!(true), &json!("refreshed")));
    assert_eq!(after["neighbours"]["top"][0]["item"], before["id"], "{after}");
    assert_eq!((&after["timings_us"]["encode"], &after["timings_us"]["heads"]), (&json!(0), &json!(0)), "{after}");
    let again = decide(&app, &body).await;
    assert_eq!(again["decision_cache"], "hit");
    let metrics = app.get("/metrics").await.text;
    for line in [
        "trimtab_decision_cache_lookups_total{result=\"refreshed\"} 1",
        "trimtab_decision_cache_evictions_total{why=\"outdated\"} 0",
        "trimtab_score_seconds_count{step=\"neighbours\"} 2",
        "trimtab_score_seconds_count{step=\"encode\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    let shown = app.send(app.client.get(format!("{}/admin/cache", app.admin_url))).await.json();
    assert_eq!((&shown["decisions"]["refreshed"], &shown["decisions"]["bypassed"]), (&json!(1), &json!(0)), "{shown}");
    let anew = app.client.post(format!("{}/v1/route", app.url)).header("cache-control", "no-cache");
    let anew = app.send(anew.header("content-type", "application/json").body(body.to_string())).await.json();
    assert_eq!(anew["decision_cache"], "miss");
    let anew = content(anew);
    assert_eq!((content(after), content(again)), (anew.clone(), anew), "as it would be without the cache");
}

#[tokio::test]
async fn a_hit_is_recorded_like_a_miss_and_learned_from() {
    let app = TestApp::start(one_look()).await;
    let ask = async || app.post("/v1/chat/completions", &chat("auto", ASK)).await;
    let replies: [Reply; 2] = [ask().await, ask().await];
    let words = replies.each_ref().map(|reply| reply.header("x-trimtab-decision-cache"));
    assert_eq!(words, ["miss", "hit"]);

    let id = replies[1].header("x-trimtab-decision-id").to_owned();
    let report = app.post("/v1/feedback", &json!({ "decision_id": id, "score": 0.0 })).await.json();

    assert_eq!(report["learned"], true, "its embedding is on record: {report}");
    assert_eq!(decide(&app, &chat("auto", ASK)).await["neighbours"]["top"][0]["item"], id.as_str());
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    let row = |reply: &Reply| {
        let id = reply.header("x-trimtab-decision-id");
        rows.iter().find(|row| row["prompt_id"] == id).unwrap_or_else(|| panic!("no {id} in {rows:?}"))
    };
    let (miss, hit) = (row(&replies[0]), row(&replies[1]));
    assert!(hit["embedding"].is_string() && hit["encoder"].is_string(), "{hit}");
    for field in ["prompt", "embedding", "encoder", "model", "class", "dataset"] {
        assert_eq!(hit[field], miss[field], "{field}");
    }
    let fields = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(hit), fields(miss));
}

#[tokio::test]
async fn the_caller_controls_each_request() {
    let app = TestApp::start(one_look()).await;
    let controlled = async |name: &str, value: &str| {
        let request = app.client.post(format!("{}/v1/route", app.url)).header(name, value);
        let reply = app.send(request.header("content-type", "application/json").body(chat("auto", ASK).to_string()));
        reply.await.header("x-trimtab-decision-cache").to_owned()
    };

    let words = [
        controlled("cache-control", "no-store").await,
        controlled("x-trimtab-tags", "first").await,
        controlled("x-trimtab-cache", "bypass").await,
        controlled("cache-control", "no-cache").await,
        controlled("cache-control", "only-if-cached").await,
    ];

    assert_eq!(words, ["bypass", "miss", "bypass", "miss", "hit"]);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("trimtab_decision_cache_lookups_total{result=\"bypass\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn it_can_be_switched_off_and_is_silent_where_nothing_is_scored() {
    let off = TestApp::start(one_look().with("[cache.decisions]\nenabled = false\n")).await;
    for _ in 0..2 {
        assert_eq!(decide(&off, &chat("auto", ASK)).await["decision_cache"], Value::Null);
    }
    let shown = off.send(off.client.get(format!("{}/admin/cache", off.admin_url))).await.json();
    assert_eq!(shown["decisions"], Value::Null, "{shown}");

    let on = TestApp::start(one_look()).await;
    let named = on.post("/v1/chat/completions", &chat("demo-small", ASK)).await;
    let empty = on.post("/v1/route", &chat("auto", "  ")).await;

    for reply in [named, empty] {
        assert!(reply.status == 200 && !reply.headers.contains_key("x-trimtab-decision-cache"), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_call_that_fails_says_what_decided_it_too() {
    let upstream = FakeUpstream::script([crate::support::fake::status(400)]).await;
    let app =
        TestApp::start(Setup::tiers(&[upstream.base_url()]).with("[policies.balanced]\ncareful = \"never\"\n")).await;

    let refused = app.post("/v1/chat/completions", &chat("auto", ASK)).await;

    assert_eq!((refused.status, refused.header("x-trimtab-decision-cache")), (400, "miss"));
}

/// The line without a server, so that time and the limits of looks are the test's.
struct Line {
    app: App,
    directory: TempDir,
    setup: Setup,
}

impl Line {
    fn new(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut app = build_app(&load_config(directory.path(), &setup)).unwrap();
        let settings = DecisionCacheSettings {
            ttl: Duration::from_secs(300),
            max_entries: NonZeroUsize::new(100).unwrap(),
            max_bytes: 1 << 20,
        };
        app.decisions = Some(Arc::new(DecisionCache::new(settings)));
        // However busy the machine is.
        app.careful_timeout = Duration::from_secs(60);
        Self { app, directory, setup }
    }

    fn call(ask: &str) -> Call {
        local_call(ChatRequest::from_text(&chat("auto", ask).to_string()).unwrap())
    }

    async fn decide(&self, call: &Call) -> (Option<Recall>, Routed) {
        let routed = route(&self.app, call).await.unwrap();
        (routed.recall, routed)
    }

    /// What the cache had for the ask now, and whose scores decided.
    async fn ask(&self) -> (Option<Recall>, Scorer) {
        let (recall, routed) = self.decide(&Self::call(ASK)).await;
        (recall, routed.scores.unwrap().unwrap().scorer)
    }
}

#[tokio::test]
async fn a_look_that_failed_for_want_of_time_is_taken_again() {
    let mut line = Line::new(Setup::default().with("[policies.balanced]\ncareful = \"always\"\n"));
    line.app.careful_timeout = Duration::ZERO;

    let late = [line.ask().await, line.ask().await];
    line.app.careful_timeout = Duration::from_secs(60);
    let in_time = [line.ask().await, line.ask().await];

    assert_eq!(late, [(Some(Recall::Miss), Scorer::Fast), (Some(Recall::Hit), Scorer::Fast)]);
    assert_eq!(in_time, [(Some(Recall::Miss), Scorer::Careful), (Some(Recall::Hit), Scorer::Careful)]);
    let metrics = line.app.metrics.render();
    for line in
        ["trimtab_careful_looks_total{result=\"failed\"} 2", "trimtab_score_failures_total{failure=\"deadline\"} 2"]
    {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    assert!(metrics.contains("trimtab_careful_seconds_count 3"), "what is kept is no look: {metrics}");
}

#[tokio::test]
async fn a_look_that_is_kept_is_used_only_where_one_would_be_taken() {
    let always = "[policies.balanced]\ncareful = \"always\"\n[policies.quick]\nquality = 0.5\ncareful = \"never\"\n";
    let line = Line::new(Setup::default().with(always));
    line.ask().await;
    let quick = local_call(ChatRequest::from_text(&chat("auto:quick", ASK).to_string()).unwrap());

    let (recall, routed) = line.decide(&quick).await;

    assert_eq!((recall, routed.scores.unwrap().unwrap().scorer), (Some(Recall::Hit), Scorer::Fast));
    assert_eq!(line.ask().await, (Some(Recall::Hit), Scorer::Careful));
}

#[tokio::test]
async fn another_generation_scores_anew() {
    let line = Line::new(one_look());
    assert_eq!((line.ask().await.0, line.ask().await.0), (Some(Recall::Miss), Some(Recall::Hit)));
    let config = load_config(line.directory.path(), &line.setup);
    // The same bundle, prepared once more: what counts is which generation scores, not what it is called.
    let prepared = Prepared::new(&prepare_settings(&config, &line.directory.path().join("models/default"))).unwrap();

    line.app.models.activate(prepared);

    assert_eq!((line.ask().await.0, line.ask().await.0), (Some(Recall::Miss), Some(Recall::Hit)));
    line.app.models.rollback().unwrap();
    assert_eq!(line.ask().await.0, Some(Recall::Miss));
}

#[tokio::test]
async fn scores_leave_when_their_time_is_over() {
    let line = Line::new(one_look());
    line.ask().await;
    let mut later = Line::call(ASK);
    later.admission.started += Duration::from_secs(290);
    let mut too_late = Line::call(ASK);
    too_late.admission.started += Duration::from_secs(310);

    assert_eq!(line.decide(&later).await.0, Some(Recall::Hit));
    assert_eq!(line.decide(&too_late).await.0, Some(Recall::Miss));
}
