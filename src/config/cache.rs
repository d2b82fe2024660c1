//! `[cache]`: answers that are given again, and asks that are not scored again.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::reader::{Notes, Section};
use crate::domain::policy::Policy;
use crate::domain::recovery::LastKept;

/// `[cache]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cache {
    /// What counts as the same request, or that nothing is kept.
    pub responses: CachedResponses,
    /// The least cosine of similar requests.
    pub similarity: f32,
    /// How long an answer is good for.
    pub ttl: Duration,
    /// How long after that it may stand in under policies that are degraded to it.
    pub stale_for: Duration,
    /// Most answers.
    pub max_entries: NonZeroUsize,
    /// Most bytes of all answers.
    pub max_bytes: usize,
    /// Most bytes of one answer.
    pub max_answer_bytes: usize,
    /// For which temperatures answers are kept.
    pub temperature: CachedTemperatures,
    /// Whether answers that call tools are kept.
    pub tool_calls: bool,
    /// What was found out about asks.
    pub decisions: CachedDecisions,
}

/// `[cache.decisions]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedDecisions {
    /// Whether an ask is scored once, as long as nothing was learned since.
    pub enabled: bool,
    /// How long what was found out is kept.
    pub ttl: Duration,
    /// Most asks, where a second look at one counts as another.
    pub max_entries: NonZeroUsize,
    /// Most bytes of all of them.
    pub max_bytes: usize,
}

/// What counts as the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachedResponses {
    /// Nothing is kept.
    Off,
    /// The same in canonical form.
    Exact,
    /// Also one whose last message means the same.
    Semantic,
}

/// For which temperatures answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachedTemperatures {
    /// Zero alone.
    Zero,
    /// Zero, and none said.
    Unset,
    /// Any.
    Any,
}

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn read(mut section: Section<'_>) -> Option<Cache> {
    let words =
        [("off", CachedResponses::Off), ("exact", CachedResponses::Exact), ("semantic", CachedResponses::Semantic)];
    let responses = section.word("responses", &words);
    let similarity = section.number("similarity", 0.5..=1.0);
    let ttl = section.duration("ttl", Duration::from_secs(1)..=MONTH);
    let stale_for = section.duration("stale_for", Duration::ZERO..=MONTH);
    let max_entries = section.count("max_entries", 1..=10_000_000);
    let max_bytes = section.bytes("max_bytes", 1 << 20..=1 << 40);
    let max_answer_bytes = section.bytes("max_answer_bytes", 1 << 10..=1 << 30);
    let words =
        [("zero", CachedTemperatures::Zero), ("unset", CachedTemperatures::Unset), ("any", CachedTemperatures::Any)];
    let temperature = section.word("temperature", &words);
    let tool_calls = section.flag("tool_calls");
    let decisions = decisions(section.section("decisions"));
    if let (Some(one), Some(all)) = (max_answer_bytes, max_bytes)
        && one > all
    {
        section.problem("max_answer_bytes", "is more than cache.max_bytes", "lower it, or raise cache.max_bytes");
    }
    section.finish();
    Some(Cache {
        responses: responses?,
        similarity: similarity? as f32,
        ttl: ttl?,
        stale_for: stale_for?,
        max_entries: NonZeroUsize::new(max_entries?)?,
        max_bytes: size(max_bytes?)?,
        decisions: decisions?,
        max_answer_bytes: size(max_answer_bytes?)?,
        temperature: temperature?,
        tool_calls: tool_calls?,
    })
}

fn decisions(mut section: Section<'_>) -> Option<CachedDecisions> {
    let enabled = section.flag("enabled");
    let ttl = section.duration("ttl", Duration::from_secs(1)..=MONTH);
    let max_entries = section.count("max_entries", 1..=10_000_000);
    let max_bytes = section.bytes("max_bytes", 1 << 20..=1 << 40);
    section.finish();
    Some(CachedDecisions {
        enabled: enabled?,
        ttl: ttl?,
        max_entries: NonZeroUsize::new(max_entries?)?,
        max_bytes: size(max_bytes?)?,
    })
}

/// A number of bytes that memory can have.
fn size(bytes: u64) -> Option<usize> {
    usize::try_from(bytes).ok()
}

/// Checks that what policies are degraded to is kept.
pub(super) fn check(cache: &Cache, policies: &[Policy], notes: &Notes<'_>) {
    let wants = policies.iter().filter(|policy| policy.recovery.degraded.cached == LastKept::Given);
    for policy in wants.filter(|_| cache.responses == CachedResponses::Off) {
        let path = format!("policies.{}.degraded", policy.name);
        notes.problem(path, "gives answers of the cache, which is off", "set cache.responses = \"exact\", or a text");
    }
}
