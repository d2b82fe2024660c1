//! The table behind the cache: entries by key, by age, by last use, and by what they are near to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::guard::Wording;
use crate::cache::{Kept, Key, Point};
use crate::domain::cache::CacheTotals;
use crate::domain::embedding::Embedding;
use crate::domain::ids::CallerId;

/// Most requests worded alike that are compared; beyond it the oldest is only found by the same request again. At 256 numbers an embedding,
/// comparing with all of them takes about a tenth of a millisecond.
const MOST_NEAR: usize = 1_024;

/// Most expired entries forgotten by one put, so that no request pays for a quiet night.
const SWEEP: usize = 64;

/// What an entry takes beside its body: keys, orders, names.
const OVERHEAD: usize = 512;

/// An answer in the table.
#[derive(Debug)]
pub(super) struct Entry {
    kept: Kept,
    near: Option<Near>,
    encoder: Option<Arc<str>>,
    life: Life,
    born: u64,
    used: u64,
}

/// What similar requests have in common: everything but the last message, and what counts of its wording.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alike {
    pub(super) vicinity: Key,
    pub(super) wording: Wording,
}

/// From when to when an answer is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) from: Instant,
    /// Until when it is good.
    pub(super) until: Instant,
    /// Until when it is better than none.
    pub(super) last: Instant,
}

/// Where an answer stands among those of similar requests.
#[derive(Debug)]
pub(super) struct Near {
    pub(super) alike: Alike,
    pub(super) embedding: Embedding,
}

impl Entry {
    pub(super) fn new(kept: Kept, near: Option<(Near, Arc<str>)>, life: Life) -> Self {
        let (near, encoder) = near.unzip();
        Self { kept, near, encoder, life, born: 0, used: 0 }
    }

    fn bytes(&self) -> usize {
        let near = self.near.as_ref();
        // The wording is held twice: here, and by what finds it.
        let near =
            near.map_or(0, |near| near.embedding.dimension() * size_of::<f32>() + 2 * near.alike.wording.bytes());
        OVERHEAD + self.kept.body.len() + near
    }
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<Key, Entry>,
    /// Every key by when it was last asked for, and by when it was put.
    by_use: BTreeMap<u64, Key>,
    by_birth: BTreeMap<u64, Key>,
    /// The keys of similar requests, oldest first.
    near: HashMap<Alike, Vec<Key>>,
    /// Whose embeddings these are.
    encoder: Option<Arc<str>>,
    tick: u64,
    bytes: usize,
    evicted: u64,
    expired: u64,
}

impl Table {
    /// A good answer and its age.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<(Kept, Duration)> {
        if self.entries.get(key)?.life.until <= now {
            self.forget_if_over(key, now);
            return None;
        }
        self.take(key, now)
    }

    /// An answer and its age, good or better than none.
    pub(super) fn get_last(&mut self, key: &Key, now: Instant) -> Option<(Kept, Duration)> {
        self.forget_if_over(key, now);
        self.take(key, now)
    }

    fn forget_if_over(&mut self, key: &Key, now: Instant) {
        if self.entries.get(key).is_some_and(|entry| entry.life.last <= now) {
            self.remove(key);
            self.expired += 1;
        }
    }

    fn take(&mut self, key: &Key, now: Instant) -> Option<(Kept, Duration)> {
        self.tick += 1;
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        entry.used = self.tick;
        self.by_use.insert(self.tick, key.clone());
        Some((entry.kept.clone(), now.saturating_duration_since(entry.life.from)))
    }

    /// Whether there is an answer to a request worded alike, embedded by this encoder.
    pub(super) fn has_alike(&mut self, alike: &Alike, encoder: &str) -> bool {
        self.turn_to(encoder);
        self.near.contains_key(alike)
    }

    /// The nearest answer to a request worded alike, where one is near enough.
    pub(super) fn nearest(
        &mut self,
        alike: &Alike,
        (least, point): (f32, &Point),
        now: Instant,
    ) -> Option<(Kept, Duration)> {
        self.turn_to(&point.encoder);
        let mut best: Option<(f32, &Key)> = None;
        for key in self.near.get(alike)? {
            let good = self.entries.get(key).filter(|entry| entry.life.until > now);
            let Some(near) = good.and_then(|entry| entry.near.as_ref()) else { continue };
            let cosine = near.embedding.cosine(&point.embedding);
            if cosine >= least && best.is_none_or(|(best, _)| cosine > best) {
                best = Some((cosine, key));
            }
        }
        let key = best.map(|(_, key)| key.clone())?;
        self.get(&key, now)
    }

    /// Puts an entry, and makes room: what expired goes first, then what was not asked for for longest.
    pub(super) fn put(&mut self, key: Key, mut entry: Entry, ((entries, bytes), now): ((usize, usize), Instant)) {
        if entry.bytes() > bytes {
            return;
        }
        self.remove(&key);
        // An embedding of another encoder than that of the last look is from before or after a swap: it is no use to anybody.
        if self.encoder.is_none() {
            self.encoder.clone_from(&entry.encoder);
        }
        if entry.encoder != self.encoder {
            entry.near = None;
        }
        self.tick += 1;
        (entry.born, entry.used) = (self.tick, self.tick);
        self.by_use.insert(self.tick, key.clone());
        self.by_birth.insert(self.tick, key.clone());
        self.bytes += entry.bytes();
        if let Some(near) = &entry.near {
            let keys = self.near.entry(near.alike.clone()).or_default();
            if keys.len() >= MOST_NEAR {
                keys.remove(0);
            }
            keys.push(key.clone());
        }
        self.entries.insert(key, entry);
        self.sweep(SWEEP, now);
        while self.entries.len() > entries || self.bytes > bytes {
            let Some((_, key)) = self.by_use.first_key_value() else { break };
            let key = key.clone();
            self.remove(&key);
            self.evicted += 1;
        }
    }

    pub(super) fn clear(&mut self, tenant: Option<&CallerId>) -> usize {
        let is_meant = |key: &Key| tenant.is_none_or(|tenant| key.tenant == *tenant);
        let keys: Vec<Key> = self.entries.keys().filter(|key| is_meant(key)).cloned().collect();
        for key in &keys {
            self.remove(key);
        }
        keys.len()
    }

    /// What it holds, and what left it.
    pub(super) fn totals(&mut self, now: Instant) -> CacheTotals {
        self.sweep(usize::MAX, now);
        CacheTotals {
            entries: self.entries.len(),
            bytes: self.bytes,
            evicted: self.evicted,
            expired: self.expired,
            ..CacheTotals::default()
        }
    }

    /// Answers and bytes by caller.
    pub(super) fn tenants(&self) -> BTreeMap<CallerId, (usize, usize)> {
        let mut tenants = BTreeMap::new();
        for (key, entry) in &self.entries {
            let (entries, bytes): &mut (usize, usize) = tenants.entry(key.tenant.clone()).or_default();
            *entries += 1;
            *bytes += entry.bytes();
        }
        tenants
    }

    /// Forgets at most so many entries that are too old. All live equally long, so the oldest is the first to go.
    fn sweep(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            let Some((_, oldest)) = self.by_birth.first_key_value() else { return };
            if self.entries.get(oldest).is_some_and(|entry| entry.life.last > now) {
                return;
            }
            let oldest = oldest.clone();
            self.remove(&oldest);
            self.expired += 1;
        }
    }

    /// Another encoder than before: its embeddings compare with none of the old ones, so those are forgotten. The answers are not.
    fn turn_to(&mut self, encoder: &str) {
        if self.encoder.as_deref() == Some(encoder) {
            return;
        }
        self.encoder = Some(Arc::from(encoder));
        self.near.clear();
        for entry in self.entries.values_mut().filter(|entry| entry.near.is_some()) {
            self.bytes -= entry.bytes();
            entry.near = None;
            self.bytes += entry.bytes();
        }
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.by_use.remove(&entry.used);
        self.by_birth.remove(&entry.born);
        self.bytes -= entry.bytes();
        if let Some(near) = &entry.near
            && let Some(keys) = self.near.get_mut(&near.alike)
        {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.near.remove(&near.alike);
            }
        }
    }
}
