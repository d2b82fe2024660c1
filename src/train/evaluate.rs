//! Measuring a bundle on outcomes, with the code that serves it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::domain::prompt::Prompt;
use crate::domain::scores::LabelSpace;
use crate::model::generation::{Generation, PrepareSettings};
use crate::train::error::TrainError;
use crate::train::metrics::{Pair, PgrCurve, auc, bootstrap, brier, ece, oracle_apgr, random_apgr};
use crate::train::outcomes::{self, Filter, OutcomeOptions, Outcomes};
use crate::train::progress::{Phase, Progress, step};
use crate::train::tiers;

/// What to measure and on what.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// The bundle directory.
    pub bundle: PathBuf,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// Outcomes files.
    pub outcomes: Vec<PathBuf>,
    /// Which rows of them, for example `dataset=routellm_mmlu`.
    pub filters: Vec<Filter>,
    /// The weaker model, as the outcomes name it.
    pub weak: String,
    /// The stronger model.
    pub strong: String,
    /// Breaks ties, shuffles and resamples.
    pub seed: u64,
    /// Rounds of the bootstrap.
    pub bootstrap: usize,
}

/// What was measured. Every interval is at 95 %, by a paired bootstrap over prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalReport {
    /// Prompts that both models answered.
    pub n: usize,
    /// The weaker model.
    pub weak: String,
    /// The stronger model.
    pub strong: String,
    /// What judged the weaker model: its own name in the bundle, or a tier.
    pub weak_judged_by: String,
    /// What judged the stronger model.
    pub strong_judged_by: String,
    /// Mean score of the weaker model.
    pub weak_score: f64,
    /// Mean score of the stronger model.
    pub strong_score: f64,
    /// Area under the gap recovered against the share sent to the stronger model, over every prompt.
    pub apgr: f64,
    /// Its interval.
    pub apgr_ci: Option<[f64; 2]>,
    /// Share of strong calls at which a fifth of the gap is first recovered.
    pub cpt20: f64,
    /// Share of strong calls at which half of the gap is first recovered.
    pub cpt50: f64,
    /// Its interval.
    pub cpt50_ci: Option<[f64; 2]>,
    /// Share of strong calls at which four fifths of the gap are first recovered.
    pub cpt80: f64,
    /// Its interval.
    pub cpt80_ci: Option<[f64; 2]>,
    /// How well the gain tells prompts where the strong model is right and the weak one wrong from the others.
    pub auc: Option<f64>,
    /// Expected calibration error of the success probabilities, the mean of the two models'.
    pub ece: f64,
    /// How well right and wrong answers are told apart, by model.
    pub auc_by_model: ByModel<Option<f64>>,
    /// Expected calibration error, by model.
    pub ece_by_model: ByModel<f64>,
    /// Brier score of the success probabilities, by model.
    pub brier_by_model: ByModel<f64>,
    /// The area of a router that knows both scores.
    pub oracle_apgr: f64,
    /// The mean area of routers that shuffle.
    pub random_apgr: f64,
    /// Median time to score one prompt, in microseconds: tokens, embedding, heads and neighbours, on one thread.
    pub p50_us: f64,
    /// The 99th percentile of that time.
    pub p99_us: f64,
    /// Prompts without a score, which go to the stronger model first.
    pub unscored: usize,
    /// Prompts whose text the encoder cut.
    pub truncated: usize,
    /// The seed.
    pub seed: u64,
    /// The bundle's name.
    pub bundle: String,
    /// The curve at 101 shares: `(share sent to the strong model, gap recovered)`.
    pub curve: Vec<(f64, f64)>,
}

/// A measure of each model, and of the gap between them where that has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ByModel<T> {
    /// Of the weaker model.
    pub weak: T,
    /// Of the stronger model.
    pub strong: T,
    /// Of the event that the strong model is right and the weak one wrong; of the gain, for errors.
    pub gap: T,
}

/// One prompt, judged.
#[derive(Clone, Copy, Debug)]
struct Judged {
    pair: Pair,
    weak: f64,
    strong: f64,
}

/// Shuffles behind the random baseline.
const SHUFFLES: u64 = 20;

/// Measures a bundle as a router between two models.
///
/// # Errors
/// A bundle that does not load, outcomes that do not read, models that are not in them or share no prompt, and interruption.
pub fn eval(options: &EvalOptions, progress: &dyn Progress) -> Result<EvalReport, TrainError> {
    let outcome_options = OutcomeOptions { filters: options.filters.clone(), ..OutcomeOptions::default() };
    let outcomes = outcomes::read(&options.outcomes, &outcome_options, progress)?;
    let (weak_at, strong_at) = (find(&outcomes, &options.weak)?, find(&outcomes, &options.strong)?);
    let pairs = pairs(&outcomes, weak_at, strong_at);
    if pairs.is_empty() {
        return Err(TrainError::NoPairs { weak: options.weak.clone(), strong: options.strong.clone() });
    }
    let settings = PrepareSettings {
        slots: NonZeroUsize::MIN,
        careful: None,
        ..PrepareSettings::new(&options.bundle, &options.models)
    };
    let generation = Generation::prepare(&settings).map_err(TrainError::model("loading the bundle"))?;
    let judges = Judges::of(generation.labels(), (&outcomes, weak_at, strong_at));
    let mut judged = Vec::with_capacity(pairs.len());
    let mut micros = Vec::with_capacity(pairs.len());
    let (mut unscored, mut truncated) = (0, 0);
    for (done, &(prompt, weak, strong)) in pairs.iter().enumerate() {
        if done.is_multiple_of(256) {
            step(progress, Phase::Evaluate, (done, pairs.len()))?;
        }
        let text = outcomes.prompts.get(prompt).map_or("", |prompt| &*prompt.text);
        let start = Instant::now();
        let scores = generation.score(&Prompt::from_ask(text));
        micros.push(start.elapsed().as_secs_f64() * 1e6);
        let (p_weak, p_strong, gain) = match &scores {
            Ok(scores) => {
                truncated += usize::from(scores.truncated);
                let p = |position: usize| scores.success.get(position).map_or(0.5, |estimate| estimate.mean.get());
                let (weak, strong) = (p(judges.weak), p(judges.strong));
                (weak, strong, strong - weak)
            }
            Err(_) => {
                unscored += 1;
                (0.5, 0.5, 1.0)
            }
        };
        judged.push(Judged { pair: Pair { weak, strong, gain }, weak: p_weak, strong: p_strong });
    }
    report(options, &judged, Timing { micros, unscored, truncated }, (&generation, &judges))
}

/// What happened while scoring.
struct Timing {
    micros: Vec<f64>,
    unscored: usize,
    truncated: usize,
}

fn report(
    options: &EvalOptions,
    judged: &[Judged],
    mut timing: Timing,
    (generation, judges): (&Generation, &Judges),
) -> Result<EvalReport, TrainError> {
    let seed = options.seed;
    let pairs: Vec<Pair> = judged.iter().map(|judged| judged.pair).collect();
    let mean = |value: fn(&Pair) -> f64| pairs.iter().map(value).sum::<f64>() / pairs.len().max(1) as f64;
    let (weak_score, strong_score) = (mean(|pair| pair.weak), mean(|pair| pair.strong));
    let curve = PgrCurve::of(&pairs, seed).ok_or_else(|| TrainError::NoGap {
        weak: options.weak.clone(),
        weak_score,
        strong: options.strong.clone(),
        strong_score,
    })?;
    let interval = |statistic: &dyn Fn(&PgrCurve) -> f64| {
        bootstrap(&pairs, (options.bootstrap, seed), |sample| PgrCurve::of(sample, seed).map(|curve| statistic(&curve)))
    };
    timing.micros.sort_by(f64::total_cmp);
    let last = timing.micros.len().saturating_sub(1) as f64;
    let percentile = |share: f64| timing.micros.get((share * last).round() as usize).copied().unwrap_or(0.0);
    let right = |p: &dyn Fn(&Judged) -> f64, is_right: &dyn Fn(&Judged) -> bool| -> Option<f64> {
        auc(&judged.iter().map(|judged| (p(judged), is_right(judged))).collect::<Vec<_>>())
    };
    let observed = |items: &dyn Fn(&Judged) -> (f64, f64)| judged.iter().map(items).collect::<Vec<_>>();
    let weak = observed(&|judged| (judged.weak, judged.pair.weak));
    let strong = observed(&|judged| (judged.strong, judged.pair.strong));
    let gap = observed(&|judged| (judged.strong - judged.weak, judged.pair.strong - judged.pair.weak));
    let auc_by_model = ByModel {
        weak: right(&|judged| judged.weak, &|judged| judged.pair.weak >= 0.5),
        strong: right(&|judged| judged.strong, &|judged| judged.pair.strong >= 0.5),
        gap: right(&|judged| judged.pair.gain, &|judged| judged.pair.strong > judged.pair.weak),
    };
    let ece_by_model = ByModel { weak: ece(&weak), strong: ece(&strong), gap: ece(&gap) };
    Ok(EvalReport {
        n: pairs.len(),
        weak: options.weak.clone(),
        strong: options.strong.clone(),
        weak_judged_by: judges.weak_name.clone(),
        strong_judged_by: judges.strong_name.clone(),
        weak_score,
        strong_score,
        apgr: curve.apgr(),
        apgr_ci: interval(&PgrCurve::apgr),
        cpt20: curve.cpt(0.2),
        cpt50: curve.cpt(0.5),
        cpt50_ci: interval(&|curve| curve.cpt(0.5)),
        cpt80: curve.cpt(0.8),
        cpt80_ci: interval(&|curve| curve.cpt(0.8)),
        auc: auc_by_model.gap,
        ece: (ece_by_model.weak + ece_by_model.strong) / 2.0,
        auc_by_model,
        ece_by_model,
        brier_by_model: ByModel { weak: brier(&weak), strong: brier(&strong), gap: brier(&gap) },
        oracle_apgr: oracle_apgr(&pairs, seed).unwrap_or(0.0),
        random_apgr: random_apgr(&pairs, seed, SHUFFLES).unwrap_or(0.5),
        p50_us: percentile(0.5),
        p99_us: percentile(0.99),
        unscored: timing.unscored,
        truncated: timing.truncated,
        seed,
        bundle: generation.id().to_string(),
        curve: curve.sampled(101),
    })
}

/// Whose predictions stand for the two models.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Judges {
    weak: usize,
    strong: usize,
    weak_name: String,
    strong_name: String,
}

impl Judges {
    /// A model that the bundle knows is judged by its own head, another by its tier: the weaker named one by the lowest, the stronger
    /// by the highest.
    fn of(space: &LabelSpace, (outcomes, weak, strong): (&Outcomes, u32, u32)) -> Self {
        let own = |model: u32| {
            let name = outcomes.models.get(model as usize)?;
            let wanted = tiers::key(name);
            let aliases = outcomes.aliases.iter().filter(|(_, canonical)| *canonical == name).map(|(alias, _)| alias);
            let keys: Vec<String> = aliases.map(|alias| tiers::key(alias)).chain([wanted]).collect();
            let at = space.models().iter().position(|known| keys.contains(&tiers::key(known.as_str())))?;
            Some((space.tiers().len() + at, space.models().get(at)?.to_string()))
        };
        let tier = |at: usize| (at, space.tiers().get(at).map_or_else(String::new, |tier| format!("tier {tier}")));
        let (weak, weak_name) = own(weak).unwrap_or_else(|| tier(0));
        let (strong, strong_name) = own(strong).unwrap_or_else(|| tier(space.tiers().len().saturating_sub(1)));
        Self { weak, strong, weak_name, strong_name }
    }
}

/// The position of a model in the outcomes, by its name, another name of it, or its last path segment in any case.
fn find(outcomes: &Outcomes, name: &str) -> Result<u32, TrainError> {
    let canonical = outcomes.aliases.get(name).map_or(name, String::as_str);
    let exact = outcomes.models.iter().position(|model| model == canonical);
    let loose = || outcomes.models.iter().position(|model| tiers::key(model) == tiers::key(name));
    let found = exact.or_else(loose).map(|at| at as u32);
    found.ok_or_else(|| {
        let known: Vec<&str> = outcomes.models.iter().take(12).map(String::as_str).collect();
        TrainError::Unknown { what: "model", name: name.to_owned(), known: known.join(", ") }
    })
}

/// Prompts that both models answered, with both scores, in file order.
fn pairs(outcomes: &Outcomes, weak: u32, strong: u32) -> Vec<(usize, f64, f64)> {
    let mut scores: HashMap<u32, (Option<f64>, Option<f64>)> = HashMap::new();
    for row in &outcomes.rows {
        let entry = scores.entry(row.prompt).or_default();
        if row.model == weak {
            entry.0 = Some(f64::from(row.score));
        }
        if row.model == strong {
            entry.1 = Some(f64::from(row.score));
        }
    }
    let both = |prompt: usize| match scores.get(&(prompt as u32)) {
        Some((Some(weak), Some(strong))) => Some((prompt, *weak, *strong)),
        Some(_) | None => None,
    };
    (0..outcomes.prompts.len()).filter_map(both).collect()
}

#[cfg(test)]
mod tests;
