//! What the operator asks of calls that fail: how often, how long, and where else. Plain values.

use std::fmt;
use std::time::Duration;

/// Bounds of the attempts of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Most attempts at one target, the first included. At least one is made.
    pub per_target: u32,
    /// Most attempts of a call over all its targets. Each target is asked once even where there are more of them.
    pub total: u32,
    /// How long after the first attempt the same target may still be asked again.
    pub within: Duration,
    /// What the same target is asked again for.
    pub on: RetryOn,
    /// The pause before the first retry; it doubles with each further one at the same target.
    pub base: Duration,
    /// The longest pause of our own choice.
    pub cap: Duration,
    /// The longest pause that an upstream may ask for while another target is left.
    pub patience: Duration,
    /// The same when no other target is left.
    pub last_patience: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            per_target: 2,
            total: 6,
            within: Duration::from_secs(60),
            on: RetryOn::USUAL,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(2),
            patience: Duration::from_secs(2),
            last_patience: Duration::from_secs(30),
        }
    }
}

/// What the same target is asked again for. Silence is not among it: the client would wait as long once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RetryOn(u8);

impl RetryOn {
    /// Everything that may be listed.
    pub const USUAL: Self = Self(0b11_1111);

    /// The kinds that may be listed, by their word.
    pub const WORDS: [(&'static str, Kind); 6] = [
        ("connect", Kind::Connect),
        ("broken", Kind::Broken),
        ("throttled", Kind::Throttled),
        ("server_error", Kind::ServerError),
        ("try_again", Kind::TryAgain),
        ("garbage", Kind::Garbage),
    ];

    /// Whether it holds a kind.
    #[must_use]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    const fn bit(kind: Kind) -> u8 {
        match kind {
            Kind::Connect => 1,
            Kind::Broken => 2,
            Kind::Throttled => 4,
            Kind::ServerError => 8,
            Kind::TryAgain => 16,
            Kind::Garbage => 32,
            Kind::Timeout | Kind::Final => 0,
        }
    }
}

impl FromIterator<Kind> for RetryOn {
    fn from_iter<I: IntoIterator<Item = Kind>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |bits, kind| bits | Self::bit(kind)))
    }
}

impl fmt::Debug for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Self::WORDS.iter().filter(|(_, kind)| self.has(*kind)).map(|(word, _)| word)).finish()
    }
}

/// What a retry may be for, as the operator lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection.
    Connect,
    /// The connection broke, or the answer ended early.
    Broken,
    /// Silence.
    Timeout,
    /// Asked to slow down: 429, 529.
    Throttled,
    /// 5xx, and errors reported without a status.
    ServerError,
    /// 408, 409 and 425: the upstream asks for another try.
    TryAgain,
    /// A success that is no answer.
    Garbage,
    /// Anything that the same target will say again.
    Final,
}

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Over how long calls are counted.
    pub window: Duration,
    /// Fewest calls in the window that say anything.
    pub least_calls: u32,
    /// The share of failed calls in the window, 0 to 1, at which it opens.
    pub failures: f64,
    /// So many failures in a row open it too, however far apart they are.
    pub in_a_row: u32,
    /// How long it stays open at first. It doubles with every probe that fails.
    pub cooling: Duration,
    /// The longest that it stays open.
    pub longest_cooling: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            least_calls: 10,
            failures: 0.5,
            in_a_row: 5,
            cooling: Duration::from_secs(10),
            longest_cooling: Duration::from_secs(120),
        }
    }
}

/// How load is spread over the targets of one model. In each way a target counts less the less its rate limits leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In the proportion of the weights.
    #[default]
    Weighted,
    /// To the one that answers the fewest calls.
    LeastBusy,
    /// To the fastest, by the mean of what was measured and what is waiting there.
    Latency,
    /// To the cheapest.
    Cost,
}

impl Balance {
    /// The word used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::LeastBusy => "least_busy",
            Self::Latency => "latency",
            Self::Cost => "cost",
        }
    }
}

/// How much extra traffic is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The share of calls, 0 to 1, that may be made once more.
    pub share: f64,
    /// How many may be made at once after a quiet time. As many come back within a minute of quiet.
    pub burst: f64,
}
