//! What a caller may ask of the router: the `trimtab` object of a body, or `x-trimtab-*` headers.

use serde::Deserialize;
use serde_json::Value;

use crate::chat::error::ChatError;
use crate::domain::ids::PolicyName;
use crate::domain::money::NanoUsd;
use crate::domain::policy::{Aim, Limits, MAX_SUCCESS_VALUE_USD, MIN_SUCCESS_VALUE_USD};
use crate::domain::probability::Probability;
use crate::domain::recovery::Latency;

/// The most candidates, tags, and characters of a session or a tag that are accepted.
const MAX_LIST: usize = 256;
const MAX_TEXT: usize = 256;

const KNOWN: [&str; 11] = [
    "policy",
    "quality",
    "threshold",
    "success_value_usd",
    "max_cost_usd",
    "candidates",
    "session",
    "tags",
    "explain",
    "cache",
    "latency",
];

/// Options of one request. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterOptions {
    /// The policy to use, instead of the one the model name says.
    pub policy: Option<PolicyName>,
    /// Quality, threshold or the value of a success; ceiling and candidates.
    pub limits: Limits,
    /// What binds calls into a session.
    pub session: Option<String>,
    /// Labels for the records.
    pub tags: Vec<String>,
    /// Whether the whole explanation should be in the answer.
    pub explain: bool,
    /// How the response cache is to be used, where not as usual.
    pub cache: Option<CacheControl>,
    /// Whether somebody waits for the answer.
    pub latency: Option<Latency>,
}

/// What a caller wants of the response cache, where it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheControl {
    /// Neither an answer from it, nor this answer in it.
    Bypass,
    /// A new answer, which then replaces the kept one.
    Refresh,
    /// An answer from it or none.
    OnlyIfCached,
}

impl CacheControl {
    const WORDS: [(&str, Self); 3] =
        [("bypass", Self::Bypass), ("refresh", Self::Refresh), ("only-if-cached", Self::OnlyIfCached)];

    /// Reads HTTP's own `cache-control`: `no-store`, `only-if-cached` or `no-cache`, of several the first of these. What else it may say is
    /// not meant for a server like this.
    #[must_use]
    pub fn from_http(value: &str) -> Option<Self> {
        let says = |word: &str| value.split(',').any(|given| given.trim().eq_ignore_ascii_case(word));
        let words = [("no-store", Self::Bypass), ("only-if-cached", Self::OnlyIfCached), ("no-cache", Self::Refresh)];
        words.into_iter().find(|(word, _)| says(word)).map(|(_, control)| control)
    }
}

impl RouterOptions {
    /// Reads the `trimtab` object.
    ///
    /// # Errors
    /// Unknown options, and values of the wrong kind or out of range, each by its path.
    pub fn from_json(value: &Value) -> Result<Self, ChatError> {
        let Value::Object(entries) = value else {
            return Err(wrong("", "an object"));
        };
        let mut options = Self::default();
        for (name, value) in entries {
            if !value.is_null() {
                options.set(name, value)?;
            }
        }
        Ok(options)
    }

    /// Reads header values: names without the `x-trimtab-` prefix, lists separated by commas.
    ///
    /// # Errors
    /// As [`RouterOptions::from_json`]. Names that are no option are left alone, since proxies add headers of their own.
    pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, ChatError> {
        let mut options = Self::default();
        for (name, text) in headers {
            let name = name.replace('-', "_");
            let list = || text.split(',').map(|item| Value::from(item.trim())).collect::<Vec<_>>();
            let value = match name.as_str() {
                "quality" | "threshold" | "success_value_usd" | "max_cost_usd" => number(&name, text)?,
                "candidates" | "tags" => Value::Array(list()),
                "explain" => Value::Bool(matches!(text.trim(), "true" | "1")),
                _ => Value::from(text.trim()),
            };
            if KNOWN.contains(&name.as_str()) {
                options.set(&name, &value)?;
            }
        }
        Ok(options)
    }

    /// These options, with the gaps filled from others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            policy: self.policy.or(others.policy),
            limits: Limits {
                aim: self.limits.aim.or(others.limits.aim),
                max_cost: self.limits.max_cost.or(others.limits.max_cost),
                candidates: if self.limits.candidates.is_empty() {
                    others.limits.candidates
                } else {
                    self.limits.candidates
                },
            },
            session: self.session.or(others.session),
            tags: if self.tags.is_empty() { others.tags } else { self.tags },
            explain: self.explain || others.explain,
            cache: self.cache.or(others.cache),
            latency: self.latency.or(others.latency),
        }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), ChatError> {
        match name {
            "policy" => self.policy = Some(PolicyName::from(text(name, value)?)),
            "quality" => {
                let quality = value.as_f64().and_then(|number| Probability::try_from(number).ok());
                self.set_aim(Aim::Quality(quality.ok_or_else(|| wrong(name, "a number from 0 to 1"))?))?;
            }
            "threshold" => {
                let threshold = value.as_f64().filter(|number| (-1.0..=1.0).contains(number));
                self.set_aim(Aim::Threshold(threshold.ok_or_else(|| wrong(name, "a number from -1 to 1"))?))?;
            }
            "success_value_usd" => {
                let range = MIN_SUCCESS_VALUE_USD..=MAX_SUCCESS_VALUE_USD;
                let value = value.as_f64().filter(|usd| range.contains(usd)).and_then(NanoUsd::from_usd);
                let expected = "a number of dollars from 0.000001 to 1000000";
                self.set_aim(Aim::Value(value.ok_or_else(|| wrong(name, expected))?))?;
            }
            "max_cost_usd" => {
                let cost = value.as_f64().and_then(NanoUsd::from_usd);
                self.limits.max_cost = Some(cost.ok_or_else(|| wrong(name, "a number of dollars, zero or more"))?);
            }
            "candidates" => self.limits.candidates = list(name, value)?,
            "session" => self.session = Some(text(name, value)?),
            "tags" => self.tags = list(name, value)?,
            "explain" => self.explain = bool::deserialize(value).map_err(|_| wrong(name, "true or false"))?,
            "cache" => {
                let word = CacheControl::WORDS.into_iter().find(|(word, _)| value.as_str() == Some(word));
                let expected = "`bypass`, `refresh` or `only-if-cached`";
                self.cache = Some(word.ok_or_else(|| wrong(name, expected))?.1);
            }
            "latency" => {
                let word = Latency::WORDS.into_iter().find(|(word, _)| value.as_str() == Some(word));
                self.latency = Some(word.ok_or_else(|| wrong(name, "`interactive` or `batch`"))?.1);
            }
            _ => return Err(ChatError::Unknown { field: format!("trimtab.{name}"), known: KNOWN.join(", ") }),
        }
        Ok(())
    }

    fn set_aim(&mut self, aim: Aim) -> Result<(), ChatError> {
        if self.limits.aim.is_some() {
            let expected = "alone among `quality`, `threshold` and `success_value_usd`; leave the others out";
            return Err(wrong(aim_name(aim), expected));
        }
        self.limits.aim = Some(aim);
        Ok(())
    }
}

/// The option that says an aim.
const fn aim_name(aim: Aim) -> &'static str {
    match aim {
        Aim::Quality(_) => "quality",
        Aim::Threshold(_) => "threshold",
        Aim::Value(_) => "success_value_usd",
    }
}

fn wrong(name: &str, expected: &'static str) -> ChatError {
    let field = if name.is_empty() { "trimtab".to_owned() } else { format!("trimtab.{name}") };
    ChatError::Wrong { field, expected }
}

/// Reads a header's number. NaN and infinity have no JSON form and fall to the range checks as null.
fn number(name: &str, text: &str) -> Result<Value, ChatError> {
    let number: f64 = text.trim().parse().map_err(|_| wrong(name, "a number"))?;
    Ok(Value::from(number))
}

fn text(name: &str, value: &Value) -> Result<String, ChatError> {
    value
        .as_str()
        .filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
        .map(str::to_owned)
        .ok_or_else(|| wrong(name, "a text of 1 to 256 bytes"))
}

fn list(name: &str, value: &Value) -> Result<Vec<String>, ChatError> {
    let expected = "a list of 1 to 256 texts";
    let items = value.as_array().filter(|items| (1..=MAX_LIST).contains(&items.len()));
    items.ok_or_else(|| wrong(name, expected))?.iter().map(|item| text(name, item)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(value: &Value) -> String {
        RouterOptions::from_json(value).unwrap_err().field().unwrap().to_owned()
    }

    #[test]
    fn reads_every_option() {
        let options = RouterOptions::from_json(&json!({
            "policy": "economy", "quality": 0.3, "max_cost_usd": 0.5, "candidates": ["a*"], "session": "s", "tags": ["t"], "explain": true,
        }))
        .unwrap();

        assert_eq!(options.limits.aim, Some(Aim::Quality(Probability::clamped(0.3))));
        assert_eq!(options.limits.max_cost, NanoUsd::from_usd(0.5));
        assert!(options.explain);
    }

    #[test]
    fn refuses_dials_out_of_range_by_name() {
        for bad in [json!(-0.1), json!(1.1), json!("high"), json!([]), json!(true)] {
            assert_eq!(field(&json!({ "quality": bad })), "trimtab.quality");
        }
        assert_eq!(field(&json!({ "threshold": 2 })), "trimtab.threshold");
        assert_eq!(field(&json!({ "max_cost_usd": -1 })), "trimtab.max_cost_usd");
        for bad in [json!(0), json!(-0.01), json!(1e9), json!("much"), json!(false)] {
            assert_eq!(field(&json!({ "success_value_usd": bad })), "trimtab.success_value_usd");
        }
        for bad in [json!(7), json!(""), json!(["s"]), json!({ "id": "s" }), json!(true), json!("s".repeat(257))] {
            assert_eq!(field(&json!({ "session": bad })), "trimtab.session");
        }
        assert_eq!(field(&json!({ "candidates": [] })), "trimtab.candidates");
        assert_eq!(field(&json!({ "qualty": 1 })), "trimtab.qualty");
        assert_eq!(field(&json!([])), "trimtab");
        assert_eq!(field(&json!({ "quality": 1, "threshold": 0 })), "trimtab.threshold");
        assert_eq!(field(&json!({ "quality": 1, "success_value_usd": 0.1 })), "trimtab.success_value_usd");
        assert_eq!(field(&json!({ "success_value_usd": 0.1, "threshold": 0 })), "trimtab.threshold");
    }

    #[test]
    fn refuses_nan_in_a_header() {
        for bad in ["NaN", "inf", "-1", "much"] {
            for name in ["quality", "success-value-usd"] {
                assert!(RouterOptions::from_headers([(name, bad)].into_iter()).is_err(), "{name}: {bad}");
            }
        }
    }

    #[test]
    fn reads_cache_controls_of_the_body_and_of_http() {
        let read = |word: &str| RouterOptions::from_json(&json!({ "cache": word })).map(|options| options.cache);
        assert_eq!(read("only-if-cached"), Ok(Some(CacheControl::OnlyIfCached)));
        assert_eq!(read("refresh"), Ok(Some(CacheControl::Refresh)));
        assert_eq!(field(&json!({ "cache": "maybe" })), "trimtab.cache");
        assert_eq!(field(&json!({ "cache": true })), "trimtab.cache");
        assert_eq!(field(&json!({ "latency": "soon" })), "trimtab.latency");
        assert_eq!(CacheControl::from_http("No-Cache, no-store"), Some(CacheControl::Bypass));
        assert_eq!(CacheControl::from_http("max-age=0, no-cache"), Some(CacheControl::Refresh));
        assert_eq!(CacheControl::from_http("max-age=0"), None);
    }

    #[test]
    fn the_body_wins_over_headers() {
        let body = RouterOptions::from_json(&json!({ "quality": 0.9 })).unwrap();
        let headers = RouterOptions::from_headers([("quality", "0.1"), ("candidates", "a, b")].into_iter()).unwrap();

        let both = body.or(headers);

        assert_eq!(both.limits.aim, Some(Aim::Quality(Probability::clamped(0.9))));
        assert_eq!(both.limits.candidates, ["a", "b"]);
    }
}
