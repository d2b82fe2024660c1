mod choice;

use proptest::prelude::*;

use super::*;
use crate::domain::candidate::Capability;
use crate::domain::embedding::Embedding;
use crate::domain::familiarity::{Familiarity, Unfamiliar};
use crate::domain::money::{NanoUsd, Price};
use crate::domain::policy::{CarefulMode, SessionMode};
use crate::domain::scores::{Neighbourhood, ScoreTimings, Scorer};

const ALL_ROUND: Capability = Capability {
    context_tokens: Some(1_000),
    tools: true,
    forced_tools: true,
    images: false,
    image_urls: true,
    json_schema: true,
};

fn candidates() -> Vec<Candidate> {
    ["small", "medium", "large"]
        .into_iter()
        .enumerate()
        .map(|(rank, tier)| Candidate {
            model: ModelName::from(format!("m-{tier}")),
            tier: TierId::from(tier),
            rank,
            class: TierId::from(tier),
            price: NanoUsd::from_usd(10_f64.powi(rank as i32)).map(|price| Price {
                input_per_mtok: price,
                cached_input_per_mtok: None,
                cache_write_per_mtok: None,
                output_per_mtok: price,
            }),
            capability: ALL_ROUND,
        })
        .collect()
}

fn policy(aim: Aim) -> Policy {
    Policy {
        name: PolicyName::from("test"),
        aim,
        default_tier: TierId::from("medium"),
        allow_weaker_fallback: false,
        exploration: Probability::ZERO,
        careful: CarefulMode::Never,
        careful_cost: NanoUsd::ZERO,
        sessions: SessionMode::Sticky,
        switch_margin: Probability::ZERO,
        unfamiliar: SafeChoice::DefaultTier,
        recovery: crate::domain::recovery::Recovery::NONE,
    }
}

fn scores(success: [f64; 3]) -> Scores {
    Scores {
        scorer: Scorer::Fast,
        tasks: vec![],
        difficulty: Probability::HALF,
        prior: vec![],
        success: success.map(|mean| Estimate::from_beta(mean * 50.0, (1.0 - mean) * 50.0)).to_vec(),
        output_tokens: OutputTokens { p50: 100.0, p90: 500.0 },
        neighbourhood: Neighbourhood::default(),
        familiarity: Familiarity::default(),
        tokens: 10,
        truncated: false,
        timings: ScoreTimings::default(),
        embedding: Embedding::normalise(vec![1.0]).unwrap(),
    }
}

struct Case {
    scores: Result<Scores, ScoreFailure>,
    aim: Aim,
    shape: Shape,
    limits: Limits,
    exploration: f64,
    draw: f64,
}

impl Case {
    fn new(success: [f64; 3], aim: Aim) -> Self {
        Self {
            scores: Ok(scores(success)),
            aim,
            shape: Shape::default(),
            limits: Limits::default(),
            exploration: 0.0,
            draw: 0.9,
        }
    }

    fn decide(&self) -> Result<Decision, NoCandidate> {
        let bundle = BundleId::from("b");
        let labels = LabelSpace::new(["small", "medium", "large"].map(TierId::from).to_vec(), vec![]);
        let dial = Dial::from_gains(&(0..100).map(|i| f64::from(i) / 100.0).collect::<Vec<_>>()).unwrap();
        let policy = Policy { exploration: Probability::clamped(self.exploration), ..policy(self.aim) };
        decide(&Question {
            scores: self.scores.as_ref().map_err(|failure| *failure),
            learned: Some(Learned { bundle: &bundle, labels: &labels, dial: &dial }),
            candidates: &candidates(),
            barred: &[],
            shape: &self.shape,
            policy: &policy,
            limits: &self.limits,
            held: None,
            draw: Probability::clamped(self.draw),
        })
    }

    fn model(&self) -> String {
        self.decide().unwrap().model.to_string()
    }
}

/// A prompt that the bundle cannot judge, under a policy whose default tier is the medium one.
fn unfamiliar(success: [f64; 3], aim: Aim, wish: SafeChoice) -> (String, Reason) {
    let mut scores = scores(success);
    scores.familiarity.unfamiliar = Some(Unfamiliar::Language);
    let bundle = BundleId::from("b");
    let labels = LabelSpace::new(["small", "medium", "large"].map(TierId::from).to_vec(), vec![]);
    let dial = Dial::from_gains(&(0..100).map(|i| f64::from(i) / 100.0).collect::<Vec<_>>()).unwrap();
    let decision = decide(&Question {
        scores: Ok(&scores),
        learned: Some(Learned { bundle: &bundle, labels: &labels, dial: &dial }),
        candidates: &candidates(),
        barred: &[],
        shape: &Shape::default(),
        policy: &Policy { unfamiliar: wish, ..policy(aim) },
        limits: &Limits::default(),
        held: None,
        draw: Probability::clamped(0.9),
    });
    let decision = decision.unwrap();
    (decision.tier.to_string(), decision.reason)
}

#[test]
fn what_the_bundle_cannot_judge_goes_to_the_safe_tier_and_never_to_a_weaker_one() {
    let aim = Aim::Threshold(0.1);
    let why = Reason::Unfamiliar(Unfamiliar::Language);
    let easy = [0.88, 0.88, 0.90];
    let hard = [0.2, 0.3, 0.9];

    assert_eq!(unfamiliar(easy, aim, SafeChoice::DefaultTier), ("medium".to_owned(), why));
    assert_eq!(unfamiliar(easy, aim, SafeChoice::Strongest), ("large".to_owned(), why));
    assert_eq!(unfamiliar(easy, aim, SafeChoice::Ignore), ("small".to_owned(), Reason::CheapestAdequate));
    assert_eq!(unfamiliar(hard, aim, SafeChoice::DefaultTier), ("large".to_owned(), Reason::CheapestAdequate));
    assert_eq!(unfamiliar(hard, aim, SafeChoice::Strongest), ("large".to_owned(), why));
}

#[test]
fn the_ends_of_the_dial_hold_for_what_the_bundle_cannot_judge_too() {
    let quality = |quality| Aim::Quality(Probability::clamped(quality));
    let ask = |q| unfamiliar([0.5, 0.6, 0.7], quality(q), SafeChoice::DefaultTier);

    assert_eq!(ask(0.0), ("small".to_owned(), Reason::CheapestAsked));
    assert_eq!(ask(1.0), ("large".to_owned(), Reason::StrongestAsked));
}

#[test]
fn picks_the_model_whose_gain_over_every_cheaper_one_is_worth_its_cost() {
    assert_eq!(Case::new([0.85, 0.86, 0.90], Aim::Threshold(0.15)).model(), "m-small");
    assert_eq!(Case::new([0.70, 0.86, 0.90], Aim::Threshold(0.15)).model(), "m-medium");
    assert_eq!(Case::new([0.40, 0.50, 0.90], Aim::Threshold(0.15)).model(), "m-large");
}

#[test]
fn the_ends_of_the_dial_ignore_the_scores() {
    assert_eq!(Case::new([0.1, 0.2, 0.9], Aim::Quality(Probability::ZERO)).model(), "m-small");
    assert_eq!(Case::new([0.9, 0.9, 0.1], Aim::Quality(Probability::ONE)).model(), "m-large");
}

#[test]
fn a_scoring_failure_is_answered_by_the_default_tier() {
    let case = Case { scores: Err(ScoreFailure::Inference), ..Case::new([0.5; 3], Aim::Threshold(0.1)) };

    let decision = case.decide().unwrap();

    assert_eq!(decision.model.as_str(), "m-medium");
    assert_eq!(decision.reason, Reason::ScoringFailed(ScoreFailure::Inference));
}

#[test]
fn excludes_what_lacks_a_capability_and_says_so() {
    let case = Case { shape: Shape { images: 1, ..Shape::default() }, ..Case::new([0.5; 3], Aim::Threshold(0.1)) };

    let none = case.decide().unwrap_err();

    assert!(none.considered.iter().all(|one| one.excluded == Some(Exclusion::NeedsImages)));
}

#[test]
fn a_request_longer_than_every_context_is_refused() {
    let shape = Shape { input_tokens: 990, max_output_tokens: Some(11), ..Shape::default() };
    let case = Case { shape, ..Case::new([0.5; 3], Aim::Threshold(0.1)) };

    assert!(case.decide().is_err());
}

#[test]
fn a_cost_ceiling_binds_before_the_scores() {
    let shape = Shape { input_tokens: 500, ..Shape::default() };
    let limits = Limits { max_cost: NanoUsd::from_usd(0.002), ..Limits::default() };
    let case = Case { shape, limits, ..Case::new([0.1, 0.2, 0.9], Aim::Threshold(0.0)) };

    let decision = case.decide().unwrap();

    assert_eq!(decision.model.as_str(), "m-small");
    assert_eq!(decision.reason, Reason::OnlyEligible);
}

#[test]
fn candidate_patterns_bind() {
    let limits = Limits { candidates: vec!["m-l*".to_owned(), "m-small".to_owned()], ..Limits::default() };
    let case = Case { limits, ..Case::new([0.1, 0.9, 0.9], Aim::Threshold(0.1)) };

    assert_eq!(case.model(), "m-large");
}

proptest! {
    #[test]
    fn never_chooses_a_weaker_tier_at_higher_quality(
        small in 0.0_f64..1.0, medium in 0.0_f64..1.0, large in 0.0_f64..1.0, a in 0.0_f64..=1.0, b in 0.0_f64..=1.0,
    ) {
        let rank = |quality: f64| {
            let decision = Case::new([small, medium, large], Aim::Quality(Probability::clamped(quality))).decide().unwrap();
            decision.considered.iter().find(|one| one.model == decision.model).unwrap().rank
        };

        prop_assert!(rank(a.min(b)) <= rank(a.max(b)));
    }

    #[test]
    fn propensities_of_all_draws_sum_to_one(exploration in 0.01_f64..1.0) {
        let mut mass = std::collections::HashMap::new();
        for step in 0..1000 {
            let draw = f64::from(step) / 1000.0;
            let decision = Case { exploration, draw, ..Case::new([0.2, 0.5, 0.9], Aim::Threshold(0.1)) }.decide().unwrap();
            mass.insert(decision.model.to_string(), decision.propensity.get());
        }
        // A tiny exploration may not reach every model in 1,000 draws; what was reached never exceeds one.
        let total: f64 = mass.values().sum();

        prop_assert!(total <= 1.0 + 1e-9);
        prop_assert!(exploration < 0.05 || (total - 1.0).abs() < 1e-9);
    }
}
