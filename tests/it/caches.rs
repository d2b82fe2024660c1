//! The response cache from outside: who finds what, for how long, and what is never kept.

use std::fs;

use serde_json::{Value, json};
use trimtab::domain::prompt::Prompt;
use trimtab::model::registry::Prepared;
use trimtab::serve::settings::prepare_settings;
use trimtab::serve::start_runtime;

use crate::support::app::{PATIENCE, Reply, chat, copy_tree, fixtures, install_default_models, load_config};
use crate::support::fake::{self, FakeUpstream};
use crate::support::{Setup, TestApp};

const EXACT: &str = "\n[cache]\nresponses = \"exact\"\n";
const SEMANTIC: &str = "\n[cache]\nresponses = \"semantic\"\n";

fn answer(text: &str) -> fake::Reply {
    fake::json(
        &json!({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "vendor/cheap-1",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100 },
        })
        .to_string(),
    )
}

/// A body that always goes to the cheap model.
fn cheap(ask: &str) -> Value {
    with(ask, &json!({}))
}

fn with(ask: &str, extra: &Value) -> Value {
    let mut body = chat("auto", ask);
    body["trimtab"] = json!({ "quality": 0 });
    for (name, value) in extra.as_object().unwrap() {
        match value.as_object().filter(|_| name == "trimtab") {
            Some(options) => body["trimtab"].as_object_mut().unwrap().extend(options.clone()),
            None => body[name] = value.clone(),
        }
    }
    body
}

async fn ask(app: &TestApp, body: &Value) -> Reply {
    app.post("/v1/chat/completions", body).await
}

fn word(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.header("x-trimtab-cache"))
}

fn streamed_text(reply: &Reply) -> String {
    let data = reply.text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let chunks = data.map(|data| serde_json::from_str::<Value>(&format!("{{{data}")).unwrap());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_same_request_is_answered_again_without_a_call() {
    let upstream = FakeUpstream::script([answer("hello"), answer("another")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(EXACT)).await;

    let first = ask(&app, &cheap("Hi")).await;
    let again = ask(&app, &with("Hi", &json!({ "user": "u", "metadata": { "run": "2" } }))).await;
    let other = ask(&app, &cheap("Ho")).await;

    assert_eq!([word(&first), word(&again), word(&other)], [(200, "miss"), (200, "hit"), (200, "miss")]);
    assert_eq!(again.text, first.text);
    assert_eq!((again.header("x-trimtab-reason"), again.header("x-trimtab-model")), ("cached", "cheap"));
    assert_eq!(
        (again.header("x-trimtab-cost-usd"), first.header("x-trimtab-cost-usd")),
        ("0.000000000", "0.000140000")
    );
    assert_eq!((again.header("age"), again.header("content-type")), ("0", "application/json"));
    assert!(first.headers.get("age").is_none());
    assert_ne!(again.header("x-trimtab-decision-id"), first.header("x-trimtab-decision-id"));
    assert_eq!(upstream.requests().len(), 2);
    let metrics = app.get("/metrics").await.text;
    for line in [
        "trimtab_cache_lookups_total{result=\"hit\"} 1",
        "trimtab_cache_lookups_total{result=\"miss\"} 2",
        "trimtab_cache_entries 2",
        "trimtab_cache_saved_usd_total 0.00014",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn a_hit_is_recorded_as_a_call_that_cost_nothing() {
    let upstream = FakeUpstream::script([answer("hello")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(EXACT)).await;
    ask(&app, &cheap("Hi")).await;
    let hit = ask(&app, &cheap("Hi")).await;
    let id = hit.header("x-trimtab-decision-id").to_owned();

    let praised = app.post("/v1/feedback", &json!({ "decision_id": id, "score": 1.0 })).await;
    let exported = app.send(app.client.get(format!("{}/v1/feedback/export", app.admin_url))).await;

    assert_eq!(praised.status, 200, "{}", praised.text);
    let mut rows = exported.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row = rows.find(|row| row["prompt_id"] == id.as_str()).unwrap();
    assert_eq!((&row["model"], &row["class"], &row["prompt"]), (&json!("cheap"), &json!("success"), &json!("Hi")));
    assert_eq!((row["cost_usd"].as_f64(), row["score"].as_f64()), (Some(0.0), Some(1.0)));
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("trimtab_tokens_total{model=\"cheap\",kind=\"input\"} 1000\n"), "{metrics}");
}

#[tokio::test]
async fn without_configuration_nothing_is_kept() {
    let upstream = FakeUpstream::script([answer("hello")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()])).await;

    ask(&app, &cheap("Hi")).await;
    let again = ask(&app, &cheap("Hi")).await;
    let only = ask(&app, &with("Hi", &json!({ "trimtab": { "cache": "only-if-cached" } }))).await;

    assert!(again.headers.get("x-trimtab-cache").is_none());
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(only.error(), (504, "not_cached".to_owned(), Some("trimtab.cache".to_owned())));
    assert!(only.text.contains("cache.responses") && only.header("x-should-retry") == "false", "{}", only.text);
}

#[tokio::test]
async fn callers_never_read_each_others_answers() {
    let upstream = FakeUpstream::script([answer("for alice"), answer("for bob")]).await;
    let keys = "[[server.keys]]\nname = \"alice\"\nkey = { env = \"A\" }\n[[server.keys]]\nname = \"bob\"\nkey = { env = \"B\" }\n";
    let setup = Setup::tiers(&[upstream.base_url()]).with(SEMANTIC).with(keys);
    let environment = [("A", "a-key"), ("B", "b-key")].map(|(name, key)| (name.to_owned(), key.to_owned())).to_vec();
    let app = TestApp::start(Setup { environment, ..setup }).await;
    let ask = async |key: &str, ask: &str| {
        let request = app.client.post(format!("{}/v1/chat/completions", app.url)).bearer_auth(key);
        app.send(request.header("content-type", "application/json").body(cheap(ask).to_string())).await
    };

    let first = ask("a-key", "Explain the planets").await;
    let bobs = [ask("b-key", "Explain the planets").await, ask("b-key", "explain the planets!").await];
    let alices = ask("a-key", "Explain the planets").await;

    assert_eq!((word(&first), word(&bobs[0]), word(&alices)), ((200, "miss"), (200, "miss"), (200, "hit")));
    assert!(bobs.iter().all(|reply| reply.text.contains("for bob")) && alices.text.contains("for alice"));
    let cleared = app.send(app.client.delete(format!("{}/admin/cache?caller=alice", app.admin_url))).await.json();
    assert_eq!(cleared["removed"], 1);
    let shown = app.send(app.client.get(format!("{}/admin/cache", app.admin_url))).await.json();
    assert_eq!((&shown["responses"], &shown["similarity"]), (&json!("semantic"), &json!(0.6)));
    assert_eq!((&shown["callers"][0]["caller"], &shown["callers"][1]), (&json!("bob"), &Value::Null), "{shown}");
    let wrong = app.send(app.client.delete(format!("{}/admin/cache?caler=bob", app.admin_url))).await;
    assert_eq!(wrong.error(), (400, "invalid_request".to_owned(), Some("caller".to_owned())));
}

#[tokio::test]
async fn the_caller_controls_each_request() {
    let upstream = FakeUpstream::script(["one", "two", "three", "four"].map(answer)).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(EXACT)).await;
    let controlled = async |name: &str, value: &str| {
        let request = app.client.post(format!("{}/v1/chat/completions", app.url)).header(name, value);
        app.send(request.header("content-type", "application/json").body(cheap("Hi").to_string())).await
    };

    let early = controlled("x-trimtab-cache", "only-if-cached").await;
    let filled = controlled("x-trimtab-quality", "0").await;
    let bypassed = controlled("cache-control", "no-store").await;
    let only = controlled("cache-control", "only-if-cached").await;
    let refreshed = controlled("x-trimtab-cache", "refresh").await;
    let last = controlled("x-trimtab-quality", "0").await;
    let wrong = controlled("x-trimtab-cache", "perhaps").await;

    assert_eq!(early.error(), (504, "not_cached".to_owned(), Some("trimtab.cache".to_owned())));
    assert_eq!((word(&filled), word(&bypassed), word(&only)), ((200, "miss"), (200, "bypass"), (200, "hit")));
    assert!(bypassed.text.contains("two") && only.text.contains("one"));
    assert_eq!((word(&refreshed), word(&last)), ((200, "miss"), (200, "hit")));
    assert!(refreshed.text.contains("three") && last.text.contains("three"));
    assert_eq!(wrong.error(), (400, "invalid_request".to_owned(), Some("trimtab.cache".to_owned())));
}

#[tokio::test]
async fn streams_fill_the_cache_and_are_replayed_from_it() {
    let upstream = FakeUpstream::script([fake::events_reply(&[
        r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"vendor/cheap-1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"vendor/cheap-1","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"vendor/cheap-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"vendor/cheap-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
        "[DONE]",
    ])])
    .await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(EXACT)).await;
    let stream = with("Hi", &json!({ "stream": true }));
    let counted = with("Hi", &json!({ "stream": true, "stream_options": { "include_usage": true } }));

    let first = ask(&app, &stream).await;
    let replayed = ask(&app, &stream).await;
    let counted = ask(&app, &counted).await;
    let whole = ask(&app, &cheap("Hi")).await;

    assert_eq!(
        [&first, &replayed, &counted, &whole].map(word),
        [(200, "miss"), (200, "hit"), (200, "hit"), (200, "hit")]
    );
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(replayed.header("content-type"), "text/event-stream");
    assert_eq!(
        replayed.header("content-length"),
        replayed.text.len().to_string(),
        "in one piece, for which nobody waits"
    );
    assert_eq!([&first, &replayed, &counted].map(streamed_text), ["Hello", "Hello", "Hello"]);
    assert!(replayed.text.ends_with("data: [DONE]\n\n") && !replayed.text.contains("usage"), "{}", replayed.text);
    assert!(counted.text.contains("\"total_tokens\":11"), "{}", counted.text);
    let whole = whole.json();
    assert_eq!((&whole["choices"][0]["message"]["content"], &whole["model"]), (&json!("Hello"), &json!("cheap")));
    assert_eq!(whole["usage"]["prompt_tokens"], 9);
}

#[tokio::test]
async fn what_is_cut_refused_filtered_or_an_error_is_never_kept() {
    let unfit = |message: Value, reason: &str| {
        let choice = json!({ "index": 0, "message": message, "finish_reason": reason });
        fake::json(&json!({ "id": "c", "model": "m", "choices": [choice] }).to_string())
    };
    let cases = [
        (json!({ "stream": true }), fake::sse(&["Hel", "lo"]).cut_after(2)),
        (json!({}), fake::status(400)),
        (json!({}), unfit(json!({ "role": "assistant", "content": null, "refusal": "no" }), "stop")),
        (json!({}), unfit(json!({ "role": "assistant", "content": "half" }), "content_filter")),
        (
            json!({}),
            unfit(json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "t" }] }), "tool_calls"),
        ),
        (json!({ "temperature": 0.7 }), answer("warm")),
        (json!({ "store": true }), answer("stored")),
    ];
    for (extra, reply) in cases {
        let good = if extra["stream"] == true { fake::sse(&["good"]) } else { answer("good") };
        let upstream = FakeUpstream::script([reply, good]).await;
        let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(EXACT)).await;

        ask(&app, &with("Hi", &extra)).await;
        let again = ask(&app, &with("Hi", &extra)).await;

        assert_eq!(upstream.requests().len(), 2, "{extra}");
        assert!(again.text.contains("good"), "{extra}: {}", again.text);
    }
}

#[tokio::test]
async fn what_a_fallback_said_does_not_outlive_the_emergency() {
    let (first, last) =
        (FakeUpstream::script([fake::status(401)]).await, FakeUpstream::script([answer("stand-in")]).await);
    let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()]).with(EXACT)).await;

    let replies = [ask(&app, &cheap("Hi")).await, ask(&app, &cheap("Hi")).await];

    assert!(replies.iter().all(|reply| reply.header("x-trimtab-model") == "dear"));
    assert_eq!(replies.each_ref().map(word), [(200, "miss"), (200, "miss")]);
}

/// What is kept for one dialect is no use to another that cannot say it.
#[tokio::test]
async fn a_kept_answer_that_cannot_be_told_anew_is_none() {
    let strange = fake::json(
        r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":1,"message":{"role":"assistant","content":"odd"},"finish_reason":"stop"}]}"#,
    );
    for path in ["/v1/messages", "/v1/responses"] {
        let upstream = FakeUpstream::script([strange.clone(), answer("hello")]).await;
        let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(EXACT)).await;
        let mut body = cheap("Hi");
        let first = ask(&app, &body).await;
        let again = ask(&app, &body).await;
        if path == "/v1/responses" {
            body["input"] = body.as_object_mut().unwrap().remove("messages").unwrap();
        }

        let (other, kept) = (app.post(path, &body).await, app.post(path, &body).await);

        assert_eq!([&first, &again].map(word), [(200, "miss"), (200, "hit")], "{}", again.text);
        assert_eq!([&other, &kept].map(word), [(200, "miss"), (200, "hit")], "{path}: {}", other.text);
        assert!(other.text.contains("hello") && kept.text.contains("hello"), "{}", kept.text);
        assert_eq!(upstream.requests().len(), 2);
        let metrics = app.get("/metrics").await.text;
        assert!(metrics.contains("trimtab_cache_lookups_total{result=\"hit\"} 2\n"), "{metrics}");
    }
}

#[tokio::test]
async fn an_answer_that_failed_its_check_is_not_given_again() {
    let policies = "\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\nmust_match = ['yes']\n\
                    [policies.form]\nquality = 0\nfallback_on = ['invalid_json']\n";
    for (policy, again) in [("auto:frugal", "yes"), ("auto:form", "[\"yes\"]")] {
        let first = FakeUpstream::script([answer("maybe"), answer(again)]).await;
        let last = FakeUpstream::script([fake::status(503)]).await;
        let app = TestApp::start(Setup::tiers(&[first.base_url(), last.base_url()]).with(EXACT).with(policies)).await;
        let mut body = chat(policy, "Hi");
        body["response_format"] = json!({ "type": "json_object" });

        let replies = [ask(&app, &body).await, ask(&app, &body).await, ask(&app, &body).await];

        assert_eq!(replies.each_ref().map(word), [(200, "miss"), (200, "miss"), (200, "hit")], "{policy}");
        assert!(replies[0].text.contains("maybe") && replies[2].text.contains("yes"), "{}", replies[2].text);
    }
}

#[tokio::test]
async fn similar_requests_share_an_answer_and_near_misses_do_not() {
    let upstream = FakeUpstream::script([answer("first"), answer("second")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(SEMANTIC)).await;
    let planet = "Which planet is the largest?";

    let first = ask(&app, &cheap(planet)).await;
    let similar = ask(&app, &cheap("which planet is largest")).await;
    let other = ask(&app, &cheap("Which planet is not the largest?")).await;
    let elsewhere = ask(&app, &with("which planet is largest!", &json!({ "max_tokens": 5 }))).await;

    assert_eq!([&first, &similar].map(word), [(200, "miss"), (200, "semantic")], "{}", similar.text);
    assert!(similar.text.contains("first") && similar.headers.contains_key("age"));
    assert_eq!([&other, &elsewhere].map(word), [(200, "miss"), (200, "miss")]);
}

#[tokio::test]
async fn what_a_model_asked_for_by_name_said_is_found_by_similar_requests_too() {
    let upstream = FakeUpstream::script([answer("first"), answer("second")]).await;
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(SEMANTIC)).await;

    let first = ask(&app, &chat("cheap", "Which planet is the largest?")).await;
    let similar = ask(&app, &chat("cheap", "which planet is largest")).await;
    let elsewhere = ask(&app, &cheap("which planet is largest")).await;

    // Nothing was scored for a model asked for by name, so that the ask was embedded for the cache alone.
    assert_eq!([&first, &similar, &elsewhere].map(word), [(200, "miss"), (200, "semantic"), (200, "miss")]);
}

/// The figures that `src/cache/guard.rs` gives for the shipped encoder. Where a new encoder changes them, they are to be told anew there.
#[test]
fn no_cosine_tells_one_answer_from_two() {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().join("models");
    install_default_models(&models);
    let config = load_config(directory.path(), &Setup::default());
    start_runtime(&config).unwrap();
    let prepared = Prepared::new(&prepare_settings(&config, &models.join("default"))).unwrap();
    let embed = |text: &str| prepared.generation().embed(&Prompt::from_ask(text)).unwrap();
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for line in include_str!("../../src/cache/guard/pairs.txt").lines().filter(|line| line.contains(" | ")) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let cosine = embed(parts[1]).cosine(&embed(parts[2]));
        if parts[0] == "=" { same.push(cosine) } else { other.push(cosine) }
    }
    let at_least = |cosines: &[f32], least: f32| cosines.iter().filter(|cosine| **cosine >= least).count();

    let figures = |cosines: &[f32]| (cosines.len(), at_least(cosines, 0.9995), at_least(cosines, 0.95));
    assert_eq!([figures(&other), figures(&same)], [(62, 8, 25), (30, 0, 6)]);
}

#[tokio::test]
async fn a_bundle_with_another_encoder_empties_what_is_similar() {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().join("models");
    install_default_models(&models);
    fs::rename(models.join("default"), models.join("other")).unwrap();
    copy_tree(&fixtures().join("encoders"), &models.join("encoders"));
    copy_tree(&fixtures().join("bundles/tiny"), &models.join("default"));
    let upstream = FakeUpstream::script([answer("hello")]).await;
    let setup = Setup::tiers(&[upstream.base_url()]).with(SEMANTIC);
    let app = TestApp::start_in(directory, setup).await.unwrap();
    ask(&app, &cheap("Which planet is the largest?")).await;
    assert_eq!(word(&ask(&app, &cheap("which planet is largest")).await), (200, "semantic"));

    fs::write(models.join("CURRENT"), "other\ndefault\n").unwrap();
    let swapped = tokio::time::timeout(PATIENCE, async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        while app.get("/health/ready").await.json()["bundle"] == "tiny" {
            looks.tick().await;
        }
    });
    swapped.await.unwrap();

    assert_eq!(word(&ask(&app, &cheap("which planet is largest?")).await), (200, "miss"));
    assert_eq!(word(&ask(&app, &cheap("Which planet is the largest?")).await), (200, "hit"));
    assert_eq!(word(&ask(&app, &cheap("which planet is the largest!")).await), (200, "semantic"));
}
