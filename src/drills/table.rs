//! What drills found, and what they cost. Time is an argument.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::domain::money::NanoUsd;
use crate::domain::outcome::{Class, Outcome};
use crate::drills::keep::{Found, Kept, KeptRow};
use crate::upstream::dispatch::Target;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Whether a target works, as far as drills know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathState {
    /// No drill was made yet.
    #[default]
    Untried,
    /// The last one was answered.
    Ok,
    /// The last one was not.
    Broken,
}

impl PathState {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Ok => "ok",
            Self::Broken => "broken",
        }
    }
}

/// How a target is asked for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// In one piece.
    #[default]
    Whole,
    /// As a stream.
    Stream,
}

/// What drills know of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DrillView {
    /// Whether it works.
    pub state: PathState,
    /// How it was asked the last time.
    pub way: Way,
    at: Option<Instant>,
    ok_at: Option<Instant>,
    /// How long the last drill took.
    pub took: Duration,
    /// How the last one ended.
    pub class: Option<Class>,
    /// What went wrong, for people; empty where nothing did.
    pub error: String,
    /// What the last one cost.
    pub cost: Option<NanoUsd>,
    /// How many failed in a row.
    pub failures: u64,
    /// Whether the last one was left out because drills had cost enough.
    pub over_budget: bool,
}

impl DrillView {
    /// How it is asked the next time: both ways in turn, and a way that failed once more until it works, so that it is not hidden by the other.
    pub(super) const fn next_way(&self) -> Way {
        match (self.state, self.way) {
            (PathState::Ok, Way::Whole) => Way::Stream,
            (PathState::Ok, Way::Stream) => Way::Whole,
            (PathState::Untried | PathState::Broken, way) => way,
        }
    }

    /// How long ago the last drill ended.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| now.saturating_duration_since(at))
    }

    /// How long ago the last one ended that was answered.
    #[must_use]
    pub fn last_ok(&self, now: Instant) -> Option<Duration> {
        self.ok_at.map(|at| now.saturating_duration_since(at))
    }
}

/// Money set aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reservation {
    most: NanoUsd,
    day: Instant,
}

#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<DrillView>,
    day: Instant,
    spent: NanoUsd,
}

impl Table {
    pub(super) fn new(targets: usize, now: Instant) -> Self {
        Self { rows: vec![DrillView::default(); targets], day: now, spent: NanoUsd::ZERO }
    }

    /// What was spent in the present 24 hours, counted from the start.
    pub(super) fn spent(&mut self, now: Instant) -> NanoUsd {
        while now.saturating_duration_since(self.day) >= DAY {
            self.day += DAY;
            self.spent = NanoUsd::ZERO;
        }
        self.spent
    }

    /// Sets money aside; `None` where that would exceed the cap.
    pub(super) fn reserve(&mut self, most: NanoUsd, cap: NanoUsd, now: Instant) -> Option<Reservation> {
        let after = self.spent(now) + most;
        if after > cap {
            return None;
        }
        self.spent = after;
        Some(Reservation { most, day: self.day })
    }

    /// Gives back what was set aside and takes what it cost. What was set aside on a day that is over was that day's.
    pub(super) fn settle(&mut self, Reservation { most, day }: Reservation, cost: NanoUsd) {
        if day == self.day {
            self.spent = NanoUsd(self.spent.0.saturating_sub(most.0)) + cost;
        }
    }

    pub(super) fn over_budget(&mut self, at: usize) {
        if let Some(row) = self.rows.get_mut(at) {
            row.over_budget = true;
        }
    }

    /// Notes how a drill ended. Gives the state after it and the one before.
    pub(super) fn note(&mut self, at: usize, (outcome, way): (&Outcome, Way), now: Instant) -> (PathState, PathState) {
        let works = outcome.class == Class::Success;
        let state = if works { PathState::Ok } else { PathState::Broken };
        let Some(row) = self.rows.get_mut(at) else { return (state, state) };
        let was = row.state;
        let error = outcome.attempts.last().filter(|_| !works).map_or_else(String::new, |last| last.detail.clone());
        *row = DrillView {
            state,
            way,
            at: Some(now),
            ok_at: if works { Some(now) } else { row.ok_at },
            took: outcome.total,
            class: Some(outcome.class),
            error,
            cost: outcome.cost,
            failures: if works { 0 } else { row.failures + 1 },
            over_budget: false,
        };
        (state, was)
    }

    /// What is to be kept of them.
    pub(super) fn kept(&mut self, targets: &[Arc<Target>], now: Instant) -> Kept {
        let spent = self.spent(now);
        let since = |at: Instant| now.saturating_duration_since(at);
        let row = |(target, row): (&Arc<Target>, &DrillView)| {
            let (class, at) = row.class.zip(row.at)?;
            let found = Found {
                class,
                way: row.way,
                age: since(at),
                ok_age: row.ok_at.map(since),
                took: row.took,
                error: row.error.clone(),
                cost: row.cost,
                failures: row.failures,
            };
            Some(KeptRow::new(target, found))
        };
        let rows = targets.iter().zip(&self.rows).filter_map(row).collect();
        Kept::new((since(self.day), spent), rows)
    }

    /// Goes on with what was kept. Targets that are no longer there are left out, and so is money of another day.
    pub(super) fn resume(&mut self, kept: &Kept, (targets, now): (&[Arc<Target>], Instant)) {
        let (away, ago) = (kept.age(), |age_ms: u64| kept.age() + Duration::from_millis(age_ms));
        if away + Duration::from_millis(kept.day_ms) < DAY {
            // A machine that started after that day began counts it from now: longer, never shorter.
            self.day = now.checked_sub(ago(kept.day_ms)).unwrap_or(now);
            self.spent = kept.spent;
        }
        for (target, row) in targets.iter().zip(&mut self.rows) {
            let Some(found) = kept.rows.iter().find(|row| row.is_of(target)) else { continue };
            let is_ok = found.class == Class::Success;
            *row = DrillView {
                state: if is_ok { PathState::Ok } else { PathState::Broken },
                way: found.way,
                at: now.checked_sub(ago(found.age_ms)),
                ok_at: found.ok_age_ms.and_then(|age| now.checked_sub(ago(age))),
                took: Duration::from_millis(found.took_ms),
                class: Some(found.class),
                error: found.error.clone(),
                cost: found.cost,
                failures: found.failures,
                over_budget: false,
            };
        }
    }

    pub(super) fn next_way(&self, at: usize) -> Way {
        self.rows.get(at).map_or(Way::Whole, DrillView::next_way)
    }

    pub(super) fn views(&self) -> Vec<DrillView> {
        self.rows.clone()
    }
}
