//! JSON Lines, one object a line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::BufRead;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::train::error::TrainError;
use crate::train::table::{Cell, EachRow, TableInfo};

/// The longest line that is read; a longer one is an error rather than a risk to memory.
const MAX_LINE_BYTES: u64 = 64 << 20;

pub(super) fn read(
    path: &Path,
    mut reader: impl BufRead,
    wanted: &[&str],
    each: &mut EachRow<'_>,
) -> Result<TableInfo, TrainError> {
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut rows = 0_u64;
    let mut columns = BTreeSet::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut reader, MAX_LINE_BYTES).read_until(b'\n', &mut line);
        let bytes = read.map_err(TrainError::io("reading", path))?;
        if bytes == 0 {
            break;
        }
        number += 1;
        let at = || (path.to_path_buf(), number);
        if bytes as u64 == MAX_LINE_BYTES {
            let (path, line) = at();
            return Err(TrainError::Json { path, line, detail: "the line is longer than 64 MiB".to_owned() });
        }
        let text = std::str::from_utf8(&line).map_err(|_| {
            let (path, line) = at();
            TrainError::Encoding { path, line }
        })?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        rows += 1;
        let mut cells = vec![Cell::Null; wanted.len()];
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let row = Row { wanted, columns: &mut columns, cells: &mut cells };
        row.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| {
            let (path, line) = at();
            TrainError::Json { path, line, detail: explain(&error, text) }
        })?;
        each(number, &mut cells)?;
    }
    Ok(TableInfo { rows, columns: columns.into_iter().collect() })
}

/// Says what the usual mistakes are instead of what the parser saw.
fn explain(error: &serde_json::Error, text: &str) -> String {
    if text.starts_with('[') {
        return "the file is one JSON array, or the line is one".to_owned();
    }
    if text.contains("NaN") || text.contains("Infinity") {
        return "NaN and Infinity are not JSON, write null where a value is unknown".to_owned();
    }
    format!("not valid JSON ({error})")
}

/// Reads one object into the cells of the wanted columns and notes the names of all.
struct Row<'w, 'c, 'de> {
    wanted: &'w [&'w str],
    columns: &'c mut BTreeSet<String>,
    cells: &'c mut [Cell<'de>],
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(CowSeed)? {
            if !self.columns.contains(&*key) {
                self.columns.insert(key.clone().into_owned());
            }
            let cell = self.wanted.iter().position(|wanted| *wanted == key).and_then(|at| self.cells.get_mut(at));
            match cell {
                Some(cell) => *cell = map.next_value_seed(CellSeed)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads text, borrowing from the line where nothing is escaped.
struct CowSeed;

impl<'de> DeserializeSeed<'de> for CowSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for CowSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads any value into a cell.
struct CellSeed;

impl<'de> DeserializeSeed<'de> for CellSeed {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Cell::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cell::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cell::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Cell::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut numbers = Vec::new();
        let mut foreign = false;
        while let Some(item) = items.next_element_seed(CellSeed)? {
            match item {
                Cell::Number(number) => numbers.push(number as f32),
                Cell::Null | Cell::Text(_) | Cell::Flag(_) | Cell::Numbers(_) | Cell::Other(_) => foreign = true,
            }
        }
        Ok(if foreign { Cell::Other("a list") } else { Cell::Numbers(numbers) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Other("an object"))
    }
}
