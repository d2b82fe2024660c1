//! What a cache holds and has done, in numbers, and what the decision cache had for one request.

use crate::domain::money::NanoUsd;

/// What a cache holds now, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheTotals {
    /// Answers, or scores, that it holds.
    pub entries: usize,
    /// Their bytes, with what finds them.
    pub bytes: usize,
    /// Entries that left because there was no room.
    pub evicted: u64,
    /// Entries that left because they were too old.
    pub expired: u64,
    /// Scores that were found and are true no more: another bundle serves.
    pub outdated: u64,
    /// Entries that served the same request, or the same ask, again.
    pub hits: u64,
    /// Scores that served the same ask again after what the router has learned since was worked in.
    pub refreshed: u64,
    /// Answers given to a similar request.
    pub similar: u64,
    /// Requests that found none.
    pub misses: u64,
    /// Requests that took no part.
    pub bypassed: u64,
    /// What the answers given again had cost.
    pub saved: NanoUsd,
}

/// What the decision cache had for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// The scores that decided.
    Hit,
    /// What those were made of: the router has learned since, and that was worked in.
    Refreshed,
    /// Not those: they were made anew.
    Miss,
    /// Nothing, as the caller wished.
    Bypass,
}

impl Recall {
    /// The word used in JSON, headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Refreshed => "refreshed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}
