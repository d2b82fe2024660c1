//! The quality dial of an adapted bundle: fitted on the user's own prompts, or carried over with its meaning.

use crate::domain::calibration::Dial;
use crate::domain::probability::Probability;
use crate::domain::steps::DialSample;
use crate::model::index::SearchScratch;
use crate::train::adapt::Experience;
use crate::train::base::Base;
use crate::train::calibrate::blend::{BlendCase, MAX_K};
use crate::train::index_build::IndexSettings;
use crate::train::scorer::{Scorer, apply, blended, dial, gain, neighbours};

/// The dial on the users' own prompts, for the gain between these positions, the weakest first. `None` where there are no prompts.
pub(super) fn fitted(cases: &[BlendCase], scorer: &Scorer, rungs: &[usize]) -> Option<(Dial, DialSample)> {
    let means = cases.iter().map(|case| blended(&case.priors, &case.neighbours, &scorer.blend)).collect();
    let (dial, sample) = dial(means, rungs);
    Some((dial?, sample))
}

/// The base's dial with the meaning that it had on these few prompts, for the scores as they are now. The positions are those of the base
/// and of the scorer, in the same order.
pub(super) fn carried(
    (base, then): (&Base, &[usize]),
    (experience, cases): (&Experience, &[BlendCase]),
    (scorer, rungs): (&Scorer, &[usize]),
    seed: u64,
) -> Dial {
    let index = base.content.index(&IndexSettings::seeded(seed));
    let mut scratch = SearchScratch::default();
    let mut before = |prompt: usize| {
        let outputs = apply(&base.heads, &experience.features, prompt);
        let known = base.calibration.success.iter().zip(&outputs.success);
        let priors: Vec<Probability> = known.map(|(map, &logit)| map.apply(f64::from(logit))).collect();
        let near = neighbours(&index, (&experience.features, MAX_K), prompt, &mut scratch);
        gain(&blended(&priors, &near, &base.calibration.blend), then)
    };
    let before: Vec<f64> = (0..cases.len()).map(&mut before).collect();
    base.calibration.dial.carried(&before, &gains(cases, scorer, rungs))
}

fn gains(cases: &[BlendCase], scorer: &Scorer, rungs: &[usize]) -> Vec<f64> {
    cases.iter().map(|case| gain(&blended(&case.priors, &case.neighbours, &scorer.blend), rungs)).collect()
}
