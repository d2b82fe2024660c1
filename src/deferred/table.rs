//! The entries of the queue, by their references.
//!
//! Everything that is found otherwise, by age or by turn, is kept in order beside them, so that nobody who waits for the lock waits for a search.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deferred::entry::{ENTRY, Entry, Request, State};
use crate::deferred::holdings::Holdings;
use crate::deferred::{Ending, New, Taken, View, look_every};
use crate::domain::deferred::{DeferredEvent, DeferredSettings, DeferredStatus, DeferredTotals, NotDeferred};
use crate::domain::ids::{CallerId, DeferredId};

/// How many requests are looked at before the lock is free for others.
const LOOKS: usize = 64;

/// The entries, with what was counted of them. Only [`Table::insert`] and [`Table::take_out`] change which there are and how they stand.
#[derive(Debug)]
pub(super) struct Table<R> {
    settings: DeferredSettings,
    entries: BTreeMap<DeferredId, Entry<R>>,
    holdings: Holdings,
    /// Those whose time is not over, by when it is.
    live: BTreeSet<(Instant, DeferredId)>,
    /// Those whose time is over, by when it was.
    over: BTreeSet<(Instant, DeferredId)>,
    totals: DeferredTotals,
    is_closed: bool,
}

impl<R> Table<R> {
    pub(super) fn new(settings: DeferredSettings) -> Self {
        Self {
            settings,
            entries: BTreeMap::new(),
            holdings: Holdings::new(&settings),
            live: BTreeSet::new(),
            over: BTreeSet::new(),
            totals: DeferredTotals::default(),
            is_closed: false,
        }
    }

    pub(super) fn put(&mut self, new: New<R>, now: Instant) -> Result<(), NotDeferred> {
        let room = self.make_room(&new, now);
        self.totals.count(if room.is_ok() { DeferredEvent::Queued } else { DeferredEvent::Refused });
        room?;
        let request = Request { it: Arc::new(new.request), bytes: new.bytes };
        let entry = Entry {
            caller: new.caller,
            created_unix_ms: new.created_unix_ms,
            expires: now + self.settings.keep_for,
            tries: 0,
            state: State::Queued { request, due: now + self.settings.pause_after(0) },
            problem: None,
        };
        self.insert(new.id, entry);
        Ok(())
    }

    /// Nothing gives way for a request that would be refused all the same.
    fn make_room(&mut self, new: &New<R>, now: Instant) -> Result<(), NotDeferred> {
        if self.is_closed {
            return Err(NotDeferred::Stopping);
        }
        let bytes = Request::<R>::waiting(new.bytes);
        if bytes > self.settings.max_bytes {
            return Err(NotDeferred::TooLarge);
        }
        self.sweep(now);
        if self.live.len() >= self.settings.max_entries.get() {
            return Err(NotDeferred::Full);
        }
        let lasting = self.totals.bytes.saturating_sub(self.over.len() * ENTRY);
        if lasting.saturating_add(bytes) > self.settings.max_bytes {
            return Err(NotDeferred::NoRoom);
        }
        if !self.holdings.have_room(&new.caller, bytes) {
            return Err(NotDeferred::CallerFull);
        }
        while self.entries.len() >= self.settings.max_entries.get() && self.drop_expired() {}
        let _is_within = self.fits(bytes);
        Ok(())
    }

    /// Whether there is room for so many bytes more. What is expired makes it.
    fn fits(&mut self, bytes: usize) -> bool {
        loop {
            if self.totals.bytes.saturating_add(bytes) <= self.settings.max_bytes {
                return true;
            }
            if !self.drop_expired() {
                return false;
            }
        }
    }

    /// Drops the entry whose time is over for longest. Whether there was one.
    fn drop_expired(&mut self) -> bool {
        let oldest = self.over.first().map(|(_, id)| *id);
        oldest.and_then(|id| self.take_out(id)).is_some()
    }

    /// Goes on where there is more to look at.
    pub(super) fn take(&mut self, now: Instant, is_worth: impl Fn(&R) -> bool) -> ControlFlow<Option<Taken<R>>> {
        self.sweep(now);
        // Answers may take more room than there is, but no more than those that are under way.
        if !self.fits(0) {
            return ControlFlow::Break(None);
        }
        let mut turns = self.holdings.turns(now);
        for _ in 0..LOOKS {
            let Some(turn) = turns.pop_first() else { return ControlFlow::Break(None) };
            match self.start(turn.id, now, &is_worth) {
                Some(taken) => return ControlFlow::Break(Some(taken)),
                None => turns.extend(self.holdings.turn(&turn.caller, now)),
            }
        }
        ControlFlow::Continue(())
    }

    /// Begins a try; a request that is not worth one now is looked at again a little later.
    fn start(&mut self, id: DeferredId, now: Instant, is_worth: impl Fn(&R) -> bool) -> Option<Taken<R>> {
        let State::Queued { request, .. } = &self.entries.get(&id)?.state else { return None };
        let request = request.clone();
        // Asked while the entry is in its place, so that not even a panic loses it.
        let is_worth = is_worth(&request.it);
        let entry = self.take_out(id)?;
        if !is_worth {
            let due = now + look_every(&self.settings);
            self.insert(id, Entry { state: State::Queued { request, due }, ..entry });
            return None;
        }
        let cancel = CancellationToken::new();
        let taken = Taken { id, request: Arc::clone(&request.it), expires: entry.expires, cancel: cancel.clone() };
        let tries = entry.tries.saturating_add(1);
        self.insert(id, Entry { state: State::Running { request, cancel }, tries, ..entry });
        self.totals.count(DeferredEvent::Tried);
        Some(taken)
    }

    pub(super) fn settle(&mut self, id: DeferredId, ending: Ending, now: Instant) {
        self.sweep(now);
        let is_running = |entry: &Entry<R>| entry.state.status() == DeferredStatus::Running;
        if !self.entries.get(&id).is_some_and(is_running) {
            return;
        }
        let Some(entry) = self.take_out(id) else { return };
        let (state, problem) = match ending {
            Ending::Answered(answer) => (State::Done(Arc::new(answer)), None),
            Ending::Again(problem) => (self.after_a_try(&entry, now), Some(problem.into())),
            Ending::Failed(problem) => (State::Failed, Some(problem.into())),
        };
        let entry = Entry { state, problem, ..entry };
        // An answer that was paid for is kept even where there is no room, which only makes the next tries wait.
        let _is_within = self.fits(entry.bytes());
        self.conclude(id, entry);
    }

    /// Puts back what is under way. Nothing was said of the tries, but they were made.
    pub(super) fn put_back(&mut self, now: Instant) {
        let is_running = |entry: &Entry<R>| entry.state.status() == DeferredStatus::Running;
        let running: Vec<DeferredId> =
            self.entries.iter().filter(|(_, entry)| is_running(entry)).map(|(id, _)| *id).collect();
        for id in running {
            let Some(entry) = self.remove(id) else { continue };
            let state = self.after_a_try(&entry, now);
            self.conclude(id, Entry { state, ..entry });
        }
    }

    /// How an entry stands whose try gave nothing: it waits for the next one, where it has one left.
    fn after_a_try(&self, entry: &Entry<R>, now: Instant) -> State<R> {
        match &entry.state {
            State::Queued { request, .. } | State::Running { request, .. }
                if entry.tries < self.settings.max_tries.get() =>
            {
                State::Queued { request: request.clone(), due: now + self.settings.pause_after(entry.tries) }
            }
            State::Queued { .. } | State::Running { .. } | State::Done(_) | State::Failed | State::Expired => {
                State::Failed
            }
        }
    }

    /// Puts an entry in after a try.
    fn conclude(&mut self, id: DeferredId, entry: Entry<R>) {
        match entry.state.status() {
            DeferredStatus::Done => self.totals.count(DeferredEvent::Done),
            DeferredStatus::Failed => self.totals.count(DeferredEvent::Failed),
            DeferredStatus::Queued | DeferredStatus::Running | DeferredStatus::Expired => {}
        }
        self.insert(id, entry);
    }

    pub(super) fn view(&mut self, id: DeferredId, caller: &CallerId, now: Instant) -> Option<View> {
        self.sweep(now);
        Some(self.entries.get(&id).filter(|entry| entry.caller == *caller)?.view(&self.settings))
    }

    pub(super) fn delete(&mut self, id: DeferredId, caller: &CallerId, now: Instant) -> Option<DeferredStatus> {
        self.sweep(now);
        self.entries.get(&id).filter(|entry| entry.caller == *caller)?;
        let gone = self.remove(id)?;
        if gone.state.is_unanswered() {
            self.totals.count(DeferredEvent::Deleted);
        }
        Some(gone.state.status())
    }

    pub(super) fn abandon(&mut self, id: DeferredId) {
        if self.remove(id).is_some() {
            self.totals.count(DeferredEvent::Abandoned);
        }
    }

    pub(super) fn close(&mut self) -> usize {
        self.is_closed = true;
        let mut dropped = 0;
        while let Some(id) = self.entries.first_key_value().map(|(id, _)| *id) {
            let Some(entry) = self.remove(id) else { break };
            if entry.state.is_unanswered() {
                self.totals.count(DeferredEvent::Dropped);
                dropped += 1;
            }
        }
        dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn totals(&mut self, now: Instant) -> DeferredTotals {
        self.sweep(now);
        self.totals
    }

    /// Empties the entries whose time is over, and forgets those for which it is over for as long again.
    fn sweep(&mut self, now: Instant) {
        while let Some(&(_, id)) = self.live.first().filter(|(expires, _)| *expires <= now) {
            let Some(entry) = self.remove(id) else { break };
            if entry.state.is_unanswered() {
                self.totals.count(DeferredEvent::Expired);
            }
            self.insert(id, Entry { state: State::Expired, problem: None, ..entry });
        }
        let keep_for = self.settings.keep_for;
        while self.over.first().is_some_and(|(expired, _)| *expired + keep_for <= now) && self.drop_expired() {}
    }

    fn insert(&mut self, id: DeferredId, entry: Entry<R>) {
        self.totals.bytes += entry.bytes();
        self.totals.add(entry.state.status());
        if entry.state.status() == DeferredStatus::Expired {
            self.over.insert((entry.expires, id));
        } else {
            self.live.insert((entry.expires, id));
            self.holdings.add(id, &entry);
        }
        self.entries.insert(id, entry);
    }

    /// Takes an entry out to change it, or for good.
    fn take_out(&mut self, id: DeferredId) -> Option<Entry<R>> {
        let entry = self.entries.remove(&id)?;
        self.totals.bytes -= entry.bytes();
        self.totals.remove(entry.state.status());
        if entry.state.status() == DeferredStatus::Expired {
            self.over.remove(&(entry.expires, id));
        } else {
            self.live.remove(&(entry.expires, id));
            self.holdings.remove(id, &entry);
        }
        Some(entry)
    }

    /// Takes an entry out, and ends the call that is made for it.
    fn remove(&mut self, id: DeferredId) -> Option<Entry<R>> {
        let entry = self.take_out(id)?;
        entry.state.cancel();
        Some(entry)
    }
}
