//! What is said about drift: numbers, a state that does not flutter, and a proposal with its evidence.

use serde::Serialize;

use crate::domain::drift::stability::{SHIFTED, WATCH, chance, psi};
use crate::domain::drift::tally::{Dimension, Tally};
use crate::domain::drift::verdicts::{Calibration, Escalation, Verdicts};
use crate::domain::ids::BundleId;

/// Decisions that a reference needs before anything is compared with it.
const LEAST_REFERENCE: u64 = 100;

/// Recent decisions that are needed before they are compared.
const LEAST_RECENT: u64 = 100;

/// A level that was reached is left only below this part of its bound, so that it does not flutter.
const RELEASE: f64 = 0.8;

/// A calibration error from here on, and at least twice what chance would show, is a reason to retrain.
const MISCALIBRATED: f64 = 0.1;

/// What recent traffic is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceKind {
    /// The prompts that the bundle was calibrated on.
    Training,
    /// The first decisions under the bundle.
    Traffic,
}

/// How far something has moved. Ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Not so that it matters.
    #[default]
    Steady,
    /// Enough to look at.
    Watch,
    /// Enough to retrain.
    Shifted,
}

impl Level {
    /// The level after another look. A level is reached at its bound, where chance does not explain the index, and left below four fifths of it.
    #[must_use]
    pub fn next(self, psi: f64, by_chance: f64) -> Self {
        let holds = |level: Self, bound: f64| {
            if self >= level { psi >= RELEASE * bound } else { psi >= bound && psi > by_chance }
        };
        if holds(Self::Shifted, SHIFTED) {
            Self::Shifted
        } else if holds(Self::Watch, WATCH) {
            Self::Watch
        } else {
            Self::Steady
        }
    }

    /// The level of a calibration error after another look; there is no level between steady and shifted.
    fn next_of(self, calibration: Calibration) -> Self {
        let part = if self == Self::Shifted { RELEASE } else { 1.0 };
        let is_off = calibration.ece >= part * MISCALIBRATED && calibration.ece >= part * 2.0 * calibration.by_chance;
        if is_off { Self::Shifted } else { Self::Steady }
    }
}

/// The levels of everything that is watched, kept between looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    dimensions: [Level; Dimension::ALL.len()],
    calibration: Level,
}

impl Levels {
    fn highest(&self) -> Level {
        self.dimensions.iter().copied().chain([self.calibration]).max().unwrap_or_default()
    }
}

/// Where things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There are too few decisions to compare.
    Collecting,
    /// Nothing moved.
    Steady,
    /// Something moved a little.
    Watch,
    /// Something moved so far that a retrain is proposed.
    Shifted,
}

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The serving bundle.
    pub bundle: &'a BundleId,
    /// What the reference is.
    pub kind: ReferenceKind,
    /// The reference.
    pub reference: &'a Tally,
    /// How many decisions a reference from traffic takes.
    pub wanted: u64,
    /// Decisions in the window, those of the reference left out.
    pub recent: &'a Tally,
    /// How many of them were unfamiliar.
    pub unfamiliar: u64,
    /// The length of the window, hours.
    pub window_hours: u64,
    /// The latest verdicts.
    pub verdicts: &'a Verdicts,
}

/// One dimension.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// Which.
    pub dimension: Dimension,
    /// The population stability index.
    pub psi: f64,
    /// What chance exceeds once in a hundred times where nothing moved.
    pub by_chance: f64,
    /// How far that is.
    pub level: Level,
    /// The shares in both.
    pub bins: Vec<Change>,
}

/// The share of one bin, before and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What the bin holds.
    pub bin: String,
    /// Its share of the reference, 0 to 1.
    pub reference: f64,
    /// Its share of recent decisions, 0 to 1.
    pub recent: f64,
}

/// What feedback says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FeedbackReport {
    /// How far predictions are from verdicts; none of too few verdicts.
    pub calibration: Option<Calibration>,
    /// Whether going up was worth it; none of too few verdicts.
    pub escalation: Option<Escalation>,
    /// How far the calibration is off.
    pub level: Level,
}

/// Everything about drift at one moment. What `GET /admin/drift` answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftReport {
    /// The serving bundle.
    pub bundle: BundleId,
    /// Where things stand.
    pub state: State,
    /// What recent traffic is compared with.
    pub reference: ReferenceKind,
    /// How many prompts the reference has.
    pub reference_decisions: u64,
    /// How many it takes before anything is compared.
    pub reference_wanted: u64,
    /// The length of the window, hours.
    pub window_hours: u64,
    /// Decisions in the window.
    pub decisions: u64,
    /// The share of them that the bundle could not judge.
    pub unfamiliar_share: f64,
    /// The median similarity of the nearest labelled prompts, in the window.
    pub median_density: f64,
    /// Every dimension; empty while there is too little to compare.
    pub dimensions: Vec<Moved>,
    /// What feedback says.
    pub feedback: FeedbackReport,
    /// What to do and why, where something shifted.
    pub proposal: Option<String>,
}

impl DriftReport {
    /// Looks at what was observed, with the levels of the look before, and gives the report and the new levels.
    #[must_use]
    pub fn of(observed: &Observed<'_>, before: Levels) -> (Self, Levels) {
        let mut levels = before;
        let (reference, recent) = (observed.reference.total(), observed.recent.total());
        let wanted = match observed.kind {
            ReferenceKind::Traffic => observed.wanted,
            ReferenceKind::Training => LEAST_REFERENCE,
        };
        let comparable = reference >= wanted.max(1) && recent >= LEAST_RECENT;
        let mut dimensions = Vec::new();
        for (dimension, level) in Dimension::ALL.into_iter().zip(&mut levels.dimensions) {
            if comparable {
                dimensions.push(moved(observed, dimension, level));
            } else {
                *level = Level::Steady;
            }
        }
        let calibration = observed.verdicts.calibration();
        levels.calibration = calibration.map_or(Level::Steady, |found| levels.calibration.next_of(found));
        let state = match levels.highest() {
            Level::Shifted => State::Shifted,
            Level::Watch => State::Watch,
            Level::Steady if comparable => State::Steady,
            Level::Steady => State::Collecting,
        };
        let feedback =
            FeedbackReport { calibration, escalation: observed.verdicts.escalation(), level: levels.calibration };
        let report = Self {
            bundle: observed.bundle.clone(),
            state,
            reference: observed.kind,
            reference_decisions: reference,
            reference_wanted: wanted,
            window_hours: observed.window_hours,
            decisions: recent,
            unfamiliar_share: observed.unfamiliar as f64 / recent.max(1) as f64,
            median_density: observed.recent.quantile(Dimension::Density, 0.5),
            proposal: proposal(observed, &dimensions, feedback),
            dimensions,
            feedback,
        };
        (report, levels)
    }
}

fn moved(observed: &Observed<'_>, dimension: Dimension, level: &mut Level) -> Moved {
    let binned = Tally::binned(observed.reference, observed.recent, dimension);
    let (psi, by_chance) = (psi(&binned.reference, &binned.recent), chance(&binned.reference, &binned.recent));
    *level = level.next(psi, by_chance);
    let share = |count: u64, all: u64| count as f64 / all.max(1) as f64;
    let counts = binned.reference.iter().zip(&binned.recent);
    let bins = binned.names.iter().zip(counts).map(|(bin, (&before, &now))| Change {
        bin: bin.clone(),
        reference: share(before, observed.reference.total()),
        recent: share(now, observed.recent.total()),
    });
    Moved { dimension, psi, by_chance, level: *level, bins: bins.collect() }
}

/// What shifted, by how much, and what to do about it.
fn proposal(observed: &Observed<'_>, dimensions: &[Moved], feedback: FeedbackReport) -> Option<String> {
    let decisions = observed.recent.total();
    let mut evidence: Vec<String> = dimensions
        .iter()
        .filter(|moved| moved.level == Level::Shifted)
        .map(|moved| {
            let what = moved.dimension.words();
            format!("{what} moved: PSI {:.2} over {decisions} decisions{}", moved.psi, largest(&moved.bins))
        })
        .collect();
    if let Some(calibration) = feedback.calibration.filter(|_| feedback.level == Level::Shifted) {
        let Calibration { ece, by_chance, verdicts } = calibration;
        evidence.push(format!(
            "the calibration error over the last {verdicts} verdicts is {ece:.2}, of which chance explains {by_chance:.2}"
        ));
    }
    if evidence.is_empty() {
        return None;
    }
    Some(format!(
        "{}: retrain with `trimtab export --with-feedback --out feedback.jsonl` and `trimtab train --base BUNDLE --feedback \
         feedback.jsonl --out NEW`, where BUNDLE is the directory of `{}`",
        evidence.join("; "),
        observed.bundle
    ))
}

/// The bin whose share grew most.
fn largest(bins: &[Change]) -> String {
    let growth = |bin: &&Change| bin.recent - bin.reference;
    let most = bins.iter().max_by(|a, b| growth(a).total_cmp(&growth(b)));
    most.map_or(String::new(), |bin| {
        format!(", {} from {:.0} % to {:.0} %", bin.bin, 100.0 * bin.reference, 100.0 * bin.recent)
    })
}
