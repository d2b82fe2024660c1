//! What is shown of the response cache, which counts by itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::labels::{set, set_usd};
use super::{Counters, Label, Metrics, Registered};
use crate::domain::cache::CacheTotals;

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

impl Metrics {
    /// Shows what the cache holds and has done.
    pub fn cache(&self, totals: &CacheTotals) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
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
