//! The decision cache: what was found out about an ask, for when its caller asks it again.
//!
//! In the loops of agents and in long sessions the human's ask stays what it was while tool results come in, so that one ask is scored dozens of
//! times. What is kept is what is dear and cannot come out otherwise, the scores; the choice among the models is made anew by every request.
//!
//! An entry is found by caller and ask, through a [`Key`] that cannot be made without the caller, and is true for one [`Edition`]: a swap of the
//! bundle ends it. A report that the running index learns from leaves of it what the neighbours have no part in, which is nearly all that it cost. Holds
//! digests and numbers, no text. Time is an argument; one small lock guards the table, is never held across an await, and is free again before what left
//! the table is dropped.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::cache::Key;
use crate::cache::bounded::{Bounded, Bounds, SWEEP, Weigh};
use crate::cache::table::by_tenant;
use crate::chat::options::CacheControl;
use crate::domain::cache::{CacheTotals, Recall};
use crate::domain::estimate::Estimate;
use crate::domain::ids::CallerId;
use crate::domain::neighbour::Neighbour;
use crate::domain::probability::Probability;
use crate::domain::prompt::Prompt;
use crate::domain::scores::{Edition, Scorer, Scores};

/// What an entry takes beside what its scores point at: the scores themselves, keys, orders.
const OVERHEAD: usize = 768;

/// Bounds of the decision cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionCacheSettings {
    /// How long scores are kept, refreshed or not. They do not grow wrong with age; this is how long an ask leaves a trace.
    pub ttl: Duration,
    /// Most scores. A second look at an ask has scores of its own.
    pub max_entries: NonZeroUsize,
    /// Most bytes of all scores together.
    pub max_bytes: usize,
}

/// An ask that is about to be scored.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who asks.
    pub caller: &'a CallerId,
    /// What is scored.
    pub prompt: &'a Prompt,
    /// What it is scored by, read before scoring.
    pub edition: Edition,
    /// What the caller wants of caches.
    pub control: Option<CacheControl>,
}

/// Where the scores of an ask are looked for and put.
#[derive(Clone, Debug)]
pub struct ScorePlace {
    key: Key,
    edition: Edition,
    reads: Reads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    IfThere,
    Never,
}

/// What is kept for an ask.
#[derive(Clone, Debug)]
pub enum Found {
    /// Its scores.
    True(Arc<Scores>),
    /// Scores that this generation made before it learned something.
    Outrun(Arc<Scores>),
}

/// Scores that were made.
#[derive(Debug)]
struct Kept {
    scores: Arc<Scores>,
    edition: Edition,
    until: Instant,
}

impl Weigh for Kept {
    fn bytes(&self) -> usize {
        let scores = &self.scores;
        OVERHEAD
            + scores.embedding.dimension() * size_of::<f32>()
            + scores.tasks.len() * size_of::<f64>()
            + scores.prior.len() * size_of::<Probability>()
            + scores.success.len() * size_of::<Estimate>()
            + scores.neighbourhood.neighbours.len() * size_of::<Neighbour>()
    }
}

/// The two scorers say different things about one ask.
type ScoreKey = (Key, Scorer);

/// The scores of this process.
#[derive(Debug)]
pub struct DecisionCache {
    settings: DecisionCacheSettings,
    table: Mutex<Bounded<ScoreKey, Kept>>,
    hits: AtomicU64,
    refreshed: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
    outdated: AtomicU64,
}

impl DecisionCache {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: DecisionCacheSettings) -> Self {
        let zero = || AtomicU64::new(0);
        let (hits, refreshed, misses, bypassed) = (zero(), zero(), zero(), zero());
        Self { settings, table: Mutex::default(), hits, refreshed, misses, bypassed, outdated: zero() }
    }

    /// How it is set up.
    #[must_use]
    pub const fn settings(&self) -> &DecisionCacheSettings {
        &self.settings
    }

    /// Where the scores of an ask belong. `None` where the caller wants none to be kept. `only-if-cached` is about answers, and changes nothing here.
    #[must_use]
    pub fn place(&self, ask: &Ask<'_>) -> Option<ScorePlace> {
        let reads = match ask.control {
            Some(CacheControl::Bypass) => return None,
            Some(CacheControl::Refresh) => Reads::Never,
            Some(CacheControl::OnlyIfCached) | None => Reads::IfThere,
        };
        // All that scores depend on beside the edition: `Generation::edition` promises it.
        let mut sum = Sha256::new();
        sum.update([u8::from(ask.prompt.truncated)]);
        sum.update(ask.prompt.ask.as_bytes());
        Some(ScorePlace { key: Key::new(ask.caller, sum.finalize().into()), edition: ask.edition, reads })
    }

    /// What a scorer said about the ask, where the generation is the same.
    #[must_use]
    pub fn find(&self, place: &ScorePlace, scorer: Scorer, now: Instant) -> Option<Found> {
        if place.reads == Reads::Never {
            return None;
        }
        let key = (place.key.clone(), scorer);
        let mut table = self.lock();
        let kept = table.peek(&key)?;
        let is_over = kept.until <= now;
        if !is_over && kept.edition.generation == place.edition.generation {
            let kept = table.take(&key)?;
            let scores = Arc::clone(&kept.scores);
            let is_true = kept.edition.learned >= place.edition.learned;
            return Some(if is_true { Found::True(scores) } else { Found::Outrun(scores) });
        }
        let gone = if is_over { table.expire(&key) } else { table.remove(&key) };
        drop(table);
        if !is_over {
            self.outdated.fetch_add(1, Ordering::Relaxed);
        }
        drop(gone);
        None
    }

    /// Keeps what a scorer said about the ask. Only scores that came about as they should: what failed for want of time or room is no
    /// scores. Makes room: what is too old goes first, then what was not asked for for longest.
    pub fn keep(&self, place: &ScorePlace, scores: &Arc<Scores>, now: Instant) {
        let kept = Kept { scores: Arc::clone(scores), edition: place.edition, until: now + self.settings.ttl };
        let bounds = self.bounds();
        if kept.bytes() > bounds.bytes {
            return;
        }
        let mut table = self.lock();
        let replaced = table.put((place.key.clone(), scores.scorer), kept);
        let old = table.sweep(SWEEP, |kept| kept.until <= now);
        let pushed = table.make_room(bounds);
        drop(table);
        drop((replaced, old, pushed));
    }

    /// Keeps refreshed scores in place of those that they were made of, for what is left of their time.
    pub fn refresh(&self, place: &ScorePlace, scores: &Arc<Scores>) {
        let key = (place.key.clone(), scores.scorer);
        let mut table = self.lock();
        let mut replaced = Arc::clone(scores);
        table.change_one(&key, |kept| {
            if kept.edition.generation == place.edition.generation && kept.edition.learned < place.edition.learned {
                std::mem::swap(&mut kept.scores, &mut replaced);
                kept.edition = place.edition;
            }
        });
        let pushed = table.make_room(self.bounds());
        drop(table);
        drop((replaced, pushed));
    }

    const fn bounds(&self) -> Bounds {
        Bounds { entries: self.settings.max_entries.get(), bytes: self.settings.max_bytes }
    }

    /// A request was decided.
    pub fn count(&self, recall: Recall) {
        let count = match recall {
            Recall::Hit => &self.hits,
            Recall::Refreshed => &self.refreshed,
            Recall::Miss => &self.misses,
            Recall::Bypass => &self.bypassed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets all scores, or those of one caller's asks, and says how many they were.
    pub fn clear(&self, tenant: Option<&CallerId>) -> usize {
        let gone = self.lock().remove_where(|(key, _)| tenant.is_none_or(|tenant| key.tenant == *tenant));
        gone.len()
    }

    /// What it holds and has done. Forgets what is too old first.
    #[must_use]
    pub fn totals(&self, now: Instant) -> CacheTotals {
        let mut table = self.lock();
        let gone = table.sweep(usize::MAX, |kept| kept.until <= now);
        let held = table.totals();
        drop(table);
        drop(gone);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheTotals {
            hits: count(&self.hits),
            refreshed: count(&self.refreshed),
            misses: count(&self.misses),
            bypassed: count(&self.bypassed),
            outdated: count(&self.outdated),
            ..held
        }
    }

    /// Scores and bytes by caller. Looks at every entry while requests wait, so it is for people to ask and not for every scrape.
    #[must_use]
    pub fn tenants(&self) -> BTreeMap<CallerId, (usize, usize)> {
        by_tenant(self.lock().iter().map(|((key, _), kept)| (&key.tenant, kept.bytes())))
    }

    /// The table is whole after every statement, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Bounded<ScoreKey, Kept>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
