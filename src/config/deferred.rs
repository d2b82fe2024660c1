//! `[deferred]`: requests that wait for an answer.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use crate::config::reader::Section;
use crate::domain::deferred::DeferredSettings;

pub(super) fn read(mut section: Section<'_>) -> Option<DeferredSettings> {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    let max_entries = section.count("max_entries", 1..=100_000);
    let max_bytes = section.bytes("max_bytes", 64 << 10..=1 << 36);
    let caller_share = section.number("caller_share", 0.01..=1.0);
    let keep_for = section.duration("keep_for", SECOND..=7 * 24 * HOUR);
    let at_once = section.count("at_once", 1..=64);
    let max_tries = section.integer("max_tries", 1..=1_000);
    let pause = section.duration("pause", Duration::from_millis(100)..=HOUR);
    let longest_pause = section.duration("longest_pause", Duration::from_millis(100)..=HOUR);
    if let (Some(pause), Some(longest)) = (pause, longest_pause)
        && pause > longest
    {
        section.problem("longest_pause", "is shorter than pause", "lengthen it or shorten pause");
    }
    if let (Some(pause), Some(keep_for)) = (pause, keep_for)
        && keep_for <= pause
    {
        let problem = "is not longer than pause, so that every request would expire before it is asked again";
        section.problem("keep_for", problem, "lengthen it or shorten pause");
    }
    section.finish();
    Some(DeferredSettings {
        max_entries: NonZeroUsize::new(max_entries?)?,
        max_bytes: usize::try_from(max_bytes?).ok()?,
        caller_share: caller_share?,
        keep_for: keep_for?,
        at_once: NonZeroUsize::new(at_once?)?,
        max_tries: NonZeroU32::new(u32::try_from(max_tries?).ok()?)?,
        pause: pause?,
        longest_pause: longest_pause?,
    })
}
