//! The export: decisions, outcomes and feedback joined into rows that people read and `trimtab train` takes.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::pin::pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, Stream, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::domain::ids::DecisionId;
use crate::domain::time::{Precision, rfc3339};
use crate::store::columns::ParquetRows;
use crate::store::error::ExportError;
use crate::store::reader::StoreReader;
use crate::store::record::{FeedbackRecord, OutcomeRecord};
use crate::store::redact::PromptRetention;
use crate::store::sql::int;
use crate::store::sql::read::{self, Cursor, PageQuery, Stored};

/// The name of the row format. A change that a reader would notice gets a new one.
pub const EXPORT_SCHEMA: &str = "trimtab.feedback.v1";

/// Decisions read at a time. Each page is a short read of its own, so a slow reader never holds up the database.
const PAGE: i64 = 256;

/// What is exported, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The file format.
    pub format: ExportFormat,
    /// Only decisions made at or after this time, milliseconds since 1970 in UTC.
    pub since_unix_ms: Option<u64>,
    /// Only decisions made before this time, milliseconds since 1970 in UTC.
    pub until_unix_ms: Option<u64>,
    /// Which decisions.
    pub which: ExportWhich,
    /// What is given out of stored prompts. It can only reduce what the store kept.
    pub prompts: PromptRetention,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// One JSON object per line.
    #[default]
    Jsonl,
    /// Parquet, compressed with Zstandard.
    Parquet,
}

/// Which decisions are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportWhich {
    /// Those with at least one report.
    #[default]
    WithFeedback,
    /// Every decision. The score of one without a verdict is null.
    All,
}

/// What an export held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// Rows written.
    pub rows: u64,
    /// Rows with a score.
    pub scored: u64,
    /// Rows with a prompt.
    pub with_prompt: u64,
}

/// One row of schema `trimtab.feedback.v1`: a decision, how it ended, and what all callers together said about it.
///
/// It is also a row of an outcomes file: `prompt_id, prompt, model, score, dataset, task, cost_usd, input_tokens, output_tokens`.
/// Every field is always present in JSON Lines; every column is optional in Parquet. New fields may be added, none changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportRow {
    /// Always [`EXPORT_SCHEMA`].
    pub schema: String,
    /// The decision's id.
    pub prompt_id: String,
    /// The ask, as far as it was kept.
    pub prompt: Option<String>,
    /// The model that served, else the one chosen.
    pub model: String,
    /// How well it did, 0 to 1: each caller's latest verdict, averaged over callers. Null where nobody gave one.
    pub score: Option<f64>,
    /// Always `feedback`.
    pub dataset: String,
    /// What callers say the task was. Never the router's own guess, so that training does not learn from itself.
    pub task: Option<String>,
    /// What the router took the task for.
    pub predicted_task: Option<String>,
    /// What the call cost, dollars.
    pub cost_usd: Option<f64>,
    /// Input tokens as the upstream counted them, else as estimated.
    pub input_tokens: u64,
    /// Output tokens, where they are known.
    pub output_tokens: Option<u64>,
    /// The tier of the model.
    pub tier: String,
    /// The chance that the chosen model was chosen, given the scores.
    pub propensity: f64,
    /// The bundle that decided.
    pub bundle: Option<String>,
    /// The digest of the encoder of `embedding`.
    pub encoder: Option<String>,
    /// The fast embedding: base64 of little-endian half floats.
    pub embedding: Option<String>,
    /// The structural signals. In Parquet a JSON array as text.
    pub signals: Vec<f32>,
    /// The version of the signal definitions.
    pub signals_version: u32,
    /// Who asked for the decision.
    pub caller: String,
    /// When it was made, RFC 3339 in UTC with milliseconds.
    pub created: String,
    /// The model whose answer was better, by the latest report that names one.
    pub preferred_model: Option<String>,
    /// Who or what judged, by the latest report that says so.
    pub source: Option<String>,
    /// How the call ended, where it is known.
    pub class: Option<String>,
    /// How many callers' verdicts the score averages.
    pub verdicts: u64,
    /// Those verdicts by caller, as JSON text in both formats: `{"alice": 1.0}`. Null where nobody gave one.
    #[serde(default)]
    pub judges: Option<String>,
    /// The API by which the call came in: `chat`, `completions`, `messages`, `responses`, `route` or `embeddings`. Null of records that
    /// are older than this column.
    #[serde(default)]
    pub api: Option<String>,
    /// Whether tokens and cost of the call are an estimate, since no upstream counted. Null where no tokens are known of it, and of
    /// records that are older than this column.
    #[serde(default)]
    pub usage_estimated: Option<bool>,
}

impl StoreReader {
    /// Reads the rows one by one, oldest decision first, in bounded memory and without holding up the writer.
    pub fn export_rows(
        &self,
        options: &ExportOptions,
    ) -> impl Stream<Item = Result<ExportRow, ExportError>> + Send + use<> {
        let prompts = options.prompts;
        let query = PageQuery {
            after: read::cursor_from(options.since_unix_ms),
            until_unix_ms: options.until_unix_ms.map_or(i64::MAX, int),
            only_with_feedback: options.which == ExportWhich::WithFeedback,
            limit: PAGE,
        };
        let pages = stream::try_unfold(Some((self.clone(), query)), |state| async {
            let Some((reader, query)) = state else { return Ok(None) };
            let (stored, reports) = page(&reader, &query).await?;
            let next = stored.last().map(|last| (reader, PageQuery { after: last.cursor, ..query }));
            Ok::<_, ExportError>(next.map(|next| (rows(stored, reports), Some(next))))
        });
        pages.map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten().map_ok(move |row: ExportRow| {
            ExportRow { prompt: row.prompt.as_deref().and_then(|prompt| prompts.apply(prompt)), ..row }
        })
    }

    /// Writes the rows to a sink. `Write` calls may block; give a sink in memory or a thread that may wait.
    ///
    /// # Errors
    /// A store that cannot be read or a sink that cannot be written. The sink then holds a part.
    pub async fn export(
        &self,
        options: &ExportOptions,
        sink: &mut (dyn Write + Send),
    ) -> Result<ExportReport, ExportError> {
        let mut report = ExportReport::default();
        let mut rows = pin!(self.export_rows(options));
        match options.format {
            ExportFormat::Jsonl => {
                while let Some(row) = rows.try_next().await? {
                    report.count(&row);
                    write_line(sink, &row).map_err(to_sink)?;
                }
            }
            ExportFormat::Parquet => {
                let mut parquet = ParquetRows::start(&mut *sink)?;
                while let Some(row) = rows.try_next().await? {
                    report.count(&row);
                    parquet.push(row)?;
                }
                parquet.finish()?;
            }
        }
        sink.flush().map_err(to_sink)?;
        Ok(report)
    }

    /// Writes the rows to a file, which appears complete or not at all.
    ///
    /// # Errors
    /// A store that cannot be read or a file that cannot be written; a file of that name is then what it was before.
    pub async fn export_to(&self, options: &ExportOptions, path: &Path) -> Result<ExportReport, ExportError> {
        let partial = path.with_added_extension(format!("{}.partial", std::process::id()));
        let failed = |source| ExportError::Write { target: format!("`{}`", path.display()), source };
        let file = File::create(&partial).map_err(failed)?;
        let result = self.export_file(options, file).await;
        let placed = result.and_then(|report| fs::rename(&partial, path).map(|()| report).map_err(failed));
        if placed.is_err() {
            // Best effort: the error that is reported is the one that matters.
            let _ = fs::remove_file(&partial);
        }
        placed.map_err(|error| match error {
            ExportError::Write { source, .. } => failed(source),
            other @ (ExportError::Store(_) | ExportError::Parquet(_)) => other,
        })
    }

    async fn export_file(&self, options: &ExportOptions, file: File) -> Result<ExportReport, ExportError> {
        let mut sink = BufWriter::new(file);
        let report = self.export(options, &mut sink).await?;
        let file = sink.into_inner().map_err(|error| to_sink(error.into_error()))?;
        file.sync_all().map_err(to_sink)?;
        Ok(report)
    }
}

impl ExportReport {
    fn count(&mut self, row: &ExportRow) {
        self.rows += 1;
        self.scored += u64::from(row.score.is_some());
        self.with_prompt += u64::from(row.prompt.is_some());
    }
}

fn to_sink(source: io::Error) -> ExportError {
    ExportError::Write { target: "the output".to_owned(), source }
}

fn write_line(sink: &mut (dyn Write + Send), row: &ExportRow) -> io::Result<()> {
    let mut line = serde_json::to_vec(row)?;
    line.push(b'\n');
    sink.write_all(&line)
}

async fn page(reader: &StoreReader, query: &PageQuery) -> Result<(Vec<Stored>, Vec<FeedbackRecord>), ExportError> {
    let failed = |source| reader.failure(source);
    let stored = read::page(reader.source(), query).await.map_err(failed)?;
    let reports = match stored.last() {
        Some(last) => {
            let last: Cursor = last.cursor;
            read::feedback_between(reader.pool(), query.after, last).await.map_err(failed)?
        }
        None => Vec::new(),
    };
    Ok((stored, reports))
}

fn rows(stored: Vec<Stored>, reports: Vec<FeedbackRecord>) -> Vec<ExportRow> {
    let mut by_decision: HashMap<DecisionId, Vec<FeedbackRecord>> = HashMap::new();
    for report in reports {
        by_decision.entry(report.feedback.decision_id).or_default().push(report);
    }
    stored
        .into_iter()
        .map(|one| {
            let reports = by_decision.remove(&one.decision.id).unwrap_or_default();
            row(one, &reports)
        })
        .collect()
}

fn row(stored: Stored, reports: &[FeedbackRecord]) -> ExportRow {
    let Stored { decision, outcome, .. } = stored;
    let served = outcome.as_ref().and_then(|outcome| outcome.served_by.clone().map(|model| (model, outcome)));
    let (model, tier) = match served {
        Some((model, outcome)) => (model, outcome.tier.clone().unwrap_or(decision.tier)),
        None => (decision.model, decision.tier),
    };
    // A caller's latest verdict stands; a later report without one does not take it back.
    let mut verdicts = BTreeMap::new();
    for report in reports {
        if let Some(verdict) = report.feedback.verdict(&model) {
            verdicts.insert(report.caller.as_str(), verdict.get());
        }
    }
    let latest = |pick: fn(&FeedbackRecord) -> Option<String>| reports.iter().rev().find_map(pick);
    let usage = outcome.as_ref().and_then(|outcome| outcome.usage);
    ExportRow {
        schema: EXPORT_SCHEMA.to_owned(),
        prompt_id: decision.id.to_string(),
        prompt: decision.prompt,
        model: model.to_string(),
        score: mean(verdicts.values().copied()),
        dataset: "feedback".to_owned(),
        task: latest(|report| report.feedback.label.map(|task| task.as_str().to_owned())),
        predicted_task: decision.task.map(|task| task.as_str().to_owned()),
        cost_usd: outcome.as_ref().and_then(|outcome| outcome.cost).map(|cost| cost.as_usd()),
        input_tokens: usage.map_or(decision.input_tokens, |usage| usage.input_tokens),
        output_tokens: usage.map(|usage| usage.output_tokens),
        tier: tier.to_string(),
        propensity: decision.propensity.get(),
        bundle: decision.bundle.map(|bundle| bundle.to_string()),
        encoder: decision.encoder,
        embedding: decision.embedding.map(|embedding| STANDARD.encode(embedding)),
        signals: decision.signals,
        signals_version: decision.signals_version,
        caller: decision.caller.to_string(),
        created: rfc3339(decision.at_unix_ms, Precision::Milliseconds),
        preferred_model: latest(|report| report.feedback.preferred_model.as_ref().map(ToString::to_string)),
        source: latest(|report| report.feedback.source.clone()),
        class: outcome.as_ref().map(|OutcomeRecord { class, .. }| class.as_str().to_owned()),
        verdicts: verdicts.len() as u64,
        judges: if verdicts.is_empty() { None } else { serde_json::to_string(&verdicts).ok() },
        api: decision.api.map(|api| api.as_str().to_owned()),
        usage_estimated: usage.and(outcome.as_ref()).and_then(|outcome| outcome.usage_estimated),
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    // Summed in order of size, so that the order of a hash map never shows in the last digit.
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    (count > 0).then(|| sorted.iter().sum::<f64>() / count as f64)
}
