//! The loop, end to end: decisions, feedback, export, training, gates, promotion without a dropped request, better decisions.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::app::{PATIENCE, chat, install_default_models, trimtab};
use crate::support::{Reply, Setup, TestApp};

/// The users' hidden preference: the small model is fine for greetings and useless for numbers.
const GREETINGS: [&str; 4] = ["hello there my friend", "good morning to you", "how are you today", "nice to meet you"];
const NUMBERS: [&str; 4] = ["add the numbers", "multiply the digits", "divide the sum", "count the integers"];

/// A training takes seconds; a busy machine gets much more.
const TRAINED_WITHIN: Duration = Duration::from_secs(600);

/// Prompts of one kind, no two alike.
fn prompts<'a>(kind: &'a [&str], count: usize, from: usize) -> impl Iterator<Item = String> + 'a {
    (from..from + count).map(|i| {
        let words = ["one", "two", "red", "blue", "far", "near", "old"];
        format!("{} {} {}", kind[i % kind.len()], words[i % 7].repeat(1 + i % 3), words[i / 7 % 7].repeat(1 + i / 49))
    })
}

/// A caller, by its key where callers have keys.
#[derive(Clone, Copy)]
struct Caller(Option<&'static str>);

const ANYONE: Caller = Caller(None);

impl Caller {
    async fn post(self, app: &TestApp, path: &str, body: &Value) -> Reply {
        let request = app.client.post(format!("{}{path}", app.url)).header("content-type", "application/json");
        let request = match self.0 {
            Some(key) => request.header("x-api-key", key),
            None => request,
        };
        app.send(request.body(body.to_string())).await
    }

    /// Asks for the small model and judges it.
    async fn use_and_judge(self, app: &TestApp, prompt: &str, success: bool) {
        let mut body = chat("auto", prompt);
        body["trimtab"] = json!({ "candidates": ["demo-small"] });
        let decision = self.post(app, "/v1/route", &body).await.json();
        let report = json!({ "decision_id": decision["id"], "success": success, "source": "human" });
        assert_eq!(self.post(app, "/v1/feedback", &report).await.status, 200);
    }

    /// How much better the small model is believed to be at greetings than at numbers, on prompts that nobody gave feedback on.
    async fn preference(self, app: &TestApp) -> f64 {
        let mut means = Vec::new();
        for kind in [&GREETINGS, &NUMBERS] {
            let mut total = 0.0;
            for prompt in prompts(kind, 8, 1_000) {
                let decision = self.post(app, "/v1/route", &chat("auto:economy", &prompt)).await.json();
                total += decision["candidates"][0]["success"].as_f64().unwrap();
            }
            means.push(total / 8.0);
        }
        means[0] - means[1]
    }
}

async fn everybody_judges(app: &TestApp, callers: &[Caller]) {
    for (kind, success) in [(&GREETINGS, true), (&NUMBERS, false)] {
        for (at, prompt) in prompts(kind, 100, 0).enumerate() {
            callers[at % callers.len()].use_and_judge(app, &prompt, success).await;
        }
    }
}

async fn admin(app: &TestApp, method: reqwest::Method, path: &str, body: &str) -> Reply {
    let request = app.client.request(method, format!("{}{path}", app.admin_url));
    app.send(request.header("content-type", "application/json").body(body.to_owned())).await
}

/// Waits for the training to end and gives the job.
async fn trained(app: &TestApp) -> Value {
    let waited = tokio::time::timeout(TRAINED_WITHIN, async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            let job = admin(app, reqwest::Method::GET, "/admin/train", "").await.json()["job"].clone();
            if job["state"] != "running" {
                return job;
            }
        }
    });
    waited.await.expect("the training ends in time")
}

async fn serving(app: &TestApp, bundle: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        while app.get("/health/ready").await.json()["bundle"] != bundle {
            looks.tick().await;
        }
    });
    waited.await.expect("it serves in time");
}

fn home() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    directory
}

fn hidden_files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_makes_the_next_bundle_better_by_the_command_line() {
    let app = TestApp::start_in(home(), Setup::default()).await.unwrap();
    let before = ANYONE.preference(&app).await;
    everybody_judges(&app, &[ANYONE]).await;
    let directory = app.stop().await;

    fs::write(directory.path().join("trimtab.toml"), "[store]\npath = \"trimtab.db\"\n").unwrap();
    let train = ["train", "--base", "models/default", "--feedback", "feedback.parquet", "--out", "models/bundles/mine"];
    let steps: [&[&str]; 3] = [
        &["export", "--with-feedback", "--format", "parquet", "--out", "feedback.parquet"],
        &[&train[..], &["--id", "mine"]].concat(),
        &["bundle", "promote", "mine"],
    ];
    for step in steps {
        let (code, out, error) = trimtab(directory.path(), step, "");
        assert_eq!(code, Some(0), "{step:?}\n{out}\n{error}");
    }
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();

    assert_eq!(app.get("/health/ready").await.json()["bundle"], "mine");
    let after = ANYONE.preference(&app).await;
    assert!(after > before + 0.1, "the retrained bundle does not know the preference: {before} before, {after} after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_retrains_itself_and_swaps_without_a_dropped_request() {
    let app = Arc::new(TestApp::start_in(home(), Setup::default()).await.unwrap());
    let before = ANYONE.preference(&app).await;
    everybody_judges(&app, &[ANYONE]).await;
    let (tasks, swapped) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
    let worker = {
        let (app, swapped) = (Arc::clone(&app), Arc::clone(&swapped));
        tasks.spawn(async move {
            let mut bundles = Vec::new();
            while !swapped.load(Ordering::Relaxed) {
                let reply = app.post("/v1/route", &chat("auto", "Which planet is largest?")).await;
                assert_eq!(reply.status, 200, "{}", reply.text);
                bundles.push(reply.json()["bundle"].as_str().unwrap().to_owned());
            }
            bundles.dedup();
            bundles
        })
    };

    let started = admin(&app, reqwest::Method::POST, "/admin/train", r#"{"id": "next", "promote": true}"#).await;
    let second = admin(&app, reqwest::Method::POST, "/admin/train", "{}").await;
    let events = app.client.get(format!("{}/admin/train/events", app.admin_url)).send().await.unwrap();
    let events = tokio::time::timeout(TRAINED_WITHIN, events.text()).await.expect("the job ends").unwrap();
    let job = trained(&app).await;

    assert_eq!((started.status, &started.json()["state"]), (202, &json!("running")));
    assert_eq!(second.error().1, "training_running", "one at a time");
    assert!(events.starts_with("event: job\ndata: {") && events.contains("succeeded"), "{events}");
    assert_eq!((&job["state"], &job["promoted"]), (&json!("succeeded"), &json!(true)), "{job}");
    let names: Vec<&str> = job["gates"].as_array().unwrap().iter().map(|gate| gate["name"].as_str().unwrap()).collect();
    for name in ["predicts no worse", "calibrated", "neighbours found", "golden rows", "latency"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let moved = &job["report"]["moved"];
    assert!(moved["unseen"] == true && !moved["positions"].as_array().unwrap().is_empty(), "{moved}");
    serving(&app, "next").await;
    swapped.store(true, Ordering::Relaxed);
    assert_eq!(worker.await.unwrap(), ["default-1", "next"]);
    let after = ANYONE.preference(&app).await;
    assert!(after > before + 0.1, "{before} before, {after} after");
    assert!(hidden_files(app.directory.path()).is_empty(), "the job's own export is gone");

    let rolled = admin(&app, reqwest::Method::POST, "/admin/bundle/rollback", "").await.json();
    assert_eq!(rolled["path"], "default");
    serving(&app, "default-1").await;
    let listed = admin(&app, reqwest::Method::GET, "/admin/bundles", "").await.json();
    let ids: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|bundle| &bundle["summary"]["id"]).collect();
    assert_eq!(ids, [&json!("default-1"), &json!("next")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_false_verdicts_is_held_to_its_share_and_reported() {
    const KEYS: [&str; 6] = ["key-a", "key-b", "key-c", "key-d", "key-e", "key-flood"];
    let names = ["a", "b", "c", "d", "e", "flood"];
    let mut setup = Setup::default();
    for (name, key) in names.into_iter().zip(KEYS) {
        let variable = format!("KEY_{}", name.to_uppercase());
        setup = setup.with(&format!("[[server.keys]]\nname = \"{name}\"\nkey = {{ env = \"{variable}\" }}\n"));
        setup.environment.push((variable, key.to_owned()));
    }
    let app = TestApp::start_in(home(), setup).await.unwrap();
    let [honest @ .., flood] = KEYS.map(|key| Caller(Some(key)));
    everybody_judges(&app, &honest).await;
    // The opposite of what everybody else says, twice as often.
    for (kind, success) in [(&GREETINGS, false), (&NUMBERS, true)] {
        for prompt in prompts(kind, 200, 100) {
            flood.use_and_judge(&app, &prompt, success).await;
        }
    }

    assert_eq!(admin(&app, reqwest::Method::POST, "/admin/train", r#"{"id": "held"}"#).await.status, 202);
    let job = trained(&app).await;
    let promoted =
        admin(&app, reqwest::Method::POST, "/admin/bundle/promote", r#"{"id": "held", "force": true}"#).await;

    let influence = &job["report"]["influence"];
    let caller = |name: &str| {
        influence["callers"].as_array().unwrap().iter().find(|caller| caller["caller"] == name).unwrap().clone()
    };
    let flood = caller("flood");
    assert!(flood["given"].as_f64().unwrap() > 0.6, "{influence}");
    assert!(flood["counted"].as_f64().unwrap() <= 0.2 + 1e-6, "{influence}");
    assert!(caller("a")["counted"].as_f64().unwrap() > 0.15, "{influence}");
    let indexed = flood["indexed"].as_f64().unwrap() / influence["indexed"].as_f64().unwrap();
    assert!(indexed < 0.3, "{indexed} of the new items are the flood's");
    assert!(job["gates"].as_array().is_some_and(|gates| gates.len() >= 6), "{job}");
    assert_eq!(promoted.status, 200, "{}", promoted.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_failed_a_gate_serves_only_by_force() {
    let directory = home();
    let bundle = directory.path().join("models/bundles/poor");
    crate::support::app::copy_tree(&directory.path().join("models/default"), &bundle);
    fail_a_gate(&bundle);
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();

    let (code, _, error) = trimtab(app.directory.path(), &["bundle", "promote", "poor"], "");
    let refused = admin(&app, reqwest::Method::POST, "/admin/bundle/promote", r#"{"id": "poor"}"#).await;
    let forced = admin(&app, reqwest::Method::POST, "/admin/bundle/promote", r#"{"id": "poor", "force": true}"#).await;

    assert_eq!(code, Some(1));
    assert!(error.contains("--force") && error.contains("it answers backwards"), "{error}");
    assert_eq!(refused.error().1, "gates_failed");
    assert!(refused.text.contains("it answers backwards"), "{}", refused.text);
    assert_eq!(forced.status, 200, "{}", forced.text);
    serving(&app, "poor").await;
}

/// Makes the bundle one whose report says that a gate failed.
fn fail_a_gate(bundle: &Path) {
    use sha2::{Digest, Sha256};
    let report =
        json!({ "gates": [{ "name": "predicts no worse", "passed": false, "detail": "it answers backwards" }] });
    let report = report.to_string();
    fs::write(bundle.join("report.json"), &report).unwrap();
    let path = bundle.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["id"] = json!("poor");
    let digest: String = Sha256::digest(report.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let files = manifest["files"].as_array_mut().unwrap();
    files.retain(|file| file["path"] != "report.json");
    files.push(json!({ "path": "report.json", "sha256": digest, "bytes": report.len() }));
    fs::write(path, manifest.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_cannot_start_or_is_ended_leaves_nothing() {
    let app = TestApp::start_in(home(), Setup::default()).await.unwrap();
    everybody_judges(&app, &[ANYONE]).await;
    let post = async |body: &str| admin(&app, reqwest::Method::POST, "/admin/train", body).await;

    for (body, status, param) in [
        (r#"{"id": "../../etc"}"#, 400, Some("id")),
        (r#"{"export": "../trimtab.db"}"#, 400, Some("export")),
        (r#"{"export": "none.jsonl"}"#, 404, Some("export")),
        (r#"{"bundle": "x"}"#, 400, None),
    ] {
        let (found, _, field) = post(body).await.error();
        assert_eq!((found, field.as_deref()), (status, param), "{body}");
    }
    let plain = app.send(app.client.post(format!("{}/admin/train", app.admin_url))).await;
    assert_eq!(plain.status, 415, "a page in a browser could send it");
    assert_eq!(admin(&app, reqwest::Method::DELETE, "/admin/train", "").await.status, 404);

    assert_eq!(post(r#"{"id": "never"}"#).await.status, 202);
    assert_eq!(admin(&app, reqwest::Method::DELETE, "/admin/train", "").await.status, 202);
    let job = trained(&app).await;

    assert_eq!(job["state"], "cancelled", "{job}");
    let bundles = app.directory.path().join("models/bundles");
    assert_eq!(fs::read_dir(bundles).map_or(0, Iterator::count), 0);
    assert!(hidden_files(app.directory.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_was_put_there_is_learned_from() {
    let app = TestApp::start_in(home(), Setup::default()).await.unwrap();
    let exports = app.directory.path().join("exports");
    fs::create_dir(&exports).unwrap();
    let row = json!({ "prompt_id": "one", "prompt": "a prompt", "model": "demo-small", "tier": "small", "score": 7 });
    fs::write(exports.join("told.jsonl"), row.to_string()).unwrap();

    let body = r#"{"id": "told", "export": "told.jsonl"}"#;
    assert_eq!(admin(&app, reqwest::Method::POST, "/admin/train", body).await.status, 202);
    let job = trained(&app).await;

    assert_eq!(job["state"], "failed");
    let problem = job["problem"].as_str().unwrap();
    assert!(problem.contains("told.jsonl") && problem.contains("row 1") && problem.contains("`score`"), "{problem}");
}
