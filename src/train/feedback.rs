//! Feedback as it is exported: what users said about the answers they got.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;

use crate::domain::signals::SIGNALS_VERSION;
use crate::domain::task::Task;
use crate::model::heads::SIGNALS;
use crate::train::adapt::{Experience, Verdict};
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::influence::Voices;
use crate::train::outcomes::stem_of;
use crate::train::progress::{Phase, Progress, Silent, step};
use crate::train::table::{self, Cell};
use crate::train::texts::Texts;

const COLUMNS: [&str; 14] = [
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
    "caller",
    "judges",
    "bundle",
];

/// Most callers whose verdicts on one decision count. Each verdict is one caller's latest, and a decision weighs once however many
/// judge it.
const MOST_JUDGES: usize = 8;

/// The caller of a row that names none.
const NOBODY: &str = "unknown";

/// Why rows were left out.
const NO_SCORE: &str = "rows without a verdict";
const NO_MODEL: &str = "rows without a model";
const OTHER_ENCODER: &str = "rows without a prompt whose embedding is of another encoder (export with prompts, or train on the base bundle that decided)";
const OTHER_SIGNALS: &str = "rows without a prompt whose signals are of another version (export with prompts)";
const NOTHING: &str = "rows with neither a prompt nor an embedding (keep one of them in the store)";
const DAMAGED: &str = "rows whose embedding or signals cannot be read (export them again)";

/// Feedback that was read.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Prompts with verdicts, all of weight one; see [`crate::train::influence::bound`].
    pub experience: Experience,
    /// Who gave them.
    pub voices: Voices,
    /// The texts of its prompts, where they were exported.
    pub texts: Texts,
    /// Usable rows by the bundle that decided: feedback for an older bundle's decisions counts like any other.
    pub bundles: BTreeMap<String, u64>,
}

/// Reads an export. A row with its prompt is embedded anew; a row without uses its stored embedding and signals, if they are of
/// this encoder and of this version of the signals.
///
/// # Errors
/// Files that cannot be read, scores and propensities out of range, and an export none of whose rows can be used.
pub fn read(path: &Path, encoder: &mut TextEncoder, progress: &dyn Progress) -> Result<Told, TrainError> {
    let digest = encoder.reference().digest;
    let dimension = encoder.dimension();
    let mut gathered = Gathered {
        told: Told {
            experience: Experience { features: Features::new(dimension), ..Experience::default() },
            ..Told::default()
        },
        ..Gathered::default()
    };
    let info = table::read(path, &COLUMNS, &mut |number, cells| {
        if number.is_multiple_of(1024) {
            step(progress, Phase::Read, (usize::try_from(number).unwrap_or(0), 0))?;
        }
        match row(cells, (path, number), (&digest, dimension))? {
            Ok(row) => gathered.add(row, encoder)?,
            Err(reason) => *gathered.told.experience.skipped.entry(reason.to_owned()).or_default() += 1,
        }
        Ok(())
    })?;
    gathered.embed(encoder)?;
    progress.at(Phase::Read, info.rows, info.rows);
    for column in ["model", "score"] {
        if !info.has(column) {
            return Err(table::missing_column(path, column, &info));
        }
    }
    let Gathered { told, .. } = gathered;
    if told.experience.ids.is_empty() {
        let skipped = &told.experience.skipped;
        let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        return Err(TrainError::UnusableFeedback { rows: info.rows, reasons: reasons.join("; ") });
    }
    Ok(told)
}

/// Rows embedded at a time: their texts and stored embeddings are let go of before the next are read.
const CHUNK: usize = 2_048;

/// What was read so far, and the rows that wait to be embedded.
#[derive(Default)]
struct Gathered {
    told: Told,
    callers: HashMap<String, u32>,
    waiting: Vec<Row>,
}

impl Gathered {
    fn add(&mut self, row: Row, encoder: &mut TextEncoder) -> Result<(), TrainError> {
        self.waiting.push(row);
        if self.waiting.len() >= CHUNK { self.embed(encoder) } else { Ok(()) }
    }

    fn embed(&mut self, encoder: &mut TextEncoder) -> Result<(), TrainError> {
        let rows = std::mem::take(&mut self.waiting);
        let texts: Vec<&str> = rows.iter().filter_map(|row| row.text.as_deref()).collect();
        let embedded = encoder.features(&texts, &Silent)?;
        let (mut next, experience) = (0, &mut self.told.experience);
        for row in &rows {
            if row.text.is_some() {
                experience.features.push(Some(&embedded.embedding(next)), embedded.signals(next));
                next += 1;
            } else {
                experience.features.push(Some(&row.embedding), row.signals);
            }
        }
        for row in rows {
            self.keep(row);
        }
        Ok(())
    }

    fn keep(&mut self, row: Row) {
        let Told { experience, voices, texts, bundles } = &mut self.told;
        texts.push(row.text.as_deref());
        experience.stems.push(row.text.as_deref().map_or_else(|| digest_of(&row.embedding), stem_of));
        experience.ids.push(row.id);
        experience.tasks.push(row.task);
        *bundles.entry(row.bundle).or_default() += 1;
        let callers = &mut self.callers;
        let judges = row.judges.into_iter().map(|judge| match callers.get(&judge) {
            Some(&at) => at,
            None => {
                let at = voices.names.len() as u32;
                voices.names.push(judge.clone());
                callers.insert(judge, at);
                at
            }
        });
        voices.judges.push(judges.collect());
        voices.propensities.push(row.propensity);
        experience.verdicts.push(row.verdicts);
    }
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
    bundle: String,
    propensity: f32,
    /// The callers of `verdicts`.
    judges: Vec<String>,
    verdicts: Vec<Verdict>,
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
    let caller = cell(11).text().filter(|caller| !caller.is_empty()).unwrap_or(NOBODY);
    let judges = match cell(12) {
        judges if judges.is_null() => BTreeMap::from([(caller.to_owned(), score)]),
        judges => {
            let judges = judges.text().and_then(|text| serde_json::from_str::<BTreeMap<String, f64>>(text).ok());
            let sound = |judges: &BTreeMap<String, f64>| judges.values().all(|score| (0.0..=1.0).contains(score));
            let expected = "JSON text of callers and their scores from 0 to 1, or nothing";
            let judges = judges.filter(|judges| !judges.is_empty()).filter(sound);
            judges.ok_or_else(|| wrong("judges", 12, expected))?
        }
    };
    let counted = judges.len().min(MOST_JUDGES);
    let (judges, scores): (Vec<String>, Vec<f64>) = judges.into_iter().take(counted).unzip();
    let verdict = |score: f64| Verdict {
        model: model.to_owned(),
        tier: cell(4).text().map(str::to_owned),
        score: score as f32,
        weight: 1.0 / counted as f32,
    };
    Ok(Ok(Row {
        id: cell(0).text().map_or_else(|| number.to_string(), str::to_owned),
        text,
        embedding,
        signals,
        task: cell(10).text().and_then(Task::parse),
        bundle: cell(13).text().unwrap_or("none").to_owned(),
        propensity: propensity as f32,
        judges,
        verdicts: scores.into_iter().map(verdict).collect(),
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
