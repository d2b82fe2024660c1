//! From raw head outputs to probabilities that mean what they say, and from the dial to a threshold.

use serde::{Deserialize, Serialize};

use crate::domain::probability::{Probability, sigmoid};

/// Maps a raw success logit to a calibrated probability. Never decreasing in the logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibrator {
    /// Platt scaling: `sigmoid(slope × logit + intercept)` with a slope that is not negative.
    Platt {
        /// Multiplies the logit.
        slope: f64,
        /// Added after it.
        intercept: f64,
    },
    /// Isotonic regression: linear between knots, flat outside them.
    Isotonic {
        /// Logits in ascending order.
        knots: Vec<f64>,
        /// Probabilities in ascending order, one per knot.
        values: Vec<f64>,
    },
}

/// Why a calibrator read from a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// A number is not finite.
    #[error("a calibration number is not finite")]
    NotFinite,
    /// The map would decrease, or leave 0..1.
    #[error("a calibration map decreases or leaves the range 0 to 1")]
    NotMonotone,
    /// Knots and values differ in number, or there are none.
    #[error("a calibration map has no knots, or knots and values differ in number")]
    Length,
}

impl Calibrator {
    /// The map that trusts the head.
    pub const IDENTITY: Self = Self::Platt { slope: 1.0, intercept: 0.0 };

    /// Checks what a file said. After this, [`Calibrator::apply`] keeps its promises.
    ///
    /// # Errors
    /// Numbers that are not finite, maps that decrease, and lists that do not match.
    pub fn check(&self) -> Result<(), CalibrationError> {
        match self {
            Self::Platt { slope, intercept } => {
                if !slope.is_finite() || !intercept.is_finite() {
                    return Err(CalibrationError::NotFinite);
                }
                if *slope < 0.0 { Err(CalibrationError::NotMonotone) } else { Ok(()) }
            }
            Self::Isotonic { knots, values } => {
                if knots.len() != values.len() || knots.is_empty() {
                    return Err(CalibrationError::Length);
                }
                if !knots.iter().chain(values).all(|x| x.is_finite()) {
                    return Err(CalibrationError::NotFinite);
                }
                let ordered = knots.is_sorted() && values.is_sorted();
                let in_range = values.iter().all(|value| (0.0..=1.0).contains(value));
                if ordered && in_range { Ok(()) } else { Err(CalibrationError::NotMonotone) }
            }
        }
    }

    /// The calibrated probability of a logit.
    #[must_use]
    pub fn apply(&self, logit: f64) -> Probability {
        match self {
            Self::Platt { slope, intercept } => Probability::clamped(sigmoid(slope * logit + intercept)),
            Self::Isotonic { knots, values } => Probability::clamped(interpolate(knots, values, logit)),
        }
    }
}

/// Linear interpolation over ascending knots, flat outside them. Zero where there are no knots.
fn interpolate(knots: &[f64], values: &[f64], x: f64) -> f64 {
    let upper = knots.partition_point(|&knot| knot < x);
    let value = |at: usize| values.get(at).copied().unwrap_or(0.0);
    match (upper.checked_sub(1), knots.get(upper)) {
        (None, _) => value(0),
        (Some(lower), None) => value(lower),
        (Some(lower), Some(&right)) => {
            let left = knots.get(lower).copied().unwrap_or(right);
            let along = if right > left { (x - left) / (right - left) } else { 1.0 };
            value(lower) + along * (value(upper) - value(lower))
        }
    }
}

/// What the quality dial means, on calibrated quantiles of the gain.
///
/// `thresholds[i]` is the threshold that a share `i / (n - 1)` of the steps up exceeds which the calibration prompts offer. With two models
/// each prompt offers one step, its gain: the dearer one's success probability minus the cheaper one's. So a dial of 0.3 sends about 30 %
/// of such traffic up. With more models [`crate::domain::steps`] says what the steps are, and every prompt counts the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dial {
    thresholds: Vec<f64>,
}

impl Dial {
    /// How many points the table has.
    pub const POINTS: usize = 101;

    /// Builds the table from the gains of the calibration prompts between two models. `None` if there are none that are finite.
    #[must_use]
    pub fn from_gains(gains: &[f64]) -> Option<Self> {
        Self::from_steps(&gains.iter().map(|&gain| vec![gain]).collect::<Vec<_>>())
    }

    /// Builds the table from the steps up of each calibration prompt. `None` if there are none that are finite.
    #[must_use]
    pub fn from_steps(prompts: &[Vec<f64>]) -> Option<Self> {
        let each = |steps: &Vec<f64>| {
            let weight = 1.0 / steps.len().max(1) as f64;
            steps.iter().copied().filter(|step| step.is_finite()).map(move |step| (step, weight)).collect::<Vec<_>>()
        };
        let mut steps: Vec<(f64, f64)> = prompts.iter().flat_map(each).collect();
        steps.sort_by(|a, b| b.0.total_cmp(&a.0));
        // Where the middle of each step lies among the weights of all.
        let mut before = 0.0;
        for (_, weight) in &mut steps {
            (before, *weight) = (before + *weight, before + *weight / 2.0);
        }
        let (first, last) = (steps.first()?.1, steps.last()?.1);
        let nearest = |point: usize| {
            let at = first + point as f64 / (Self::POINTS - 1) as f64 * (last - first);
            let after = steps.partition_point(|(_, middle)| *middle < at);
            let near = [after.saturating_sub(1), after].into_iter().filter_map(|at| steps.get(at));
            near.min_by(|a, b| (a.1 - at).abs().total_cmp(&(b.1 - at).abs())).map(|(step, _)| *step)
        };
        Some(Self { thresholds: (0..Self::POINTS).filter_map(nearest).collect() })
    }

    /// The dial for scores that changed, given the gains of the same asks before and after: every quality sends up the share of them that it
    /// sent up before. For few asks, from which no table of its own could be told. Unchanged without finite pairs.
    #[must_use]
    pub fn carried(&self, before: &[f64], after: &[f64]) -> Self {
        let finite = |gains: &[f64]| {
            let mut sorted: Vec<f64> = gains.iter().copied().filter(|gain| gain.is_finite()).collect();
            sorted.sort_by(f64::total_cmp);
            sorted
        };
        let (old, new) = (finite(before), finite(after));
        if old.is_empty() || old.len() != new.len() {
            return self.clone();
        }
        let places: Vec<f64> = (0..new.len()).map(|at| at as f64).collect();
        let (first, last) = (old.first().copied().unwrap_or(0.0), old.last().copied().unwrap_or(0.0));
        let along = |threshold: f64| match threshold {
            // Beyond what was seen the distance is kept.
            below if below < first => new.first().copied().unwrap_or(below) + (below - first),
            above if above > last => new.last().copied().unwrap_or(above) + (above - last),
            within => {
                let place = interpolate(&old, &places, within);
                interpolate(&places, &new, place)
            }
        };
        let mut thresholds: Vec<f64> = self.thresholds.iter().map(|&threshold| along(threshold)).collect();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        Self { thresholds }
    }

    /// Whether the table is usable: at least two finite numbers that never increase.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.thresholds.len() >= 2
            && self.thresholds.iter().all(|x| x.is_finite())
            && self.thresholds.is_sorted_by(|a, b| a >= b)
    }

    /// The least gain that justifies a stronger tier at this quality. Never increases with quality.
    ///
    /// Quality 0 is never worth it and quality 1 always is, whatever the table says.
    #[must_use]
    pub fn threshold(&self, quality: Probability) -> f64 {
        if quality == Probability::ZERO {
            return f64::INFINITY;
        }
        if quality == Probability::ONE {
            return f64::NEG_INFINITY;
        }
        let at = quality.get() * (self.thresholds.len().max(1) - 1) as f64;
        let value = |index: usize| self.thresholds.get(index).copied().unwrap_or(0.0);
        let (lower, upper) = (value(at.floor() as usize), value(at.ceil() as usize));
        lower + (upper - lower) * at.fract()
    }

    /// The quality at which the threshold is this gain: the share of calibration traffic that exceeds it.
    #[must_use]
    pub fn quality_of(&self, threshold: f64) -> Probability {
        let above = self.thresholds.partition_point(|&gain| gain > threshold);
        Probability::clamped(above as f64 / self.thresholds.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn isotonic_is_monotone_and_in_range(
            mut knots in prop::collection::vec(-8.0_f64..8.0, 1..20),
            mut values in prop::collection::vec(0.0_f64..=1.0, 20),
            a in -10.0_f64..10.0,
            b in -10.0_f64..10.0,
        ) {
            knots.sort_by(f64::total_cmp);
            values.truncate(knots.len());
            values.sort_by(f64::total_cmp);
            let calibrator = Calibrator::Isotonic { knots, values };

            prop_assert_eq!(calibrator.check(), Ok(()));
            prop_assert!(calibrator.apply(a.min(b)) <= calibrator.apply(a.max(b)));
        }

        #[test]
        fn the_dial_never_asks_for_more_gain_at_higher_quality(
            gains in prop::collection::vec(-1.0_f64..1.0, 1..300), a in 0.0_f64..=1.0, b in 0.0_f64..=1.0,
        ) {
            let dial = Dial::from_gains(&gains).unwrap();
            let threshold = |quality: f64| dial.threshold(Probability::clamped(quality));

            prop_assert!(threshold(a.max(b)) <= threshold(a.min(b)));
        }
    }

    proptest! {
        #[test]
        fn a_carried_dial_sends_the_same_asks_up(
            before in prop::collection::vec(0.0_f64..1.0, 2..80), scale in 0.1_f64..3.0, shift in -0.5_f64..0.5, quality in 0.01_f64..0.99,
        ) {
            let dial = Dial::from_gains(&(0..500).map(|i| f64::from(i) / 500.0).collect::<Vec<_>>()).unwrap();
            let after: Vec<f64> = before.iter().map(|gain| gain * scale + shift).collect();
            let quality = Probability::clamped(quality);

            let carried = dial.carried(&before, &after);

            let up = |dial: &Dial, gains: &[f64]| gains.iter().filter(|&&gain| gain > dial.threshold(quality)).count();
            prop_assert!(carried.is_valid());
            // Two neighbouring points of the table, interpolated, may straddle one ask.
            prop_assert!(up(&dial, &before).abs_diff(up(&carried, &after)) <= 1);
        }
    }

    #[test]
    fn the_dial_sends_its_share_up() {
        let gains: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
        let dial = Dial::from_gains(&gains).unwrap();

        let threshold = dial.threshold(Probability::clamped(0.3));
        let share = gains.iter().filter(|&&gain| gain > threshold).count() as f64 / 1000.0;

        assert!((share - 0.3).abs() < 0.01, "{share}");
        assert!((dial.quality_of(threshold).get() - 0.3).abs() < 0.02);
    }

    #[test]
    fn refuses_maps_that_decrease_or_do_not_match() {
        let decreasing = Calibrator::Isotonic { knots: vec![0.0, 1.0], values: vec![0.9, 0.1] };
        let short = Calibrator::Isotonic { knots: vec![0.0], values: vec![] };
        let falling = Calibrator::Platt { slope: -1.0, intercept: 0.0 };

        assert_eq!(decreasing.check(), Err(CalibrationError::NotMonotone));
        assert_eq!(short.check(), Err(CalibrationError::Length));
        assert_eq!(falling.check(), Err(CalibrationError::NotMonotone));
    }
}
