//! How the targets stand: breakers, load, what is left of their limits, and the extra calls that retries and hedges make.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::labels::set;
use super::{Counters, Label, Labels, Metrics, Registered};
use crate::domain::ids::{ModelName, UpstreamId};

/// One target as it stands.
#[derive(Clone, Debug)]
pub struct TargetFigures {
    /// Its upstream.
    pub upstream: UpstreamId,
    /// Its model.
    pub model: ModelName,
    /// What the upstream calls it: the name of a deployment, for example.
    pub upstream_model: String,
    /// Which of several keys, from 1; 1 where there is one.
    pub key: u32,
    /// Its breaker: 0 closed, 1 half open, 2 open.
    pub breaker: i64,
    /// How often the breaker opened.
    pub opened: u64,
    /// Calls in flight.
    pub in_flight: u32,
    /// The share of its limits that is left.
    pub headroom: f64,
}

/// Extra calls: how many were made, and how many the budget refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtraCalls {
    /// Retries made and refused.
    pub retries: (u64, u64),
    /// Hedges made and refused.
    pub hedges: (u64, u64),
}

type Number = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Targets {
    breaker: Family<Labels<4>, Gauge>,
    opened: Counters<4>,
    in_flight: Family<Labels<4>, Gauge>,
    headroom: Family<Labels<4>, Number>,
    extra: Counters<2>,
}

impl Targets {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        Self {
            breaker: new.plain("breaker_state", "Breakers of targets: 0 closed, 1 half open, 2 open"),
            opened: new.plain("breaker_opened", "How often breakers opened"),
            in_flight: new.plain("target_in_flight", "Calls that a target is answering"),
            headroom: new.plain("target_headroom", "Share of its rate limits that a target has left"),
            extra: new.plain("extra_calls", "Retries and hedges, made or refused by their budget"),
        }
    }
}

impl Metrics {
    /// Shows how the targets stand.
    pub fn targets(&self, figures: impl IntoIterator<Item = TargetFigures>) {
        for TargetFigures { upstream, model, upstream_model, key, breaker, opened, in_flight, headroom } in figures {
            let labels = [
                ("upstream", Label::Upstream(upstream)),
                ("model", Label::Model(model)),
                ("upstream_model", Label::UpstreamModel(upstream_model)),
                ("key", Label::Key(key)),
            ];
            self.targets.breaker.get_or_create(&labels).set(breaker);
            set(&self.targets.opened.get_or_create(&labels), opened);
            self.targets.in_flight.get_or_create(&labels).set(i64::from(in_flight));
            self.targets.headroom.get_or_create(&labels).set(headroom);
        }
    }

    /// Shows how many extra calls there were so far.
    pub fn extra_calls(&self, ExtraCalls { retries, hedges }: ExtraCalls) {
        for (kind, (made, refused)) in [("retry", retries), ("hedge", hedges)] {
            for (result, count) in [("made", made), ("refused", refused)] {
                let labels = [("kind", Label::Word(kind)), ("result", Label::Word(result))];
                set(&self.targets.extra.get_or_create(&labels), count);
            }
        }
    }
}
