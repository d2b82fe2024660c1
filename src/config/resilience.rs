//! What the operator asks of calls that fail, as plain data.

use crate::domain::ids::UpstreamId;
use crate::domain::money::Price;
use crate::domain::resilience::{Allowance, RetrySettings};

/// `[retry]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// The bounds of one call.
    pub settings: RetrySettings,
    /// The bounds of all calls together.
    pub budget: Allowance,
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
