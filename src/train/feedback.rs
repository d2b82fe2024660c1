//! Feedback as it is exported: what users said about the answers they got.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;

use crate::domain::signals::SIGNALS_VERSION;
use crate::domain::task::Task;
use crate::train::adapt::{Experience, Verdict};
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::graph::SIGNALS;
use crate::train::outcomes::{LEAST_PROPENSITY, stem_of};
use crate::train::progress::{Phase, Progress};
use crate::train::table::{self, Cell};

const COLUMNS: [&str; 11] = [
    "prompt_id",
    "prompt",
    "model",
    "score",
    "tier",
    "propensity",
    "encoder",
    "embedding",
    "signals",
    "signals_version",
    "task",
];

/// Why rows were left out.
const NO_SCORE: &str = "rows without a verdict";
const NO_MODEL: &str = "rows without a model";
const OTHER_ENCODER: &str = "rows without a prompt whose embedding is of another encoder (export with prompts, or train on the base bundle that decided)";
const OTHER_SIGNALS: &str = "rows without a prompt whose signals are of another version (export with prompts)";
const NOTHING: &str = "rows with neither a prompt nor an embedding (keep one of them in the store)";
const DAMAGED: &str = "rows whose embedding or signals cannot be read (export them again)";

/// Reads an export. A row with its prompt is embedded anew; a row without uses its stored embedding and signals, if they are of
/// this encoder and of this version of the signals.
///
/// Verdicts weigh inversely to the chance that their model was chosen, bounded at twenty.
///
/// # Errors
/// Files that cannot be read, scores and propensities out of range, and an export none of whose rows can be used.
pub fn read(path: &Path, encoder: &mut TextEncoder, progress: &dyn Progress) -> Result<Experience, TrainError> {
    let mut rows: Vec<Row> = Vec::new();
    let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
    let digest = encoder.reference().digest;
    let dimension = encoder.dimension();
    let info = table::read(path, &COLUMNS, &mut |number, cells| {
        if number.is_multiple_of(1024) && progress.is_cancelled() {
            return Err(TrainError::Interrupted);
        }
        match row(cells, (path, number), (&digest, dimension))? {
            Ok(row) => rows.push(row),
            Err(reason) => *skipped.entry(reason.to_owned()).or_default() += 1,
        }
        Ok(())
    })?;
    progress.at(Phase::Read, info.rows, info.rows);
    for column in ["model", "score"] {
        if !info.has(column) {
            let (path, found) = (path.to_path_buf(), info.columns.join(", "));
            return Err(TrainError::MissingColumn { path, column: column.to_owned(), found });
        }
    }
    if rows.is_empty() {
        let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        return Err(TrainError::UnusableFeedback { rows: info.rows, reasons: reasons.join("; ") });
    }
    let texts: Vec<&str> = rows.iter().filter_map(|row| row.text.as_deref()).collect();
    let embedded = encoder.features(&texts, progress)?;
    let mut experience = Experience { features: Features::new(dimension), skipped, ..Experience::default() };
    let mut next = 0;
    for row in rows {
        if row.text.is_some() {
            experience.features.push(Some(&embedded.embedding(next)), embedded.signals(next));
            next += 1;
        } else {
            experience.features.push(Some(&row.embedding), row.signals);
        }
        experience.stems.push(row.text.as_deref().map_or_else(|| digest_of(&row.embedding), stem_of));
        experience.ids.push(row.id);
        experience.tasks.push(row.task);
        experience.verdicts.push(vec![row.verdict]);
    }
    Ok(experience)
}

/// Prompts without text are the same question if they have the same embedding.
fn digest_of(embedding: &[f32]) -> u64 {
    let bytes: String = embedding.iter().map(|x| format!("{:04x}", f16::from_f32(*x).to_bits())).collect();
    crate::train::outcomes::digest(&bytes)
}

/// One usable row.
struct Row {
    id: String,
    text: Option<String>,
    embedding: Vec<f32>,
    signals: [f32; SIGNALS],
    task: Option<Task>,
    verdict: Verdict,
}

/// The row, or why it is left out; an error where a value is out of range.
fn row(
    cells: &[Cell<'_>],
    (path, number): (&Path, u64),
    (digest, dimension): (&str, usize),
) -> Result<Result<Row, &'static str>, TrainError> {
    let cell = |at: usize| cells.get(at).unwrap_or(&Cell::Null);
    let wrong = |column: &'static str, at: usize, expected: &'static str| TrainError::Value {
        path: path.to_path_buf(),
        row: number,
        column,
        found: format!("found {}", cell(at).words()),
        expected,
    };
    if cell(3).is_null() {
        return Ok(Err(NO_SCORE));
    }
    let score = cell(3).number().filter(|score| (0.0..=1.0).contains(score));
    let score = score.ok_or_else(|| wrong("score", 3, "a number from 0 (failed) to 1 (right), or nothing"))?;
    let propensity = if cell(5).is_null() { Some(1.0) } else { cell(5).number() };
    let propensity = propensity.filter(|propensity| *propensity > 0.0 && *propensity <= 1.0);
    let propensity = propensity.ok_or_else(|| wrong("propensity", 5, "a number above 0 and at most 1, or nothing"))?;
    let Some(model) = cell(2).text().filter(|model| !model.is_empty()) else { return Ok(Err(NO_MODEL)) };
    let text = cell(1).text().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let (mut embedding, mut signals) = (Vec::new(), [0.0; SIGNALS]);
    if text.is_none() {
        let Some(encoded) = cell(7).text() else { return Ok(Err(NOTHING)) };
        if cell(6).text() != Some(digest) {
            return Ok(Err(OTHER_ENCODER));
        }
        let version = cell(9).number().unwrap_or(f64::from(SIGNALS_VERSION));
        if (version - f64::from(SIGNALS_VERSION)).abs() > 0.5 {
            return Ok(Err(OTHER_SIGNALS));
        }
        match (halves(encoded), numbers(cell(8)).and_then(|numbers| <[f32; SIGNALS]>::try_from(numbers).ok())) {
            (Some(found), Some(known)) if found.len() == dimension => (embedding, signals) = (found, known),
            _ => return Ok(Err(DAMAGED)),
        }
    }
    Ok(Ok(Row {
        id: cell(0).text().map_or_else(|| number.to_string(), str::to_owned),
        text,
        embedding,
        signals,
        task: cell(10).text().and_then(Task::parse),
        verdict: Verdict {
            model: model.to_owned(),
            tier: cell(4).text().map(str::to_owned),
            score: score as f32,
            weight: (1.0 / propensity.max(LEAST_PROPENSITY)) as f32,
        },
    }))
}

/// A list, or a list written as JSON text. `None` if a number is not finite.
pub(crate) fn numbers(cell: &Cell<'_>) -> Option<Vec<f32>> {
    let numbers = match cell {
        Cell::Numbers(numbers) => numbers.clone(),
        Cell::Text(text) => serde_json::from_str(text).ok()?,
        Cell::Null | Cell::Number(_) | Cell::Flag(_) | Cell::Other(_) => return None,
    };
    numbers.iter().all(|x| x.is_finite()).then_some(numbers)
}

/// Base64 of little-endian half floats. `None` if it is not, or a number is not finite.
pub(crate) fn halves(encoded: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(encoded).ok()?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    let floats: Vec<f32> = pairs.iter().map(|pair| f16::from_le_bytes(*pair).to_f32()).collect();
    (rest.is_empty() && floats.iter().all(|x| x.is_finite())).then_some(floats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stored_embeddings() {
        // 1.0, -2.0 and 0.5 as little-endian halves are 003c 00c0 0038.
        assert_eq!(halves("ADwAwAA4"), Some(vec![1.0, -2.0, 0.5]));
        assert_eq!(halves("ADw="), Some(vec![1.0]));
        for damaged in ["ADw*", "AHw=", "AA=="] {
            assert_eq!(halves(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn says_why_a_row_is_left_out() {
        let check = |line: &str, expected: &str| {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            let cell = |name: &&str| match object.get(*name) {
                Some(serde_json::Value::String(text)) => Cell::Text(text.clone().into()),
                Some(serde_json::Value::Number(number)) => Cell::Number(number.as_f64().unwrap()),
                _ => Cell::Null,
            };
            let cells: Vec<Cell<'_>> = COLUMNS.iter().map(cell).collect();
            let reason = row(&cells, (Path::new("f"), 1), ("abc", 1)).unwrap().err().unwrap();
            assert!(reason.contains(expected), "{reason}");
        };

        check(r#"{"model":"a"}"#, "without a verdict");
        check(r#"{"score":1}"#, "without a model");
        check(r#"{"model":"a","score":1}"#, "neither a prompt nor an embedding");
        check(r#"{"model":"a","score":1,"embedding":"ADw=","encoder":"xyz"}"#, "another encoder");
        check(r#"{"model":"a","score":1,"embedding":"ADw=","encoder":"abc","signals_version":99}"#, "another version");
        check(r#"{"model":"a","score":1,"embedding":"ADw=","encoder":"abc","signals":"[1]"}"#, "cannot be read");
    }

    #[test]
    fn a_verdict_out_of_range_is_an_error_with_its_row() {
        let mut cells = vec![Cell::Null; COLUMNS.len()];
        cells[3] = Cell::Number(3.0);

        let error = row(&cells, (Path::new("f"), 9), ("abc", 1)).err().unwrap().to_string();

        assert!(error.contains("row 9") && error.contains("`score`"), "{error}");
    }
}
