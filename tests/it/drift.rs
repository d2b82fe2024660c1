//! Prompts that the bundle cannot judge, and traffic that moves away: over HTTP.

use serde_json::{Value, json};

use crate::support::app::{chat, install_default_models};
use crate::support::{Setup, TestApp};

const SMALL_REFERENCE: &str = "[drift]\nreference_decisions = 100\n";

async fn default_app(toml: &str) -> TestApp {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    TestApp::start_in(directory, Setup::default().with(toml)).await.unwrap()
}

/// Decides that many times on variations of a prompt.
async fn decide(app: &TestApp, times: usize, prompt: impl Fn(usize) -> String) -> Vec<Value> {
    let requests: Vec<Value> = (0..times).map(|at| chat("auto", &prompt(at))).collect();
    let answer = app.post("/v1/route/batch", &json!({ "requests": requests })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].as_array().unwrap().clone()
}

fn cities(at: usize) -> String {
    format!("What is the capital of the {at}th largest country?")
}

fn code(at: usize) -> String {
    format!("Write a Python function that sorts a list of {at} tuples by their second element, and add a test.")
}

async fn drift(app: &TestApp) -> Value {
    app.send(app.client.get(format!("{}/admin/drift", app.admin_url))).await.json()
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_that_the_bundle_was_not_trained_on_goes_to_the_safe_tier() {
    let ask = "Wie viele Einwohner hat die Hauptstadt von Portugal und wie heißt ihr Bürgermeister?";
    let app = default_app("[policies.balanced]\nquality = 0.05\n").await;

    let german = app.post("/v1/route", &chat("auto", ask)).await.json();
    let english =
        app.post("/v1/route", &chat("auto", "What is the capital of Portugal, and who is its mayor?")).await.json();

    assert_eq!((&german["reason"], &german["tier"]), (&json!("unfamiliar"), &json!("large")));
    assert_eq!((&german["signals"]["language"], &german["signals"]["unfamiliar"]), (&json!("de"), &json!("language")));
    let sentence = german["explanation"].as_str().unwrap();
    assert!(sentence.contains("the prompt is in German, which the bundle was not trained on"), "{sentence}");
    assert_eq!(english["signals"]["language"], "en");
    assert_eq!(english["reason"], "cheapest_adequate");
    assert!(english["signals"].get("unfamiliar").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_where_unfamiliar_prompts_go() {
    let toml = "[policies.balanced]\nquality = 0.05\ndefault_tier = \"medium\"\nunfamiliar = \"WISH\"\n";
    let ask = "日本の四季について、それぞれの特徴を短く説明してください。";
    let mut tiers = Vec::new();
    for wish in ["default_tier", "strongest", "ignore"] {
        let app = default_app(&toml.replace("WISH", wish)).await;
        tiers.push(app.post("/v1/route", &chat("auto", ask)).await.json());
    }

    assert_eq!(tiers[0]["tier"], "medium");
    assert_eq!(tiers[1]["tier"], "large");
    assert_eq!(
        (&tiers[2]["reason"], &tiers[2]["signals"]["unfamiliar"]),
        (&json!("cheapest_adequate"), &json!("language"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mix_of_prompts_shows_as_drift() {
    let app = default_app(SMALL_REFERENCE).await;
    decide(&app, 100, cities).await;
    let before = drift(&app).await;
    decide(&app, 150, cities).await;
    let steady = drift(&app).await;

    decide(&app, 300, code).await;
    let moved = drift(&app).await;
    let metrics = app.get("/metrics").await.text;

    assert_eq!((&before["state"], &before["reference_decisions"]), (&json!("collecting"), &json!(100)));
    assert_eq!((&steady["state"], &steady["decisions"]), (&json!("steady"), &json!(150)));
    assert_eq!(steady["proposal"], Value::Null);
    assert_eq!((&moved["state"], &moved["decisions"]), (&json!("shifted"), &json!(450)));
    let proposal = moved["proposal"].as_str().unwrap();
    assert!(proposal.contains("the task mix moved: PSI ") && proposal.contains("over 450 decisions"), "{proposal}");
    assert!(proposal.contains("code_generation from 0 % to 67 %"), "{proposal}");
    let task = moved["dimensions"].as_array().unwrap().iter().find(|one| one["dimension"] == "task").unwrap();
    assert!(task["psi"].as_f64().unwrap() > 0.25);
    assert!(metric(&metrics, "trimtab_drift_psi{dimension=\"task\"}") > 0.25, "{metrics}");
    assert!((metric(&metrics, "trimtab_drift_decisions ") - 450.0).abs() < 1e-9);
    assert!((metric(&metrics, "trimtab_drift_retrain_proposed ") - 1.0).abs() < 1e-9);
    assert!(metric(&metrics, "trimtab_drift_neighbour_density ") > 0.0);
    assert!(metric(&metrics, "trimtab_drift_ece ").is_nan(), "no feedback yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_shows_the_calibration_error_and_what_going_up_was_worth() {
    let app = default_app(SMALL_REFERENCE).await;
    let mut body = chat("auto:quality", "");
    body["trimtab"] = json!({ "candidates": ["demo-small", "demo-large"], "quality": 1 });
    for at in 0..60 {
        body["messages"][0]["content"] = json!(cities(at));
        let decision = app.post("/v1/route", &body).await.json();
        assert_eq!(decision["tier"], "large");
        let report = json!({ "decision_id": decision["id"], "success": false });
        assert_eq!(app.post("/v1/feedback", &report).await.status, 200);
        // A repeat counts once.
        assert_eq!(app.post("/v1/feedback", &report).await.json()["replayed"], true);
    }

    let report = drift(&app).await;
    let metrics = app.get("/metrics").await.text;

    let calibration = &report["feedback"]["calibration"];
    assert_eq!(calibration["verdicts"], 60);
    assert!(calibration["ece"].as_f64().unwrap() > 0.2, "{report}");
    assert_eq!(report["state"], "shifted");
    assert!(report["proposal"].as_str().unwrap().contains("the calibration error over the last 60 verdicts"));
    let worth = &report["feedback"]["escalation"];
    assert_eq!(worth["verdicts"], 60);
    assert!(worth["precision"].as_f64().unwrap().abs() < 1e-9, "nothing that went up succeeded");
    assert!(metric(&metrics, "trimtab_drift_escalation_precision ").abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_reference() {
    let app = default_app(SMALL_REFERENCE).await;
    decide(&app, 230, cities).await;
    let directory = app.stop().await;

    let app = TestApp::start_in(directory, Setup::default().with(SMALL_REFERENCE)).await.unwrap();
    let report = drift(&app).await;

    assert_eq!((&report["reference_decisions"], &report["decisions"]), (&json!(100), &json!(130)));
}

#[tokio::test]
async fn drift_settings_out_of_range_are_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("trimtab.toml"), "[drift]\nreference = \"moon\"\nreference_decisions = 3\n")
        .unwrap();

    let (code, _, error) = crate::support::app::trimtab(directory.path(), &["serve", "--check"], "");

    assert_ne!(code, Some(0));
    assert!(error.contains("drift.reference") && error.contains("drift.reference_decisions"), "{error}");
}
