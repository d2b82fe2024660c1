use proptest::prelude::{prop, prop_assert, proptest};
use rand::{Rng, SeedableRng};

use super::*;

fn pair(weak: f64, strong: f64, gain: f64) -> Pair {
    Pair { weak, strong, gain }
}

#[test]
fn a_known_order_has_the_area_worked_out_by_hand() {
    // Two gains of one at the front, two prompts without a gain behind: 0, ½, 1, 1, 1.
    let pairs = [pair(0.0, 1.0, 0.9), pair(0.0, 1.0, 0.8), pair(1.0, 1.0, 0.2), pair(0.0, 0.0, 0.1)];

    let curve = PgrCurve::of(&pairs, 1).unwrap();

    assert!((curve.apgr() - 0.75).abs() < 1e-12);
    assert!((curve.cpt(0.5) - 0.25).abs() < 1e-12);
    assert!((curve.cpt(0.8) - 0.5).abs() < 1e-12);
}

#[test]
fn cpt_is_the_first_crossing_even_where_the_curve_falls_again() {
    // 0, 1, 0, 1: recovered in full after one prompt, lost, and recovered again.
    let pairs = [pair(0.0, 1.0, 0.9), pair(1.0, 0.0, 0.8), pair(0.0, 1.0, 0.7)];

    let curve = PgrCurve::of(&pairs, 1).unwrap();

    assert!((curve.cpt(0.8) - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn ties_are_broken_by_the_seed_and_not_by_file_order() {
    let pairs: Vec<Pair> = (0..1000).map(|i| pair(0.0, f64::from(i < 500), 0.5)).collect();

    let area = |seed| PgrCurve::of(&pairs, seed).unwrap().apgr();

    assert!((area(7) - 0.5).abs() < 0.05, "file order would give 0.75, got {}", area(7));
    assert!((area(7) - area(7)).abs() < 1e-15);
    assert!((area(7) - area(8)).abs() > 1e-9);
}

#[test]
fn random_is_one_half_and_the_oracle_is_not_beaten() {
    let pairs: Vec<Pair> =
        (0..2000).map(|i| pair(f64::from(i % 3 == 0), f64::from(i % 4 != 0), f64::from(i * 37 % 101))).collect();

    let knowing: Vec<Pair> = pairs.iter().map(|pair| Pair { gain: pair.strong - pair.weak, ..*pair }).collect();
    let own = PgrCurve::of(&pairs, 3).unwrap().apgr();

    assert!((random_apgr(&pairs, 3, 50).unwrap() - 0.5).abs() < 0.02);
    assert!(PgrCurve::of(&knowing, 3).unwrap().apgr() >= own);
}

#[test]
fn without_a_gap_there_is_no_curve() {
    assert_eq!(PgrCurve::of(&[pair(1.0, 0.0, 0.1)], 1), None);
    assert_eq!(PgrCurve::of(&[], 1), None);
}

#[test]
fn auc_knows_perfect_useless_and_tied_rankings() {
    let perfect = [(0.1, false), (0.2, false), (0.8, true)];
    let tied = [(0.5, false), (0.5, true), (0.5, true)];

    assert_eq!(auc(&perfect), Some(1.0));
    assert_eq!(auc(&tied), Some(0.5));
    assert_eq!(auc(&[(0.5, true)]), None);
}

#[test]
fn calibrated_predictions_have_almost_no_calibration_error() {
    let mut random = StdRng::seed_from_u64(5);
    let items: Vec<(f64, f64)> = (0..60_000)
        .map(|_| {
            let p: f64 = random.random();
            (p, f64::from(random.random::<f64>() < p))
        })
        .collect();
    let overconfident: Vec<(f64, f64)> = items.iter().map(|&(p, y)| (f64::from(p > 0.5), y)).collect();

    assert!(ece(&items) < 0.015, "{}", ece(&items));
    assert!(ece(&overconfident) > 0.2);
    assert!(brier(&items) < brier(&overconfident));
}

#[test]
fn macro_f1_counts_every_class_alike() {
    let items = [(0, 0), (0, 0), (0, 1)];

    // Class 0: 2·2/(3+2); class 1: 0.
    assert!((macro_f1(&items, 3) - 0.4).abs() < 1e-12);
}

#[test]
fn the_bootstrap_interval_holds_the_mean_and_is_repeatable() {
    let items: Vec<f64> = (0..400).map(|i| f64::from(i % 10)).collect();
    let mean = |items: &[f64]| Some(items.iter().sum::<f64>() / items.len() as f64);

    let interval = bootstrap(&items, (300, 9), mean).unwrap();

    assert!(interval[0] < 4.5 && interval[1] > 4.5 && interval[1] - interval[0] < 1.0, "{interval:?}");
    assert_eq!(bootstrap(&items, (300, 9), mean), Some(interval));
}

proptest! {
    #[test]
    fn the_curve_ends_at_one(scores in prop::collection::vec((0.0_f64..=1.0, 0.0_f64..=1.0, -1.0_f64..1.0), 1..60)) {
        let pairs: Vec<Pair> = scores.into_iter().map(|(weak, strong, gain)| pair(weak, strong, gain)).collect();
        if let Some(curve) = PgrCurve::of(&pairs, 1) {
            prop_assert!((curve.cpt(0.0)).abs() < 1e-12);
            prop_assert!((curve.points.last().unwrap() - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn calibration_error_by_chance_is_what_perfect_predictions_show() {
    let mut random = StdRng::seed_from_u64(11);
    let mut drawn = |count: usize, off: f64| -> Vec<(f64, f64)> {
        let mut draw = || {
            let p: f64 = random.random_range(0.2..0.8);
            (p, f64::from(u8::from(random.random_bool(p + off))))
        };
        (0..count).map(|_| draw()).collect()
    };
    let perfect: Vec<Vec<(f64, f64)>> = (0..40).map(|_| drawn(600, 0.0)).collect();
    let mean = |of: fn(&[(f64, f64)]) -> f64| perfect.iter().map(|items| of(items)).sum::<f64>() / 40.0;
    let off = drawn(600, 0.15);

    assert!((mean(ece) / mean(ece_by_chance) - 1.0).abs() < 0.08, "{} {}", mean(ece), mean(ece_by_chance));
    assert!(ece(&off) > 2.0 * ece_by_chance(&off));
    assert!(ece_by_chance(&drawn(60_000, 0.0)) < 0.008 && ece_by_chance(&[]).abs() < 1e-12);
}
