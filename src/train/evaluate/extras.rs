//! Columns of outcomes files that only evaluation reads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::domain::language::Language;
use crate::train::error::TrainError;
use crate::train::evaluate::block::Block;
use crate::train::outcomes::{Filter, Outcomes};
use crate::train::progress::Progress;
use crate::train::table::{self, Cell};

const COLUMNS: [&str; 5] = ["prompt_id", "model", "model_canon", "cost_est_usd", "language"];

/// What the columns said about a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// `costs[model][prompt]` of the column `cost_est_usd`; NaN where it has none.
    pub(super) costs: Vec<Vec<f64>>,
    /// The language of every prompt, where a column says so.
    pub(super) languages: Vec<Option<Box<str>>>,
}

/// Where the cells of a block are.
struct Places<'a> {
    prompts: HashMap<&'a str, usize>,
    models: HashMap<&'a str, usize>,
}

/// Reads the files again, for these columns.
///
/// # Errors
/// Files that cannot be read, estimated costs that are no amount of money, and interruption.
pub(super) fn read(
    (paths, filters): (&[PathBuf], &[Filter]),
    (outcomes, block): (&Outcomes, &Block),
    progress: &dyn Progress,
) -> Result<Extras, TrainError> {
    let id = |&at: &usize| outcomes.prompts.get(at).map_or("", |prompt| &*prompt.id);
    let name = |&at: &u32| outcomes.models.get(at as usize).map_or("", String::as_str);
    let places = Places {
        prompts: block.prompts.iter().enumerate().map(|(at, prompt)| (id(prompt), at)).collect(),
        models: block.models.iter().enumerate().map(|(at, model)| (name(model), at)).collect(),
    };
    let mut extras = Extras {
        costs: vec![vec![f64::NAN; block.prompts.len()]; block.models.len()],
        languages: vec![None; block.prompts.len()],
    };
    for path in paths {
        read_file((path, filters), &places, &mut extras, progress)?;
    }
    Ok(extras)
}

fn read_file(
    (path, filters): (&Path, &[Filter]),
    places: &Places<'_>,
    extras: &mut Extras,
    progress: &dyn Progress,
) -> Result<(), TrainError> {
    let mut wanted = COLUMNS.to_vec();
    wanted.extend(filters.iter().map(|filter| filter.column.as_str()));
    table::read(path, &wanted, &mut |row, cells| {
        if row.is_multiple_of(4096) && progress.is_cancelled() {
            return Err(TrainError::Interrupted);
        }
        let [id, model, canonical, cost, language, rest @ ..] = &*cells else { return Ok(()) };
        if !rest.iter().zip(filters).all(|(cell, filter)| cell.is(&filter.value)) {
            return Ok(());
        }
        let number = id.number().map(|id| id.to_string());
        let Some(&prompt) = id.text().or(number.as_deref()).and_then(|id| places.prompts.get(id)) else {
            return Ok(());
        };
        if let (Some(text), Some(slot @ None)) = (language.text(), extras.languages.get_mut(prompt)) {
            *slot = Some(text.into());
        }
        let model = canonical.text().or(model.text()).and_then(|name| places.models.get(name));
        let cell = model.and_then(|&at| extras.costs.get_mut(at)).and_then(|column| column.get_mut(prompt));
        if let Some(slot) = cell
            && slot.is_nan()
            && !cost.is_null()
        {
            *slot = amount(cost, (path, row))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn amount(cell: &Cell<'_>, (path, row): (&Path, u64)) -> Result<f64, TrainError> {
    let amount = cell.number().filter(|amount| amount.is_finite() && *amount >= 0.0);
    amount.ok_or_else(|| TrainError::Value {
        path: path.to_path_buf(),
        row,
        column: "cost_est_usd",
        found: format!("found {}", cell.words()),
        expected: "US dollars, or nothing where the cost is unknown",
    })
}

/// The language a prompt is sliced by: what the column says, else what the router itself takes it for.
pub(super) fn language_of(column: Option<&str>, believed: Language) -> String {
    match column.map(str::trim).filter(|language| !language.is_empty()) {
        Some(language) => language.to_lowercase(),
        None if believed == Language::UNKNOWN => Language::bin_name(believed.bin()).to_owned(),
        None => believed.code().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_wins_over_what_the_router_believes() {
        let language = |column, text| language_of(column, Language::of(text));

        assert_eq!(language(Some("EN"), "你好,世界,今天天气很好"), "en");
        assert_eq!(language(Some(" "), "你好,世界,今天天气很好"), "zh");
        assert_eq!(language(None, "Привет, мир, как у тебя дела сегодня?"), "ru");
        assert_eq!(language(None, "Wie geht es dir heute, und was machst du am Wochenende?"), "de");
        assert_eq!(language(None, "What is the capital of France?"), "en");
        assert_eq!(language(None, "12 + 3 = ?"), "unknown");
    }
}
