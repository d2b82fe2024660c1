//! What each caller has in the queue, so that none crowds the others out, and whose turn it is.
//!
//! What is expired belongs to nobody: it gives way as soon as its place is needed.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::deferred::entry::{Entry, State};
use crate::domain::deferred::DeferredSettings;
use crate::domain::ids::{CallerId, DeferredId};

/// Entries that every caller may have whatever its share. One of them may be larger than its share.
const ALWAYS: usize = 8;

/// The callers that have something in the queue.
#[derive(Debug)]
pub(super) struct Holdings {
    callers: HashMap<CallerId, Holding>,
    most_entries: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Holding {
    entries: usize,
    bytes: usize,
    /// How many of the entries are being asked.
    running: usize,
    /// Those that wait, by when they are due.
    queued: BTreeSet<(Instant, DeferredId)>,
}

/// The next entry of a caller, in the order of turns: who has least under way comes first, then what is due for longest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    running: usize,
    due: Instant,
    pub(super) id: DeferredId,
    pub(super) caller: CallerId,
}

impl Holdings {
    pub(super) fn new(settings: &DeferredSettings) -> Self {
        let share = |all: usize| (all as f64 * settings.caller_share).floor() as usize;
        Self {
            callers: HashMap::new(),
            most_entries: share(settings.max_entries.get()).max(ALWAYS),
            most_bytes: share(settings.max_bytes),
        }
    }

    /// Whether a caller may have one entry of so many bytes more.
    pub(super) fn have_room(&self, caller: &CallerId, bytes: usize) -> bool {
        self.callers.get(caller).is_none_or(|holding| {
            holding.entries < self.most_entries && holding.bytes.saturating_add(bytes) <= self.most_bytes
        })
    }

    pub(super) fn add<R>(&mut self, id: DeferredId, entry: &Entry<R>) {
        let holding = self.callers.entry(entry.caller.clone()).or_default();
        holding.entries += 1;
        holding.bytes += entry.bytes();
        match &entry.state {
            State::Queued { due, .. } => {
                holding.queued.insert((*due, id));
            }
            State::Running { .. } => holding.running += 1,
            State::Done(_) | State::Failed | State::Expired => {}
        }
    }

    pub(super) fn remove<R>(&mut self, id: DeferredId, entry: &Entry<R>) {
        let Some(holding) = self.callers.get_mut(&entry.caller) else { return };
        holding.entries -= 1;
        holding.bytes -= entry.bytes();
        match &entry.state {
            State::Queued { due, .. } => {
                holding.queued.remove(&(*due, id));
            }
            State::Running { .. } => holding.running -= 1,
            State::Done(_) | State::Failed | State::Expired => {}
        }
        if holding.entries == 0 {
            self.callers.remove(&entry.caller);
        }
    }

    /// The next turn of every caller that has one now.
    pub(super) fn turns(&self, now: Instant) -> BTreeSet<Turn> {
        self.callers.iter().filter_map(|(caller, holding)| self.next(caller, holding, now)).collect()
    }

    /// The next turn of a caller, if it has one now.
    pub(super) fn turn(&self, caller: &CallerId, now: Instant) -> Option<Turn> {
        self.next(caller, self.callers.get(caller)?, now)
    }

    /// Whose answers take more than its share waits until it fetched and deleted some.
    fn next(&self, caller: &CallerId, holding: &Holding, now: Instant) -> Option<Turn> {
        let is_over = holding.bytes > self.most_bytes && holding.entries > 1;
        let (due, id) = *holding.queued.first().filter(|(due, _)| !is_over && *due <= now)?;
        Some(Turn { running: holding.running, due, id, caller: caller.clone() })
    }
}
