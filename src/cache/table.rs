//! The answers that are kept: by key, and by what they are near to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::bounded::{Bounded, Bounds, SWEEP, Weigh};
use crate::cache::guard::Wording;
use crate::cache::{Kept, Key, Point};
use crate::domain::cache::CacheTotals;
use crate::domain::embedding::Embedding;
use crate::domain::ids::CallerId;

/// Most requests worded alike that are compared; beyond it the oldest is only found by the same request again. At 256 numbers an embedding,
/// comparing with all of them takes about a tenth of a millisecond.
const MOST_NEAR: usize = 1_024;

/// What an entry takes beside its body: keys, orders, names.
const OVERHEAD: usize = 512;

/// An answer in the table.
#[derive(Debug)]
pub(super) struct Entry {
    kept: Kept,
    near: Option<Near>,
    encoder: Option<Arc<str>>,
    life: Life,
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
        Self { kept, near, encoder, life }
    }
}

impl Weigh for Entry {
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
    entries: Bounded<Key, Entry>,
    /// The keys of similar requests, oldest first.
    near: HashMap<Alike, Vec<Key>>,
    /// Whose embeddings these are.
    encoder: Option<Arc<str>>,
}

impl Table {
    /// A good answer and its age.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<(Kept, Duration)> {
        if self.entries.peek(key)?.life.until <= now {
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
        if self.entries.peek(key).is_some_and(|entry| entry.life.last <= now)
            && let Some(entry) = self.entries.expire(key)
        {
            self.no_longer_near(key, &entry);
        }
    }

    fn take(&mut self, key: &Key, now: Instant) -> Option<(Kept, Duration)> {
        let entry = self.entries.take(key)?;
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
            let good = self.entries.peek(key).filter(|entry| entry.life.until > now);
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
    pub(super) fn put(&mut self, key: Key, mut entry: Entry, (bounds, now): (Bounds, Instant)) {
        if entry.bytes() > bounds.bytes {
            return;
        }
        // An embedding of another encoder than that of the last look is from before or after a swap: it is no use to anybody.
        if self.encoder.is_none() {
            self.encoder.clone_from(&entry.encoder);
        }
        if entry.encoder != self.encoder {
            entry.near = None;
        }
        let alike = entry.near.as_ref().map(|near| near.alike.clone());
        if let Some(replaced) = self.entries.put(key.clone(), entry) {
            self.no_longer_near(&key, &replaced);
        }
        if let Some(alike) = alike {
            let keys = self.near.entry(alike).or_default();
            if keys.len() >= MOST_NEAR {
                keys.remove(0);
            }
            keys.push(key);
        }
        self.sweep(SWEEP, now);
        for (key, entry) in self.entries.make_room(bounds) {
            self.no_longer_near(&key, &entry);
        }
    }

    pub(super) fn clear(&mut self, tenant: Option<&CallerId>) -> usize {
        let gone = self.entries.remove_where(|key| tenant.is_none_or(|tenant| key.tenant == *tenant));
        for (key, entry) in &gone {
            self.no_longer_near(key, entry);
        }
        gone.len()
    }

    /// What it holds, and what left it.
    pub(super) fn totals(&mut self, now: Instant) -> CacheTotals {
        self.sweep(usize::MAX, now);
        self.entries.totals()
    }

    /// Answers and bytes by caller.
    pub(super) fn tenants(&self) -> BTreeMap<CallerId, (usize, usize)> {
        by_tenant(self.entries.iter().map(|(key, entry)| (&key.tenant, entry.bytes())))
    }

    /// Forgets at most so many entries that are too old.
    fn sweep(&mut self, most: usize, now: Instant) {
        for (key, entry) in self.entries.sweep(most, |entry| entry.life.last <= now) {
            self.no_longer_near(&key, &entry);
        }
    }

    /// Another encoder than before: its embeddings compare with none of the old ones, so those are forgotten. The answers are not.
    fn turn_to(&mut self, encoder: &str) {
        if self.encoder.as_deref() == Some(encoder) {
            return;
        }
        self.encoder = Some(Arc::from(encoder));
        self.near.clear();
        self.entries.change(|entry| entry.near = None);
    }

    /// An entry has left.
    fn no_longer_near(&mut self, key: &Key, entry: &Entry) {
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

/// Entries and bytes by caller, of the caller and bytes of each entry.
pub(super) fn by_tenant<'a>(
    entries: impl Iterator<Item = (&'a CallerId, usize)>,
) -> BTreeMap<CallerId, (usize, usize)> {
    let mut tenants = BTreeMap::new();
    for (tenant, bytes) in entries {
        let held: &mut (usize, usize) = tenants.entry(tenant.clone()).or_default();
        *held = (held.0 + 1, held.1 + bytes);
    }
    tenants
}
