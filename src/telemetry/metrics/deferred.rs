//! What is shown of the queue of requests that wait for an answer, which counts by itself.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::labels::set;
use super::{Counters, Label, Labels, Metrics, Registered};
use crate::domain::deferred::{DeferredEvent, DeferredStatus, DeferredTotals};

#[derive(Debug)]
pub(super) struct DeferredCounters {
    entries: Family<Labels<1>, Gauge>,
    bytes: Gauge,
    events: Counters<1>,
}

impl DeferredCounters {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        let bytes = "Bytes of requests that wait for an answer, and of their answers";
        Self {
            entries: new.plain("deferred_entries", "Requests that wait for an answer or have it, by how they stand"),
            bytes: new.in_unit("deferred_size", bytes, (Unit::Bytes, Gauge::default())),
            events: new.plain("deferred", "What became of requests that no model answered at first"),
        }
    }
}

impl Metrics {
    /// Shows what the queue holds and has done.
    pub fn deferred(&self, totals: &DeferredTotals) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for status in DeferredStatus::ALL {
            let entries = self.deferred.entries.get_or_create(&[("status", Label::Word(status.as_str()))]);
            entries.set(whole(totals.standing(status)));
        }
        self.deferred.bytes.set(whole(totals.bytes));
        for event in DeferredEvent::ALL {
            let counter = self.deferred.events.get_or_create(&[("event", Label::Word(event.as_str()))]);
            set(&counter, totals.happened(event));
        }
    }
}
