//! The measures a router is judged by, exactly as they are defined.

pub mod frontier;
pub mod weighted;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// One prompt that both models answered, and how much the router wants the strong one for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Score of the weak model, 0..1.
    pub weak: f64,
    /// Score of the strong model, 0..1.
    pub strong: f64,
    /// The router's wish: prompts with a larger one go to the strong model first.
    pub gain: f64,
}

/// Performance gap recovered against the share of prompts sent to the strong model, at every one of `n + 1` shares.
#[derive(Clone, Debug, PartialEq)]
pub struct PgrCurve {
    /// `points[i]` is the gap recovered when the first `i` prompts go to the strong model: 0 at the start, 1 at the end.
    points: Vec<f64>,
}

impl PgrCurve {
    /// Sorts by gain, ties by a draw of the seed, and sums. `None` without pairs or where the strong model is not better.
    #[must_use]
    pub fn of(pairs: &[Pair], seed: u64) -> Option<Self> {
        let order = order_by(pairs.len(), seed, |at| pairs.get(at).map_or(0.0, |pair| pair.gain));
        Self::in_order(pairs, &order)
    }

    /// The curve of a fixed order.
    fn in_order(pairs: &[Pair], order: &[usize]) -> Option<Self> {
        let gap: f64 = pairs.iter().map(|pair| pair.strong - pair.weak).sum();
        if pairs.is_empty() || gap <= 0.0 || !gap.is_finite() {
            return None;
        }
        let mut recovered = 0.0;
        let mut points = Vec::with_capacity(pairs.len() + 1);
        points.push(0.0);
        for pair in order.iter().filter_map(|&at| pairs.get(at)) {
            recovered += pair.strong - pair.weak;
            points.push(recovered / gap);
        }
        Some(Self { points })
    }

    /// The area under the curve, by trapezoids over every prompt. Random routing has one half; above one is possible, since
    /// the weak model may be right where the strong is wrong.
    #[must_use]
    pub fn apgr(&self) -> f64 {
        let areas: f64 = self.points.windows(2).map(|ends| if let [a, b] = ends { (a + b) / 2.0 } else { 0.0 }).sum();
        areas / (self.points.len().saturating_sub(1).max(1)) as f64
    }

    /// The least share of strong calls at which this much of the gap is recovered: the first crossing.
    #[must_use]
    pub fn cpt(&self, recovered: f64) -> f64 {
        let steps = self.points.len().saturating_sub(1).max(1);
        let first = self.points.iter().position(|&point| point >= recovered - 1e-12);
        first.unwrap_or(steps) as f64 / steps as f64
    }
}

/// Positions from the largest value to the smallest; equal values in an order drawn from the seed, never in file order.
fn order_by(count: usize, seed: u64, value: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    order
}

/// The mean area of routers that shuffle, over this many shuffles.
#[must_use]
pub fn random_apgr(pairs: &[Pair], seed: u64, shuffles: u64) -> Option<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    let mut sum = 0.0;
    for _ in 0..shuffles {
        order.shuffle(&mut random);
        sum += PgrCurve::in_order(pairs, &order)?.apgr();
    }
    Some(sum / shuffles.max(1) as f64)
}

/// The probability that a prompt of class one has a larger value than one of class zero, ties counted half.
///
/// `items` are `(value, in class one)`. `None` where a class is missing.
#[must_use]
pub fn auc(items: &[(f64, bool)]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = items.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ones = sorted.iter().filter(|item| item.1).count();
    let zeros = sorted.len() - ones;
    if ones == 0 || zeros == 0 {
        return None;
    }
    let mut rank_sum = 0.0;
    let mut before = 0_usize;
    for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let mean_rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += mean_rank * tied.iter().filter(|item| item.1).count() as f64;
        before += tied.len();
    }
    let ones = ones as f64;
    Some((rank_sum - ones * (ones + 1.0) / 2.0) / (ones * zeros as f64))
}

/// Expected calibration error over fifteen bins of equal mass: the mean distance of predicted and observed, weighted by bin.
///
/// `items` are `(predicted, observed)`. Zero without items.
#[must_use]
pub fn ece(items: &[(f64, f64)]) -> f64 {
    let error = |bin: &[(f64, f64)]| bin.iter().map(|(predicted, observed)| predicted - observed).sum::<f64>().abs();
    over_bins(items, error)
}

/// The [`ece`] that predictions without any error would show on as many observations that scatter as these do: no figure of a few hundred
/// can be told from a smaller one than this.
///
/// A bin's mean residual is taken as normal around zero, so that its distance is `√(2/π)` of its standard error. Zero without items.
#[must_use]
pub fn ece_by_chance(items: &[(f64, f64)]) -> f64 {
    let error = |bin: &[(f64, f64)]| {
        let count = bin.len() as f64;
        let residuals = || bin.iter().map(|(predicted, observed)| predicted - observed);
        let mean = residuals().sum::<f64>() / count.max(1.0);
        let variance = residuals().map(|residual| (residual - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        (std::f64::consts::FRAC_2_PI * variance * count).sqrt()
    };
    over_bins(items, error)
}

/// The sum of something over fifteen bins of equal mass, in the order of the predicted, as a share of all items.
fn over_bins(items: &[(f64, f64)], of: impl Fn(&[(f64, f64)]) -> f64) -> f64 {
    const BINS: usize = 15;
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = sorted.len();
    let members = |bin: usize| sorted.get(bin * total / BINS..(bin + 1) * total / BINS).unwrap_or_default();
    (0..BINS).map(|bin| of(members(bin))).sum::<f64>() / total.max(1) as f64
}

/// The mean squared distance of predicted and observed. Zero without items.
#[must_use]
pub fn brier(items: &[(f64, f64)]) -> f64 {
    let sum: f64 = items.iter().map(|&(predicted, observed)| (predicted - observed).powi(2)).sum();
    sum / items.len().max(1) as f64
}

/// The mean negative log-likelihood of observed scores in 0..1. Zero without items.
#[must_use]
pub fn log_loss(items: &[(f64, f64)]) -> f64 {
    let loss = |p: f64, y: f64| {
        let p = p.clamp(1e-6, 1.0 - 1e-6);
        -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
    };
    items.iter().map(|&(p, y)| loss(p, y)).sum::<f64>() / items.len().max(1) as f64
}

/// The F1 measure averaged over the classes that occur. `items` are `(predicted, true)`.
#[must_use]
pub fn macro_f1(items: &[(usize, usize)], classes: usize) -> f64 {
    let mut sum = 0.0;
    let mut present = 0.0;
    for class in 0..classes {
        let (mut hit, mut predicted, mut actual) = (0.0_f64, 0.0_f64, 0.0_f64);
        for &(guess, truth) in items {
            hit += f64::from(guess == class && truth == class);
            predicted += f64::from(guess == class);
            actual += f64::from(truth == class);
        }
        if actual > 0.0 {
            present += 1.0;
            sum += 2.0 * hit / (predicted + actual);
        }
    }
    sum / f64::max(present, 1.0)
}

/// The 95 % interval of a statistic under resampling of whole prompts, so that both models stay paired.
///
/// Rounds in which the statistic does not exist are left out; `None` if none is left.
#[must_use]
pub fn bootstrap<T: Clone>(
    items: &[T],
    (rounds, seed): (usize, u64),
    statistic: impl Fn(&[T]) -> Option<f64>,
) -> Option<[f64; 2]> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(rounds);
    let mut sample = Vec::with_capacity(items.len());
    for _ in 0..rounds {
        sample.clear();
        for _ in 0..items.len() {
            sample.extend(items.get(random.random_range(0..items.len())).cloned());
        }
        values.extend(statistic(&sample));
    }
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values.get((share * last as f64).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

#[cfg(test)]
mod tests;
