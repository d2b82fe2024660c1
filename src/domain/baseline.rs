//! What the prompts looked like that a bundle was calibrated on: `baseline.json`, an optional file of a bundle.
//!
//! The serving side reads two things off it: which prompts it cannot judge, and whether traffic has moved away from training.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::drift::{Dimension, Tally};
use crate::domain::language::Language;

/// The schema this build writes and reads.
pub const BASELINE_SCHEMA: u32 = 1;

/// A language counts as trained from this share of the prompts.
const TRAINED_SHARE: f64 = 0.01;

/// And from this many of them.
const TRAINED_PROMPTS: f64 = 30.0;

/// Quantiles at the ends want this many prompts.
const TELLING: u64 = 500;

/// The calibration prompts of a bundle, counted. No text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    schema: u32,
    /// The share of the prompts by language code; what is not counted by itself is `other` or `unknown`.
    languages: BTreeMap<String, f64>,
    tally: Tally,
}

impl Baseline {
    /// Describes counted prompts.
    #[must_use]
    pub fn new(tally: Tally) -> Self {
        let total = tally.total().max(1) as f64;
        let shares = tally.of(Dimension::Language).iter().enumerate().filter(|(_, count)| **count > 0);
        let languages =
            shares.map(|(bin, &count)| (Language::bin_name(bin).to_owned(), count as f64 / total)).collect();
        Self { schema: BASELINE_SCHEMA, languages, tally }
    }

    /// Whether this build can use it: a schema it knows, and counts of the right shape.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.schema == BASELINE_SCHEMA && self.tally.is_sound() && self.tally.total() > 0
    }

    /// The counts.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether there are enough prompts for quantiles near the ends.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.tally.total() >= TELLING
    }

    /// The density below which this share of the prompts lies.
    #[must_use]
    pub fn density(&self, share: f64) -> f64 {
        self.tally.quantile(Dimension::Density, share)
    }

    /// The disagreement below which this share of the prompts lies.
    #[must_use]
    pub fn disagreement(&self, share: f64) -> f64 {
        self.tally.quantile(Dimension::Disagreement, share)
    }

    /// The codes of the languages that enough prompts were in.
    #[must_use]
    pub fn trained_languages(&self) -> Vec<String> {
        let total = self.tally.total() as f64;
        let is_language = |code: &str| Language::COUNTED.contains(&code);
        let enough = |share: f64| share >= TRAINED_SHARE && share * total >= TRAINED_PROMPTS;
        self.languages
            .iter()
            .filter(|(code, share)| is_language(code) && enough(**share))
            .map(|(code, _)| code.clone())
            .collect()
    }
}
