//! What a provider's rate limits leave, as its response headers say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;
use tokio::time::Instant;

/// How long a provider is believed that does not say when its limits are whole again.
const USUAL_RESET: Duration = Duration::from_secs(60);
/// The longest that one is believed.
const LONGEST_RESET: Duration = Duration::from_secs(600);

/// Seconds and milliseconds since 1970 are larger than these; numbers below are so many seconds from now.
const A_MOMENT: f64 = 1e9;
const A_MOMENT_IN_MS: f64 = 1e12;

/// Limit, what is left of it, and when it is whole again: requests and tokens as OpenAI and those like it name them, as Anthropic does, as
/// Mistral does, by the minute, and as Together and OpenRouter do.
const NAMES: [[&str; 3]; 11] = [
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"],
    [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ],
    [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ],
    ["x-ratelimitbysize-limit-minute", "x-ratelimitbysize-remaining-minute", "ratelimitbysize-reset"],
    ["x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", "x-ratelimit-reset-req-minute"],
    ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"],
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
    ["x-tokenlimit-limit", "x-tokenlimit-remaining", "x-tokenlimit-reset"],
];

/// The share of a target's limits that is left, for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Headroom {
    share: f64,
    until: Instant,
}

impl Headroom {
    /// The scarcest of the limits that a response names; `None` where it names none.
    pub(crate) fn read(headers: &HeaderMap, now: Instant, clock: SystemTime) -> Option<Self> {
        // All names have this in them; many providers send none of them, and one look at the names they send is less than eleven searches.
        if !headers.keys().any(|name| name.as_str().contains("limit")) {
            return None;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|number| *number >= 0.0);
        let limits = NAMES.iter().filter_map(|[limit, remaining, reset]| {
            let left = number(remaining)?;
            let limit = number(limit).unwrap_or(left).max(1.0);
            let wait = text(reset).and_then(|text| time_until(text, clock)).unwrap_or(USUAL_RESET);
            Some(Self { share: (left / limit).min(1.0), until: now + wait.min(LONGEST_RESET) })
        });
        limits.min_by(|a, b| a.share.total_cmp(&b.share))
    }

    pub(crate) fn share_at(self, now: Instant) -> f64 {
        if now < self.until { self.share } else { 1.0 }
    }
}

/// A time as `6m0s`, `1.5s`, `20ms`, seconds, or a moment such as `2026-11-21T16:00:00Z`, or in seconds or milliseconds since 1970.
pub(crate) fn time_until(text: &str, clock: SystemTime) -> Option<Duration> {
    if let Some(moment) = moment(text).or_else(|| epoch(text)) {
        return Some(moment.duration_since(clock).unwrap_or(Duration::ZERO));
    }
    duration(text)
}

/// A moment as seconds or milliseconds since 1970.
fn epoch(text: &str) -> Option<SystemTime> {
    let number = text.parse::<f64>().ok().filter(|number| *number >= A_MOMENT)?;
    let seconds = if number >= A_MOMENT_IN_MS { number / 1e3 } else { number };
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// A duration as Go prints it, or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(end)?;
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "" | "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// A moment of RFC 3339 in UTC.
fn moment(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 by the usual count of years that begin in March.
    let (shifted, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5 + day - 1;
    let days = (era * 146_097 + day_of_era - 719_468) as f64;
    let seconds = days * 86_400.0 + hours * 3600.0 + minutes * 60.0 + seconds;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_scarcest_limit_counts_until_it_is_whole_again() {
        let now = Instant::now();
        let headers = headers(&[
            ("x-ratelimit-limit-requests", "100"),
            ("x-ratelimit-remaining-requests", "90"),
            ("x-ratelimit-limit-tokens", "40000"),
            ("x-ratelimit-remaining-tokens", "10000"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);

        let headroom = Headroom::read(&headers, now, UNIX_EPOCH).unwrap();

        assert_eq!(headroom.share_at(now + Duration::from_secs(359)), 0.25);
        assert_eq!(headroom.share_at(now + Duration::from_secs(360)), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_anthropics_names_and_moments() {
        let now = Instant::now();
        let clock = httpdate::parse_http_date("Sat, 21 Nov 2026 16:00:00 GMT").unwrap();
        let headers = headers(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-11-21T16:00:30Z"),
        ]);

        let headroom = Headroom::read(&headers, now, clock).unwrap();

        assert_eq!(headroom.share_at(now + Duration::from_secs(29)), 0.0);
        assert_eq!(headroom.share_at(now + Duration::from_secs(30)), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_mistrals_togethers_and_openrouters_names() {
        let now = Instant::now();
        let clock = UNIX_EPOCH + Duration::from_secs(1_741_305_570);
        for (limit, remaining, reset, seconds) in [
            ("x-ratelimitbysize-limit-minute", "x-ratelimitbysize-remaining-minute", None, 60),
            ("x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", None, 60),
            ("x-ratelimit-limit", "x-ratelimit-remaining", Some("1741305600000"), 30),
            ("x-ratelimit-limit", "x-ratelimit-remaining", Some("1741305600"), 30),
            ("x-ratelimit-limit", "x-ratelimit-remaining", Some("30"), 30),
        ] {
            let given =
                [(limit, "200"), (remaining, "50")].into_iter().chain(reset.map(|at| ("x-ratelimit-reset", at)));
            let headers = headers(&given.collect::<Vec<_>>());

            let headroom = Headroom::read(&headers, now, clock).unwrap();

            assert_eq!(headroom.share_at(now + Duration::from_secs(seconds - 1)), 0.25, "{headers:?}");
            assert_eq!(headroom.share_at(now + Duration::from_secs(seconds)), 1.0, "{headers:?}");
        }
    }

    #[test]
    fn says_nothing_where_the_provider_says_nothing() {
        let nothing = headers(&[("x-ratelimit-remaining-requests", "many")]);

        assert_eq!(Headroom::read(&nothing, Instant::now(), UNIX_EPOCH), None);
    }

    #[test]
    fn reads_durations_and_nothing_else() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(
            (ms("6m0s"), ms("1.5s"), ms("20ms"), ms("2"), ms("1h0m1s")),
            (Some(360_000), Some(1500), Some(20), Some(2000), Some(3_601_000))
        );
        for text in ["", "s", "soon", "1d", "1..2s", "9e99s", "2026-13-01T00:00:00Z", "-1s"] {
            assert_eq!(time_until(text, UNIX_EPOCH), None, "{text}");
        }
    }
}
