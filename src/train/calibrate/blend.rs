//! How much neighbours count against the head.

use crate::domain::neighbour::{BlendSettings, Evidence, Neighbour};
use crate::domain::probability::Probability;
use crate::train::error::TrainError;
use crate::train::metrics::{Pair, PgrCurve};
use crate::train::progress::{Phase, Progress, step};
use crate::train::scorer::blended;

/// One prompt of the calibration part: what the calibrated head says, who its neighbours are, and what happened.
#[derive(Clone, Debug)]
pub struct BlendCase {
    /// Calibrated head probabilities by position.
    pub priors: Vec<Probability>,
    /// The neighbours, most similar first, as many as the largest k tried.
    pub neighbours: Vec<Neighbour>,
    /// Observed scores by position, with their weights.
    pub observed: Vec<(usize, f64, f64)>,
    /// How much the prompt counts.
    pub weight: f64,
}

/// The largest number of neighbours that is tried.
pub const MAX_K: usize = 64;

/// What is tried.
const KS: [usize; 3] = [16, 32, MAX_K];
const FLOORS: [f32; 6] = [0.0, 0.3, 0.5, 0.7, 0.8, 0.85];
const POWERS: [f32; 3] = [1.0, 2.0, 4.0];
const STRENGTHS: [f64; 6] = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0];

/// How much of the ranking for the strongest tier may be lost, in area, on prompts whose own dataset has no neighbours.
const RANKING_TOLERANCE: f64 = 0.0005;

/// Settings where there is nothing to choose them on: neighbours count, but little.
pub const CAUTIOUS: BlendSettings = BlendSettings { k: 64, floor: 0.2, power: 4.0, prior_strength: 80.0 };

/// The settings of a small grid with the least log-loss, and that loss.
///
/// Neighbours help most on prompts like those trained on, and mislead on others. So every setting is also tried on `strangers`: prompts
/// whose neighbours come from other datasets only. One that ranks those worse than the heads alone is not taken, however good it is at
/// home. `strongest` is the position of the strongest tier; position zero is the weakest.
///
/// # Errors
/// [`TrainError::Interrupted`].
pub fn choose(
    (cases, strangers): (&[BlendCase], &[BlendCase]),
    strongest: usize,
    progress: &dyn Progress,
) -> Result<(BlendSettings, f64), TrainError> {
    let total = KS.len() * FLOORS.len() * POWERS.len();
    let alone = area(strangers, strongest, &BlendSettings { k: 0, ..CAUTIOUS });
    let mut best = (CAUTIOUS, f64::INFINITY);
    let mut done = 0;
    for k in KS {
        for floor in FLOORS {
            for power in POWERS {
                step(progress, Phase::Calibrate, (done, total))?;
                done += 1;
                let settings = BlendSettings { k, floor, power, prior_strength: 1.0 };
                let losses = losses(cases, &settings);
                for (prior_strength, loss) in STRENGTHS.into_iter().zip(losses) {
                    let settings = BlendSettings { prior_strength, ..settings };
                    let ranks_strangers = || {
                        let with = area(strangers, strongest, &settings);
                        with.zip(alone).is_none_or(|(with, alone)| with >= alone - RANKING_TOLERANCE)
                    };
                    if loss < best.1 && ranks_strangers() {
                        best = (settings, loss);
                    }
                }
            }
        }
    }
    Ok(best)
}

/// The area under the gap recovered when prompts are ranked by the blended gain.
fn area(cases: &[BlendCase], strongest: usize, settings: &BlendSettings) -> Option<f64> {
    let score = |case: &BlendCase, position: usize| {
        case.observed.iter().find(|&&(at, ..)| at == position).map(|&(_, score, _)| score)
    };
    let pair = |case: &BlendCase| {
        let means = blended(&case.priors, &case.neighbours, settings);
        let mean = |position: usize| means.get(position).copied().unwrap_or(0.0);
        Some(Pair { weak: score(case, 0)?, strong: score(case, strongest)?, gain: mean(strongest) - mean(0) })
    };
    PgrCurve::of(&cases.iter().filter_map(pair).collect::<Vec<_>>(), 0).map(|curve| curve.apgr())
}

/// The weighted log-loss at every strength.
fn losses(cases: &[BlendCase], settings: &BlendSettings) -> Vec<f64> {
    let mut sums = vec![0.0; STRENGTHS.len()];
    let mut total = 0.0;
    for case in cases {
        let near = case.neighbours.get(..settings.k.min(case.neighbours.len())).unwrap_or_default();
        let evidence = Evidence::gather(near, settings, case.priors.len());
        for &(position, score, weight) in &case.observed {
            let (Some(&prior), Some(evidence)) = (case.priors.get(position), evidence.get(position)) else { continue };
            let weight = weight * case.weight;
            total += weight;
            for (sum, strength) in sums.iter_mut().zip(STRENGTHS) {
                let p = evidence.update(prior, strength).mean.get().clamp(1e-4, 1.0 - 1e-4);
                *sum -= weight * (score * p.ln() + (1.0 - score) * (1.0 - p).ln());
            }
        }
    }
    sums.into_iter().map(|sum| sum / f64::max(total, 1e-9)).collect()
}
