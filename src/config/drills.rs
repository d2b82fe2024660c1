//! `[drills]`: tiny calls that see whether each target works.

use std::time::Duration;

use crate::config::reader::Section;
use crate::domain::money::NanoUsd;

/// `[drills]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drills {
    /// Whether they are made by themselves.
    pub enabled: bool,
    /// How long after one another.
    pub every: Duration,
    /// By which share of that a pause may be longer or shorter.
    pub jitter: f64,
    /// The longest that one may take.
    pub timeout: Duration,
    /// The most that all of them may cost in 24 hours.
    pub max_per_day: NanoUsd,
}

pub(super) fn read(mut section: Section<'_>) -> Option<Drills> {
    const SECOND: Duration = Duration::from_secs(1);
    let enabled = section.flag("enabled");
    let every = section.duration("every", SECOND..=7 * 24 * 3600 * SECOND);
    let jitter = section.number("jitter", 0.0..=1.0);
    let timeout = section.duration("timeout", Duration::from_millis(1)..=600 * SECOND);
    let max = section.number("max_usd_per_day", 0.0..=1000.0);
    section.finish();
    Some(Drills {
        enabled: enabled?,
        every: every?,
        jitter: jitter?,
        timeout: timeout?,
        max_per_day: NanoUsd::from_usd(max?)?,
    })
}
