//! Setting the dial on a user's own traffic.
//!
//! Every setting is tried with the code that decides, on asks from an outcomes file or from the server's log. What is asked for may be a
//! share, a cost or a quality; the first two need no labels at all.

mod quality;
mod risk;
mod slices;
mod sweep;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Serialize;

use crate::domain::calibration::Dial;
use crate::domain::candidate::Candidate;
use crate::domain::ids::BundleId;
use crate::domain::probability::Probability;
use crate::domain::steps::DialSample;
use crate::model::bundle::Bundle;
use crate::model::generation::{Generation, PrepareSettings};
use crate::model::manifest::Calibration;
use crate::train::derive::{Changes, derive, json};
use crate::train::dial::quality::Known;
use crate::train::dial::sweep::{SETTINGS, Swept, sweep};
use crate::train::error::TrainError;
use crate::train::progress::Progress;
use crate::train::tiers::key;
use crate::train::traffic::{self, Source, Traffic};

pub use quality::Basis;
pub use slices::Slice;

/// Fewest asks from which a share or a cost is told.
const LEAST_ASKS: usize = 20;
/// Fewest asks from which the dial's table is fitted anew.
const LEAST_FOR_TABLE: usize = 200;

/// What the dial should do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Send this share of traffic to others than the cheapest, 0..1.
    ShareStrong(f64),
    /// Keep at least this part of the strongest model's quality, above 0 and at most 1.
    TargetQuality(f64),
    /// Cost at most this many dollars for a thousand calls.
    MaxCostPer1k(f64),
}

/// What to set, and on what.
#[derive(Clone, Debug)]
pub struct CalibrateOptions {
    /// The bundle.
    pub bundle: PathBuf,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// The traffic.
    pub source: Source,
    /// The models that may answer, weakest tier first.
    pub candidates: Vec<Candidate>,
    /// What is wanted.
    pub goal: Goal,
    /// The chance that a promised quality is not kept, above 0 and below 0.5.
    pub delta: f64,
    /// Orders the asks and resamples.
    pub seed: u64,
    /// Where to write a bundle whose dial is fitted on this traffic. Must not exist.
    pub out: Option<PathBuf>,
    /// Its name.
    pub id: Option<String>,
}

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The estimate.
    pub value: f64,
    /// Its interval.
    pub interval: [f64; 2],
}

/// A quality that is kept with a stated probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Promise {
    /// The part of the strongest model's quality.
    pub share: f64,
    /// The chance that it is not kept.
    pub delta: f64,
    /// How surprising these labels would be if it were not.
    pub p_value: f64,
    /// Labelled asks behind it.
    pub labels: usize,
    /// How it was found.
    pub method: &'static str,
    /// What it rests on.
    pub assumption: &'static str,
}

/// The setting that does what is asked.
#[derive(Clone, Debug, Serialize)]
pub struct DialReport {
    /// What was asked.
    pub goal: Goal,
    /// The bundle that the setting is for.
    pub bundle: BundleId,
    /// The dial.
    pub quality: f64,
    /// The least gain that it means; `None` at the ends.
    pub threshold: Option<f64>,
    /// The share of asks that go to others than the cheapest.
    pub share_up: Measured,
    /// The share of every candidate.
    pub shares: Vec<(String, f64)>,
    /// The mean score.
    pub score: Measured,
    /// The mean score relative to that of the strongest.
    pub relative_quality: Measured,
    /// Dollars for a thousand calls, where every candidate has a price.
    pub cost_per_1k: Option<Measured>,
    /// Dollars for a thousand calls if the strongest answered all.
    pub strongest_cost_per_1k: Option<f64>,
    /// What the quality rests on.
    pub basis: Basis,
    /// Asks in all.
    pub asks: usize,
    /// Asks that quality was told on.
    pub told_on: usize,
    /// Of a log: how many asks with a known answer of the chosen model that is worth.
    pub effective_sample_size: Option<f64>,
    /// Asks without scores, which the default tier answers.
    pub unscored: usize,
    /// Rows that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The promise, where one was asked for.
    pub promise: Option<Promise>,
    /// Calibration error by model and tier, dataset and task.
    pub calibration: Vec<Slice>,
    /// Ready for the configuration file.
    pub toml: String,
    /// What was assumed.
    pub assumed: Vec<String>,
    /// The bundle with the dial of this traffic, where one was asked for.
    pub written: Option<(BundleId, PathBuf)>,
}

/// Finds the setting that does what is asked, and writes a bundle with a dial of this traffic where that is asked too.
///
/// # Errors
/// A bundle or traffic that does not read, goals out of range or out of reach (with the best that can be), and promises for which there are
/// too few labels (with how many are needed). Nothing is written then.
pub fn calibrate(options: &CalibrateOptions, progress: &dyn Progress) -> Result<DialReport, TrainError> {
    check(options)?;
    let slots = NonZeroUsize::MIN;
    let settings = PrepareSettings { slots, careful: None, ..PrepareSettings::new(&options.bundle, &options.models) };
    let generation = Generation::prepare(&settings).map_err(TrainError::model("loading the bundle"))?;
    let traffic = traffic::read(&options.source, &generation, progress)?;
    let keys: Vec<String> = options.candidates.iter().map(|candidate| key(candidate.model.as_str())).collect();
    known_models(options, (&traffic, &keys))?;
    let given = generation.dial_for(&options.candidates);
    let mut swept = sweep(&traffic.asks, (&generation, &given), &options.candidates, progress)?;
    let needed = if options.out.is_some() { LEAST_FOR_TABLE } else { LEAST_ASKS };
    if swept.len() < needed {
        let detail = format!(
            "{} asks can be scored, at least {needed} are needed{}",
            swept.len(),
            if options.out.is_some() {
                " to fit a dial; leave out `--out`, or give more traffic"
            } else {
                "; give more traffic"
            }
        );
        return Err(TrainError::Dial { what: "traffic", detail });
    }
    let mut dial = given;
    if options.out.is_some() {
        let steps: Vec<Vec<f64>> = swept.iter().map(|one| one.steps.clone()).collect();
        dial = Dial::from_steps(&steps).unwrap_or(dial);
        swept = sweep(&traffic.asks, (&generation, &dial), &options.candidates, progress)?;
    }
    let known = Known::of(&swept, &traffic.asks, (&keys, traffic.is_log));
    let (setting, promise) = match options.goal {
        Goal::ShareStrong(share) => (at_share(&swept, share), None),
        Goal::MaxCostPer1k(most) => (at_cost(&swept, &options.candidates, most)?, None),
        Goal::TargetQuality(part) => {
            let (setting, promise) = known.promise(part, (options.delta, options.seed))?;
            (setting, Some(promise))
        }
    };
    let mut report = report(options, (&traffic, &swept, &keys), (setting, &dial, &known));
    report.promise = promise;
    report.bundle = generation.id().clone();
    if let Some(out) = &options.out {
        let (id, path) = write(options, &dial, out, progress)?;
        report.bundle = id.clone();
        report.written = Some((id, path));
    }
    Ok(report)
}

fn check(options: &CalibrateOptions) -> Result<(), TrainError> {
    let wrong = |what, detail: &str| Err(TrainError::Dial { what, detail: detail.to_owned() });
    if let Some(out) = options.out.as_ref().filter(|out| out.symlink_metadata().is_ok()) {
        return Err(TrainError::OutputExists(out.clone()));
    }
    match options.goal {
        Goal::ShareStrong(share) if !(0.0..=1.0).contains(&share) => wrong("--share-strong", "expected 0 to 1"),
        Goal::TargetQuality(part) if !(part > 0.0 && part <= 1.0) => {
            wrong("--target-quality", "expected a part of the strongest model's quality, above 0 and at most 1")
        }
        Goal::MaxCostPer1k(most) if !(most > 0.0 && most.is_finite()) => {
            wrong("--max-cost-per-1k", "expected a positive amount of US dollars")
        }
        Goal::ShareStrong(_) | Goal::TargetQuality(_) | Goal::MaxCostPer1k(_) => {
            if !(options.delta > 0.0 && options.delta < 0.5) {
                return wrong("--delta", "expected a chance above 0 and below 0.5");
            }
            if options.candidates.len() < 2 {
                return wrong(
                    "models",
                    "a dial needs two models to choose from; configure two, or name them with --weak and --strong",
                );
            }
            Ok(())
        }
    }
}

/// A promise needs outcomes of every candidate; what needs no labels works without.
fn known_models(options: &CalibrateOptions, (traffic, keys): (&Traffic, &[String])) -> Result<(), TrainError> {
    let missing = keys.iter().zip(&options.candidates).find(|(key, _)| !traffic.models.contains(key));
    match (options.goal, missing) {
        (Goal::TargetQuality(_), Some((_, candidate))) if !traffic.is_log => Err(TrainError::Unknown {
            what: "model",
            name: candidate.model.to_string(),
            known: traffic.models.iter().take(12).cloned().collect::<Vec<_>>().join(", "),
        }),
        _ => Ok(()),
    }
}

fn share(swept: &[Swept], setting: usize) -> f64 {
    swept.iter().filter(|one| one.goes_up(setting)).count() as f64 / swept.len().max(1) as f64
}

/// The setting whose share is nearest to the one asked for.
fn at_share(swept: &[Swept], wanted: f64) -> usize {
    let off = |setting: &usize| (share(swept, *setting) - wanted).abs();
    (0..SETTINGS).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0)
}

/// Dollars for a thousand calls at a setting. `None` if a candidate has no price.
fn cost(swept: &[Swept], setting: usize) -> Option<Vec<f64>> {
    swept.iter().map(|one| one.costs.get(one.pick(setting)).copied().flatten().map(|usd| 1_000.0 * usd)).collect()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// The highest setting that costs no more.
fn at_cost(swept: &[Swept], candidates: &[Candidate], most: f64) -> Result<usize, TrainError> {
    let what = "--max-cost-per-1k";
    let unpriced: Vec<String> =
        candidates.iter().filter(|one| one.price.is_none()).map(|one| format!("`{}`", one.model)).collect();
    if !unpriced.is_empty() {
        let detail =
            format!("{} has no price; configure `price = {{ input = …, output = … }}` for it", unpriced.join(", "));
        return Err(TrainError::Dial { what, detail });
    }
    let expected = |setting: usize| cost(swept, setting).map_or(f64::INFINITY, |costs| mean(&costs));
    (0..SETTINGS).rev().find(|&setting| expected(setting) <= most).ok_or_else(|| {
        let least = (0..SETTINGS).map(expected).fold(f64::INFINITY, f64::min);
        let detail =
            format!("${most} for a thousand calls cannot be met; the least that these models can do is ${least:.4}");
        TrainError::Dial { what, detail }
    })
}

fn report(
    options: &CalibrateOptions,
    (traffic, swept, keys): (&Traffic, &[Swept], &[String]),
    (setting, dial, known): (usize, &Dial, &Known<'_>),
) -> DialReport {
    let quality = sweep::quality(setting);
    let threshold = Some(dial.threshold(Probability::clamped(quality))).filter(|threshold| threshold.is_finite());
    let (score, relative_quality) = known.quality(setting, options.seed);
    let picked = |candidate: usize| swept.iter().filter(|one| one.pick(setting) == candidate).count();
    let shares = options.candidates.iter().enumerate();
    let mut assumed = vec!["traffic to come is like these asks".to_owned()];
    match known.basis() {
        Basis::Outcomes => {}
        Basis::DoublyRobust => assumed.push(
            "logged propensities are right and feedback does not depend on how good the answer was; weights above 20 were cut".to_owned(),
        ),
        Basis::Predictions => assumed.push(
            "quality is what the bundle predicts: no answers of these models on these asks are known, or the log never explored".to_owned(),
        ),
    }
    if cost(swept, setting).is_some() {
        assumed.push("answers are as long as predicted, and log-normal".to_owned());
    }
    DialReport {
        goal: options.goal,
        bundle: BundleId::from(""),
        quality,
        threshold,
        share_up: wilson(share(swept, setting), swept.len()),
        shares: shares
            .map(|(at, candidate)| (candidate.model.to_string(), picked(at) as f64 / swept.len().max(1) as f64))
            .collect(),
        score,
        relative_quality,
        cost_per_1k: cost(swept, setting).map(|costs| normal(&costs)),
        strongest_cost_per_1k: cost(swept, SETTINGS - 1).map(|costs| mean(&costs)),
        basis: known.basis(),
        asks: traffic.asks.len(),
        told_on: known.len(),
        effective_sample_size: known.effective_size(setting),
        unscored: traffic.asks.len() - swept.len(),
        skipped: traffic.skipped.clone(),
        promise: None,
        calibration: slices::slices(swept, &traffic.asks, (&options.candidates, keys)),
        toml: format!("[policies.calibrated]\nquality = {}\n", quality::shown(setting)),
        assumed,
        written: None,
    }
}

/// A share with Wilson's interval.
fn wilson(share: f64, count: usize) -> Measured {
    let (n, z) = (count.max(1) as f64, 1.96_f64);
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    Measured { value: share, interval: [(centre - reach).max(0.0), (centre + reach).min(1.0)] }
}

/// A mean with its normal interval.
fn normal(numbers: &[f64]) -> Measured {
    let value = mean(numbers);
    let count = numbers.len().max(1) as f64;
    let variance = numbers.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let reach = 1.96 * (variance / count).sqrt();
    Measured { value, interval: [(value - reach).max(0.0), value + reach] }
}

/// Writes the bundle with this dial and everything else as it is.
fn write(
    options: &CalibrateOptions,
    dial: &Dial,
    out: &std::path::Path,
    progress: &dyn Progress,
) -> Result<(BundleId, PathBuf), TrainError> {
    let wrap = |error| TrainError::model("reading the bundle")(error);
    let bundle = Bundle::open(&options.bundle).map_err(wrap)?;
    let manifest = bundle.manifest();
    let careful = manifest.careful.as_ref().map(|careful| &careful.heads);
    let mut changes = Changes { id: options.id.clone(), ..Changes::default() };
    for heads in std::iter::once(&manifest.heads).chain(careful) {
        let mut calibration: Calibration = bundle.read_json(&heads.calibration).map_err(wrap)?;
        // The dial is that of these models on this traffic; a sample would make another one of it.
        (calibration.dial, calibration.sample) = (dial.clone(), DialSample::default());
        changes.files.insert(heads.calibration.clone(), json(&calibration)?);
    }
    derive(&bundle, changes, (out, &options.models), progress)
}

#[cfg(test)]
mod tests;
