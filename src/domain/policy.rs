//! What the operator and the caller want.

use serde::{Deserialize, Serialize};

use crate::domain::candidate::{Candidate, Exclusion, ExpectedCost};
use crate::domain::ids::{PolicyName, TierId};
use crate::domain::money::NanoUsd;
use crate::domain::probability::Probability;
use crate::domain::recovery::Recovery;

/// A named set of decision rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The name, as in `auto:<name>`.
    pub name: PolicyName,
    /// Where the line between tiers lies.
    pub aim: Aim,
    /// The tier that answers when there are no scores.
    pub default_tier: TierId,
    /// Whether a weaker tier may answer when every stronger target failed.
    pub allow_weaker_fallback: bool,
    /// The share of decisions that pick an eligible model at random, so that feedback covers more than the favourite.
    pub exploration: Probability,
    /// When a second, slower look is taken.
    pub careful: CarefulMode,
    /// What a second look costs: a close decision gets one where more than this is expected to be at stake.
    pub careful_cost: NanoUsd,
    /// Whether later turns of a conversation keep its model.
    pub sessions: SessionMode,
    /// The gain in success probability without which a session keeps its model.
    pub switch_margin: Probability,
    /// Where a prompt goes that the bundle cannot judge.
    pub unfamiliar: SafeChoice,
    /// What happens when a model fails.
    pub recovery: Recovery,
}

impl Policy {
    /// A policy of its aim alone, as measurements use it: every request is decided by itself, once, from its scores; nothing is drawn.
    #[must_use]
    pub const fn plain(name: PolicyName, aim: Aim, default_tier: TierId) -> Self {
        Self {
            name,
            aim,
            default_tier,
            allow_weaker_fallback: false,
            exploration: Probability::ZERO,
            careful: CarefulMode::Never,
            careful_cost: NanoUsd::ZERO,
            sessions: SessionMode::Off,
            switch_margin: Probability::ZERO,
            unfamiliar: SafeChoice::Ignore,
            recovery: Recovery::NONE,
        }
    }
}

/// Whether later turns of a conversation keep its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionMode {
    /// They keep it, move up where that pays, and never down until the session was idle for long.
    Sticky,
    /// Every request is decided by itself.
    Off,
}

/// Where the line between tiers lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// The dial, 0 cheapest to 1 best, on calibrated quantiles.
    Quality(Probability),
    /// The least gain in success probability that justifies a stronger tier; lower means better quality. For experts.
    Threshold(f64),
    /// What a right answer is worth in money. A dearer model answers where it gains more than it costs.
    Value(NanoUsd),
}

/// The least that a right answer can be worth, in dollars. Who wants the cheapest model whatever it is worth asks for quality 0.
pub const MIN_SUCCESS_VALUE_USD: f64 = 1e-6;

/// The most that a right answer can be worth, in dollars. Who wants the strongest model whatever it costs asks for quality 1.
pub const MAX_SUCCESS_VALUE_USD: f64 = 1e6;

/// When the careful scorer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarefulMode {
    /// Never.
    Never,
    /// When the fast scorer's interval straddles the threshold and enough money is at stake.
    WhenClose,
    /// For every prompt.
    Always,
}

/// Where a prompt goes that the bundle cannot judge. Never to a weaker tier than the scores would choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SafeChoice {
    /// To the policy's default tier.
    #[default]
    DefaultTier,
    /// To the strongest eligible tier.
    Strongest,
    /// Wherever the scores say.
    Ignore,
}

/// What one caller asked of one decision. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Overrides the policy's aim.
    pub aim: Option<Aim>,
    /// The most the call may be expected to cost, at the 90th percentile of answer length.
    pub max_cost: Option<NanoUsd>,
    /// Model names, each exact or ending in `*`. Empty means every model.
    pub candidates: Vec<String>,
}

impl Limits {
    /// Why these limits rule a candidate out, if they do.
    #[must_use]
    pub fn rule_out(&self, candidate: &Candidate, cost: Option<ExpectedCost>) -> Option<Exclusion> {
        let named = self.candidates.is_empty()
            || self.candidates.iter().any(|pattern| matches(pattern, candidate.model.as_str()));
        if !named {
            return Some(Exclusion::NotInCandidates);
        }
        match (self.max_cost, cost) {
            (Some(most), Some(cost)) if cost.p90 > most => Some(Exclusion::AboveMaxCost),
            (Some(_), None) => Some(Exclusion::NoPrice),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }
}

/// Whether a pattern, exact or ending in `*`, names a model.
#[must_use]
pub fn matches(pattern: &str, model: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == model, |prefix| model.starts_with(prefix))
}
