//! Figures with intervals: whatever is recorded once is recorded again in every round of the bootstrap.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};
use serde::Serialize;

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The figure on all prompts.
    pub value: f64,
    /// Its interval by a bootstrap over prompts; absent without rounds.
    pub ci: Option<[f64; 2]>,
}

impl Figure {
    /// Whether zero lies outside the interval, so that a difference can be claimed.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.ci.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
    }
}

/// Takes figures by name.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    names: Vec<String>,
    values: Vec<f64>,
    chances: Vec<Option<Chance>>,
    naming: bool,
}

/// How far chance alone may have moved a figure to one side. Such a figure does not average out over draws: see [`Sheet::fill`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Chance {
    /// How much it may have added.
    pub(super) added: f64,
    /// How much it may have taken away.
    pub(super) taken: f64,
}

impl Recorder {
    /// Records a figure. One that does not exist on these prompts is a gap.
    pub(super) fn put(&mut self, name: impl FnOnce() -> String, value: Option<f64>) {
        self.put_with(name, value, || None);
    }

    /// Records a figure that chance moves to one side.
    pub(super) fn put_with(
        &mut self,
        name: impl FnOnce() -> String,
        value: Option<f64>,
        chance: impl FnOnce() -> Option<Chance>,
    ) {
        if self.naming {
            self.names.push(name());
            self.chances.push(chance());
        }
        self.values.push(value.unwrap_or(f64::NAN));
    }

    /// A recorder that keeps names.
    pub(super) fn naming() -> Self {
        Self { naming: true, ..Self::default() }
    }

    /// What was recorded, in order, gaps as NaN.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The names, in order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What chance may have done to each figure, in order.
    pub(super) fn chances(&self) -> &[Option<Chance>] {
        &self.chances
    }
}

/// Figures by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sheet {
    figures: BTreeMap<String, Figure>,
}

/// How often prompts are drawn anew, and from which seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    pub(super) count: usize,
    pub(super) seed: u64,
}

impl Sheet {
    /// Records figures of so many prompts once, and again in every round with prompts drawn with replacement.
    ///
    /// `record` gets how often each prompt counts, and must record the same figures in the same order every time. All figures of a
    /// round see the same draw, so that differences are paired.
    ///
    /// The interval of most figures is the middle 95 % of the draws. A calibration error is a sum of distances, which noise only makes
    /// larger, in the sample and once more in every draw of it (Kumar, Liang and Ma, 2019; Roelofs et al., 2022), so that its draws can all lie above it. The
    /// draws then tell its spread about their own mean, and what chance may have done is allowed for on the side that it came from: the interval holds the
    /// figure, and, where predictions are perfect, the truth.
    pub(super) fn fill(prompts: usize, rounds: Rounds, record: &(dyn Fn(&[f64], &mut Recorder) + Sync)) -> Self {
        let mut once = Recorder::naming();
        record(&vec![1.0; prompts], &mut once);
        let round = |round: usize| {
            let mut random =
                StdRng::seed_from_u64(rounds.seed ^ (round as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut weights = vec![0.0; prompts];
            for _ in 0..prompts {
                if let Some(weight) = weights.get_mut(random.random_range(0..prompts)) {
                    *weight += 1.0;
                }
            }
            let mut recorder = Recorder::default();
            record(&weights, &mut recorder);
            recorder.values
        };
        let drawn: Vec<Vec<f64>> = (0..rounds.count).into_par_iter().map(round).collect();
        let figure = |(at, (name, &value)): (usize, (&String, &f64))| {
            let column: Vec<f64> =
                drawn.iter().filter_map(|values| values.get(at)).copied().filter(|x| x.is_finite()).collect();
            let mean = column.iter().sum::<f64>() / column.len().max(1) as f64;
            let ci = interval(column);
            let ci = match once.chances.get(at).copied().flatten() {
                Some(chance) => ci.map(|ends| about(value, (ends, mean), chance)),
                None => ci,
            };
            value.is_finite().then(|| (name.clone(), Figure { value, ci }))
        };
        let figures = once.names.iter().zip(&once.values).enumerate().filter_map(figure).collect();
        Self { figures }
    }

    /// A figure, where it exists.
    pub(super) fn get(&self, name: &str) -> Option<Figure> {
        self.figures.get(name).copied()
    }

    /// Its value alone.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.get(name).map(|figure| figure.value)
    }

    /// Its interval alone.
    pub(super) fn ci(&self, name: &str) -> Option<[f64; 2]> {
        self.get(name).and_then(|figure| figure.ci)
    }
}

/// The interval of a figure that chance moves to one side, from the ends and the mean of its draws. A figure that chance took nothing from is
/// an error, which is not below zero.
fn about(value: f64, ([low, high], mean): ([f64; 2], f64), chance: Chance) -> [f64; 2] {
    let least = if chance.taken > 0.0 { f64::NEG_INFINITY } else { value.min(0.0) };
    let low = value - chance.added - (mean - low).max(0.0);
    [low.max(least), value + chance.taken + (high - mean).max(0.0)]
}

/// The middle 95 % of some draws. `None` without draws.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    let at = |share: f64| values.get((share * last).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::weighted::Predictions;

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        let items: Vec<f64> = (0..1000).map(|i| f64::from(i % 2)).collect();
        let mean =
            |weights: &[f64]| items.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() / weights.iter().sum::<f64>();
        let record = |weights: &[f64], recorder: &mut Recorder| {
            recorder.put(|| "mean".to_owned(), Some(mean(weights)));
            recorder.put(|| "missing".to_owned(), None);
        };

        let sheet = Sheet::fill(items.len(), Rounds { count: 2000, seed: 3 }, &record);
        let again = Sheet::fill(items.len(), Rounds { count: 2000, seed: 3 }, &record);

        // 1.96 · 0.5 / √1000 = 0.031.
        let [low, high] = sheet.ci("mean").unwrap();
        assert!((low - 0.469).abs() < 0.004 && (high - 0.531).abs() < 0.004, "{low} {high}");
        assert_eq!(sheet.value("missing"), None);
        assert_eq!(sheet, again);
    }

    #[test]
    fn without_rounds_there_is_a_figure_and_no_interval() {
        let sheet =
            Sheet::fill(2, Rounds { count: 0, seed: 1 }, &|_, recorder| recorder.put(|| "x".to_owned(), Some(1.0)));

        assert_eq!(sheet.get("x"), Some(Figure { value: 1.0, ci: None }));
    }

    /// The figure and interval of the calibration error of predictions that are off by so much.
    fn calibration(off: f64, seed: u64) -> (f64, [f64; 2]) {
        let mut random = StdRng::seed_from_u64(seed);
        let predicted: Vec<f64> = (0..600).map(|_| random.random_range(0.2..0.8)).collect();
        let observed: Vec<f64> = predicted.iter().map(|p| f64::from(u8::from(random.random_bool(p + off)))).collect();
        let predictions = Predictions::of(&predicted, &observed);
        let record = |weights: &[f64], to: &mut Recorder| {
            let chance = || Some(Chance { added: predictions.ece_by_chance(weights), taken: 0.0 });
            to.put_with(|| "ece".to_owned(), Some(predictions.ece(weights)), chance);
        };
        let figure = Sheet::fill(600, Rounds { count: 200, seed }, &record).get("ece").unwrap();
        (figure.value, figure.ci.unwrap())
    }

    #[test]
    fn the_interval_of_a_calibration_error_holds_the_figure_and_the_truth() {
        for off in [0.0, 0.03, 0.1] {
            let figures: Vec<(f64, [f64; 2])> = (0..40).map(|seed| calibration(off, seed)).collect();

            let held = figures.iter().filter(|(_, [low, high])| *low <= off + 1e-9 && off <= *high).count();

            assert!(figures.iter().all(|(value, [low, high])| (*low..=*high).contains(value)), "{off} {figures:?}");
            assert!(held >= 37, "{off} is in {held} of 40 intervals: {figures:?}");
        }
    }
}
