//! What a policy does when a model fails, answers late, or answers with something that is no use.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::check::Escalation;
use crate::domain::ids::ModelName;

/// What happens where the first model does not do. The default does nothing beyond retries and the usual chain of targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// The models asked after the first one, instead of its tier and the stronger ones. Empty for those.
    pub chain: Vec<ModelName>,
    /// The answers that count as failures.
    pub fall_back_on: UnfitSet,
    /// What the caller reads when nothing answered.
    pub degraded: Degraded,
    /// Whether somebody waits for the answer, where the caller does not say.
    pub latency: Option<Latency>,
    /// The longest wait for the first token of a stream while another target is left.
    pub first_token: Option<Duration>,
    /// After so long without an answer a second target is asked too.
    pub hedge_after: Option<Duration>,
    /// What an answer must be like, so that no stronger model is asked. `None` where every answer will do.
    pub escalation: Option<Arc<Escalation>>,
}

impl Recovery {
    /// Nothing beyond retries and the usual chain.
    pub const NONE: Self = Self {
        chain: Vec::new(),
        fall_back_on: UnfitSet::EMPTY,
        degraded: Degraded { cached: LastKept::Left, queued: None, text: None },
        latency: None,
        first_token: None,
        hedge_after: None,
        escalation: None,
    };
}

/// What stands in for an answer when nothing answered: the first of these that there is, else an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Degraded {
    /// Whether the last answer to the same request is given, though it is too old otherwise.
    pub cached: LastKept,
    /// Where the request is put into the queue of deferred requests, while there is room: the words that say so, with
    /// [`Degraded::REFERENCE`] in place of the reference.
    pub queued: Option<Arc<str>>,
    /// The operator's words.
    pub text: Option<Arc<str>>,
}

impl Degraded {
    /// Stands in the words of a queued request for its reference.
    pub const REFERENCE: &str = "{reference}";
    /// What the caller reads of a queued request where the operator has no words.
    pub const QUEUED: &str = "No model could answer just now. Your request is queued and will be asked again; fetch the answer later with \
                              GET /v1/deferred/{reference}.";
}

/// Whether an answer that is too old is given when there is no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastKept {
    /// It is not.
    #[default]
    Left,
    /// It is.
    Given,
}

/// Whether somebody waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Somebody does: a late first token is a failure while another target is left.
    Interactive,
    /// Nobody does: no target is given up or doubled for being slow, and a pause that an upstream asks for is worth waiting for.
    Batch,
}

impl Latency {
    /// Each of them, by the word used in the configuration and in requests.
    pub const WORDS: [(&'static str, Self); 2] = [("interactive", Self::Interactive), ("batch", Self::Batch)];
}

/// Why an answer that arrived in good order is no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The model declined.
    Refusal,
    /// The provider's filter stopped it.
    ContentFilter,
    /// It says nothing and calls nothing.
    Empty,
    /// JSON was asked for, and it is none or breaks the schema.
    InvalidJson,
}

impl Unfit {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Refusal, Self::ContentFilter, Self::Empty, Self::InvalidJson];

    /// The word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::ContentFilter => "content_filter",
            Self::Empty => "empty",
            Self::InvalidJson => "invalid_json",
        }
    }

    /// What the model did, for the list of attempts.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Refusal => "declined to answer",
            Self::ContentFilter => "was stopped by a content filter",
            Self::Empty => "gave an empty answer",
            Self::InvalidJson => "gave an answer that is not the JSON that was asked for",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Refusal => 1,
            Self::ContentFilter => 2,
            Self::Empty => 4,
            Self::InvalidJson => 8,
        }
    }
}

/// Some of [`Unfit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnfitSet(u8);

impl UnfitSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// Whether it holds this one.
    #[must_use]
    pub const fn has(self, one: Unfit) -> bool {
        self.0 & one.bit() != 0
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Unfit> for UnfitSet {
    fn from_iter<I: IntoIterator<Item = Unfit>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |bits, one| bits | one.bit()))
    }
}
