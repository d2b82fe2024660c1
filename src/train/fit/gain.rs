//! How much a stronger model would gain, and how able models are in general: what carries over to prompts of another kind.

use std::collections::HashMap;

use crate::domain::task::Task;
use crate::model::heads::SIGNALS;
use crate::model::heads::graph::{HeadsGraph, Output, TASKS};
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::Matrix;
use crate::train::fit::design::{Bounds, Design, Scales};
use crate::train::fit::linear::{self, Descent, Loss, Targets};
use crate::train::fit::ridge::ridge;
use crate::train::labels::Labels;
use crate::train::progress::Progress;

/// The position of the signal that stands for length: `log_words`.
pub(crate) const LENGTH: usize = 1;
/// What the length adds to the wish for a stronger model, in standard deviations of it.
const LENGTH_WEIGHT: f32 = 0.5;
/// How much rows count on which models mostly succeed: there a stronger model has something to rescue.
const TILT: f64 = 2.0;
/// The penalty of the difficulty direction.
const DIFFICULTY_PENALTY: f64 = 3000.0;
/// The penalty of the ability head, shared by all rows.
const ABILITY_PENALTY: f64 = 100.0;
/// Groups smaller than this are judged with the rest of their dataset.
const LEAST_GROUP: usize = 100;
/// The least change of the gain over one standard deviation of the score.
const LEAST_SLOPE: f64 = 0.02;

/// What a stronger model adds by the kind of work, beyond difficulty, in standard deviations of the score.
///
/// Outcomes come from benchmarks that have no open-ended writing or chat, where weak models do nearly as well; code, mathematics and
/// reasoning are where they do not. This is a prior, stated here rather than hidden in weights.
#[must_use]
pub const fn task_prior(task: Task) -> f32 {
    match task {
        Task::CodeGeneration | Task::Mathematics | Task::Reasoning => 1.0,
        Task::Extraction => 0.5,
        Task::Summarization | Task::Rewrite => -0.5,
        Task::TextGeneration | Task::Brainstorming | Task::Chatbot => -1.0,
        Task::OpenQa | Task::ClosedQa | Task::Classification | Task::Other | Task::Translation => 0.0,
    }
}

/// What the kind of work adds to every model's ability, in logits.
///
/// Benchmarks hold questions with one right answer, most of them hard; what they teach about open-ended work is far too gloomy. A model
/// of any tier answers a greeting. Like [`task_prior`] this is stated and not learned, and feedback moves it.
#[must_use]
pub const fn ability_prior(task: Task) -> f32 {
    match task {
        Task::Chatbot | Task::TextGeneration | Task::Brainstorming => 1.5,
        Task::Summarization | Task::Rewrite => 1.0,
        Task::CodeGeneration
        | Task::Mathematics
        | Task::Reasoning
        | Task::Extraction
        | Task::OpenQa
        | Task::ClosedQa
        | Task::Classification
        | Task::Other
        | Task::Translation => 0.0,
    }
}

/// Adds [`ability_prior`] to the shared ability, and takes it from the difficulty.
pub fn lean_on_tasks(heads: &mut HeadsGraph) {
    let others = heads.outputs.inputs.saturating_sub(TASKS);
    let along = |sign: f32| {
        let mut weights = vec![0.0; others];
        weights.extend(Task::ALL.iter().map(|&task| sign * ability_prior(task)));
        weights
    };
    heads.outputs.add(Output::Ability as usize, &along(1.0), 0.0);
    heads.outputs.add(Output::Difficulty as usize, &along(-1.0), 0.0);
}

/// The prompts a fit may use: all of one part of the data.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// What the heads read.
    pub features: &'a Features,
    /// Labels of the same prompts.
    pub labels: &'a Labels,
    /// The prompts of this part.
    pub prompts: &'a [usize],
}

/// Fits the shared ability: the success of models in general, as a logit, with the tiers' own levels as offsets.
///
/// # Errors
/// Numeric failure and interruption.
pub fn fit_ability(
    heads: &mut HeadsGraph,
    part: Part<'_>,
    (bounds, seed): (&Bounds, u64),
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    let design = Design::of(part.features, bounds, Scales { embedding: 4.0, signals: 0.5 });
    let means = part.labels.means(part.prompts);
    let levels: Vec<f64> = means
        .iter()
        .take(part.labels.tiers())
        .map(|mean| crate::domain::probability::logit(mean.unwrap_or(0.5)))
        .collect();
    let centre = levels.iter().sum::<f64>() / levels.len().max(1) as f64;
    let mut rows = Matrix::new(design.columns());
    let column = || Matrix::new(1);
    let (mut labels, mut weights, mut offsets) = (column(), column(), column());
    for &prompt in part.prompts {
        let row = design.row(part.features, prompt);
        for label in part.labels.of(prompt) {
            let Some(level) = levels.get(usize::from(label.position)) else { continue };
            rows.push(&row);
            labels.push(&[label.score]);
            weights.push(&[label.weight]);
            offsets.push(&[*level as f32]);
        }
    }
    let descent = Descent {
        epochs: epochs_for(rows.rows(), 1024),
        batch: 1024,
        rate: 0.01,
        penalty: ABILITY_PENALTY / rows.rows().max(1) as f64,
        seed,
    };
    let targets = Targets { labels, weights, offsets: Some(offsets) };
    let (found, bias) = linear::fit(&rows, &targets, (Loss::Success, descent), progress)?;
    let (folded, bias) = design.fold(found.row(0), bias.first().copied().unwrap_or(0.0));
    let bias = bias + centre as f32;
    heads.outputs.add(Output::Ability as usize, &folded, bias);
    let negative: Vec<f32> = folded.iter().map(|w| -w).collect();
    heads.outputs.add(Output::Difficulty as usize, &negative, -bias);
    Ok(())
}

/// Enough passes for several hundred steps, and at least four.
pub(crate) fn epochs_for(rows: usize, batch: usize) -> usize {
    const STEPS: usize = 600;
    (STEPS * batch).div_ceil(rows.max(1)).clamp(4, STEPS)
}

/// The score by which prompts are ranked for a stronger model: difficulty for the weakest tier within its own kind of prompt,
/// length, and the prior of the task. Standardised; an affine function of `x` and the task probabilities.
#[derive(Clone, Debug)]
pub struct Score {
    weights: Vec<f32>,
    bias: f32,
}

impl Score {
    /// The score of a prompt.
    #[must_use]
    pub fn of(&self, heads: &HeadsGraph, features: &Features, prompt: usize) -> f32 {
        let mut x = heads.input(&features.embedding(prompt), &features.signals(prompt));
        let tasks = crate::domain::probability::softmax(&heads.tasks(&x));
        x.extend(tasks.into_iter().map(|p| p as f32));
        crate::domain::embedding::dot(&x, &self.weights) + self.bias
    }
}

/// Fits the score.
///
/// # Errors
/// Numeric failure.
pub fn fit_score(
    heads: &HeadsGraph,
    part: Part<'_>,
    bounds: &Bounds,
    groups: &[(u32, u64)],
) -> Result<Score, TrainError> {
    let design = Design::of(part.features, bounds, Scales { embedding: 4.0, signals: 0.5 });
    let rows: Vec<usize> =
        part.prompts.iter().copied().filter(|&prompt| part.labels.score(prompt, 0).is_some()).collect();
    let weak: Vec<f64> = rows.iter().map(|&row| f64::from(part.labels.score(row, 0).unwrap_or(0.5))).collect();
    let tilt = |&row: &usize| {
        let x = heads.input(&part.features.embedding(row), &part.features.signals(row));
        let ability = heads.outputs.row(Output::Ability as usize);
        let bias = heads.outputs.bias.get(Output::Ability as usize).copied().unwrap_or(0.0);
        let logit = crate::domain::embedding::dot(&x, ability) + bias;
        (TILT * (crate::domain::probability::sigmoid(f64::from(logit)) - 1.0)).exp()
    };
    let weights: Vec<f64> = rows.iter().map(tilt).collect();
    let group = groups_of(&rows, groups);
    let mut sums: HashMap<u64, (f64, f64)> = HashMap::new();
    for ((at, y), w) in group.iter().zip(&weak).zip(&weights) {
        let (sum, total) = sums.entry(*at).or_default();
        *sum += y * w;
        *total += w;
    }
    let mean = |at: &u64| sums.get(at).map_or(0.5, |(sum, total)| sum / total.max(1e-9));
    let targets: Vec<f32> = group.iter().zip(&weak).map(|(at, y)| (mean(at) - y) as f32).collect();
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    let (found, bias) = ridge(&design.matrix(part.features, &rows), (&targets, &weights), DIFFICULTY_PENALTY)?;
    let (mut direction, mut offset) = design.fold(&found, bias);
    let inputs = |&row: &usize| heads.input(&part.features.embedding(row), &part.features.signals(row));
    let spread = |value: &dyn Fn(&[f32]) -> f32| {
        let values: Vec<f64> = rows.iter().map(|row| f64::from(value(&inputs(row)))).collect();
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        (mean as f32, variance.sqrt().max(1e-6) as f32)
    };
    let (mean, deviation) = spread(&|x| crate::domain::embedding::dot(x, &direction) + offset);
    for weight in &mut direction {
        *weight /= deviation;
    }
    offset = (offset - mean) / deviation;
    let at = design.columns() - SIGNALS + LENGTH;
    let (mean, deviation) = spread(&|x| x.get(at).copied().unwrap_or(0.0));
    if let Some(weight) = direction.get_mut(at) {
        *weight += LENGTH_WEIGHT / deviation;
        offset -= LENGTH_WEIGHT * mean / deviation;
    }
    direction.extend(Task::ALL.iter().map(|&task| task_prior(task)));
    debug_assert_eq!(direction.len(), design.columns() + TASKS);
    Ok(Score { weights: direction, bias: offset })
}

/// The group of every row; small groups fall back to their dataset.
fn groups_of(rows: &[usize], groups: &[(u32, u64)]) -> Vec<u64> {
    let of = |&row: &usize| groups.get(row).copied().unwrap_or_default();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for row in rows {
        *counts.entry(of(row).1).or_default() += 1;
    }
    let large = |group: u64| counts.get(&group).is_some_and(|&count| count >= LEAST_GROUP);
    rows.iter().map(of).map(|(dataset, group)| if large(group) { group } else { u64::from(dataset) }).collect()
}

/// Fits what the score means in success: the gain of the strongest tier over the weakest, by least squares on prompts that the
/// score was not fitted on, and writes it into the heads.
pub fn fit_gain(heads: &mut HeadsGraph, part: Part<'_>, score: &Score) {
    let strongest = part.labels.tiers().saturating_sub(1);
    let line = |tier: usize| {
        let labelled = part.prompts.iter().filter_map(|&prompt| {
            let y = part.labels.score(prompt, tier)?;
            Some((f64::from(score.of(heads, part.features, prompt)), f64::from(y)))
        });
        least_squares(&labelled.collect::<Vec<_>>())
    };
    let (weak, strong) = (line(0), line(strongest));
    let (level, slope) = (strong.0 - weak.0, (strong.1 - weak.1).max(LEAST_SLOPE));
    let weights: Vec<f32> = score.weights.iter().map(|w| w * slope as f32).collect();
    heads.outputs.add(Output::Gain as usize, &weights, (f64::from(score.bias) * slope + level) as f32);
}

/// Intercept and slope.
fn least_squares(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len().max(1) as f64;
    let mean = |value: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let covariance = mean(&|point| (point.0 - x) * (point.1 - y));
    let variance = mean(&|point| (point.0 - x).powi(2));
    let slope = if variance > 1e-9 { covariance / variance } else { 0.0 };
    (y - slope * x, slope)
}

/// What the shared parts say about one prompt: ability as a probability, and the bounded gain.
fn shared(heads: &HeadsGraph, features: &Features, prompt: usize) -> (f64, f64) {
    let mut x = heads.input(&features.embedding(prompt), &features.signals(prompt));
    let tasks = crate::domain::probability::softmax(&heads.tasks(&x));
    x.extend(tasks.into_iter().map(|p| p as f32));
    let affine = |output: Output| {
        let row = heads.outputs.row(output as usize);
        crate::domain::embedding::dot(row, &x) + heads.outputs.bias.get(output as usize).copied().unwrap_or(0.0)
    };
    let ability = crate::domain::probability::sigmoid(f64::from(affine(Output::Ability)));
    (ability, f64::from(affine(Output::Gain).clamp(heads.least_gain, heads.largest_gain)))
}

/// Places every position between weak and strong: tiers evenly, models by least squares held towards their tier's place.
pub fn fit_places(heads: &mut HeadsGraph, part: Part<'_>) {
    const HOLD: f64 = 30.0;
    let tiers = part.labels.tiers();
    let last = tiers.saturating_sub(1).max(1) as f64;
    let mut sums = vec![[0.0_f64; 5]; heads.positions()];
    for &prompt in part.prompts {
        let (ability, gain) = shared(heads, part.features, prompt);
        for label in part.labels.of(prompt) {
            if let Some([n, g, gg, r, rg]) = sums.get_mut(usize::from(label.position)) {
                let rest = f64::from(label.score) - ability;
                *n += 1.0;
                *g += gain;
                *gg += gain * gain;
                *r += rest;
                *rg += rest * gain;
            }
        }
    }
    for (position, [n, g, gg, r, rg]) in sums.into_iter().enumerate() {
        let tier = part.labels.tier_of.get(position).copied().unwrap_or(0);
        let prior = tier as f64 / last - 0.5;
        let count = f64::max(n, 1.0);
        let variance = (gg - g * g / count).max(0.0);
        let covariance = rg - prior * gg - (r - prior * g) * g / count;
        let place = if position < tiers { prior } else { prior + covariance / (variance + HOLD) };
        if let Some(to) = heads.place.get_mut(position) {
            *to = place.clamp(-1.0, 1.0) as f32;
        }
    }
}

/// Sets what every position adds to the shared ability, so that its mean is right on prompts the heads were not fitted on.
///
/// A level moves probabilities and not logits: it leaves the ranking by gain as it is.
pub fn fit_levels(heads: &mut HeadsGraph, part: Part<'_>) {
    const HOLD: f64 = 20.0;
    let mut sums = vec![(0.0_f64, 0.0_f64); heads.positions()];
    for &prompt in part.prompts {
        let (ability, gain) = shared(heads, part.features, prompt);
        for label in part.labels.of(prompt) {
            let at = usize::from(label.position);
            let place = heads.place.get(at).copied().map_or(0.0, f64::from);
            if let Some((rest, count)) = sums.get_mut(at) {
                *rest += f64::from(label.score) - ability - place * gain;
                *count += 1.0;
            }
        }
    }
    let tiers = part.labels.tiers();
    let level = |position: usize| sums.get(position).map_or(0.0, |(rest, count)| rest / (count + HOLD));
    for (position, (rest, count)) in sums.iter().enumerate() {
        // Few labels leave a model at its tier's level.
        let tier = part.labels.tier_of.get(position).copied().unwrap_or(0);
        let prior = if position < tiers { 0.0 } else { level(tier) };
        if let Some(to) = heads.level.get_mut(position) {
            *to = ((rest + HOLD * prior) / (count + HOLD)).clamp(-0.5, 0.5) as f32;
        }
    }
}
