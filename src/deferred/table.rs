//! The entries of the queue, by their references.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deferred::{Answer, Ending, New, QueueSettings, Taken, View};
use crate::domain::deferred::{DeferredEvent, DeferredStatus, DeferredTotals, NotDeferred};
use crate::domain::ids::{CallerId, DeferredId};

/// About how many bytes an entry takes beside what it holds.
const ENTRY: usize = 256;

/// The entries, with what was counted of them.
#[derive(Debug)]
pub(super) struct Table<R> {
    settings: QueueSettings,
    entries: BTreeMap<DeferredId, Entry<R>>,
    bytes: usize,
    events: [u64; DeferredEvent::ALL.len()],
    /// When the time of an entry is over next; nothing is to be looked through before.
    next: Option<Instant>,
    is_closed: bool,
}

#[derive(Debug)]
struct Entry<R> {
    caller: CallerId,
    created_unix_ms: u64,
    expires: Instant,
    tries: u32,
    state: State<R>,
    problem: Option<Arc<RawValue>>,
}

#[derive(Debug)]
enum State<R> {
    Queued {
        request: Request<R>,
        due: Instant,
    },
    Running {
        request: Request<R>,
        cancel: CancellationToken,
    },
    Done(Arc<Answer>),
    Failed,
    /// What is left to say so for as long again, while nobody needs its place.
    Expired,
}

#[derive(Debug)]
struct Request<R> {
    it: Arc<R>,
    bytes: usize,
}

impl<R> Clone for Request<R> {
    fn clone(&self) -> Self {
        Self { it: Arc::clone(&self.it), bytes: self.bytes }
    }
}

impl<R> State<R> {
    const fn status(&self) -> DeferredStatus {
        match self {
            Self::Queued { .. } => DeferredStatus::Queued,
            Self::Running { .. } => DeferredStatus::Running,
            Self::Done(_) => DeferredStatus::Done,
            Self::Failed => DeferredStatus::Failed,
            Self::Expired => DeferredStatus::Expired,
        }
    }

    const fn is_unanswered(&self) -> bool {
        match self {
            Self::Queued { .. } | Self::Running { .. } => true,
            Self::Done(_) | Self::Failed | Self::Expired => false,
        }
    }

    /// Ends the call that is made for it, if one is.
    fn cancel(&self) {
        match self {
            Self::Running { cancel, .. } => cancel.cancel(),
            Self::Queued { .. } | Self::Done(_) | Self::Failed | Self::Expired => {}
        }
    }
}

impl<R> Entry<R> {
    fn bytes(&self) -> usize {
        let held = match &self.state {
            State::Queued { request, .. } | State::Running { request, .. } => request.bytes,
            State::Done(answer) => answer.body.get().len(),
            State::Failed | State::Expired => 0,
        };
        ENTRY + held + self.problem.as_ref().map_or(0, |problem| problem.get().len())
    }

    fn view(&self, settings: &QueueSettings) -> View {
        let kept_ms = u64::try_from(settings.keep_for.as_millis()).unwrap_or(u64::MAX);
        View {
            status: self.state.status(),
            created_unix_ms: self.created_unix_ms,
            expires_unix_ms: self.created_unix_ms.saturating_add(kept_ms),
            tries: self.tries,
            answer: match &self.state {
                State::Done(answer) => Some(Arc::clone(answer)),
                State::Queued { .. } | State::Running { .. } | State::Failed | State::Expired => None,
            },
            problem: self.problem.clone(),
        }
    }
}

impl<R> Table<R> {
    pub(super) const fn new(settings: QueueSettings) -> Self {
        let events = [0; DeferredEvent::ALL.len()];
        Self { settings, entries: BTreeMap::new(), bytes: 0, events, next: None, is_closed: false }
    }

    pub(super) fn put(&mut self, new: New<R>, now: Instant) -> Result<(), NotDeferred> {
        let room = self.make_room(&new, now);
        self.count(if room.is_ok() { DeferredEvent::Queued } else { DeferredEvent::Refused });
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
        self.next = Some(self.next.map_or(entry.expires, |next| next.min(entry.expires)));
        self.insert(new.id, entry);
        Ok(())
    }

    fn make_room(&mut self, new: &New<R>, now: Instant) -> Result<(), NotDeferred> {
        if self.is_closed {
            return Err(NotDeferred::Stopping);
        }
        self.sweep(now);
        loop {
            let is_full = self.entries.len() >= self.settings.max_entries.get();
            let is_too_large = self.bytes + ENTRY + new.bytes > self.settings.max_bytes;
            match (is_full, is_too_large) {
                (false, false) => return Ok(()),
                _ if self.drop_expired() => {}
                (true, _) => return Err(NotDeferred::Full),
                (false, true) => return Err(NotDeferred::TooLarge),
            }
        }
    }

    /// Drops the entry whose time is over for longest. Whether there was one.
    fn drop_expired(&mut self) -> bool {
        let expired = self.entries.iter().filter(|(_, entry)| entry.state.status() == DeferredStatus::Expired);
        let oldest = expired.min_by_key(|(_, entry)| entry.expires).map(|(id, _)| *id);
        oldest.and_then(|id| self.remove(id)).is_some()
    }

    pub(super) fn take(&mut self, now: Instant, is_worth: impl Fn(&R) -> bool) -> Option<Taken<R>> {
        self.sweep(now);
        let due = |(id, entry): (&DeferredId, &Entry<R>)| match &entry.state {
            State::Queued { request, due } if *due <= now && is_worth(&request.it) => Some((*due, *id)),
            State::Queued { .. } | State::Running { .. } | State::Done(_) | State::Failed | State::Expired => None,
        };
        let (_, id) = self.entries.iter().filter_map(due).min()?;
        let entry = self.entries.get_mut(&id)?;
        let State::Queued { request, .. } = &entry.state else { return None };
        let (request, cancel) = (request.clone(), CancellationToken::new());
        let taken = Taken { id, request: Arc::clone(&request.it), expires: entry.expires, cancel: cancel.clone() };
        entry.state = State::Running { request, cancel };
        entry.tries = entry.tries.saturating_add(1);
        self.count(DeferredEvent::Tried);
        Some(taken)
    }

    pub(super) fn settle(&mut self, id: DeferredId, ending: Ending, now: Instant) -> Result<(), NotDeferred> {
        self.sweep(now);
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let State::Running { request, .. } = &entry.state else { return Ok(()) };
        let before = entry.bytes();
        let event = match ending {
            Ending::Answered(answer) => {
                let after = self.bytes.saturating_sub(before) + ENTRY + answer.body.get().len();
                if after > self.settings.max_bytes {
                    return Err(NotDeferred::TooLarge);
                }
                (entry.state, entry.problem) = (State::Done(Arc::new(answer)), None);
                Some(DeferredEvent::Done)
            }
            Ending::Again(problem) => {
                let due = now + self.settings.pause_after(entry.tries);
                let request = request.clone();
                (entry.state, entry.problem) = (State::Queued { request, due }, Some(problem.into()));
                None
            }
            Ending::Failed(problem) => {
                (entry.state, entry.problem) = (State::Failed, Some(problem.into()));
                Some(DeferredEvent::Failed)
            }
        };
        self.bytes = self.bytes.saturating_sub(before) + entry.bytes();
        if let Some(event) = event {
            self.count(event);
        }
        Ok(())
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
            self.count(DeferredEvent::Deleted);
        }
        Some(gone.state.status())
    }

    pub(super) fn abandon(&mut self, id: DeferredId) {
        if self.remove(id).is_some() {
            self.count(DeferredEvent::Abandoned);
        }
    }

    pub(super) fn close(&mut self) -> usize {
        self.is_closed = true;
        let entries = std::mem::take(&mut self.entries);
        self.bytes = 0;
        let dropped = entries.values().filter(|entry| entry.state.is_unanswered()).count();
        entries.values().for_each(|entry| entry.state.cancel());
        (0..dropped).for_each(|_| self.count(DeferredEvent::Dropped));
        dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn totals(&mut self, now: Instant) -> DeferredTotals {
        self.sweep(now);
        let standing = |status| self.entries.values().filter(|entry| entry.state.status() == status).count();
        DeferredTotals { entries: DeferredStatus::ALL.map(standing), bytes: self.bytes, events: self.events }
    }

    /// Empties the entries whose time is over, and forgets those for which it is over for as long again.
    fn sweep(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let keep_for = self.settings.keep_for;
        let over: Vec<DeferredId> =
            self.entries.iter().filter(|(_, entry)| entry.expires <= now).map(|(id, _)| *id).collect();
        for id in over {
            let Some(entry) = self.remove(id) else { continue };
            if entry.state.is_unanswered() {
                self.count(DeferredEvent::Expired);
            }
            if entry.expires + keep_for > now {
                self.insert(id, Entry { state: State::Expired, problem: None, ..entry });
            }
        }
        let next = |entry: &Entry<R>| match entry.state {
            State::Expired => entry.expires + keep_for,
            State::Queued { .. } | State::Running { .. } | State::Done(_) | State::Failed => entry.expires,
        };
        self.next = self.entries.values().map(next).min();
    }

    fn insert(&mut self, id: DeferredId, entry: Entry<R>) {
        self.bytes += entry.bytes();
        self.entries.insert(id, entry);
    }

    /// Takes an entry out, and ends the call that is made for it.
    fn remove(&mut self, id: DeferredId) -> Option<Entry<R>> {
        let entry = self.entries.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        entry.state.cancel();
        Some(entry)
    }

    fn count(&mut self, event: DeferredEvent) {
        let counts = DeferredEvent::ALL.into_iter().zip(&mut self.events);
        counts.filter(|(one, _)| *one == event).for_each(|(_, count)| *count += 1);
    }
}
