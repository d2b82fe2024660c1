//! Which model each conversation is on: in this process, in bounded memory, and without a word of what was said.
//!
//! A session is found by the caller and the name it gave, or, where it gave none, by a digest of how the conversation opened. One small lock
//! guards the table and is never held across an await. Time is an argument. When the table is full, the session that was idle for longest
//! is forgotten; its next turn is decided like a first one.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::ids::{CallerId, ModelName};

/// Fewer input tokens than this are cached by no provider that is known to us.
pub const LEAST_CACHED: u64 = 1_024;

/// How long providers keep a prompt in their caches after its last use: five minutes with most.
pub const CACHED_FOR: Duration = Duration::from_secs(300);

/// Most idle sessions forgotten by one note, so that no request pays for a quiet night.
const SWEEP: usize = 64;

/// Bounds of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// After this long without a turn a session starts anew.
    pub idle_reset: Duration,
    /// Most sessions remembered.
    pub max_sessions: NonZeroUsize,
}

/// What binds requests into a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread<'a> {
    /// The name that the caller gave.
    Named(&'a str),
    /// The digest of the conversation's opening.
    Opening(u64),
}

/// Finds a session. Holds no text: names and openings are hashed with a key of this process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    caller: CallerId,
    thread: u64,
}

/// What a session holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldModel {
    /// The model that its last turns were decided for.
    pub model: ModelName,
    /// The input tokens of the last turn, which the model's provider has probably cached; zero where they are too few or too long ago.
    pub cached_tokens: u64,
}

/// A turn that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The chosen model.
    pub model: ModelName,
    /// The place of its tier, 0 the weakest.
    pub rank: usize,
    /// The input tokens of the request.
    pub input_tokens: u64,
    /// Whether the turn makes the entry a session that is counted.
    pub standing: Standing,
}

/// Whether an entry is a session yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The caller named the session, or the conversation has gone on.
    Session,
    /// The first request of what may become a conversation.
    Opening,
}

/// What noting a turn did to the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Sessions in the table now.
    pub live: usize,
    /// Sessions that had been idle for too long and were forgotten.
    pub reset: u64,
    /// Sessions that were forgotten because the table was full.
    pub evicted: u64,
}

/// The sessions of this process.
#[derive(Debug)]
pub struct Sessions {
    settings: SessionSettings,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<SessionKey, Entry>,
    /// Every key by when it was last used, the longest idle first.
    order: BTreeMap<u64, SessionKey>,
    tick: u64,
    live: usize,
}

#[derive(Debug)]
struct Entry {
    model: ModelName,
    rank: usize,
    input_tokens: u64,
    /// When the session's last turn was.
    last: Instant,
    /// When its model last answered one.
    answered: Instant,
    tick: u64,
    standing: Standing,
}

impl Sessions {
    /// An empty table.
    #[must_use]
    pub fn new(settings: SessionSettings) -> Self {
        Self { settings, hasher: RandomState::new(), table: Mutex::default() }
    }

    /// The key of a caller's session. The same name of another caller is another key.
    #[must_use]
    pub fn key(&self, caller: &CallerId, thread: Thread<'_>) -> SessionKey {
        let thread = match thread {
            Thread::Named(name) => self.hasher.hash_one(("named", name)),
            Thread::Opening(digest) => self.hasher.hash_one(("opening", digest)),
        };
        SessionKey { caller: caller.clone(), thread }
    }

    /// What a session holds, unless it is unknown or was idle for too long.
    #[must_use]
    pub fn held(&self, key: &SessionKey, now: Instant) -> Option<HeldModel> {
        let table = self.lock();
        let entry = table.entries.get(key).filter(|entry| !self.is_idle(entry, now))?;
        let is_warm = now.saturating_duration_since(entry.answered) < CACHED_FOR;
        let cached_tokens = if is_warm && entry.input_tokens >= LEAST_CACHED { entry.input_tokens } else { 0 };
        Some(HeldModel { model: entry.model.clone(), cached_tokens })
    }

    /// Remembers a turn. A live session moves to a model of a tier that is not weaker than its own; a weaker model answered this turn alone.
    /// Forgets what has been idle for too long, and the longest idle beyond the bound.
    pub fn note(&self, key: SessionKey, turn: Turn, now: Instant) -> Noted {
        let mut table = self.lock();
        let mut noted = Noted::default();
        let before = table.remove(&key);
        if before.as_ref().is_some_and(|entry| self.is_idle(entry, now) && entry.standing == Standing::Session) {
            noted.reset += 1;
        }
        table.insert(key, following(before.filter(|entry| !self.is_idle(entry, now)), turn, now));
        for _ in 0..SWEEP {
            let Some(idlest) = table.idlest().filter(|entry| self.is_idle(entry, now)) else { break };
            noted.reset += u64::from(idlest.standing == Standing::Session);
            table.remove_idlest();
        }
        while table.entries.len() > self.settings.max_sessions.get() {
            let Some(idlest) = table.idlest() else { break };
            noted.evicted += u64::from(idlest.standing == Standing::Session);
            table.remove_idlest();
        }
        Noted { live: table.live, ..noted }
    }

    fn is_idle(&self, entry: &Entry, now: Instant) -> bool {
        now.saturating_duration_since(entry.last) >= self.settings.idle_reset
    }

    /// The table is whole after every statement, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry after a turn.
fn following(before: Option<Entry>, turn: Turn, now: Instant) -> Entry {
    let Turn { model, rank, input_tokens, standing } = turn;
    match before {
        Some(entry) if entry.rank > rank => {
            let standing = if standing == Standing::Session { standing } else { entry.standing };
            Entry { last: now.max(entry.last), standing, ..entry }
        }
        Some(entry) => {
            let standing = if entry.standing == Standing::Session { entry.standing } else { standing };
            let last = now.max(entry.last);
            Entry { model, rank, input_tokens, last, answered: last, tick: 0, standing }
        }
        None => Entry { model, rank, input_tokens, last: now, answered: now, tick: 0, standing },
    }
}

impl Table {
    fn idlest(&self) -> Option<&Entry> {
        let (_, key) = self.order.first_key_value()?;
        self.entries.get(key)
    }

    fn remove_idlest(&mut self) {
        if let Some((_, key)) = self.order.pop_first()
            && let Some(entry) = self.entries.remove(&key)
        {
            self.live -= usize::from(entry.standing == Standing::Session);
        }
    }

    fn remove(&mut self, key: &SessionKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.tick);
        self.live -= usize::from(entry.standing == Standing::Session);
        Some(entry)
    }

    fn insert(&mut self, key: SessionKey, entry: Entry) {
        self.tick += 1;
        self.live += usize::from(entry.standing == Standing::Session);
        self.order.insert(self.tick, key.clone());
        self.entries.insert(key, Entry { tick: self.tick, ..entry });
    }
}

#[cfg(test)]
mod tests;
