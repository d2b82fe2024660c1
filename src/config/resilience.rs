//! What the operator asks of calls that fail, as plain data.

use std::time::Duration;

use crate::domain::ids::UpstreamId;
use crate::domain::money::Price;

/// `[retry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Most attempts of a call over all its targets.
    pub attempts: u32,
    /// Most attempts at one target.
    pub per_target: u32,
    /// The pause before the first retry.
    pub base_delay: Duration,
    /// The longest pause of our own choice.
    pub max_delay: Duration,
    /// The longest pause that an upstream may ask for while another target is left.
    pub patience: Duration,
    /// The same when no other target is left.
    pub last_patience: Duration,
    /// How long after the first attempt the same target may still be asked again.
    pub within: Duration,
    /// What the same target is asked again for.
    pub on: Vec<&'static str>,
    /// The share of calls that may be asked again.
    pub budget_share: f64,
    /// How many may be asked again at once after a quiet time.
    pub budget_burst: u32,
}

/// `[breaker]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// Over how long calls are counted.
    pub window: Duration,
    /// Fewest calls in the window that say anything.
    pub least_calls: u32,
    /// The share of failed ones at which it opens.
    pub failures: f64,
    /// So many failures in a row open it too.
    pub in_a_row: u32,
    /// How long it stays open at first.
    pub cooling: Duration,
    /// The longest that it stays open. At least `cooling`.
    pub longest_cooling: Duration,
}

/// `[hedge]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// The share of calls for which a second target may be asked.
    pub share: f64,
    /// How many at once after a quiet time.
    pub burst: u32,
}

/// One place where a model answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// One of the configured upstreams.
    pub upstream: UpstreamId,
    /// What that upstream calls the model.
    pub upstream_model: String,
    /// How much of the load it should have, next to the others.
    pub weight: f64,
    /// What it charges, where that is known.
    pub price: Option<Price>,
}

/// How load is spread over the places of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By weight.
    #[default]
    Weighted,
    /// To the one with the fewest calls in flight.
    LeastBusy,
    /// To the fastest.
    Latency,
    /// To the cheapest.
    Cost,
}
