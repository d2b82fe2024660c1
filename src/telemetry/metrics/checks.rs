//! What is counted of answers that are checked: how often a stronger model is asked, for what, and what that costs.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{Counters, Label, Labels, Metrics, Registered};
use crate::domain::check::{Check, CheckReport};
use crate::domain::ids::PolicyName;
use crate::domain::outcome::{Class, Outcome};

#[derive(Debug)]
pub(super) struct CheckCounters {
    calls: Counters<2>,
    checks: Counters<2>,
    degraded: Counters<2>,
    escalations: Counters<3>,
    estimated: Counter,
    cost: Family<Labels<2>, Counter<f64, AtomicU64>>,
}

impl CheckCounters {
    pub(super) fn new(new: &mut Registered<'_>) -> Self {
        let cost = "Cost of calls under policies that check answers: of what was given, and of what was not";
        Self {
            calls: new.plain("checked_calls", "Answered calls of which an answer was checked"),
            checks: new.plain("checks", "Checks of answers by what they found"),
            escalations: new.plain(
                "escalations",
                "Escalations by whether the answer that was given passes the check that asked for it",
            ),
            estimated: new
                .plain("usage_estimated", "Calls whose tokens are an estimate, since no upstream counted them"),
            degraded: new.plain("degraded", "Calls that no model answered, by what stood in for an answer"),
            cost: new.dollars("checked_cost", cost),
        }
    }

    /// A call ended whose tokens nobody counted.
    pub(super) fn estimated(&self) {
        self.estimated.inc();
    }
}

/// What became of an escalation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escalated {
    /// The answer that was given passes the check for which a stronger model was asked.
    Helped,
    /// It fails it too.
    InVain,
    /// It could not be held against it.
    Unknown,
}

impl Metrics {
    /// An escalation is over.
    pub fn escalated(&self, policy: &PolicyName, check: Check, became: Escalated) {
        let result = match became {
            Escalated::Helped => "helped",
            Escalated::InVain => "in_vain",
            Escalated::Unknown => "unknown",
        };
        let labels = [
            ("policy", Label::Policy(policy.clone())),
            ("check", Label::Word(check.as_str())),
            ("result", Label::Word(result)),
        ];
        self.checks.escalations.get_or_create(&labels).inc();
    }

    /// A call was answered under a policy that checks answers. One whose first answer came from the strongest tier had nothing to check.
    pub fn checked(&self, policy: &PolicyName, report: &CheckReport) {
        for (check, found) in &report.found {
            let labels = [("check", Label::Word(check.as_str())), ("result", Label::Word(found.as_str()))];
            self.checks.checks.get_or_create(&labels).inc();
        }
        let result = match (report.failed.is_empty(), report.found.is_empty()) {
            (false, _) => "escalated",
            (true, false) => "passed",
            (true, true) => "unchecked",
        };
        let labels = [("policy", Label::Policy(policy.clone())), ("result", Label::Word(result))];
        self.checks.calls.get_or_create(&labels).inc();
    }

    /// No model answered a call, and something stands in for an answer.
    pub fn degraded(&self, policy: &PolicyName, kind: &'static str) {
        let labels = [("policy", Label::Policy(policy.clone())), ("kind", Label::Word(kind))];
        self.checks.degraded.get_or_create(&labels).inc();
    }

    /// A call ended under a policy that checks answers.
    pub fn checked_cost(&self, policy: &PolicyName, outcome: &Outcome) {
        let unused = |counts: fn(Class) -> bool| -> f64 {
            let attempts = outcome.attempts.iter().filter(|attempt| counts(attempt.class));
            attempts.filter_map(|attempt| attempt.unused_cost).map(|cost| cost.as_usd()).sum()
        };
        // Outrun hedges cost money too, and are neither: nobody was given their answers, and no check discarded them.
        let given = outcome.cost.map_or(0.0, |cost| cost.as_usd() - unused(|_| true)).max(0.0);
        for (part, cost) in [("given", given), ("discarded", unused(|class| class == Class::Unfit))] {
            let labels = [("policy", Label::Policy(policy.clone())), ("part", Label::Word(part))];
            self.checks.cost.get_or_create(&labels).inc_by(cost);
        }
    }
}
