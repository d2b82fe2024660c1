//! Evidence from labelled prompts that resemble the one at hand.

use serde::{Deserialize, Serialize};

use crate::domain::estimate::Estimate;
use crate::domain::ids::ItemId;
use crate::domain::probability::Probability;

/// A labelled prompt and how similar it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Which prompt.
    pub item: ItemId,
    /// The cosine similarity, in `-1.0..=1.0`.
    pub similarity: f32,
    /// How well each tier and model did on it.
    #[serde(skip)]
    pub labels: Labels,
}

/// Scores of one prompt, by position in the bundle's [`LabelSpace`](crate::domain::scores::LabelSpace): sparse, each in `0.0..=1.0`.
pub type Labels = std::sync::Arc<[(u16, f32)]>;

/// How neighbours are weighed. Fitted by training, stored in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlendSettings {
    /// How many neighbours are asked for.
    pub k: usize,
    /// Cosine similarity at which a neighbour's weight is zero.
    pub floor: f32,
    /// How fast the weight grows with similarity: `((similarity - floor) / (1 - floor)) ^ power`.
    pub power: f32,
    /// How many neighbours of weight one the head's prediction counts for. Positive.
    pub prior_strength: f64,
}

impl BlendSettings {
    /// The weight of a neighbour, in `0.0..=1.0`.
    #[must_use]
    pub fn weight(&self, similarity: f32) -> f64 {
        let above = f64::from(similarity - self.floor) / f64::from((1.0 - self.floor).max(1e-6));
        above.clamp(0.0, 1.0).powf(f64::from(self.power))
    }
}

/// What the neighbours say about one tier or model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The sum of the weights of neighbours that have a label here.
    pub weight: f64,
    /// The weighted sum of their scores.
    pub successes: f64,
}

impl Evidence {
    /// Gathers the evidence of every neighbour, one entry per position of the label space.
    #[must_use]
    pub fn gather(neighbours: &[Neighbour], settings: &BlendSettings, positions: usize) -> Vec<Self> {
        let mut evidence = vec![Self::default(); positions];
        for neighbour in neighbours {
            let weight = settings.weight(neighbour.similarity);
            for &(position, score) in neighbour.labels.iter() {
                if let Some(entry) = evidence.get_mut(usize::from(position)) {
                    entry.weight += weight;
                    entry.successes += weight * f64::from(score);
                }
            }
        }
        evidence
    }

    /// Joins the head's calibrated prediction, as a Beta prior, with this evidence.
    ///
    /// The head is worth `prior_strength` observations. The result is the posterior mean with its interval.
    #[must_use]
    pub fn update(&self, prior: Probability, prior_strength: f64) -> Estimate {
        let alpha = prior_strength * prior.get() + self.successes;
        let beta = prior_strength * prior.complement().get() + (self.weight - self.successes);
        Estimate::from_beta(alpha, beta)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: BlendSettings = BlendSettings { k: 64, floor: 0.2, power: 2.0, prior_strength: 20.0 };

    #[test]
    fn no_neighbours_leave_the_prior_alone() {
        let prior = Probability::clamped(0.7);

        let estimate = Evidence::default().update(prior, 20.0);

        assert!((estimate.mean.get() - 0.7).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn the_estimate_lies_between_prior_and_evidence(prior in 0.0_f64..=1.0, rate in 0.0_f64..=1.0, weight in 0.0_f64..500.0) {
            let evidence = Evidence { weight, successes: weight * rate };

            let mean = evidence.update(Probability::clamped(prior), 20.0).mean.get();

            prop_assert!(mean >= prior.min(rate) - 1e-9 && mean <= prior.max(rate) + 1e-9);
        }

        #[test]
        fn more_similar_neighbours_never_weigh_less(a in -1.0_f32..=1.0, b in -1.0_f32..=1.0) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };

            prop_assert!(SETTINGS.weight(low) <= SETTINGS.weight(high));
        }
    }
}
