//! The loop, end to end: decisions, feedback, export, training, promotion without a dropped request, better decisions.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{chat, install_default_models, trimtab};
use crate::support::{Setup, TestApp};

/// The users' hidden preference: the small model is fine for greetings and useless for numbers.
const GREETINGS: [&str; 4] = ["hello there my friend", "good morning to you", "how are you today", "nice to meet you"];
const NUMBERS: [&str; 4] = ["add the numbers", "multiply the digits", "divide the sum", "count the integers"];

/// Prompts of one kind, no two alike.
fn prompts<'a>(kind: &'a [&str], count: usize, from: usize) -> impl Iterator<Item = String> + 'a {
    (from..from + count).map(|i| {
        format!(
            "{} {}",
            kind[i % kind.len()],
            ["one", "two", "red", "blue", "far", "near", "old"][i % 7].repeat(1 + i % 3)
        )
    })
}

async fn decide(app: &TestApp, prompt: &str) -> Value {
    app.post("/v1/route", &chat("auto:economy", prompt)).await.json()
}

/// How much better the small model is believed to be at greetings than at numbers, on prompts that nobody gave feedback on.
async fn preference(app: &TestApp) -> f64 {
    let mut means = Vec::new();
    for kind in [&GREETINGS, &NUMBERS] {
        let mut total = 0.0;
        for prompt in prompts(kind, 8, 1_000) {
            total += decide(app, &prompt).await["candidates"][0]["success"].as_f64().unwrap();
        }
        means.push(total / 8.0);
    }
    means[0] - means[1]
}

async fn use_and_judge(app: &TestApp) {
    for (kind, success) in [(&GREETINGS, true), (&NUMBERS, false)] {
        for prompt in prompts(kind, 60, 0) {
            let mut body = chat("demo-small", &prompt);
            body["model"] = json!("auto");
            body["trimtab"] = json!({ "candidates": ["demo-small"] });
            let decision = app.post("/v1/route", &body).await.json();
            let report = json!({ "decision_id": decision["id"], "success": success, "source": "human" });
            assert_eq!(app.post("/v1/feedback", &report).await.status, 200);
        }
    }
}

fn retrain(directory: &Path) {
    fs::write(directory.join("trimtab.toml"), "[store]\npath = \"trimtab.db\"\n").unwrap();
    let steps: [&[&str]; 3] = [
        &["export", "--with-feedback", "--out", "feedback.jsonl"],
        &[
            "train",
            "--base",
            "models/default",
            "--feedback",
            "feedback.jsonl",
            "--out",
            "models/bundles/mine",
            "--id",
            "mine",
        ],
        &["bundle", "promote", "models/bundles/mine"],
    ];
    for step in steps {
        let (code, out, error) = trimtab(directory, step, "");
        assert_eq!(code, Some(0), "{step:?}\n{out}\n{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_makes_the_next_bundle_better() {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();
    let before = preference(&app).await;
    use_and_judge(&app).await;
    let directory = app.stop().await;

    retrain(directory.path());
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();

    assert_eq!(app.get("/health/ready").await.json()["bundle"], "mine");
    let after = preference(&app).await;
    assert!(after > before + 0.1, "the retrained bundle does not know the preference: {before} before, {after} after");
}
