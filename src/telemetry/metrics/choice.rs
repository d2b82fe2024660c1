//! What is counted of sessions and of second looks.

use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Counters, Label, Metrics, Registered, fast_histogram};

/// What became of a second look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Another model was chosen after it.
    Changed,
    /// The choice stood.
    Confirmed,
    /// It failed or came too late, so that the first look stood.
    Failed,
}

#[derive(Debug)]
pub(super) struct Choice {
    sessions: Gauge,
    events: Counters<1>,
    looks: Counters<1>,
    look_seconds: Histogram,
}

impl Choice {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        Self {
            sessions: new.plain("sessions_live", "Conversations whose model is remembered"),
            events: new.plain("session_events", "Turns of sessions by what became of them, and sessions forgotten"),
            looks: new.plain("careful_looks", "Second looks at close decisions, by what came of them"),
            look_seconds: new.timed("careful", "Time of second looks, waiting included", fast_histogram()),
        }
    }
}

impl Metrics {
    /// A turn of a session was decided: `event` is its low-cardinality word.
    pub fn session_turn(&self, event: &'static str) {
        self.choice.events.get_or_create(&[("event", Label::Word(event))]).inc();
    }

    /// So many sessions live now; so many were forgotten since the last report, because they were idle or because the table was full.
    pub fn sessions(&self, live: usize, reset: u64, evicted: u64) {
        self.choice.sessions.set(i64::try_from(live).unwrap_or(i64::MAX));
        for (event, count) in [("reset", reset), ("evicted", evicted)].into_iter().filter(|(_, count)| *count > 0) {
            self.choice.events.get_or_create(&[("event", Label::Word(event))]).inc_by(count);
        }
    }

    /// A second look was taken, in this time.
    pub fn looked(&self, look: Look, took: Duration) {
        let look = match look {
            Look::Changed => "changed",
            Look::Confirmed => "confirmed",
            Look::Failed => "failed",
        };
        self.choice.looks.get_or_create(&[("result", Label::Word(look))]).inc();
        self.choice.look_seconds.observe(took.as_secs_f64());
    }
}
