//! Moving a bundle towards what its users say: the base is the prior, their verdicts move it as far as they carry.

mod basis;
pub mod careful;
mod correction;
mod dials;
mod evidence;
mod maps;
mod movers;
mod placed;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::domain::ids::ItemId;
use crate::domain::neighbour::Neighbour;
use crate::domain::probability::Probability;
use crate::domain::scores::LabelSpace;
use crate::domain::steps::DialSample;
use crate::domain::task::Task;
use crate::model::index::SearchScratch;
use crate::train::adapt::correction::{Correction, Fitted};
use crate::train::adapt::placed::{Placed, place};
use crate::train::base::Base;
use crate::train::calibrate::blend::{self, BlendCase, MAX_K};
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::batches;
use crate::train::index_build::{IndexContent, IndexSettings};
use crate::train::outcomes::{Outcomes, digest};
use crate::train::progress::Progress;
use crate::train::scorer::{Scorer, apply, neighbours};

/// What one user or file says about one model on one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The model.
    pub model: String,
    /// Its tier, where known.
    pub tier: Option<String>,
    /// How well it did, 0..1.
    pub score: f32,
    /// How much this counts.
    pub weight: f32,
}

/// Prompts with verdicts.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// What the heads read of every prompt.
    pub features: Features,
    /// A name for every prompt.
    pub ids: Vec<String>,
    /// The question of every prompt: prompts that share it are never split.
    pub stems: Vec<u64>,
    /// The task, where somebody said so.
    pub tasks: Vec<Option<Task>>,
    /// Verdicts of every prompt.
    pub verdicts: Vec<Vec<Verdict>>,
    /// Rows that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Positions of prompts that do not join the index. Empty unless somebody bounds it.
    pub unindexed: HashSet<usize>,
}

impl Experience {
    /// The experience in an outcomes file.
    #[must_use]
    pub fn of(outcomes: &Outcomes, features: Features) -> Self {
        let mut verdicts = vec![Vec::new(); outcomes.prompts.len()];
        for row in &outcomes.rows {
            let name = outcomes.models.get(row.model as usize);
            if let (Some(list), Some(model)) = (verdicts.get_mut(row.prompt as usize), name) {
                list.push(Verdict { model: model.clone(), tier: None, score: row.score, weight: row.weight });
            }
        }
        Self {
            features,
            ids: outcomes.prompts.iter().map(|prompt| prompt.id.to_string()).collect(),
            stems: outcomes.prompts.iter().map(|prompt| prompt.stem).collect(),
            tasks: vec![None; outcomes.prompts.len()],
            verdicts,
            skipped: BTreeMap::new(),
            unindexed: HashSet::new(),
        }
    }

    /// Adds the prompts of another.
    pub fn append(&mut self, other: Self) {
        if self.ids.is_empty() {
            self.features = Features::new(other.features.dimension());
        }
        self.features.append(other.features);
        let before = self.ids.len();
        self.unindexed.extend(other.unindexed.into_iter().map(|row| before + row));
        self.ids.extend(other.ids);
        self.stems.extend(other.stems);
        self.tasks.extend(other.tasks);
        self.verdicts.extend(other.verdicts);
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
    }

    /// Some of the prompts.
    fn select(&self, prompts: &[usize]) -> Self {
        let mut features = Features::new(self.features.dimension());
        for &prompt in prompts {
            features.push(Some(&self.features.embedding(prompt)), self.features.signals(prompt));
        }
        Self {
            features,
            ids: pick(&self.ids, prompts),
            stems: pick(&self.stems, prompts),
            tasks: pick(&self.tasks, prompts),
            verdicts: pick(&self.verdicts, prompts),
            skipped: BTreeMap::new(),
            unindexed: HashSet::new(),
        }
    }

    /// How many verdicts there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.verdicts.iter().map(Vec::len).sum()
    }
}

fn pick<T: Clone>(list: &[T], places: &[usize]) -> Vec<T> {
    places.iter().filter_map(|&at| list.get(at).cloned()).collect()
}

/// Fewest verdicts from which a position moves, and a new model gets one.
pub const LEAST_VERDICTS: usize = 20;
/// Fewest prompts from which the blend with neighbours is chosen anew.
const LEAST_FOR_BLEND: usize = 50;
/// Fewest prompts from which the dial is fitted anew. With fewer the base's is carried over.
const LEAST_FOR_DIAL: usize = 200;
/// Prompts that the correction is fitted on at most; more would move it by less than their noise.
const MOST_PROMPTS: usize = 50_000;
/// Prompts on which the blend and the dial are chosen at most.
const MOST_FOR_CHOICE: usize = 6_000;

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AdaptReport {
    /// Prompts with verdicts.
    pub prompts: usize,
    /// Verdicts.
    pub verdicts: usize,
    /// Rows that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Positions that moved, with their number of verdicts.
    pub moved: Vec<(String, usize)>,
    /// Models that were added.
    pub added: Vec<String>,
    /// Log-loss of the base's heads on the verdicts.
    pub base_log_loss: f64,
    /// Log-loss of the moved heads on verdicts that they were not fitted on.
    pub log_loss: f64,
    /// How firmly the correction is held, in labels that say nothing; `None` if the base was best and nothing moved but the index.
    pub penalty: Option<f64>,
}

/// A bundle's parts after adapting.
#[derive(Clone, Debug)]
pub struct Adapted {
    /// Heads, calibration, blend and dial.
    pub scorer: Scorer,
    /// What the positions mean: the base's, and models added after them.
    pub space: LabelSpace,
    /// The base's items, and the prompts with verdicts.
    pub content: IndexContent,
    /// What changed.
    pub report: AdaptReport,
}

/// Adapts a base.
///
/// The base's calibrated probability is the prior mean of every model with enough verdicts. On top of it the labels say how far off its
/// level is, how much of its spread is right, and, as a smooth function of the prompt, what all models share and what tells the strong
/// from the weak. How much of each is believed follows from how well it explains the labels; without evidence there is no change but of
/// the level. If the base predicts verdicts it was not fitted on better, it stays as it is. All prompts with verdicts join the index.
/// Models that the base does not know start as their tier.
///
/// # Errors
/// Numeric failure and interruption.
pub fn adapt(base: &Base, experience: &Experience, seed: u64, progress: &dyn Progress) -> Result<Adapted, TrainError> {
    let mut heads = base.heads.clone();
    let mut success = base.calibration.success.clone();
    let placed = place(base, experience, (&mut heads, &mut success));
    let drawn = draw(experience.ids.len(), seed).map(|drawn| (experience.select(&drawn), placed.select(&drawn)));
    let (known, labelled) = drawn.as_ref().map_or((experience, &placed), |(experience, placed)| (experience, placed));
    let correction = Correction::of((&heads, &success), (known, labelled), seed)?;
    let fitted = correction.fit(progress)?;
    if fitted.penalty.is_some() {
        correction.write(&fitted, (&mut heads, &mut success));
    }
    let mut content = base.content.clone();
    for (row, labels) in placed.labels.iter().enumerate().filter(|(row, _)| !experience.unindexed.contains(row)) {
        let embedding = crate::domain::embedding::Embedding::normalise(experience.features.embedding(row));
        let name = experience.ids.get(row).map_or_else(String::new, |id| format!("{:016x}", digest(id)));
        if let Some(embedding) = embedding {
            content.push(
                name,
                &embedding,
                labels.iter().map(|&(position, score, _)| (position as u16, score)).collect(),
            );
        }
    }
    let mut scorer = Scorer {
        heads,
        success,
        difficulty: base.calibration.difficulty.clone(),
        task_temperature: base.calibration.task_temperature,
        blend: base.calibration.blend,
        dial: base.calibration.dial.clone(),
        sample: DialSample::default(),
    };
    let seen = Known { experience: known, near: &known.features, placed: labelled };
    let cases = cases(seen, (&scorer, &fitted.held_out), (&content, seed));
    let tiers = placed.space.tiers().len();
    if known.ids.len() >= LEAST_FOR_BLEND {
        scorer.blend = blend::choose((&cases, &[]), tiers.saturating_sub(1), progress)?.0;
    }
    let rungs = labelled.rungs(tiers);
    let anew = if known.ids.len() >= LEAST_FOR_DIAL { dials::fitted(&cases, &scorer, &rungs) } else { None };
    let (anew, sample) = anew.unzip();
    scorer.sample = sample.unwrap_or_default();
    let then: Vec<usize> =
        rungs.iter().map(|&position| labelled.like.get(position).copied().unwrap_or(position)).collect();
    scorer.dial = anew.unwrap_or_else(|| dials::carried((base, &then), (known, &cases), (&scorer, &rungs), seed));
    let report = report(experience, &placed, &fitted);
    Ok(Adapted { scorer, space: placed.space, content, report })
}

fn report(experience: &Experience, placed: &Placed, fitted: &Fitted) -> AdaptReport {
    let name = |position: usize| position_name(&placed.space, position);
    let moved =
        placed.counts.iter().enumerate().filter(|(_, count)| fitted.penalty.is_some() && **count >= LEAST_VERDICTS);
    AdaptReport {
        prompts: experience.ids.len(),
        verdicts: experience.rows(),
        skipped: experience.skipped.clone(),
        moved: moved.map(|(position, &count)| (name(position), count)).collect(),
        added: placed.added.clone(),
        base_log_loss: fitted.base_loss,
        log_loss: fitted.loss,
        penalty: fitted.penalty,
    }
}

/// As many prompts as are fitted on, drawn by the seed; `None` where all are.
fn draw(prompts: usize, seed: u64) -> Option<Vec<usize>> {
    let chosen = (prompts > MOST_PROMPTS).then(|| batches(prompts, MOST_PROMPTS, seed).into_iter().next());
    chosen.flatten()
}

/// The name of a tier or model.
pub(crate) fn position_name(space: &LabelSpace, position: usize) -> String {
    let tier = space.tiers().get(position).map(ToString::to_string);
    let model = || space.models().get(position.saturating_sub(space.tiers().len())).map(ToString::to_string);
    tier.or_else(model).unwrap_or_default()
}

/// Prompts with verdicts as one scorer reads them.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// The prompts, with what the scorer's heads read.
    experience: &'a Experience,
    /// What neighbours are looked up by: the fast encoder's embeddings.
    near: &'a Features,
    placed: &'a Placed,
}

/// Cases for the blend: held-out head probabilities and the neighbours of every prompt but itself.
fn cases(
    Known { experience, near: near_by, placed }: Known<'_>,
    (scorer, held_out): (&Scorer, &[Vec<f64>]),
    (content, seed): (&IndexContent, u64),
) -> Vec<BlendCase> {
    let settings = IndexSettings::seeded(seed);
    let index = content.index(&settings);
    let mut scratch = SearchScratch::default();
    let mut stem_of: HashMap<ItemId, u64> = HashMap::new();
    for (id, stem) in experience.ids.iter().zip(&experience.stems) {
        stem_of.insert(ItemId::from(format!("{:016x}", digest(id))), *stem);
    }
    let few = experience.ids.len().min(MOST_FOR_CHOICE);
    let moved: HashSet<usize> = placed.movers.iter().flatten().map(|label| label.0).collect();
    // Of positions that move, what heads say that were not fitted on the prompt; tiers that follow them have no such answer.
    let priors = |prompt: usize| {
        let outputs = apply(&scorer.heads, &experience.features, prompt);
        let unseen = held_out.get(prompt).map(Vec::as_slice).unwrap_or_default();
        let now = scorer.priors(&outputs).into_iter().enumerate();
        let prior = |(at, now)| match unseen.get(at) {
            Some(&unseen) if moved.contains(&at) => Probability::clamped(unseen),
            Some(_) | None => now,
        };
        now.map(prior).collect()
    };
    let mut case = |prompt: usize| {
        let own = experience.stems.get(prompt);
        let near = neighbours(&index, (near_by, 2 * MAX_K), prompt, &mut scratch);
        let other = |near: &Neighbour| stem_of.get(&near.item) != own;
        let observed = placed.labels.get(prompt).into_iter().flatten();
        BlendCase {
            priors: priors(prompt),
            neighbours: near.into_iter().filter(|near| other(near)).take(MAX_K).collect(),
            observed: observed.map(|&(at, score, weight)| (at, f64::from(score), f64::from(weight))).collect(),
            weight: 1.0,
        }
    };
    (0..few).map(&mut case).collect()
}

#[cfg(test)]
mod tests;
