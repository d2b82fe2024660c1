//! The quality dial of an adapted bundle: fitted on the user's own prompts, or carried over with its meaning.

use crate::domain::calibration::Dial;
use crate::domain::probability::Probability;
use crate::model::index::SearchScratch;
use crate::train::adapt::Experience;
use crate::train::base::Base;
use crate::train::calibrate::blend::{BlendCase, MAX_K};
use crate::train::index_build::IndexSettings;
use crate::train::scorer::{Scorer, apply, blended, neighbours};

/// The dial on the users' own prompts. `None` where there are none.
pub(super) fn fitted(cases: &[BlendCase], scorer: &Scorer, tiers: usize) -> Option<Dial> {
    Dial::from_gains(gains(cases, scorer, tiers))
}

/// The base's dial with the meaning that it had on these few prompts, for the scores as they are now.
pub(super) fn carried(
    base: &Base,
    (experience, cases): (&Experience, &[BlendCase]),
    (scorer, seed): (&Scorer, u64),
) -> Dial {
    let tiers = base.space().tiers().len();
    let index = base.content.index(&IndexSettings::seeded(seed));
    let mut scratch = SearchScratch::default();
    let mut before = |prompt: usize| {
        let outputs = apply(&base.heads, &experience.features, prompt);
        let known = base.calibration.success.iter().zip(&outputs.success);
        let priors: Vec<Probability> = known.map(|(map, &logit)| map.apply(f64::from(logit))).collect();
        let near = neighbours(&index, (&experience.features, MAX_K), prompt, &mut scratch);
        gain(&blended(&priors, &near, &base.calibration.blend), tiers)
    };
    let before: Vec<f64> = (0..cases.len()).map(&mut before).collect();
    base.calibration.dial.carried(&before, &gains(cases, scorer, tiers))
}

fn gains(cases: &[BlendCase], scorer: &Scorer, tiers: usize) -> Vec<f64> {
    cases.iter().map(|case| gain(&blended(&case.priors, &case.neighbours, &scorer.blend), tiers)).collect()
}

/// The best tier's success minus the weakest tier's.
fn gain(means: &[f64], tiers: usize) -> f64 {
    let best = means.iter().take(tiers).copied().fold(0.0, f64::max);
    best - means.first().copied().unwrap_or(0.0)
}
