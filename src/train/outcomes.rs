//! Outcomes of models on prompts: who answered what, and how well.

mod builder;

pub(crate) use builder::{LEAST_PROPENSITY, digest, stem_of};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::train::error::TrainError;
use crate::train::outcomes::builder::Builder;
use crate::train::progress::{Phase, Progress};
use crate::train::table;

/// Keeps rows whose column has this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column.
    pub column: String,
    /// The value, as text.
    pub value: String,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((column, value)) if !column.trim().is_empty() => {
                Ok(Self { column: column.trim().to_owned(), value: value.trim().to_owned() })
            }
            Some(_) | None => Err(format!("`{text}` is not `column=value`")),
        }
    }
}

/// How outcomes files are read.
#[derive(Clone, Debug, Default)]
pub struct OutcomeOptions {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// The column that names the model. By default `model_canon` where it exists (one name per model across sources), else `model`.
    pub model_column: Option<String>,
    /// Models whose rows are not used, however their names are written.
    pub without_models: Vec<String>,
}

/// One distinct prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptRow {
    /// Its name in the files.
    pub id: Box<str>,
    /// The text that is embedded: `prompt_core` where the column exists, else `prompt`.
    pub text: Box<str>,
    /// Digest of the question itself: prompts that share it are never split.
    pub stem: u64,
    /// Position in [`Outcomes::datasets`].
    pub dataset: u32,
    /// The value of the `task` column, as position in [`Outcomes::tasks`].
    pub task: Option<u32>,
    /// Digest of dataset and subject (the `domain_raw` column): prompts that share it were asked in the same way.
    pub group: u64,
}

/// How one model did on one prompt. Duplicates are merged by their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutcomeRow {
    /// Position in [`Outcomes::prompts`].
    pub prompt: u32,
    /// Position in [`Outcomes::models`].
    pub model: u32,
    /// How well it did, in 0..1.
    pub score: f32,
    /// How much the row counts, positive. One unless the file says otherwise or the row was chosen with a known propensity.
    pub weight: f32,
    /// Tokens of the answer; NaN where unknown.
    pub output_tokens: f32,
    /// What the call cost in US dollars; NaN where unknown.
    pub cost_usd: f32,
}

/// All outcomes of some files, each prompt once.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// The distinct prompts, in order of first appearance.
    pub prompts: Vec<PromptRow>,
    /// The models, in order of first appearance.
    pub models: Vec<String>,
    /// The datasets, in order of first appearance. Rows without one are in `outcomes`.
    pub datasets: Vec<String>,
    /// The values of the `task` column, in order of first appearance.
    pub tasks: Vec<String>,
    /// One row per prompt and model, in order of first appearance.
    pub rows: Vec<OutcomeRow>,
    /// Other names of models: the `model` column where another column names them.
    pub aliases: BTreeMap<String, String>,
    /// What was read, merged and left out.
    pub report: ReadReport,
}

/// What reading found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadReport {
    /// Rows in the files.
    pub rows_read: u64,
    /// Rows that the filters kept.
    pub rows_kept: u64,
    /// Rows merged into another of the same prompt and model.
    pub duplicates: u64,
    /// Duplicates whose scores differ.
    pub conflicts: u64,
    /// Rows whose prompt name had been used for another text; the first text is kept.
    pub text_conflicts: u64,
    /// Columns that were not used.
    pub ignored_columns: Vec<String>,
}

/// The columns that are read, in this order.
pub(crate) const COLUMNS: [&str; 15] = [
    "prompt_id",
    "prompt",
    "model",
    "score",
    "prompt_core",
    "model_canon",
    "dataset",
    "task",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "stem_sha1",
    "propensity",
    "weight",
    "domain_raw",
];

/// Reads outcomes from Parquet and JSON Lines files, checks every value, and keeps each prompt once.
///
/// Streams: memory grows with distinct prompts and kept rows (about 100 bytes a row), not with the files.
///
/// # Errors
/// Files that cannot be read, missing columns, values out of range, each with file, row and column; filters that leave nothing;
/// [`TrainError::Interrupted`].
pub fn read(paths: &[PathBuf], options: &OutcomeOptions, progress: &dyn Progress) -> Result<Outcomes, TrainError> {
    let mut outcomes = Outcomes::default();
    let mut builder = Builder::default();
    for path in paths {
        read_file(path, options, (&mut outcomes, &mut builder), progress)?;
    }
    if outcomes.rows.is_empty() {
        let files: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(TrainError::NothingSelected { files: files.join(", "), filters: options.filters.clone() });
    }
    builder.finish(&mut outcomes);
    if options.without_models.is_empty() { Ok(outcomes) } else { outcomes.without(&options.without_models) }
}

fn read_file(
    path: &Path,
    options: &OutcomeOptions,
    (outcomes, builder): (&mut Outcomes, &mut Builder),
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    let mut wanted: Vec<&str> = COLUMNS.to_vec();
    let model_at = options.model_column.as_deref().map(|column| {
        wanted.push(column);
        wanted.len() - 1
    });
    let first_filter = wanted.len();
    wanted.extend(options.filters.iter().map(|filter| filter.column.as_str()));
    let mut seen = 0_u64;
    let info = table::read(path, &wanted, &mut |row, cells| {
        seen += 1;
        if seen.is_multiple_of(4096) {
            if progress.is_cancelled() {
                return Err(TrainError::Interrupted);
            }
            progress.at(Phase::Read, seen, 0);
        }
        outcomes.report.rows_read += 1;
        let kept = cells.iter().skip(first_filter).zip(&options.filters).all(|(cell, filter)| cell.is(&filter.value));
        if !kept {
            return Ok(());
        }
        outcomes.report.rows_kept += 1;
        builder.add(outcomes, builder::Source { path, row, model_at }, cells)
    });
    let info = info.map_err(|error| if_missing(path, error))?;
    progress.at(Phase::Read, seen, seen);
    let required = ["prompt_id", "prompt", "model", "score"];
    let asked = options.filters.iter().map(|filter| filter.column.as_str()).chain(options.model_column.as_deref());
    for column in required.into_iter().chain(asked) {
        let prompt_elsewhere = column == "prompt" && info.has("prompt_core");
        if !info.has(column) && !prompt_elsewhere {
            return Err(table::missing_column(path, column, &info));
        }
    }
    let ignored = info.columns.iter().filter(|column| !wanted.contains(&column.as_str()));
    let named = |column: &String| match table::meant(column, COLUMNS) {
        Some(meant) if !info.has(meant) => format!("{column} (did you mean `{meant}`?)"),
        Some(_) | None => column.clone(),
    };
    outcomes.report.ignored_columns.extend(ignored.map(named));
    outcomes.report.ignored_columns.sort();
    outcomes.report.ignored_columns.dedup();
    Ok(())
}

/// Where a value was not found because no row has its column, the error that says so; else the error as it is.
fn if_missing(path: &Path, error: TrainError) -> TrainError {
    let TrainError::Value { column, .. } = &error else { return error };
    match table::read(path, &[], &mut |_, _| Ok(())) {
        Ok(info) if !info.has(column) => table::missing_column(path, column, &info),
        Ok(_) | Err(_) => error,
    }
}

impl Outcomes {
    /// Checks that there is something to learn: two models and two scores at least.
    ///
    /// # Errors
    /// [`TrainError::OneModel`] and [`TrainError::SingleClass`].
    pub fn check_learnable(&self) -> Result<(), TrainError> {
        if let [only] = self.models.as_slice() {
            return Err(TrainError::OneModel { model: only.clone() });
        }
        let first = self.rows.first().map_or(0.0, |row| row.score);
        let varied = self.rows.iter().any(|row| (row.score - first).abs() > 1e-6);
        if varied { Ok(()) } else { Err(TrainError::SingleClass { score: first }) }
    }

    /// Only these prompts and their rows, in this order.
    #[must_use]
    pub fn keep(self, prompts: &[usize]) -> Self {
        let mut place = vec![None; self.prompts.len()];
        let mut kept = Vec::with_capacity(prompts.len());
        for &prompt in prompts {
            if let (Some(to), Some(row)) = (place.get_mut(prompt), self.prompts.get(prompt)) {
                *to = Some(kept.len() as u32);
                kept.push(row.clone());
            }
        }
        let moved =
            |row: OutcomeRow| Some(OutcomeRow { prompt: place.get(row.prompt as usize).copied().flatten()?, ..row });
        let rows = self.rows.iter().copied().filter_map(moved).collect();
        Self { prompts: kept, rows, ..self }
    }

    /// Without the rows of these models, and without prompts that nobody else answered.
    ///
    /// # Errors
    /// A model that is not there, or none that is left.
    fn without(self, left_out: &[String]) -> Result<Self, TrainError> {
        use crate::train::tiers::key;
        if let Some(missing) = left_out.iter().find(|name| !self.models.iter().any(|known| key(known) == key(name))) {
            let known = self.models.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
            return Err(TrainError::Unknown { what: "model", name: missing.clone(), known });
        }
        let mut place = vec![None; self.models.len()];
        let mut models = Vec::new();
        for (at, model) in self.models.iter().enumerate() {
            if !left_out.iter().any(|name| key(name) == key(model))
                && let Some(to) = place.get_mut(at)
            {
                *to = Some(models.len() as u32);
                models.push(model.clone());
            }
        }
        let moved =
            |row: &OutcomeRow| Some(OutcomeRow { model: place.get(row.model as usize).copied().flatten()?, ..*row });
        let rows: Vec<OutcomeRow> = self.rows.iter().filter_map(moved).collect();
        let mut answered = vec![false; self.prompts.len()];
        for row in &rows {
            if let Some(to) = answered.get_mut(row.prompt as usize) {
                *to = true;
            }
        }
        let prompts: Vec<usize> = (0..answered.len()).filter(|&at| answered.get(at) == Some(&true)).collect();
        if prompts.is_empty() {
            return Err(TrainError::TooFew { found: 0, needed: 1 });
        }
        Ok(Self { models, rows, ..self }.keep(&prompts))
    }
}

#[cfg(test)]
mod tests;
