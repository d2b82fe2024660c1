//! Measuring a bundle on outcomes, with the code that serves it.

mod arena;
mod block;
mod board;
mod compare;
mod costs;
mod extras;
mod findings;
mod judges;
mod parts;
mod sheet;
mod slices;
mod sweep;

use std::path::PathBuf;

use crate::train::error::TrainError;
use crate::train::evaluate::arena::Field;
use crate::train::outcomes::Filter;
use crate::train::progress::Progress;

pub use compare::{CompareReport, Verdict};
pub use costs::{CallPrice, CostNote, CostSource};
pub use findings::EvalReport;
pub use parts::{Areas, Baseline, CurvePoint, DialPoint, Difference, Escalation, ModelFigures, Saving};
pub use sheet::Figure;
pub use slices::Slice;

/// What to measure and on what.
#[derive(Clone, Debug, Default)]
pub struct EvalOptions {
    /// The bundle directory. Not read by [`compare()`].
    pub bundle: PathBuf,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// Outcomes files.
    pub outcomes: Vec<PathBuf>,
    /// Which rows of them, for example `dataset=routellm_mmlu`.
    pub filters: Vec<Filter>,
    /// The two models to route between. Without them, all models that answered the same prompts.
    pub pair: Option<PairNames>,
    /// Only these models, where there is no pair. Empty means the largest set that answered the same prompts.
    pub only: Vec<String>,
    /// What calls cost. Empty means the cost columns of the outcomes or, where they have none, units.
    pub prices: Vec<CallPrice>,
    /// A tier file that places models the bundle does not know. Not read for a pair.
    pub tiers: Option<PathBuf>,
    /// Breaks ties, shuffles and resamples.
    pub seed: u64,
    /// Rounds of the bootstrap. None gives figures without intervals.
    pub bootstrap: usize,
}

/// Two models to route between, as the outcomes name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairNames {
    /// The weaker.
    pub weak: String,
    /// The stronger.
    pub strong: String,
}

/// Measures a bundle as a router between two models, or among all that answered the same prompts.
///
/// # Errors
/// A bundle that does not load, outcomes that do not read, models that are not in them or share no prompt, a strong model that is not
/// better, scores that are all the same, prices or tiers for some models only, and interruption.
pub fn eval(options: &EvalOptions, progress: &dyn Progress) -> Result<EvalReport, TrainError> {
    let field = Field::read(options, progress)?;
    let arena = field.arena((&options.bundle, options), progress)?;
    findings::report((&field, &arena), options)
}

/// Says whether one bundle routes better than another on the same outcomes.
///
/// # Errors
/// As [`eval`], for either bundle.
pub fn compare(
    (before, after): (&std::path::Path, &std::path::Path),
    options: &EvalOptions,
    progress: &dyn Progress,
) -> Result<CompareReport, TrainError> {
    let field = Field::read(options, progress)?;
    let (before, after) = (field.arena((before, options), progress)?, field.arena((after, options), progress)?);
    compare::report((&before, &after), options)
}

#[cfg(test)]
mod tests;
