//! A circuit breaker: it keeps calls away from what fails, and lets one through from time to time to see whether it still does.
//!
//! Counts are exact: every call that ends is counted once, under a short lock. The window they are taken over moves on in tenths. Caller
//! mistakes and cancelled calls are never counted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::resilience::BreakerSettings;

const SLICES: usize = 10;

/// The breaker of one target, or of one key.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    origin: Instant,
    slices: [Slice; SLICES],
    in_a_row: u32,
    state: State,
    cooling: Duration,
    opened: u64,
}

/// What was counted in a tenth of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    calls: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One call is on its way to see.
    Probing,
}

/// How a call got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The breaker is closed.
    Free,
    /// The one call that sees whether it still fails.
    Probe,
    /// It is open, and there was nowhere else to go.
    Forced,
}

/// A breaker as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerView {
    /// Whether calls pass.
    pub state: BreakerState,
    /// Calls that ended within the window.
    pub calls: u32,
    /// Those among them that failed.
    pub failures: u32,
    /// How often it opened.
    pub opened: u64,
    /// How long it stays open yet.
    pub remaining: Duration,
}

/// Whether calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// All pass.
    Closed,
    /// One passes, to see.
    HalfOpen,
    /// None passes while there is another target.
    Open,
}

impl BreakerState {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let inner = Inner {
            origin: Instant::now(),
            slices: [Slice::default(); SLICES],
            in_a_row: 0,
            state: State::Closed,
            cooling: settings.cooling,
            opened: 0,
        };
        Self { settings, inner: Mutex::new(inner) }
    }

    /// Lets a call in, or says until when it is refused. Whoever is let in as a probe must report how it ended.
    pub(crate) fn enter(&self, now: Instant) -> Result<Entry, Instant> {
        let mut inner = self.lock();
        match inner.state {
            State::Closed => Ok(Entry::Free),
            State::Open { until } if now >= until => {
                inner.state = State::Probing;
                Ok(Entry::Probe)
            }
            State::Open { until } => Err(until),
            // It will be decided soon; until then it counts as open.
            State::Probing => Err(now + self.settings.cooling),
        }
    }

    /// Whether it would let a call in.
    pub(crate) fn lets_in(&self, now: Instant) -> bool {
        match self.lock().state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::Probing => false,
        }
    }

    /// How a call gets in that has nowhere else to go.
    pub(crate) fn force(&self, now: Instant) -> Entry {
        self.enter(now).unwrap_or(Entry::Forced)
    }

    /// A call showed that what it went to works. What it showed is not counted yet.
    pub(crate) fn proved(&self, entry: Entry) {
        match entry {
            Entry::Free => {}
            Entry::Probe | Entry::Forced => {
                let mut inner = self.lock();
                inner.state = State::Closed;
                inner.slices = [Slice::default(); SLICES];
                inner.in_a_row = 0;
                inner.cooling = self.settings.cooling;
            }
        }
    }

    /// A call ended well.
    pub(crate) fn succeeded(&self, entry: Entry, now: Instant) {
        self.proved(entry);
        let mut inner = self.lock();
        inner.in_a_row = 0;
        self.slice(&mut inner, now).calls += 1;
    }

    /// A call failed. Whether that opened the breaker.
    pub(crate) fn failed(&self, entry: Entry, now: Instant) -> bool {
        let mut inner = self.lock();
        let slice = self.slice(&mut inner, now);
        slice.calls += 1;
        slice.failures += 1;
        inner.in_a_row = inner.in_a_row.saturating_add(1);
        match (entry, inner.state) {
            (Entry::Probe, _) => {
                let cooling = (inner.cooling * 2).min(self.settings.longest_cooling);
                Self::open(&mut inner, now + cooling);
                inner.cooling = cooling;
                true
            }
            (Entry::Free, State::Closed) if self.is_too_much(&inner, now) => {
                let until = now + inner.cooling;
                Self::open(&mut inner, until);
                true
            }
            (Entry::Free | Entry::Forced, _) => false,
        }
    }

    /// A call ended without saying anything about what it went to. A probe leaves its place to the next call.
    pub(crate) fn undecided(&self, entry: Entry, now: Instant) {
        match entry {
            Entry::Free | Entry::Forced => {}
            Entry::Probe => {
                let mut inner = self.lock();
                if inner.state == State::Probing {
                    inner.state = State::Open { until: now };
                }
            }
        }
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self, now: Instant) -> BreakerView {
        let inner = self.lock();
        let (calls, failures) = self.counts(&inner, now);
        let (state, remaining) = match inner.state {
            State::Closed => (BreakerState::Closed, Duration::ZERO),
            State::Open { until } if now >= until => (BreakerState::HalfOpen, Duration::ZERO),
            State::Open { until } => (BreakerState::Open, until - now),
            State::Probing => (BreakerState::HalfOpen, Duration::ZERO),
        };
        BreakerView { state, calls, failures, opened: inner.opened, remaining }
    }

    fn open(inner: &mut Inner, until: Instant) {
        inner.state = State::Open { until };
        inner.opened += 1;
    }

    fn is_too_much(&self, inner: &Inner, now: Instant) -> bool {
        let (calls, failures) = self.counts(inner, now);
        let share = f64::from(failures) / f64::from(calls.max(1));
        inner.in_a_row >= self.settings.in_a_row
            || (calls >= self.settings.least_calls && share >= self.settings.failures)
    }

    fn counts(&self, inner: &Inner, now: Instant) -> (u32, u32) {
        let newest = self.number(inner, now);
        let recent = inner.slices.iter().filter(|slice| slice.number + SLICES as u64 > newest);
        recent.fold((0, 0), |(calls, failures), slice| (calls + slice.calls, failures + slice.failures))
    }

    fn number(&self, inner: &Inner, now: Instant) -> u64 {
        let tenth = (self.settings.window / SLICES as u32).as_micros().max(1);
        // Slices are numbered from one window on, so that an empty one is never recent.
        let passed = now.saturating_duration_since(inner.origin).as_micros() / tenth;
        u64::try_from(passed).unwrap_or(u64::MAX / 2) + SLICES as u64
    }

    fn slice<'a>(&self, inner: &'a mut Inner, now: Instant) -> &'a mut Slice {
        let number = self.number(inner, now);
        let [first, rest @ ..] = &mut inner.slices;
        let at = (number % SLICES as u64) as usize;
        let slice = if at == 0 { first } else { rest.get_mut(at - 1).unwrap_or(first) };
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
