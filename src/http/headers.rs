//! The headers that tell of a decision, on success, stream and error alike.

use axum::http::header::AGE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::cache::Recall;
use crate::domain::check::Check;
use crate::domain::ids::DecisionId;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::Attempt;
use crate::pipeline::Routed;

/// The name of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const DECISION_ID: HeaderName = HeaderName::from_static("x-trimtab-decision-id");
const MODEL: HeaderName = HeaderName::from_static("x-trimtab-model");
const TIER: HeaderName = HeaderName::from_static("x-trimtab-tier");
const REASON: HeaderName = HeaderName::from_static("x-trimtab-reason");
const LATENCY_US: HeaderName = HeaderName::from_static("x-trimtab-latency-us");
const BUNDLE: HeaderName = HeaderName::from_static("x-trimtab-bundle");
const SESSION: HeaderName = HeaderName::from_static("x-trimtab-session-event");
const CACHE: HeaderName = HeaderName::from_static("x-trimtab-cache");
const DECISION_CACHE: HeaderName = HeaderName::from_static("x-trimtab-decision-cache");
const COST_USD: HeaderName = HeaderName::from_static("x-trimtab-cost-usd");

/// What stands in for a model's answer.
pub const DEGRADED: HeaderName = HeaderName::from_static("x-trimtab-degraded");
/// Where the answer of a request will be that waits for it.
pub const DEFERRED: HeaderName = HeaderName::from_static("x-trimtab-deferred");
/// The checks for which a stronger model was asked.
pub const ESCALATED: HeaderName = HeaderName::from_static("x-trimtab-escalated");
/// How a call came to its answer, where that took more than one attempt.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-trimtab-attempts");

/// The attempts of a call in one line, such as `cheap@first=transient, dear@last=success`; `None` where there was but one.
#[must_use]
pub fn attempts_line(attempts: &[Attempt]) -> Option<HeaderValue> {
    if attempts.len() < 2 {
        return None;
    }
    let words = attempts.iter().map(|one| format!("{}@{}={}", one.model, one.upstream, one.class.as_str()));
    HeaderValue::from_str(&words.collect::<Vec<_>>().join(", ")).ok()
}

/// The checks for which a stronger model was asked, in one line; `None` where none was.
#[must_use]
pub fn escalated_line(failed: &[Check]) -> Option<HeaderValue> {
    let words: Vec<&str> = failed.iter().map(|check| check.as_str()).collect();
    HeaderValue::from_str(&words.join(", ")).ok().filter(|line| !line.is_empty())
}

/// What the headers say beyond the decision.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The model and tier that served, where they are not the decision's own.
    pub by: Option<(&'a str, &'a str)>,
    /// What the call cost; what it is expected to cost while a stream is still running.
    pub cost: Option<NanoUsd>,
}

/// The decision's headers.
#[must_use]
pub fn decision_headers(id: DecisionId, routed: &Routed, served: Served<'_>) -> HeaderMap {
    let decision = &routed.decision;
    let (model, tier) = served.by.unwrap_or((decision.model.as_str(), decision.tier.as_str()));
    let mut headers = HeaderMap::with_capacity(12);
    let mut put = |name: HeaderName, text: &str| {
        // Names come from the configuration, which allows nothing that a header could not hold; a name that slipped through is left out.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(DECISION_ID, &id.to_string());
    put(MODEL, model);
    put(TIER, tier);
    put(REASON, decision.reason.as_str());
    put(LATENCY_US, &routed.took.as_micros().to_string());
    put(BUNDLE, decision.bundle.as_ref().map_or("none", |bundle| bundle.as_str()));
    if let Some(session) = routed.session {
        put(SESSION, session.event.as_str());
    }
    if let Some(word) = routed.recall.map(Recall::as_str) {
        put(DECISION_CACHE, word);
    }
    if let Some(word) = routed.cache.as_str() {
        put(CACHE, word);
    }
    if let Some(age) = routed.cache.age() {
        put(AGE, &age.as_secs().to_string());
    }
    if let Some(cost) = served.cost {
        put(COST_USD, &format!("{:.9}", cost.as_usd()));
    }
    headers
}
