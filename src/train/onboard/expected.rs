//! The error to expect, and how it falls with labels.

use serde::Serialize;

use crate::train::metrics::{auc, bootstrap, brier, ece};
use crate::train::onboard::LEAST_LABELS;
use crate::train::onboard::fit::{Basis, Sample};

/// Rounds of the bootstrap.
const ROUNDS: usize = 400;

/// How far predictions are from what happened, each with its 95 % interval by bootstrap over prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// How well right and wrong answers are told apart, 0.5 to 1. `None` where the labels are of one class.
    pub auc: Option<f64>,
    /// Its interval.
    pub auc_interval: Option<[f64; 2]>,
    /// Expected calibration error. Of few labels a part of it is chance: perfect predictions show about `0.3 / √(labels / 15)`.
    pub ece: f64,
    /// Its interval.
    pub ece_interval: Option<[f64; 2]>,
    /// Mean squared error.
    pub brier: f64,
}

/// The expected error with this many labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Labels.
    pub labels: usize,
    /// The area by ability, discrimination and shared directions, predicted without the prompt's question.
    pub auc: Option<f64>,
    /// Mean squared error.
    pub brier: f64,
}

/// Measures predictions.
pub(super) fn measured(predicted: &[f64], scores: &[f64], seed: u64) -> Expected {
    let items: Vec<(f64, f64)> = predicted.iter().copied().zip(scores.iter().copied()).collect();
    let area = |items: &[(f64, f64)]| auc(&items.iter().map(|&(p, y)| (p, y >= 0.5)).collect::<Vec<_>>());
    Expected {
        auc: area(&items),
        auc_interval: bootstrap(&items, (ROUNDS, seed), area),
        ece: ece(&items),
        ece_interval: bootstrap(&items, (ROUNDS, seed), |items| Some(ece(items))),
        brier: brier(&items),
    }
}

/// The error at a quarter, a half and all of the labels.
pub(super) fn curve(sample: Sample<'_>, basis: &Basis) -> Vec<CurvePoint> {
    let count = sample.scores.len();
    let parts = [count / 4, count / 2, count];
    let point = |labels: usize| {
        let few = Sample {
            scores: sample.scores.get(..labels)?,
            weights: sample.weights.get(..labels)?,
            stems: sample.stems.get(..labels)?,
            ..sample
        };
        let held_out = basis.cross_fit(few);
        let items: Vec<(f64, f64)> = held_out.into_iter().zip(few.scores.iter().copied()).collect();
        let area = auc(&items.iter().map(|&(p, y)| (p, y >= 0.5)).collect::<Vec<_>>());
        Some(CurvePoint { labels, auc: area, brier: brier(&items) })
    };
    parts.into_iter().filter(|&labels| labels >= LEAST_LABELS).filter_map(point).collect()
}
