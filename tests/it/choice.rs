//! The choice among more than two models, weighed in success and in money, from outside.

use serde_json::{Value, json};

use crate::support::app::{chat, install_default_models};
use crate::support::{Setup, TestApp};

const ASK: &str = "Prove that the sum of two odd integers is even, and find every integer n for which n squared plus one is divisible by five.";

/// Three tiers whose middle model costs a twentieth of the way from the cheapest to the dearest.
fn three() -> Setup {
    let tier = |(id, input, output): (&str, f64, f64)| {
        format!(
            "[[tiers]]\nid = \"{id}\"\n[[tiers.models]]\nname = \"m-{id}\"\nupstream = \"up\"\n\
             price = {{ input = {input}, output = {output}, cached_input = {} }}\n",
            input / 10.0
        )
    };
    let tiers: String = [("small", 0.1, 0.4), ("medium", 0.6, 2.4), ("large", 10.0, 40.0)].map(tier).concat();
    let upstream = "[upstreams.up]\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    Setup::default()
        .with(&format!("{upstream}{tiers}[policies.money]\nsuccess_value_usd = 0.01\ncareful = \"never\"\n"))
}

/// The three tiers under the shipped bundle, which knows them all, with one look at each prompt.
async fn shipped() -> TestApp {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    let once = three().with("[policies.balanced]\ncareful = \"never\"\n");
    TestApp::start_in(directory, once).await.unwrap()
}

fn with(mut body: Value, options: Value) -> Value {
    body["trimtab"] = options;
    body
}

fn number(decision: &Value, model: usize, field: &str) -> f64 {
    decision["candidates"][model][field].as_f64().unwrap_or_else(|| panic!("no {field} in {decision}"))
}

#[tokio::test]
async fn the_middle_model_answers_where_it_gains_more_than_its_share_of_the_threshold() {
    let app = shipped().await;
    let at = async |threshold: f64| {
        app.post("/v1/route", &with(chat("auto", ASK), json!({ "threshold": threshold }))).await.json()
    };
    let first = at(0.5).await;
    let success: Vec<f64> = (0..3).map(|model| number(&first, model, "success")).collect();
    let place = number(&first, 1, "relative_cost");
    assert!(success[0] < success[1] && success[1] < success[2], "a hard prompt gains from stronger tiers: {first}");
    assert!((0.02..0.08).contains(&place), "{place}");

    // Above what the strongest gains over the middle, below what the middle gains over the weakest, each per unit of cost.
    let (least, most) = ((success[2] - success[1]) / (1.0 - place), (success[1] - success[0]) / place);
    let middle = at(((least + most) / 2.0).min(1.0)).await;

    assert_eq!((&middle["model"], &middle["reason"]), (&json!("m-medium"), &json!("cheapest_adequate")), "{middle}");
    for model in 0..3 {
        let (utility, threshold) = (number(&middle, model, "utility"), middle["threshold"].as_f64().unwrap());
        let expected = number(&middle, model, "success")
            - threshold * number(&middle, model, "relative_cost")
            - number(&middle, model, "switching_cost");
        assert!((utility - expected).abs() < 5e-4, "{middle}");
    }
    let sentence = middle["explanation"].as_str().unwrap();
    assert!(sentence.contains("% expected success less") && sentence.contains("is worth"), "{sentence}");
    assert_eq!(at(least * 0.9).await["model"], "m-large");
}

#[tokio::test]
async fn the_value_of_a_right_answer_moves_the_choice_between_cheap_and_dear() {
    let app = shipped().await;
    let worth = async |usd: f64| {
        app.post("/v1/route", &with(chat("auto", ASK), json!({ "success_value_usd": usd }))).await.json()
    };

    let (little, much) = (worth(0.000_001).await, worth(1_000.0).await);

    assert_eq!((&little["model"], &much["model"]), (&json!("m-small"), &json!("m-large")), "{little} {much}");
    assert_eq!(much["success_value_usd"], 1_000.0);
    assert!(much["quality"].is_null());
    let policy = app.post("/v1/route", &chat("auto:money", ASK)).await.json();
    assert_eq!(policy["success_value_usd"], 0.01);
    let span = number(&policy, 2, "relative_cost");
    assert_eq!(span, 1.0);
    let cost = |model: usize| policy["candidates"][model]["cost_usd"]["mean"].as_f64().unwrap();
    let threshold = policy["threshold"].as_f64().unwrap();
    assert!((threshold - (cost(2) - cost(0)) / 0.01).abs() < 1e-3, "{policy}");
}

#[tokio::test]
async fn two_aims_at_once_and_values_that_are_none_are_refused_by_name() {
    let app = TestApp::start(three()).await;
    let cases = [
        (json!({ "quality": 0.5, "success_value_usd": 1 }), "trimtab.success_value_usd"),
        (json!({ "success_value_usd": 1, "threshold": 0.5 }), "trimtab.threshold"),
        (json!({ "success_value_usd": 0 }), "trimtab.success_value_usd"),
        (json!({ "success_value_usd": -0.5 }), "trimtab.success_value_usd"),
        (json!({ "success_value_usd": "much" }), "trimtab.success_value_usd"),
        (json!({ "session": 7 }), "trimtab.session"),
        (json!({ "session": {} }), "trimtab.session"),
        (json!({ "session": "" }), "trimtab.session"),
        (json!({ "session": "x".repeat(257) }), "trimtab.session"),
    ];
    for (options, field) in cases {
        for path in ["/v1/route", "/v1/chat/completions"] {
            let reply = app.post(path, &with(chat("auto", ASK), options.clone())).await;

            assert_eq!(reply.error(), (400, "invalid_request".to_owned(), Some(field.to_owned())), "{options}");
        }
    }
    for value in ["NaN", "inf", "-1"] {
        let request = app
            .client
            .post(format!("{}/v1/route", app.url))
            .header("content-type", "application/json")
            .header("x-trimtab-success-value-usd", value)
            .body(chat("auto", ASK).to_string());
        let reply = app.send(request).await;
        assert_eq!(reply.error().2.as_deref(), Some("trimtab.success_value_usd"), "{value}");
    }
}

/// The scorer whose scores decided, for a threshold at which the choice between the first two models is a tie.
async fn scorer_at_a_tie(policy: &str) -> (Value, String) {
    let app = TestApp::start(three().with(&format!("[policies.balanced]\nthreshold = 0.0\n{policy}\n"))).await;
    let body = |threshold: f64| {
        with(chat("auto", ASK), json!({ "threshold": threshold, "candidates": ["m-small", "m-large"] }))
    };
    let clear = app.post("/v1/route", &body(1.0)).await.json();
    let gain = number(&clear, 2, "success") - number(&clear, 0, "success");

    let close = app.post("/v1/route", &body(gain)).await.json();

    (close, app.get("/metrics").await.text)
}

#[tokio::test]
async fn a_close_choice_gets_a_second_look_where_more_is_at_stake_than_it_costs() {
    let (cheap_look, counted) = scorer_at_a_tie("careful_cost_usd = 0").await;
    let (dear_look, uncounted) = scorer_at_a_tie("careful_cost_usd = 1000").await;
    let (never, _) = scorer_at_a_tie("careful = \"never\"\ncareful_cost_usd = 0").await;

    assert_eq!(cheap_look["signals"]["scorer"], "careful", "{cheap_look}");
    assert_eq!(dear_look["signals"]["scorer"], "fast", "{dear_look}");
    assert_eq!(never["signals"]["scorer"], "fast", "{never}");
    let looks = |metrics: &str| {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("trimtab_careful_looks_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    assert!(looks(&counted) >= 1, "{counted}");
    assert_eq!(looks(&uncounted), 0, "{uncounted}");
    assert!(counted.contains("trimtab_careful_seconds_count 1"), "{counted}");
}
