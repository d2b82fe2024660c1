//! When an upstream asks to come back: in its headers, in the fields of an error, or in its words. Pure.
//!
//! However it is said, an hour at most is believed.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use crate::upstream::headroom::{duration, time_until};

/// The longest hint that is believed.
pub(crate) const LONGEST_HINT: Duration = Duration::from_secs(3600);
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Fields of an error, in small letters and with underscores, and how many seconds one of what they count has.
const FIELDS: [(&str, f64); 3] = [("retry_after_ms", 0.001), ("retry_after", 1.0), ("retry_after_seconds", 1.0)];

/// What stands before a time in a message, in small letters.
const BEFORE: [&str; 3] = ["try again in ", "retry after ", "retry in "];

/// The headers' hint: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date. At most an hour; zero for a date that has passed;
/// `None` for anything that is not a time.
pub(crate) fn in_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let in_ms = text(&RETRY_AFTER_MS).and_then(|text| number(text, 0.001));
    in_ms.or_else(|| text(&RETRY_AFTER).and_then(|text| moment(text, (1.0, now))))
}

/// The hint of an error's body: its `message` in small letters, and the objects that may hold fields, `error` among them.
pub(crate) fn in_body(message: &str, (objects, now): (&[&Value], SystemTime)) -> Option<Duration> {
    let in_one = |object: &&Value| in_fields(object, now).or_else(|| retry_info(object)).or_else(|| reset(object, now));
    let in_fields = objects.iter().find_map(in_one);
    in_fields.or_else(|| spoken(message)).map(|hint| hint.min(LONGEST_HINT))
}

fn number(text: &str, unit: f64) -> Option<Duration> {
    seconds(text.parse().ok()?, unit)
}

fn seconds(number: f64, unit: f64) -> Option<Duration> {
    let seconds = Some(number * unit).filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    Some(Duration::from_secs_f64(seconds.min(LONGEST_HINT.as_secs_f64())))
}

/// A number of a unit, or an HTTP date.
fn moment(text: &str, (unit, now): (f64, SystemTime)) -> Option<Duration> {
    let date = || {
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST_HINT))
    };
    number(text, unit).or_else(date)
}

/// `retry_after` and its like, as fields or as headers that a go-between quotes.
fn in_fields(object: &Value, now: SystemTime) -> Option<Duration> {
    FIELDS.iter().find_map(|(name, unit)| match field(object, name)? {
        Value::Number(number) => seconds(number.as_f64()?, *unit),
        Value::String(text) => moment(text.trim(), (*unit, now)).or_else(|| duration(text)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// When a limit is whole again of which nothing is left, as OpenRouter quotes its own headers.
fn reset(object: &Value, now: SystemTime) -> Option<Duration> {
    let text = |name| field(object, name).and_then(Value::as_str).map(str::trim);
    let is_used_up = text("x_ratelimit_remaining")?.parse() == Ok(0_u64);
    text("x_ratelimit_reset").filter(|_| is_used_up).and_then(|reset| time_until(reset, now))
}

/// The field of this name, which may be written in other letters and with hyphens.
fn field<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let is_it = |given: &str| given.len() == name.len() && given.to_lowercase().replace('-', "_") == *name;
    object.as_object()?.iter().find(|(given, _)| is_it(given)).map(|(_, value)| value)
}

/// The delay of Google's `RetryInfo`.
fn retry_info(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    details.iter().find_map(|detail| duration(detail.get("retryDelay")?.as_str()?))
}

/// `Please try again in 1.5s.`, as OpenAI and Groq write it, and `Please retry after 7 seconds.`, as Azure does.
fn spoken(message: &str) -> Option<Duration> {
    BEFORE.iter().find_map(|before| time(message.split_once(before)?.1))
}

/// The time at the beginning of a text: `1h2m3s`, `1.5s`, `7 seconds`, `1 minute 30 seconds`. A number alone is none.
fn time(text: &str) -> Option<Duration> {
    let mut words = text.split_whitespace().map(|word| word.trim_end_matches(['.', ',', ';', '!', ')']));
    let mut sum = None;
    while let Some(word) = words.next() {
        let part = if word.ends_with(|c: char| c.is_ascii_alphabetic()) {
            duration(word)
        } else {
            let of = |unit: &str| word.parse().ok().and_then(|number| seconds(number, unit_seconds(unit)?));
            words.next().and_then(of)
        };
        let Some(part) = part else { break };
        sum = Some(sum.unwrap_or(Duration::ZERO).saturating_add(part));
    }
    sum
}

fn unit_seconds(word: &str) -> Option<f64> {
    match word {
        "ms" | "millisecond" | "milliseconds" => Some(0.001),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn clock() -> SystemTime {
        httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
    }

    fn header(name: &'static str, value: &'static str) -> Option<Duration> {
        in_headers(&HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]), clock())
    }

    fn given(object: &Value) -> Option<u128> {
        in_body("", (&[object], clock())).map(|hint| hint.as_millis())
    }

    fn said(message: &str) -> Option<u128> {
        in_body(message, (&[], clock())).map(|hint| hint.as_millis())
    }

    #[test]
    fn reads_hints_in_every_spelling() {
        assert_eq!(header("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(header("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(header("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(header("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(header("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn caps_long_hints_and_ignores_nonsense() {
        assert_eq!(header("retry-after", "1e300"), Some(LONGEST_HINT));
        assert_eq!(header("retry-after", "Sat, 06 Nov 2094 08:00:00 GMT"), Some(LONGEST_HINT));
        for value in ["", "-1", "NaN", "inf", "soon"] {
            assert_eq!(header("retry-after", value), None, "{value}");
        }
    }

    #[test]
    fn prefers_milliseconds() {
        let headers =
            HeaderMap::from_iter([(RETRY_AFTER, "9".parse().unwrap()), (RETRY_AFTER_MS, "20".parse().unwrap())]);

        assert_eq!(in_headers(&headers, SystemTime::UNIX_EPOCH), Some(Duration::from_millis(20)));
        assert_eq!(given(&json!({ "retry_after": 9, "retry_after_ms": 20 })), Some(20));
    }

    #[test]
    fn reads_fields_of_errors_and_headers_that_they_quote() {
        assert_eq!(given(&json!({ "retry_after": 7 })), Some(7_000));
        assert_eq!(given(&json!({ "retry_after": 0.25 })), Some(250));
        assert_eq!(given(&json!({ "retry_after": "7" })), Some(7_000));
        assert_eq!(given(&json!({ "retry_after": "2m5s" })), Some(125_000));
        assert_eq!(given(&json!({ "retry_after_seconds": 30 })), Some(30_000));
        assert_eq!(given(&json!({ "Retry-After": "Sun, 06 Nov 1994 08:50:07 GMT" })), Some(30_000));
        assert_eq!(given(&json!({ "retry_after": 1e12 })), Some(3_600_000), "no longer than a header is believed");
        for value in [json!(-1), json!("soon"), json!(null), json!(true), json!([7]), json!({ "s": 7 })] {
            assert_eq!(given(&json!({ "retry_after": value })), None, "{value}");
        }
    }

    #[test]
    fn a_limit_that_is_used_up_is_waited_for_until_it_is_whole_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_741_305_570);
        let quoted = |left: &str, reset: &str| {
            let headers = json!({ "X-RateLimit-Remaining": left, "X-RateLimit-Reset": reset });
            in_body("", (&[&headers], now)).map(|hint| hint.as_secs())
        };

        assert_eq!(quoted("0", "1741305600000"), Some(30));
        assert_eq!(quoted("0", "30"), Some(30));
        assert_eq!(quoted("0", "soon"), None);
        assert_eq!(quoted("3", "1741305600000"), None, "something else was the limit");
    }

    #[test]
    fn reads_times_that_are_said() {
        for (message, expected) in [
            ("rate limit reached. please try again in 1.5s. visit", Some(1_500)),
            ("please try again in 20ms.", Some(20)),
            ("please try again in 1h2m3s.", Some(3_600_000)),
            ("please try again in 6m0s.", Some(360_000)),
            ("try again in 5 minutes", Some(300_000)),
            ("try again in 1 minute, 30 seconds, or buy more", Some(90_000)),
            ("please retry after 7 seconds. to increase your limit", Some(7_000)),
            ("you exceeded your quota. please retry in 34.5s.", Some(34_500)),
            ("please try again in a while.", None),
            ("try again in 5", None),
            ("try again in 5 tokens", None),
            ("try again in 1e400 seconds", None),
            ("retry after the reset", None),
        ] {
            assert_eq!(said(message), expected, "{message}");
        }
    }
}
