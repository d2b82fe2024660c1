//! Isotonic regression by pooling adjacent violators.

use crate::domain::calibration::Calibrator;
use crate::train::calibrate::Observation;

/// Fewest observations in a pool; smaller ones join their neighbour, so that a knot is never one lucky prompt.
const LEAST_POOL: f64 = 20.0;

/// A run of observations with one value.
#[derive(Clone, Copy)]
struct Pool {
    logits: f64,
    scores: f64,
    weight: f64,
}

impl Pool {
    fn value(&self) -> f64 {
        self.scores / self.weight
    }

    fn join(self, other: Self) -> Self {
        Self {
            logits: self.logits + other.logits,
            scores: self.scores + other.scores,
            weight: self.weight + other.weight,
        }
    }
}

/// The non-decreasing map with the least squares, linear between the means of its pools. Without observations the head is trusted.
#[must_use]
pub fn isotonic(observations: &[Observation]) -> Calibrator {
    let mut sorted = observations.to_vec();
    sorted.sort_by(|a, b| a.logit.total_cmp(&b.logit));
    let mut pools: Vec<Pool> = Vec::new();
    for item in sorted.iter().filter(|item| item.weight > 0.0) {
        let mut pool = Pool { logits: item.logit * item.weight, scores: item.score * item.weight, weight: item.weight };
        while let Some(last) = pools.pop() {
            if last.value() < pool.value() && last.weight >= LEAST_POOL {
                pools.push(last);
                break;
            }
            pool = last.join(pool);
        }
        pools.push(pool);
    }
    if pools.is_empty() {
        return Calibrator::IDENTITY;
    }
    // The last pool may be small, and then jump; it joins the one before.
    if pools.len() > 1
        && let Some(last) = pools.pop_if(|last| last.weight < LEAST_POOL)
        && let Some(before) = pools.pop()
    {
        pools.push(before.join(last));
    }
    let (knots, values) = pools.iter().map(|pool| (pool.logits / pool.weight, pool.value().clamp(0.0, 1.0))).unzip();
    Calibrator::Isotonic { knots, values }
}
