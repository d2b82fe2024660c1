//! The table behind every cache: values by key, by age and by last use, in bounded memory.
//!
//! It knows neither what it holds nor the time. What has to leave is handed back, so that its owner can forget what else points at it, and may
//! drop it when the lock is free again.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::domain::cache::CacheTotals;

/// Most entries that are over forgotten by one put, so that no request pays for a quiet night.
pub(super) const SWEEP: usize = 64;

/// What takes memory.
pub(super) trait Weigh {
    /// Its bytes, with what finds it. The same for as long as it is in a table, but for [`Bounded::change`].
    fn bytes(&self) -> usize;
}

/// How much a table may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// Values that were asked for lately.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Every key by when it was last asked for, and by when it was put.
    by_use: BTreeMap<u64, K>,
    by_birth: BTreeMap<u64, K>,
    tick: u64,
    bytes: usize,
    evicted: u64,
    expired: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    born: u64,
    used: u64,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        let (entries, by_use, by_birth) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { entries, by_use, by_birth, tick: 0, bytes: 0, evicted: 0, expired: 0 }
    }
}

impl<K: Clone + Eq + Hash, V: Weigh> Bounded<K, V> {
    /// A value, without a trace.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// A value that is used: the last one now to leave for want of room.
    pub(super) fn take(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.tick += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.tick, key);
        }
        entry.used = self.tick;
        Some(&entry.value)
    }

    /// Puts a value, in place of the one that has its key. [`Bounded::make_room`] is to follow.
    pub(super) fn put(&mut self, key: K, value: V) -> Option<V> {
        let replaced = self.remove(&key);
        self.tick += 1;
        self.by_use.insert(self.tick, key.clone());
        self.by_birth.insert(self.tick, key.clone());
        self.bytes += value.bytes();
        self.entries.insert(key, Entry { value, born: self.tick, used: self.tick });
        replaced
    }

    /// Forgets what was asked for longest ago until the rest is within the bounds.
    pub(super) fn make_room(&mut self, bounds: Bounds) -> Vec<(K, V)> {
        let mut gone = Vec::new();
        while self.entries.len() > bounds.entries || self.bytes > bounds.bytes {
            let Some(key) = self.by_use.first_key_value().map(|(_, key)| key.clone()) else { break };
            gone.extend(self.remove(&key).map(|value| (key, value)));
            self.evicted += 1;
        }
        gone
    }

    /// Forgets at most so many of the oldest values that are over. All live equally long, so that the first that is not ends the search.
    pub(super) fn sweep(&mut self, most: usize, is_over: impl Fn(&V) -> bool) -> Vec<(K, V)> {
        let mut gone = Vec::new();
        while gone.len() < most {
            let Some(key) = self.by_birth.first_key_value().map(|(_, key)| key) else { break };
            if !self.peek(key).is_some_and(&is_over) {
                break;
            }
            let key = key.clone();
            gone.extend(self.expire(&key).map(|value| (key, value)));
        }
        gone
    }

    /// Forgets a value that is over.
    pub(super) fn expire(&mut self, key: &K) -> Option<V> {
        let value = self.remove(key)?;
        self.expired += 1;
        Some(value)
    }

    /// Forgets a value.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.by_use.remove(&entry.used);
        self.by_birth.remove(&entry.born);
        self.bytes -= entry.value.bytes();
        Some(entry.value)
    }

    /// Forgets every value whose key is meant.
    pub(super) fn remove_where(&mut self, is_meant: impl Fn(&K) -> bool) -> Vec<(K, V)> {
        let keys: Vec<K> = self.entries.keys().filter(|key| is_meant(key)).cloned().collect();
        keys.into_iter().filter_map(|key| self.remove(&key).map(|value| (key, value))).collect()
    }

    /// Changes every value; each may weigh something else afterwards.
    pub(super) fn change(&mut self, mut change: impl FnMut(&mut V)) {
        for entry in self.entries.values_mut() {
            self.bytes -= entry.value.bytes();
            change(&mut entry.value);
            self.bytes += entry.value.bytes();
        }
    }

    /// Changes one value, which stays as old as it is. [`Bounded::make_room`] is to follow.
    pub(super) fn change_one(&mut self, key: &K, change: impl FnOnce(&mut V)) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.bytes -= entry.value.bytes();
            change(&mut entry.value);
            self.bytes += entry.value.bytes();
        }
    }

    /// Everything, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// What it holds, and what left it.
    pub(super) fn totals(&self) -> CacheTotals {
        CacheTotals {
            entries: self.entries.len(),
            bytes: self.bytes,
            evicted: self.evicted,
            expired: self.expired,
            ..CacheTotals::default()
        }
    }
}
