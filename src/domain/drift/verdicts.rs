//! What feedback says about the predictions: a rolling calibration error, and whether going up was worth it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How many of the latest verdicts are kept.
pub const MOST_VERDICTS: usize = 400;

/// A calibration error of fewer verdicts than this says nothing.
const LEAST_VERDICTS: usize = 50;

/// An escalation precision of fewer verdicts than this says nothing.
const LEAST_ESCALATIONS: usize = 20;

const BINS: usize = 10;

/// One verdict beside what was predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The success that was predicted of the model that served, 0 to 1.
    pub predicted: f64,
    /// How well it did, 0 to 1.
    pub verdict: f64,
    /// Where a stronger model than the cheapest eligible one served: the success that was predicted of that cheapest one.
    pub instead_of: Option<f64>,
}

/// How far predictions are from verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The expected calibration error over ten bins of equal width.
    pub ece: f64,
    /// What perfectly calibrated predictions would show on as many verdicts.
    pub by_chance: f64,
    /// How many verdicts.
    pub verdicts: usize,
}

/// Whether going up was worth it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Escalation {
    /// The estimated share of escalated calls that the stronger model got right and the cheapest would not have: the mean of verdict × (1 −
    /// the cheapest's predicted success). An estimate, since the cheapest was not asked.
    pub precision: f64,
    /// How many verdicts on escalated calls.
    pub verdicts: usize,
}

/// The latest verdicts, at most [`MOST_VERDICTS`]; the oldest gives way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Verdicts {
    latest: VecDeque<Judged>,
}

impl Verdicts {
    /// Adds a verdict. One with a number that is not finite is left out.
    pub fn push(&mut self, judged: Judged) {
        let numbers = [judged.predicted, judged.verdict, judged.instead_of.unwrap_or_default()];
        if numbers.iter().all(|number| (0.0..=1.0).contains(number)) {
            self.latest.push_back(judged);
        }
        while self.latest.len() > MOST_VERDICTS {
            self.latest.pop_front();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// The calibration error. `None` of too few.
    #[must_use]
    pub fn calibration(&self) -> Option<Calibration> {
        if self.latest.len() < LEAST_VERDICTS {
            return None;
        }
        let mut bins = [(0.0, 0.0, 0.0, 0.0); BINS];
        for judged in &self.latest {
            let bin = ((judged.predicted * BINS as f64) as usize).min(BINS - 1);
            if let Some((count, predicted, verdict, spread)) = bins.get_mut(bin) {
                *count += 1.0;
                *predicted += judged.predicted;
                *verdict += judged.verdict;
                *spread += judged.predicted * (1.0 - judged.predicted);
            }
        }
        let all = self.latest.len() as f64;
        let ece = bins.iter().map(|(_, predicted, verdict, _)| (predicted - verdict).abs() / all).sum();
        // The mean of a normal deviate's size is √(2/π) of its deviation.
        let by_chance =
            bins.iter().map(|(_, _, _, spread)| std::f64::consts::FRAC_2_PI.sqrt() * spread.sqrt() / all).sum();
        Some(Calibration { ece, by_chance, verdicts: self.latest.len() })
    }

    /// Whether going up was worth it. `None` of too few.
    #[must_use]
    pub fn escalation(&self) -> Option<Escalation> {
        let escalated = || self.latest.iter().filter_map(|judged| Some((judged.verdict, judged.instead_of?)));
        let verdicts = escalated().count();
        let worth: f64 = escalated().map(|(verdict, cheapest)| verdict * (1.0 - cheapest)).sum();
        (verdicts >= LEAST_ESCALATIONS).then(|| Escalation { precision: worth / verdicts as f64, verdicts })
    }
}
