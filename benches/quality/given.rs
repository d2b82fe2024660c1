//! The bundle as it is, on RouteLLM's published outcomes.

use std::path::Path;

use trimtab::train::evaluate::{EvalOptions, EvalReport, PairNames, eval};
use trimtab::train::outcomes::Filter;
use trimtab::train::progress::Silent;

use crate::Plan;
use crate::row::{Bar, Row};

pub(crate) const WEAK: &str = "mixtral-8x7b-instruct-v0.1";
pub(crate) const STRONG: &str = "gpt-4-1106-preview";

/// A filter that keeps one dataset.
pub(crate) fn dataset(name: &str) -> Filter {
    Filter { column: "dataset".to_owned(), value: name.to_owned() }
}

/// Measures a bundle as a router between the two models.
pub(crate) fn measure(
    (bundle, outcomes): (&Path, &Path),
    filters: Vec<Filter>,
    (plan, rounds): (&Plan, usize),
) -> EvalReport {
    let options = EvalOptions {
        bundle: bundle.to_path_buf(),
        models: plan.models.clone(),
        outcomes: vec![outcomes.to_path_buf()],
        filters,
        pair: Some(PairNames { weak: WEAK.to_owned(), strong: STRONG.to_owned() }),
        seed: 17,
        bootstrap: rounds,
        ..EvalOptions::default()
    };
    eval(&options, &Silent).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let sets = [
        ("MMLU APGR, no labels", "routellm_mmlu", 0.62),
        ("GSM8K APGR, no labels", "routellm_gsm8k", 0.60),
        ("MT-Bench APGR, no labels", "routellm_mtbench", 0.78),
    ];
    let row = |(measure, name, bar): (&str, &str, f64)| {
        let report = measure_set(plan, name);
        let [low, high] = report.apgr_ci.unwrap();
        let length = report.length_apgr.map_or(f64::NAN, |figure| figure.value);
        Row {
            measure: measure.to_owned(),
            bar: Bar::AtLeast(bar),
            value: report.apgr,
            spread: format!("[{low:.3}, {high:.3}]"),
            note: format!("{} prompts; longest first {length:.3}, ECE {:.3}", report.n, report.ece),
        }
    };
    sets.into_iter().map(row).collect()
}

fn measure_set(plan: &Plan, name: &str) -> EvalReport {
    measure((&plan.bundle, &plan.outcomes()), vec![dataset(name)], (plan, plan.rounds))
}
