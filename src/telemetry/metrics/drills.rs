//! What drills found.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Counters, Label, Labels, Metrics, Registered};
use crate::domain::ids::{ModelName, UpstreamId};
use crate::domain::money::NanoUsd;

/// One drill.
#[derive(Clone, Debug)]
pub struct DrillFigures {
    /// The upstream it went to.
    pub upstream: UpstreamId,
    /// The model.
    pub model: ModelName,
    /// What the upstream calls it: the name of a deployment, for example.
    pub upstream_model: String,
    /// Which of several keys, from 1; 1 where there is one.
    pub key: u32,
    /// What it found.
    pub result: DrillResult,
    /// What it cost.
    pub cost: NanoUsd,
}

/// What a drill found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillResult {
    /// The target answered.
    Ok,
    /// It did not.
    Broken,
    /// It was not asked: drills had cost enough.
    OverBudget,
}

#[derive(Debug)]
pub(super) struct DrillCounters {
    drills: Counters<5>,
    broken: Family<Labels<4>, Gauge>,
    cost: Counter<f64, AtomicU64>,
}

impl DrillCounters {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        Self {
            drills: new.plain("drills", "Drills by what they found"),
            broken: new.plain("drill_broken", "1 for targets that did not answer their last drill"),
            cost: new.dollars("drills_cost", "What drills cost, by configured prices"),
        }
    }
}

impl Metrics {
    /// A drill was made, or left out.
    pub fn drilled(&self, figures: DrillFigures) {
        let DrillFigures { upstream, model, upstream_model, key, result, cost } = figures;
        let (word, broken) = match result {
            DrillResult::Ok => ("ok", Some(0)),
            DrillResult::Broken => ("broken", Some(1)),
            DrillResult::OverBudget => ("over_budget", None),
        };
        let labels = [
            ("upstream", Label::Upstream(upstream)),
            ("model", Label::Model(model)),
            ("upstream_model", Label::UpstreamModel(upstream_model)),
            ("key", Label::Key(key)),
        ];
        if let Some(broken) = broken {
            self.drills.broken.get_or_create(&labels).set(broken);
        }
        let [upstream, model, upstream_model, key] = labels;
        self.drills.drills.get_or_create(&[upstream, model, upstream_model, key, ("result", Label::Word(word))]).inc();
        self.drills.cost.inc_by(cost.as_usd());
    }
}
