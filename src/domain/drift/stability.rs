//! The population stability index.

/// From here on a population is usually said to have moved a little, and is worth a look. The bounds 0.1 and 0.25 are those of credit scoring
/// (Lewis 1992; Siddiqi, *Credit Risk Scorecards*, 2006), where the index comes from.
pub const WATCH: f64 = 0.1;

/// From here on a population is usually said to have shifted, and a model fitted to it wants fitting again.
pub const SHIFTED: f64 = 0.25;

/// The share that every bin is given beforehand, so that an empty one does not make the index infinite.
const FLOOR: f64 = 5e-4;

/// The population stability index of two counts over the same bins: `Σ (p − q) ln(p / q)`. Zero for equal shares, the same both ways,
/// finite, and zero where either side is empty.
#[must_use]
pub fn psi(reference: &[u64], recent: &[u64]) -> f64 {
    let (all_reference, all_recent) = (total(reference), total(recent));
    if all_reference == 0.0 || all_recent == 0.0 {
        return 0.0;
    }
    let bins = reference.len().max(recent.len()) as f64;
    let share = |count: u64, all: f64| FLOOR + (1.0 - bins * FLOOR) * count as f64 / all;
    let pairs = reference.iter().zip(recent);
    pairs
        .map(|(&a, &b)| {
            let (p, q) = (share(a, all_reference), share(b, all_recent));
            (p - q) * (p / q).ln()
        })
        .sum()
}

/// The index that chance alone exceeds once in a hundred times where nothing has moved.
///
/// The index times the harmonic size is about chi-squared with one degree of freedom less than there are bins that are used (Yurdakul and
/// Naranjo, 2020); the quantile is Wilson and Hilferty's approximation. Infinite where a side is empty.
#[must_use]
pub fn chance(reference: &[u64], recent: &[u64]) -> f64 {
    let used = reference.iter().zip(recent).filter(|(a, b)| **a + **b > 0).count();
    let freedom = used.saturating_sub(1).max(1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    let quantile = freedom * (1.0 - spread + 2.326 * spread.sqrt()).powi(3);
    quantile * (1.0 / total(reference) + 1.0 / total(recent))
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}
