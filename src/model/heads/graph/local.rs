//! What labels of a user's own prompts add to success probabilities.

use crate::domain::probability::sigmoid;
use crate::model::heads::SIGNALS;
use crate::model::heads::graph::Affine;

/// Corrected probabilities are kept this far from 0 and 1.
pub const LOCAL_MARGIN: f32 = 0.01;

/// The last step of adapted heads, in probabilities: `p = keep · sigmoid(slope · logit + intercept) + shift(signals, nearness)`, cut to
/// one hundredth from either end.
///
/// Nearness is `exp(landmarks(embedding))`, one number per landmark: 1 at the landmark itself and less the farther away, so that the
/// shift is a kernel regression that costs one small matrix product. Where nothing moved, it is the identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// From the embedding to the logarithm of the nearness to each landmark: weights `κ · l` and bias `−κ` for a unit vector `l`.
    pub landmarks: Affine,
    /// Multiplies the logit of each position.
    pub slope: Vec<f32>,
    /// Added to it.
    pub intercept: Vec<f32>,
    /// Multiplies the probability of each position.
    pub keep: Vec<f32>,
    /// Added to it: affine in the bounded signals and the nearness to each landmark.
    pub shift: Affine,
}

impl Local {
    /// A step that changes nothing, with these landmarks.
    #[must_use]
    pub fn identity(landmarks: Affine, positions: usize) -> Self {
        let inputs = SIGNALS + landmarks.outputs();
        Self {
            landmarks,
            slope: vec![1.0; positions],
            intercept: vec![0.0; positions],
            keep: vec![1.0; positions],
            shift: Affine::zero(inputs, positions),
        }
    }

    /// The step for some of the positions, without its landmarks.
    #[must_use]
    pub fn rows(&self, positions: std::ops::Range<usize>) -> Self {
        let of = |list: &[f32]| list.get(positions.clone()).unwrap_or_default().to_vec();
        Self {
            landmarks: Affine::default(),
            slope: of(&self.slope),
            intercept: of(&self.intercept),
            keep: of(&self.keep),
            shift: self.shift.rows(positions.clone()),
        }
    }

    /// What the shift reads: the bounded signals and the nearness to each landmark.
    #[must_use]
    pub fn features(&self, embedding: &[f32], bounded: &[f32]) -> Vec<f32> {
        let mut features = bounded.to_vec();
        features.extend(self.landmarks.apply(embedding).into_iter().map(f32::exp));
        features
    }

    /// The corrected logits.
    #[must_use]
    pub fn apply(&self, logits: &[f32], features: &[f32]) -> Vec<f32> {
        let shifts = self.shift.apply(features);
        let maps = self.slope.iter().zip(&self.intercept).zip(&self.keep).zip(&shifts);
        let corrected = logits.iter().zip(maps).map(|(logit, (((slope, intercept), keep), shift))| {
            let p = keep * sigmoid(f64::from(logit * slope + intercept)) as f32 + shift;
            let p = p.clamp(LOCAL_MARGIN, 1.0 - LOCAL_MARGIN);
            (p / (1.0 - p)).ln()
        });
        corrected.collect()
    }

    /// Appends a position that starts as a copy of another.
    pub fn push_like(&mut self, position: usize) {
        let copy = |list: &mut Vec<f32>, none: f32| list.push(list.get(position).copied().unwrap_or(none));
        copy(&mut self.slope, 1.0);
        copy(&mut self.intercept, 0.0);
        copy(&mut self.keep, 1.0);
        let weights = self.shift.row(position).to_vec();
        let bias = self.shift.bias.get(position).copied().unwrap_or(0.0);
        self.shift.push(&weights, bias);
    }

    /// Appends landmarks that move nothing yet.
    pub fn extend(&mut self, landmarks: &Affine) {
        for unit in 0..landmarks.outputs() {
            let bias = landmarks.bias.get(unit).copied().unwrap_or(0.0);
            self.landmarks.push(landmarks.row(unit), bias);
        }
        let mut wider = Affine::zero(self.shift.inputs + landmarks.outputs(), 0);
        for position in 0..self.shift.outputs() {
            let bias = self.shift.bias.get(position).copied().unwrap_or(0.0);
            wider.push(self.shift.row(position), bias);
        }
        self.shift = wider;
    }

    /// Whether the sizes fit each other and the heads.
    #[must_use]
    pub fn fits(&self, dimension: usize, positions: usize) -> bool {
        let lists = [self.slope.len(), self.intercept.len(), self.keep.len(), self.shift.outputs()];
        self.landmarks.inputs == dimension
            && self.shift.inputs == SIGNALS + self.landmarks.outputs()
            && lists.iter().all(|&length| length == positions)
    }
}
