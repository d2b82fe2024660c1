//! What a correction may depend on: the signals, and how near a prompt is to some of the labelled ones.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::domain::embedding::dot;
use crate::model::heads::SIGNALS;
use crate::model::heads::graph::{Affine, HeadsGraph, Local};
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::ridge::Cholesky;

/// Most labelled prompts that nearness is measured to. One matrix product of this many rows is what a served prompt pays.
pub(super) const LANDMARKS: usize = 128;
/// Two landmarks are not nearer to each other than this cosine, or one says what the other says.
const DISTINCT: f32 = 0.995;
/// How fast nearness falls: at the typical distance of two labelled prompts it is `exp(−3)`.
const FALL: f32 = 1.5;
/// How much the signals weigh against nearness.
const SIGNAL_SHARE: f64 = 0.4;
/// Kept on the diagonal of landmarks' nearness to each other, so that it can be inverted.
const JITTER: f64 = 1e-3;

/// A basis in which a normal prior on the weights is a prior on smooth functions: a kernel regression by the method of Nyström
/// (Williams and Seeger, 2001) on a Gaussian kernel of the embedding, plus a linear one of the signals.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    /// The landmarks, those of the base first.
    pub(super) local: Local,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    factor: Cholesky,
}

impl Basis {
    /// Takes the base's landmarks, and labelled prompts drawn by the seed for as long as there is room.
    pub(super) fn of(heads: &HeadsGraph, features: &Features, seed: u64) -> Result<Self, TrainError> {
        let mut local =
            heads.local.clone().unwrap_or_else(|| Local::identity(Affine::zero(heads.dimension, 0), heads.positions()));
        let room = LANDMARKS.saturating_sub(local.landmarks.outputs());
        let steepness = local.landmarks.bias.first().map_or_else(|| steepness(features), |bias| -bias);
        local.extend(&landmarks(features, &local.landmarks, (room, steepness, seed)));
        let (mean, deviation) = moments(heads, features);
        let count = local.landmarks.outputs();
        let mut nearness = Vec::with_capacity(count * count);
        for unit in 0..count {
            let vector: Vec<f32> = local.landmarks.row(unit).iter().map(|w| w / steepness).collect();
            let near = local.landmarks.apply(&vector);
            nearness.extend(near.into_iter().map(|x| f64::from(x.exp())));
            if let Some(own) = nearness.get_mut(unit * count + unit) {
                *own += JITTER;
            }
        }
        let factor = Cholesky::of(nearness, count).ok_or_else(|| TrainError::Fit {
            what: "the correction by labels",
            detail: "some embeddings hold numbers that are not finite".to_owned(),
        })?;
        Ok(Self { local, mean, deviation, factor })
    }

    /// How many numbers a prompt becomes.
    pub(super) fn columns(&self) -> usize {
        SIGNALS + self.local.landmarks.outputs()
    }

    /// A prompt in this basis, from the features of the local step.
    pub(super) fn row(&self, features: &[f32]) -> Vec<f64> {
        let (signals, near) = features.split_at(SIGNALS.min(features.len()));
        let mut row = self.standardised(signals);
        let share = (SIGNAL_SHARE / SIGNALS as f64).sqrt();
        for x in &mut row {
            *x *= share;
        }
        row.extend(self.factor.forward(near.iter().map(|&x| f64::from(x)).collect()));
        row
    }

    /// A signal in deviations from its mean over the labelled prompts.
    pub(super) fn standardised(&self, signals: &[f32]) -> Vec<f64> {
        let moments = self.mean.iter().zip(&self.deviation);
        signals.iter().zip(moments).map(|(x, (mean, deviation))| (f64::from(*x) - mean) / deviation).collect()
    }

    /// Turns weights in this basis, and a weight on one standardised signal, into weights and bias on the features of the local step.
    pub(super) fn fold(&self, weights: &[f64], (signal, extra): (usize, f64)) -> (Vec<f64>, f64) {
        let share = (SIGNAL_SHARE / SIGNALS as f64).sqrt();
        let (signals, near) = weights.split_at(SIGNALS.min(weights.len()));
        let mut bias = 0.0;
        let mut folded = Vec::with_capacity(weights.len());
        for (at, ((weight, mean), deviation)) in signals.iter().zip(&self.mean).zip(&self.deviation).enumerate() {
            let weight = (share * weight + if at == signal { extra } else { 0.0 }) / deviation;
            bias -= weight * mean;
            folded.push(weight);
        }
        folded.extend(self.factor.backward(near.to_vec()));
        (folded, bias)
    }
}

/// The steepness of the kernel: over the mean squared distance from the centre, so that prompts of one narrow kind are told apart as
/// well as those of many kinds.
fn steepness(features: &Features) -> f32 {
    let mut centre = vec![0.0_f32; features.dimension()];
    let rows = features.len().max(1) as f32;
    for row in 0..features.len() {
        for (sum, x) in centre.iter_mut().zip(features.embedding(row)) {
            *sum += x / rows;
        }
    }
    let spread = (1.0 - dot(&centre, &centre)).max(0.02);
    // exp(−FALL/spread · |a − b|²) with |a − b|² = 2 − 2·cosine
    (2.0 * FALL / spread).clamp(2.0, 60.0)
}

/// Labelled prompts that differ from each other and from the landmarks there are; at least one, which is nowhere if need be.
fn landmarks(features: &Features, known: &Affine, (room, steepness, seed): (usize, f32, u64)) -> Affine {
    let mut order: Vec<usize> = (0..features.len()).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    let mut chosen = Affine::zero(features.dimension(), 0);
    let least = (DISTINCT - 1.0) * steepness;
    for row in order {
        if chosen.outputs() >= room {
            break;
        }
        let mut embedding = features.embedding(row);
        let length = dot(&embedding, &embedding).sqrt();
        if length < 0.5 {
            continue;
        }
        for x in &mut embedding {
            *x /= length;
        }
        let near = known.apply(&embedding).into_iter().chain(chosen.apply(&embedding));
        if near.fold(f32::NEG_INFINITY, f32::max) < least {
            let weights: Vec<f32> = embedding.iter().map(|x| x * steepness).collect();
            chosen.push(&weights, -steepness);
        }
    }
    if known.outputs() + chosen.outputs() == 0 {
        chosen.push(&[], -steepness);
    }
    chosen
}

/// Mean and deviation of every bounded signal. The deviation is kept away from zero: a signal that hardly varies here may vary later.
fn moments(heads: &HeadsGraph, features: &Features) -> (Vec<f64>, Vec<f64>) {
    let mut sums = vec![(0.0_f64, 0.0_f64); SIGNALS];
    for row in 0..features.len() {
        let bounded = heads.input(&[], &features.signals(row));
        for ((sum, squares), x) in sums.iter_mut().zip(bounded) {
            *sum += f64::from(x);
            *squares += f64::from(x) * f64::from(x);
        }
    }
    let rows = features.len().max(1) as f64;
    let bounds = heads.low.iter().zip(&heads.high);
    let moment = |((sum, squares), (low, high)): ((f64, f64), (&f32, &f32))| {
        let mean = sum / rows;
        let range = f64::from(high - low).max(0.0);
        (mean, (squares / rows - mean * mean).max(0.0).sqrt() + 0.05 + 0.03 * range)
    };
    sums.into_iter().zip(bounds).map(moment).unzip()
}
