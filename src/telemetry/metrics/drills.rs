//! What drills found.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Counters, Label, Labels, Metrics, Registered};
use crate::domain::ids::{ModelName, PolicyName, UpstreamId};
use crate::domain::money::NanoUsd;

/// One drill.
#[derive(Clone, Debug)]
pub struct DrillFigures {
    /// Where it went.
    pub target: DrilledTarget,
    /// What it found.
    pub result: DrillResult,
    /// What it cost.
    pub cost: NanoUsd,
}

/// The target of a drill.
#[derive(Clone, Debug)]
pub struct DrilledTarget {
    /// Its upstream.
    pub upstream: UpstreamId,
    /// The model.
    pub model: ModelName,
    /// What the upstream calls it: the name of a deployment, for example.
    pub upstream_model: String,
    /// Which of several keys, from 1; 1 where there is one.
    pub key: u32,
}

impl DrilledTarget {
    fn labels(&self) -> Labels<4> {
        [
            ("upstream", Label::Upstream(self.upstream.clone())),
            ("model", Label::Model(self.model.clone())),
            ("upstream_model", Label::UpstreamModel(self.upstream_model.clone())),
            ("key", Label::Key(self.key)),
        ]
    }
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
    paths: Family<Labels<2>, Gauge>,
    cost: Counter<f64, AtomicU64>,
}

impl DrillCounters {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        Self {
            drills: new.plain("drills", "Drills by what they found"),
            broken: new.plain("drill_broken", "1 for targets that did not answer their last drill"),
            paths: new.plain(
                "drill_path_broken",
                "1 for steps of a policy's own chain of which no place answered its last drill",
            ),
            cost: new.dollars("drills_cost", "What drills cost, by configured prices"),
        }
    }
}

impl Metrics {
    /// A drill was made, or left out.
    pub fn drilled(&self, DrillFigures { target, result, cost }: DrillFigures) {
        let (word, broken) = match result {
            DrillResult::Ok => ("ok", Some(false)),
            DrillResult::Broken => ("broken", Some(true)),
            DrillResult::OverBudget => ("over_budget", None),
        };
        self.drill_found(&target, broken);
        let [upstream, model, upstream_model, key] = target.labels();
        self.drills.drills.get_or_create(&[upstream, model, upstream_model, key, ("result", Label::Word(word))]).inc();
        self.drills.cost.inc_by(cost.as_usd());
    }

    /// Whether a target failed its last drill. Nothing changes where that is not known.
    pub fn drill_found(&self, target: &DrilledTarget, broken: Option<bool>) {
        if let Some(broken) = broken {
            self.drills.broken.get_or_create(&target.labels()).set(broken.into());
        }
    }

    /// Whether a step of a policy's chain failed its last drill. Nothing changes where that is not known.
    pub fn drill_path(&self, (policy, step): (PolicyName, ModelName), broken: Option<bool>) {
        if let Some(broken) = broken {
            let labels = [("policy", Label::Policy(policy)), ("step", Label::Model(step))];
            self.drills.paths.get_or_create(&labels).set(broken.into());
        }
    }
}
