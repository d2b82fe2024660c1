use super::*;
use crate::domain::cache::CacheTotals;
use crate::domain::decide::Reason;
use crate::domain::outcome::Class;
use crate::domain::policy::Aim;
use crate::domain::probability::Probability;

fn metrics() -> Metrics {
    Metrics::new([ModelName::from("m1")])
}

/// The value of one line of the page.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let page = metrics.render();
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn decision() -> Decision {
    Decision {
        model: "m1".into(),
        tier: "small".into(),
        policy: "balanced".into(),
        aim: Aim::Quality(Probability::HALF),
        threshold: 0.1,
        considered: Vec::new(),
        reason: Reason::CheapestAdequate,
        propensity: Probability::ONE,
        bundle: None,
    }
}

fn outcome(model: &str) -> Outcome {
    let attempt = Attempt {
        upstream: "up".into(),
        model: model.into(),
        tier: "small".into(),
        class: Class::Success,
        status: Some(200),
        took: Duration::from_millis(20),
        detail: String::new(),
        unused_cost: None,
    };
    Outcome {
        class: Class::Success,
        attempts: vec![Attempt { class: Class::Throttled, ..attempt.clone() }, attempt],
        served_by: Some(model.into()),
        usage: Some(Usage { input_tokens: 100, cached_input_tokens: 40, cache_write_tokens: 25, output_tokens: 7 }),
        usage_estimated: false,
        cost: NanoUsd::from_usd(0.25),
        total: Duration::from_millis(30),
        first_byte: Some(Duration::from_millis(25)),
    }
}

#[test]
fn decisions_are_counted_by_tier_reason_and_policy() {
    let metrics = metrics();

    metrics.decision(&decision(), Duration::from_micros(60));
    metrics.decision(&decision(), Duration::from_micros(60));

    let series = r#"trimtab_decisions_total{tier="small",reason="cheapest_adequate",policy="balanced"}"#;
    assert_eq!(value(&metrics, series), Some(2.0));
    assert_eq!(value(&metrics, r#"trimtab_decision_seconds_bucket{le="0.0001"}"#), Some(2.0));
    assert_eq!(value(&metrics, r#"trimtab_decision_seconds_bucket{le="0.00005"}"#), Some(0.0));
}

#[test]
fn outcomes_are_billed_to_configured_models_and_others_share_one_label() {
    let metrics = metrics();

    metrics.outcome(&outcome("m1"));
    metrics.outcome(&outcome("made-up-1"));
    metrics.outcome(&outcome("made-up-2"));

    for (series, expected) in [
        (r#"trimtab_upstream_attempts_total{upstream="up",class="throttled"}"#, 3.0),
        (r#"trimtab_upstream_seconds_count{upstream="up"}"#, 6.0),
        ("trimtab_time_to_first_byte_seconds_count", 3.0),
        (r#"trimtab_tokens_total{model="m1",kind="input"}"#, 35.0),
        (r#"trimtab_tokens_total{model="m1",kind="cache_write"}"#, 25.0),
        (r#"trimtab_tokens_total{model="m1",kind="cached_input"}"#, 40.0),
        (r#"trimtab_tokens_total{model="other",kind="output"}"#, 14.0),
        (r#"trimtab_cost_usd_total{model="m1"}"#, 0.25),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}\n{}", metrics.render());
    }
    assert!(!metrics.render().contains("made-up"));
}

#[test]
fn requests_in_flight_end_when_the_guard_is_dropped() {
    let metrics = metrics();

    let guard = metrics.admitted();

    assert_eq!(value(&metrics, "trimtab_requests_in_flight"), Some(1.0));
    drop(guard);
    assert_eq!(value(&metrics, "trimtab_requests_in_flight"), Some(0.0));
}

#[test]
fn only_the_serving_bundle_is_named() {
    let metrics = metrics();

    metrics.bundle_activated(&"b1".into());
    metrics.bundle_activated(&"b2".into());

    assert_eq!(value(&metrics, r#"trimtab_model_info{bundle="b2"}"#), Some(1.0));
    assert_eq!(value(&metrics, r#"trimtab_model_info{bundle="b1"}"#), None);
    assert_eq!(value(&metrics, "trimtab_model_activations_total"), Some(2.0));
}

#[test]
fn the_page_names_everything_once_with_its_unit() {
    let metrics = metrics();
    metrics.request("/v1/route", 404);
    metrics.rejected(Rejection::Busy);
    metrics.error("bad_request");
    metrics.scored(&ScoreTimings::default());
    metrics.score_failed(ScoreFailure::NoBundle);
    metrics.router_cpu(Duration::from_millis(500));
    metrics.store_dropped(3);
    metrics.store_failing();
    metrics.feedback(FeedbackResult::Stored);
    metrics.bundle_failed();

    let page = metrics.render();

    for line in [
        r#"trimtab_requests_total{route="/v1/route",status_class="4xx"} 1"#,
        r#"trimtab_admission_rejected_total{why="busy"} 1"#,
        r#"trimtab_errors_total{kind="bad_request"} 1"#,
        r#"trimtab_score_seconds_count{step="encode"} 1"#,
        r#"trimtab_score_failures_total{failure="no_bundle"} 1"#,
        "trimtab_router_cpu_seconds_total 0.5",
        "trimtab_store_dropped_total 3",
        "trimtab_store_degraded 1",
        r#"trimtab_feedback_total{result="stored"} 1"#,
        "trimtab_model_prepare_failures_total 1",
        concat!("trimtab_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# UNIT process_start_time_seconds seconds",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    if cfg!(target_os = "linux") {
        assert!(value(&metrics, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    }
    metrics.store_recovered();
    assert_eq!(value(&metrics, "trimtab_store_degraded"), Some(0.0));
}

#[test]
fn answers_that_were_not_given_are_billed_to_the_models_that_gave_them() {
    let metrics = Metrics::new(["m1".into(), "m2".into()]);
    let mut outcome = outcome("m1");
    outcome.attempts[0] =
        Attempt { model: "m2".into(), unused_cost: NanoUsd::from_usd(0.1), ..outcome.attempts[0].clone() };

    metrics.outcome(&outcome);

    let cost = |model: &str| value(&metrics, &format!(r#"trimtab_cost_usd_total{{model="{model}"}}"#)).unwrap();
    assert!((cost("m2") - 0.1).abs() < 1e-9, "{}", cost("m2"));
    assert!((cost("m1") - 0.15).abs() < 1e-9, "{}", cost("m1"));
}

#[test]
fn targets_that_were_passed_over_are_counted_and_take_no_time() {
    let metrics = metrics();
    let mut outcome = outcome("m1");
    outcome.attempts[0].class = Class::Skipped;

    metrics.outcome(&outcome);

    assert_eq!(value(&metrics, r#"trimtab_upstream_attempts_total{upstream="up",class="skipped"}"#), Some(1.0));
    assert_eq!(value(&metrics, r#"trimtab_upstream_seconds_count{upstream="up"}"#), Some(1.0));
}

#[test]
fn what_hedges_cost_that_were_outrun_was_neither_given_nor_discarded() {
    let metrics = metrics();
    let mut outcome = outcome("m1");
    let attempt = |class, cost| Attempt { class, unused_cost: NanoUsd::from_usd(cost), ..outcome.attempts[1].clone() };
    outcome.attempts = vec![
        attempt(Class::Unfit, 0.1),
        attempt(Class::Cancelled, 0.05),
        Attempt { unused_cost: None, ..attempt(Class::Success, 0.0) },
    ];

    metrics.checked_cost(&"p".into(), &outcome);

    let cost = |part: &str| {
        value(&metrics, &format!(r#"trimtab_checked_cost_usd_total{{policy="p",part="{part}"}}"#)).unwrap()
    };
    assert!((cost("discarded") - 0.1).abs() < 1e-9, "{}", cost("discarded"));
    assert!((cost("given") - 0.1).abs() < 1e-9, "{}", cost("given"));
}

#[test]
fn what_the_cache_has_counted_is_shown_once_however_often_it_is_looked_at() {
    let metrics = metrics();
    let totals =
        CacheTotals { hits: 2, bypassed: 1, evicted: 3, saved: NanoUsd(250_000_000), ..CacheTotals::default() };

    for _ in 0..3 {
        metrics.cache(&totals);
    }

    for (series, expected) in [
        (r#"trimtab_cache_lookups_total{result="hit"}"#, 2.0),
        (r#"trimtab_cache_lookups_total{result="bypass"}"#, 1.0),
        (r#"trimtab_cache_evictions_total{why="full"}"#, 3.0),
        ("trimtab_cache_saved_usd_total", 0.25),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}
