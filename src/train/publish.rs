//! Writing a bundle that is absent or complete, and the gates it passes first.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::domain::embedding::Embedding;
use crate::domain::ids::BundleId;
use crate::domain::prompt::Prompt;
use crate::domain::scores::LabelSpace;
use crate::domain::signals::SIGNALS_VERSION;
use crate::domain::steps::DialSample;
use crate::domain::task::Task;
use crate::model::digest_of;
use crate::model::generation::{Generation, PrepareSettings};
use crate::model::heads::graph::HeadsGraph;
use crate::model::index::{EXACT_BELOW, IndexParts, NeighbourIndex};
use crate::model::manifest::{
    Calibration, CarefulRef, EncoderRef, GoldenRow, HeadsRef, IndexRef, Manifest, SCHEMA, TrainedOn,
};
use crate::model::publish::BundleWriter;
use crate::model::verdict::REPORT_FILE;
use crate::train::adapt::AdaptReport;
use crate::train::adapt::careful::CarefulFate;
use crate::train::clock;
use crate::train::derive::{json, json_lines};
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::gates::Gate;
use crate::train::golden;
use crate::train::held_out::HeldOut;
use crate::train::index_build::{IndexContent, IndexSettings, RecallReport, recall};
use crate::train::influence::Influence;
use crate::train::moved::Moved;
use crate::train::onnx;
use crate::train::outcomes::ReadReport;
use crate::train::progress::{Phase, Progress, step};
use crate::train::scorer::Scorer;

/// The least share of true neighbours that a graph must find.
const LEAST_RECALL: f64 = 0.9;
/// Fewest golden rows.
const LEAST_GOLDEN: usize = 50;
/// How many times as long as the parent's a score may take.
const MOST_SLOWER: f64 = 1.5;
/// A score within this time, in microseconds, is fast whatever the parent's takes.
const FAST_ENOUGH_US: f64 = 200.0;

/// Everything a bundle is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The fast scorer.
    pub scorer: &'a Scorer,
    /// The careful scorer with its encoder, where one was trained.
    pub careful: Option<(&'a Scorer, EncoderRef)>,
    /// What the positions mean.
    pub space: &'a LabelSpace,
    /// The index.
    pub content: &'a IndexContent,
    /// How the index is built.
    pub settings: IndexSettings,
    /// The bundle it was trained from.
    pub parent: Option<Parent>,
    /// Digests of the questions it has learned, so that no descendant is judged on them.
    pub learned: Vec<u64>,
    /// The data it was trained on.
    pub trained_on: TrainedOn,
    /// Optional files, by path.
    pub extra: std::collections::BTreeMap<String, Vec<u8>>,
}

/// The bundle that another was trained from.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Its name.
    pub id: BundleId,
    /// Where it is.
    pub directory: PathBuf,
}

/// The file with the digests of the questions that a bundle and its ancestors learned: little-endian, sorted.
pub const LEARNED_FILE: &str = "learned.u64";

/// What training did. Also `report.json` in the bundle, without the path.
#[derive(Clone, Debug, Serialize)]
pub struct TrainReport {
    /// The bundle's name.
    pub id: BundleId,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
    /// The seed.
    pub seed: u64,
    /// What reading found.
    pub read: Option<ReadReport>,
    /// Prompts trained, calibrated and measured on.
    pub prompts: PartSizes,
    /// Prompts left out because they, or ones nearly the same, must stay unseen.
    pub left_out: usize,
    /// Rows of these datasets and models were left out, since they say more about a harness than a model.
    pub misfits: Vec<String>,
    /// Measurements on prompts not trained on; for a bundle that was adapted, see `adapted`.
    pub held_out: Option<HeldOut>,
    /// The same of the careful scorer, where one was trained.
    pub careful_held_out: Option<HeldOut>,
    /// What adapting changed.
    pub adapted: Option<AdaptReport>,
    /// What became of the careful scorer of the base; nothing where it has none.
    pub careful: Option<CarefulFate>,
    /// How much every caller's feedback weighed.
    pub influence: Option<Influence>,
    /// What changed against the parent.
    pub moved: Option<Moved>,
    /// Items in the index, and how well its graph finds them.
    pub index: Option<(usize, RecallReport)>,
    /// The gates.
    pub gates: Vec<Gate>,
    /// Seconds it took.
    pub seconds: f64,
}

impl TrainReport {
    /// Whether every gate passed. A bundle that failed one is written, and should not be promoted.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed)
    }
}

/// How many prompts went where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartSizes {
    /// Heads were fitted on these.
    pub fit: usize,
    /// Calibration was fitted on these.
    pub calibration: usize,
    /// Nothing was fitted on these.
    pub test: usize,
}

/// Writes the bundle to `out`, which must not exist, and prepares it as a server would before it appears there.
///
/// Adds the recall and golden gates to the report. If anything fails nothing is left at `out`.
///
/// # Errors
/// The disk refuses, the bundle does not load, or the caller asks to stop.
pub fn write(
    parts: &Parts<'_>,
    (out, models): (&Path, &Path),
    (encoder, report): (&mut TextEncoder, &mut TrainReport),
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    let failed = |error| TrainError::model("writing the bundle")(error);
    step(progress, Phase::Publish, (0, 6))?;
    let mut writer = BundleWriter::create(out).map_err(failed)?;
    let index = write_index(&mut writer, parts, report)?;
    step(progress, Phase::Publish, (2, 6))?;
    let vectors = index.as_ref().map(|_| digest_of(&parts.content.vectors.to_bytes()));
    let heads = write_scorer(&mut writer, parts.scorer, ("", vectors.clone()))?;
    let careful = match &parts.careful {
        Some((scorer, encoder)) => {
            let heads = write_scorer(&mut writer, &without_sample(scorer), ("careful-", vectors))?;
            Some(CarefulRef { encoder: encoder.clone(), heads })
        }
        None => None,
    };
    let golden = golden_rows(&parts.scorer.heads, parts.space.tiers().len(), encoder, progress)?;
    let lines = json_lines(&golden)?;
    writer.write("golden.jsonl", &lines).map_err(failed)?;
    step(progress, Phase::Publish, (4, 6))?;
    writer.write(LEARNED_FILE, &learned_bytes(&parts.learned)).map_err(failed)?;
    for (path, bytes) in &parts.extra {
        writer.write(path, bytes).map_err(failed)?;
    }
    let manifest = Manifest {
        schema: SCHEMA,
        id: report.id.clone(),
        parent: parts.parent.as_ref().map(|parent| parent.id.clone()),
        created: clock::now(),
        made_by: format!("trimtab {}", env!("CARGO_PKG_VERSION")),
        seed: report.seed,
        encoder: encoder.reference(),
        heads,
        careful,
        signals_version: SIGNALS_VERSION,
        tasks: Task::ALL.to_vec(),
        tiers: parts.space.tiers().to_vec(),
        models: parts.space.models().to_vec(),
        index,
        files: Vec::new(),
        trained_on: parts.trained_on.clone(),
    };
    let staged = writer.rehearse(manifest.clone()).map_err(failed)?;
    let prepare = |bundle: &Path| {
        let usual = PrepareSettings::new(bundle, models);
        Generation::prepare(&PrepareSettings { slots: NonZeroUsize::MIN, careful: None, ..usual })
    };
    let new = prepare(&staged).map_err(TrainError::model("loading the new bundle"))?;
    report.gates.push(Gate {
        name: "golden rows",
        passed: golden.len() >= LEAST_GOLDEN,
        detail: format!("{} golden prompts, answered again when the bundle was loaded", golden.len()),
    });
    if let Some(parent) = &parts.parent {
        let parent = prepare(&parent.directory).map_err(TrainError::model("loading the base bundle"))?;
        report.gates.push(latency(&parent, &new));
    }
    step(progress, Phase::Publish, (5, 6))?;
    writer.write(REPORT_FILE, &json(report)?).map_err(failed)?;
    report.path = writer.publish(manifest).map_err(failed)?;
    progress.at(Phase::Publish, 6, 6);
    Ok(())
}

/// Scoring time of the new bundle against the parent's, taken in turns so that both see the same machine.
fn latency(parent: &Generation, new: &Generation) -> Gate {
    const ROUNDS: usize = 5;
    let prompts: Vec<Prompt> = golden::PROMPTS.iter().map(|prompt| Prompt::from_ask(prompt)).collect();
    let mut micros = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for prompt in &prompts {
            for (generation, times) in [parent, new].into_iter().zip(&mut micros) {
                let start = Instant::now();
                let scored = generation.score(prompt);
                // The first round warms caches; a prompt that cannot be scored takes no time.
                if round > 0 && scored.is_ok() {
                    times.push(start.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
    }
    let [parent, new] = micros.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(0.0)
    });
    Gate {
        name: "latency",
        passed: new <= MOST_SLOWER * parent || new <= FAST_ENOUGH_US,
        detail: format!(
            "median {new:.0} µs to score a golden prompt, the parent's {parent:.0} µs; at most {MOST_SLOWER} times as long, or {FAST_ENOUGH_US:.0} µs"
        ),
    }
}

fn learned_bytes(learned: &[u64]) -> Vec<u8> {
    let mut sorted = learned.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.iter().flat_map(|stem| stem.to_le_bytes()).collect()
}

fn write_index(
    writer: &mut BundleWriter,
    parts: &Parts<'_>,
    report: &mut TrainReport,
) -> Result<Option<IndexRef>, TrainError> {
    let failed = |error| TrainError::model("writing the index")(error);
    let content = parts.content;
    if content.items.is_empty() {
        return Ok(None);
    }
    writer.write("items.jsonl", &json_lines(&content.items)?).map_err(failed)?;
    writer.write("vectors.f32", &content.vectors.to_bytes()).map_err(failed)?;
    let graph = if content.items.len() < EXACT_BELOW { None } else { content.graph(&parts.settings) };
    let graph_file = match &graph {
        Some(graph) => {
            writer.write("graph.hnsw", &graph.to_bytes()).map_err(failed)?;
            Some("graph.hnsw".to_owned())
        }
        None => None,
    };
    let index = NeighbourIndex::new(IndexParts {
        vectors: content.vectors.clone(),
        items: content.items.clone(),
        graph,
        ef_search: parts.settings.ef_search,
    });
    let every = (content.items.len() / 200).max(1);
    let queries = (0..content.items.len()).step_by(every).take(200);
    let queries: Vec<Embedding> =
        queries.filter_map(|at| Embedding::normalise(content.vectors.row(at).to_vec())).collect();
    let found = recall(content, &index, &queries);
    report.gates.push(Gate {
        name: "neighbours found",
        passed: found.recall >= LEAST_RECALL,
        detail: format!("recall {:.3} of the nearest {} over {} searches", found.recall, found.k, found.searches),
    });
    report.index = Some((content.items.len(), found));
    let IndexSettings { m, ef_construction, ef_search, .. } = parts.settings;
    Ok(Some(IndexRef {
        items: "items.jsonl".to_owned(),
        vectors: "vectors.f32".to_owned(),
        graph: graph_file,
        count: content.items.len(),
        dimension: content.vectors.dimension(),
        m,
        ef_construction,
        ef_search,
    }))
}

/// The dial is made from the fast scorer's sample alone.
fn without_sample(scorer: &Scorer) -> Scorer {
    Scorer { sample: DialSample::default(), ..scorer.clone() }
}

fn write_scorer(
    writer: &mut BundleWriter,
    scorer: &Scorer,
    (prefix, index): (&str, Option<String>),
) -> Result<HeadsRef, TrainError> {
    let failed = |error| TrainError::model("writing the heads")(error);
    let heads = HeadsRef { path: format!("{prefix}heads.onnx"), calibration: format!("{prefix}calibration.json") };
    let digest = writer.write(&heads.path, &onnx::encode(&scorer.heads)).map_err(failed)?.sha256.clone();
    let calibration = Calibration {
        heads: digest,
        index,
        success: scorer.success.clone(),
        difficulty: scorer.difficulty.clone(),
        task_temperature: scorer.task_temperature,
        blend: scorer.blend,
        dial: scorer.dial.clone(),
        sample: scorer.sample.clone(),
    };
    writer.write(&heads.calibration, &json(&calibration)?).map_err(failed)?;
    Ok(heads)
}

fn golden_rows(
    heads: &HeadsGraph,
    tiers: usize,
    encoder: &mut TextEncoder,
    progress: &dyn Progress,
) -> Result<Vec<GoldenRow>, TrainError> {
    let features = encoder.features(&golden::PROMPTS, progress)?;
    let mut rows = Vec::new();
    for (row, prompt) in golden::PROMPTS.into_iter().enumerate() {
        let tokens = encoder.count_tokens(prompt)?;
        let embedding = features.embedding(row);
        if tokens == 0 || embedding.iter().all(|x| *x == 0.0) {
            continue;
        }
        let outputs = heads.apply(&embedding, &features.signals(row));
        let task = outputs.task.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(task, _)| task);
        rows.push(GoldenRow {
            prompt: prompt.to_owned(),
            tokens,
            embedding: embedding.iter().take(8).copied().collect(),
            tier_logits: outputs.success.iter().take(tiers).copied().collect(),
            task: Task::ALL.get(task).copied().unwrap_or(Task::Other),
        });
    }
    Ok(rows)
}
