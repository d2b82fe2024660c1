//! What every setting of the dial does with every ask, by the code that decides.

use crate::domain::calibration::Dial;
use crate::domain::candidate::Candidate;
use crate::domain::decide::{Considered, Decision, Learned, Question, decide};
use crate::domain::policy::{Aim, Limits, Policy};
use crate::domain::probability::Probability;
use crate::domain::steps::{stands, steps};
use crate::model::generation::Generation;
use crate::train::error::TrainError;
use crate::train::progress::{Phase, Progress, step};
use crate::train::traffic::Ask;

/// Settings of the dial that are tried: every hundredth from 0 to 1.
pub(super) const SETTINGS: usize = 101;

/// One ask with what every candidate would do.
#[derive(Clone, Debug)]
pub(super) struct Swept {
    /// Which ask.
    pub(super) ask: usize,
    /// The candidate chosen at every setting.
    pub(super) picks: Vec<u16>,
    /// The predicted success of every candidate.
    pub(super) predicted: Vec<f64>,
    /// What every candidate is expected to cost, in dollars.
    pub(super) costs: Vec<Option<f64>>,
    /// The thresholds at which another candidate is chosen.
    pub(super) steps: Vec<f64>,
}

impl Swept {
    /// The candidate chosen at a setting.
    pub(super) fn pick(&self, setting: usize) -> usize {
        usize::from(self.picks.get(setting).copied().unwrap_or(0))
    }

    /// Whether a setting sends this ask to another candidate than the cheapest.
    pub(super) fn goes_up(&self, setting: usize) -> bool {
        self.pick(setting) != self.pick(0)
    }
}

/// The dial of a setting.
pub(super) fn quality(setting: usize) -> f64 {
    setting as f64 / (SETTINGS - 1) as f64
}

/// Decides every ask at every setting. Asks without scores and asks that no candidate may answer are left out.
pub(super) fn sweep(
    asks: &[Ask],
    (generation, dial): (&Generation, &Dial),
    candidates: &[Candidate],
    progress: &dyn Progress,
) -> Result<Vec<Swept>, TrainError> {
    let mut swept = Vec::with_capacity(asks.len());
    for (at, ask) in asks.iter().enumerate() {
        if at.is_multiple_of(64) {
            step(progress, Phase::Calibrate, (at, asks.len()))?;
        }
        let decisions: Option<Vec<Decision>> =
            (0..SETTINGS).map(|setting| decide_one(ask, (generation, dial), (candidates, quality(setting)))).collect();
        let Some(decisions) = decisions else { continue };
        let place = |decision: &Decision| {
            decision.considered.iter().position(|one| one.model == decision.model).unwrap_or(0) as u16
        };
        let Some(first) = decisions.first() else { continue };
        let means: Vec<f64> = first.considered.iter().map(mean).collect();
        swept.push(Swept {
            ask: at,
            picks: decisions.iter().map(place).collect(),
            costs: first.considered.iter().map(|one| one.cost.map(|cost| cost.mean.as_usd())).collect(),
            predicted: means,
            steps: steps(&stands(&first.considered)),
        });
    }
    Ok(swept)
}

fn mean(one: &Considered) -> f64 {
    one.success.map_or(0.5, |success| success.mean.get())
}

/// The decision for one ask, as the server would make it without exploring.
fn decide_one(
    ask: &Ask,
    (generation, dial): (&Generation, &Dial),
    (candidates, quality): (&[Candidate], f64),
) -> Option<Decision> {
    let scores = ask.scores.as_ref().ok()?;
    let aim = Aim::Quality(Probability::clamped(quality));
    let policy = Policy::plain("calibrated".into(), aim, candidates.last()?.tier.clone());
    let learned = Learned { dial, ..generation.learned() };
    let question = Question {
        scores: Ok(scores),
        learned: Some(learned),
        candidates,
        barred: &[],
        shape: &ask.shape,
        policy: &policy,
        limits: &Limits::default(),
        held: None,
        draw: Probability::ONE,
    };
    decide(&question).ok()
}
