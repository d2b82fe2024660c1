//! The description of a bundle: written last, read first.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{BundleId, ModelName, TierId};
use crate::domain::task::Task;

/// The manifest schema this build writes. Readers accept this one and the one before it.
pub const SCHEMA: u32 = 1;

/// The name of the manifest inside a bundle directory.
pub const MANIFEST_FILE: &str = "manifest.json";

/// What a bundle is, what it was trained for and on, and the digest of every file in it.
///
/// Unknown fields are allowed, so that an older server can read a newer bundle of the same schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The schema of this file.
    pub schema: u32,
    /// The bundle's name.
    pub id: BundleId,
    /// The bundle it was trained from, if any.
    pub parent: Option<BundleId>,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The version of trimtab that made it.
    pub made_by: String,
    /// The seed of every random choice in training.
    pub seed: u64,
    /// The encoder of the fast scorer.
    pub encoder: EncoderRef,
    /// The heads of the fast scorer.
    pub heads: HeadsRef,
    /// The careful scorer, if the bundle has one. It is used where its encoder is installed.
    pub careful: Option<CarefulRef>,
    /// The version of the structural signals the heads read.
    pub signals_version: u32,
    /// The tasks of the task head, in order.
    pub tasks: Vec<Task>,
    /// The tiers that labels refer to, from weak to strong.
    pub tiers: Vec<TierId>,
    /// The models that have a success head of their own, in order.
    pub models: Vec<ModelName>,
    /// The neighbour index, if the bundle has one.
    pub index: Option<IndexRef>,
    /// Every file but this one.
    pub files: Vec<FileRef>,
    /// What it was trained on.
    pub trained_on: TrainedOn,
}

/// An encoder by digest: the lower-case hexadecimal SHA-256 of its `encoder.json`, also the name of its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderRef {
    /// The digest.
    pub digest: String,
    /// The name, for people.
    pub name: String,
    /// The length of its embeddings.
    pub dimension: usize,
}

/// A heads graph and the calibration fitted for it.
///
/// The graph takes `embedding` f32 `[n, dimension]` and `signals` f32 `[n, signals]`, and gives `task` f32 `[n, tasks]` (logits),
/// `difficulty` f32 `[n, 1]` (logit), `success` f32 `[n, tiers + models]` (logits) and `output_tokens` f32 `[n, 2]`
/// (natural logarithms of the median and 90th percentile).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadsRef {
    /// The path of the ONNX graph in the bundle.
    pub path: String,
    /// The path of the calibration in the bundle.
    pub calibration: String,
}

/// The careful scorer: its own encoder and heads; the neighbour index stays the fast scorer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarefulRef {
    /// The encoder, usually a transformer that is built and not shipped.
    pub encoder: EncoderRef,
    /// The heads for it.
    pub heads: HeadsRef,
}

/// The neighbour index. `vectors` and `items` are the truth; a graph is only a cache of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRef {
    /// JSON Lines, one [`IndexItem`] per vector, in order.
    pub items: String,
    /// Little-endian f32, row after row.
    pub vectors: String,
    /// The file of the neighbour graph, if one was built: links only, little-endian, the same on every machine.
    pub graph: Option<String>,
    /// How many items.
    pub count: usize,
    /// How many leading numbers of the embedding are indexed, scaled to length one again.
    pub dimension: usize,
    /// HNSW links per node.
    pub m: usize,
    /// HNSW candidates while building.
    pub ef_construction: usize,
    /// HNSW candidates while searching.
    pub ef_search: usize,
}

/// One line of the items file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexItem {
    /// The prompt's name: a digest, never its text.
    pub id: String,
    /// Scores by position of the label space, each in 0..1.
    pub labels: Vec<(u16, f32)>,
}

/// A file of a bundle or an encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Relative, with forward slashes, never leaving the directory.
    pub path: String,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The data a bundle was trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Outcome rows.
    pub rows: u64,
    /// Distinct prompts.
    pub prompts: u64,
    /// Rows by dataset.
    pub datasets: Vec<(String, u64)>,
    /// SHA-256 over the sorted row keys, so that two trainings on the same data can be told.
    pub digest: String,
}

/// `calibration.json`: everything that was fitted after the heads, tied by digest to what it was fitted for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// SHA-256 of the heads graph.
    pub heads: String,
    /// SHA-256 of the index vectors, if there is an index.
    pub index: Option<String>,
    /// One map per position of the label space.
    pub success: Vec<crate::domain::calibration::Calibrator>,
    /// The map of the difficulty logit.
    pub difficulty: crate::domain::calibration::Calibrator,
    /// Divides the task logits.
    pub task_temperature: f64,
    /// How neighbours are weighed.
    pub blend: crate::domain::neighbour::BlendSettings,
    /// The meaning of the quality dial.
    pub dial: crate::domain::calibration::Dial,
    /// Predictions for sample prompts, from which the dial is made for the models that are configured.
    #[serde(default, skip_serializing_if = "crate::domain::steps::DialSample::is_empty")]
    pub sample: crate::domain::steps::DialSample,
}

/// One line of `golden.jsonl`: what the bundle must answer, checked whenever it is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenRow {
    /// A prompt of the project's own.
    pub prompt: String,
    /// How many tokens it has.
    pub tokens: usize,
    /// The first eight numbers of its embedding.
    pub embedding: Vec<f32>,
    /// The raw success logits of the tiers.
    pub tier_logits: Vec<f32>,
    /// The likeliest task.
    pub task: Task,
}
