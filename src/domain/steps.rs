//! The dial among many models: how one prompt's choice moves from the cheapest model to the strongest as the threshold falls.
//!
//! With two models there is one step, taken where the gain exceeds the threshold. With more, each model that is the best trade for some
//! threshold is a step: those are the corners of the upper hull of success over cost. The dial's table for a catalogue is made of the steps of
//! sample prompts, so that every setting is reachable whatever the models cost.

use serde::{Deserialize, Serialize};

use crate::domain::calibration::Dial;
use crate::domain::candidate::Candidate;
use crate::domain::decide::{Considered, Tokens, UNKNOWN_OUTPUT, believed, expected_cost};
use crate::domain::estimate::Estimate;
use crate::domain::policy::Aim;
use crate::domain::probability::Probability;
use crate::domain::prompt::Shape;
use crate::domain::scores::LabelSpace;
use crate::domain::utility::{Leaves, Scale, Trade};

/// Input tokens of the call by which models are priced for the dial.
const USUAL_INPUT: u64 = 500;

/// Where one model stands for one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stand {
    /// Its cost, 0 the cheapest and 1 the dearest.
    pub cost: f64,
    /// Its tier, 0 the weakest and 1 the strongest.
    pub strength: f64,
    /// Its success probability.
    pub success: f64,
}

/// The thresholds at which the choice moves up, the highest first: over cost to the likeliest success, then over tiers to the strongest.
///
/// Between two of them the choice is the one that [`crate::domain::utility`] makes there. Empty where one model is cheapest, best and strongest.
#[must_use]
pub fn steps(stands: &[Stand]) -> Vec<f64> {
    let cheapest = |a: &&Stand, b: &&Stand| a.cost.total_cmp(&b.cost).then(b.success.total_cmp(&a.success));
    let Some(first) = stands.iter().min_by(cheapest) else { return Vec::new() };
    let mut steps = Vec::new();
    let best = walk(first, stands, |stand| stand.cost, (&mut steps, 0.0));
    walk(best, stands, |stand| stand.strength, (&mut steps, f64::NEG_INFINITY));
    steps
}

/// Walks the hull upwards along an axis from a stand, as long as success rises by more than `least` for each unit.
fn walk<'a>(
    from: &'a Stand,
    stands: &'a [Stand],
    axis: impl Fn(&Stand) -> f64,
    (steps, least): (&mut Vec<f64>, f64),
) -> &'a Stand {
    let mut at = from;
    loop {
        let further = stands.iter().filter(|next| axis(next) > axis(at));
        let rises = further.map(|next| ((next.success - at.success) / (axis(next) - axis(at)), next));
        // Of equal rises the furthest: the corner between lies on the hull and is never the only best.
        let steepest = rises.max_by(|a, b| a.0.total_cmp(&b.0).then(axis(a.1).total_cmp(&axis(b.1))));
        match steepest.filter(|(rise, _)| *rise > least && rise.is_finite()) {
            Some((rise, next)) => {
                steps.push(rise);
                at = next;
            }
            None => return at,
        }
    }
}

/// Success probabilities of sample prompts, from which the dial's table for any catalogue is made: a row per prompt, a number per
/// position of the label space, models that joined later excepted. Stored in the bundle; empty in bundles without one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DialSample(Vec<Vec<f32>>);

impl DialSample {
    /// Most prompts of a sample.
    pub const MOST: usize = 256;

    /// Picks prompts evenly from those given, which come in the order of what they would gain from a stronger model. A thousandth is kept.
    #[must_use]
    pub fn of(rows: &[Vec<f64>]) -> Self {
        let kept = rows.len().min(Self::MOST);
        let row = |nth: usize| rows.get((2 * nth + 1) * rows.len() / (2 * kept.max(1)));
        let rounded = |row: &Vec<f64>| row.iter().map(|p| ((p * 1e3).round() / 1e3) as f32).collect();
        Self((0..kept).filter_map(row).map(rounded).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every row holds probabilities, for no more than so many positions. Models that joined later have none of their own and
    /// are believed to be as their tier.
    #[must_use]
    pub fn is_valid(&self, positions: usize) -> bool {
        let sound = |row: &Vec<f32>| row.len() <= positions && row.iter().all(|p| (0.0..=1.0).contains(p));
        self.0.iter().all(sound)
    }

    /// The dial for these models. `None` without a sample, and where no two models differ.
    #[must_use]
    pub fn dial(&self, labels: &LabelSpace, candidates: &[Candidate]) -> Option<Dial> {
        let shape = Shape { input_tokens: USUAL_INPUT, ..Shape::default() };
        let considered = |row: &[f32], candidate: &Candidate| {
            let at = |position: usize| {
                let mean = Probability::clamped(f64::from(*row.get(position)?));
                Some(Estimate { mean, low: mean, high: mean })
            };
            let (success, origin) = believed(labels, candidate, &at);
            let mut one = Considered::unweighed(candidate.model.clone(), candidate.tier.clone(), candidate.rank);
            one.cost = expected_cost(candidate, &shape, Tokens { output: UNKNOWN_OUTPUT, cached: 0 });
            (one.success, one.origin) = (success, origin);
            one
        };
        let of_row = |row: &Vec<f32>| {
            let models: Vec<Considered> = candidates.iter().map(|candidate| considered(row, candidate)).collect();
            steps(&stands(&models))
        };
        Dial::from_steps(&self.0.iter().map(of_row).collect::<Vec<_>>())
    }
}

/// Where the eligible models stand of which something is known.
#[must_use]
pub fn stands(models: &[Considered]) -> Vec<Stand> {
    let scale = Scale::of(models);
    let free = Trade { threshold: scale.threshold(Aim::Threshold(0.0), None), margin: 0.0 };
    let stand = |one: &Considered| {
        let worth = scale.worth(one, free, Leaves::Nothing);
        let success = one.success?.mean.get();
        Some(Stand { cost: worth.relative_cost, strength: worth.strength, success })
    };
    models.iter().filter(|one| one.excluded.is_none()).filter_map(stand).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::candidate::Capability;
    use crate::domain::ids::{ModelName, TierId};
    use crate::domain::money::{NanoUsd, Price};

    fn stand(cost: f64, strength: f64, success: f64) -> Stand {
        Stand { cost, strength, success }
    }

    #[test]
    fn two_models_have_one_step_which_is_the_gain() {
        let gain = |weak: f64, strong: f64| steps(&[stand(0.0, 0.0, weak), stand(1.0, 1.0, strong)]);

        assert!((gain(0.4, 0.9)[0] - 0.5).abs() < 1e-12);
        assert!((gain(0.9, 0.7)[0] + 0.2).abs() < 1e-12);
        assert_eq!(gain(0.9, 0.7).len(), 1);
    }

    #[test]
    fn a_cheap_model_that_does_most_of_it_is_a_step_of_its_own() {
        let found = steps(&[stand(0.0, 0.0, 0.4), stand(0.02, 0.5, 0.8), stand(1.0, 1.0, 0.9)]);

        assert_eq!(found.len(), 2);
        assert!((found[0] - 20.0).abs() < 1e-9, "far beyond what a gain of two models can be: {found:?}");
        assert!((found[1] - 0.1 / 0.98).abs() < 1e-9);
    }

    fn candidate(rank: usize, usd: f64) -> Candidate {
        let tier = ["small", "medium", "large"][rank];
        let price = NanoUsd::from_usd(usd).map(|price| Price {
            input_per_mtok: price,
            cached_input_per_mtok: None,
            cache_write_per_mtok: None,
            output_per_mtok: price,
        });
        let capability = Capability {
            context_tokens: None,
            tools: true,
            forced_tools: true,
            images: true,
            image_urls: true,
            json_schema: true,
        };
        let (model, tier) = (ModelName::from(format!("m-{tier}")), TierId::from(tier));
        Candidate { model, class: tier.clone(), tier, rank, price, capability }
    }

    #[test]
    fn the_middle_of_the_dial_lies_where_the_middle_model_is_whatever_it_costs() {
        let labels = LabelSpace::new(["small", "medium", "large"].map(TierId::from).to_vec(), vec![]);
        let rows: Vec<Vec<f64>> =
            (0..500).map(|at| f64::from(at) / 2000.0).map(|x| vec![0.3 + x, 0.7, 0.8 + x / 4.0]).collect();
        let sample = DialSample::of(&rows);
        assert!(sample.is_valid(3) && sample.is_valid(4) && !sample.is_valid(2));

        for middle in [1.01, 1.5, 30.0] {
            let models = [candidate(0, 1.0), candidate(1, middle), candidate(2, 100.0)];
            let dial = sample.dial(&labels, &models).unwrap();

            let cost = (middle - 1.0) / 99.0;
            let threshold = dial.threshold(Probability::HALF);
            let best = |row: &Vec<f64>| {
                let utility = |at: usize| row[at] - threshold * [0.0, cost, 1.0][at];
                (0..3).max_by(|&a, &b| utility(a).total_cmp(&utility(b))).unwrap()
            };
            let share = rows.iter().filter(|row| best(row) == 1).count() as f64 / rows.len() as f64;
            assert!(share > 0.9, "a medium model at ${middle} answers {share} of the prompts");
        }
        assert_eq!(sample.dial(&labels, &[candidate(0, 1.0)]), None);
        assert_eq!(DialSample::default().dial(&labels, &[candidate(0, 1.0), candidate(2, 9.0)]), None);
    }

    proptest! {
        #[test]
        fn between_two_steps_the_choice_does_not_change(
            models in prop::collection::vec((0.0_f64..1.0, 0.0_f64..1.0, 0.0_f64..1.0), 2..8), at in 0.0_f64..1.0,
        ) {
            let stands: Vec<Stand> = models.iter().map(|&(c, s, p)| stand(c, s, p)).collect();
            let steps = steps(&stands);
            prop_assert!(steps.is_sorted_by(|a, b| a >= b), "{steps:?}");
            let choice = |threshold: f64| {
                let utility = |one: &Stand| one.success - threshold * if threshold < 0.0 { one.strength } else { one.cost };
                (0..stands.len()).max_by(|&a, &b| utility(&stands[a]).total_cmp(&utility(&stands[b]))).unwrap()
            };

            for pair in steps.windows(2).filter(|pair| pair[0] - pair[1] > 1e-6 && (pair[0] > 0.0) == (pair[1] > 0.0)) {
                let inside = pair[1] + (pair[0] - pair[1]) * (0.01 + 0.98 * at);
                prop_assert_eq!(choice(inside), choice(f64::midpoint(pair[0], pair[1])));
            }
            let strongest = stands.iter().map(|one| one.strength).fold(0.0, f64::max);
            if let Some(last) = steps.last().filter(|last| **last < 0.0) {
                prop_assert!((stands[choice(last * 1.001 - 1e-6)].strength - strongest).abs() < 1e-9);
            }
        }
    }
}
