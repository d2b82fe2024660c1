//! Requests that wait for an answer: how many may, how one stands, and how all of them do, in numbers.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Bounds of the queue of deferred requests. Plain values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeferredSettings {
    /// Most entries, however they stand.
    pub max_entries: NonZeroUsize,
    /// Most bytes of requests and answers together.
    pub max_bytes: usize,
    /// The most of both that one caller may have, as a share: above 0 and at most 1.
    pub caller_share: f64,
    /// How long an entry is kept, answered or not. Longer than the first pause, or nothing would ever be asked.
    pub keep_for: Duration,
    /// How many are asked at once.
    pub at_once: NonZeroUsize,
    /// How often one is asked at most.
    pub max_tries: NonZeroU32,
    /// The pause before a request is asked again for the first time. It doubles with each further time, up to the longest.
    pub pause: Duration,
    /// The longest pause; not less than the first.
    pub longest_pause: Duration,
}

impl DeferredSettings {
    /// The same among so many callers: where they are too few for the share, all may have the same, and a lone one has nobody to crowd out.
    #[must_use]
    pub fn among(self, callers: usize) -> Self {
        Self { caller_share: self.caller_share.max(1.0 / callers.max(1) as f64), ..self }
    }

    /// The pause before a request is asked that was asked so often.
    #[must_use]
    pub fn pause_after(&self, tries: u32) -> Duration {
        let doubled = 2_u32.checked_pow(tries).and_then(|factor| self.pause.checked_mul(factor));
        doubled.map_or(self.longest_pause, |pause| pause.min(self.longest_pause))
    }
}

/// How a deferred request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeferredStatus {
    /// It waits for its next turn.
    Queued,
    /// It is being asked.
    Running,
    /// Its answer is there to be fetched.
    Done,
    /// It cannot be answered: asking again would not help.
    Failed,
    /// Its time is over, and what it held is gone.
    Expired,
}

impl DeferredStatus {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Expired];

    /// The word used in JSON and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// What becomes of deferred requests, each counted when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeferredEvent {
    /// A request was put into the queue.
    Queued,
    /// There was no room for one.
    Refused,
    /// One was asked again, whatever came of it.
    Tried,
    /// One was answered.
    Done,
    /// One cannot be answered.
    Failed,
    /// The time of one was over before it was answered.
    Expired,
    /// Its caller took one back before it was answered.
    Deleted,
    /// The client left before it had the reference.
    Abandoned,
    /// The server stopped before one was answered.
    Dropped,
}

impl DeferredEvent {
    /// Each of them.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Refused,
        Self::Tried,
        Self::Done,
        Self::Failed,
        Self::Expired,
        Self::Deleted,
        Self::Abandoned,
        Self::Dropped,
    ];

    /// The word used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Refused => "refused",
            Self::Tried => "tried",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Abandoned => "abandoned",
            Self::Dropped => "dropped",
        }
    }
}

/// What the queue holds now, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeferredTotals {
    /// Entries by status, in the order of [`DeferredStatus::ALL`].
    pub entries: [usize; 5],
    /// Bytes of requests and answers.
    pub bytes: usize,
    /// Events, in the order of [`DeferredEvent::ALL`].
    pub events: [u64; 9],
}

impl DeferredTotals {
    /// One entry more stands so.
    pub fn add(&mut self, status: DeferredStatus) {
        let all = DeferredStatus::ALL.into_iter().zip(&mut self.entries);
        all.filter(|(one, _)| *one == status).for_each(|(_, count)| *count += 1);
    }

    /// One entry less stands so.
    pub fn remove(&mut self, status: DeferredStatus) {
        let all = DeferredStatus::ALL.into_iter().zip(&mut self.entries);
        all.filter(|(one, _)| *one == status).for_each(|(_, count)| *count = count.saturating_sub(1));
    }

    /// Something happened.
    pub fn count(&mut self, event: DeferredEvent) {
        let all = DeferredEvent::ALL.into_iter().zip(&mut self.events);
        all.filter(|(one, _)| *one == event).for_each(|(_, count)| *count += 1);
    }

    /// How many entries stand so.
    #[must_use]
    pub fn standing(&self, status: DeferredStatus) -> usize {
        let all = DeferredStatus::ALL.into_iter().zip(self.entries);
        all.filter(|(one, _)| *one == status).map(|(_, count)| count).sum()
    }

    /// How often something happened.
    #[must_use]
    pub fn happened(&self, event: DeferredEvent) -> u64 {
        let all = DeferredEvent::ALL.into_iter().zip(self.events);
        all.filter(|(one, _)| *one == event).map(|(_, count)| count).sum()
    }
}

/// Why a request was not put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDeferred {
    /// It holds as many as it may.
    #[error("the queue of deferred requests is full; try again later, or raise `deferred.max_entries`")]
    Full,
    /// There are too few bytes left for it.
    #[error("the queue of deferred requests has no room for its bytes; try again later, or raise `deferred.max_bytes`")]
    NoRoom,
    /// It would not fit if the queue were empty.
    #[error("the request is larger than the whole queue of deferred requests; raise `deferred.max_bytes`")]
    TooLarge,
    /// Its caller has as much in it as one caller may.
    #[error(
        "this caller has as much in the queue of deferred requests as one may; delete answers that were fetched, try again later, \
         or raise `deferred.caller_share`"
    )]
    CallerFull,
    /// The server stops, and nothing would be asked again.
    #[error("the server is shutting down; try again elsewhere")]
    Stopping,
}
