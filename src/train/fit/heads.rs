//! All heads of one encoder, fitted in the order in which they need each other.

use crate::model::heads::graph::{FIXED_OUTPUTS, HeadsGraph, Output, TASKS};
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::design::{Bounds, Design, Scales};
use crate::train::fit::gain::{self, Part, Score, epochs_for};
use crate::train::fit::linear::{self, Descent, Loss, Targets};
use crate::train::fit::network::{self, Classes};
use crate::train::fit::{Matrix, batches};
use crate::train::labels::Labels;
use crate::train::progress::Progress;
use crate::train::split::Split;

/// Prompts that the shared heads are fitted on at most, drawn by the seed: more move them by less than their noise, and memory
/// stays bounded.
const MOST_PROMPTS: usize = 150_000;
/// Units of the task head's hidden layer.
const UNITS: usize = 96;
/// Datasets of at least a hundred prompts from which on the goal is prompts of yet another kind: residuals, which learn what is
/// peculiar to these datasets, are then left out.
const TRANSFER_FROM: usize = 4;
/// The penalty of residuals, as a count of rows that say zero.
const RESIDUAL_PENALTY: f64 = 60.0;

/// Everything the heads are fitted on.
#[derive(Clone, Copy, Debug)]
pub struct HeadsData<'a> {
    /// What the heads read.
    pub features: &'a Features,
    /// Labels of the same prompts.
    pub labels: &'a Labels,
    /// Dataset and group of the same prompts.
    pub groups: &'a [(u32, u64)],
    /// Prompts with the tokens of an answer.
    pub answers: &'a [(u32, f32)],
    /// Prompts with tasks: features and classes.
    pub tasks: Option<(&'a Features, &'a [usize])>,
    /// Which prompts are for what.
    pub split: &'a Split,
    /// Seeds every draw.
    pub seed: u64,
}

/// Fits all heads on the fitting part, and what the score means on the calibration part.
///
/// # Errors
/// Numeric failure and interruption.
pub fn fit(data: HeadsData<'_>, progress: &dyn Progress) -> Result<HeadsGraph, TrainError> {
    let sets: Vec<&Features> = std::iter::once(data.features).chain(data.tasks.map(|(features, _)| features)).collect();
    let bounds = Bounds::of(&sets);
    let mut heads = HeadsGraph::blank(data.features.dimension(), data.labels.space.len());
    heads.low.clone_from(&bounds.low);
    heads.high.clone_from(&bounds.high);
    if let Some((features, classes)) = data.tasks {
        fit_tasks(&mut heads, (features, classes), (&bounds, data.seed), progress)?;
    }
    let drawn = draw(&data.split.fit, data.seed);
    let part = Part { features: data.features, labels: data.labels, prompts: &drawn };
    gain::fit_ability(&mut heads, part, (&bounds, data.seed), progress)?;
    if data.tasks.is_some() {
        gain::lean_on_tasks(&mut heads);
    }
    let score: Score = gain::fit_score(&heads, part, &bounds, data.groups)?;
    let held_out = draw(&data.split.calibration, data.seed);
    gain::fit_gain(&mut heads, Part { prompts: &held_out, ..part }, &score);
    gain::fit_places(&mut heads, part);
    gain::fit_levels(&mut heads, Part { prompts: &held_out, ..part });
    if datasets(data.groups) < TRANSFER_FROM {
        fit_residuals(&mut heads, part, (&bounds, data.seed), progress)?;
    }
    fit_lengths(&mut heads, data, &bounds, progress)?;
    Ok(heads)
}

/// At most as many as are fitted on, drawn by the seed.
fn draw(prompts: &[usize], seed: u64) -> Vec<usize> {
    if prompts.len() <= MOST_PROMPTS {
        return prompts.to_vec();
    }
    let chosen = batches(prompts.len(), MOST_PROMPTS, seed).into_iter().next().unwrap_or_default();
    let mut drawn: Vec<usize> = chosen.into_iter().filter_map(|at| prompts.get(at).copied()).collect();
    drawn.sort_unstable();
    drawn
}

/// How many datasets are large enough to count.
fn datasets(groups: &[(u32, u64)]) -> usize {
    let mut counts = std::collections::HashMap::<u32, usize>::new();
    for (dataset, _) in groups {
        *counts.entry(*dataset).or_default() += 1;
    }
    counts.values().filter(|&&count| count >= 100).count()
}

fn fit_tasks(
    heads: &mut HeadsGraph,
    (features, classes): (&Features, &[usize]),
    (bounds, seed): (&Bounds, u64),
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    let design = Design::of(features, bounds, Scales { embedding: 8.0, signals: 0.5 });
    let rows: Vec<usize> = (0..features.len()).collect();
    let descent =
        Descent { epochs: (500_000 / rows.len().max(1)).clamp(6, 60), batch: 256, rate: 2e-3, penalty: 1e-3, seed };
    let weights = vec![1.0; rows.len()];
    let classes = Classes { labels: classes, weights: &weights, count: TASKS };
    let (first, second) = network::fit(&design.matrix(features, &rows), classes, (UNITS, descent), progress)?;
    let mut hidden = crate::model::heads::graph::Affine::zero(design.columns(), 0);
    for unit in 0..first.outputs() {
        let (weights, bias) = design.fold(first.row(unit), first.bias.get(unit).copied().unwrap_or(0.0));
        hidden.push(&weights, bias);
    }
    heads.hidden = hidden;
    heads.task = second;
    Ok(())
}

/// What each tier and model does beyond the shared ability and gain, held firmly towards nothing.
fn fit_residuals(
    heads: &mut HeadsGraph,
    part: Part<'_>,
    (bounds, seed): (&Bounds, u64),
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    let design = Design::of(part.features, bounds, Scales { embedding: 4.0, signals: 0.5 });
    let positions = heads.positions();
    let column = || Matrix { columns: positions, values: Vec::with_capacity(part.prompts.len() * positions) };
    let (mut labels, mut weights, mut offsets) = (column(), column(), column());
    let mut counted = vec![0.0_f64; positions];
    for &prompt in part.prompts {
        let outputs = heads.apply(&part.features.embedding(prompt), &part.features.signals(prompt));
        offsets.push(&outputs.success);
        let (mut label_row, mut weight_row) = (vec![0.0; positions], vec![0.0; positions]);
        for label in part.labels.of(prompt) {
            let at = usize::from(label.position);
            if let (Some(score), Some(weight), Some(count)) =
                (label_row.get_mut(at), weight_row.get_mut(at), counted.get_mut(at))
            {
                (*score, *weight) = (label.score, label.weight);
                *count += 1.0;
            }
        }
        labels.push(&label_row);
        weights.push(&weight_row);
    }
    let rows = design.matrix(part.features, part.prompts);
    let penalty = RESIDUAL_PENALTY / rows.rows().max(1) as f64;
    let descent = Descent { epochs: epochs_for(rows.rows(), 512), batch: 512, rate: 0.01, penalty, seed };
    let targets = Targets { labels, weights, offsets: Some(offsets) };
    let (found, bias) = linear::fit(&rows, &targets, (Loss::Success, descent), progress)?;
    for position in 0..positions {
        // A position that was hardly seen keeps what it shares with the others.
        if counted.get(position).is_some_and(|&count| count >= 20.0) {
            let (weights, bias) = design.fold(found.row(position), bias.get(position).copied().unwrap_or(0.0));
            heads.outputs.add(FIXED_OUTPUTS + position, &weights, bias);
        }
    }
    Ok(())
}

/// Quantiles of the answer's length; a plain guess where no lengths are known.
fn fit_lengths(
    heads: &mut HeadsGraph,
    data: HeadsData<'_>,
    bounds: &Bounds,
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    const LEAST: usize = 200;
    let (median, long) = (300.0_f32.ln(), 1200.0_f32.ln());
    let chosen = batches(data.answers.len(), MOST_PROMPTS, data.seed).into_iter().next().unwrap_or_default();
    if chosen.len() < LEAST {
        heads.outputs.add(Output::MedianTokens as usize, &[], median);
        heads.outputs.add(Output::LongTokens as usize, &[], long);
        return Ok(());
    }
    let design = Design::of(data.features, bounds, Scales { embedding: 1.0, signals: 0.5 });
    let (mut rows, mut labels) = (Vec::with_capacity(chosen.len()), Matrix::new(2));
    for (prompt, tokens) in chosen.into_iter().filter_map(|at| data.answers.get(at)) {
        rows.push(*prompt as usize);
        let length = tokens.max(1.0).ln();
        labels.push(&[length, length]);
    }
    let weights = Matrix { columns: 2, values: vec![1.0; rows.len() * 2] };
    let descent =
        Descent { epochs: epochs_for(rows.len(), 2048), batch: 2048, rate: 0.02, penalty: 1e-3, seed: data.seed };
    let targets = Targets { labels, weights, offsets: None };
    let matrix = design.matrix(data.features, &rows);
    let (found, bias) = linear::fit(&matrix, &targets, (Loss::Quantiles, descent), progress)?;
    for (at, output) in [Output::MedianTokens, Output::LongTokens].into_iter().enumerate() {
        let (weights, bias) = design.fold(found.row(at), bias.get(at).copied().unwrap_or(median));
        heads.outputs.add(output as usize, &weights, bias);
    }
    Ok(())
}
