//! What went wrong with an attempt, and what that means. The only place that reads a status of an upstream.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use thiserror::Error;

use crate::chat::native::Untranslatable;
use crate::chat::sse::SseError;
use crate::chat::usage::NotAnAnswer;
use crate::domain::outcome::Class;

/// The longest hint that is believed.
const LONGEST_HINT: Duration = Duration::from_secs(3600);
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

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
    /// The answer took longer than an answer may take.
    #[error("no complete answer within {0:?}")]
    Slow(Duration),
    /// The deadline of the call came first.
    #[error("the deadline of the call passed")]
    Deadline,
    /// A status that is no success.
    #[error("answered with status {status}{}", remedy(*status))]
    Status {
        /// The status.
        status: u16,
        /// When to come back, if the upstream said so.
        hint: Option<Duration>,
    },
    /// A success that is not an answer.
    #[error("answered with {0}")]
    NotAnAnswer(#[from] NotAnAnswer),
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
    /// The stream reported an error, with its status if it gave one.
    #[error("reported an error inside its stream")]
    Reported(Option<u16>),
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
    /// No target will do better.
    GiveUp,
}

impl Trouble {
    /// How the attempt ended.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Connect(_)
            | Self::Broken(_)
            | Self::SilentHeaders(_)
            | Self::SilentStart(_)
            | Self::Idle(_)
            | Self::Slow(_)
            | Self::Deadline
            | Self::Ended
            | Self::Reported(None) => Class::Transient,
            Self::Status { status, .. } | Self::Reported(Some(status)) => status_class(*status),
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } | Self::Stream(_) => Class::Garbage,
            Self::Untranslatable(_) => Class::Rejected,
        }
    }

    /// What to do now. What cost a whole time limit, or would be as large again, is not asked of the same target twice.
    #[must_use]
    pub fn advice(&self) -> Advice {
        // What one provider has no words for another may have.
        if matches!(self, Self::Untranslatable(Untranslatable::Unsupported { .. })) {
            return Advice::MoveOn;
        }
        let class = self.class();
        let slow_or_large = match self {
            Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) | Self::Slow(_) | Self::Deadline => true,
            Self::TooLarge { .. } | Self::Stream(SseError::EventTooLarge { .. }) => true,
            Self::Connect(_) | Self::Broken(_) | Self::Ended | Self::Reported(_) => false,
            Self::Status { .. } | Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::Untranslatable(_) => false,
            Self::Stream(SseError::Foreign) => false,
        };
        match (class.is_retryable() && !slow_or_large, class.may_fall_back(), self.hint()) {
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
            Self::Reported(status) => *status,
            Self::Connect(_) | Self::Broken(_) | Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => None,
            Self::Slow(_) | Self::Deadline | Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } => None,
            Self::Stream(_) | Self::Ended | Self::Untranslatable(_) => None,
        }
    }

    /// When the upstream asked to come back.
    #[must_use]
    pub const fn hint(&self) -> Option<Duration> {
        match self {
            Self::Status { hint, .. } => *hint,
            Self::Connect(_) | Self::Broken(_) | Self::SilentHeaders(_) | Self::SilentStart(_) | Self::Idle(_) => None,
            Self::Slow(_) | Self::Deadline | Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } => None,
            Self::Stream(_) | Self::Ended | Self::Reported(_) | Self::Untranslatable(_) => None,
        }
    }

    /// The word for an error event in the middle of a stream.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Idle(_) | Self::SilentHeaders(_) | Self::SilentStart(_) => "upstream_idle",
            Self::Slow(_) | Self::Deadline => "deadline_exceeded",
            Self::NotAnAnswer(_) | Self::NotAStream(_) | Self::TooLarge { .. } | Self::Stream(_) => "upstream_garbage",
            Self::Connect(_) | Self::Broken(_) | Self::Ended => "upstream_cut",
            Self::Status { .. } | Self::Reported(_) | Self::Untranslatable(_) => "upstream_error",
        }
    }
}

/// What a status means.
#[must_use]
pub const fn status_class(status: u16) -> Class {
    match status {
        200..300 => Class::Success,
        // No money left (402) is mended by the operator, like a wrong key.
        401..=403 => Class::Unauthorised,
        408 | 409 | 425 => Class::Transient,
        429 | 529 => Class::Throttled,
        400..500 => Class::Rejected,
        500..600 => Class::Transient,
        // Redirects are never followed, and nothing else is HTTP.
        _ => Class::Garbage,
    }
}

/// What an operator can do about a status, where that is clear.
const fn remedy(status: u16) -> &'static str {
    match status_class(status) {
        Class::Unauthorised => "; check the key and the balance of this upstream",
        Class::Success | Class::Throttled | Class::Transient | Class::Rejected => "",
        Class::Garbage | Class::Truncated | Class::Cancelled => "",
    }
}

/// When the upstream asked to come back: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date. At most an hour; zero for a date
/// that has passed; `None` for anything that is not a time.
#[must_use]
pub fn retry_hint(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str, unit: f64| {
        let seconds = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)? * unit;
        Some(Duration::from_secs_f64(seconds.min(LONGEST_HINT.as_secs_f64())))
    };
    let date = |text: &str| {
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST_HINT))
    };
    let in_ms = text(&RETRY_AFTER_MS).and_then(|text| number(text, 0.001));
    in_ms.or_else(|| text(&RETRY_AFTER).and_then(|text| number(text, 1.0).or_else(|| date(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(name: &'static str, value: &'static str) -> Option<Duration> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        retry_hint(&HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]), now)
    }

    #[test]
    fn reads_hints_in_every_spelling() {
        assert_eq!(hint("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(hint("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(hint("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(hint("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(hint("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn caps_long_hints_and_ignores_nonsense() {
        assert_eq!(hint("retry-after", "1e300"), Some(LONGEST_HINT));
        assert_eq!(hint("retry-after", "Sat, 06 Nov 2094 08:00:00 GMT"), Some(LONGEST_HINT));
        for value in ["", "-1", "NaN", "inf", "soon"] {
            assert_eq!(hint("retry-after", value), None, "{value}");
        }
    }

    #[test]
    fn prefers_milliseconds() {
        let headers =
            HeaderMap::from_iter([(RETRY_AFTER, "9".parse().unwrap()), (RETRY_AFTER_MS, "20".parse().unwrap())]);

        assert_eq!(retry_hint(&headers, SystemTime::UNIX_EPOCH), Some(Duration::from_millis(20)));
    }

    #[test]
    fn every_status_has_its_class_and_advice() {
        let cases = [
            (400, Class::Rejected, Advice::GiveUp),
            (401, Class::Unauthorised, Advice::MoveOn),
            (402, Class::Unauthorised, Advice::MoveOn),
            (403, Class::Unauthorised, Advice::MoveOn),
            (404, Class::Rejected, Advice::GiveUp),
            (408, Class::Transient, Advice::Backoff),
            (413, Class::Rejected, Advice::GiveUp),
            (422, Class::Rejected, Advice::GiveUp),
            (429, Class::Throttled, Advice::Backoff),
            (500, Class::Transient, Advice::Backoff),
            (503, Class::Transient, Advice::Backoff),
            (529, Class::Throttled, Advice::Backoff),
            (302, Class::Garbage, Advice::Backoff),
        ];
        for (status, class, advice) in cases {
            let trouble = Trouble::Status { status, hint: None };

            assert_eq!((trouble.class(), trouble.advice()), (class, advice), "{status}");
        }
    }

    #[test]
    fn a_hint_is_the_advice_only_where_asking_again_helps() {
        let hint = Some(Duration::from_secs(1));

        assert_eq!(Trouble::Status { status: 429, hint }.advice(), Advice::Wait(Duration::from_secs(1)));
        assert_eq!(Trouble::Status { status: 400, hint }.advice(), Advice::GiveUp);
    }

    #[test]
    fn silence_and_size_are_not_asked_for_twice() {
        let second = Duration::from_secs(1);
        for trouble in [Trouble::SilentHeaders(second), Trouble::SilentStart(second), Trouble::TooLarge { limit: 1 }] {
            assert_eq!(trouble.advice(), Advice::MoveOn, "{trouble}");
        }
        for trouble in [Trouble::Connect(String::new()), Trouble::Ended, Trouble::NotAnAnswer(NotAnAnswer::Empty)] {
            assert_eq!(trouble.advice(), Advice::Backoff, "{trouble}");
        }
    }
}
