//! What went wrong with an attempt, and what that means. The only place that reads a status of an upstream.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::chat::native::Untranslatable;
use crate::chat::sse::SseError;
use crate::chat::usage::NotAnAnswer;
use crate::domain::outcome::Class;
use crate::domain::resilience::Kind;
use crate::domain::timeouts::Throughput;
use crate::upstream::said::{Clue, Said};

/// What went wrong with an attempt. The messages are for people and hold neither a body nor an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// No connection: refused, unknown host, TLS, or too slow.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No response headers in time.
    #[error("no response headers within {0:?}")]
    SilentHeaders(Duration),
    /// Headers, but no first token in time.
    #[error("no first token within {0:?}")]
    SilentStart(Duration),
    /// Nothing came in the middle of a body.
    #[error("silent for {0:?} in the middle of the answer")]
    Idle(Duration),
    /// An answer came, and too little of it.
    #[error("sent less than {} bytes of answer a second for {:?}", .0.bytes_per_second, .0.window)]
    Trickle(Throughput),
    /// The answer took longer than an answer may take.
    #[error("no complete answer within {0:?}")]
    Slow(Duration),
    /// The deadline of the call came first.
    #[error("the deadline of the call passed")]
    Deadline,
    /// A status that is no success.
    #[error("answered with status {status}{}", remedy(*status, said.clue))]
    Status {
        /// The status.
        status: u16,
        /// What the upstream said beyond its status.
        said: Said,
    },
    /// A success that is not an answer.
    #[error("answered with {0}")]
    NotAnAnswer(NotAnAnswer),
    /// A success that is not a stream where one was asked for.
    #[error("answered with `{0}` where a stream was asked for")]
    NotAStream(&'static str),
    /// An answer that is larger than it may be.
    #[error("answered with more than {limit} bytes")]
    TooLarge {
        /// The most bytes of a whole answer.
        limit: usize,
    },
    /// A stream that cannot be split.
    #[error(transparent)]
    Stream(#[from] SseError),
    /// The stream ended before the answer did.
    #[error("the stream ended before the answer did")]
    Ended,
    /// The request cannot be put into the provider's words, so that nothing was sent.
    #[error("was not asked: {0}")]
    Untranslatable(#[from] Untranslatable),
    /// An error came where an answer was to come, under a status of success.
    #[error("reported an error under a status of success")]
    Reported {
        /// The status that it gave, if it gave one.
        status: Option<u16>,
        /// When to come back.
        hint: Option<Duration>,
    },
}

impl From<NotAnAnswer> for Trouble {
    /// A failure that comes as a success counts as what it says it is.
    fn from(problem: NotAnAnswer) -> Self {
        match problem {
            NotAnAnswer::Failed { status } => Self::reported(status, Said::default()),
            NotAnAnswer::Empty | NotAnAnswer::NotJson | NotAnAnswer::NoEmbeddings | NotAnAnswer::NoChoices => {
                Self::NotAnAnswer(problem)
            }
        }
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Ask the same target again after a pause of our own choice.
    Backoff,
    /// Ask the same target again after the time that it named, if that is worth waiting for.
    Wait(Duration),
    /// Another target may succeed, this one will not.
    MoveOn,
    /// Only a target with a larger context may succeed.
    Larger,
    /// No target will do better.
    GiveUp,
}

/// Whose failure it was, for the breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody's that can be known.
    Nobody,
    /// The caller's: the upstream did its work.
    Caller,
    /// The model's at this upstream.
    Target,
    /// The upstream's, or its key's, whatever the model.
    Lane,
}

impl Trouble {
    /// What an upstream reports under a status of success, be it in place of an answer or inside a stream. It counts as the status that it
    /// gives, or that its words amount to.
    #[must_use]
    pub fn reported(status: Option<u16>, said: Said) -> Self {
        let status = status.or(said.status);
        match said.clue {
            // A limit of a whole minute is none of the request's own.
            Some(Clue::NeverFits) => Self::Status { status: status.unwrap_or(429), said },
            Some(_) => Self::Status { status: status.unwrap_or(400), said },
            None => Self::Reported { status, hint: said.hint },
        }
    }

    /// Whose failure it was. A request to come back later that names a time is none: the target rests until then.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Deadline | Self::Untranslatable(_) => Blame::Nobody,
            Self::Connect(_) => Blame::Lane,
            Self::Broken(_) | Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => Blame::Target,
            Self::Trickle(_) | Self::Slow(_) => Blame::Target,
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } | Self::Stream(_) | Self::Ended => {
                Blame::Target
            }
            Self::Status { .. } | Self::Reported { .. } => match (self.class(), self.status(), self.hint()) {
                (Class::Rejected | Class::TooLong, _, _) => Blame::Caller,
                (Class::Unauthorised, Some(401 | 402), _) => Blame::Lane,
                // Whoever wrote the request may have written the words too: messages of 400 echo values.
                (Class::Unauthorised, Some(status), _) if status_class(status) == Class::Rejected => Blame::Nobody,
                (Class::Unauthorised, _, _) if self.clue() == Some(Clue::NoMoney) => Blame::Lane,
                (_, _, _) if self.clue() == Some(Clue::NeverFits) => Blame::Caller,
                (Class::Throttled, _, Some(_)) => Blame::Nobody,
                (_, _, _) => Blame::Target,
            },
        }
    }

    /// How long the target asks to be left alone. A request that can never fit says nothing of others.
    #[must_use]
    pub fn rest(&self) -> Option<Duration> {
        let is_asked = self.class() == Class::Throttled && self.clue() != Some(Clue::NeverFits);
        self.hint().filter(|_| is_asked)
    }

    /// Whether the upstream's words are of use to the caller: it can mend what they are about.
    #[must_use]
    pub fn is_for_client(&self) -> bool {
        matches!(self.class(), Class::Rejected | Class::TooLong)
    }

    /// Whether the upstream's words may tell of the operator's account there, which is none of the caller's business.
    #[must_use]
    pub fn is_of_our_account(&self) -> bool {
        matches!(self.class(), Class::Throttled | Class::Unauthorised)
    }

    /// What a retry would be for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Broken(_) | Self::Ended => Kind::Broken,
            Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => Kind::Timeout,
            Self::Trickle(_) | Self::Slow(_) | Self::Deadline => Kind::Timeout,
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } | Self::Stream(_) => Kind::Garbage,
            Self::Untranslatable(_) => Kind::Final,
            Self::Status { .. } | Self::Reported { .. } => match (self.class(), self.status()) {
                (Class::Throttled, _) => Kind::Throttled,
                (Class::Transient, Some(408 | 409 | 425)) => Kind::TryAgain,
                (Class::Transient, _) => Kind::ServerError,
                (Class::Garbage, _) => Kind::Garbage,
                (_, _) => Kind::Final,
            },
        }
    }

    /// What the upstream's words were about, where that is known.
    #[must_use]
    pub const fn clue(&self) -> Option<Clue> {
        match self {
            Self::Status { said, .. } => said.clue,
            Self::Connect(_) | Self::Broken(_) | Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => None,
            Self::Trickle(_) | Self::Slow(_) | Self::Deadline => None,
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } => None,
            Self::Stream(_) | Self::Ended | Self::Reported { .. } | Self::Untranslatable(_) => None,
        }
    }

    /// How the attempt ended.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Connect(_)
            | Self::Broken(_)
            | Self::SilentHeaders(_)
            | Self::SilentStart(_)
            | Self::Idle(_)
            | Self::Trickle(_)
            | Self::Slow(_)
            | Self::Deadline
            | Self::Ended
            | Self::Reported { status: None, .. } => Class::Transient,
            Self::Status { status, said } => said_class(*status, said.clue),
            Self::Reported { status: Some(status), .. } => status_class(*status),
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } | Self::Stream(_) => Class::Garbage,
            Self::Untranslatable(_) => Class::Rejected,
        }
    }

    /// What to do now. What cost a whole time limit, or would be as large again, is not asked of the same target twice.
    #[must_use]
    pub fn advice(&self) -> Advice {
        // What one provider has no words for another may have.
        if let Self::Untranslatable(Untranslatable::Unsupported { .. } | Untranslatable::Elsewhere { .. }) = self {
            return Advice::MoveOn;
        }
        // Whose thought it is, nobody but its account knows.
        if self.clue() == Some(Clue::ForeignThought) {
            return Advice::MoveOn;
        }
        let class = self.class();
        let slow_or_large = match self {
            Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => true,
            Self::Trickle(_) | Self::Slow(_) | Self::Deadline => true,
            Self::TooLarge { .. } | Self::Stream(SseError::EventTooLarge { .. }) => true,
            Self::Connect(_) | Self::Broken(_) | Self::Ended | Self::Reported { .. } => false,
            Self::Status { .. } | Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::Untranslatable(_) => false,
            Self::Stream(SseError::Foreign) => false,
        };
        if class == Class::TooLong {
            // How large a body may be has nothing to do with the context.
            return if self.clue() == Some(Clue::ContextTooLong) { Advice::Larger } else { Advice::MoveOn };
        }
        let is_hopeless = slow_or_large || self.clue() == Some(Clue::NeverFits);
        match (class.is_retryable() && !is_hopeless, class.may_fall_back(), self.hint()) {
            (true, _, Some(hint)) => Advice::Wait(hint),
            (true, _, None) => Advice::Backoff,
            (false, true, _) => Advice::MoveOn,
            (false, false, _) => Advice::GiveUp,
        }
    }

    /// An error for the client in OpenAI's shape, where the request cannot be put into the provider's words.
    #[must_use]
    pub fn words(&self) -> Option<Bytes> {
        if let Self::Untranslatable(problem) = self { Some(problem.to_words()) } else { None }
    }

    /// The status, where there was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Reported { status, .. } => *status,
            Self::Connect(_) | Self::Broken(_) | Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => None,
            Self::Trickle(_) | Self::Slow(_) | Self::Deadline => None,
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } => None,
            Self::Stream(_) | Self::Ended | Self::Untranslatable(_) => None,
        }
    }

    /// When the upstream asked to come back.
    #[must_use]
    pub const fn hint(&self) -> Option<Duration> {
        match self {
            Self::Status { said, .. } => said.hint,
            Self::Reported { hint, .. } => *hint,
            Self::Connect(_) | Self::Broken(_) | Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => None,
            Self::Trickle(_) | Self::Slow(_) | Self::Deadline => None,
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } => None,
            Self::Stream(_) | Self::Ended | Self::Untranslatable(_) => None,
        }
    }

    /// The word for an error event in the middle of a stream.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Idle(_) | Self::SilentHeaders(_) | Self::SilentStart(_) => "upstream_idle",
            Self::Trickle(_) => "upstream_slow",
            Self::Slow(_) | Self::Deadline => "deadline_exceeded",
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } | Self::Stream(_) => "upstream_garbage",
            Self::Connect(_) | Self::Broken(_) | Self::Ended => "upstream_cut",
            Self::Status { .. } | Self::Reported { .. } | Self::Untranslatable(_) => "upstream_error",
        }
    }
}

/// What a status means, once it is known what it is about.
const fn said_class(status: u16, clue: Option<Clue>) -> Class {
    match (status, clue) {
        // Some servers report their own limit as a failure of theirs.
        (400 | 413 | 422 | 500, Some(Clue::ContextTooLong)) => Class::TooLong,
        (400..500, Some(Clue::NoMoney)) | (400 | 404, Some(Clue::NoModel)) => Class::Unauthorised,
        // A filter stopped the request, not our key.
        (400 | 403, Some(Clue::ContentFilter)) => Class::Rejected,
        (_, Some(_) | None) => status_class(status),
    }
}

/// What a status means.
#[must_use]
pub const fn status_class(status: u16) -> Class {
    match status {
        200..300 => Class::Success,
        // No money left (402) is mended by the operator, like a wrong key, and so are an address and a model that are not there.
        401..=405 | 410 => Class::Unauthorised,
        408 | 409 | 425 => Class::Transient,
        // How much is too much differs from one provider to the next.
        413 => Class::TooLong,
        429 | 529 => Class::Throttled,
        400..500 => Class::Rejected,
        500..600 => Class::Transient,
        // Redirects are never followed, and nothing else is HTTP.
        _ => Class::Garbage,
    }
}

/// What an operator can do about a status, where that is clear.
const fn remedy(status: u16, clue: Option<Clue>) -> &'static str {
    match (said_class(status, clue), clue) {
        (Class::Unauthorised, Some(Clue::NoModel)) => "; check the `upstream_model`, which this upstream does not have",
        (Class::Unauthorised, _) if matches!(status, 404 | 405 | 410) => {
            "; check the `base_url` and the `upstream_model`, one of which is not there"
        }
        (Class::Unauthorised, _) => "; check the key and the balance of this upstream",
        (Class::TooLong, Some(Clue::ContextTooLong)) => "; the request is longer than this model's context",
        (Class::TooLong, _) => "; the request is larger than this upstream takes",
        (Class::Throttled, Some(Clue::NeverFits)) => {
            "; the request is larger than this upstream's limit for a whole minute"
        }
        (Class::Rejected, Some(Clue::ContentFilter)) => "; its content filter stopped the request",
        (Class::Rejected, Some(Clue::ForeignThought)) => "; an encrypted thought in the request is another account's",
        (Class::Success | Class::Throttled | Class::Transient | Class::Rejected, _) => "",
        (Class::Garbage | Class::Truncated | Class::Cancelled | Class::Unfit | Class::Skipped, _) => "",
    }
}

#[cfg(test)]
mod tests;
