//! The laws of choosing among any number of models, with and without a session.

use super::*;
use crate::domain::utility::Worth;

/// One model: its tier, its price in whole micro-dollars a call, and its success, each of the last two where known.
#[derive(Clone, Copy, Debug)]
struct Model {
    rank: usize,
    price: Option<u32>,
    success: Option<f64>,
}

const fn model(rank: usize, price: u32, success: f64) -> Model {
    Model { rank, price: Some(price), success: Some(success) }
}

/// A whole situation. Models are named by their number.
#[derive(Clone, Debug)]
struct World {
    models: Vec<Model>,
    aim: Aim,
    held: Option<(usize, u64)>,
    margin: f64,
    allowed: Vec<usize>,
    scoring: Option<ScoreFailure>,
    exploration: f64,
}

impl World {
    fn new(models: &[Model], aim: Aim) -> Self {
        let models = models.to_vec();
        let (allowed, scoring) = (Vec::new(), None);
        Self { models, aim, held: None, margin: 0.0, allowed, scoring, exploration: 0.0 }
    }

    fn decide(&self) -> Result<Decision, NoCandidate> {
        let name = |at: usize| ModelName::from(format!("m{at}"));
        let candidates: Vec<Candidate> = self
            .models
            .iter()
            .enumerate()
            .map(|(at, model)| Candidate {
                model: name(at),
                tier: TierId::from(format!("t{}", model.rank)),
                rank: model.rank,
                class: TierId::from("unknown"),
                // A call has a thousand input tokens and no answer, so that its cost is exact.
                price: model.price.map(|micros| Price {
                    input_per_mtok: NanoUsd(u64::from(micros) * 1_000_000),
                    cached_input_per_mtok: Some(NanoUsd(u64::from(micros) * 100_000)),
                    cache_write_per_mtok: None,
                    output_per_mtok: NanoUsd::ZERO,
                }),
                capability: Capability { context_tokens: None, ..ALL_ROUND },
            })
            .collect();
        let known: Vec<(ModelName, f64)> =
            self.models.iter().enumerate().filter_map(|(at, model)| Some((name(at), model.success?))).collect();
        let certain = |p: f64| Estimate {
            mean: Probability::clamped(p),
            low: Probability::clamped(p),
            high: Probability::clamped(p),
        };
        let scores = Scores {
            success: known.iter().map(|(_, success)| certain(*success)).collect(),
            output_tokens: OutputTokens { p50: 0.0, p90: 0.0 },
            ..scores([0.5; 3])
        };
        let labels = LabelSpace::new(vec![], known.into_iter().map(|(model, _)| model).collect());
        let dial = Dial::from_gains(&(-20..80).map(|i| f64::from(i) / 100.0).collect::<Vec<_>>()).unwrap();
        let policy = Policy {
            default_tier: TierId::from("t1"),
            switch_margin: Probability::clamped(self.margin),
            exploration: Probability::clamped(self.exploration),
            ..policy(self.aim)
        };
        let limits =
            Limits { candidates: self.allowed.iter().map(|at| format!("m{at}")).collect(), ..Limits::default() };
        let held = self.held.map(|(at, cached)| (name(at), cached));
        let bundle = BundleId::from("b");
        decide(&Question {
            scores: self.scoring.map_or(Ok(&scores), Err),
            learned: Some(Learned { bundle: &bundle, labels: &labels, dial: &dial }),
            candidates: &candidates,
            barred: &[],
            shape: &Shape { input_tokens: 1_000, ..Shape::default() },
            policy: &policy,
            limits: &limits,
            held: held.as_ref().map(|(model, cached)| Held { model, cached_tokens: *cached }),
            draw: Probability::ZERO,
        })
    }

    fn chosen(&self) -> usize {
        self.decide().unwrap().model.as_str()[1..].parse().unwrap()
    }

    fn worth(&self, at: usize) -> Worth {
        self.decide().unwrap().considered[at].worth.unwrap()
    }
}

const fn threshold(threshold: f64) -> Aim {
    Aim::Threshold(threshold)
}

fn quality(quality: f64) -> Aim {
    Aim::Quality(Probability::clamped(quality))
}

#[test]
fn a_middle_model_at_a_tenth_of_the_price_gap_must_earn_a_tenth_of_the_threshold() {
    let models = |middle: f64| [model(0, 100, 0.60), model(1, 190, middle), model(2, 1_000, 0.80)];

    assert_eq!(World::new(&models(0.63), threshold(0.25)).chosen(), 1);
    assert_eq!(World::new(&models(0.62), threshold(0.25)).chosen(), 0);
    assert_eq!(World::new(&models(0.63), threshold(0.15)).chosen(), 2);
    assert!((World::new(&models(0.62), threshold(0.25)).worth(1).relative_cost - 0.1).abs() < 1e-12);
}

#[test]
fn a_model_without_a_price_stands_where_its_tier_does_and_is_never_free() {
    let unpriced = |rank, success| Model { price: None, ..model(rank, 0, success) };
    let mixed = [model(0, 100, 0.5), model(0, 300, 0.5), unpriced(0, 0.55), model(1, 500, 0.5), unpriced(2, 0.6)];
    let world = World::new(&mixed, threshold(0.1));

    // As dear as the dearest of its tier, and the strongest tier stands at the end of the scale.
    assert_eq!(world.worth(2).relative_cost, world.worth(1).relative_cost);
    assert_eq!(world.worth(4).relative_cost, 1.0);
    // With no two prices to compare, tiers stand for prices: the dial keeps its meaning where nothing is priced.
    let few = [unpriced(0, 0.5), model(1, 500, 0.7)];
    assert_eq!((World::new(&few, threshold(0.3)).chosen(), World::new(&few, threshold(0.1)).chosen()), (0, 1));
    let none = [unpriced(0, 0.5), unpriced(1, 0.7)];
    assert_eq!((World::new(&none, threshold(0.3)).chosen(), World::new(&none, threshold(0.1)).chosen()), (0, 1));
}

#[test]
fn where_all_cost_the_same_the_best_answers_and_ties_go_to_the_first() {
    let models = [model(0, 100, 0.7), model(0, 100, 0.8), model(1, 100, 0.8)];

    assert_eq!(World::new(&models, threshold(0.9)).chosen(), 1);
}

#[test]
fn a_model_of_which_nothing_is_known_is_not_chosen_while_something_is_known_of_another() {
    let unknown = |rank| Model { success: None, ..model(rank, 100, 0.0) };

    assert_eq!(World::new(&[unknown(0), model(1, 900, 0.1)], threshold(0.9)).chosen(), 1);
    let decision = World::new(&[unknown(0), unknown(1), unknown(2)], threshold(0.1)).decide().unwrap();
    assert_eq!((decision.model.as_str(), decision.reason), ("m1", Reason::NoEstimate));
}

#[test]
fn a_threshold_below_zero_rewards_strength_and_not_waste() {
    let models = [model(0, 100, 0.80), model(1, 900, 0.78), model(1, 500, 0.78)];

    assert_eq!(World::new(&models, threshold(-0.03)).chosen(), 2);
    assert_eq!(World::new(&models, threshold(-0.01)).chosen(), 0);
}

#[test]
fn money_is_weighed_against_what_a_right_answer_is_worth() {
    // 100 and 1,000 micro-dollars, ten points of success apart: worth it from 9 milli-dollars a right answer.
    let models = [model(0, 100, 0.6), model(1, 1_000, 0.7)];
    let at = |usd| Aim::Value(NanoUsd::from_usd(usd).unwrap());

    assert_eq!(World::new(&models, at(0.008)).chosen(), 0);
    assert_eq!(World::new(&models, at(0.010)).chosen(), 1);
    let unpriced = [models[0], models[1], Model { price: None, ..model(2, 0, 0.99) }];
    let decision = World::new(&unpriced, at(0.010)).decide().unwrap();
    assert_eq!(decision.considered[2].excluded, Some(Exclusion::NoPrice));
    assert_eq!(decision.model.as_str(), "m1");
}

#[test]
fn a_session_keeps_its_model_moves_up_and_never_down() {
    let models = |hard: f64| [model(0, 100, 1.0 - hard), model(1, 300, 0.8), model(2, 1_000, 0.9)];
    let world = |hard, held| World { held: Some((held, 0)), ..World::new(&models(hard), threshold(0.2)) };

    let easy = world(0.1, 2).decide().unwrap();
    assert_eq!((easy.model.as_str(), easy.reason), ("m2", Reason::SessionKept));
    let hard = world(0.9, 0).decide().unwrap();
    assert_eq!((hard.model.as_str(), hard.reason), ("m1", Reason::SessionRaised));
    assert_eq!(world(0.1, 0).decide().unwrap().reason, Reason::SessionKept);
}

#[test]
fn a_session_moves_up_only_for_more_than_the_margin() {
    let models = [model(0, 100, 0.60), model(1, 1_000, 0.75)];
    let world = |margin| World { held: Some((0, 0)), margin, ..World::new(&models, threshold(0.1)) };

    assert_eq!(world(0.04).chosen(), 1);
    assert_eq!(world(0.06).chosen(), 0);
}

#[test]
fn what_the_session_has_cached_makes_staying_cheaper() {
    // The two models are a threshold apart; nine tenths of the cheaper one's input bill fall away while it is cached.
    let models = [model(0, 500, 0.60), model(1, 1_000, 0.75)];
    let world = |cached| World { held: Some((0, cached)), ..World::new(&models, threshold(0.1)) };

    assert_eq!((world(0).chosen(), world(1_000).chosen()), (1, 0));
    assert!((world(1_000).worth(0).relative_cost + 0.9).abs() < 1e-9);
    assert_eq!(world(1_000).worth(1).relative_cost, 1.0, "the scale itself does not move");
}

#[test]
fn a_session_whose_model_may_not_answer_goes_to_one_that_is_not_weaker() {
    let models = [model(0, 100, 0.9), model(1, 300, 0.9), model(2, 1_000, 0.9)];
    let allowed = |allowed: &[usize]| World {
        held: Some((1, 0)),
        allowed: allowed.to_vec(),
        ..World::new(&models, threshold(0.2))
    };

    assert_eq!(allowed(&[0, 2]).chosen(), 2);
    assert_eq!(allowed(&[0]).chosen(), 0);
}

#[test]
fn a_turn_that_cannot_be_scored_keeps_the_session_or_asks_the_default_tier_where_that_is_stronger() {
    let models = [model(0, 100, 0.9), model(1, 300, 0.9), model(2, 1_000, 0.9)];
    let world = |held| World {
        held: Some((held, 0)),
        scoring: Some(ScoreFailure::Overloaded),
        ..World::new(&models, threshold(0.2))
    };

    let (weak, strong) = (world(0).decide().unwrap(), world(2).decide().unwrap());

    assert_eq!((weak.model.as_str(), weak.reason.settles()), ("m1", false));
    assert_eq!((strong.model.as_str(), strong.reason), ("m2", Reason::SessionKept));
}

#[test]
fn quality_zero_looks_past_the_session() {
    let models = [model(0, 100, 0.1), model(1, 300, 0.9)];
    let decision = World { held: Some((1, 0)), ..World::new(&models, quality(0.0)) }.decide().unwrap();

    assert_eq!((decision.model.as_str(), decision.reason), ("m0", Reason::CheapestAsked));
    assert!(!decision.reason.settles());
}

#[test]
fn the_cost_weighed_is_that_of_a_mean_answer_within_what_the_caller_allows() {
    let candidate = candidates().remove(0);
    let output = OutputTokens { p50: 100.0, p90: 500.0 };
    let cost = |max_output_tokens| {
        let shape = Shape { max_output_tokens, ..Shape::default() };
        expected_cost(&candidate, &shape, Tokens { output, cached: 0 }).unwrap()
    };

    let (free, short) = (cost(None), cost(Some(50)));

    // Lognormal with these quantiles: 100 × exp(1.2558² / 2) tokens, at a dollar for a million.
    assert_eq!((free.p50, free.mean, free.p90), (NanoUsd(100_000), NanoUsd(220_000), NanoUsd(500_000)));
    assert_eq!((short.p50, short.mean, short.p90), (NanoUsd(50_000), NanoUsd(50_000), NanoUsd(50_000)));
    for (p50, p90, mean) in
        [(10.0, 10.0, 10.0), (10.0, 5.0, 10.0), (1.0, 1e9, 1e9), (0.0, 9.0, 0.0), (f64::NAN, 9.0, 0.0)]
    {
        assert_eq!(OutputTokens { p50, p90 }.mean(), mean, "{p50} {p90}");
    }
}

fn any_model() -> impl Strategy<Value = Model> {
    let price = prop_oneof![1 => Just(None), 6 => (1_u32..2_000).prop_map(Some)];
    let success = prop_oneof![1 => Just(None), 9 => (0.0_f64..1.0).prop_map(Some)];
    (0_usize..4, price, success).prop_map(|(rank, price, success)| Model { rank, price, success })
}

fn any_models() -> impl Strategy<Value = Vec<Model>> {
    prop::collection::vec(any_model(), 2..7).prop_map(|mut models| {
        models.sort_by_key(|model| model.rank);
        models
    })
}

fn priced_models() -> impl Strategy<Value = Vec<Model>> {
    prop::collection::vec((0_usize..4, 1_u32..2_000, 0.0_f64..1.0), 2..7)
        .prop_map(|models| models.into_iter().map(|(rank, price, success)| model(rank, price, success)).collect())
}

proptest! {
    #[test]
    fn of_two_models_the_dearer_answers_exactly_where_its_gain_exceeds_the_threshold(
        weak in 0.0_f64..1.0, strong in 0.0_f64..1.0, least in -0.5_f64..0.9, price in 1_u32..1_000, more in 1_u32..100_000,
    ) {
        prop_assume!((strong - weak - least).abs() > 1e-9);
        let chosen = World::new(&[model(0, price, weak), model(1, price + more, strong)], threshold(least)).chosen();

        prop_assert_eq!(chosen == 1, strong - weak > least);
    }

    #[test]
    fn raising_the_quality_never_goes_to_a_model_both_cheaper_and_weaker(
        models in any_models(), a in 0.0_f64..=1.0, b in 0.0_f64..=1.0,
    ) {
        let place = |dial: f64| {
            let world = World::new(&models, quality(dial));
            let chosen = world.chosen();
            (world.worth(chosen).relative_cost, models[chosen].rank)
        };
        let (low, high) = (place(a.min(b)), place(a.max(b)));

        prop_assert!(!(high.0 < low.0 && high.1 < low.1), "{low:?} became {high:?}");
    }

    #[test]
    fn an_ineligible_model_never_answers(
        models in any_models(), allowed in prop::collection::vec(0_usize..2, 1..3), held in 0_usize..2, dial in 0.0_f64..=1.0,
    ) {
        let world = World { held: Some((held, 500)), allowed: allowed.clone(), ..World::new(&models, quality(dial)) };

        prop_assert!(allowed.contains(&world.chosen()));
    }

    #[test]
    fn a_dominated_model_within_the_range_of_prices_changes_nothing(
        models in priced_models(), at in 0_usize..7, worse in 0.0_f64..0.5, dearer in 0.0_f64..=1.0, least in -0.3_f64..0.9,
    ) {
        let better = models[at % models.len()];
        let dearest = models.iter().filter_map(|model| model.price).max().unwrap_or_default();
        let price = better.price.map(|price| price + (dearer * f64::from(dearest - price)) as u32);
        let success = better.success.map(|success| (success - worse).max(0.0));
        let with: Vec<Model> = models.iter().copied().chain([Model { price, success, ..better }]).collect();

        prop_assert_eq!(World::new(&models, threshold(least)).chosen(), World::new(&with, threshold(least)).chosen());
    }

    #[test]
    fn in_money_no_dominated_model_changes_anything(
        models in priced_models(), at in 0_usize..7, worse in 0.001_f64..0.5, dearer in 0_u32..100_000, value in 1_u32..1_000_000,
    ) {
        let better = models[at % models.len()];
        let success = better.success.map(|success| (success - worse).max(0.0));
        let price = better.price.map(|price| price + dearer);
        let with: Vec<Model> = models.iter().copied().chain([Model { price, success, ..better }]).collect();
        let value = Aim::Value(NanoUsd(u64::from(value) * 1_000));

        prop_assert_eq!(World::new(&models, value).chosen(), World::new(&with, value).chosen());
    }

    #[test]
    fn in_money_the_choice_has_the_highest_value_less_cost(models in priced_models(), value in 1_u32..1_000_000) {
        let chosen = World::new(&models, Aim::Value(NanoUsd(u64::from(value) * 1_000))).chosen();
        let worth = |model: &Model| f64::from(value) * model.success.unwrap() - f64::from(model.price.unwrap());
        let most = models.iter().map(worth).fold(f64::NEG_INFINITY, f64::max);

        prop_assert!(worth(&models[chosen]) >= most - 1e-6 * f64::from(value));
    }

    #[test]
    fn the_unit_of_prices_does_not_matter(models in any_models(), unit in 2_u32..1_000, dial in 0.0_f64..=1.0) {
        let scaled: Vec<Model> =
            models.iter().map(|one| Model { price: one.price.map(|price| price * unit), ..*one }).collect();

        prop_assert_eq!(World::new(&models, quality(dial)).chosen(), World::new(&scaled, quality(dial)).chosen());
    }

    #[test]
    fn sessions_never_move_down_and_draw_nothing(
        models in any_models(), held in 0_usize..2, cached in 0_u64..1_000, dial in 0.01_f64..=1.0, margin in 0.0_f64..0.3,
    ) {
        let world = World { held: Some((held, cached)), margin, exploration: 0.5, ..World::new(&models, quality(dial)) };
        let decision = world.decide().unwrap();

        prop_assert!(models[world.chosen()].rank >= models[held].rank);
        prop_assert_eq!(decision.propensity, Probability::ONE);
        prop_assert!(decision.reason != Reason::Exploration);
    }
}
