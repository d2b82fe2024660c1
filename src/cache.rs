//! Answers that are given again: the same request, or nearly the same, of the same caller. In this process, in bounded memory.
//! [`decisions`] holds what was found out about an ask, for when it is asked again.
//!
//! Start at [`Cache::place`]: it says where a request's answer is looked for and put. A [`Key`] cannot be made without the caller, so that no
//! caller ever reads another's answers. Time is an argument; one small lock guards the table and is never held across an await. When the
//! table is full, the answer that was not asked for for longest goes. What may be kept is decided by [`Rules`], in one place.
//!
//! Nearly the same means: the last user message differs and nothing else does, its embedding is at least as near as configured, and the
//! [`guard`] finds no difference that embeddings do not feel. An embedding only compares with those of the same encoder.

mod bounded;
pub mod decisions;
pub mod guard;
mod table;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::cache::bounded::Bounds;
use crate::cache::guard::Wording;
use crate::cache::table::{Alike, Entry, Life, Near, Table};
use crate::chat::openai::ChatRequest;
use crate::chat::openai::sameness::{Apart, Digest, Sampling};
use crate::chat::options::CacheControl;
use crate::chat::worth::{Worth, worth};
use crate::domain::cache::CacheTotals;
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

/// Where similar requests are: all that agree in everything but the last message, and in its wording.
#[derive(Clone, Debug)]
struct Vicinity {
    alike: Alike,
    meaning: Meaning,
}

/// What the last message means, or its text while nobody has looked.
#[derive(Clone, Debug)]
enum Meaning {
    Unread(String),
    Read(Point),
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

/// The answers of this process.
#[derive(Debug)]
pub struct Cache {
    settings: CacheSettings,
    table: Mutex<Table>,
    hits: AtomicU64,
    similar: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
    saved: AtomicU64,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: CacheSettings) -> Self {
        let zero = || AtomicU64::new(0);
        let (hits, similar, misses, bypassed, saved) = (zero(), zero(), zero(), zero(), zero());
        Self { settings, table: Mutex::default(), hits, similar, misses, bypassed, saved }
    }

    /// How it is set up.
    #[must_use]
    pub const fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// Where a caller's request belongs. `None` where it takes no part, which is counted: by the caller's wish, or because the answer would
    /// not be fit to be given again.
    #[must_use]
    pub fn place(&self, tenant: &CallerId, chat: &ChatRequest) -> Option<Place> {
        let place = self.place_of(tenant, chat);
        if place.is_none() {
            self.bypassed.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    fn place_of(&self, tenant: &CallerId, chat: &ChatRequest) -> Option<Place> {
        let (reads, writes) = match chat.options.cache {
            Some(CacheControl::Bypass) => return None,
            Some(CacheControl::Refresh) => (Reads::Never, Writes::Always),
            Some(CacheControl::OnlyIfCached) => (Reads::IfThere, Writes::Never),
            None => (Reads::IfThere, Writes::Always),
        };
        let is_fit = match (self.settings.rules.temperatures, chat.sampling()) {
            (Temperatures::Any, _) | (_, Sampling::Greedy) | (Temperatures::Unset, Sampling::Unsaid) => true,
            (Temperatures::Zero, Sampling::Unsaid) | (Temperatures::Zero | Temperatures::Unset, Sampling::Random) => {
                false
            }
        };
        // What runs at a provider may answer otherwise every time, and what it says has no words in other dialects, in
        // which answers are kept; nor may what is asked for in words of the dialect alone.
        if !is_fit || chat.stores() || chat.prompt.shape.hosted.is_some() || chat.has_words_of_its_own() {
            return None;
        }
        let apart = match self.settings.matching {
            Matching::Exact => Apart::Not,
            Matching::Similar(_) => Apart::Wanted,
        };
        let request = chat.sameness(apart)?;
        let vicinity = request.ask.map(|apart| Vicinity {
            alike: Alike { vicinity: Key::new(tenant, apart.rest), wording: Wording::of(&apart.text) },
            meaning: Meaning::Unread(apart.text),
        });
        Some(Place { key: Key::new(tenant, request.digest), vicinity, reads, writes })
    }

    /// The answer to the same request.
    #[must_use]
    pub fn same(&self, place: &Place, now: Instant) -> Option<Hit> {
        if place.reads == Reads::Never {
            return None;
        }
        let (kept, age) = self.lock().get(&place.key, now)?;
        Some(Hit { kept, age, likeness: Likeness::Same })
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

    /// Whether there is an answer to a request that is worded alike, so that it is worth finding out what the last message means. `encoder` is
    /// the digest of the one that would be asked.
    #[must_use]
    pub fn has_alike(&self, place: &Place, encoder: &str) -> bool {
        let vicinity = place.vicinity.as_ref().filter(|_| place.reads == Reads::IfThere);
        vicinity.is_some_and(|vicinity| self.lock().has_alike(&vicinity.alike, encoder))
    }

    /// The answer to the most similar request that is similar enough. None where the meaning of the last message was not set.
    #[must_use]
    pub fn similar(&self, place: &Place, now: Instant) -> Option<Hit> {
        let Matching::Similar(least) = self.settings.matching else { return None };
        let vicinity = place.vicinity.as_ref().filter(|_| place.reads == Reads::IfThere)?;
        let Meaning::Read(point) = &vicinity.meaning else { return None };
        let (kept, age) = self.lock().nearest(&vicinity.alike, (least, point), now)?;
        Some(Hit { kept, age, likeness: Likeness::Similar })
    }

    /// An answer that was found is given again.
    pub fn answered(&self, hit: &Hit) {
        let count = match hit.likeness {
            Likeness::Same => &self.hits,
            Likeness::Similar => &self.similar,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.saved.fetch_add(hit.kept.cost.unwrap_or_default().0, Ordering::Relaxed);
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
        let near = vicinity.and_then(|Vicinity { alike, meaning }| match meaning {
            Meaning::Unread(_) => None,
            Meaning::Read(Point { embedding, encoder }) => Some((Near { alike, embedding }, encoder)),
        });
        let bounds = Bounds { entries: self.settings.max_entries.get(), bytes: self.settings.max_bytes };
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
    pub fn totals(&self, now: Instant) -> CacheTotals {
        let held = self.lock().totals(now);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheTotals {
            hits: count(&self.hits),
            similar: count(&self.similar),
            misses: count(&self.misses),
            bypassed: count(&self.bypassed),
            saved: NanoUsd(count(&self.saved)),
            ..held
        }
    }

    /// Answers and bytes by caller. Looks at every entry while requests wait, so it is for people to ask and not for every scrape.
    #[must_use]
    pub fn tenants(&self) -> BTreeMap<CallerId, (usize, usize)> {
        self.lock().tenants()
    }

    /// The table is whole after every statement, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The text whose meaning counts and is not known yet. None where only the same request does.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.vicinity.as_ref()?.meaning {
            Meaning::Unread(text) => Some(text),
            Meaning::Read(_) => None,
        }
    }

    /// Whether an answer may be put there.
    #[must_use]
    pub fn takes(&self) -> bool {
        self.writes == Writes::Always
    }

    /// Sets what that text means.
    pub fn set_point(&mut self, point: Point) {
        if let Some(vicinity) = &mut self.vicinity {
            vicinity.meaning = Meaning::Read(point);
        }
    }
}

#[cfg(test)]
mod tests;
