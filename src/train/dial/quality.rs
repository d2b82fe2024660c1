//! How good a setting of the dial is, from what is known of the answers.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::train::dial::risk::{self, Bounds};
use crate::train::dial::sweep::{SETTINGS, Swept, quality};
use crate::train::dial::{Measured, Promise};
use crate::train::error::TrainError;
use crate::train::metrics::bootstrap;
use crate::train::traffic::Ask;

/// Rounds of the bootstrap.
const ROUNDS: usize = 300;
/// The largest weight of a logged outcome in an estimate. A promise uses weights as they are.
const MOST_WEIGHT: f64 = 20.0;
/// A logged choice that was this sure was not drawn: nothing is known of the others.
const SURE: f64 = 0.9999;
/// Fewest labelled asks behind a promise or a measured quality.
pub(super) const LEAST_LABELLED: usize = 30;

/// What an estimate of quality rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Outcomes of every candidate on the same prompts.
    Outcomes,
    /// Logged outcomes of the chosen model, weighted by the inverse of its chance and corrected by the bundle's predictions.
    DoublyRobust,
    /// The bundle's predictions alone: nobody said how the answers were.
    Predictions,
}

/// What is known of one ask under one setting: an expectation, and a weighted correction where an outcome was logged.
#[derive(Clone, Copy, Debug)]
struct Value {
    expected: f64,
    weight: f64,
    rest: f64,
}

/// An ask under the setting in question and under the strongest.
type Pair = (Value, Value);

/// The asks whose answers are known, with what each candidate is worth on them.
pub(super) struct Known<'a> {
    basis: Basis,
    asks: Vec<(&'a Swept, Vec<Option<f64>>, f64)>,
}

impl<'a> Known<'a> {
    /// Gathers the asks that quality can be told on. Falls back to predictions where there are too few.
    pub(super) fn of(swept: &'a [Swept], asks: &[Ask], (keys, is_log): (&[String], bool)) -> Self {
        let seen = |one: &&'a Swept| {
            let ask = asks.get(one.ask)?;
            let score = |key: &String| ask.seen.iter().find(|(model, _)| model == key).map(|(_, score)| *score);
            let scores: Vec<Option<f64>> = keys.iter().map(score).collect();
            let enough = if is_log { scores.iter().any(Option::is_some) } else { scores.iter().all(Option::is_some) };
            enough.then_some((*one, scores, ask.propensity))
        };
        let known: Vec<_> = swept.iter().filter_map(|one| seen(&one)).collect();
        let explored = known.iter().filter(|(.., propensity)| *propensity < SURE).count();
        let usable = if is_log { explored * 100 >= known.len() * 99 } else { true };
        if known.len() >= LEAST_LABELLED && usable {
            let basis = if is_log { Basis::DoublyRobust } else { Basis::Outcomes };
            return Self { basis, asks: known };
        }
        let asks = swept.iter().map(|one| (one, vec![None; keys.len()], 1.0)).collect();
        Self { basis: Basis::Predictions, asks }
    }

    /// What the estimates rest on.
    pub(super) const fn basis(&self) -> Basis {
        self.basis
    }

    /// How many asks they rest on.
    pub(super) const fn len(&self) -> usize {
        self.asks.len()
    }

    fn value(
        &self,
        (one, scores, propensity): &(&Swept, Vec<Option<f64>>, f64),
        (setting, clip): (usize, f64),
    ) -> Value {
        let pick = one.pick(setting);
        let predicted = one.predicted.get(pick).copied().unwrap_or(0.5);
        let score = scores.get(pick).copied().flatten();
        match (self.basis, score) {
            (Basis::Outcomes, Some(score)) => Value { expected: score, weight: 0.0, rest: 0.0 },
            (Basis::DoublyRobust, Some(score)) => {
                Value { expected: predicted, weight: (1.0 / propensity).min(clip), rest: score - predicted }
            }
            (Basis::Predictions, _) | (_, None) => Value { expected: predicted, weight: 0.0, rest: 0.0 },
        }
    }

    /// The mean score at a setting and relative to the strongest, each with its 95 % interval.
    pub(super) fn quality(&self, setting: usize, seed: u64) -> (Measured, Measured) {
        let pairs: Vec<Pair> = self
            .asks
            .iter()
            .map(|ask| (self.value(ask, (setting, MOST_WEIGHT)), self.value(ask, (SETTINGS - 1, MOST_WEIGHT))))
            .collect();
        let here = |pairs: &[Pair]| estimate(pairs.iter().map(|pair| pair.0));
        let relative = |pairs: &[Pair]| {
            let strongest = estimate(pairs.iter().map(|pair| pair.1));
            if strongest > 1e-9 { here(pairs) / strongest } else { 1.0 }
        };
        let interval = |statistic: &dyn Fn(&[Pair]) -> f64| {
            bootstrap(&pairs, (ROUNDS, seed), |sample| Some(statistic(sample))).unwrap_or([0.0, 1.0])
        };
        (
            Measured { value: here(&pairs), interval: interval(&here) },
            Measured { value: relative(&pairs), interval: interval(&relative) },
        )
    }

    /// How many asks with a known answer of the chosen candidate the estimate at a setting is worth. `None` but for logs.
    pub(super) fn effective_size(&self, setting: usize) -> Option<f64> {
        if self.basis != Basis::DoublyRobust {
            return None;
        }
        let weights = self.asks.iter().map(|ask| self.value(ask, (setting, MOST_WEIGHT)).weight);
        let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
        Some(if squares > 0.0 { sum * sum / squares } else { 0.0 })
    }

    /// The lowest setting at which at least this part of the strongest's quality is kept, with probability one minus delta.
    pub(super) fn promise(&self, share: f64, (delta, seed): (f64, u64)) -> Result<(usize, Promise), TrainError> {
        let refuse = |detail: String| Err(TrainError::Dial { what: "--target-quality", detail });
        if self.basis == Basis::Predictions {
            return refuse(format!(
                "a promise needs at least {LEAST_LABELLED} asks with known answers: outcomes of every candidate on the same prompts, or a log \
                 with feedback from a policy that explores (`exploration = 0.1`); `--share-strong` and `--max-cost-per-1k` need none"
            ));
        }
        let least = self.asks.iter().map(|(.., propensity)| *propensity).fold(1.0, f64::min);
        let reach = 1.0 / least;
        let bounds = match self.basis {
            Basis::DoublyRobust => Bounds { low: -share * (reach - 1.0) - reach, high: share * reach + reach - 1.0 },
            Basis::Outcomes | Basis::Predictions => Bounds { low: -1.0, high: share },
        };
        let mut order: Vec<_> = self.asks.iter().collect();
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        let shortfalls = |setting: usize| -> Vec<f64> {
            let worth = |value: Value| value.expected + value.weight * value.rest;
            let of = |setting: usize, ask: &(&Swept, Vec<Option<f64>>, f64)| worth(self.value(ask, (setting, reach)));
            order.iter().map(|ask| share * of(SETTINGS - 1, ask) - of(setting, ask)).collect()
        };
        let mut kept = None;
        for setting in (0..SETTINGS - 1).rev() {
            let p = risk::p_value(&shortfalls(setting), bounds, delta);
            if p > delta {
                break;
            }
            kept = Some((setting, p));
        }
        let Some((setting, p_value)) = kept else {
            let needed =
                (0..SETTINGS - 1).filter_map(|setting| risk::labels_needed(&shortfalls(setting), bounds, delta)).min();
            let have = self.asks.len();
            return refuse(match needed {
                Some(needed) => format!(
                    "{have} labelled asks are too few to promise {share} of the strongest model's quality with confidence {}; about {} are \
                     needed; until then `quality = 1` keeps all of it",
                    1.0 - delta,
                    needed.max(have + 1)
                ),
                None => format!(
                    "no setting below 1 keeps {share} of the strongest model's quality on these {have} asks; the best that can be is `quality = 1`"
                ),
            });
        };
        let promise = Promise {
            share,
            delta,
            p_value,
            labels: self.asks.len(),
            method: "Learn then Test: fixed sequence from the strongest down, p-values from a betting martingale",
            assumption: match self.basis {
                Basis::DoublyRobust => {
                    "future traffic is exchangeable with the labelled asks, feedback does not depend on the answer's quality, logged \
                     propensities are right and none is below the smallest seen, and the bundle was not trained on these rows"
                }
                Basis::Outcomes | Basis::Predictions => {
                    "future traffic is exchangeable with these prompts, and the bundle was not trained on them"
                }
            },
        };
        Ok((setting, promise))
    }
}

/// The mean expectation, with corrections weighted and normalised by their own sum.
fn estimate(values: impl Iterator<Item = Value>) -> f64 {
    let (mut expected, mut count, mut rest, mut weight) = (0.0, 0.0, 0.0, 0.0);
    for value in values {
        expected += value.expected;
        count += 1.0;
        rest += value.weight * value.rest;
        weight += value.weight;
    }
    expected / f64::max(count, 1.0) + if weight > 0.0 { rest / weight } else { 0.0 }
}

/// The quality of a setting in words: `0.42`.
pub(super) fn shown(setting: usize) -> String {
    format!("{:.2}", quality(setting))
}
