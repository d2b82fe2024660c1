//! Turns checked rows into outcomes: names once, prompts once, duplicates merged.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::train::error::TrainError;
use crate::train::outcomes::{OutcomeRow, Outcomes, PromptRow};
use crate::train::table::Cell;

/// The least propensity that is believed: a row never counts more than twenty times another.
pub(crate) const LEAST_PROPENSITY: f64 = 0.05;

/// Where a row came from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) row: u64,
    /// The cell that names the model, where the caller chose a column.
    pub(super) model_at: Option<usize>,
}

/// Names that were seen, and where they are.
#[derive(Default)]
pub(super) struct Builder {
    prompts: HashMap<Box<str>, u32>,
    models: HashMap<String, u32>,
    datasets: HashMap<String, u32>,
    tasks: HashMap<String, u32>,
    rows: HashMap<(u32, u32), u32>,
    merged: HashMap<u32, f32>,
}

impl Builder {
    /// Checks a row and adds it.
    pub(super) fn add(
        &mut self,
        outcomes: &mut Outcomes,
        source: Source<'_>,
        cells: &[Cell<'_>],
    ) -> Result<(), TrainError> {
        let check = Check { source, cells };
        let score = check.score()?;
        let model = check.model()?;
        let prompt = self.prompt(outcomes, &check)?;
        let weight = check.weight()?;
        let output_tokens = check.amount(10, "output_tokens", "a number of tokens, or nothing")?;
        check.amount(9, "input_tokens", "a number of tokens, or nothing")?;
        let cost_usd = check.amount(8, "cost_usd", "US dollars, or nothing where the cost is unknown")?;
        let model_at = name(&mut self.models, &mut outcomes.models, model);
        if let Cell::Text(other) = check.cell(2)
            && other != model
            && !outcomes.aliases.contains_key(other.as_ref())
        {
            outcomes.aliases.insert(other.to_string(), model.to_owned());
        }
        let at = outcomes.rows.len() as u32;
        let row = OutcomeRow { prompt, model: model_at, score, weight, output_tokens, cost_usd };
        match self.rows.entry((prompt, model_at)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(at);
                outcomes.rows.push(row);
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                outcomes.report.duplicates += 1;
                if let Some(first) = outcomes.rows.get_mut(*entry.get() as usize) {
                    let count = self.merged.entry(*entry.get()).or_insert(1.0);
                    outcomes.report.conflicts += u64::from((first.score - score).abs() > 1e-6);
                    *count += 1.0;
                    first.score += (score - first.score) / *count;
                    first.weight = first.weight.max(weight);
                    if first.output_tokens.is_nan() {
                        first.output_tokens = output_tokens;
                    }
                }
            }
        }
        Ok(())
    }

    /// Frees what is needed only while reading.
    pub(super) fn finish(self, outcomes: &mut Outcomes) {
        drop(self);
        outcomes.rows.shrink_to_fit();
        outcomes.prompts.shrink_to_fit();
    }

    fn prompt(&mut self, outcomes: &mut Outcomes, check: &Check<'_>) -> Result<u32, TrainError> {
        let number = check.cell(0).number().map(|id| id.to_string());
        let id = check.cell(0).text().or(number.as_deref()).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| check.wrong("prompt_id", check.cell(0), "a name of the prompt"))?;
        let core = check.cell(4).text().filter(|core| !core.trim().is_empty());
        let text = core.or_else(|| check.cell(1).text().filter(|prompt| !prompt.trim().is_empty()));
        let text = text.ok_or_else(|| check.wrong("prompt", check.cell(1), "text that is not blank"))?;
        if let Some(&known) = self.prompts.get(id) {
            if outcomes.prompts.get(known as usize).is_some_and(|first| *first.text != *text) {
                outcomes.report.text_conflicts += 1;
            }
            return Ok(known);
        }
        let dataset = name(&mut self.datasets, &mut outcomes.datasets, check.cell(6).text().unwrap_or("outcomes"));
        let task = check.cell(7).text().map(|task| name(&mut self.tasks, &mut outcomes.tasks, task));
        let domain = check.cell(14).text().map_or("", |domain| domain.split('|').next().unwrap_or(domain));
        let group = digest(domain) ^ u64::from(dataset);
        let stem = check.cell(11).text().filter(|stem| !stem.is_empty()).map_or_else(|| stem_of(text), digest);
        let at = outcomes.prompts.len() as u32;
        outcomes.prompts.push(PromptRow { id: id.into(), text: text.into(), stem, dataset, task, group });
        self.prompts.insert(id.into(), at);
        Ok(at)
    }
}

/// The position of a name, which is added if it is new.
fn name(positions: &mut HashMap<String, u32>, names: &mut Vec<String>, text: &str) -> u32 {
    if let Some(&at) = positions.get(text) {
        return at;
    }
    let at = names.len() as u32;
    names.push(text.to_owned());
    positions.insert(text.to_owned(), at);
    at
}

/// The digest of a question, whatever its spacing, case and punctuation.
pub(crate) fn stem_of(text: &str) -> u64 {
    let mut normal = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        normal.extend(word.chars().flat_map(char::to_lowercase));
        normal.push(' ');
    }
    // A text without letters or digits is its own stem, or all such texts would be one.
    digest(if normal.is_empty() { text } else { &normal })
}

/// The first eight bytes of the SHA-256 of a text.
pub(crate) fn digest(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The cells of one row with where it came from, for errors that name the place.
struct Check<'a> {
    source: Source<'a>,
    cells: &'a [Cell<'a>],
}

impl<'a> Check<'a> {
    fn cell(&self, at: usize) -> &'a Cell<'a> {
        self.cells.get(at).unwrap_or(&Cell::Null)
    }

    fn wrong(&self, column: &'static str, found: &Cell<'_>, expected: &'static str) -> TrainError {
        let path = self.source.path.to_path_buf();
        TrainError::Value { path, row: self.source.row, column, found: format!("found {}", found.words()), expected }
    }

    fn model(&self) -> Result<&'a str, TrainError> {
        let column = match self.source.model_at {
            Some(at) => self.cell(at),
            None if self.cell(5).text().is_some() => self.cell(5),
            None => self.cell(2),
        };
        let name = column.text().filter(|model| !model.trim().is_empty());
        name.ok_or_else(|| self.wrong("model", column, "the name of a model"))
    }

    fn score(&self) -> Result<f32, TrainError> {
        let cell = self.cell(3);
        let flag = if let Cell::Flag(right) = cell { Some(f64::from(*right)) } else { None };
        let score = cell.number().or(flag).filter(|score| (0.0..=1.0).contains(score));
        let score = score.ok_or_else(|| self.wrong("score", cell, "a number from 0 (failed) to 1 (right)"))?;
        Ok(score as f32)
    }

    /// The weight of the file, divided by the propensity where there is one, both bounded.
    fn weight(&self) -> Result<f32, TrainError> {
        let positive = |at: usize| match self.cell(at) {
            cell if cell.is_null() => Some(1.0),
            cell => cell.number().filter(|number| number.is_finite() && *number > 0.0),
        };
        let weight =
            positive(13).ok_or_else(|| self.wrong("weight", self.cell(13), "a positive number, or nothing"))?;
        let propensity = positive(12).filter(|propensity| *propensity <= 1.0);
        let expected = "a number above 0 and at most 1, or nothing";
        let propensity = propensity.ok_or_else(|| self.wrong("propensity", self.cell(12), expected))?;
        Ok((weight / propensity.max(LEAST_PROPENSITY)) as f32)
    }

    fn amount(&self, at: usize, column: &'static str, expected: &'static str) -> Result<f32, TrainError> {
        let cell = self.cell(at);
        if cell.is_null() {
            return Ok(f32::NAN);
        }
        let amount = cell.number().filter(|amount| amount.is_finite() && *amount >= 0.0);
        amount.map(|amount| amount as f32).ok_or_else(|| self.wrong(column, cell, expected))
    }
}
