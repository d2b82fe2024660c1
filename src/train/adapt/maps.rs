//! Calibration maps as two numbers, so that they can become part of the heads.

use crate::domain::calibration::Calibrator;
use crate::domain::probability::sigmoid;
use crate::train::calibrate::{Hold, Observation, platt};

/// Slope and intercept of a map on logits; an isotonic one is followed as well as two numbers can.
pub(super) fn as_platt(map: &Calibrator, logits: impl Iterator<Item = f32>) -> (f64, f64) {
    match map {
        Calibrator::Platt { slope, intercept } => (*slope, *intercept),
        Calibrator::Isotonic { .. } => {
            let observe = |logit: f32| {
                let logit = f64::from(logit);
                Observation { logit, score: map.apply(logit).get(), weight: 1.0 }
            };
            match platt(&logits.map(observe).collect::<Vec<_>>(), Hold::LIGHT) {
                Calibrator::Platt { slope, intercept } => (slope, intercept),
                Calibrator::Isotonic { .. } => (1.0, 0.0),
            }
        }
    }
}

/// The straight line, slope and intercept, that a map of logits is nearest to as a map of probabilities.
pub(super) fn line(map: &Calibrator, logits: impl Iterator<Item = f32>) -> (f64, f64) {
    if *map == Calibrator::IDENTITY {
        return (1.0, 0.0);
    }
    let points: Vec<(f64, f64)> =
        logits.map(|logit| (sigmoid(f64::from(logit)), map.apply(f64::from(logit)).get())).collect();
    let (slope, x, y) = {
        let count = points.len().max(1) as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        (if variance > 1e-9 { covariance / variance } else { 1.0 }, x, y)
    };
    (slope.max(0.0), y - slope.max(0.0) * x)
}
