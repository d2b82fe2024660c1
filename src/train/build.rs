//! Training, from files to a bundle.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use crate::domain::ids::{BundleId, ItemId};
use crate::model::bundle::BASELINE_FILE;
use crate::model::manifest::TrainedOn;
use crate::model::session::Device;
use crate::train::baseline;
use crate::train::clock;
use crate::train::dataset::{Dataset, TaskSet, Unseen};
use crate::train::derive::json;
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::gain::Part;
use crate::train::fit::heads::{self, HeadsData};
use crate::train::gates;
use crate::train::held_out::{HeldOut, measure};
use crate::train::index_build::{self, IndexSettings};
use crate::train::outcomes::{self, Filter, OutcomeOptions};
use crate::train::progress::Progress;
use crate::train::publish::{PartSizes, Parts, TrainReport, write};
use crate::train::retrain::retrain;
use crate::train::scorer::{Scorer, Surroundings};
use crate::train::split::Split;
use crate::train::tasks::{self, TaskRows};
use crate::train::tiers::Tiers;

/// Task rows that the careful scorer learns from at most: its encoder takes a thousand times as long as the fast one for each.
const CAREFUL_TASK_ROWS: usize = 24_000;

/// What to train on, and what to write.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Outcomes files. May be empty if there is feedback and a base.
    pub outcomes: Vec<PathBuf>,
    /// Which rows of them, and how models are named.
    pub outcome_options: OutcomeOptions,
    /// A file of prompts with tasks. Without one the task head of the base is kept, or knows nothing.
    pub tasks: Option<PathBuf>,
    /// Which rows of it.
    pub task_filters: Vec<Filter>,
    /// An exported log with feedback. Needs a base.
    pub feedback: Option<PathBuf>,
    /// The bundle to adapt. Without one a bundle is trained from nothing.
    pub base: Option<PathBuf>,
    /// Prompts that must stay unseen, with all that are nearly the same.
    pub unseen: Unseen,
    /// Which models are weak and strong. Without a file they are ranked by their scores.
    pub tiers: Option<PathBuf>,
    /// The directory of the fast encoder. Without one the base's is used.
    pub encoder: Option<PathBuf>,
    /// The directory of the careful encoder, if careful heads are wanted. When adapting, the base's is found by itself where it is installed.
    pub careful_encoder: Option<PathBuf>,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// Where the bundle will be. Must not exist.
    pub out: PathBuf,
    /// The bundle's name. By default the moment and a digest of the data.
    pub id: Option<String>,
    /// Seeds every draw: the same files and seed give the same bundle.
    pub seed: u64,
    /// Threads that embed.
    pub threads: usize,
    /// Where a transformer encoder computes.
    pub device: Device,
    /// The most that one caller's feedback may weigh, as a share of all, above 0 and at most 1.
    pub caller_share: f64,
}

/// Trains a bundle and writes it to `out`.
///
/// With a base, outcomes and feedback adapt it; without, outcomes are learned from nothing. An interrupted or failed training leaves
/// nothing at `out`. A bundle that fails a gate is written with its reasons: see [`TrainReport::passed`].
///
/// # Errors
/// [`TrainError`] says what is wrong with which file, and what to do.
pub fn train(options: &TrainOptions, progress: &dyn Progress) -> Result<TrainReport, TrainError> {
    if options.out.symlink_metadata().is_ok() {
        return Err(TrainError::OutputExists(options.out.clone()));
    }
    match &options.base {
        Some(base) => retrain(options, base, progress),
        None if options.feedback.is_some() => Err(TrainError::FeedbackWithoutBase),
        None => from_nothing(options, progress),
    }
}

fn from_nothing(options: &TrainOptions, progress: &dyn Progress) -> Result<TrainReport, TrainError> {
    let start = Instant::now();
    let directory = options.encoder.as_ref().ok_or(TrainError::NoEncoder)?;
    let mut encoder = TextEncoder::open(directory, (options.device, options.threads))?;
    let tiers = options.tiers.as_ref().map_or_else(|| Ok(Tiers::default()), |path| Tiers::load(path))?;
    let task_rows =
        options.tasks.as_ref().map(|path| tasks::read(path, &options.task_filters, progress)).transpose()?;
    let outcomes = outcomes::read(&options.outcomes, &options.outcome_options, progress)?;
    let read = outcomes.report.clone();
    let data = Dataset::prepare(outcomes, &mut encoder, (&tiers, &options.unseen, options.seed), progress)?;
    let settings = IndexSettings::seeded(options.seed);
    let names: Vec<String> = data.outcomes.prompts.iter().map(|prompt| item_name(&prompt.text)).collect();
    let name = |prompt: usize| names.get(prompt).cloned().unwrap_or_default();
    let dataset_of = |prompt: usize| data.outcomes.prompts.get(prompt).map_or(0, |prompt| prompt.dataset);
    let content = |prompts: &[usize]| {
        let chosen = index_build::choose(prompts, dataset_of, &settings);
        index_build::gather((&data.features, &data.labels), &chosen, (&settings, &name), progress)
    };
    let fit_index = content(&data.split.fit)?.index(&settings);
    let item_datasets = data.split.fit.iter().map(|&prompt| (ItemId::from(name(prompt)), dataset_of(prompt))).collect();
    let around = Around { data: &data, index: &fit_index, item_datasets: &item_datasets, dataset_of: &dataset_of };
    let (scorer, held_out) =
        around.scorer(&data.features, (task_rows.as_ref(), &mut encoder, options.seed), progress)?;
    let careful = match &options.careful_encoder {
        None => None,
        Some(directory) => {
            let mut encoder = TextEncoder::open(directory, (options.device, options.threads))?;
            let texts: Vec<&str> = data.outcomes.prompts.iter().map(|prompt| &*prompt.text).collect();
            let features = encoder.features(&texts, progress)?;
            let rows = task_rows.as_ref().map(|rows| rows.thinned(CAREFUL_TASK_ROWS));
            let tasks = (rows.as_ref(), &mut encoder, options.seed);
            let (scorer, held_out) = around.scorer(&features, tasks, progress)?;
            Some((scorer, encoder.reference(), held_out))
        }
    };
    let part = Part { features: &data.features, labels: &data.labels, prompts: &data.split.calibration };
    let text_of = |prompt: usize| data.outcomes.prompts.get(prompt).map_or("", |prompt| &*prompt.text);
    let described = baseline::baseline(&scorer, part, (&fit_index, &text_of));
    let all: Vec<usize> = (0..data.outcomes.prompts.len()).collect();
    let full = content(&all)?;
    let part = Part { features: &data.features, labels: &data.labels, prompts: &data.split.fit };
    let mut extra = crate::train::extra::learned((&scorer, &held_out), (part, options), (&data, &tiers), progress)?;
    if let Some(baseline) = described {
        extra.insert(BASELINE_FILE.to_owned(), json(&baseline)?);
    }
    let trained_on = data.trained_on();
    let mut report = TrainReport {
        id: id(options, &trained_on),
        path: PathBuf::new(),
        seed: options.seed,
        read: Some(read),
        prompts: PartSizes {
            fit: data.split.fit.len(),
            calibration: data.split.calibration.len(),
            test: data.split.test.len(),
        },
        left_out: data.left_out,
        misfits: misfits(&data),
        gates: gates::alone(&held_out),
        held_out: Some(held_out),
        careful_held_out: careful.as_ref().map(|(_, _, held_out)| held_out.clone()),
        adapted: None,
        careful: None,
        influence: None,
        moved: None,
        index: None,
        seconds: start.elapsed().as_secs_f64(),
    };
    let parts = Parts {
        scorer: &scorer,
        careful: careful.as_ref().map(|(scorer, encoder, _)| (scorer, encoder.clone())),
        space: &data.labels.space,
        content: &full,
        settings,
        parent: None,
        learned: data.outcomes.prompts.iter().map(|prompt| prompt.stem).collect(),
        trained_on,
        extra,
    };
    write(&parts, (&options.out, &options.models), (&mut encoder, &mut report), progress)?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// What both scorers of a bundle are calibrated and measured with.
struct Around<'a> {
    data: &'a Dataset,
    index: &'a crate::model::index::NeighbourIndex,
    item_datasets: &'a HashMap<ItemId, u32>,
    dataset_of: &'a dyn Fn(usize) -> u32,
}

impl Around<'_> {
    /// Fits, calibrates and measures one scorer; then fits and calibrates it again with what it was measured on, which is the one that ships.
    ///
    /// The measurement is of the first one, so it says a little less than the second can do. The calibration prompts stay unseen by
    /// the heads both times.
    fn scorer(
        &self,
        features: &Features,
        (tasks, encoder, seed): (Option<&TaskRows>, &mut TextEncoder, u64),
        progress: &dyn Progress,
    ) -> Result<(Scorer, HeldOut), TrainError> {
        let data = self.data;
        let sets = match tasks {
            Some(rows) => Some(TaskSet::prepare(rows, encoder, progress)?.halves(rows)),
            None => None,
        };
        let of = |set: fn(&(TaskSet, TaskSet)) -> &TaskSet| {
            sets.as_ref()
                .map(set)
                .filter(|set| !set.classes.is_empty())
                .map(|set| (&set.features, set.classes.as_slice()))
        };
        let (fitting, held_out) = (of(|sets| &sets.0), of(|sets| &sets.1));
        let (groups, answers) = (data.groups(), data.answers());
        let fit = |split: &Split| {
            let (labels, groups, answers) = (&data.labels, &groups, &answers);
            heads::fit(HeadsData { features, labels, groups, answers, tasks: fitting, split, seed }, progress)
        };
        let around = Surroundings {
            index: self.index,
            index_features: &data.features,
            dataset_of: self.dataset_of,
            item_datasets: self.item_datasets,
            indexed: &data.split.fit,
            tasks: held_out,
        };
        let part = Part { features, labels: &data.labels, prompts: &data.split.calibration };
        let scorer = Scorer::calibrate(fit(&data.split)?, part, around, progress)?;
        let measured = measure(&scorer, Part { prompts: &data.split.test, ..part }, around, (held_out, seed));
        let shipped = Scorer::calibrate(fit(&data.split.without_test())?, part, around, progress)?;
        Ok((shipped, measured))
    }
}

/// The name of an index item: a digest of its text.
fn item_name(text: &str) -> String {
    format!("{:016x}", outcomes::digest(text))
}

/// The name asked for, or the moment and the first digits of the data's digest.
pub(super) fn id(options: &TrainOptions, trained_on: &TrainedOn) -> BundleId {
    let named = options.id.clone();
    let short: String = trained_on.digest.chars().take(6).collect();
    let now = clock::now().replace([':', '-'], "");
    BundleId::from(named.unwrap_or_else(|| format!("{now}-{short}")))
}

fn misfits(data: &Dataset) -> Vec<String> {
    let name = |names: &[String], at: u32| names.get(at as usize).cloned().unwrap_or_default();
    let words = data.misfits.iter().map(|misfit| {
        let (dataset, model) =
            (name(&data.outcomes.datasets, misfit.dataset), name(&data.outcomes.models, misfit.model));
        format!("{model} in {dataset} ({:+.2})", misfit.residual)
    });
    words.collect()
}

#[cfg(test)]
mod tests;
