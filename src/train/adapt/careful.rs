//! The careful scorer of a base, moved as the fast one is.
//!
//! A second look that was not told what the users said would overrule a first look that was. So the careful heads are moved by the
//! same labels and the same method, on embeddings of their own encoder; or they stay behind, and the report says why.

use serde::Serialize;

use crate::domain::steps::DialSample;
use crate::train::adapt::correction::Correction;
use crate::train::adapt::placed::place;
use crate::train::adapt::{AdaptReport, Adapted, Experience, Known, LEAST_FOR_BLEND, cases, report};
use crate::train::base::{Base, CarefulBase};
use crate::train::calibrate::blend;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::progress::Progress;
use crate::train::scorer::Scorer;

/// What became of the careful scorer of a base.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CarefulFate {
    /// It was moved, on as many of the prompts as its encoder read.
    Moved(AdaptReport),
    /// It is not part of the new bundle.
    LeftOut {
        /// Why, and what to do about it.
        why: String,
    },
}

impl CarefulFate {
    /// Says that it was left out.
    #[must_use]
    pub fn left_out(why: impl Into<String>) -> Self {
        Self::LeftOut { why: why.into() }
    }

    /// Whether it is kept once it was moved: not where it predicts verdicts that it was not fitted on worse than the fast scorer does, by
    /// more than chance explains. A second look would then only take time.
    ///
    /// Losses of two scorers on the same verdict differ by about half a nat, so that `1/√n` is two standard errors of the difference of their means.
    #[must_use]
    pub fn of(moved: AdaptReport, fast: &AdaptReport) -> Self {
        let chance = 1.0 / (moved.verdicts.max(1) as f64).sqrt();
        if moved.log_loss <= fast.log_loss + chance {
            return Self::Moved(moved);
        }
        Self::left_out(format!(
            "it predicts held-out verdicts worse than the fast scorer does (log-loss {:.3} against {:.3}), so that second looks would not \
             pay; more labels may change that",
            moved.log_loss, fast.log_loss
        ))
    }
}

/// Prompts as the careful encoder read them.
#[derive(Clone, Debug)]
pub struct CarefullyRead {
    /// Their places in the experience.
    pub places: Vec<usize>,
    /// What the careful heads read of each.
    pub features: Features,
}

/// Moves the careful heads of a base towards verdicts, as [`crate::train::adapt::adapt`] does with the fast ones: positions are those of the adapted bundle, and
/// neighbours are those of the fast embedding.
///
/// # Errors
/// Numeric failure and interruption.
pub fn adapt_careful(
    (base, careful): (&Base, &CarefulBase),
    (experience, read): (&Experience, &CarefullyRead),
    (adapted, seed): (&Adapted, u64),
    progress: &dyn Progress,
) -> Result<(Scorer, AdaptReport), TrainError> {
    let mut heads = careful.heads.clone();
    let mut success = careful.calibration.success.clone();
    let placed = place(base, experience, (&mut heads, &mut success)).select(&read.places);
    let fast = experience.select(&read.places);
    let known = Experience { features: read.features.clone(), ..fast.clone() };
    let correction = Correction::of((&heads, &success), (&known, &placed), seed)?;
    let fitted = correction.fit(progress)?;
    if fitted.penalty.is_some() {
        correction.write(&fitted, (&mut heads, &mut success));
    }
    let mut scorer = Scorer {
        heads,
        success,
        difficulty: careful.calibration.difficulty.clone(),
        task_temperature: careful.calibration.task_temperature,
        blend: careful.calibration.blend,
        // Both scorers share the dial, or a second look would change what a setting means.
        dial: adapted.scorer.dial.clone(),
        sample: DialSample::default(),
    };
    if known.ids.len() >= LEAST_FOR_BLEND {
        let seen = Known { experience: &known, near: &fast.features, placed: &placed };
        let cases = cases(seen, (&scorer, &fitted.held_out), (&adapted.content, seed));
        scorer.blend = blend::choose((&cases, &[]), placed.space.tiers().len().saturating_sub(1), progress)?.0;
    }
    let report = report(&known, &placed, &fitted);
    Ok((scorer, report))
}
