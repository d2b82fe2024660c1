//! `trimtab eval` from outside: figures, the page, the comparison, and what it says to bad input.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{install_default_models, trimtab};

/// A home with the shipped bundle and outcomes of three models on prompts made up here.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    install_default_models(&home.path().join("models"));
    fs::write(home.path().join("outcomes.jsonl"), outcomes(160).join("\n")).unwrap();
    home
}

/// The small model fails on sums, the large one seldom fails, the third is like the large one and dearer.
fn outcomes(prompts: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for at in 0..prompts {
        let hard = at % 2 == 0;
        let prompt = if hard {
            format!("Compute {at} times {} and prove that the sum of its digits is divisible by three.", at * 7 + 3)
        } else {
            format!("Say hello to visitor number {at} in one friendly sentence.")
        };
        let small = u8::from(!hard || at % 10 == 0);
        for (model, score, cost) in
            [("tiny", small, 0.001), ("big", u8::from(at % 12 != 0), 0.02), ("bigger", u8::from(at % 15 != 0), 0.03)]
        {
            let row = json!({
                "prompt_id": at.to_string(), "prompt": prompt, "model": model, "score": score, "cost_usd": cost,
                "dataset": if hard { "sums" } else { "greetings" },
            });
            lines.push(row.to_string());
        }
    }
    lines
}

const PAIR: [&str; 4] = ["--weak", "tiny", "--strong", "big"];

fn eval(home: &Path, extra: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["eval", "--bootstrap", "50", "--bundle", "models/default"];
    if !extra.contains(&"--outcomes") {
        all.extend(["--outcomes", "outcomes.jsonl"]);
    }
    all.extend(extra);
    trimtab(home, &all, "")
}

fn figures(home: &Path, extra: &[&str]) -> Value {
    let (code, out, error) = eval(home, &[&["--json"], extra].concat());
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn two_models_are_measured_with_baselines_slices_and_intervals() {
    let home = home();

    let report = figures(home.path(), &PAIR);

    for key in [
        "n",
        "weak",
        "strong",
        "apgr",
        "apgr_ci",
        "cpt50",
        "cpt80",
        "auc",
        "ece",
        "oracle_apgr",
        "random_apgr",
        "p50_us",
    ] {
        assert!(!report[key].is_null(), "no `{key}` in {report}");
    }
    assert_eq!(report["n"], 160);
    assert_eq!(report["costs"]["source"], "columns");
    let low = report["apgr_ci"][0].as_f64().unwrap();
    let apgr = report["apgr"].as_f64().unwrap();
    assert!(low <= apgr && apgr <= report["oracle_apgr"].as_f64().unwrap() + 1e-9);
    let names: Vec<&str> =
        report["baselines"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cheapest", "strongest", "random", "length", "task mean", "best fixed mix", "oracle"]);
    let datasets = report["slices"].as_array().unwrap().iter().filter(|slice| slice["by"] == "dataset");
    assert_eq!(datasets.map(|slice| slice["n"].as_u64().unwrap()).sum::<u64>(), 160);
    // The ends of the dial are the models themselves.
    let dial = report["dial"].as_array().unwrap();
    assert!((dial[0]["quality"]["value"].as_f64().unwrap() - report["weak_score"].as_f64().unwrap()).abs() < 1e-9);
    assert!((dial[40]["quality"]["value"].as_f64().unwrap() - report["strong_score"].as_f64().unwrap()).abs() < 1e-9);
}

#[test]
fn without_a_pair_all_models_are_compared_and_prices_may_be_given() {
    let home = home();

    let all = figures(home.path(), &[]);
    let priced = figures(home.path(), &["--price", "tiny=1", "--price", "big=9", "--price", "bigger=2"]);
    let two = figures(home.path(), &["--only", "tiny,bigger"]);

    assert_eq!(all["models"].as_array().unwrap().len(), 3);
    assert_eq!((all["weak"].as_str(), all["strong"].as_str()), (Some("tiny"), Some("bigger")));
    assert_eq!(priced["costs"]["source"], "prices");
    assert!((priced["models"][1]["cost"]["value"].as_f64().unwrap() - 9.0).abs() < 1e-9);
    assert_eq!((two["models"].as_array().unwrap().len(), &two["models_left_out"]), (2, &json!(1)));
    assert!(all["aiq"]["oracle"]["value"].as_f64() >= all["aiq"]["router"]["value"].as_f64());
}

#[test]
fn the_report_needs_nothing_but_itself_and_appears_whole() {
    let home = home();

    let (code, _, error) = eval(home.path(), &[&PAIR[..], &["--report", "report"]].concat());

    assert_eq!(code, Some(0), "{error}");
    let page = fs::read_to_string(home.path().join("report/index.html")).unwrap();
    for fetched in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe"] {
        assert!(!page.contains(fetched), "the page has `{fetched}`");
    }
    assert!(
        page.matches("<svg").count() == 3 && page.contains("Findings") && page.contains("prefers-color-scheme: dark")
    );
    assert!(!page.contains("Say hello to visitor"), "a prompt is on the page");
    for picture in ["cost-quality.png", "gap-recovered.png", "reliability.png"] {
        let bytes = fs::read(home.path().join("report").join(picture)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 10_000, "{picture}: {} bytes", bytes.len());
    }
    let json: Value = serde_json::from_slice(&fs::read(home.path().join("report/report.json")).unwrap()).unwrap();
    assert_eq!(json["n"], 160);

    let (again, _, error) = eval(home.path(), &[&PAIR[..], &["--report", "report"]].concat());

    assert_eq!(again, Some(1));
    assert!(error.contains("exists already"), "{error}");
}

#[test]
fn a_bundle_compared_with_itself_shows_no_difference() {
    let home = home();
    let arguments =
        ["eval", "--compare", "models/default", "models/default", "--outcomes", "outcomes.jsonl", "--bootstrap", "50"];

    let (code, words, error) = trimtab(home.path(), &[&arguments[..], &PAIR].concat(), "");
    let (_, json, _) = trimtab(home.path(), &[&arguments[..], &PAIR, &["--json"]].concat(), "");

    assert_eq!(code, Some(0), "{error}");
    assert!(words.starts_with("no difference between default-"), "{words}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verdict"], &json["apgr"]["value"]), (&json!("no_difference"), &json!(0.0)));
}

#[test]
fn bad_input_is_refused_by_name_and_leaves_nothing() {
    let home = home();
    let row = |id: &str, model: &str, rest: &str| {
        format!(r#"{{"prompt_id":"{id}","prompt":"Hello {id}","model":"{model}"{rest}}}"#)
    };
    let files = [
        ("apart", vec![row("1", "tiny", r#","score":1"#), row("2", "big", r#","score":0"#)]),
        ("flat", vec![row("1", "tiny", r#","score":1"#), row("1", "big", r#","score":1"#)]),
        ("worse", vec![row("1", "tiny", r#","score":1"#), row("1", "big", r#","score":0"#)]),
        ("nan", vec![row("1", "tiny", r#","score":1,"cost_usd":NaN"#)]),
        ("negative", vec![row("1", "tiny", r#","score":0,"cost_est_usd":-1"#), row("1", "big", r#","score":1"#)]),
        ("alone", vec![row("1", "tiny", r#","score":1"#)]),
    ];
    for (name, lines) in &files {
        fs::write(home.path().join(format!("{name}.jsonl")), lines.join("\n")).unwrap();
    }
    let refused = |file: &str, extra: &[&str], expected: &str| {
        let (code, out, error) = eval(home.path(), &[&["--report", "report", "--outcomes", file], extra].concat());
        assert_eq!(code, Some(1), "{file}: {out}");
        assert!(error.contains(expected), "{file}: no `{expected}` in {error}");
    };
    refused("apart.jsonl", &PAIR, "share no prompt");
    refused("flat.jsonl", &PAIR, "every score is 1");
    refused("worse.jsonl", &PAIR, "swap `--weak` and `--strong`");
    refused("nan.jsonl", &PAIR, "line 1");
    refused("negative.jsonl", &PAIR, "`cost_est_usd`");
    refused("alone.jsonl", &[], "all rows are of the model `tiny`");
    refused("outcomes.jsonl", &["--weak", "nobody", "--strong", "big"], "no model `nobody`");
    refused("outcomes.jsonl", &["--price", "tiny=1"], "no price was given for `big`");
    refused("outcomes.jsonl", &["--price", "tiny=free"], "is not a price");
    let (unknown, _, error) = trimtab(
        home.path(),
        &["eval", "--bundle", "models/none", "--outcomes", "outcomes.jsonl", "--report", "report"],
        "",
    );
    assert_eq!(unknown, Some(1));
    assert!(error.contains("loading the bundle") && error.contains("models/none"), "{error}");
    let (nowhere, _, error) = eval(home.path(), &[&PAIR[..], &["--report", "no/such/report"]].concat());
    assert_eq!(nowhere, Some(1));
    assert!(error.contains("no/such"), "{error}");

    let left: Vec<String> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(left.iter().all(|name| !name.contains("report")), "{left:?}");
}
