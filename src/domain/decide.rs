//! The decision: the cheapest adequate model.

use serde::Serialize;

use crate::domain::calibration::Dial;
use crate::domain::candidate::{Candidate, Exclusion, ExpectedCost};
use crate::domain::estimate::Estimate;
use crate::domain::familiarity::Unfamiliar;
use crate::domain::ids::{BundleId, ModelName, PolicyName, TierId};
use crate::domain::money::Usage;
use crate::domain::policy::{Aim, Limits, Policy, SafeChoice};
use crate::domain::probability::Probability;
use crate::domain::prompt::Shape;
use crate::domain::scores::{LabelSpace, OutputTokens, ScoreFailure, Scores};

/// The answer length assumed where no scores predict one.
const UNKNOWN_OUTPUT: OutputTokens = OutputTokens { p50: 300.0, p90: 1200.0 };

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The scores, or why there are none.
    pub scores: Result<&'a Scores, ScoreFailure>,
    /// What the bundle has labels for, and its dial.
    pub learned: Option<Learned<'a>>,
    /// Every configured model, weakest tier first.
    pub candidates: &'a [Candidate],
    /// What the request needs.
    pub shape: &'a Shape,
    /// The operator's rules.
    pub policy: &'a Policy,
    /// The caller's wishes.
    pub limits: &'a Limits,
    /// The only randomness, uniform in 0..1. Used for exploration alone.
    pub draw: Probability,
}

/// The parts of a bundle that a decision reads.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a> {
    /// Which bundle.
    pub bundle: &'a BundleId,
    /// The meaning of each score's position.
    pub labels: &'a LabelSpace,
    /// The meaning of the quality dial.
    pub dial: &'a Dial,
}

/// The model chosen, and all that led to it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The model that should answer.
    pub model: ModelName,
    /// Its tier.
    pub tier: TierId,
    /// The policy in force.
    pub policy: PolicyName,
    /// The aim in force, the caller's where one was given.
    pub aim: Aim,
    /// The least gain that justified a stronger model.
    pub threshold: f64,
    /// Every configured model, in configured order.
    pub considered: Vec<Considered>,
    /// Why this model.
    pub reason: Reason,
    /// The chance that this model was chosen, given the scores. One unless the policy explores.
    pub propensity: Probability,
    /// Which bundle the scores came from.
    pub bundle: Option<BundleId>,
}

/// What the decision knew about one model.
#[derive(Clone, Debug)]
pub struct Considered {
    /// The model.
    pub model: ModelName,
    /// Its tier.
    pub tier: TierId,
    /// The tier's place, 0 the weakest.
    pub rank: usize,
    /// Its success probability, where there are scores.
    pub success: Option<Estimate>,
    /// Whether the estimate is the model's own or its tier's.
    pub known: bool,
    /// What the call should cost, where the price is known.
    pub cost: Option<ExpectedCost>,
    /// Why it could not be chosen, if so.
    pub excluded: Option<Exclusion>,
}

/// Why the chosen model was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The cheapest eligible model whose success is within the threshold of the best.
    CheapestAdequate,
    /// The dial asks for the strongest whatever the scores say.
    StrongestAsked,
    /// The dial asks for the cheapest whatever the scores say.
    CheapestAsked,
    /// Only one model was eligible.
    OnlyEligible,
    /// There were no scores, so the default tier answers.
    ScoringFailed(ScoreFailure),
    /// The bundle cannot judge the prompt, so the safe tier answers.
    Unfamiliar(Unfamiliar),
    /// Drawn at random to keep the feedback honest.
    Exploration,
    /// The caller named the model. Nothing was decided.
    Named,
}

impl Reason {
    /// A word for headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheapestAdequate => "cheapest_adequate",
            Self::StrongestAsked => "strongest_asked",
            Self::CheapestAsked => "cheapest_asked",
            Self::OnlyEligible => "only_eligible",
            Self::ScoringFailed(_) => "scoring_failed",
            Self::Unfamiliar(_) => "unfamiliar",
            Self::Exploration => "exploration",
            Self::Named => "named",
        }
    }
}

/// No model may answer. Holds what was considered, so that the error can say why.
#[derive(Clone, Debug)]
pub struct NoCandidate {
    /// Every configured model with its exclusion.
    pub considered: Vec<Considered>,
}

/// Picks the cheapest eligible model whose success probability is within the threshold of the best eligible one.
///
/// Models are ordered by tier, then expected cost, then configured order. Quality 0 means the first of that order and quality 1
/// the strongest tier, whatever the scores say. Without scores the policy's default tier answers, or the nearest stronger tier that
/// is eligible, or the nearest weaker.
///
/// # Errors
/// When every model is excluded.
pub fn decide(question: &Question<'_>) -> Result<Decision, NoCandidate> {
    let aim = question.limits.aim.unwrap_or(question.policy.aim);
    let threshold = threshold(aim, question.learned.map(|learned| learned.dial));
    let considered: Vec<Considered> =
        question.candidates.iter().map(|candidate| consider(question, candidate)).collect();
    let ladder = ladder(&considered);
    let Some(greedy) = greedy(question, &ladder, threshold) else {
        return Err(NoCandidate { considered });
    };
    let greedy = safe(question, &ladder, greedy);
    let (chosen, reason, propensity) = explore(question, &ladder, greedy);
    Ok(Decision {
        model: chosen.model.clone(),
        tier: chosen.tier.clone(),
        policy: question.policy.name.clone(),
        aim,
        threshold,
        reason,
        propensity,
        bundle: question.learned.map(|learned| learned.bundle.clone()),
        considered,
    })
}

/// The least gain that justifies a stronger model. Without a dial the quality is read as `1 - threshold`.
fn threshold(aim: Aim, dial: Option<&Dial>) -> f64 {
    match (aim, dial) {
        (Aim::Threshold(threshold), _) => threshold,
        (Aim::Quality(quality), Some(dial)) => dial.threshold(quality),
        (Aim::Quality(quality), None) => quality.complement().get(),
    }
}

/// Whether the choice is a close one: the success that would just have been adequate lies inside the chosen model's interval, so a
/// better look at the prompt could change the choice.
#[must_use]
pub fn is_close(decision: &Decision) -> bool {
    if decision.reason != Reason::CheapestAdequate || !decision.threshold.is_finite() {
        return false;
    }
    let eligible = || decision.considered.iter().filter(|one| one.excluded.is_none());
    let best = eligible().filter_map(|one| one.success).map(|success| success.mean.get()).fold(0.0, f64::max);
    let bar = best - decision.threshold;
    let chosen = eligible().find(|one| one.model == decision.model).and_then(|one| one.success);
    chosen.is_some_and(|success| (success.low.get()..=success.high.get()).contains(&bar))
}

fn consider(question: &Question<'_>, candidate: &Candidate) -> Considered {
    let output = question.scores.map_or(UNKNOWN_OUTPUT, |scores| scores.output_tokens);
    let cost = expected_cost(candidate, question.shape, output);
    let excluded = candidate.capability.lacks(question.shape).or_else(|| question.limits.rule_out(candidate, cost));
    let (success, known) = estimate(question, candidate);
    Considered {
        model: candidate.model.clone(),
        tier: candidate.tier.clone(),
        rank: candidate.rank,
        success,
        known,
        cost,
        excluded,
    }
}

/// The model's own estimate where the bundle knows it, else its class's.
fn estimate(question: &Question<'_>, candidate: &Candidate) -> (Option<Estimate>, bool) {
    let (Ok(scores), Some(learned)) = (question.scores, question.learned) else {
        return (None, false);
    };
    let at = |position: Option<usize>| position.and_then(|position| scores.success.get(position)).copied();
    match at(learned.labels.model(&candidate.model)) {
        Some(own) => (Some(own), true),
        None => (at(learned.labels.tier(&candidate.class)), false),
    }
}

/// The cost of a call with a median and with a long answer, never longer than the caller allows.
#[must_use]
pub fn expected_cost(candidate: &Candidate, shape: &Shape, output: OutputTokens) -> Option<ExpectedCost> {
    let price = candidate.price?;
    let limit = shape.max_output_tokens.map_or(f64::INFINITY, |most| most as f64);
    let cost = |tokens: f64| {
        let output_tokens = tokens.min(limit).clamp(0.0, 1e9).round() as u64;
        price.cost(&Usage { input_tokens: shape.input_tokens, cached_input_tokens: 0, output_tokens })
    };
    Some(ExpectedCost { p50: cost(output.p50), p90: cost(output.p90) })
}

/// The eligible models from cheapest to strongest. The sort is stable, so ties keep the configured order.
fn ladder(considered: &[Considered]) -> Vec<&Considered> {
    let mut ladder: Vec<&Considered> = considered.iter().filter(|one| one.excluded.is_none()).collect();
    // A model without a price sorts as the dearest of its tier: unknown is never taken for free.
    ladder.sort_by_key(|one| (one.rank, one.cost.map_or(u64::MAX, |cost| cost.p50.0)));
    ladder
}

fn greedy<'a>(question: &Question<'_>, ladder: &[&'a Considered], threshold: f64) -> Option<(&'a Considered, Reason)> {
    let first = *ladder.first()?;
    if ladder.len() == 1 {
        return Some((first, Reason::OnlyEligible));
    }
    if let Err(failure) = question.scores {
        return Some((default_model(question, ladder, first), Reason::ScoringFailed(failure)));
    }
    if threshold == f64::INFINITY {
        return Some((first, Reason::CheapestAsked));
    }
    let mean = |one: &Considered| one.success.map_or(0.0, |success| success.mean.get());
    let best = ladder.iter().map(|one| mean(one)).fold(0.0, f64::max);
    let adequate = ladder.iter().find(|one| best - mean(one) <= threshold);
    // A threshold below zero asks for more than the best: the strongest tier answers, its first model.
    Some(
        adequate
            .map_or_else(|| (strongest(ladder, first), Reason::StrongestAsked), |one| (*one, Reason::CheapestAdequate)),
    )
}

/// The safe model in place of the learned choice, where the bundle cannot judge the prompt. Never a weaker tier than the learned choice, and
/// nothing where the dial asked for an end of the scale or there is no choice.
fn safe<'a>(
    question: &Question<'_>,
    ladder: &[&'a Considered],
    (learned, reason): (&'a Considered, Reason),
) -> (&'a Considered, Reason) {
    let unfamiliar = question.scores.ok().and_then(|scores| scores.familiarity.unfamiliar);
    let Some(why) = unfamiliar.filter(|_| reason == Reason::CheapestAdequate) else { return (learned, reason) };
    let safe = match question.policy.unfamiliar {
        SafeChoice::DefaultTier => default_model(question, ladder, learned),
        SafeChoice::Strongest => strongest(ladder, learned),
        SafeChoice::Ignore => return (learned, reason),
    };
    let chosen = if safe.rank > learned.rank { safe } else { learned };
    if safe.rank >= learned.rank { (chosen, Reason::Unfamiliar(why)) } else { (learned, reason) }
}

fn strongest<'a>(ladder: &[&'a Considered], otherwise: &'a Considered) -> &'a Considered {
    let top = ladder.last().map_or(otherwise.rank, |last| last.rank);
    ladder.iter().find(|one| one.rank == top).copied().unwrap_or(otherwise)
}

fn default_model<'a>(question: &Question<'_>, ladder: &[&'a Considered], otherwise: &'a Considered) -> &'a Considered {
    let default = &question.policy.default_tier;
    let rank = question.candidates.iter().find(|one| one.tier == *default).map_or(0, |one| one.rank);
    let at_least = ladder.iter().find(|one| one.rank >= rank);
    at_least.copied().unwrap_or_else(|| strongest(ladder, otherwise))
}

/// Replaces the greedy choice by a uniform draw over the eligible models in a share `exploration` of the calls.
fn explore<'a>(
    question: &Question<'_>,
    ladder: &[&'a Considered],
    (greedy, reason): (&'a Considered, Reason),
) -> (&'a Considered, Reason, Probability) {
    let rate = question.policy.exploration.get();
    let uniform = rate / ladder.len().max(1) as f64;
    let draw = question.draw.get();
    let (chosen, reason) = if draw < rate {
        let at = (draw / rate * ladder.len() as f64) as usize;
        (ladder.get(at).copied().unwrap_or(greedy), Reason::Exploration)
    } else {
        (greedy, reason)
    };
    let greedy_share = if chosen.model == greedy.model { 1.0 - rate } else { 0.0 };
    (chosen, reason, Probability::clamped(greedy_share + uniform))
}

#[cfg(test)]
mod tests;
