//! Training, from files to a bundle.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use crate::domain::ids::{BundleId, ItemId};
use crate::model::bundle::{BASELINE_FILE, EncoderDirectory};
use crate::model::manifest::TrainedOn;
use crate::model::session::Device;
use crate::train::adapt::{self, Experience};
use crate::train::base::Base;
use crate::train::baseline;
use crate::train::clock;
use crate::train::dataset::{Dataset, TaskSet, Unseen, trained_on};
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::feedback;
use crate::train::fit::gain::Part;
use crate::train::fit::heads::{self, HeadsData};
use crate::train::held_out::{HeldOut, measure};
use crate::train::index_build::{self, IndexSettings};
use crate::train::outcomes::{self, Filter, OutcomeOptions, Outcomes};
use crate::train::progress::Progress;
use crate::train::publish::{Gate, PartSizes, Parts, TrainReport, write};
use crate::train::scorer::{Scorer, Surroundings};
use crate::train::split::Split;
use crate::train::tasks::{self, TaskRows};
use crate::train::tiers::Tiers;

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
    /// The directory of the careful encoder, if careful heads are wanted. Not used when adapting.
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
        Some(base) => adapt_base(options, base, progress),
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
            let tasks = (task_rows.as_ref(), &mut encoder, options.seed);
            let (scorer, _) = around.scorer(&features, tasks, progress)?;
            Some((scorer, encoder.reference()))
        }
    };
    let part = Part { features: &data.features, labels: &data.labels, prompts: &data.split.calibration };
    let text_of = |prompt: usize| data.outcomes.prompts.get(prompt).map_or("", |prompt| &*prompt.text);
    let baseline = baseline::baseline(&scorer, part, (&fit_index, &text_of));
    let all: Vec<usize> = (0..data.outcomes.prompts.len()).collect();
    let full = content(&all)?;
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
        gates: vec![not_worse_than_mixing(&held_out)],
        held_out: Some(held_out),
        adapted: None,
        index: None,
        seconds: start.elapsed().as_secs_f64(),
    };
    let parts = Parts {
        scorer: &scorer,
        careful: careful.as_ref().map(|(scorer, encoder)| (scorer, encoder.clone())),
        space: &data.labels.space,
        content: &full,
        settings,
        parent: None,
        trained_on,
        baseline,
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

fn adapt_base(
    options: &TrainOptions,
    base: &std::path::Path,
    progress: &dyn Progress,
) -> Result<TrainReport, TrainError> {
    let start = Instant::now();
    let (bundle, base) = Base::at(base)?;
    let directory = match &options.encoder {
        Some(directory) => directory.clone(),
        None => {
            let found = bundle.encoder(&base.manifest.encoder, &options.models);
            found.map_err(TrainError::model("finding the base's encoder"))?.directory().to_path_buf()
        }
    };
    let given = EncoderDirectory::open(&directory).map_err(TrainError::model("opening the encoder"))?.reference();
    if given.digest != base.manifest.encoder.digest {
        return Err(TrainError::OtherEncoder { base: base.manifest.encoder.digest, given: given.digest });
    }
    let mut encoder = TextEncoder::open(&directory, (options.device, options.threads))?;
    let mut experience = Experience::default();
    let mut read = None;
    let mut rows = TrainedOn::default();
    if !options.outcomes.is_empty() {
        let outcomes: Outcomes = outcomes::read(&options.outcomes, &options.outcome_options, progress)?;
        let texts: Vec<&str> = outcomes.prompts.iter().map(|prompt| &*prompt.text).collect();
        let features = encoder.features(&texts, progress)?;
        rows = trained_on(&outcomes);
        read = Some(outcomes.report.clone());
        experience.append(Experience::of(&outcomes, features));
    }
    if let Some(path) = &options.feedback {
        let told = feedback::read(path, &mut encoder, progress)?;
        rows.rows += told.rows() as u64;
        rows.prompts += told.ids.len() as u64;
        rows.datasets.push(("feedback".to_owned(), told.rows() as u64));
        experience.append(told);
    }
    if experience.ids.is_empty() {
        return Err(TrainError::TooFew { found: 0, needed: 1 });
    }
    if rows.digest.is_empty() {
        let ids: Vec<String> = experience.ids.iter().map(|id| format!("{:016x}", outcomes::digest(id))).collect();
        rows.digest = crate::model::digest_of(ids.join("\n").as_bytes());
    }
    let adapted = adapt::adapt(&base, &experience, options.seed, progress)?;
    let settings = base.manifest.index.as_ref().map_or(IndexSettings::seeded(options.seed), |index| IndexSettings {
        m: index.m,
        ef_construction: index.ef_construction,
        ef_search: index.ef_search,
        ..IndexSettings::seeded(options.seed)
    });
    let change = &adapted.report;
    let gate = Gate {
        name: "not worse than the base",
        passed: change.log_loss <= change.base_log_loss + 1e-9,
        detail: format!(
            "log-loss on verdicts not fitted on: {:.4}, by the base: {:.4}",
            change.log_loss, change.base_log_loss
        ),
    };
    let mut report = TrainReport {
        id: id(options, &rows),
        path: PathBuf::new(),
        seed: options.seed,
        read,
        prompts: PartSizes { fit: experience.ids.len(), ..PartSizes::default() },
        left_out: 0,
        misfits: Vec::new(),
        held_out: None,
        adapted: Some(adapted.report),
        index: None,
        gates: vec![gate],
        seconds: start.elapsed().as_secs_f64(),
    };
    let parts = Parts {
        scorer: &adapted.scorer,
        careful: None,
        space: &adapted.space,
        content: &adapted.content,
        settings,
        parent: Some(base.manifest.id),
        trained_on: rows,
        baseline: bundle.read_json(BASELINE_FILE).ok(),
    };
    write(&parts, (&options.out, &options.models), (&mut encoder, &mut report), progress)?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// The name of an index item: a digest of its text.
fn item_name(text: &str) -> String {
    format!("{:016x}", outcomes::digest(text))
}

/// The name asked for, or the moment and the first digits of the data's digest.
fn id(options: &TrainOptions, trained_on: &TrainedOn) -> BundleId {
    let named = options.id.clone();
    let short: String = trained_on.digest.chars().take(6).collect();
    let now = clock::now().replace([':', '-'], "");
    BundleId::from(named.unwrap_or_else(|| format!("{now}-{short}")))
}

/// A router must beat mixing weak and strong at random on prompts it has not seen, or it only adds noise.
fn not_worse_than_mixing(held_out: &HeldOut) -> Gate {
    let routing = &held_out.routing;
    let (apgr, random) = (routing.apgr.unwrap_or(0.5), routing.random_apgr.unwrap_or(0.5));
    let interval = routing.apgr_interval.map_or(String::new(), |[low, high]| format!(" ({low:.3} to {high:.3})"));
    Gate {
        name: "not worse than a fixed mix",
        passed: routing.apgr.is_none() || apgr >= random,
        detail: format!("APGR {apgr:.3}{interval} on {} held-out prompts, by mixing {random:.3}", routing.prompts),
    }
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
