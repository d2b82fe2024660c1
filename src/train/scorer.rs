//! One scorer: heads with everything that turns their outputs into decisions.

use std::collections::HashMap;

use crate::domain::calibration::{Calibrator, Dial};
use crate::domain::embedding::Embedding;
use crate::domain::ids::ItemId;
use crate::domain::neighbour::{BlendSettings, Evidence, Neighbour};
use crate::domain::probability::Probability;
use crate::domain::steps::DialSample;
use crate::model::heads::HeadOutput;
use crate::model::heads::graph::HeadsGraph;
use crate::model::index::{NeighbourIndex, SearchScratch};
use crate::train::calibrate::blend::{self, BlendCase, CAUTIOUS, MAX_K};
use crate::train::calibrate::{self, Hold, Observation, calibrator, temperature};
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::gain::Part;
use crate::train::progress::Progress;

/// Heads, calibration, blend and dial.
#[derive(Clone, Debug, PartialEq)]
pub struct Scorer {
    /// The heads.
    pub heads: HeadsGraph,
    /// One map per position.
    pub success: Vec<Calibrator>,
    /// The map of the difficulty logit.
    pub difficulty: Calibrator,
    /// Divides the task logits.
    pub task_temperature: f64,
    /// How neighbours are weighed.
    pub blend: BlendSettings,
    /// The meaning of the quality dial.
    pub dial: Dial,
    /// Predictions for sample prompts, from which the dial is made for any models.
    pub sample: DialSample,
}

/// What calibration uses besides the heads.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The index of the fitting part.
    pub index: &'a NeighbourIndex,
    /// The features that the index was made from: the fast encoder's.
    pub index_features: &'a Features,
    /// The dataset of every prompt, so that none outweighs the others.
    pub dataset_of: &'a dyn Fn(usize) -> u32,
    /// The dataset of every item of the index, by its name.
    pub item_datasets: &'a HashMap<ItemId, u32>,
    /// The prompts that the index was made from.
    pub indexed: &'a [usize],
    /// Tasks that the heads were not fitted on.
    pub tasks: Option<(&'a Features, &'a [usize])>,
}

impl Scorer {
    /// Calibrates heads on the calibration part.
    ///
    /// # Errors
    /// [`TrainError::Interrupted`], and [`TrainError::TooFew`] where the part is empty.
    pub fn calibrate(
        heads: HeadsGraph,
        part: Part<'_>,
        around: Surroundings<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let outputs: Vec<HeadOutput> =
            part.prompts.iter().map(|&prompt| apply(&heads, part.features, prompt)).collect();
        let success = calibrators(&heads, part, &outputs);
        let difficulty = difficulty(part, &outputs);
        let task_temperature = around.tasks.map_or(1.0, |(features, classes)| {
            let logits = |row: usize| heads.tasks(&heads.input(&features.embedding(row), &features.signals(row)));
            temperature(&classes.iter().enumerate().map(|(row, &class)| (logits(row), class)).collect::<Vec<_>>())
        });
        let cases = cases(part, (&outputs, &success), around);
        let blend = if cases.iter().all(|case| case.neighbours.is_empty()) {
            CAUTIOUS
        } else {
            let strangers = strangers(&heads, &success, part, around);
            blend::choose((&cases, &strangers), part.labels.tiers().saturating_sub(1), progress)?.0
        };
        let rungs: Vec<usize> = (0..part.labels.tiers()).collect();
        let means: Vec<Vec<f64>> = cases.iter().map(|case| blended(&case.priors, &case.neighbours, &blend)).collect();
        let (dial, sample) = dial(means, &rungs);
        let dial = dial.ok_or(TrainError::TooFew { found: 0, needed: crate::train::dataset::LEAST_PROMPTS })?;
        Ok(Self { heads, success, difficulty, task_temperature, blend, dial, sample })
    }

    /// The calibrated head probabilities of a prompt.
    #[must_use]
    pub fn priors(&self, outputs: &HeadOutput) -> Vec<Probability> {
        priors(&self.success, outputs)
    }

    /// Success by position with the neighbours' evidence.
    #[must_use]
    pub fn score(&self, outputs: &HeadOutput, neighbours: &[Neighbour]) -> Vec<f64> {
        blended(&self.priors(outputs), neighbours, &self.blend)
    }
}

/// The dial of these predictions, by prompt and position, for the gain between some positions, the weakest first; and a sample for the dials
/// of other models.
pub(crate) fn dial(mut means: Vec<Vec<f64>>, rungs: &[usize]) -> (Option<Dial>, DialSample) {
    means.sort_by(|a, b| gain(a, rungs).total_cmp(&gain(b, rungs)));
    let gains: Vec<f64> = means.iter().map(|means| gain(means, rungs)).collect();
    (Dial::from_gains(&gains), DialSample::of(&means))
}

/// The best of some positions minus the weakest, which is the first.
pub(crate) fn gain(means: &[f64], rungs: &[usize]) -> f64 {
    let mean = |&position: &usize| means.get(position).copied().unwrap_or(0.0);
    rungs.iter().map(mean).fold(0.0, f64::max) - rungs.first().map_or(0.0, mean)
}

/// The head outputs of a prompt.
pub(crate) fn apply(heads: &HeadsGraph, features: &Features, prompt: usize) -> HeadOutput {
    heads.apply(&features.embedding(prompt), &features.signals(prompt))
}

fn priors(success: &[Calibrator], outputs: &HeadOutput) -> Vec<Probability> {
    success.iter().zip(&outputs.success).map(|(map, &logit)| map.apply(f64::from(logit))).collect()
}

/// The posterior means, as serving computes them.
pub(crate) fn blended(priors: &[Probability], neighbours: &[Neighbour], blend: &BlendSettings) -> Vec<f64> {
    let near = neighbours.get(..blend.k.min(neighbours.len())).unwrap_or_default();
    let evidence = Evidence::gather(near, blend, priors.len());
    let posterior =
        |(prior, evidence): (&Probability, &Evidence)| evidence.update(*prior, blend.prior_strength).mean.get();
    priors.iter().zip(&evidence).map(posterior).collect()
}

/// The neighbours of a prompt, as many as any blend asks for.
pub(crate) fn neighbours(
    index: &NeighbourIndex,
    (features, most): (&Features, usize),
    prompt: usize,
    scratch: &mut SearchScratch,
) -> Vec<Neighbour> {
    let embedding = Embedding::normalise(features.embedding(prompt));
    embedding.map_or_else(Vec::new, |embedding| index.nearest(&embedding, most, scratch))
}

fn calibrators(heads: &HeadsGraph, part: Part<'_>, outputs: &[HeadOutput]) -> Vec<Calibrator> {
    let mut observed: Vec<Vec<Observation>> = vec![Vec::new(); heads.positions()];
    for (&prompt, outputs) in part.prompts.iter().zip(outputs) {
        for label in part.labels.of(prompt) {
            let at = usize::from(label.position);
            if let (Some(list), Some(&logit)) = (observed.get_mut(at), outputs.success.get(at)) {
                let (logit, score, weight) = (f64::from(logit), f64::from(label.score), f64::from(label.weight));
                list.push(Observation { logit, score, weight });
            }
        }
    }
    calibrate::calibrators(&observed)
}

fn difficulty(part: Part<'_>, outputs: &[HeadOutput]) -> Calibrator {
    let mut observed = Vec::new();
    for (&prompt, outputs) in part.prompts.iter().zip(outputs) {
        let tiers = part.labels.of(prompt).iter().filter(|label| usize::from(label.position) < part.labels.tiers());
        let scores: Vec<f64> = tiers.map(|label| f64::from(label.score)).collect();
        if !scores.is_empty() {
            let failed = 1.0 - scores.iter().sum::<f64>() / scores.len() as f64;
            observed.push(Observation { logit: f64::from(outputs.difficulty), score: failed, weight: 1.0 });
        }
    }
    calibrator(&observed, Hold::LIGHT)
}

/// Prompts on which the blend is tried against neighbours of other datasets at most.
const MOST_STRANGERS: usize = 4_000;

/// The cases that the blend is chosen on. Every dataset counts with the root of its size.
fn cases(
    part: Part<'_>,
    (outputs, success): (&[HeadOutput], &[Calibrator]),
    around: Surroundings<'_>,
) -> Vec<BlendCase> {
    let sizes = sizes(part.prompts, around);
    let mut scratch = SearchScratch::default();
    let mut case = |(&prompt, outputs): (&usize, &HeadOutput)| BlendCase {
        priors: priors(success, outputs),
        neighbours: neighbours(around.index, (around.index_features, MAX_K), prompt, &mut scratch),
        observed: observed(part, prompt),
        weight: sizes.get(&(around.dataset_of)(prompt)).copied().unwrap_or(1.0).max(1.0).sqrt().recip(),
    };
    part.prompts.iter().zip(outputs).map(&mut case).collect()
}

/// Prompts of the index itself with neighbours of other datasets only: what a prompt of a kind not trained on meets. The heads know
/// these prompts, which makes them the harder to beat. None where there is one dataset.
fn strangers(heads: &HeadsGraph, success: &[Calibrator], part: Part<'_>, around: Surroundings<'_>) -> Vec<BlendCase> {
    if sizes(around.indexed, around).len() < 2 {
        return Vec::new();
    }
    let mut scratch = SearchScratch::default();
    let every = around.indexed.len().div_ceil(MOST_STRANGERS).max(1);
    let mut case = |&prompt: &usize| {
        let own = (around.dataset_of)(prompt);
        let is_stranger =
            |near: &Neighbour| around.item_datasets.get(&near.item).is_some_and(|&dataset| dataset != own);
        let near = neighbours(around.index, (around.index_features, 4 * MAX_K), prompt, &mut scratch);
        BlendCase {
            priors: priors(success, &apply(heads, part.features, prompt)),
            neighbours: near.into_iter().filter(is_stranger).take(MAX_K).collect(),
            observed: observed(part, prompt),
            weight: 1.0,
        }
    };
    around.indexed.iter().step_by(every).map(&mut case).collect()
}

fn sizes(prompts: &[usize], around: Surroundings<'_>) -> HashMap<u32, f64> {
    let mut sizes = HashMap::new();
    for &prompt in prompts {
        *sizes.entry((around.dataset_of)(prompt)).or_default() += 1.0;
    }
    sizes
}

/// The tiers' labels of a prompt.
fn observed(part: Part<'_>, prompt: usize) -> Vec<(usize, f64, f64)> {
    let tiers = part.labels.of(prompt).iter().filter(|label| usize::from(label.position) < part.labels.tiers());
    tiers.map(|label| (usize::from(label.position), f64::from(label.score), f64::from(label.weight))).collect()
}
