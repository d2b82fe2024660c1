//! How far a long piece of offline work has come.

use crate::train::error::TrainError;

/// The steps of offline work, in the order they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Reading outcomes, tasks and feedback. Counts rows; the total may be unknown (zero).
    Read,
    /// Embedding the distinct prompts. Counts prompts.
    Embed,
    /// Fitting the heads. Counts optimiser steps.
    Fit,
    /// Building the neighbour index. Counts items.
    Index,
    /// Fitting calibration and the blend. Counts settings tried.
    Calibrate,
    /// Measuring on prompts not trained on. Counts prompts.
    Evaluate,
    /// Writing and checking the bundle. Counts files.
    Publish,
}

impl Phase {
    /// The step as it reads beside a progress bar.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Read => "reading outcomes",
            Self::Embed => "embedding prompts",
            Self::Fit => "fitting heads",
            Self::Index => "building the index",
            Self::Calibrate => "calibrating",
            Self::Evaluate => "evaluating",
            Self::Publish => "publishing",
        }
    }
}

/// Hears how far the work is, and may ask it to stop.
pub trait Progress: Sync {
    /// `done` of `total` units of a phase are done. `total` is zero where it is unknown. Called often; must be cheap.
    fn at(&self, phase: Phase, done: u64, total: u64);

    /// Whether to stop at the next opportunity. The work then ends with [`TrainError::Interrupted`] and leaves no output.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Hears nothing and never stops the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn at(&self, _phase: Phase, _done: u64, _total: u64) {}
}

/// Reports and fails if the caller wants to stop.
pub(crate) fn step(progress: &dyn Progress, phase: Phase, (done, total): (usize, usize)) -> Result<(), TrainError> {
    if progress.is_cancelled() {
        return Err(TrainError::Interrupted);
    }
    progress.at(phase, done as u64, total as u64);
    Ok(())
}
