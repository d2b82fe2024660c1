//! The heads as plain numbers: what fitting makes, ONNX stores and calibration applies.

mod local;

pub use local::{LOCAL_MARGIN, Local};

use pulp::{Arch, NullaryFnOnce};

use crate::domain::embedding::dot;
use crate::domain::probability::{sigmoid, softmax};
use crate::domain::task::Task;
use crate::model::heads::{HeadOutput, SIGNALS};

/// How many tasks the task head tells apart.
pub const TASKS: usize = Task::ALL.len();

/// Outputs of the wide step before the success logits: ability, gain, difficulty and two length quantiles.
pub const FIXED_OUTPUTS: usize = 5;

/// Success probabilities are kept this far from 0 and 1 before they become logits.
pub const MARGIN: f32 = 0.02;

/// Rows of weights with a bias each: `y = weights · x + bias`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Affine {
    /// How many numbers `x` has.
    pub inputs: usize,
    /// Row after row, one row per output.
    pub weights: Vec<f32>,
    /// One number per output.
    pub bias: Vec<f32>,
}

impl Affine {
    /// A map of zeros.
    #[must_use]
    pub fn zero(inputs: usize, outputs: usize) -> Self {
        Self { inputs, weights: vec![0.0; inputs * outputs], bias: vec![0.0; outputs] }
    }

    /// How many outputs there are.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The weights of one output; empty beyond the last.
    #[must_use]
    pub fn row(&self, output: usize) -> &[f32] {
        self.weights.get(output * self.inputs..(output + 1) * self.inputs).unwrap_or_default()
    }

    /// Adds to the weights and bias of one output. Does nothing beyond the last; short rows leave the rest alone.
    pub fn add(&mut self, output: usize, weights: &[f32], bias: f32) {
        let row = self.weights.get_mut(output * self.inputs..(output + 1) * self.inputs).unwrap_or_default();
        for (to, from) in row.iter_mut().zip(weights) {
            *to += from;
        }
        if let Some(to) = self.bias.get_mut(output) {
            *to += bias;
        }
    }

    /// Some of the outputs; those beyond the last are left out.
    #[must_use]
    pub fn rows(&self, outputs: std::ops::Range<usize>) -> Self {
        let weights = self.weights.get(outputs.start * self.inputs..outputs.end * self.inputs).unwrap_or_default();
        let bias = self.bias.get(outputs).unwrap_or_default();
        Self { inputs: self.inputs, weights: weights.to_vec(), bias: bias.to_vec() }
    }

    /// Appends an output.
    pub fn push(&mut self, weights: &[f32], bias: f32) {
        self.weights.resize(self.weights.len() + self.inputs, 0.0);
        self.bias.push(0.0);
        self.add(self.bias.len() - 1, weights, bias);
    }

    /// The outputs for one input.
    #[must_use]
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        // Compiled for the processor's widest instructions, whose sums are the same on every machine.
        Arch::new().dispatch(Applying { affine: self, x })
    }
}

/// The work that is compiled more than once: a type and not a closure, since only so it is sure to become part of what calls it.
struct Applying<'a> {
    affine: &'a Affine,
    x: &'a [f32],
}

impl NullaryFnOnce for Applying<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call(self) -> Vec<f32> {
        let Self { affine, x } = self;
        let mut outputs = Vec::with_capacity(affine.outputs());
        for (row, bias) in affine.weights.chunks_exact(affine.inputs.max(1)).zip(&affine.bias) {
            outputs.push(dot(row, x) + bias);
        }
        outputs
    }
}

/// The heads of one encoder.
///
/// `x` is the embedding followed by the signals, each signal kept within the range seen in training so that no single one can
/// move a score without bound. The task head is `task(relu(hidden(x)))`. Everything else is one affine step over `x` and the task
/// probabilities: the *ability* of models in general, the *gain* of a stronger model, difficulty, answer length, and a residual
/// logit per position. The success of position `i` is, before its residual, `sigmoid(ability) + place_i · gain + level_i`: one
/// shared ability and one shared gain carry what transfers to prompts unlike those seen, residuals what does not.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadsGraph {
    /// The length of an embedding.
    pub dimension: usize,
    /// The least value of each signal.
    pub low: Vec<f32>,
    /// The largest value of each signal.
    pub high: Vec<f32>,
    /// The hidden layer of the task head.
    pub hidden: Affine,
    /// From the hidden layer to task logits.
    pub task: Affine,
    /// From `x` and task probabilities to ability, gain, difficulty, two length quantiles and one residual logit per position.
    pub outputs: Affine,
    /// The least gain.
    pub least_gain: f32,
    /// The largest gain.
    pub largest_gain: f32,
    /// Where each position stands between weak (−½) and strong (½).
    pub place: Vec<f32>,
    /// What each position adds to the shared ability.
    pub level: Vec<f32>,
    /// What a user's own labels changed, where there were any.
    pub local: Option<Local>,
}

/// The affine outputs that are not residuals, by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The logit of the shared ability.
    Ability = 0,
    /// The gain of a strong model over a weak one, before it is bounded.
    Gain = 1,
    /// The difficulty logit.
    Difficulty = 2,
    /// The logarithm of the median answer length.
    MedianTokens = 3,
    /// The logarithm of the 90th percentile of the answer length.
    LongTokens = 4,
}

impl HeadsGraph {
    /// Heads that know nothing yet: every success is one half.
    #[must_use]
    pub fn blank(dimension: usize, positions: usize) -> Self {
        let inputs = dimension + SIGNALS;
        Self {
            dimension,
            low: vec![0.0; SIGNALS],
            high: vec![12.0; SIGNALS],
            hidden: Affine::zero(inputs, 1),
            task: Affine::zero(1, TASKS),
            outputs: Affine::zero(inputs + TASKS, FIXED_OUTPUTS + positions),
            least_gain: 0.0,
            largest_gain: 0.6,
            place: vec![0.0; positions],
            level: vec![0.0; positions],
            local: None,
        }
    }

    /// How many positions have a success logit.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.place.len()
    }

    /// The embedding and the bounded signals.
    #[must_use]
    pub fn input(&self, embedding: &[f32], signals: &[f32]) -> Vec<f32> {
        let mut x = Vec::with_capacity(self.dimension + SIGNALS + TASKS);
        x.extend_from_slice(embedding);
        let bounds = self.low.iter().zip(&self.high);
        x.extend(signals.iter().zip(bounds).map(|(signal, (low, high))| signal.max(*low).min(*high)));
        x
    }

    /// Task logits of an input.
    #[must_use]
    pub fn tasks(&self, x: &[f32]) -> Vec<f32> {
        let hidden: Vec<f32> = self.hidden.apply(x).into_iter().map(|unit| unit.max(0.0)).collect();
        self.task.apply(&hidden)
    }

    /// The outputs for one prompt, as the ONNX graph gives them.
    #[must_use]
    pub fn apply(&self, embedding: &[f32], signals: &[f32]) -> HeadOutput {
        let mut x = self.input(embedding, signals);
        let task = self.tasks(&x);
        let near =
            self.local.as_ref().map(|local| local.features(embedding, x.get(self.dimension..).unwrap_or_default()));
        x.extend(softmax(&task).into_iter().map(|p| p as f32));
        let all = self.outputs.apply(&x);
        let at = |output: Output| all.get(output as usize).copied().unwrap_or(0.0);
        let ability = sigmoid(f64::from(at(Output::Ability))) as f32;
        let gain = at(Output::Gain).clamp(self.least_gain, self.largest_gain);
        let residuals = all.iter().skip(FIXED_OUTPUTS);
        let positions = self.place.iter().zip(&self.level).zip(residuals);
        let success = positions.map(|((place, level), residual)| {
            let p = (ability + place * gain + level).clamp(MARGIN, 1.0 - MARGIN);
            (p / (1.0 - p)).ln() + residual
        });
        let success: Vec<f32> = success.collect();
        HeadOutput {
            difficulty: at(Output::Difficulty),
            success: match (&self.local, &near) {
                (Some(local), Some(near)) => local.apply(&success, near),
                _ => success,
            },
            output_tokens: [at(Output::MedianTokens), at(Output::LongTokens)],
            task,
        }
    }

    /// Appends a position that starts as a copy of another: a new model takes after its tier.
    pub fn push_like(&mut self, position: usize) {
        let output = FIXED_OUTPUTS + position;
        let weights = self.outputs.row(output).to_vec();
        let bias = self.outputs.bias.get(output).copied().unwrap_or(0.0);
        self.outputs.push(&weights, bias);
        self.place.push(self.place.get(position).copied().unwrap_or(0.0));
        self.level.push(self.level.get(position).copied().unwrap_or(0.0));
        if let Some(local) = &mut self.local {
            local.push_like(position);
        }
    }
}
