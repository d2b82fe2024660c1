//! How calls ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ModelName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Usage};

/// How an attempt ended. Classified once; everything later reads the class and never the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The upstream answered.
    Success,
    /// The upstream asked to slow down (429, 529).
    Throttled,
    /// The upstream failed in a way that may pass: 408, 409, 425, 5xx, refused or reset connections, silence.
    Transient,
    /// The upstream refused the request itself: the caller's mistake (400, 422).
    Rejected,
    /// The upstream refused our credentials (401, 403), has no money of ours left (402), or not the address or the model (404, 405, 410): the
    /// operator's mistake, so another target may do.
    Unauthorised,
    /// The request is longer than the model's context, or larger than the upstream takes (413), so that only a larger one may do.
    TooLong,
    /// The answer arrived in good order and is no use: a refusal, nothing, or not the JSON that was asked for.
    Unfit,
    /// Nothing was sent: the target failed too often lately, or asked to be left alone.
    Skipped,
    /// The upstream answered with something that is not an answer.
    Garbage,
    /// The answer stopped after its first byte had reached the client.
    Truncated,
    /// The client went away.
    Cancelled,
}

impl Class {
    /// The word used in JSON, files and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Rejected => "rejected",
            Self::Unauthorised => "unauthorised",
            Self::TooLong => "too_long",
            Self::Unfit => "unfit",
            Self::Skipped => "skipped",
            Self::Garbage => "garbage",
            Self::Truncated => "truncated",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same target may succeed if asked again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Throttled | Self::Transient | Self::Garbage => true,
            Self::Success | Self::Rejected | Self::Unauthorised | Self::Truncated | Self::Cancelled => false,
            Self::TooLong | Self::Unfit | Self::Skipped => false,
        }
    }

    /// Whether another target may succeed where this one did not.
    #[must_use]
    pub const fn may_fall_back(self) -> bool {
        match self {
            Self::Throttled | Self::Transient | Self::Garbage | Self::Unauthorised => true,
            Self::TooLong | Self::Unfit | Self::Skipped => true,
            Self::Success | Self::Rejected | Self::Truncated | Self::Cancelled => false,
        }
    }
}

/// One try at one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Where it went.
    pub upstream: UpstreamId,
    /// The public name of the model that was asked.
    pub model: ModelName,
    /// The model's tier.
    pub tier: TierId,
    /// How it ended.
    pub class: Class,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long it took, to the response headers for a stream that went on and to the end otherwise.
    pub took: Duration,
    /// What went wrong, for people. Never holds a secret or an upstream's body.
    pub detail: String,
    /// What it cost although the caller was given another answer; `None` for the answer that was given.
    pub unused_cost: Option<NanoUsd>,
}

/// How a whole call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How the last attempt ended.
    pub class: Class,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
    /// The model that answered, if any.
    pub served_by: Option<ModelName>,
    /// Tokens, where the upstream said or we could count.
    pub usage: Option<Usage>,
    /// Whether the tokens are our estimate.
    pub usage_estimated: bool,
    /// What the call cost, where tokens and price are known: the answer that was given, and those that were not.
    pub cost: Option<NanoUsd>,
    /// From admission to the last byte.
    pub total: Duration,
    /// From admission to the first byte sent to the client.
    pub first_byte: Option<Duration>,
}
