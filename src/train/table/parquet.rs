//! Parquet, row group by row group, a few thousand rows of the wanted columns at a time.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use crate::train::error::TrainError;
use crate::train::table::quiet::{Unwound, quietly};
use crate::train::table::{Cell, EachRow, TableInfo};

/// Rows decoded at a time.
const BATCH: usize = 4096;

pub(super) fn read(path: &Path, file: File, wanted: &[&str], each: &mut EachRow<'_>) -> Result<TableInfo, TrainError> {
    // The crate checks most of what it reads and unwinds on the rest, for example on negative offsets.
    quietly(|| read_checked(path, file, wanted, each)).unwrap_or_else(|Unwound| {
        let detail = "its description contradicts itself".to_owned();
        Err(TrainError::Parquet { path: path.to_path_buf(), detail })
    })
}

fn read_checked(path: &Path, file: File, wanted: &[&str], each: &mut EachRow<'_>) -> Result<TableInfo, TrainError> {
    let damaged = |error: ParquetError| TrainError::Parquet { path: path.to_path_buf(), detail: error.to_string() };
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let leaves: Vec<Option<usize>> = wanted.iter().map(|name| leaf(schema, name)).collect();
    let mut columns: Vec<String> =
        (0..schema.num_columns()).map(|at| schema.get_column_root(at).name().to_owned()).collect();
    columns.sort();
    columns.dedup();
    let mut row_number = 0_u64;
    for group in 0..reader.num_row_groups() {
        let row_group = reader.get_row_group(group).map_err(damaged)?;
        let rows = usize::try_from(row_group.metadata().num_rows()).unwrap_or(0);
        let mut cursors = Vec::with_capacity(leaves.len());
        for &leaf in &leaves {
            cursors.push(match leaf {
                Some(at) => Some(Cursor::new(row_group.get_column_reader(at).map_err(damaged)?, schema, at)),
                None => None,
            });
        }
        let mut left = rows;
        while left > 0 {
            let count = left.min(BATCH);
            for cursor in cursors.iter_mut().flatten() {
                cursor.fill(count).map_err(damaged)?;
            }
            for at in 0..count {
                row_number += 1;
                let mut cells = Vec::with_capacity(cursors.len());
                for (cursor, column) in cursors.iter().zip(wanted) {
                    let cell = cursor.as_ref().map_or(Ok(Cell::Null), |cursor| cursor.batch.cell(at));
                    cells.push(cell.map_err(|NotText| TrainError::Parquet {
                        path: path.to_path_buf(),
                        detail: format!("row {row_number}, column `{column}`: the text is not valid UTF-8"),
                    })?);
                }
                each(row_number, &mut cells)?;
            }
            left -= count;
        }
    }
    Ok(TableInfo { rows: row_number, columns })
}

/// The first leaf below the top-level column of this name.
fn leaf(schema: &SchemaDescriptor, name: &str) -> Option<usize> {
    (0..schema.num_columns()).find(|&at| schema.get_column_root(at).name() == name)
}

/// A text that is not UTF-8.
struct NotText;

/// One column being read.
struct Cursor {
    reader: ColumnReader,
    max_definition: i16,
    is_list: bool,
    batch: Batch,
}

/// A batch of one column, one entry per row.
enum Batch {
    Texts(Vec<Option<ByteArray>>),
    Numbers(Vec<Option<f64>>),
    Flags(Vec<Option<bool>>),
    Lists(Vec<Option<Vec<f32>>>),
    Foreign,
}

impl Batch {
    fn cell(&self, row: usize) -> Result<Cell<'_>, NotText> {
        Ok(match self {
            Self::Texts(values) => match values.get(row) {
                Some(Some(bytes)) => Cell::Text(Cow::Borrowed(std::str::from_utf8(bytes.data()).map_err(|_| NotText)?)),
                Some(None) | None => Cell::Null,
            },
            Self::Numbers(values) => values.get(row).copied().flatten().map_or(Cell::Null, Cell::Number),
            Self::Flags(values) => values.get(row).copied().flatten().map_or(Cell::Null, Cell::Flag),
            Self::Lists(values) => values.get(row).cloned().flatten().map_or(Cell::Null, Cell::Numbers),
            Self::Foreign => Cell::Other("a value of a kind that is not read"),
        })
    }
}

impl Cursor {
    fn new(reader: ColumnReader, schema: &SchemaDescriptor, at: usize) -> Self {
        let column = schema.column(at);
        Self {
            reader,
            max_definition: column.max_def_level(),
            is_list: column.max_rep_level() > 0,
            batch: Batch::Foreign,
        }
    }

    fn fill(&mut self, count: usize) -> Result<(), ParquetError> {
        let shape = Shape { count, max_definition: self.max_definition, is_list: self.is_list };
        self.batch = match &mut self.reader {
            // Plain binary columns are read as text too: the bytes are checked when they are used.
            ColumnReader::ByteArrayColumnReader(reader) if !self.is_list => {
                Batch::Texts(shape.flat(reader, |bytes| bytes)?)
            }
            ColumnReader::DoubleColumnReader(reader) => shape.numbers(reader, |x| x)?,
            ColumnReader::FloatColumnReader(reader) => shape.numbers(reader, f64::from)?,
            ColumnReader::Int32ColumnReader(reader) => shape.numbers(reader, f64::from)?,
            ColumnReader::Int64ColumnReader(reader) => shape.numbers(reader, |x| x as f64)?,
            ColumnReader::BoolColumnReader(reader) if !self.is_list => Batch::Flags(shape.flat(reader, |x| x)?),
            ColumnReader::ByteArrayColumnReader(_)
            | ColumnReader::BoolColumnReader(_)
            | ColumnReader::FixedLenByteArrayColumnReader(_)
            | ColumnReader::Int96ColumnReader(_) => Batch::Foreign,
        };
        Ok(())
    }
}

/// How the next batch of a column is laid out.
#[derive(Clone, Copy)]
struct Shape {
    count: usize,
    max_definition: i16,
    is_list: bool,
}

/// Values with their definition and repetition levels.
type Levels<T> = (Vec<T>, Vec<i16>, Vec<i16>);

impl Shape {
    fn read<D: DataType>(self, reader: &mut ColumnReaderImpl<D>) -> Result<Levels<D::T>, ParquetError> {
        let (mut values, mut definitions, mut repetitions) = (Vec::with_capacity(self.count), Vec::new(), Vec::new());
        let mut records = 0;
        while records < self.count {
            let wanted = self.count - records;
            let (read, _, levels) =
                reader.read_records(wanted, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
            if read == 0 && levels == 0 {
                return Err(ParquetError::EOF("a column has fewer rows than the file claims".to_owned()));
            }
            records += read;
        }
        Ok((values, definitions, repetitions))
    }

    fn flat<D: DataType, T>(
        self,
        reader: &mut ColumnReaderImpl<D>,
        convert: impl Fn(D::T) -> T,
    ) -> Result<Vec<Option<T>>, ParquetError> {
        let (values, definitions, _) = self.read(reader)?;
        if self.max_definition == 0 {
            return Ok(values.into_iter().map(|value| Some(convert(value))).collect());
        }
        let mut values = values.into_iter();
        let row = |level: i16| if level == self.max_definition { values.next().map(&convert) } else { None };
        Ok(definitions.into_iter().map(row).collect())
    }

    fn numbers<D: DataType>(
        self,
        reader: &mut ColumnReaderImpl<D>,
        convert: impl Fn(D::T) -> f64,
    ) -> Result<Batch, ParquetError> {
        if !self.is_list {
            return Ok(Batch::Numbers(self.flat(reader, convert)?));
        }
        let (values, definitions, repetitions) = self.read(reader)?;
        let mut values = values.into_iter();
        let mut rows: Vec<Option<Vec<f32>>> = Vec::with_capacity(self.count);
        for (definition, repetition) in definitions.into_iter().zip(repetitions) {
            if repetition == 0 {
                rows.push(None);
            }
            if definition == self.max_definition
                && let (Some(row), Some(value)) = (rows.last_mut(), values.next())
            {
                row.get_or_insert_default().push(convert(value) as f32);
            }
        }
        Ok(Batch::Lists(rows))
    }
}
