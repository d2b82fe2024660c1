//! The windows of traffic: what was decided in each of the last 168 hours, and what it is compared with.
//!
//! The request path adds to a handful of counters and never waits; looking sums them up. Everything belongs to one bundle: another
//! bundle has other gains, so its activation starts afresh.

mod hours;
pub mod keep;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::domain::baseline::Baseline;
use crate::domain::drift::{DriftReport, Judged, Levels, Observed, ReferenceKind, Sighting, State, Tally, Verdicts};
use crate::domain::ids::BundleId;
use crate::drift::hours::{Counters, HOUR_MS, Hours};

/// How drift is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftSettings {
    /// What recent traffic is compared with. A bundle without a baseline is compared with its first traffic whatever this says.
    pub reference: ReferenceKind,
    /// How many decisions make a reference of traffic.
    pub reference_decisions: u64,
    /// How many hours count as recent, 1 to 168.
    pub window_hours: u64,
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self { reference: ReferenceKind::Traffic, reference_decisions: 1_000, window_hours: 24 }
    }
}

/// What a decision tells.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The bundle that scored.
    pub bundle: &'a BundleId,
    /// What was scored.
    pub sighting: Sighting,
    /// Whether the bundle could judge it.
    pub judged: Judgeable,
    /// When, milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// Whether a bundle could judge a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgeable {
    /// It could.
    Yes,
    /// It could not.
    No,
}

/// The watch over one server's traffic.
#[derive(Debug, Default)]
pub struct Drift {
    settings: DriftSettings,
    era: ArcSwapOption<Era>,
    /// The levels of the last look, and the state that was said last.
    looked: Mutex<(Levels, Option<State>)>,
}

/// The time of one bundle.
#[derive(Debug)]
struct Era {
    bundle: BundleId,
    kind: ReferenceKind,
    training: Option<Baseline>,
    /// The first decisions, where the reference is traffic.
    first: Counters,
    taken: AtomicU64,
    hours: Hours,
    verdicts: Mutex<Verdicts>,
}

impl Era {
    fn new(bundle: BundleId, baseline: Option<Baseline>, settings: DriftSettings) -> Self {
        let training = baseline.filter(|_| settings.reference == ReferenceKind::Training);
        Self {
            bundle,
            kind: if training.is_some() { ReferenceKind::Training } else { ReferenceKind::Traffic },
            training,
            first: Counters::default(),
            taken: AtomicU64::new(0),
            hours: Hours::default(),
            verdicts: Mutex::new(Verdicts::default()),
        }
    }
}

impl Drift {
    /// Watches nothing until a bundle begins.
    #[must_use]
    pub fn new(settings: DriftSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// A bundle began to serve. What was counted under another one is forgotten; the same one goes on.
    pub fn begin(&self, bundle: &BundleId, baseline: Option<&Baseline>) {
        if self.era.load().as_ref().is_some_and(|era| era.bundle == *bundle) {
            return;
        }
        self.era.store(Some(Arc::new(Era::new(bundle.clone(), baseline.cloned(), self.settings))));
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = (Levels::default(), None);
    }

    /// Counts a decision. Decisions of another bundle than the one that serves are left out.
    pub fn saw(&self, seen: &Seen<'_>) {
        let era = self.era.load();
        let Some(era) = era.as_ref().filter(|era| era.bundle == *seen.bundle) else { return };
        let is_reference = era.kind == ReferenceKind::Traffic
            && era.taken.load(Ordering::Relaxed) < self.settings.reference_decisions
            && era.taken.fetch_add(1, Ordering::Relaxed) < self.settings.reference_decisions;
        if is_reference {
            era.first.add(&seen.sighting, seen.judged);
        } else {
            era.hours.add(seen.at_unix_ms / HOUR_MS, seen);
        }
    }

    /// Counts a verdict on a decision of this bundle.
    pub fn judged(&self, bundle: &BundleId, judged: Judged) {
        let era = self.era.load();
        if let Some(era) = era.as_ref().filter(|era| era.bundle == *bundle) {
            era.verdicts.lock().unwrap_or_else(PoisonError::into_inner).push(judged);
        }
    }

    /// Looks at the window that ends now. A state that differs from the one said last is logged, once. `None` before a bundle begins.
    pub fn look(&self, now_unix_ms: u64) -> Option<DriftReport> {
        let era = self.era.load_full()?;
        let mut recent = Tally::default();
        let hour = now_unix_ms / HOUR_MS;
        let oldest = (hour + 1).saturating_sub(self.settings.window_hours.max(1));
        let unfamiliar = era.hours.sum(oldest..=hour, &mut recent);
        let first = era.first.tally();
        let verdicts = era.verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let observed = Observed {
            bundle: &era.bundle,
            kind: era.kind,
            reference: era.training.as_ref().map_or(&first, Baseline::tally),
            wanted: self.settings.reference_decisions,
            recent: &recent,
            unfamiliar,
            window_hours: self.settings.window_hours,
            verdicts: &verdicts,
        };
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let (report, levels) = DriftReport::of(&observed, looked.0);
        let said = looked.1.replace(report.state);
        looked.0 = levels;
        drop(looked);
        if said != Some(report.state) {
            announce(said, &report);
        }
        Some(report)
    }
}

/// Says that the state changed. Drift changes nothing by itself.
fn announce(before: Option<State>, report: &DriftReport) {
    let bundle = report.bundle.as_str();
    match (report.state, before) {
        (State::Shifted, _) => {
            tracing::warn!(bundle, proposal = report.proposal.as_deref().unwrap_or_default(), "traffic has drifted");
        }
        (State::Watch, _) => tracing::info!(bundle, decisions = report.decisions, "traffic begins to drift"),
        (State::Steady, Some(State::Watch | State::Shifted)) => tracing::info!(bundle, "traffic is steady again"),
        (State::Steady | State::Collecting, _) => {}
    }
}

#[cfg(test)]
mod tests;
