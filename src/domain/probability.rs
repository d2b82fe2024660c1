//! A number that is a probability, checked once.

use serde::{Deserialize, Serialize};

/// A finite number in `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// Certainly not.
    pub const ZERO: Self = Self(0.0);
    /// Even odds.
    pub const HALF: Self = Self(0.5);
    /// Certainly.
    pub const ONE: Self = Self(1.0);

    /// Forces any number into range; NaN becomes one half, the value that claims least.
    #[must_use]
    pub fn clamped(value: f64) -> Self {
        if value.is_nan() { Self::HALF } else { Self(value.clamp(0.0, 1.0)) }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// One minus this probability.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(1.0 - self.0)
    }
}

/// Why a number is not a probability.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a number between 0 and 1")]
pub struct NotAProbability(pub f64);

impl TryFrom<f64> for Probability {
    type Error = NotAProbability;

    fn try_from(value: f64) -> Result<Self, NotAProbability> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAProbability(value)) }
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

/// The logistic function. Finite for every input but NaN.
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let e = logit.exp();
        e / (1.0 + e)
    }
}

/// The inverse of [`sigmoid`], with the argument kept 1e-6 away from both ends so that it is finite.
#[must_use]
pub fn logit(probability: f64) -> f64 {
    let p = probability.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

/// Turns logits into probabilities that sum to one.
///
/// Subtracts the largest logit first, so any finite input is safe. An empty input gives an empty output.
#[must_use]
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|&x| f64::from(x - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / total).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_nan_and_numbers_out_of_range() {
        for value in [f64::NAN, -0.1, 1.1, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Probability::try_from(value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn softmax_sums_to_one_for_any_finite_logits(logits in prop::collection::vec(-1e6_f32..1e6, 1..20)) {
            let total: f64 = softmax(&logits).iter().sum();

            prop_assert!((total - 1.0).abs() < 1e-9);
        }

        #[test]
        fn logit_inverts_sigmoid(x in -12.0_f64..12.0) {
            prop_assert!((logit(sigmoid(x)) - x).abs() < 1e-4);
        }

        #[test]
        fn clamped_is_always_a_probability(x in prop::num::f64::ANY) {
            prop_assert!(Probability::try_from(Probability::clamped(x).get()).is_ok());
        }
    }
}
