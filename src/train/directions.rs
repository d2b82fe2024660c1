//! How models differ beyond ability and gain: a few directions that all models of a training share, for models to come.
//!
//! The heads leave residuals out where there are many datasets, since what one model does on one benchmark says little about other work.
//! A model that is added later has labels from its own user's traffic, though, and those labels can say which of these directions it
//! follows there: multidimensional item response, with the models of the training as the prior.

use serde::{Deserialize, Serialize};

use crate::domain::embedding::dot;
use crate::model::bundle::Bundle;
use crate::model::heads::graph::HeadsGraph;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::Matrix;
use crate::train::fit::design::{Bounds, Design, Scales};
use crate::train::fit::gain::{Part, epochs_for};
use crate::train::fit::linear::{self, Descent, Loss, Targets};
use crate::train::progress::Progress;

/// The file of a bundle that holds the directions. Optional.
pub const DIRECTIONS_FILE: &str = "directions.json";

/// Directions besides the mean of all models.
const OTHERS: usize = 4;
/// Fewest labels of a model that takes part.
const LEAST_LABELS: usize = 200;
/// Fewest models from which directions are told.
const LEAST_MODELS: usize = 4;
/// Prompts that directions are fitted on at most.
const MOST_PROMPTS: usize = 20_000;
/// The penalty of a model's weights, in rows that say nothing.
const PENALTY: f64 = 60.0;

/// One direction: an affine function of the embedding and the bounded signals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Weights on the embedding, then on the signals.
    pub weights: Vec<f32>,
    /// Added to it.
    pub bias: f32,
}

impl Direction {
    /// How far a prompt lies along it, in logits.
    #[must_use]
    pub fn of(&self, x: &[f32]) -> f64 {
        f64::from(dot(&self.weights, x) + self.bias)
    }
}

/// The mean of what models do beyond the heads, then how they differ from it, each scaled to a deviation of one over models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Directions {
    /// The directions.
    pub directions: Vec<Direction>,
}

impl Directions {
    /// Reads those of a bundle. `None` if it has none, or they were made for other heads.
    ///
    /// # Errors
    /// The file is listed and cannot be read.
    pub fn read(bundle: &Bundle, inputs: usize) -> Result<Option<Self>, TrainError> {
        if !bundle.lists(DIRECTIONS_FILE) {
            return Ok(None);
        }
        let found: Self = bundle.read_json(DIRECTIONS_FILE).map_err(TrainError::model("reading the bundle"))?;
        let fits = |one: &Direction| one.weights.len() == inputs && one.bias.is_finite();
        let sound = !found.directions.is_empty() && found.directions.iter().all(fits);
        Ok(sound.then_some(found))
    }

    /// Fits every model's weights beyond the heads on these prompts, and what they have in common. `None` where too few models have labels.
    ///
    /// # Errors
    /// Numeric failure and interruption.
    pub fn fit(
        heads: &HeadsGraph,
        part: Part<'_>,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, TrainError> {
        let every = part.prompts.len().div_ceil(MOST_PROMPTS).max(1);
        let prompts: Vec<usize> = part.prompts.iter().copied().step_by(every).collect();
        let mut counts = vec![0_usize; heads.positions()];
        for label in prompts.iter().flat_map(|&prompt| part.labels.of(prompt)) {
            if let Some(count) = counts.get_mut(usize::from(label.position)) {
                *count += 1;
            }
        }
        let models: Vec<usize> = (part.labels.tiers()..counts.len())
            .filter(|&at| counts.get(at).is_some_and(|&n| n >= LEAST_LABELS))
            .collect();
        if models.len() < LEAST_MODELS {
            return Ok(None);
        }
        let design = design(heads, part.features);
        let (targets, rows) = (targets(heads, part, (&prompts, &models)), design.matrix(part.features, &prompts));
        let count = rows.rows().max(1);
        let penalty = PENALTY / count as f64;
        let descent = Descent { epochs: epochs_for(count, 512).min(60), batch: 512, rate: 0.01, penalty, seed };
        let (weights, _) = linear::fit(&rows, &targets, (Loss::Success, descent), progress)?;
        let found = common(&weights).into_iter().map(|direction| {
            let (weights, bias) = design.fold(&direction, 0.0);
            Direction { weights, bias }
        });
        Ok(Some(Self { directions: found.collect() }))
    }
}

fn design(heads: &HeadsGraph, features: &Features) -> Design {
    let bounds = Bounds { low: heads.low.clone(), high: heads.high.clone() };
    Design::of(features, &bounds, Scales { embedding: 4.0, signals: 0.5 })
}

fn targets(heads: &HeadsGraph, part: Part<'_>, (prompts, models): (&[usize], &[usize])) -> Targets {
    let column = || Matrix::new(models.len());
    let (mut labels, mut weights, mut offsets) = (column(), column(), column());
    for &prompt in prompts {
        let outputs = heads.apply(&part.features.embedding(prompt), &part.features.signals(prompt));
        let score = |at: &usize| part.labels.score(prompt, *at);
        labels.push(&models.iter().map(|at| score(at).unwrap_or(0.0)).collect::<Vec<_>>());
        weights.push(&models.iter().map(|at| f32::from(u8::from(score(at).is_some()))).collect::<Vec<_>>());
        offsets.push(&models.iter().map(|&at| outputs.success.get(at).copied().unwrap_or(0.0)).collect::<Vec<_>>());
    }
    Targets { labels, weights, offsets: Some(offsets) }
}

/// The mean row, then the principal directions around it, each times the deviation of the rows along it.
fn common(rows: &Matrix) -> Vec<Vec<f32>> {
    let count = rows.rows().max(1);
    let mut mean = vec![0.0_f32; rows.columns];
    for row in 0..rows.rows() {
        for (to, x) in mean.iter_mut().zip(rows.row(row)) {
            *to += x / count as f32;
        }
    }
    let mut rest: Vec<Vec<f32>> =
        (0..rows.rows()).map(|row| rows.row(row).iter().zip(&mean).map(|(x, m)| x - m).collect()).collect();
    let mut found = vec![mean];
    for at in 0..OTHERS.min(count.saturating_sub(1)) {
        let Some(unit) = principal(&rest, at) else { break };
        let along: Vec<f32> = rest.iter().map(|row| dot(row, &unit)).collect();
        let deviation = (along.iter().map(|x| x * x).sum::<f32>() / count as f32).sqrt();
        for (row, x) in rest.iter_mut().zip(&along) {
            for (to, u) in row.iter_mut().zip(&unit) {
                *to -= x * u;
            }
        }
        found.push(unit.iter().map(|u| u * deviation).collect());
    }
    found
}

/// The direction along which rows vary most, of length one, by power iteration from one of them.
fn principal(rows: &[Vec<f32>], start: usize) -> Option<Vec<f32>> {
    let unit = |mut vector: Vec<f32>| {
        let length = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        (length > 1e-6 && length.is_finite()).then_some(vector)
    };
    let mut vector = unit(rows.get(start)?.clone())?;
    for _ in 0..60 {
        let mut next = vec![0.0_f32; vector.len()];
        for row in rows {
            let along = dot(row, &vector);
            for (to, x) in next.iter_mut().zip(row) {
                *to += along * x;
            }
        }
        vector = unit(next)?;
    }
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_have_in_common_comes_first_and_then_where_they_differ_most() {
        let mut rows = Matrix::new(3);
        for row in [[1.0, 2.0, 0.0], [1.0, -2.0, 0.0], [1.0, 2.0, 0.1], [1.0, -2.0, -0.1]] {
            rows.push(&row);
        }

        let found = common(&rows);

        assert!((found[0][0] - 1.0).abs() < 1e-6 && found[0][1].abs() < 1e-6, "{found:?}");
        assert!((found[1][1].abs() - 2.0).abs() < 0.01 && found[1][0].abs() < 1e-6, "{found:?}");
    }
}
