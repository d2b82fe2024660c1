//! `[deferred]`: requests that wait for an answer.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::reader::Section;

/// `[deferred]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// Most entries.
    pub max_entries: NonZeroUsize,
    /// Most bytes of requests and answers together.
    pub max_bytes: usize,
    /// How long an entry is kept, answered or not.
    pub keep_for: Duration,
    /// How many are asked at once.
    pub at_once: NonZeroUsize,
    /// The pause before a request is asked again for the first time.
    pub pause: Duration,
    /// The longest pause; not less than the first.
    pub longest_pause: Duration,
}

pub(super) fn read(mut section: Section<'_>) -> Option<Deferred> {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    let max_entries = section.count("max_entries", 1..=100_000);
    let max_bytes = section.bytes("max_bytes", 64 << 10..=1 << 36);
    let keep_for = section.duration("keep_for", SECOND..=7 * 24 * HOUR);
    let at_once = section.count("at_once", 1..=64);
    let pause = section.duration("pause", Duration::from_millis(100)..=HOUR);
    let longest_pause = section.duration("longest_pause", Duration::from_millis(100)..=HOUR);
    if let (Some(pause), Some(longest)) = (pause, longest_pause)
        && pause > longest
    {
        section.problem("longest_pause", "is shorter than pause", "lengthen it or shorten pause");
    }
    section.finish();
    Some(Deferred {
        max_entries: NonZeroUsize::new(max_entries?)?,
        max_bytes: usize::try_from(max_bytes?).ok()?,
        keep_for: keep_for?,
        at_once: NonZeroUsize::new(at_once?)?,
        pause: pause?,
        longest_pause: longest_pause?,
    })
}
