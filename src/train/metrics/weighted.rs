//! The measures of a router where every prompt counts a number of times, as in a round of the bootstrap.
//!
//! Orders are made once and walked in every round, which makes a thousand rounds as cheap as a thousand sums.

use crate::train::metrics::{self, order_by};

/// Prompts from the one that wants the strong model most to the one that wants it least.
#[derive(Clone, Debug)]
pub struct Ranking {
    order: Vec<usize>,
}

/// What a ranking recovers of the gap between two models.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// Area under the gap recovered against the share sent up.
    pub apgr: f64,
    /// Least share sent up at which 20, 50 and 80 % of the gap are recovered.
    pub cpt: [f64; 3],
    /// The gap recovered at evenly spaced shares, 0 and 1 among them.
    pub at: Vec<f64>,
}

/// The levels of [`Recovered::cpt`].
pub const CPT_LEVELS: [f64; 3] = [0.2, 0.5, 0.8];

impl Ranking {
    /// Sorts by wish; equal wishes in an order drawn from the seed.
    #[must_use]
    pub fn of(wishes: &[f64], seed: u64) -> Self {
        Self { order: order_by(wishes.len(), seed, |at| wishes.get(at).copied().unwrap_or(0.0)) }
    }

    /// The positions, the largest wish first.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Walks the ranking. `gaps` are the strong model's score minus the weak one's. `None` where the strong model is not better.
    #[must_use]
    pub fn recovered(&self, (gaps, weights): (&[f64], &[f64]), points: usize) -> Option<Recovered> {
        let total: f64 = weights.iter().sum();
        let gap: f64 = gaps.iter().zip(weights).map(|(gap, weight)| gap * weight).sum();
        if total <= 0.0 || gap <= 1e-12 * total {
            return None;
        }
        let steps = points.max(2) - 1;
        let (mut share, mut sum, mut area) = (0.0, 0.0, 0.0);
        let mut cpt = [1.0; 3];
        let mut crossed = 0;
        let mut at = Vec::with_capacity(points);
        at.push(0.0);
        for &prompt in &self.order {
            let weight = weights.get(prompt).copied().unwrap_or(0.0);
            if weight == 0.0 {
                continue;
            }
            let before = sum;
            sum += weight * gaps.get(prompt).copied().unwrap_or(0.0) / gap;
            area += weight / total * f64::midpoint(before, sum);
            let next = share + weight / total;
            while at.len() < steps && at.len() as f64 / steps as f64 <= next {
                let along = (at.len() as f64 / steps as f64 - share) / (next - share);
                at.push(before + along * (sum - before));
            }
            share = next;
            while let (Some(level), Some(first)) = (CPT_LEVELS.get(crossed), cpt.get_mut(crossed)) {
                if sum < level - 1e-12 {
                    break;
                }
                *first = share.min(1.0);
                crossed += 1;
            }
        }
        at.resize(steps + 1, 1.0);
        Some(Recovered { apgr: area, cpt, at })
    }

    /// The first place on the way up at which the mean score reaches a target: `(share sent up, extra cost per prompt)`.
    ///
    /// `start` is the mean score with nothing sent up; `steps` give every prompt's gain in score and in cost.
    #[must_use]
    pub fn reaching(&self, (start, target): (f64, f64), steps: &[(f64, f64)], weights: &[f64]) -> Option<(f64, f64)> {
        let total: f64 = weights.iter().sum();
        let (mut share, mut quality, mut cost) = (0.0, start, 0.0);
        let mut order = self.order.iter();
        while quality < target - 1e-12 {
            let prompt = *order.next()?;
            let weight = weights.get(prompt).copied().unwrap_or(0.0) / total;
            let (gain, extra) = steps.get(prompt).copied().unwrap_or_default();
            share += weight;
            quality += weight * gain;
            cost += weight * extra;
        }
        Some((share.min(1.0), cost))
    }
}

/// Predictions from the smallest to the largest, with what was observed.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// `(position, predicted, observed, equal to the one before)`, ascending.
    sorted: Vec<(usize, f64, f64, bool)>,
}

/// Bins of equal mass of the calibration error and of reliability diagrams.
pub const BINS: usize = 15;

/// The mean prediction and observation of a bin, and its share of the prompts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Mean observed score.
    pub observed: f64,
    /// Share of all prompts.
    pub share: f64,
}

impl Predictions {
    /// Sorts predictions with their observations.
    #[must_use]
    pub fn of(predicted: &[f64], observed: &[f64]) -> Self {
        let mut order: Vec<(usize, f64, f64)> =
            predicted.iter().zip(observed).enumerate().map(|(at, (&p, &y))| (at, p, y)).collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut last = f64::NAN;
        let sorted = order.into_iter().map(|(at, p, y)| {
            let tied = p.total_cmp(&last).is_eq();
            last = p;
            (at, p, y, tied)
        });
        Self { sorted: sorted.collect() }
    }

    /// The probability that a prompt observed at 0.5 or above has a larger prediction than another, ties counted half. `None`
    /// where either kind is missing.
    #[must_use]
    pub fn auc(&self, weights: &[f64]) -> Option<f64> {
        let (mut below, mut ones, mut wins) = (0.0, 0.0, 0.0);
        let (mut tied_ones, mut tied_zeros) = (0.0, 0.0);
        let mut close = |(tied_ones, tied_zeros): (&mut f64, &mut f64)| {
            wins += *tied_ones * (below + *tied_zeros / 2.0);
            below += *tied_zeros;
            ones += *tied_ones;
            (*tied_ones, *tied_zeros) = (0.0, 0.0);
        };
        for &(at, _, observed, tied) in &self.sorted {
            if !tied {
                close((&mut tied_ones, &mut tied_zeros));
            }
            let weight = weights.get(at).copied().unwrap_or(0.0);
            if observed >= 0.5 {
                tied_ones += weight;
            } else {
                tied_zeros += weight;
            }
        }
        close((&mut tied_ones, &mut tied_zeros));
        (ones > 0.0 && below > 0.0).then(|| wins / (ones * below))
    }

    /// The bins of equal mass. Fewer where there are fewer prompts.
    #[must_use]
    pub fn bins(&self, weights: &[f64]) -> Vec<Bin> {
        let total: f64 = weights.iter().sum();
        let mut sums = [(0.0, 0.0, 0.0); BINS];
        let mut before = 0.0;
        for &(at, predicted, observed, _) in &self.sorted {
            let weight = weights.get(at).copied().unwrap_or(0.0);
            if weight == 0.0 {
                continue;
            }
            before += weight;
            let bin = (before * BINS as f64 / total).ceil() as usize;
            if let Some(sum) = sums.get_mut(bin.clamp(1, BINS) - 1) {
                *sum = (sum.0 + weight, sum.1 + weight * predicted, sum.2 + weight * observed);
            }
        }
        let bin = |&(mass, predicted, observed): &(f64, f64, f64)| Bin {
            predicted: predicted / mass,
            observed: observed / mass,
            share: mass / total,
        };
        sums.iter().filter(|sum| sum.0 > 0.0).map(bin).collect()
    }

    /// Expected calibration error over the bins.
    #[must_use]
    pub fn ece(&self, weights: &[f64]) -> f64 {
        self.bins(weights).iter().map(|bin| bin.share * (bin.predicted - bin.observed).abs()).sum()
    }

    /// The part of the [`Predictions::ece`] that predictions without any error would show on as many prompts: see [`metrics::ece_by_chance`].
    #[must_use]
    pub fn ece_by_chance(&self, weights: &[f64]) -> f64 {
        let times = |at: usize| weights.get(at).copied().unwrap_or(0.0).round().max(0.0) as usize;
        let items = self.sorted.iter().flat_map(|&(at, p, y, _)| std::iter::repeat_n((p, y), times(at)));
        metrics::ece_by_chance(&items.collect::<Vec<(f64, f64)>>())
    }

    /// The mean squared distance of predicted and observed.
    #[must_use]
    pub fn brier(&self, weights: &[f64]) -> f64 {
        let total: f64 = weights.iter().sum();
        let term = |&(at, p, y, _): &(usize, f64, f64, bool)| weights.get(at).copied().unwrap_or(0.0) * (p - y).powi(2);
        self.sorted.iter().map(term).sum::<f64>() / total.max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;
    use crate::train::metrics::{Pair, PgrCurve, auc, brier, ece};

    #[test]
    fn the_way_up_ends_where_the_target_is_reached() {
        let ranking = Ranking::of(&[0.9, 0.8, 0.1], 1);
        let steps = [(1.0, 2.0), (0.0, 2.0), (1.0, 2.0)];

        let (share, cost) = ranking.reaching((1.0 / 3.0, 2.0 / 3.0), &steps, &[1.0; 3]).unwrap();

        assert!((share - 1.0 / 3.0).abs() < 1e-12 && (cost - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(ranking.reaching((0.0, 2.0), &steps, &[1.0; 3]), None);
    }

    /// Weak score, strong score, wish, and how often it counts.
    type Row = (u8, u8, f64, u8);

    proptest! {
        #[test]
        fn counted_once_each_it_agrees_with_the_plain_measures(
            rows in prop::collection::vec((0_u8..=1, 0_u8..=1, -9_i8..9, 0.0_f64..1.0), 2..80),
        ) {
            let pairs: Vec<Pair> = rows.iter().map(|&(w, s, g, _)| Pair { weak: f64::from(w), strong: f64::from(s), gain: f64::from(g) }).collect();
            let wishes: Vec<f64> = pairs.iter().map(|pair| pair.gain).collect();
            let gaps: Vec<f64> = pairs.iter().map(|pair| pair.strong - pair.weak).collect();
            let once = vec![1.0; rows.len()];
            let predicted: Vec<f64> = rows.iter().map(|row| row.3).collect();
            let observed: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let predictions = Predictions::of(&predicted, &observed);

            let found = Ranking::of(&wishes, 5).recovered((&gaps, &once), 11);
            let plain = PgrCurve::of(&pairs, 5);
            prop_assert!(found.is_some() == plain.is_some());
            if let (Some(found), Some(plain)) = (found, plain) {
                prop_assert!((found.apgr - plain.apgr()).abs() < 1e-9);
                for (cpt, level) in found.cpt.iter().zip(CPT_LEVELS) {
                    prop_assert!((cpt - plain.cpt(level)).abs() < 1e-9);
                }
                prop_assert!(found.at.len() == 11 && (found.at[10] - 1.0).abs() < 1e-9);
            }
            let items: Vec<(f64, f64)> = predicted.iter().copied().zip(observed.iter().copied()).collect();
            let classes: Vec<(f64, bool)> = items.iter().map(|&(p, y)| (p, y > 0.5)).collect();
            prop_assert!((predictions.auc(&once).unwrap_or(9.0) - auc(&classes).unwrap_or(9.0)).abs() < 1e-9);
            prop_assert!((predictions.ece(&once) - ece(&items)).abs() < 1e-9);
            prop_assert!((predictions.brier(&once) - brier(&items)).abs() < 1e-9);
        }

        #[test]
        fn counting_a_prompt_twice_is_having_it_twice(
            rows in prop::collection::vec((0_u8..=1, 0_u8..=1, 0.0_f64..1.0, 0_u8..3), 2..40),
        ) {
            let weights: Vec<f64> = rows.iter().map(|row| f64::from(row.3)).collect();
            let column = |value: fn(&Row) -> f64| rows.iter().map(value).collect::<Vec<_>>();
            let repeated = |value: fn(&Row) -> f64| {
                rows.iter().flat_map(|row| std::iter::repeat_n(value(row), usize::from(row.3))).collect::<Vec<_>>()
            };
            let gap: fn(&Row) -> f64 = |row| f64::from(row.1) - f64::from(row.0);
            let wish: fn(&Row) -> f64 = |row| row.2;
            let right: fn(&Row) -> f64 = |row| f64::from(row.0);
            let many = repeated(wish);
            let counted = Ranking::of(&column(wish), 1).recovered((&column(gap), &weights), 5);
            let real = Ranking::of(&many, 1).recovered((&repeated(gap), &vec![1.0; many.len()]), 5);
            prop_assert!((counted.map_or(9.0, |found| found.apgr) - real.map_or(9.0, |found| found.apgr)).abs() < 1e-9);
            let counted = Predictions::of(&column(wish), &column(right)).auc(&weights);
            let real = Predictions::of(&many, &repeated(right)).auc(&vec![1.0; many.len()]);
            prop_assert!((counted.unwrap_or(9.0) - real.unwrap_or(9.0)).abs() < 1e-9);
        }
    }
}
