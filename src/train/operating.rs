//! Operating points: what a share of calls sent to the strongest tier buys, on prompts that training never saw.

use crate::domain::operating::{OperatingPoint, OperatingPoints};
use crate::train::contest::{Case, JudgedVerdict};
use crate::train::metrics::{Pair, bootstrap};

/// Rounds of the bootstrap.
const ROUNDS: usize = 200;

/// Fewest prompts of a user's own that points are counted on.
const LEAST_OF_OWN: usize = 50;

/// The points at shares of a tenth to nine tenths. Empty without prompts, or where the strongest tier is never right.
#[must_use]
pub fn points(pairs: &[Pair], seed: u64) -> Vec<OperatingPoint> {
    let mut gains: Vec<f64> = pairs.iter().map(|pair| pair.gain).collect();
    gains.sort_by(|a, b| b.total_cmp(a));
    let point = |tenth: usize| {
        let threshold = *gains.get(tenth * gains.len() / 10)?;
        let up = |pair: &Pair| pair.gain > threshold;
        let quality = |pairs: &[Pair]| {
            let strongest: f64 = pairs.iter().map(|pair| pair.strong).sum();
            let kept: f64 = pairs.iter().map(|pair| if up(pair) { pair.strong } else { pair.weak }).sum();
            (strongest > 0.0).then(|| kept / strongest)
        };
        Some(OperatingPoint {
            name: format!("share-{tenth}0"),
            share: pairs.iter().filter(|pair| up(pair)).count() as f64 / pairs.len() as f64,
            threshold,
            quality: quality(pairs)?,
            quality_interval: bootstrap(pairs, (ROUNDS, seed), quality)?,
            cost: None,
            cost_interval: None,
        })
    };
    (1..10).filter_map(point).collect()
}

/// The points of a bundle of so many tiers that was adapted, on a user's held-out prompts that both the weakest tier and the strongest answered,
/// without costs, which are the user's to know. `None` with too few of them: verdicts on one model alone do not tell what another would have
/// done, and those on a tier between do not tell what the strongest would have.
#[must_use]
pub fn of_cases(cases: &[Case], tiers: usize, seed: u64) -> Option<OperatingPoints> {
    let strongest = tiers.checked_sub(1).filter(|&tier| tier > 0)?;
    let of_tier = |case: &Case, tier: usize| {
        let verdicts: Vec<JudgedVerdict> =
            case.verdicts.iter().filter(|verdict| verdict.tier == tier).copied().collect();
        let weight: f64 = verdicts.iter().map(|verdict| verdict.weight).sum();
        let mean = |of: fn(&JudgedVerdict) -> f64| {
            verdicts.iter().map(|verdict| verdict.weight * of(verdict)).sum::<f64>() / weight
        };
        (weight > 0.0).then(|| (mean(|verdict| verdict.score), mean(|verdict| verdict.candidate)))
    };
    let pair = |case: &Case| {
        let ((weak, low), (strong, high)) = of_tier(case, 0).zip(of_tier(case, strongest))?;
        Some(Pair { weak, strong, gain: high - low })
    };
    let pairs: Vec<Pair> = cases.iter().filter_map(pair).collect();
    let points = if pairs.len() < LEAST_OF_OWN { Vec::new() } else { points(&pairs, seed) };
    let measured_on = format!(
        "{} prompts of its own labels, held out and answered by both the weakest tier and the strongest",
        pairs.len()
    );
    (!points.is_empty()).then_some(OperatingPoints { measured_on, points })
}

/// Fills in costs, given what the weakest tier charges relative to the strongest and how many prompts the shares were counted on.
#[must_use]
pub fn with_costs(points: Vec<OperatingPoint>, (relative, prompts): (Option<f64>, usize)) -> Vec<OperatingPoint> {
    let Some(relative) = relative else { return points };
    let of = |share: f64| share.clamp(0.0, 1.0) * (1.0 - relative) + relative;
    let priced = points.into_iter().map(|point| {
        let reach = 1.96 * (point.share * (1.0 - point.share) / prompts.max(1) as f64).sqrt();
        let ends = [of(point.share - reach), of(point.share + reach)];
        let interval = if relative <= 1.0 { ends } else { [ends[1], ends[0]] };
        OperatingPoint { cost: Some(of(point.share)), cost_interval: Some(interval), ..point }
    });
    priced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;

    fn case(at: usize, tiers: &[usize]) -> Case {
        let hard = at.is_multiple_of(10);
        let verdict = |&tier: &usize| JudgedVerdict {
            parent: 0.5,
            candidate: if tier == 0 { if hard { 0.1 } else { 0.9 } } else { 0.95 },
            score: f64::from(u8::from(tier > 0 || !hard)),
            weight: 1.0,
            tier,
        };
        let verdicts = tiers.iter().map(verdict).collect();
        Case { task: Task::Other, parent: Vec::new(), candidate: Vec::new(), verdicts, explored: false }
    }

    #[test]
    fn prompts_that_both_ends_answered_give_an_adapted_bundle_its_points() {
        let cases: Vec<Case> = (0..100).map(|at| case(at, &[0, 2])).collect();

        let found = of_cases(&cases, 3, 1).unwrap();

        assert_eq!(found.points.len(), 9);
        assert!(found.points.iter().any(|point| point.share > 0.0 && (point.quality - 1.0).abs() < 1e-9), "{found:?}");
        assert!(found.points.iter().all(|point| point.cost.is_none()) && found.measured_on.starts_with("100 prompts"));
    }

    #[test]
    fn verdicts_on_one_model_each_give_no_points() {
        let cases: Vec<Case> = (0..200).map(|at| case(at, &[if at % 2 == 0 { 0 } else { 2 }])).collect();

        assert_eq!(of_cases(&cases, 3, 1), None);
        assert_eq!(of_cases(&[], 3, 1), None);
    }

    #[test]
    fn verdicts_on_a_tier_between_are_no_points_of_the_strongest() {
        let cases: Vec<Case> = (0..100).map(|at| case(at, &[0, 1])).collect();

        assert_eq!(of_cases(&cases, 3, 1), None);
        assert!(of_cases(&cases, 2, 1).is_some());
        assert_eq!(of_cases(&cases, 1, 1), None);
    }

    #[test]
    fn sending_the_right_tenth_up_recovers_the_gap() {
        // One prompt in ten is too hard for the weak model, and its gain says so.
        let pair = |at: usize| {
            let hard = at.is_multiple_of(10);
            let gain = if hard { 0.8 + at as f64 * 1e-4 } else { at as f64 * 1e-4 };
            Pair { weak: if hard { 0.0 } else { 1.0 }, strong: 1.0, gain }
        };
        let pairs: Vec<Pair> = (0..200).map(pair).collect();

        let found = with_costs(points(&pairs, 1), (Some(0.1), 200));

        assert_eq!(found.len(), 9);
        assert_eq!(found[0].name, "share-10");
        assert!((found[0].share - 0.1).abs() < 0.01 && (found[0].quality - 1.0).abs() < 1e-9, "{:?}", found[0]);
        assert!((found[0].cost.unwrap() - 0.19).abs() < 0.01, "{:?}", found[0]);
        assert!(found.windows(2).all(|pair| pair[0].threshold >= pair[1].threshold && pair[0].cost < pair[1].cost));
        assert!(points(&[], 1).is_empty());
    }
}
