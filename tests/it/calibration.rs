//! Onboarding a model and setting the dial, from outside.

use std::fs;

use serde_json::{Value, json};

use crate::support::app::{install_default_models, trimtab};

fn home() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    fs::write(directory.path().join("trimtab.toml"), "[store]\npath = \"trimtab.db\"\n").unwrap();
    directory
}

/// Outcomes of two models on prompts of our own: arithmetic is hard for the small one.
fn outcomes(prompts: usize) -> String {
    let row = |at: usize| {
        let hard = at.is_multiple_of(2);
        let prompt = if hard {
            format!("Prove that {} is not the square of an integer, and explain every step.", 3 * at + 2)
        } else {
            format!("Name a town on a river and say in one sentence why people like it, number {at}.")
        };
        let small = f64::from(u8::from(!hard || at.is_multiple_of(5)));
        let one = |model: &str, score: f64| {
            json!({ "prompt_id": at.to_string(), "prompt": prompt, "model": model, "score": score }).to_string()
        };
        format!(
            "{}\n{}\n",
            one("newcomer-small", small),
            one("newcomer-large", f64::from(u8::from(!at.is_multiple_of(17))))
        )
    };
    (0..prompts).map(row).collect()
}

#[test]
fn a_model_is_onboarded_and_then_known_to_decisions() {
    let home = home();
    fs::write(home.path().join("labels.jsonl"), outcomes(80)).unwrap();
    let run = |arguments: &[&str]| trimtab(home.path(), arguments, "");

    let (code, out, error) = run(&[
        "onboard",
        "--model",
        "newcomer-small",
        "--outcomes",
        "labels.jsonl",
        "--tier",
        "small",
        "--out",
        "models/bundles/more",
        "--json",
    ]);
    let (_, text, _) = run(&["onboard", "--model", "newcomer-large", "--anchors", "7"]);
    let (refused, _, why) =
        run(&["onboard", "--model", "nobody", "--outcomes", "labels.jsonl", "--out", "models/bundles/never"]);
    let (sound, _, unsound) = run(&["bundle", "verify", "models/bundles/more"]);

    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(report["labels"], 80);
    assert!(report["labels_missing"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(
        text.lines().filter(|line| serde_json::from_str::<Value>(line).unwrap()["prompt"].is_string()).count(),
        7
    );
    assert_eq!(refused, Some(1));
    assert!(why.contains("`nobody`") && !home.path().join("models/bundles/never").exists(), "{why}");
    assert_eq!(sound, Some(0), "{unsound}");
}

#[test]
fn a_dial_is_set_from_outcomes_and_its_snippet_is_a_sound_configuration() {
    let home = home();
    fs::write(home.path().join("traffic.jsonl"), outcomes(300)).unwrap();
    let two = ["--weak", "newcomer-small", "--strong", "newcomer-large", "--outcomes", "traffic.jsonl"];
    let run = |goal: &[&str]| {
        let arguments: Vec<&str> = ["calibrate"].into_iter().chain(two).chain(goal.iter().copied()).collect();
        trimtab(home.path(), &arguments, "")
    };

    let (code, out, error) = run(&["--share-strong", "0.5", "--json"]);
    let (_, people, _) = run(&["--share-strong", "0.5"]);
    let (_, _, unpriced) = run(&["--max-cost-per-1k", "1"]);
    let (_, _, none) = run(&[]);

    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(out.trim()).unwrap();
    assert!((report["share_up"]["value"].as_f64().unwrap() - 0.5).abs() < 0.1, "{report}");
    assert_eq!(report["basis"], "outcomes");
    assert!(people.contains("[policies.calibrated]") && people.contains("assumed:"), "{people}");
    assert!(unpriced.contains("has no price"), "{unpriced}");
    assert!(none.contains("--target-quality"), "{none}");
    let toml = format!("[store]\npath = \"trimtab.db\"\n{}", report["toml"].as_str().unwrap());
    fs::write(home.path().join("trimtab.toml"), toml).unwrap();
    let (sound, _, problem) = trimtab(home.path(), &["serve", "--check"], "");
    assert_eq!(sound, Some(0), "{problem}");
}

#[test]
fn a_decision_says_where_the_estimate_of_an_unknown_model_comes_from() {
    let home = home();

    let (_, out, error) = trimtab(home.path(), &["route", "--json", "What is the capital of Portugal?"], "");

    let decision: Value = serde_json::from_str(out.trim()).unwrap_or_else(|_| panic!("{out}{error}"));
    for candidate in decision["candidates"].as_array().unwrap() {
        assert_eq!(candidate["known"], false, "{candidate}");
        assert!(["tier", "price"].contains(&candidate["estimated_from"].as_str().unwrap()), "{candidate}");
    }
}
