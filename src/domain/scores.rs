//! What the learned part says about one prompt.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::domain::embedding::Embedding;
use crate::domain::estimate::Estimate;
use crate::domain::familiarity::Familiarity;
use crate::domain::ids::{ModelName, TierId};
use crate::domain::neighbour::Neighbour;
use crate::domain::probability::Probability;
use crate::domain::task::Task;
use crate::domain::unknown::Market;

/// What a bundle has labels for: its tiers from weak to strong, then the models it knows.
///
/// Position `i` means the same tier or model in the success head, the calibration and every neighbour's labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSpace {
    tiers: Vec<TierId>,
    models: Vec<ModelName>,
    model_positions: HashMap<ModelName, usize>,
    market: Option<Arc<Market>>,
}

impl LabelSpace {
    /// Lays out the positions: tiers first, models after them.
    #[must_use]
    pub fn new(tiers: Vec<TierId>, models: Vec<ModelName>) -> Self {
        let model_positions = models.iter().enumerate().map(|(at, model)| (model.clone(), tiers.len() + at)).collect();
        Self { tiers, models, model_positions, market: None }
    }

    /// With points of comparison for models that have no position.
    #[must_use]
    pub fn with_market(self, market: Option<Market>) -> Self {
        Self { market: market.map(Arc::new), ..self }
    }

    /// Points of comparison for models that have no position, where the bundle has some.
    #[must_use]
    pub fn market(&self) -> Option<&Market> {
        self.market.as_deref()
    }

    /// The tiers, from weak to strong.
    #[must_use]
    pub fn tiers(&self) -> &[TierId] {
        &self.tiers
    }

    /// The models, in order of position.
    #[must_use]
    pub fn models(&self) -> &[ModelName] {
        &self.models
    }

    /// How many positions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tiers.len() + self.models.len()
    }

    /// Whether there are no positions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position of a tier.
    #[must_use]
    pub fn tier(&self, tier: &TierId) -> Option<usize> {
        self.tiers.iter().position(|known| known == tier)
    }

    /// The position of a model.
    #[must_use]
    pub fn model(&self, model: &ModelName) -> Option<usize> {
        self.model_positions.get(model).copied()
    }
}

/// What scores are made from: one generation of the model, and all that it had learned from feedback until then.
///
/// No two generations of a process have the same number, so that scores of one edition are true for as long as it serves. What the neighbours have no
/// part in is true for every edition of its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edition {
    /// Which generation.
    pub generation: u64,
    /// How often it had learned something.
    pub learned: u64,
}

/// Calibrated scores of one prompt.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Which scorer gave them.
    pub scorer: Scorer,
    /// Probability of each task, in the order of [`Task::ALL`].
    pub tasks: Vec<f64>,
    /// How hard the prompt is for models in general, 0 easy to 1 hard.
    pub difficulty: Probability,
    /// Success by position of the label space as the heads see it, before the neighbours have their say.
    pub prior: Vec<Probability>,
    /// Success by position of the label space.
    pub success: Vec<Estimate>,
    /// Expected length of the answer.
    pub output_tokens: OutputTokens,
    /// What the neighbours said.
    pub neighbourhood: Neighbourhood,
    /// The language, and whether the bundle can judge the prompt at all.
    pub familiarity: Familiarity,
    /// Tokens of the ask that were scored.
    pub tokens: usize,
    /// Whether the ask was longer than the encoder reads.
    pub truncated: bool,
    /// Where the time went.
    pub timings: ScoreTimings,
    /// The embedding of the ask by the fast encoder, kept with the record so that a retrain needs no prompt text.
    pub embedding: Embedding,
}

impl Scores {
    /// The likeliest task and its probability; [`Task::Other`] where there are none.
    #[must_use]
    pub fn task(&self) -> (Task, Probability) {
        let likeliest = Task::ALL.iter().zip(&self.tasks).max_by(|a, b| a.1.total_cmp(b.1));
        likeliest.map_or((Task::Other, Probability::ZERO), |(&task, &p)| (task, Probability::clamped(p)))
    }
}

/// Which of the two scorers answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scorer {
    /// Static embeddings, heads and neighbours: microseconds.
    Fast,
    /// A transformer encoder and its own heads: milliseconds.
    Careful,
}

/// Quantiles of the predicted answer length, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OutputTokens {
    /// Half of the answers are shorter.
    pub p50: f64,
    /// Nine in ten answers are shorter.
    pub p90: f64,
}

impl OutputTokens {
    /// The mean of the lognormal distribution with these quantiles, at most `p90`.
    ///
    /// Answer lengths have a long tail, so their mean lies well above their median, and over many calls it is the mean that is
    /// paid for. The median alone would make models with a dear output look cheaper than they are.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.p50.is_nan() || self.p50 <= 0.0 || self.p90.is_nan() || self.p90 <= self.p50 {
            return self.p50.max(0.0);
        }
        // 1.2816 standard deviations lie between the median and the 90th percentile.
        let deviation = (self.p90 / self.p50).ln() / 1.2816;
        (self.p50 * (deviation * deviation / 2.0).exp()).min(self.p90)
    }
}

/// The labelled prompts near this one.
#[derive(Clone, Debug, Default)]
pub struct Neighbourhood {
    /// From most to least similar.
    pub neighbours: Vec<Neighbour>,
    /// The mean similarity of the nearest ten, 0 where there are none: how familiar the prompt is.
    pub density: f64,
}

/// Wall-clock time of each step of scoring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScoreTimings {
    /// Waiting for a batch to form; zero on the fast path.
    pub queue: Duration,
    /// Text to token ids.
    pub tokenize: Duration,
    /// Token ids to embedding.
    pub encode: Duration,
    /// Embedding and signals to head outputs.
    pub heads: Duration,
    /// Neighbour search and blend.
    pub neighbours: Duration,
}

/// Why there are no scores. Evidence for the decision, never an error of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ScoreFailure {
    /// No bundle is loaded.
    #[error("no bundle is loaded")]
    NoBundle,
    /// There was no text to score.
    #[error("the request has no text to score")]
    EmptyAsk,
    /// The encoder knows no word of the text, as with a script that its vocabulary lacks.
    #[error("the scoring model knows no word of the request")]
    UnknownText,
    /// The scoring queue was full.
    #[error("the scoring queue is full")]
    Overloaded,
    /// Scoring did not finish in time.
    #[error("scoring took too long")]
    Deadline,
    /// The model failed or gave numbers that are not finite.
    #[error("the scoring model failed")]
    Inference,
}
