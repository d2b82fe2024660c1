//! How long to wait for an upstream.

use std::time::Duration;

use crate::config::reader::Section;
use crate::config::units;
use crate::domain::timeouts::{Throughput, Timeouts};

/// Reads `[upstreams.NAME.timeouts]`.
pub(super) fn timeouts(mut section: Section<'_>, longest: Duration) -> Option<Timeouts> {
    const SHORTEST: Duration = Duration::from_millis(1);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let mut read = |key, default: Duration, most: Duration| {
        if section.has(key) { section.duration(key, SHORTEST..=most) } else { Some(default) }
    };
    let total = read("total", longest, DAY);
    let at_most_total = |seconds| Duration::from_secs(seconds).min(total.unwrap_or(DAY));
    let headers = read("headers", at_most_total(120), DAY);
    let first_token = read("first_token", headers.unwrap_or(DAY), DAY);
    let idle = read("idle", at_most_total(60), DAY);
    let connect = read("connect", Duration::from_secs(5).min(headers.unwrap_or(DAY)), Duration::from_secs(300));
    let throughput = min_throughput(&mut section);
    let timeouts = Timeouts {
        connect: connect?,
        headers: headers?,
        first_token: first_token?,
        idle: idle?,
        throughput,
        total: total?,
    };
    let in_order = [
        ("connect", timeouts.connect, "headers", timeouts.headers),
        ("headers", timeouts.headers, "total", timeouts.total),
        ("first_token", timeouts.first_token, "total", timeouts.total),
        ("idle", timeouts.idle, "total", timeouts.total),
        ("total", timeouts.total, "server.request_timeout", longest),
    ];
    for (shorter, short, longer, long) in in_order.into_iter().filter(|(_, short, _, long)| short > long) {
        let (short, long) = (units::print_duration(short), units::print_duration(long));
        section.problem(
            shorter,
            format!("{short} is longer than {longer}, which is {long}"),
            format!("shorten {shorter} or lengthen {longer}"),
        );
    }
    section.finish();
    Some(timeouts)
}

/// Zero, like its absence, is for none.
fn min_throughput(section: &mut Section<'_>) -> Option<Throughput> {
    const WINDOW: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
    let least = section.optional("min_throughput", |section, key| section.integer(key, 0..=1_000_000));
    let window = section.optional("min_throughput_window", |section, key| section.duration(key, WINDOW));
    let bytes_per_second = least.and_then(|least| u32::try_from(least).ok()).filter(|least| *least > 0)?;
    Some(Throughput { bytes_per_second, window: window.unwrap_or(Duration::from_secs(30)) })
}
