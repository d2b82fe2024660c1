use super::*;
use crate::domain::candidate::ExpectedCost;
use crate::domain::estimate::Estimate;
use crate::domain::policy::Aim;
use crate::domain::probability::Probability;
use crate::domain::unknown::Origin;
use crate::domain::utility::Worth;

/// One model: its tier, utility, half the width of its interval, and cost in micro-dollars where known.
struct Model(usize, f64, f64, Option<u64>);

fn decision(chosen: usize, reason: Reason, models: &[Model]) -> Decision {
    let considered = |(at, Model(rank, utility, reach, micros)): (usize, &Model)| {
        let cost = micros.map(|micros| NanoUsd(micros * 1_000));
        Considered {
            model: format!("m{at}").into(),
            tier: format!("t{rank}").into(),
            rank: *rank,
            success: Some(Estimate {
                mean: Probability::HALF,
                low: Probability::clamped(0.5 - reach),
                high: Probability::clamped(0.5 + reach),
            }),
            known: true,
            origin: Origin::Own,
            cost: cost.map(|cost| ExpectedCost { p50: cost, p90: cost, mean: cost, uncached: cost }),
            worth: Some(Worth { relative_cost: 0.0, strength: 0.0, switching: 0.0, utility: Some(*utility) }),
            excluded: None,
        }
    };
    Decision {
        model: format!("m{chosen}").into(),
        tier: "t".into(),
        policy: "p".into(),
        aim: Aim::Threshold(0.1),
        threshold: 0.1,
        considered: models.iter().enumerate().map(considered).collect(),
        reason,
        propensity: Probability::ONE,
        bundle: None,
    }
}

fn pair(lead: f64, reach: f64) -> Decision {
    let models = [Model(0, 0.5, reach, Some(100)), Model(1, 0.5 - lead, reach, Some(1_100))];
    decision(0, Reason::CheapestAdequate, &models)
}

fn usd(usd: f64) -> NanoUsd {
    NanoUsd::from_usd(usd).unwrap()
}

#[test]
fn the_stake_is_the_money_between_the_two_times_the_chance_that_certainty_changes_the_choice() {
    let tie = Stake::of(&pair(0.0, 0.1)).unwrap();
    let apart = Stake::of(&pair(0.1 * 2_f64.sqrt(), 0.1)).unwrap();

    assert_eq!((tie.lead, tie.chance, tie.between), (0.0, 0.5, Some(usd(0.001))));
    // At the end of a 90 % interval five in a hundred lie beyond.
    assert!((apart.lead - 1.0).abs() < 1e-9 && (apart.chance - 0.05).abs() < 0.01, "{apart:?}");
}

#[test]
fn a_look_is_worth_it_where_the_choice_is_close_and_more_is_at_stake_than_it_costs() {
    let close = Stake::of(&pair(0.05, 0.1)).unwrap();

    assert!(close.is_worth(usd(0.0001), Size::Usual));
    assert!(!close.is_worth(usd(0.001), Size::Usual), "the look costs more than is at stake");
    let clear = Stake::of(&pair(0.3, 0.1)).unwrap();
    assert!(!clear.is_worth(NanoUsd::ZERO, Size::Usual), "the interval does not straddle the threshold");
}

#[test]
fn dear_requests_get_a_look_where_they_are_nearly_close() {
    let nearly = Stake::of(&pair(0.2, 0.1)).unwrap();

    assert!(!nearly.is_worth(NanoUsd::ZERO, Size::Usual));
    assert!(nearly.is_worth(NanoUsd::ZERO, Size::Dear));
    let short = OutputTokens { p50: 100.0, p90: 300.0 };
    let long = OutputTokens { p50: 1_600.0, p90: 3_000.0 };
    let shape = |input_tokens, max_output_tokens| Shape { input_tokens, max_output_tokens, ..Shape::default() };
    assert_eq!(Size::of(&shape(100, None), short), Size::Usual);
    assert_eq!(Size::of(&shape(LONG_INPUT, None), short), Size::Dear);
    assert_eq!(Size::of(&shape(100, None), long), Size::Dear);
    assert_eq!(Size::of(&shape(100, Some(50)), long), Size::Usual, "the caller allows no long answer");
}

#[test]
fn without_prices_closeness_alone_decides_and_certainty_is_never_close() {
    let models = [Model(0, 0.5, 0.1, None), Model(1, 0.45, 0.1, Some(5))];
    let unpriced = Stake::of(&decision(0, Reason::CheapestAdequate, &models)).unwrap();

    assert!(unpriced.is_worth(usd(1.0), Size::Usual));
    assert!(!Stake::of(&pair(0.1, 0.0)).unwrap().is_worth(NanoUsd::ZERO, Size::Dear));
}

#[test]
fn decisions_that_do_not_rest_on_scores_have_no_stake() {
    let models = || [Model(0, 0.5, 0.1, Some(1)), Model(1, 0.5, 0.1, Some(2))];

    for reason in [Reason::StrongestAsked, Reason::CheapestAsked, Reason::OnlyEligible, Reason::Exploration] {
        assert_eq!(Stake::of(&decision(0, reason, &models())), None);
    }
    assert_eq!(Stake::of(&decision(0, Reason::CheapestAdequate, &models()[..1])), None);
}

#[test]
fn a_session_looks_again_only_for_a_move_up() {
    let models =
        |strong: f64| [Model(0, 0.6, 0.1, Some(1)), Model(1, 0.5, 0.1, Some(5)), Model(2, strong, 0.1, Some(9))];

    // The weaker model would win but may not, so that only the stronger one counts, and it must beat that winner.
    let stake = Stake::of(&decision(1, Reason::SessionKept, &models(0.55))).unwrap();
    assert!((stake.lead - 0.05 / 0.1_f64.hypot(0.1)).abs() < 1e-9, "{stake:?}");
    assert_eq!(Stake::of(&decision(2, Reason::SessionKept, &models(0.55))), None);
}
