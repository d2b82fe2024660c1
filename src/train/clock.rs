//! The time of day as manifests write it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::{Precision, rfc3339};

/// This moment as RFC 3339 in UTC, to the second.
#[must_use]
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    rfc3339(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)), Precision::Seconds)
}
