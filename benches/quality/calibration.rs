//! Whether probabilities mean what they say: on data like the training data, and on an unseen dataset after a few of its labels.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trimtab::domain::prompt::Prompt;
use trimtab::model::generation::{Generation, PrepareSettings};
use trimtab::train::evaluate::EvalReport;
use trimtab::train::metrics::{bootstrap, ece};
use trimtab::train::outcomes::{Filter, OutcomeOptions, read};
use trimtab::train::progress::Silent;
use trimtab::train::tiers::{Tiers, key};

use crate::Plan;
use crate::few_labels::Set;
use crate::row::{Bar, Row};

/// Datasets that training never sees, with both models' outcomes.
const UNSEEN: [&str; 4] = ["routellm_mmlu", "routellm_gsm8k", "routerbench_arc_challenge", "routerbench_winograde"];
/// Labelled prompts of an unseen dataset.
const LABELS: usize = 200;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let mut rows = in_domain(plan);
    let sets: Vec<(&str, Set)> = UNSEEN.iter().map(|name| (*name, Set::read(plan, name))).collect();
    let mut means = vec![0.0; plan.seeds as usize];
    let mut details = Vec::new();
    for (name, set) in &sets {
        let reports: Vec<EvalReport> = (0..plan.seeds).map(|seed| set.after(LABELS, seed, plan)).collect();
        let values: Vec<f64> = reports.iter().map(|report| report.ece).collect();
        for (mean, value) in means.iter_mut().zip(&values) {
            *mean += value / sets.len() as f64;
        }
        let apgr = reports.iter().map(|report| report.apgr).sum::<f64>() / reports.len() as f64;
        let note = format!("{} prompts measured on; APGR {apgr:.3}", reports[0].n);
        details.push(Row::over_seeds(format!("  … of them {name}"), Bar::None, &values).noting(note));
    }
    let words = "ECE on an unseen dataset after 200 labelled prompts";
    rows.push(Row::over_seeds(words, Bar::AtMost(0.08), &means).noting("mean of four datasets, both models"));
    rows.extend(details);
    rows
}

/// Predictions and scores of one tier, or of all models.
type Items = Vec<(f64, f64)>;

/// The held-out part of the training data: questions that no part of the bundle was fitted on.
fn in_domain(plan: &Plan) -> Vec<Row> {
    let filter = |column: &str, value: &str| Filter { column: column.to_owned(), value: value.to_owned() };
    let filters = vec![filter("use", "train"), filter("split_routellm", "valid")];
    let options = OutcomeOptions { filters, ..OutcomeOptions::default() };
    let outcomes = read(&[plan.outcomes()], &options, &Silent).unwrap_or_else(|error| panic!("{error}"));
    let settings =
        PrepareSettings { slots: NonZeroUsize::MIN, careful: None, ..PrepareSettings::new(&plan.bundle, &plan.models) };
    let generation = Generation::prepare(&settings).unwrap_or_else(|error| panic!("{error}"));
    let tiers = Tiers::load("datasets/tiers.toml".as_ref()).unwrap_or_else(|error| panic!("{error}"));
    let space = generation.labels();
    let own = |name: &str| space.models().iter().position(|known| key(known.as_str()) == key(name));
    let mut answers: HashMap<u32, Vec<(u32, f64)>> = HashMap::new();
    for row in &outcomes.rows {
        answers.entry(row.prompt).or_default().push((row.model, f64::from(row.score)));
    }
    let (mut by_tier, mut by_model): (Vec<Items>, Items) = (vec![Vec::new(); space.tiers().len()], Vec::new());
    for (at, prompt) in outcomes.prompts.iter().enumerate() {
        let Ok(scores) = generation.score(&Prompt::from_ask(&prompt.text)) else { continue };
        let mut sums = vec![(0.0, 0.0); space.tiers().len()];
        for &(model, score) in answers.get(&(at as u32)).into_iter().flatten() {
            let name = &outcomes.models[model as usize];
            if tiers.leaves_out(name) {
                continue;
            }
            if let Some(tier) = tiers.named(name).and_then(|tier| space.tier(tier)) {
                sums[tier] = (sums[tier].0 + score, sums[tier].1 + 1.0);
            }
            if let Some(position) = own(name) {
                by_model.push((scores.success[space.tiers().len() + position].mean.get(), score));
            }
        }
        for (tier, (sum, count)) in sums.into_iter().enumerate().filter(|(_, (_, count))| *count > 0.0) {
            by_tier[tier].push((scores.success[tier].mean.get(), sum / count));
        }
    }
    let mut rows = vec![pooled(plan, "ECE in domain (held-out questions), models the bundle knows", &by_model)];
    for (tier, items) in space.tiers().iter().zip(&by_tier) {
        let value = ece(items);
        let note = format!("{} prompts; {:.3} would be chance alone", items.len(), floor(items));
        rows.push(Row { measure: format!("  … tier {tier}"), bar: Bar::None, value, spread: String::new(), note });
    }
    rows
}

fn pooled(plan: &Plan, measure: &str, items: &Items) -> Row {
    let [low, high] = bootstrap(items, (plan.rounds.min(300), 17), |sample| Some(ece(sample))).unwrap();
    let value = ece(items);
    Row {
        measure: measure.to_owned(),
        bar: Bar::AtMost(0.03),
        value,
        // Resampling only adds to a calibration error; the interval is reflected.
        spread: format!("[{:.3}, {:.3}]", (2.0 * value - high).max(0.0), (2.0 * value - low).max(0.0)),
        note: format!("{} predictions; {:.3} would be chance alone", items.len(), floor(items)),
    }
}

/// The calibration error that perfect probabilities would show on so few right-or-wrong answers, by chance.
fn floor(items: &Items) -> f64 {
    let mut random = StdRng::seed_from_u64(5);
    let mut draw = || {
        let drawn: Items = items.iter().map(|&(p, _)| (p, f64::from(u8::from(random.random::<f64>() < p)))).collect();
        ece(&drawn)
    };
    (0..20).map(|_| draw()).sum::<f64>() / 20.0
}
