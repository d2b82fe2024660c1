use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::neighbour::Neighbour;
use crate::domain::probability::{Probability, sigmoid};

/// Scores drawn with the probability `sigmoid(slope × logit + intercept)`.
fn drawn(count: usize, slope: f64, intercept: f64) -> Vec<Observation> {
    let mut random = StdRng::seed_from_u64(4);
    let mut draw = || {
        let logit = random.random_range(-4.0..4.0);
        let score = f64::from(random.random::<f64>() < sigmoid(slope * logit + intercept));
        Observation { logit, score, weight: 1.0 }
    };
    (0..count).map(|_| draw()).collect()
}

#[test]
fn platt_finds_the_planted_map() {
    let Calibrator::Platt { slope, intercept } = platt(&drawn(5_000, 0.5, -1.0), Hold::LIGHT) else {
        panic!("not Platt")
    };

    assert!((slope - 0.5).abs() < 0.06 && (intercept + 1.0).abs() < 0.12, "{slope} {intercept}");
}

#[test]
fn few_observations_stay_near_the_head_and_none_change_nothing() {
    let one = [Observation { logit: 2.0, score: 0.0, weight: 1.0 }];

    assert_eq!(calibrator(&[], Hold::LIGHT), Calibrator::IDENTITY);
    assert!(calibrator(&one, Hold::LIGHT).apply(2.0).get() > 0.3);
}

#[test]
fn a_slope_is_never_negative_even_if_the_head_is_wrong() {
    assert_eq!(platt(&drawn(2_000, -1.0, 0.0), Hold::LIGHT).check(), Ok(()));
}

#[test]
fn isotonic_wins_where_the_truth_is_a_step() {
    let mut random = StdRng::seed_from_u64(4);
    let mut draw = || {
        let logit: f64 = random.random_range(-4.0..4.0);
        let p = if logit < -2.0 {
            0.1
        } else if logit < 2.0 {
            0.5
        } else {
            0.55
        };
        Observation { logit, score: f64::from(random.random::<f64>() < p), weight: 1.0 }
    };
    let stepped: Vec<Observation> = (0..6_000).map(|_| draw()).collect();

    assert!(matches!(calibrator(&stepped, Hold::LIGHT), Calibrator::Isotonic { .. }));
    assert!(matches!(calibrator(&drawn(6_000, 1.0, 0.0), Hold::LIGHT), Calibrator::Platt { .. }));
}

proptest! {
    #[test]
    fn isotonic_maps_are_always_valid(items in prop::collection::vec((-5.0_f64..5.0, 0.0_f64..=1.0), 0..200)) {
        let items: Vec<Observation> =
            items.into_iter().map(|(logit, score)| Observation { logit, score, weight: 1.0 }).collect();

        prop_assert_eq!(isotonic(&items).check(), Ok(()));
        prop_assert!(platt(&items, Hold::LIGHT).check().is_ok());
    }
}

#[test]
fn an_overconfident_task_head_is_cooled() {
    let mut random = StdRng::seed_from_u64(4);
    let items: Vec<(Vec<f32>, usize)> =
        (0..500).map(|_| (vec![6.0, 0.0], usize::from(random.random::<f64>() < 0.3))).collect();

    assert!(temperature(&items) > 2.5);
    assert!((temperature(&[]) - 1.0).abs() < 1e-12);
}

#[test]
fn neighbours_count_more_where_they_know_more() {
    let case = |near: f32, score: f64| blend::BlendCase {
        priors: vec![Probability::HALF],
        neighbours: (0..64)
            .map(|_| Neighbour { item: "i".into(), similarity: 0.9, labels: std::sync::Arc::from([(0_u16, near)]) })
            .collect(),
        observed: vec![(0, score, 1.0)],
        weight: 1.0,
    };
    let telling: Vec<_> = (0..40).map(|at| case(f32::from(u8::from(at % 2 == 0)), f64::from(at % 2 == 0))).collect();
    let misleading: Vec<_> = (0..40).map(|at| case(f32::from(u8::from(at % 2 == 0)), f64::from(at % 2 == 1))).collect();

    let strength = |cases: &[blend::BlendCase]| {
        blend::choose((cases, &[]), 0, &crate::train::progress::Silent).unwrap().0.prior_strength
    };

    assert!(strength(&telling) < 15.0);
    assert!(strength(&misleading) > 150.0);
}
