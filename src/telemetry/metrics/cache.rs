//! What is shown of the caches, which count by themselves.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::labels::{set, set_usd};
use super::{Counters, Label, Metrics, Registered};
use crate::domain::cache::{CacheTotals, Recall};

#[derive(Debug)]
pub(super) struct CacheCounters {
    lookups: Counters<1>,
    gone: Counters<1>,
    saved: Counter<f64, AtomicU64>,
    entries: Gauge,
    bytes: Gauge,
}

impl CacheCounters {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        Self {
            lookups: new.plain("cache_lookups", "Requests by what the response cache had for them"),
            gone: new.plain("cache_evictions", "Answers that left the response cache"),
            saved: new.dollars("cache_saved", "What the answers given again had cost"),
            entries: new.plain("cache_entries", "Answers in the response cache"),
            bytes: new.in_unit("cache_size", "Bytes of the response cache", (Unit::Bytes, Gauge::default())),
        }
    }
}

#[derive(Debug)]
pub(super) struct DecisionCacheCounters {
    lookups: Counters<1>,
    gone: Counters<1>,
    entries: Gauge,
    bytes: Gauge,
}

impl DecisionCacheCounters {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        let size = "Bytes of the decision cache";
        Self {
            lookups: new.plain("decision_cache_lookups", "Scored requests by what the decision cache had for them"),
            gone: new.plain("decision_cache_evictions", "Scores that left the decision cache"),
            entries: new.plain("decision_cache_entries", "Scores in the decision cache"),
            bytes: new.in_unit("decision_cache_size", size, (Unit::Bytes, Gauge::default())),
        }
    }
}

impl Metrics {
    /// Shows what the decision cache holds and has done.
    pub fn decision_cache(&self, totals: &CacheTotals) {
        let shown = &self.decision_cache;
        shown.entries.set(whole(totals.entries));
        shown.bytes.set(whole(totals.bytes));
        let CacheTotals { hits, refreshed, misses, bypassed, .. } = *totals;
        let found = [(Recall::Hit, hits), (Recall::Refreshed, refreshed)];
        for (recall, count) in found.into_iter().chain([(Recall::Miss, misses), (Recall::Bypass, bypassed)]) {
            set(&shown.lookups.get_or_create(&[("result", Label::Word(recall.as_str()))]), count);
        }
        let CacheTotals { evicted, expired, outdated, .. } = *totals;
        for (why, count) in [("full", evicted), ("expired", expired), ("outdated", outdated)] {
            set(&shown.gone.get_or_create(&[("why", Label::Word(why))]), count);
        }
    }

    /// Shows what the response cache holds and has done.
    pub fn cache(&self, totals: &CacheTotals) {
        self.cache.entries.set(whole(totals.entries));
        self.cache.bytes.set(whole(totals.bytes));
        let CacheTotals { hits, similar, misses, bypassed, .. } = *totals;
        for (word, count) in [("hit", hits), ("semantic", similar), ("miss", misses), ("bypass", bypassed)] {
            set(&self.cache.lookups.get_or_create(&[("result", Label::Word(word))]), count);
        }
        for (why, count) in [("full", totals.evicted), ("expired", totals.expired)] {
            set(&self.cache.gone.get_or_create(&[("why", Label::Word(why))]), count);
        }
        set_usd(&self.cache.saved, totals.saved);
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
