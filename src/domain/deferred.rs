//! Requests that wait for an answer: how one stands, and how all of them do, in numbers.

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
    TooLarge,
    /// The server stops, and nothing would be asked again.
    #[error("the server is shutting down; try again elsewhere")]
    Stopping,
}
