//! One model more, from a few dozen labels.
//!
//! The model is put in item-response form over what the bundle knows already: `logit p = slope · d(x) + intercept (+ residual)`, where `d` is
//! the ability-and-difficulty direction of the tier or model it resembles most. Slope (discrimination) and intercept (ability) are held
//! to that prior, so a few labels move them only as far as they carry. Nothing else in the bundle changes.

pub mod anchors;
mod expected;
mod fit;
mod labelled;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::domain::embedding::Embedding;
use crate::domain::ids::{BundleId, ModelName};
use crate::domain::scores::LabelSpace;
use crate::model::bundle::Bundle;
use crate::model::digest_of;
use crate::model::heads::SIGNALS;
use crate::model::heads::graph::HeadsGraph;
use crate::model::heads::read;
use crate::model::index::Vectors;
use crate::model::index::onboarded::{ITEMS_FILE, MOST_ONBOARDED, VECTORS_FILE, read_onboarded};
use crate::model::manifest::{Calibration, HeadsRef, IndexItem};
use crate::model::session::Device;
use crate::train::derive::{Changes, derive, json, json_lines};
use crate::train::directions::Directions;
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::onboard::expected::measured;
use crate::train::onboard::fit::{Fitted, Sample};
use crate::train::onboard::labelled::Labelled;
use crate::train::onnx;
use crate::train::outcomes::OutcomeOptions;
use crate::train::progress::Progress;
use crate::train::tiers::key;

pub use expected::{CurvePoint, Expected};

/// Fewest labels to add a model from: fewer say less than its tier does.
pub const LEAST_LABELS: usize = 16;

/// The file of a bundle that says how its last model was added.
pub const REPORT_FILE: &str = "onboarding.json";

/// Which model to add to which bundle.
#[derive(Clone, Debug)]
pub struct OnboardOptions {
    /// The model, as the outcomes and the configuration name it.
    pub model: String,
    /// Outcomes files; rows of other models are not used.
    pub outcomes: Vec<PathBuf>,
    /// Which rows of them, and how models are named.
    pub outcome_options: OutcomeOptions,
    /// Use only this many labels, drawn by the seed. For learning curves.
    pub most_labels: Option<usize>,
    /// The bundle.
    pub bundle: PathBuf,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// The tier it is thought to belong to. Without one, the labels alone say.
    pub tier: Option<String>,
    /// The standard error of its mean success that is good enough, in 0..0.5. The report says how many labels it takes.
    pub standard_error: f64,
    /// Where the new bundle will be. Must not exist.
    pub out: PathBuf,
    /// The new bundle's name. By default the old one's with the moment.
    pub id: Option<String>,
    /// Seeds folds, fits and the bootstrap.
    pub seed: u64,
    /// Threads that embed.
    pub threads: usize,
    /// Where a transformer encoder computes.
    pub device: Device,
}

/// What was learned of the model. Also `onboarding.json` in the new bundle, without the path.
#[derive(Clone, Debug, Serialize)]
pub struct OnboardReport {
    /// The new bundle's name.
    pub id: BundleId,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
    /// The model.
    pub model: String,
    /// Labels used.
    pub labels: usize,
    /// Their mean score.
    pub mean: f64,
    /// The tier or model whose direction it follows.
    pub prior: String,
    /// How steeply its success falls with difficulty, relative to the heads.
    pub discrimination: f64,
    /// Its ability beyond its prior's, in logits.
    pub ability: f64,
    /// Whether the labels carried a residual of its own.
    pub residual: bool,
    /// The error to expect on prompts like the labelled ones, by cross-validation over questions.
    pub expected: Expected,
    /// The error of the estimate that stood for the model before: its tier's.
    pub before: Expected,
    /// The expected error with fewer labels, to see whether more would help.
    pub curve: Vec<CurvePoint>,
    /// The standard error of its mean success.
    pub standard_error: f64,
    /// The standard error that was asked for.
    pub wanted_standard_error: f64,
    /// Labels it takes, all together.
    pub labels_needed: usize,
    /// Labels that are missing.
    pub labels_missing: usize,
    /// Labels that joined a prompt the index had, and prompts that were added beside it.
    pub evidence: (usize, usize),
    /// Seconds it took.
    pub seconds: f64,
}

/// Adds a model to a bundle and writes the new bundle to `out`.
///
/// Predictions for every tier and model that the bundle knew are what they were, to the bit. An interrupted or failed run leaves nothing
/// at `out`.
///
/// # Errors
/// A bundle that does not open or knows the model already, outcomes without it, too few labels or only one class of them, an unknown tier.
pub fn onboard(options: &OnboardOptions, progress: &dyn Progress) -> Result<OnboardReport, TrainError> {
    let start = Instant::now();
    if options.out.symlink_metadata().is_ok() {
        return Err(TrainError::OutputExists(options.out.clone()));
    }
    check(options)?;
    let (bundle, heads, calibration) = open(&options.bundle)?;
    let space = bundle.label_space();
    let stated = stated_tier(&space, options.tier.as_deref())?;
    let known = space.models().iter().find(|known| key(known.as_str()) == key(&options.model));
    if let Some(known) = known {
        let detail = format!(
            "the bundle knows `{known}` already; move it with more labels by `trimtab train --base {} --outcomes FILE`",
            options.bundle.display()
        );
        return Err(TrainError::Onboard { model: options.model.clone(), detail });
    }
    let mut encoder = encoder_of(&bundle, &options.models, (options.device, options.threads))?;
    let labelled = Labelled::read(options, &mut encoder, progress)?;
    let sample = labelled.sample(options.seed);
    let tiers = space.tiers().len();
    let directions = Directions::read(&bundle, heads.dimension + SIGNALS)?;
    let parts = (&heads, calibration.success.as_slice(), directions.as_ref());
    let fitted = fit::fit(parts, sample, (tiers, stated), progress)?;
    let prior = crate::train::adapt::position_name(&space, fitted.prior);
    let before_at = stated.unwrap_or_else(|| {
        if fitted.prior < tiers { fitted.prior } else { nearest_tier(&heads.level, (fitted.prior, tiers)) }
    });
    let outputs = fit::outputs(&heads, &labelled.features);
    let as_tier = calibration.success.get(before_at);
    let before: Vec<f64> = fit::logits(&outputs, before_at)
        .into_iter()
        .map(|logit| as_tier.map_or(0.5, |map| map.apply(logit).get()))
        .collect();
    let count = labelled.scores.len();
    let mean = labelled.scores.iter().sum::<f64>() / count as f64;
    let spread = (mean * (1.0 - mean)).max(1.0 / (count as f64 + 2.0));
    let needed = (spread / options.standard_error.powi(2)).ceil() as usize;
    let mut report = OnboardReport {
        id: BundleId::from(""),
        path: PathBuf::new(),
        model: options.model.clone(),
        labels: count,
        mean,
        prior,
        discrimination: fitted.slope,
        ability: fitted.intercept,
        residual: fitted.residual.is_some(),
        expected: measured(&fitted.held_out, &labelled.scores, options.seed),
        before: measured(&before, &labelled.scores, options.seed),
        curve: expected::curve(sample, &fitted.basis),
        standard_error: (spread / count as f64).sqrt(),
        wanted_standard_error: options.standard_error,
        labels_needed: needed,
        labels_missing: needed.saturating_sub(count),
        evidence: (0, 0),
        seconds: 0.0,
    };
    let position = space.len();
    let mut changes = Changes { models: vec![ModelName::from(options.model.as_str())], ..Changes::default() };
    changes.id.clone_from(&options.id);
    add_scorer(&bundle, &fitted, &bundle.manifest().heads, &mut changes)?;
    if let Some(careful) = &bundle.manifest().careful {
        let fitted = careful_fit(&bundle, (options, &labelled), (tiers, stated), (&fitted, progress))?;
        add_scorer(&bundle, &fitted, &careful.heads, &mut changes)?;
    }
    report.evidence = add_evidence(&bundle, &labelled, position, &mut changes)?;
    report.seconds = start.elapsed().as_secs_f64();
    changes.files.insert(REPORT_FILE.to_owned(), json(&report)?);
    (report.id, report.path) = derive(&bundle, changes, (&options.out, &options.models), progress)?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

fn check(options: &OnboardOptions) -> Result<(), TrainError> {
    let wrong = |detail: &str| Err(TrainError::Onboard { model: options.model.clone(), detail: detail.to_owned() });
    if options.model.trim().is_empty() {
        return wrong("it has no name; give the name that the configuration uses");
    }
    if !(options.standard_error > 0.0 && options.standard_error < 0.5) {
        return wrong("`--standard-error` must be above 0 and below 0.5");
    }
    Ok(())
}

/// The bundle with the fast heads and their calibration.
fn open(directory: &std::path::Path) -> Result<(Bundle, HeadsGraph, Calibration), TrainError> {
    let bundle = Bundle::open(directory).map_err(TrainError::model("opening the bundle"))?;
    let (heads, calibration) = scorer_of(&bundle, &bundle.manifest().heads)?;
    Ok((bundle, heads, calibration))
}

fn scorer_of(bundle: &Bundle, heads: &HeadsRef) -> Result<(HeadsGraph, Calibration), TrainError> {
    let wrap = |error| TrainError::model("reading the bundle")(error);
    let graph = read::decode(&bundle.read(&heads.path).map_err(wrap)?)?;
    Ok((graph, bundle.read_json(&heads.calibration).map_err(wrap)?))
}

/// The encoder that the fast scorer of a bundle was made for.
pub(crate) fn encoder_of(
    bundle: &Bundle,
    models: &std::path::Path,
    (device, threads): (Device, usize),
) -> Result<TextEncoder, TrainError> {
    let found = bundle.encoder(&bundle.manifest().encoder, models);
    let found = found.map_err(TrainError::model("finding the bundle's encoder"))?;
    TextEncoder::open(found.directory(), (device, threads))
}

fn stated_tier(space: &LabelSpace, tier: Option<&str>) -> Result<Option<usize>, TrainError> {
    let Some(tier) = tier else { return Ok(None) };
    let found = space.tiers().iter().position(|known| known.as_str() == tier);
    let known = || space.tiers().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| TrainError::Unknown { what: "tier", name: tier.to_owned(), known: known() })
}

/// The tier whose level is nearest to a model's.
fn nearest_tier(levels: &[f32], (position, tiers): (usize, usize)) -> usize {
    let level = |at: usize| levels.get(at).copied().unwrap_or(0.0);
    let distance = |tier: usize| (level(tier) - level(position)).abs();
    (0..tiers).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}

/// The fit for the careful heads: their own where their encoder is installed, else the fast one's ability on the same direction.
fn careful_fit(
    bundle: &Bundle,
    (options, labelled): (&OnboardOptions, &Labelled),
    (tiers, stated): (usize, Option<usize>),
    (fast, progress): (&Fitted, &dyn Progress),
) -> Result<Fitted, TrainError> {
    let Some(careful) = &bundle.manifest().careful else { return Ok(fast.clone()) };
    let Ok(directory) = bundle.encoder(&careful.encoder, &options.models) else {
        return Ok(Fitted { residual: None, ..fast.clone() });
    };
    let mut encoder = TextEncoder::open(directory.directory(), (options.device, options.threads))?;
    let texts: Vec<&str> = labelled.texts.iter().map(|text| &**text).collect();
    let features = encoder.features(&texts, progress)?;
    let (heads, calibration) = scorer_of(bundle, &careful.heads)?;
    let sample = Sample { features: &features, ..labelled.sample(options.seed) };
    fit::fit((&heads, &calibration.success, None), sample, (tiers, stated), progress)
}

/// Puts the model into one scorer: its graph and its calibration.
fn add_scorer(bundle: &Bundle, fitted: &Fitted, files: &HeadsRef, changes: &mut Changes) -> Result<(), TrainError> {
    let (mut heads, mut calibration) = scorer_of(bundle, files)?;
    fit::write(fitted, (&mut heads, &mut calibration.success));
    let before = bundle.read(&files.path).map_err(TrainError::model("reading the bundle"))?;
    let graph = onnx::encode_with(&heads, read::added(&before)? + 1);
    calibration.heads = digest_of(&graph);
    changes.files.insert(files.path.clone(), graph);
    changes.files.insert(files.calibration.clone(), json(&calibration)?);
    Ok(())
}

/// Puts the labels where neighbours are looked for: on the item of the same prompt where the index has one, else beside the index.
fn add_evidence(
    bundle: &Bundle,
    labelled: &Labelled,
    position: usize,
    changes: &mut Changes,
) -> Result<(usize, usize), TrainError> {
    let wrap = |error| TrainError::model("reading the index of the bundle")(error);
    // Without an index there is nothing that the calibration could be tied to.
    let Some(index) = &bundle.manifest().index else { return Ok((0, 0)) };
    let mut items: Vec<IndexItem> = bundle.read_json_lines(&index.items).map_err(wrap)?;
    let beside = read_onboarded(bundle, (index.dimension, position)).map_err(wrap)?;
    let (mut vectors, mut added) = beside.unwrap_or_else(|| (Vectors::new(index.dimension), Vec::new()));
    let mut place: std::collections::HashMap<String, (bool, usize)> = std::collections::HashMap::new();
    place.extend(added.iter().enumerate().map(|(at, item)| (item.id.clone(), (false, at))));
    place.extend(items.iter().enumerate().map(|(at, item)| (item.id.clone(), (true, at))));
    let (mut joined, mut new) = (0, 0);
    for (row, (name, score)) in labelled.names.iter().zip(&labelled.scores).enumerate() {
        let label = (position as u16, ((score * 1000.0).round() / 1000.0) as f32);
        match place.get(name) {
            Some(&(true, at)) => {
                joined += 1;
                items.get_mut(at).into_iter().for_each(|item| item.labels.push(label));
            }
            Some(&(false, at)) => {
                joined += 1;
                added.get_mut(at).into_iter().for_each(|item| item.labels.push(label));
            }
            None if added.len() < MOST_ONBOARDED => {
                let embedding = Embedding::normalise(labelled.features.embedding(row));
                if embedding.is_some_and(|embedding| vectors.push(&embedding)) {
                    new += 1;
                    place.insert(name.clone(), (false, added.len()));
                    added.push(IndexItem { id: name.clone(), labels: vec![label] });
                }
            }
            None => {}
        }
    }
    if items.iter().any(|item| item.labels.iter().any(|label| usize::from(label.0) == position)) {
        changes.files.insert(index.items.clone(), json_lines(&items)?);
    }
    if !added.is_empty() {
        changes.files.insert(ITEMS_FILE.to_owned(), json_lines(&added)?);
        changes.files.insert(VECTORS_FILE.to_owned(), vectors.to_bytes());
    }
    Ok((joined, new))
}

#[cfg(test)]
mod tests;
