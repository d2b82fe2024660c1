//! When a second, slower look at the prompt is worth what it costs.
//!
//! A look can only pay where it may change the choice. The chosen model leads its rival by a difference of utilities; what is not known of
//! it is the two intervals together. Where the difference lies inside them, the intervals straddle the threshold, and the normal tail beyond
//! zero is the chance that certainty would change the choice. That chance times the money between the two models is what is at stake.

use crate::domain::decide::{Considered, Decision, Reason};
use crate::domain::money::NanoUsd;
use crate::domain::prompt::Shape;
use crate::domain::scores::OutputTokens;

/// From this many input tokens a request is a dear one.
pub const LONG_INPUT: u64 = 8_000;

/// From this many expected output tokens a request is a dear one.
pub const LONG_OUTPUT: f64 = 1_500.0;

/// How far beyond its interval a dear request still counts as close.
const NEARLY: f64 = 2.0;

/// How many standard deviations the end of a 90 % interval is away.
const DEVIATIONS: f64 = 1.645;

/// How much a request is about to cost, apart from whose prices are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Neither its input nor its answer is long.
    Usual,
    /// Its input has [`LONG_INPUT`] tokens, or its answer is expected to have [`LONG_OUTPUT`], or more.
    Dear,
}

impl Size {
    /// The size of a request whose answer is expected to be this long.
    #[must_use]
    pub fn of(shape: &Shape, output: OutputTokens) -> Self {
        let limit = shape.max_output_tokens.map_or(f64::INFINITY, |most| most as f64);
        let is_dear = shape.input_tokens >= LONG_INPUT || output.mean().min(limit) >= LONG_OUTPUT;
        if is_dear { Self::Dear } else { Self::Usual }
    }
}

/// What a better look at the prompt could change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stake {
    /// How far the chosen model leads its rival, in lengths of the interval of their difference: below 1 the interval straddles zero.
    pub lead: f64,
    /// The chance that certainty about both would change the choice, 0 to 1/2.
    pub chance: f64,
    /// The difference of their expected costs; `None` where a price is unknown.
    pub between: Option<NanoUsd>,
}

impl Stake {
    /// What is at stake in a decision. `None` where a better look could change nothing: the scores did not decide, or there is no rival.
    #[must_use]
    pub fn of(decision: &Decision) -> Option<Self> {
        let eligible = || decision.considered.iter().filter(|one| one.excluded.is_none());
        let chosen = eligible().find(|one| one.model == decision.model)?;
        let could_win = |one: &&Considered| match decision.reason {
            Reason::CheapestAdequate | Reason::SessionRaised => one.model != chosen.model,
            // A session moves up or not at all.
            Reason::SessionKept => one.rank > chosen.rank,
            Reason::StrongestAsked
            | Reason::CheapestAsked
            | Reason::OnlyEligible
            | Reason::ScoringFailed(_)
            | Reason::Unfamiliar(_)
            | Reason::NoEstimate
            | Reason::Exploration
            | Reason::Named
            | Reason::Cached => false,
        };
        let utility = |one: &Considered| one.worth.and_then(|worth| worth.utility);
        let weighed = |one| utility(one).map(|utility| (one, utility));
        let rival = eligible().filter(could_win).filter_map(weighed).max_by(|a, b| a.1.total_cmp(&b.1));
        let (rival, rivals) = rival?;
        // A session may keep a model whose utility is not the highest: what the rival must beat is the highest.
        let lead = eligible().filter_map(utility).fold(rivals, f64::max) - rivals;
        let reach = chosen.success?.reach().hypot(rival.success?.reach());
        // Where both are certain, only a tie is close.
        let lead = if reach > 0.0 || lead == 0.0 { lead / reach.max(f64::MIN_POSITIVE) } else { f64::INFINITY };
        Some(Self { lead, chance: tail(lead * DEVIATIONS), between: between(chosen, rival) })
    }

    /// Whether a look that costs this much is worth it: the choice is close, or nearly close where the request is dear, and the money
    /// expected to be at stake is more than the look costs. Where prices are unknown, closeness alone decides.
    #[must_use]
    pub fn is_worth(&self, look: NanoUsd, size: Size) -> bool {
        let close = match size {
            Size::Usual => 1.0,
            Size::Dear => NEARLY,
        };
        let pays = |between: NanoUsd| between.as_usd() * self.chance > look.as_usd();
        self.lead <= close && self.between.is_none_or(pays)
    }
}

fn between(a: &Considered, b: &Considered) -> Option<NanoUsd> {
    Some(NanoUsd(a.cost?.mean.0.abs_diff(b.cost?.mean.0)))
}

/// The share of a normal distribution that lies beyond so many deviations, within a hundredth: the logistic curve of the same steepness.
fn tail(deviations: f64) -> f64 {
    crate::domain::probability::sigmoid(-1.702 * deviations)
}

#[cfg(test)]
mod tests;
