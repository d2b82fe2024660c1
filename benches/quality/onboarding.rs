//! A model that the bundle does not know, added from a few labels and from many, and judged on prompts that neither had.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trimtab::model::session::Device;
use trimtab::train::evaluate::{EvalOptions, PairNames, eval};
use trimtab::train::onboard::{OnboardOptions, onboard};
use trimtab::train::outcomes::OutcomeOptions;
use trimtab::train::progress::Silent;

use crate::Plan;
use crate::few_labels::Set;
use crate::given::STRONG;
use crate::row::{Bar, Row};

const SETS: [&str; 2] = ["routerbench_arc_challenge", "routerbench_winograde"];
/// Models of the two sets of which the default bundle has no labels.
const MODELS: [&str; 4] = ["claude-2", "llama-2-70b-chat", "yi-34b-chat", "wizardlm/wizardlm-13b-v1.2"];
const LABELS: usize = 128;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let (mut few, mut lost) = (Vec::new(), Vec::new());
    for name in SETS {
        let set = Set::read(plan, name);
        for model in MODELS {
            for seed in 0..plan.seeds.min(3) {
                let (of_few, of_all) = aucs(plan, (&set, model), seed);
                few.push(of_few);
                lost.push(of_all - of_few);
            }
        }
    }
    let note = format!("{} models on ARC-Challenge and WinoGrande, half of the prompts held out", MODELS.len());
    vec![
        Row::over_seeds(format!("AUC of a new model from {LABELS} labels"), Bar::None, &few),
        Row::over_seeds("  … and what all labels, half of the set, add to it", Bar::AtMost(0.015), &lost).noting(note),
    ]
}

/// The AUC on held-out prompts after a few labels and after all others.
fn aucs(plan: &Plan, (set, model): (&Set, &str), seed: u64) -> (f64, f64) {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (known, held_out) = set.split(set.len() / 2, seed);
    set.write(&known, &[model], &at("known.jsonl"));
    set.write(&held_out, &[model, STRONG], &at("held-out.jsonl"));
    let after = |most_labels: Option<usize>, out: PathBuf| {
        let options = OnboardOptions {
            model: model.to_owned(),
            outcomes: vec![at("known.jsonl")],
            outcome_options: OutcomeOptions::default(),
            most_labels,
            bundle: plan.bundle.clone(),
            models: plan.models.clone(),
            tier: None,
            standard_error: 0.03,
            out: out.clone(),
            id: Some("onboarded".to_owned()),
            seed,
            threads: 2,
            device: Device::Cpu,
        };
        onboard(&options, &Silent).unwrap_or_else(|error| panic!("{model}: {error}"));
        auc(plan, (&out, &at("held-out.jsonl")), model)
    };
    (after(Some(LABELS), at("few")), after(None, at("all")))
}

fn auc(plan: &Plan, (bundle, outcomes): (&Path, &Path), model: &str) -> f64 {
    let options = EvalOptions {
        bundle: bundle.to_path_buf(),
        models: plan.models.clone(),
        outcomes: vec![outcomes.to_path_buf()],
        pair: Some(PairNames { weak: model.to_owned(), strong: STRONG.to_owned() }),
        seed: 17,
        bootstrap: 0,
        ..EvalOptions::default()
    };
    let report = eval(&options, &Silent).unwrap_or_else(|error| panic!("{model}: {error}"));
    let figures = report.models.iter().find(|figures| figures.model == model);
    figures.and_then(|figures| figures.auc.as_ref()).map_or(f64::NAN, |figure| figure.value)
}
