//! Where drift stands, as gauges.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::domain::drift::{DriftReport, Level};
use crate::telemetry::metrics::{Label, Labels, Metrics, Registered};

impl Metrics {
    /// Shows where drift stands; nothing before a bundle serves.
    pub fn drift(&self, report: Option<&DriftReport>) {
        if let Some(report) = report {
            self.drift.show(report);
        }
    }
}

type Number = Gauge<f64, AtomicU64>;

/// Gauges of drift. What is not known yet is `NaN`, which no alert takes for zero.
#[derive(Debug)]
pub(super) struct DriftGauges {
    psi: Family<Labels<1>, Number>,
    decisions: Gauge,
    reference: Gauge,
    density: Number,
    unfamiliar: Number,
    ece: Number,
    escalation: Number,
    proposed: Gauge,
}

impl DriftGauges {
    pub(super) fn register(new: &mut Registered<'_>) -> Self {
        let gauges = Self {
            psi: new.plain("drift_psi", "Population stability index of recent decisions against the reference"),
            decisions: new.plain("drift_decisions", "Decisions in the window of recent ones"),
            reference: new.plain("drift_reference_decisions", "Prompts that recent decisions are compared with"),
            density: new.plain("drift_neighbour_density", "Median similarity of the nearest labelled prompts"),
            unfamiliar: new.plain("drift_unfamiliar_share", "Share of recent prompts that the bundle cannot judge"),
            ece: new.plain("drift_ece", "Calibration error over the latest verdicts"),
            escalation: new
                .plain("drift_escalation_precision", "Estimated share of escalated calls that were worth it"),
            proposed: new.plain("drift_retrain_proposed", "1 while a retrain is proposed"),
        };
        for number in [&gauges.density, &gauges.unfamiliar, &gauges.ece, &gauges.escalation] {
            number.set(f64::NAN);
        }
        gauges
    }

    pub(super) fn show(&self, report: &DriftReport) {
        if report.dimensions.is_empty() {
            self.psi.clear();
        }
        for moved in &report.dimensions {
            self.psi.get_or_create(&[("dimension", Label::Word(moved.dimension.as_str()))]).set(moved.psi);
        }
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.decisions.set(count(report.decisions));
        self.reference.set(count(report.reference_decisions));
        let known = |number: f64| if report.decisions == 0 { f64::NAN } else { number };
        self.density.set(known(report.median_density));
        self.unfamiliar.set(known(report.unfamiliar_share));
        self.ece.set(report.feedback.calibration.map_or(f64::NAN, |found| found.ece));
        self.escalation.set(report.feedback.escalation.map_or(f64::NAN, |found| found.precision));
        let shifted = report.feedback.level == Level::Shifted
            || report.dimensions.iter().any(|moved| moved.level == Level::Shifted);
        self.proposed.set(i64::from(shifted));
    }
}
