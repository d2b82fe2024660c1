//! One model in item-response form: which direction of the bundle it follows, how able it is, how sharply it tells hard from easy.

use crate::domain::calibration::Calibrator;
use crate::domain::embedding::dot;
use crate::domain::probability::sigmoid;
use crate::model::heads::graph::{FIXED_OUTPUTS, HeadsGraph};
use crate::model::heads::{HeadOutput, SIGNALS};
use crate::train::calibrate::{Hold, Observation, platt};
use crate::train::directions::Directions;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::Matrix;
use crate::train::fit::design::{Bounds, Design, Scales};
use crate::train::fit::gain::epochs_for;
use crate::train::fit::linear::{self, Descent, Loss, Targets};
use crate::train::outcomes::digest;
use crate::train::progress::{Phase, Progress, step};

/// Parts of the cross-validation.
const FOLDS: u64 = 5;
/// How many labels the prior's discrimination and ability count for.
const HOLD: (f64, f64) = (60.0, 8.0);
/// What another direction than the stated tier's must gain in log-likelihood before it is believed.
const OTHER_TIER: f64 = 1.0;
/// The same for the direction of a single model.
const OTHER_MODEL: f64 = 2.0;
/// Penalties of the residual that are tried, in rows that say nothing.
const PENALTIES: [f64; 4] = [2_000.0, 500.0, 120.0, 30.0];
/// What a residual must gain in log-likelihood on prompts it was not fitted on.
const RESIDUAL_GAIN: f64 = 2.0;
/// Fewest labels from which a residual is tried.
const RESIDUAL_FROM: usize = 60;
/// What is believed of a new model's share in what all models do beyond the heads: mean and precision.
const MEAN_DIRECTION: (f64, f64) = (0.7, 4.0);
/// Newton steps at most; a handful settles.
const STEPS: usize = 20;

/// The labels of one model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    /// What the heads read.
    pub(super) features: &'a Features,
    /// Scores of the same prompts, in 0..1.
    pub(super) scores: &'a [f64],
    /// How much each counts.
    pub(super) weights: &'a [f64],
    /// The question of each prompt: those that share it are never split.
    pub(super) stems: &'a [u64],
    /// Seeds folds and fits.
    pub(super) seed: u64,
}

impl Sample<'_> {
    fn fold_of(&self, row: usize) -> u64 {
        digest(&format!("{}/{}", self.seed, self.stems.get(row).copied().unwrap_or(0))) % FOLDS
    }
}

/// What a logit is made of: columns of numbers by prompt, each with a coefficient that is believed to be near its prior.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    columns: Vec<Vec<f64>>,
    priors: Vec<Prior>,
}

/// What a coefficient is held to, and how firmly.
#[derive(Clone, Copy, Debug)]
struct Prior {
    mean: f64,
    precision: f64,
}

impl Basis {
    /// Discrimination along one direction of the bundle, and ability.
    pub(super) fn along(logits: &[f64], map: Option<&Calibrator>) -> Self {
        let (slope, intercept) = followed(map, logits);
        let prior = |mean, weight: f64| Prior { mean, precision: weight / 4.0 };
        Self {
            columns: vec![logits.to_vec(), vec![1.0; logits.len()]],
            priors: vec![prior(slope.max(0.1), HOLD.0), prior(intercept, HOLD.1)],
        }
    }

    /// With the directions that models of the training differ in.
    fn with(mut self, directions: &Directions, inputs: &[Vec<f32>]) -> Self {
        for (at, direction) in directions.directions.iter().enumerate() {
            self.columns.push(inputs.iter().map(|x| direction.of(x)).collect());
            let (mean, precision) = if at == 0 { MEAN_DIRECTION } else { (0.0, 1.0) };
            self.priors.push(Prior { mean, precision });
        }
        self
    }

    fn logit(&self, row: usize, coefficients: &[f64]) -> f64 {
        self.columns.iter().zip(coefficients).map(|(column, c)| c * column.get(row).copied().unwrap_or(0.0)).sum()
    }

    /// The likeliest coefficients given some rows, by Newton's method.
    fn solve(&self, sample: Sample<'_>, rows: &[usize]) -> Vec<f64> {
        let width = self.columns.len();
        let mut found: Vec<f64> = self.priors.iter().map(|prior| prior.mean).collect();
        let mut x = vec![0.0; width];
        for _ in 0..STEPS {
            let mut gradient: Vec<f64> =
                self.priors.iter().zip(&found).map(|(prior, c)| prior.precision * (c - prior.mean)).collect();
            let mut curvature = vec![0.0; width * width];
            for (at, prior) in self.priors.iter().enumerate() {
                curvature.get_mut(at * width + at).into_iter().for_each(|to| *to = prior.precision);
            }
            for &row in rows {
                let (Some(score), Some(weight)) = (sample.scores.get(row), sample.weights.get(row)) else { continue };
                for (to, column) in x.iter_mut().zip(&self.columns) {
                    *to = column.get(row).copied().unwrap_or(0.0);
                }
                let p = sigmoid(x.iter().zip(&found).map(|(x, c)| x * c).sum());
                let (error, bend) = (weight * (p - score), weight * (p * (1.0 - p)).max(1e-9));
                for ((to, line), a) in gradient.iter_mut().zip(curvature.chunks_exact_mut(width)).zip(&x) {
                    *to += error * a;
                    for (to, b) in line.iter_mut().zip(&x) {
                        *to += bend * a * b;
                    }
                }
            }
            let step = solved(curvature, gradient);
            for (c, step) in found.iter_mut().zip(&step) {
                // A step is bounded so that well-separated data cannot run away.
                *c -= step.clamp(-1.0, 1.0);
            }
            if step.iter().all(|step| step.abs() < 1e-7) {
                break;
            }
        }
        // Success never falls with what the heads say.
        found.first_mut().into_iter().for_each(|slope| *slope = slope.max(0.1));
        found
    }

    /// The success of every prompt, predicted without its question.
    pub(super) fn cross_fit(&self, sample: Sample<'_>) -> Vec<f64> {
        let mut held_out = vec![0.5; sample.scores.len()];
        for fold in 0..FOLDS {
            let (out, rest): (Vec<usize>, Vec<usize>) =
                (0..held_out.len()).partition(|&row| sample.fold_of(row) == fold);
            let coefficients = self.solve(sample, &rest);
            for row in out {
                let logit = self.logit(row, &coefficients);
                held_out.get_mut(row).into_iter().for_each(|to| *to = sigmoid(logit));
            }
        }
        held_out
    }
}

/// Solves a small symmetric positive system by elimination.
fn solved(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let width = right.len();
    let at = |matrix: &[f64], row: usize, column: usize| matrix.get(row * width + column).copied().unwrap_or(0.0);
    for pivot in 0..width {
        let diagonal = at(&matrix, pivot, pivot).max(1e-12);
        for row in pivot + 1..width {
            let factor = at(&matrix, row, pivot) / diagonal;
            for column in pivot..width {
                let from = at(&matrix, pivot, column);
                matrix.get_mut(row * width + column).into_iter().for_each(|to| *to -= factor * from);
            }
            let from = right.get(pivot).copied().unwrap_or(0.0);
            right.get_mut(row).into_iter().for_each(|to| *to -= factor * from);
        }
    }
    for pivot in (0..width).rev() {
        let known: f64 = (pivot + 1..width)
            .map(|column| at(&matrix, pivot, column) * right.get(column).copied().unwrap_or(0.0))
            .sum();
        let diagonal = at(&matrix, pivot, pivot).max(1e-12);
        right.get_mut(pivot).into_iter().for_each(|to| *to = (*to - known) / diagonal);
    }
    right
}

/// A model in the form that the heads can hold.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    /// The position whose direction it follows.
    pub(super) prior: usize,
    /// Its discrimination: how steeply success falls with difficulty, relative to the heads.
    pub(super) slope: f64,
    /// Its ability beyond the prior's.
    pub(super) intercept: f64,
    /// What it does beyond that: weights on the heads' input and a bias, in its own logits.
    pub(super) residual: Option<(Vec<f32>, f32)>,
    /// The success of every prompt, predicted without its question.
    pub(super) held_out: Vec<f64>,
    /// What all of it was made of but the free residual.
    pub(super) basis: Basis,
}

/// Fits ability and discrimination, and chooses the direction and the residual by cross-validation over questions.
///
/// # Errors
/// Numeric failure and interruption.
pub(super) fn fit(
    (heads, success, directions): (&HeadsGraph, &[Calibrator], Option<&Directions>),
    sample: Sample<'_>,
    (tiers, stated): (usize, Option<usize>),
    progress: &dyn Progress,
) -> Result<Fitted, TrainError> {
    let outputs = outputs(heads, sample.features);
    let handicap = |position: usize| match stated {
        Some(tier) if tier == position => 0.0,
        None if position < tiers => 0.0,
        Some(_) | None if position < tiers => OTHER_TIER,
        Some(_) | None => OTHER_MODEL,
    };
    let mut best: Option<(f64, usize, Basis, Vec<f64>)> = None;
    for position in 0..heads.positions() {
        step(progress, Phase::Fit, (position, heads.positions()))?;
        let basis = Basis::along(&logits(&outputs, position), success.get(position));
        let held_out = basis.cross_fit(sample);
        let loss = total_loss(sample, &held_out) + handicap(position);
        if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
            best = Some((loss, position, basis, held_out));
        }
    }
    let Some((_, prior, mut basis, mut held_out)) = best else {
        return Err(TrainError::TooFew { found: 0, needed: 1 });
    };
    let mut used = None;
    if let Some(directions) = directions {
        let inputs = |row: usize| heads.input(&sample.features.embedding(row), &sample.features.signals(row));
        let inputs: Vec<Vec<f32>> = (0..sample.features.len()).map(inputs).collect();
        let wider = basis.clone().with(directions, &inputs);
        let predicted = wider.cross_fit(sample);
        if total_loss(sample, &predicted) < total_loss(sample, &held_out) {
            (basis, held_out, used) = (wider, predicted, Some(directions));
        }
    }
    let all: Vec<usize> = (0..sample.scores.len()).collect();
    let coefficients = basis.solve(sample, &all);
    let at = |place: usize| coefficients.get(place).copied().unwrap_or(0.0);
    let (slope, intercept) = (at(0), at(1));
    let residual = used.map(|directions| {
        let mut weights: Vec<f32> = vec![0.0; heads.dimension + SIGNALS];
        let mut bias = 0.0;
        for (direction, c) in directions.directions.iter().zip(coefficients.iter().skip(2)) {
            for (to, w) in weights.iter_mut().zip(&direction.weights) {
                *to += *c as f32 * w;
            }
            bias += *c as f32 * direction.bias;
        }
        (weights, bias)
    });
    let plain = Fitted { prior, slope, intercept, residual, held_out, basis };
    if all.len() < RESIDUAL_FROM { Ok(plain) } else { with_residual(heads, sample, (plain, &coefficients), progress) }
}

/// Tries free residuals on top, and keeps the best if it clearly helps on questions it was not fitted on.
fn with_residual(
    heads: &HeadsGraph,
    sample: Sample<'_>,
    (plain, coefficients): (Fitted, &[f64]),
    progress: &dyn Progress,
) -> Result<Fitted, TrainError> {
    let bounds = Bounds { low: heads.low.clone(), high: heads.high.clone() };
    let design = Design::of(sample.features, &bounds, Scales { embedding: 4.0, signals: 0.5 });
    let all: Vec<usize> = (0..sample.scores.len()).collect();
    let rows = design.matrix(sample.features, &all);
    let solve = |rows_of: &[usize], coefficients: &[f64], penalty: f64| {
        let column = |value: &dyn Fn(usize) -> f64| Matrix {
            columns: 1,
            values: rows_of.iter().map(|&row| value(row) as f32).collect(),
        };
        let read = |values: &[f64], row: usize| values.get(row).copied().unwrap_or(0.0);
        let targets = Targets {
            labels: column(&|row| read(sample.scores, row)),
            weights: column(&|row| read(sample.weights, row)),
            offsets: Some(column(&|row| plain.basis.logit(row, coefficients))),
        };
        let rows = rows.select(rows_of);
        let count = rows.rows().max(1);
        let (epochs, penalty) = (epochs_for(count, 256).min(300), penalty / count as f64);
        let descent = Descent { epochs, batch: 256, rate: 0.02, penalty, seed: sample.seed };
        linear::fit(&rows, &targets, (Loss::Success, descent), progress)
    };
    let mut best = (total_loss(sample, &plain.held_out) - RESIDUAL_GAIN, None, Vec::new());
    for penalty in PENALTIES {
        let mut held_out = plain.held_out.clone();
        for fold in 0..FOLDS {
            let (out, rest): (Vec<usize>, Vec<usize>) = all.iter().partition(|&&row| sample.fold_of(row) == fold);
            let coefficients = plain.basis.solve(sample, &rest);
            let (weights, bias) = solve(&rest, &coefficients, penalty)?;
            let bias = f64::from(bias.first().copied().unwrap_or(0.0));
            for row in out {
                let step = f64::from(dot(weights.row(0), rows.row(row))) + bias;
                let logit = plain.basis.logit(row, &coefficients) + step;
                held_out.get_mut(row).into_iter().for_each(|to| *to = sigmoid(logit));
            }
        }
        let loss = total_loss(sample, &held_out);
        if loss < best.0 {
            best = (loss, Some(penalty), held_out);
        } else if best.1.is_some() {
            break;
        }
    }
    let (_, Some(penalty), held_out) = best else { return Ok(plain) };
    let (weights, bias) = solve(&all, coefficients, penalty)?;
    let (mut free, mut shift) = design.fold(weights.row(0), bias.first().copied().unwrap_or(0.0));
    if let Some((shared, bias)) = &plain.residual {
        free.iter_mut().zip(shared).for_each(|(to, w)| *to += w);
        shift += bias;
    }
    Ok(Fitted { residual: Some((free, shift)), held_out, ..plain })
}

/// Adds a fitted model to heads and maps, at the end.
pub(super) fn write(fitted: &Fitted, (heads, success): (&mut HeadsGraph, &mut Vec<Calibrator>)) {
    heads.push_like(fitted.prior);
    if let Some((weights, bias)) = &fitted.residual {
        // The map multiplies what the heads say, residual included.
        let slope = fitted.slope as f32;
        let scaled: Vec<f32> = weights.iter().map(|w| w / slope).collect();
        heads.outputs.add(FIXED_OUTPUTS + heads.positions() - 1, &scaled, bias / slope);
    }
    success.push(Calibrator::Platt { slope: fitted.slope, intercept: fitted.intercept });
}

/// The head outputs of every prompt.
pub(super) fn outputs(heads: &HeadsGraph, features: &Features) -> Vec<HeadOutput> {
    (0..features.len()).map(|row| heads.apply(&features.embedding(row), &features.signals(row))).collect()
}

/// The raw logits of one position.
pub(super) fn logits(outputs: &[HeadOutput], position: usize) -> Vec<f64> {
    outputs.iter().map(|outputs| outputs.success.get(position).map_or(0.0, |logit| f64::from(*logit))).collect()
}

/// Slope and intercept of a map, an isotonic one followed as well as two numbers can.
fn followed(map: Option<&Calibrator>, logits: &[f64]) -> (f64, f64) {
    match map {
        Some(map @ Calibrator::Isotonic { .. }) => {
            let follow = |&logit: &f64| Observation { logit, score: map.apply(logit).get(), weight: 1.0 };
            numbers(&platt(&logits.iter().map(follow).collect::<Vec<_>>(), Hold::LIGHT))
        }
        Some(map) => numbers(map),
        None => (1.0, 0.0),
    }
}

fn numbers(map: &Calibrator) -> (f64, f64) {
    match map {
        Calibrator::Platt { slope, intercept } => (*slope, *intercept),
        Calibrator::Isotonic { .. } => (1.0, 0.0),
    }
}

/// The summed log-loss, in nats.
fn total_loss(sample: Sample<'_>, predicted: &[f64]) -> f64 {
    let loss = |((p, y), w): ((&f64, &f64), &f64)| {
        let p = p.clamp(1e-6, 1.0 - 1e-6);
        -w * (y * p.ln() + (1.0 - y) * (1.0 - p).ln())
    };
    predicted.iter().zip(sample.scores).zip(sample.weights).map(loss).sum()
}
