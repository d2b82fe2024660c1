//! From logits to probabilities that mean what they say: one map per position, the weight of neighbours, and the dial.

pub mod blend;
mod isotonic;
mod platt;

pub use isotonic::isotonic;
pub use platt::{Hold, platt};

use crate::domain::calibration::Calibrator;
use crate::train::metrics::log_loss;

/// A logit, the observed score in 0..1, and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// What the head said.
    pub logit: f64,
    /// What happened.
    pub score: f64,
    /// How much it counts, positive.
    pub weight: f64,
}

/// Fewest observations at which a free monotone map may replace the two numbers of Platt's.
const ISOTONIC_FROM: usize = 2_000;
/// How much better, in log-loss on the other half, it must be.
const ISOTONIC_MARGIN: f64 = 0.002;

/// Fits a calibrator: Platt's for few observations, and for many where isotonic regression is not clearly better on the half it was
/// not fitted on. Without observations the head is trusted.
#[must_use]
pub fn calibrator(observations: &[Observation], hold: Hold) -> Calibrator {
    let platt = |observations: &[Observation]| platt(observations, hold);
    if observations.len() < ISOTONIC_FROM {
        return platt(observations);
    }
    // Alternating halves: observations arrive in the order of prompts, which is no order.
    let half = |parity: usize| -> Vec<Observation> { observations.iter().copied().skip(parity).step_by(2).collect() };
    let (even, odd) = (half(0), half(1));
    let loss = |fit: &dyn Fn(&[Observation]) -> Calibrator| {
        let on = |map: &Calibrator, items: &[Observation]| -> f64 {
            log_loss(&items.iter().map(|item| (map.apply(item.logit).get(), item.score)).collect::<Vec<_>>())
        };
        (on(&fit(&even), &odd) + on(&fit(&odd), &even)) / 2.0
    };
    if loss(&isotonic) + ISOTONIC_MARGIN < loss(&platt) { isotonic(observations) } else { platt(observations) }
}

/// Fits one calibrator per position, all held firmly to one map that is fitted on all observations together.
///
/// The difference of two positions is what routing ranks by. Maps that differ by chance would rank by ability instead, which says
/// little about the gain; what positions differ by on average is in the heads' levels.
#[must_use]
pub fn calibrators(observed: &[Vec<Observation>]) -> Vec<Calibrator> {
    let pooled: Vec<Observation> = observed.iter().flatten().copied().collect();
    let (slope, intercept) = match platt(&pooled, Hold::LIGHT) {
        Calibrator::Platt { slope, intercept } => (slope, intercept),
        Calibrator::Isotonic { .. } => (1.0, 0.0),
    };
    let hold = Hold { slope, slope_weight: 2_000.0, intercept, intercept_weight: 2_000.0 };
    observed.iter().map(|observations| platt(observations, hold)).collect()
}

/// The number that task logits are divided by so that the likeliest task is right as often as its probability says.
///
/// `items` are logits with the true class. One where there are none.
#[must_use]
pub fn temperature(items: &[(Vec<f32>, usize)]) -> f64 {
    let loss = |temperature: f64| -> f64 {
        let of = |(logits, class): &(Vec<f32>, usize)| {
            let scaled: Vec<f32> = logits.iter().map(|x| (f64::from(*x) / temperature) as f32).collect();
            -crate::domain::probability::softmax(&scaled).get(*class).copied().unwrap_or(1e-9).max(1e-9).ln()
        };
        items.iter().map(of).sum()
    };
    let candidates = (0..=40).map(|at| 0.5 * 1.05_f64.powi(at));
    let best = candidates.map(|t| (loss(t), t)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|_| !items.is_empty()).map_or(1.0, |(_, temperature)| temperature)
}

#[cfg(test)]
mod tests;
