//! A success probability that says how sure it is.

use serde::{Deserialize, Serialize};

use crate::domain::probability::Probability;

/// A success probability with its 90 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The expected success.
    pub mean: Probability,
    /// The lower end of the 90 % interval.
    pub low: Probability,
    /// The upper end of the 90 % interval.
    pub high: Probability,
}

impl Estimate {
    /// The mean and 90 % interval of a Beta distribution.
    ///
    /// The interval is the normal approximation with the Beta's own variance, cut to `0..=1`: it is within two hundredths of the
    /// exact one for the pseudo-counts used here and costs no special functions. Counts that sum to nothing give the widest interval.
    #[must_use]
    pub fn from_beta(alpha: f64, beta: f64) -> Self {
        let total = alpha + beta;
        if !total.is_finite() || total <= 0.0 {
            return Self { mean: Probability::HALF, low: Probability::ZERO, high: Probability::ONE };
        }
        let mean = alpha / total;
        let deviation = (mean * (1.0 - mean) / (total + 1.0)).max(0.0).sqrt();
        let reach = 1.645 * deviation;
        Self {
            mean: Probability::clamped(mean),
            low: Probability::clamped(mean - reach),
            high: Probability::clamped(mean + reach),
        }
    }

    /// Half the width of the interval.
    #[must_use]
    pub fn reach(&self) -> f64 {
        (self.high.get() - self.low.get()) / 2.0
    }
}
