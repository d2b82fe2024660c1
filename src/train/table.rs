//! Rows of a file, whether Parquet or JSON Lines, one at a time and only the columns that are wanted.

mod json;
mod parquet;
mod quiet;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use crate::train::error::TrainError;

/// One value of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Missing or null.
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// A number. May be NaN, since Parquet can hold it.
    Number(f64),
    /// A truth value.
    Flag(bool),
    /// A list of numbers.
    Numbers(Vec<f32>),
    /// Something else, with a word for it.
    Other(&'static str),
}

impl Cell<'_> {
    /// The value as it reads in an error.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Text(text) => format!("the text `{}`", text.chars().take(40).collect::<String>()),
            Self::Number(number) => format!("the number {number}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Numbers(numbers) => format!("a list of {} numbers", numbers.len()),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// Whether there is nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value, written out, is this text. Used by filters.
    pub(crate) fn is(&self, text: &str) -> bool {
        match self {
            Self::Text(value) => value == text,
            Self::Number(number) => text.parse::<f64>().is_ok_and(|wanted| wanted == *number),
            Self::Flag(flag) => text.parse::<bool>().is_ok_and(|wanted| wanted == *flag),
            Self::Null | Self::Numbers(_) | Self::Other(_) => false,
        }
    }
}

/// Takes one row: its number, counted from one, and its cells in the order of the wanted columns.
pub(crate) type EachRow<'f> = dyn FnMut(u64, &mut [Cell<'_>]) -> Result<(), TrainError> + 'f;

/// What a file held.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableInfo {
    /// Rows read.
    pub(crate) rows: u64,
    /// Every column seen, sorted.
    pub(crate) columns: Vec<String>,
}

impl TableInfo {
    /// Whether the file has a column of this name.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }
}

/// Reads the wanted columns of every row, in file order. Columns the file lacks are [`Cell::Null`].
///
/// Memory does not grow with the file. Parquet is known by its first bytes, everything else is read as JSON Lines.
///
/// # Errors
/// Files that cannot be read, damaged Parquet, lines that are not UTF-8 or not a JSON object, and what `each` returns.
pub(crate) fn read(path: &Path, wanted: &[&str], each: &mut EachRow<'_>) -> Result<TableInfo, TrainError> {
    let mut file = File::open(path).map_err(TrainError::io("reading", path))?;
    let mut magic = Vec::with_capacity(4);
    (&mut file).take(4).read_to_end(&mut magic).map_err(TrainError::io("reading", path))?;
    file.rewind().map_err(TrainError::io("reading", path))?;
    if magic.is_empty() {
        return Err(TrainError::Empty(path.to_path_buf()));
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let looks_parquet = magic == b"PAR1" || extension.as_deref() == Some("parquet");
    let looks_foreign = matches!(extension.as_deref(), Some("csv" | "tsv" | "xlsx" | "gz" | "zst" | "zip" | "arrow"));
    let info = if looks_parquet {
        parquet::read(path, file, wanted, each)?
    } else if looks_foreign {
        return Err(TrainError::Format(path.to_path_buf()));
    } else {
        json::read(path, BufReader::with_capacity(1 << 20, file), wanted, each)?
    };
    if info.rows == 0 { Err(TrainError::Empty(path.to_path_buf())) } else { Ok(info) }
}

/// The name that was probably meant by one that is near it in spelling.
pub(crate) fn meant<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let nearest = known.into_iter().map(|name| (strsim::damerau_levenshtein(name, written), name)).min();
    nearest.filter(|(distance, name)| *distance > 0 && *distance <= 1 + name.len() / 8).map(|(_, name)| name)
}

/// The error for a column that is not there, with the one that was probably meant.
pub(crate) fn missing_column(path: &Path, column: &str, info: &TableInfo) -> TrainError {
    let typo = meant(column, info.columns.iter().map(String::as_str)).map(str::to_owned);
    let found = info.columns.join(", ");
    TrainError::MissingColumn { path: path.to_path_buf(), column: column.to_owned(), found, typo }
}

#[cfg(test)]
mod tests;
