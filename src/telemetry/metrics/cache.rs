//! What is counted of the response cache.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::{Counters, Label, Metrics, Registered};
use crate::domain::money::NanoUsd;

/// What became of a look into the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The same request had been answered.
    Hit,
    /// A similar one had been.
    Similar,
    /// Neither had been.
    Missed,
    /// The request took no part.
    Bypassed,
}

/// What the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Answers.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Answers that left for want of room, since the start.
    pub evicted: u64,
    /// Answers that left because they were too old, since the start.
    pub expired: u64,
}

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
        let dollars = Unit::Other("usd".to_owned());
        Self {
            lookups: new.plain("cache_lookups", "Requests by what the response cache had for them"),
            gone: new.plain("cache_evictions", "Answers that left the response cache"),
            saved: new.in_unit("cache_saved", "What the answers given again had cost", (dollars, Counter::default())),
            entries: new.plain("cache_entries", "Answers in the response cache"),
            bytes: new.in_unit("cache_size", "Bytes of the response cache", (Unit::Bytes, Gauge::default())),
        }
    }
}

impl Metrics {
    /// A request was looked up.
    pub fn looked_up(&self, lookup: Lookup) {
        let word = match lookup {
            Lookup::Hit => "hit",
            Lookup::Similar => "semantic",
            Lookup::Missed => "miss",
            Lookup::Bypassed => "bypass",
        };
        self.cache.lookups.get_or_create(&[("result", Label::Word(word))]).inc();
    }

    /// An answer was given again that had cost this much.
    pub fn saved(&self, cost: NanoUsd) {
        self.cache.saved.inc_by(cost.as_usd());
    }

    /// What the cache holds now.
    pub fn cache_holds(&self, holding: Holding) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.cache.entries.set(whole(holding.entries));
        self.cache.bytes.set(whole(holding.bytes));
        for (why, total) in [("full", holding.evicted), ("expired", holding.expired)] {
            let counter = self.cache.gone.get_or_create(&[("why", Label::Word(why))]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
