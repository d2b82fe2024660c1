//! Promises that hold with a stated probability: a risk-controlled choice of the dial.
//!
//! Learn then Test (Angelopoulos et al., 2021): every setting of the dial is a hypothesis "this setting breaks the promise". The settings
//! are tested from the safest on, each at level delta, and the first that cannot be rejected ends the sequence; what was rejected keeps
//! the promise, all of it together, with probability one minus delta. Each p-value comes from a betting martingale (Waudby-Smith and
//! Ramdas, 2023), which holds at any number of labels and needs no more than that scores are bounded and that traffic is exchangeable.

/// How much less quality than promised a setting has on one ask, with its bounds: negative where the promise is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// The least possible shortfall.
    pub(super) low: f64,
    /// The largest possible shortfall.
    pub(super) high: f64,
}

/// The chance of seeing shortfalls like these, in an order drawn beforehand, if their mean were zero or above.
///
/// One where nothing speaks against it; shortfalls out of bounds are cut, which only ever raises it.
pub(super) fn p_value(shortfalls: &[f64], bounds: Bounds, delta: f64) -> f64 {
    let width = bounds.high - bounds.low;
    if width <= 0.0 || bounds.low >= 0.0 {
        return 1.0;
    }
    // On 0..1, zero is here.
    let zero = -bounds.low / width;
    let count = shortfalls.len().max(1) as f64;
    let (mut sum, mut squares, mut seen) = (0.5_f64, 0.25_f64, 1.0_f64);
    let (mut wealth, mut largest): (f64, f64) = (0.0, 0.0);
    for shortfall in shortfalls {
        let x = ((shortfall - bounds.low) / width).clamp(0.0, 1.0);
        let bet = (2.0 * (1.0 / delta).ln() / (count * (squares / seen).max(1e-9))).sqrt();
        // Never so much that one ask could take everything: x is at most one.
        let bet = bet.min(0.75 / (1.0 - zero).max(1e-9));
        wealth += (1.0 + bet * (zero - x)).max(1e-12).ln();
        largest = largest.max(wealth);
        sum += x;
        seen += 1.0;
        squares += (x - sum / seen).powi(2);
    }
    (-largest).exp().min(1.0)
}

/// How many labels would do for a setting whose shortfalls look like these, if traffic goes on like this. `None` where it breaks the promise.
pub(super) fn labels_needed(shortfalls: &[f64], bounds: Bounds, delta: f64) -> Option<usize> {
    let count = shortfalls.len().max(1) as f64;
    let mean = shortfalls.iter().sum::<f64>() / count;
    if shortfalls.is_empty() || mean >= 0.0 {
        return None;
    }
    let variance = shortfalls.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let weight = (1.0 / delta).ln();
    let needed = 2.0 * variance * weight / mean.powi(2) + 2.0 * (bounds.high - bounds.low) * weight / (3.0 * -mean);
    Some(needed.ceil() as usize)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const BOUNDS: Bounds = Bounds { low: -1.0, high: 0.95 };

    fn draws(seed: u64, count: usize, chances: [f64; 2]) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        let one = |random: &mut StdRng| match random.random::<f64>() {
            x if x < chances[0] => -1.0,
            x if x < chances[0] + chances[1] => 0.95,
            _ => 0.0,
        };
        (0..count).map(|_| one(&mut random)).collect()
    }

    #[test]
    fn a_setting_that_breaks_the_promise_is_believed_no_oftener_than_stated() {
        // The mean is zero: 0.19 · −1 + 0.2 · 0.95.
        let wrong = (0..2_000).filter(|&seed| p_value(&draws(seed, 300, [0.19, 0.2]), BOUNDS, 0.05) <= 0.05).count();

        assert!(wrong <= 100 + 25, "{wrong} of 2000");
    }

    #[test]
    fn a_setting_that_keeps_it_is_found_once_there_are_labels() {
        let found = |count: usize| {
            (0..100).filter(|&seed| p_value(&draws(seed, count, [0.15, 0.05]), BOUNDS, 0.05) <= 0.05).count()
        };

        assert!(found(400) > 80, "{}", found(400));
        assert!(found(20) < 20, "{}", found(20));
        let needed = labels_needed(&draws(1, 2_000, [0.15, 0.05]), BOUNDS, 0.05).unwrap();
        assert!((60..400).contains(&needed), "{needed}");
        assert_eq!(labels_needed(&draws(1, 500, [0.0, 0.3]), BOUNDS, 0.05), None);
    }
}
