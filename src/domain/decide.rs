//! The decision: the model that is worth most to the request, after its cost and after what leaving the session's model loses.

mod reason;

pub use reason::Reason;

use crate::domain::calibration::Dial;
use crate::domain::candidate::{Candidate, Exclusion, ExpectedCost};
use crate::domain::estimate::Estimate;
use crate::domain::ids::{BundleId, ModelName, PolicyName, TierId};
use crate::domain::money::Usage;
use crate::domain::policy::{Aim, Limits, Policy, SafeChoice};
use crate::domain::probability::Probability;
use crate::domain::prompt::Shape;
use crate::domain::scores::{LabelSpace, OutputTokens, ScoreFailure, Scores};
use crate::domain::unknown::{Origin, Stranger, believe};
use crate::domain::utility::{Leaves, Scale, Trade, Worth, best, cheapest};

/// The answer length assumed where no scores predict one.
pub(in crate::domain) const UNKNOWN_OUTPUT: OutputTokens = OutputTokens { p50: 300.0, p90: 1200.0 };

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The scores, or why there are none.
    pub scores: Result<&'a Scores, ScoreFailure>,
    /// What the bundle has labels for, and its dial.
    pub learned: Option<Learned<'a>>,
    /// Every configured model, weakest tier first.
    pub candidates: &'a [Candidate],
    /// Those of them that answer nowhere where the request can be sent, each once, and why.
    pub barred: &'a [(ModelName, Exclusion)],
    /// What the request needs.
    pub shape: &'a Shape,
    /// The operator's rules.
    pub policy: &'a Policy,
    /// The caller's wishes.
    pub limits: &'a Limits,
    /// What the request's session holds, where it has one.
    pub held: Option<Held<'a>>,
    /// The only randomness, uniform in 0..1. Used for exploration alone.
    pub draw: Probability,
}

/// The model that answered a session's earlier turns.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The model.
    pub model: &'a ModelName,
    /// The input tokens that its provider has probably kept from the turn before, and bills at the cached price.
    pub cached_tokens: u64,
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
    /// The least gain that justified the dearest model instead of the cheapest.
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
    /// Where the estimate comes from.
    pub origin: Origin,
    /// What the call should cost, where the price is known.
    pub cost: Option<ExpectedCost>,
    /// What choosing it is worth; `None` where it is excluded or nothing was weighed.
    pub worth: Option<Worth>,
    /// Why it could not be chosen, if so.
    pub excluded: Option<Exclusion>,
}

impl Considered {
    /// A model of which nothing is known but its place.
    #[must_use]
    pub const fn unweighed(model: ModelName, tier: TierId, rank: usize) -> Self {
        Self {
            model,
            tier,
            rank,
            success: None,
            known: false,
            origin: Origin::Tier,
            cost: None,
            worth: None,
            excluded: None,
        }
    }
}

impl Decision {
    /// Stands where nothing was scored and nothing weighed: there was one model to take.
    #[must_use]
    pub fn only(one: Considered, reason: Reason) -> Self {
        Self {
            model: one.model.clone(),
            tier: one.tier.clone(),
            policy: PolicyName::from("none"),
            aim: Aim::Quality(Probability::ONE),
            threshold: 0.0,
            considered: vec![one],
            reason,
            propensity: Probability::ONE,
            bundle: None,
        }
    }
}

/// No model may answer. Holds what was considered, so that the error can say why.
#[derive(Clone, Debug)]
pub struct NoCandidate {
    /// Every configured model with its exclusion.
    pub considered: Vec<Considered>,
    /// The field of the request that only other models can serve, where it is known.
    pub field: Option<String>,
}

impl NoCandidate {
    /// That these models, all of which are excluded, are all there are for a request.
    #[must_use]
    pub fn of(considered: Vec<Considered>, shape: &Shape) -> Self {
        let is_for_that = considered.iter().any(|one| one.excluded == Some(Exclusion::NeedsHosted));
        let field = shape.hosted.as_ref().filter(|_| is_for_that).map(|hosted| hosted.field.clone());
        Self { considered, field }
    }
}

/// Picks the eligible model with the highest utility: success probability, less the threshold times its relative cost, less the
/// margin where that leaves the session's model. [`crate::domain::utility`] defines the terms, and what holds where a price is missing.
///
/// Ties go to the cheaper model, then to the first in configured order. Quality 0 means the cheapest model and quality 1 the strongest
/// tier, whatever the scores say. Without scores, or without an estimate for any eligible model, the policy's default tier answers, or the
/// nearest stronger tier that is eligible, or the nearest weaker. A model of which nothing is known is not chosen while something is
/// known of another.
///
/// A session keeps its model while that is eligible and no stronger tier is worth leaving it; it never moves down. Only quality 0 looks past it.
///
/// # Errors
/// When every model is excluded.
pub fn decide(question: &Question<'_>) -> Result<Decision, NoCandidate> {
    let aim = question.limits.aim.unwrap_or(question.policy.aim);
    let mut considered: Vec<Considered> =
        question.candidates.iter().map(|candidate| consider(question, aim, candidate)).collect();
    let scale = Scale::of(&considered);
    let threshold = scale.threshold(aim, question.learned.map(|learned| learned.dial));
    let trade = Trade { threshold, margin: question.policy.switch_margin.get() };
    let can_stay = |held: &Held<'_>| considered.iter().any(|one| one.excluded.is_none() && one.model == *held.model);
    let kept = question.held.filter(can_stay);
    for one in considered.iter_mut().filter(|one| one.excluded.is_none()) {
        let stays = kept.is_none_or(|held| *held.model == one.model);
        one.worth = Some(scale.worth(one, trade, if stays { Leaves::Nothing } else { Leaves::Session }));
    }
    let ladder = ladder(&considered);
    let Some(free) = free(question, &ladder, threshold) else {
        return Err(NoCandidate::of(considered, question.shape));
    };
    let free = safe(question, &ladder, free);
    let held = question.held.filter(|_| free.1 != Reason::CheapestAsked);
    let own = held.and_then(|held| considered.iter().find(|one| one.model == *held.model));
    let (chosen, reason, propensity) = match own {
        // Nothing is drawn inside a session: given its model, the choice is certain.
        Some(own) => {
            let (chosen, reason) = in_session(own, &ladder, free);
            (chosen, reason, Probability::ONE)
        }
        None => explore(question, &ladder, free),
    };
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

fn consider(question: &Question<'_>, aim: Aim, candidate: &Candidate) -> Considered {
    let output = question.scores.map_or(UNKNOWN_OUTPUT, |scores| scores.output_tokens);
    let held = question.held.filter(|held| *held.model == candidate.model);
    let cached_tokens = held.map_or(0, |held| held.cached_tokens);
    let cost = expected_cost(candidate, question.shape, Tokens { output, cached: cached_tokens });
    let unpriced = || (matches!(aim, Aim::Value(_)) && cost.is_none()).then_some(Exclusion::NoPrice);
    let ruled_out = || question.limits.rule_out(candidate, cost);
    let barred = || question.barred.iter().find(|(model, _)| *model == candidate.model).map(|(_, why)| *why);
    let excluded = candidate.capability.lacks(question.shape).or_else(barred).or_else(ruled_out).or_else(unpriced);
    let (success, origin) = estimate(question, candidate);
    let unweighed = Considered::unweighed(candidate.model.clone(), candidate.tier.clone(), candidate.rank);
    Considered { success, known: origin == Origin::Own, origin, cost, excluded, ..unweighed }
}

/// The model's own estimate where the bundle knows it, else what its class, family and price say.
fn estimate(question: &Question<'_>, candidate: &Candidate) -> (Option<Estimate>, Origin) {
    let (Ok(scores), Some(learned)) = (question.scores, question.learned) else {
        return (None, Origin::Tier);
    };
    believed(learned.labels, candidate, &|position| scores.success.get(position).copied())
}

/// What is believed of a model's success, given the success at every position of the label space.
pub(in crate::domain) fn believed(
    labels: &LabelSpace,
    candidate: &Candidate,
    at: &dyn Fn(usize) -> Option<Estimate>,
) -> (Option<Estimate>, Origin) {
    match labels.model(&candidate.model).and_then(at) {
        Some(own) => (Some(own), Origin::Own),
        None => {
            let tier = labels.tier(&candidate.class);
            let Some(class) = tier.and_then(at) else { return (None, Origin::Tier) };
            let price = candidate.price.map(|price| price.output_per_mtok.as_usd());
            let stranger = Stranger { name: candidate.model.as_str(), tier: tier.unwrap_or(0), price };
            let (believed, origin) = believe(labels.market(), &stranger, class);
            (Some(believed), origin)
        }
    }
}

/// The tokens of a call that has not been made, but for its input.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// How long the answer may be.
    pub output: OutputTokens,
    /// The input tokens that the provider has probably cached.
    pub cached: u64,
}

/// The cost of a call with a median, a mean and a long answer, never longer than the caller allows. `None` without a price.
#[must_use]
pub fn expected_cost(candidate: &Candidate, shape: &Shape, tokens: Tokens) -> Option<ExpectedCost> {
    let price = candidate.price?;
    let limit = shape.max_output_tokens.map_or(f64::INFINITY, |most| most as f64);
    let cost = |output: f64, cached: u64| {
        let output_tokens = output.min(limit).clamp(0.0, 1e9).round() as u64;
        let usage =
            Usage { input_tokens: shape.input_tokens, cached_input_tokens: cached, output_tokens, ..Usage::default() };
        price.cost(&usage)
    };
    let mean = tokens.output.mean();
    Some(ExpectedCost {
        p50: cost(tokens.output.p50, tokens.cached),
        p90: cost(tokens.output.p90, tokens.cached),
        mean: cost(mean, tokens.cached),
        uncached: cost(mean, 0),
    })
}

/// The eligible models from the weakest tier to the strongest, each tier from cheap to dear. The sort is stable, so ties keep the
/// configured order.
fn ladder(considered: &[Considered]) -> Vec<&Considered> {
    let mut ladder: Vec<&Considered> = considered.iter().filter(|one| one.excluded.is_none()).collect();
    let cost = |one: &Considered| one.worth.map_or(f64::INFINITY, |worth| worth.relative_cost);
    ladder.sort_by(|a, b| a.rank.cmp(&b.rank).then(cost(a).total_cmp(&cost(b))));
    ladder
}

/// The choice as if there were no session but for the price of leaving its model.
fn free<'a>(question: &Question<'_>, ladder: &[&'a Considered], threshold: f64) -> Option<(&'a Considered, Reason)> {
    let first = *ladder.first()?;
    if ladder.len() == 1 {
        return Some((first, Reason::OnlyEligible));
    }
    if let Err(failure) = question.scores {
        return Some((default_model(question, ladder, first), Reason::ScoringFailed(failure)));
    }
    let models = || ladder.iter().copied();
    if threshold == f64::INFINITY {
        return Some((cheapest(models()).unwrap_or(first), Reason::CheapestAsked));
    }
    if threshold == f64::NEG_INFINITY {
        return Some((strongest(ladder, first), Reason::StrongestAsked));
    }
    Some(match best(models()) {
        Some(best) => (best, Reason::CheapestAdequate),
        None => (default_model(question, ladder, first), Reason::NoEstimate),
    })
}

/// The choice of a session that holds `own`: it moves up where the free choice is of a stronger tier, and otherwise stays. Where its own model
/// may not answer, the nearest that is not weaker stands in, if there is one.
fn in_session<'a>(
    own: &'a Considered,
    ladder: &[&'a Considered],
    (free, reason): (&'a Considered, Reason),
) -> (&'a Considered, Reason) {
    match (own.excluded, reason) {
        (Some(_), _) if free.rank < own.rank => {
            let not_weaker = || ladder.iter().copied().filter(|one| one.rank >= own.rank);
            (best(not_weaker()).or_else(|| not_weaker().next()).unwrap_or(free), reason)
        }
        (Some(_), _) | (None, Reason::OnlyEligible) => (free, reason),
        // A turn that cannot be judged is answered by a stronger default tier without moving the session.
        (None, Reason::ScoringFailed(_) | Reason::Unfamiliar(_) | Reason::NoEstimate) if free.rank > own.rank => {
            (free, reason)
        }
        (None, _) if free.rank > own.rank => (free, Reason::SessionRaised),
        (None, _) => (own, Reason::SessionKept),
    }
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
