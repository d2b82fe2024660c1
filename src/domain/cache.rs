//! What the response cache holds and has done, in numbers.

use crate::domain::money::NanoUsd;

/// What the response cache holds now, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheTotals {
    /// Answers that it holds.
    pub entries: usize,
    /// Their bytes, with what finds them.
    pub bytes: usize,
    /// Answers that left because there was no room.
    pub evicted: u64,
    /// Answers that left because they were too old.
    pub expired: u64,
    /// Answers given again to the same request.
    pub hits: u64,
    /// Answers given to a similar request.
    pub similar: u64,
    /// Requests that found none.
    pub misses: u64,
    /// Requests that took no part.
    pub bypassed: u64,
    /// What the answers given again had cost.
    pub saved: NanoUsd,
}
