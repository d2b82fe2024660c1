//! Prompts with the kind of work they ask for.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::domain::task::Task;
use crate::train::error::TrainError;
use crate::train::outcomes::{Filter, stem_of};
use crate::train::progress::{Phase, Progress};
use crate::train::table::{self, Cell};

/// A prompt and its task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// The text.
    pub text: Box<str>,
    /// What it asks for.
    pub task: Task,
    /// Digest of the question itself.
    pub stem: u64,
}

/// The rows of a task file.
#[derive(Clone, Debug, Default)]
pub struct TaskRows {
    /// Each text once.
    pub rows: Vec<TaskRow>,
    /// Categories that map to no task, with their number of rows. Their rows are left out.
    pub unmapped: BTreeMap<String, u64>,
}

impl TaskRows {
    /// At most so many of the rows, evenly spaced.
    #[must_use]
    pub fn thinned(&self, most: usize) -> Self {
        let every = self.rows.len().div_ceil(most.max(1)).max(1);
        Self { rows: self.rows.iter().step_by(every).cloned().collect(), unmapped: self.unmapped.clone() }
    }
}

/// Reads `prompt` and `category` (or `task`) from Parquet or JSON Lines.
///
/// # Errors
/// Files that cannot be read, missing columns, and filters that leave nothing.
pub fn read(path: &Path, filters: &[Filter], progress: &dyn Progress) -> Result<TaskRows, TrainError> {
    let mut wanted = vec!["prompt", "category", "task"];
    wanted.extend(filters.iter().map(|filter| filter.column.as_str()));
    let mut tasks = TaskRows::default();
    let mut seen = HashSet::new();
    let info = table::read(path, &wanted, &mut |row, cells| {
        if row.is_multiple_of(4096) && progress.is_cancelled() {
            return Err(TrainError::Interrupted);
        }
        if !cells.iter().skip(3).zip(filters).all(|(cell, filter)| cell.is(&filter.value)) {
            return Ok(());
        }
        let [Cell::Text(text), category, task, ..] = cells else { return Ok(()) };
        let Some(label) = category.text().or(task.text()) else { return Ok(()) };
        if text.trim().is_empty() {
            return Ok(());
        }
        match task_of(label) {
            Some(task) => {
                let stem = stem_of(text);
                if seen.insert(stem) {
                    tasks.rows.push(TaskRow { text: (&**text).into(), task, stem });
                }
            }
            None => *tasks.unmapped.entry(label.to_owned()).or_default() += 1,
        }
        Ok(())
    })?;
    progress.at(Phase::Read, info.rows, info.rows);
    for column in std::iter::once("prompt").chain(filters.iter().map(|filter| filter.column.as_str())) {
        if !info.has(column) {
            return Err(table::missing_column(path, column, &info));
        }
    }
    if !info.has("category") && !info.has("task") {
        return Err(table::missing_column(path, "category", &info));
    }
    if tasks.rows.is_empty() {
        return Err(TrainError::NothingSelected { files: format!("`{}`", path.display()), filters: filters.to_vec() });
    }
    Ok(tasks)
}

/// The place of a row's task in the order of the task head.
#[must_use]
pub fn class(row: &TaskRow) -> usize {
    Task::ALL.iter().position(|task| *task == row.task).unwrap_or(0)
}

/// The task of a category name: our own names, and the usual names of public collections.
#[must_use]
pub fn task_of(category: &str) -> Option<Task> {
    let name = category.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let mapped = match name.as_str() {
        "mc_qa" | "multiple_choice" | "context_qa" => Task::ClosedQa,
        "creative_writing" | "writing" | "roleplay_writing" => Task::TextGeneration,
        "code" | "coding" | "programming" => Task::CodeGeneration,
        "roleplay" | "advice_chat" | "chat" => Task::Chatbot,
        "summarisation" => Task::Summarization,
        "brainstorm" | "planning" => Task::Brainstorming,
        "math" | "maths" => Task::Mathematics,
        "translation_multilingual" | "translate" => Task::Translation,
        "logic" => Task::Reasoning,
        "general_instruction"
        | "instruction_following"
        | "tool_use"
        | "safety"
        | "data_analysis"
        | "language_understanding" => Task::Other,
        _ => return Task::parse(&name),
    };
    Some(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::progress::Silent;

    #[test]
    fn reads_labels_once_and_counts_categories_it_does_not_know() {
        let file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
        let lines = [
            r#"{"prompt":"Add 2 and 2.","category":"math"}"#,
            r#"{"prompt":"add 2 and 2","category":"math"}"#,
            r#"{"prompt":"Say hello","category":"greeting"}"#,
            r#"{"prompt":"Write a poem","task":"creative_writing"}"#,
        ];
        std::fs::write(file.path(), lines.join("\n")).unwrap();

        let tasks = read(file.path(), &[], &Silent).unwrap();

        let found: Vec<Task> = tasks.rows.iter().map(|row| row.task).collect();
        assert_eq!(found, [Task::Mathematics, Task::TextGeneration]);
        assert_eq!(tasks.unmapped.get("greeting"), Some(&1));
    }

    #[test]
    fn names_the_column_that_is_missing() {
        let file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
        std::fs::write(file.path(), r#"{"prompt":"Add 2 and 2."}"#).unwrap();

        let error = read(file.path(), &[], &Silent).unwrap_err();

        assert!(error.to_string().contains("no column `category`"), "{error}");
    }
}
