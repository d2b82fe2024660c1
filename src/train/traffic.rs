//! Traffic that a dial is set on: outcomes of several models, or the server's own log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::embedding::Embedding;
use crate::domain::prompt::{Prompt, Shape};
use crate::domain::scores::{ScoreFailure, Scores};
use crate::domain::signals::SIGNALS_VERSION;
use crate::model::generation::Generation;
use crate::model::heads::SIGNALS;
use crate::train::error::TrainError;
use crate::train::feedback::{halves, numbers};
use crate::train::outcomes::{self, OutcomeOptions};
use crate::train::progress::{Phase, Progress, step};
use crate::train::table::{self, Cell};
use crate::train::tiers::key;

/// Most asks that are scored: more would narrow no interval that matters.
const MOST_ASKS: usize = 20_000;

/// Where traffic comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Outcomes files: what every model did on every prompt.
    Outcomes(Vec<PathBuf>, OutcomeOptions),
    /// An export of the server's log: what the chosen model did, where somebody said so, and how likely it was to be chosen.
    Log(PathBuf),
}

/// One thing that was asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What the bundle says about it, or why it says nothing.
    pub scores: Result<Scores, ScoreFailure>,
    /// What a decision needs to know besides.
    pub shape: Shape,
    /// Where it comes from.
    pub dataset: String,
    /// Its task, where the file says so.
    pub task: Option<String>,
    /// Models with how well they did, 0..1, by the key of their name.
    pub seen: Vec<(String, f64)>,
    /// The chance that the model that answered was chosen. One in outcomes, where nothing was chosen.
    pub propensity: f64,
}

/// Asks with what is known of them.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The asks.
    pub asks: Vec<Ask>,
    /// The models that answered some of them, by key.
    pub models: Vec<String>,
    /// Rows that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Whether only the chosen model's outcome is known.
    pub is_log: bool,
}

/// Reads and scores traffic.
///
/// # Errors
/// Files that do not read or have values out of range, and nothing that can be used.
pub fn read(source: &Source, generation: &Generation, progress: &dyn Progress) -> Result<Traffic, TrainError> {
    match source {
        Source::Outcomes(paths, options) => of_outcomes(paths, options, generation, progress),
        Source::Log(path) => of_log(path, generation, progress),
    }
}

fn of_outcomes(
    paths: &[PathBuf],
    options: &OutcomeOptions,
    generation: &Generation,
    progress: &dyn Progress,
) -> Result<Traffic, TrainError> {
    let outcomes = outcomes::read(paths, options, progress)?;
    let mut seen: Vec<Vec<(String, f64)>> = vec![Vec::new(); outcomes.prompts.len()];
    for row in &outcomes.rows {
        let name = outcomes.models.get(row.model as usize);
        if let (Some(list), Some(name)) = (seen.get_mut(row.prompt as usize), name) {
            list.push((key(name), f64::from(row.score)));
        }
    }
    let every = outcomes.prompts.len().div_ceil(MOST_ASKS).max(1);
    let mut asks = Vec::new();
    for (done, (prompt, seen)) in outcomes.prompts.iter().zip(seen).enumerate().step_by(every) {
        if done.is_multiple_of(256) {
            step(progress, Phase::Evaluate, (done, outcomes.prompts.len()))?;
        }
        let asked = Prompt::from_ask(&prompt.text);
        let task = prompt.task.and_then(|task| outcomes.tasks.get(task as usize)).cloned();
        let dataset = outcomes.datasets.get(prompt.dataset as usize).cloned().unwrap_or_default();
        asks.push(Ask { scores: generation.score(&asked), shape: asked.shape, dataset, task, seen, propensity: 1.0 });
    }
    let mut models: Vec<String> = outcomes.models.iter().map(|name| key(name)).collect();
    models.extend(outcomes.aliases.keys().map(|name| key(name)));
    for (alias, name) in &outcomes.aliases {
        for ask in &mut asks {
            let known = ask.seen.iter().find(|(model, _)| *model == key(name)).map(|(_, score)| *score);
            ask.seen.extend(known.filter(|_| key(alias) != key(name)).map(|score| (key(alias), score)));
        }
    }
    Ok(Traffic { asks, models, skipped: BTreeMap::new(), is_log: false })
}

/// The columns of an export that are read, in this order.
const COLUMNS: [&str; 11] = [
    "prompt",
    "model",
    "score",
    "propensity",
    "encoder",
    "embedding",
    "signals",
    "signals_version",
    "task",
    "input_tokens",
    "dataset",
];

const NO_MODEL: &str = "rows without a model";
const OTHER_ENCODER: &str =
    "rows without a prompt whose embedding or signals are of another encoder or version (export with prompts)";
const NOTHING: &str = "rows with neither a prompt nor an embedding (keep one of them in the store)";

fn of_log(path: &Path, generation: &Generation, progress: &dyn Progress) -> Result<Traffic, TrainError> {
    let mut traffic = Traffic { is_log: true, ..Traffic::default() };
    let info = table::read(path, &COLUMNS, &mut |number, cells| {
        if number.is_multiple_of(256) {
            step(progress, Phase::Evaluate, (usize::try_from(number).unwrap_or(0), 0))?;
        }
        if traffic.asks.len() >= MOST_ASKS {
            *traffic.skipped.entry(format!("rows after the first {MOST_ASKS}")).or_default() += 1;
            return Ok(());
        }
        match logged(cells, (path, number), generation)? {
            Ok(ask) => traffic.asks.push(ask),
            Err(reason) => *traffic.skipped.entry(reason.to_owned()).or_default() += 1,
        }
        Ok(())
    })?;
    if !info.has("model") {
        return Err(table::missing_column(path, "model", &info));
    }
    if traffic.asks.is_empty() {
        let reasons: Vec<String> = traffic.skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        return Err(TrainError::UnusableFeedback { rows: info.rows, reasons: reasons.join("; ") });
    }
    traffic.models = traffic.asks.iter().flat_map(|ask| &ask.seen).map(|(model, _)| model.clone()).collect();
    traffic.models.sort();
    traffic.models.dedup();
    Ok(traffic)
}

/// One decision of the log, or why it is left out.
fn logged(
    cells: &[Cell<'_>],
    (path, row): (&Path, u64),
    generation: &Generation,
) -> Result<Result<Ask, &'static str>, TrainError> {
    let cell = |at: usize| cells.get(at).unwrap_or(&Cell::Null);
    let number = |at: usize, column: &'static str, (allowed, expected): (fn(f64) -> bool, &'static str)| {
        if cell(at).is_null() {
            return Ok(None);
        }
        let found = || format!("found {}", cell(at).words());
        let wrong = || TrainError::Value { path: path.to_path_buf(), row, column, found: found(), expected };
        cell(at).number().filter(|number| allowed(*number)).map(Some).ok_or_else(wrong)
    };
    let in_range: (fn(f64) -> bool, _) =
        (|x| (0.0..=1.0).contains(&x), "a number from 0 (failed) to 1 (right), or nothing");
    let positive: (fn(f64) -> bool, _) = (|x| x > 0.0 && x <= 1.0, "a number above 0 and at most 1, or nothing");
    let count: (fn(f64) -> bool, _) = (|x| (0.0..1e12).contains(&x), "a count, or nothing");
    let score = number(2, "score", in_range)?;
    let propensity = number(3, "propensity", positive)?.unwrap_or(1.0);
    let tokens = number(9, "input_tokens", count)?;
    let Some(model) = cell(1).text().filter(|model| !model.is_empty()) else { return Ok(Err(NO_MODEL)) };
    let (scores, mut shape) = match cell(0).text().filter(|text| !text.trim().is_empty()) {
        Some(text) => {
            let asked = Prompt::from_ask(text);
            (generation.score(&asked), asked.shape)
        }
        None => match kept(cells, generation) {
            Ok((embedding, signals)) => {
                (generation.score_kept(embedding, &signals), Shape { turns: 1, ..Shape::default() })
            }
            Err(reason) => return Ok(Err(reason)),
        },
    };
    if let Some(tokens) = tokens.filter(|tokens| *tokens > 0.0) {
        shape.input_tokens = tokens as u64;
    }
    Ok(Ok(Ask {
        scores,
        shape,
        dataset: cell(10).text().unwrap_or("log").to_owned(),
        task: cell(8).text().map(str::to_owned),
        seen: score.map(|score| (key(model), score)).into_iter().collect(),
        propensity,
    }))
}

/// The embedding and signals that were kept instead of a prompt.
fn kept(cells: &[Cell<'_>], generation: &Generation) -> Result<(Embedding, [f32; SIGNALS]), &'static str> {
    let cell = |at: usize| cells.get(at).unwrap_or(&Cell::Null);
    let encoded = cell(5).text().ok_or(NOTHING)?;
    let version = cell(7).number().unwrap_or(f64::from(SIGNALS_VERSION));
    let same = cell(4).text() == Some(generation.manifest().encoder.digest.as_str())
        && (version - f64::from(SIGNALS_VERSION)).abs() < 0.5;
    let embedding = halves(encoded).and_then(Embedding::normalise);
    let embedding = embedding.filter(|found| found.dimension() == generation.manifest().encoder.dimension);
    let signals = numbers(cell(6)).and_then(|numbers| <[f32; SIGNALS]>::try_from(numbers).ok());
    match (embedding, signals) {
        (Some(embedding), Some(signals)) if same => Ok((embedding, signals)),
        _ => Err(OTHER_ENCODER),
    }
}
