//! Answers that are given again: the same request, or nearly the same, of the same caller. In this process, in bounded memory.
//!
//! Start at [`Cache::place`]: it says where a request's answer is looked for and put. A [`Key`] cannot be made without the caller, so that no
//! caller ever reads another's answers. Time is an argument; one small lock guards the table and is never held across an await. When the
//! table is full, the answer that was not asked for for longest goes. What may be kept is decided by [`Rules`], in one place.
//!
//! Nearly the same means: the last user message differs and nothing else does, its embedding is at least as near as configured, and the
//! [`guard`] finds no difference that embeddings do not feel. An embedding only compares with those of the same encoder.

pub mod guard;
mod table;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::cache::guard::Wording;
use crate::cache::table::{Entry, Life, Near, Table};
use crate::chat::openai::ChatRequest;
use crate::chat::openai::canonical::{Digest, Sampling};
use crate::chat::options::CacheControl;
use crate::chat::worth::{Worth, worth};
use crate::domain::embedding::Embedding;
use crate::domain::ids::{CallerId, ModelName, TierId};
use crate::domain::money::NanoUsd;

/// How a cache is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheSettings {
    /// What counts as the same request.
    pub matching: Matching,
    /// How long an answer is good for.
    pub ttl: Duration,
    /// How long after that it may still be given where there is no other.
    pub stale_for: Duration,
    /// Most answers.
    pub max_entries: NonZeroUsize,
    /// Most bytes of all answers together, with what finds them.
    pub max_bytes: usize,
    /// Most bytes of one answer.
    pub max_answer_bytes: usize,
    /// What may be kept.
    pub rules: Rules,
}

/// What counts as the same request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Matching {
    /// The same in canonical form.
    Exact,
    /// Also one whose last user message means the same: a cosine of at least this, and the same wording where it counts.
    Similar(f32),
}

/// What may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For which temperatures.
    pub temperatures: Temperatures,
    /// Whether answers that call tools are kept.
    pub tool_calls: ToolCalls,
}

/// For which temperatures answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temperatures {
    /// For temperature zero alone.
    Zero,
    /// For zero, and for requests that do not say one: who leaves it out does not ask for variety.
    Unset,
    /// For any.
    Any,
}

/// Whether answers that call tools are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolCalls {
    /// They are not: a call that is made again may do something again.
    Left,
    /// They are.
    Kept,
}

/// Finds an answer. Made of a caller and a digest; there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    tenant: CallerId,
    digest: Digest,
}

impl Key {
    /// The key of a caller's request.
    #[must_use]
    pub fn new(tenant: &CallerId, digest: Digest) -> Self {
        Self { tenant: tenant.clone(), digest }
    }
}

/// Where a request's answer is looked for and put.
#[derive(Clone, Debug)]
pub struct Place {
    key: Key,
    vicinity: Option<Vicinity>,
    reads: Reads,
    writes: Writes,
}

/// Where similar requests are: all that agree in everything but the last message.
#[derive(Clone, Debug)]
struct Vicinity {
    key: Key,
    text: String,
    point: Option<Point>,
}

/// What a last message means.
#[derive(Clone, Debug)]
pub struct Point {
    /// The embedding.
    pub embedding: Embedding,
    /// The digest of the encoder that made it.
    pub encoder: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    IfThere,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Always,
    Never,
}

/// An answer to keep.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The whole completion as JSON, with the public model name.
    pub body: Bytes,
    /// The model that gave it.
    pub model: ModelName,
    /// The model's tier.
    pub tier: TierId,
    /// What it cost, where that is known.
    pub cost: Option<NanoUsd>,
}

/// An answer that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The answer.
    pub kept: Kept,
    /// How old it is.
    pub age: Duration,
    /// Whether the request was the same or similar.
    pub likeness: Likeness,
}

/// How like the request was to the one that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same in canonical form.
    Same,
    /// Its last message means the same.
    Similar,
}

/// What the cache holds and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Answers.
    pub entries: usize,
    /// Their bytes, with what finds them.
    pub bytes: usize,
    /// Answers that left because there was no room.
    pub evicted: u64,
    /// Answers that left because they were too old.
    pub expired: u64,
    /// Answers given again to the same request.
    pub hits: u64,
    /// Answers given to a similar request.
    pub similar: u64,
    /// Requests that found none.
    pub misses: u64,
    /// What the answers given again had cost.
    pub saved: NanoUsd,
    /// Answers and bytes by caller.
    pub tenants: BTreeMap<CallerId, (usize, usize)>,
}

/// The answers of this process.
#[derive(Debug)]
pub struct Cache {
    settings: CacheSettings,
    table: Mutex<Table>,
    hits: AtomicU64,
    similar: AtomicU64,
    misses: AtomicU64,
    saved: AtomicU64,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: CacheSettings) -> Self {
        let zero = || AtomicU64::new(0);
        let (hits, similar, misses, saved) = (zero(), zero(), zero(), zero());
        Self { settings, table: Mutex::default(), hits, similar, misses, saved }
    }

    /// How it is set up.
    #[must_use]
    pub const fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// Where a caller's request belongs. `None` where it takes no part: by the caller's wish, or because the answer would not be fit to be
    /// given again.
    #[must_use]
    pub fn place(&self, tenant: &CallerId, chat: &ChatRequest) -> Option<Place> {
        let (reads, writes) = match chat.options.cache {
            Some(CacheControl::Bypass) => return None,
            Some(CacheControl::Refresh) => (Reads::Never, Writes::Always),
            Some(CacheControl::OnlyIfCached) => (Reads::IfThere, Writes::Never),
            None => (Reads::IfThere, Writes::Always),
        };
        let canonical = chat.canonical().filter(|canonical| !canonical.stores)?;
        let is_fit = match (self.settings.rules.temperatures, canonical.sampling) {
            (Temperatures::Any, _) | (_, Sampling::Greedy) | (Temperatures::Unset, Sampling::Unsaid) => true,
            (Temperatures::Zero, Sampling::Unsaid) | (Temperatures::Zero | Temperatures::Unset, Sampling::Random) => {
                false
            }
        };
        let vicinity = match self.settings.matching {
            Matching::Exact => None,
            Matching::Similar(_) => {
                canonical.ask.map(|apart| Vicinity { key: Key::new(tenant, apart.rest), text: apart.text, point: None })
            }
        };
        is_fit.then(|| Place { key: Key::new(tenant, canonical.digest), vicinity, reads, writes })
    }

    /// The answer to the same request.
    #[must_use]
    pub fn same(&self, place: &Place, now: Instant) -> Option<Hit> {
        if place.reads == Reads::Never {
            return None;
        }
        let (kept, age) = self.lock().get(&place.key, now)?;
        Some(self.hit(kept, age, Likeness::Same))
    }

    /// The last answer to the same request, though it may be too old: better than none. Neither a hit nor money saved.
    #[must_use]
    pub fn last(&self, place: &Place, now: Instant) -> Option<Hit> {
        if place.reads == Reads::Never {
            return None;
        }
        let (kept, age) = self.lock().get_last(&place.key, now)?;
        Some(Hit { kept, age, likeness: Likeness::Same })
    }

    /// The answer to the most similar request that is similar enough.
    #[must_use]
    pub fn similar(&self, place: &Place, now: Instant) -> Option<Hit> {
        let Matching::Similar(least) = self.settings.matching else { return None };
        let vicinity = place.vicinity.as_ref().filter(|_| place.reads == Reads::IfThere)?;
        let point = vicinity.point.as_ref()?;
        let wording = Wording::of(&vicinity.text);
        let wanted = Near { vicinity: vicinity.key.clone(), embedding: point.embedding.clone(), wording };
        let (kept, age) = self.lock().nearest(&wanted, (least, &point.encoder), now)?;
        Some(self.hit(kept, age, Likeness::Similar))
    }

    /// A request found nothing.
    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts an answer into its place, unless it is not fit to be given again or too large. A younger answer replaces an older one.
    pub fn keep(&self, place: Place, kept: Kept, now: Instant) {
        let Place { key, vicinity, reads: _, writes } = place;
        if writes == Writes::Never || kept.body.len() > self.settings.max_answer_bytes {
            return;
        }
        // Read again as it will be read when it is replayed: what cannot be read is not kept.
        let Ok(completion) = serde_json::from_slice::<Value>(&kept.body) else { return };
        let is_fit = match (worth(&completion), self.settings.rules.tool_calls) {
            (Worth::Said, _) | (Worth::CallsTools, ToolCalls::Kept) => true,
            (Worth::CallsTools, ToolCalls::Left) | (Worth::Unfit, _) => false,
        };
        if !is_fit {
            return;
        }
        let near = vicinity.and_then(|vicinity| {
            let point = vicinity.point?;
            let near =
                Near { vicinity: vicinity.key, wording: Wording::of(&vicinity.text), embedding: point.embedding };
            Some((near, point.encoder))
        });
        let bounds = (self.settings.max_entries.get(), self.settings.max_bytes);
        let until = now + self.settings.ttl;
        let life = Life { from: now, until, last: until + self.settings.stale_for };
        self.lock().put(key, Entry::new(kept, near, life), (bounds, now));
    }

    /// Forgets every answer, or those of one caller, and says how many they were.
    pub fn clear(&self, tenant: Option<&CallerId>) -> usize {
        self.lock().clear(tenant)
    }

    /// What it holds and has done. Forgets what is too old first.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        let mut stats = self.lock().stats(now);
        stats.hits = self.hits.load(Ordering::Relaxed);
        stats.similar = self.similar.load(Ordering::Relaxed);
        stats.misses = self.misses.load(Ordering::Relaxed);
        stats.saved = NanoUsd(self.saved.load(Ordering::Relaxed));
        stats
    }

    fn hit(&self, kept: Kept, age: Duration, likeness: Likeness) -> Hit {
        let count = match likeness {
            Likeness::Same => &self.hits,
            Likeness::Similar => &self.similar,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.saved.fetch_add(kept.cost.unwrap_or_default().0, Ordering::Relaxed);
        Hit { kept, age, likeness }
    }

    /// The table is whole after every statement, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The text whose meaning counts, where similar requests do.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.vicinity.as_ref().map(|vicinity| vicinity.text.as_str())
    }

    /// Sets what that text means.
    pub fn set_point(&mut self, point: Point) {
        if let Some(vicinity) = &mut self.vicinity {
            vicinity.point = Some(point);
        }
    }
}

#[cfg(test)]
mod tests;
