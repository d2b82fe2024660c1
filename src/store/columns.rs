//! Export rows as Parquet, without Arrow.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::store::export::{EXPORT_SCHEMA, ExportRow};

/// Most rows of a row group.
const GROUP_ROWS: usize = 10_000;

/// Most bytes of prompts and embeddings that are held for a row group.
const GROUP_BYTES: usize = 32 << 20;

/// How a column is read off a row. Every column is optional.
enum Column {
    Text(fn(&ExportRow) -> Option<String>),
    Number(fn(&ExportRow) -> Option<f64>),
    Count(fn(&ExportRow) -> Option<u64>),
    Flag(fn(&ExportRow) -> Option<bool>),
}

/// The columns, in the order of [`ExportRow`].
const COLUMNS: &[(&str, Column)] = &[
    ("schema", Column::Text(|row| Some(row.schema.clone()))),
    ("prompt_id", Column::Text(|row| Some(row.prompt_id.clone()))),
    ("prompt", Column::Text(|row| row.prompt.clone())),
    ("model", Column::Text(|row| Some(row.model.clone()))),
    ("score", Column::Number(|row| row.score)),
    ("dataset", Column::Text(|row| Some(row.dataset.clone()))),
    ("task", Column::Text(|row| row.task.clone())),
    ("predicted_task", Column::Text(|row| row.predicted_task.clone())),
    ("cost_usd", Column::Number(|row| row.cost_usd)),
    ("input_tokens", Column::Count(|row| Some(row.input_tokens))),
    ("output_tokens", Column::Count(|row| row.output_tokens)),
    ("tier", Column::Text(|row| Some(row.tier.clone()))),
    ("propensity", Column::Number(|row| Some(row.propensity))),
    ("bundle", Column::Text(|row| row.bundle.clone())),
    ("encoder", Column::Text(|row| row.encoder.clone())),
    ("embedding", Column::Text(|row| row.embedding.clone())),
    ("signals", Column::Text(|row| serde_json::to_string(&row.signals).ok())),
    ("signals_version", Column::Count(|row| Some(u64::from(row.signals_version)))),
    ("caller", Column::Text(|row| Some(row.caller.clone()))),
    ("created", Column::Text(|row| Some(row.created.clone()))),
    ("preferred_model", Column::Text(|row| row.preferred_model.clone())),
    ("source", Column::Text(|row| row.source.clone())),
    ("class", Column::Text(|row| row.class.clone())),
    ("verdicts", Column::Count(|row| Some(row.verdicts))),
    ("judges", Column::Text(|row| row.judges.clone())),
    ("api", Column::Text(|row| row.api.clone())),
    ("usage_estimated", Column::Flag(|row| row.usage_estimated)),
];

/// A Parquet file in the making.
pub(super) struct ParquetRows<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    waiting: Vec<ExportRow>,
    bytes: usize,
}

impl<W: Write + Send> ParquetRows<W> {
    pub(super) fn start(sink: W) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("trimtab ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(vec![KeyValue::new("schema".to_owned(), EXPORT_SCHEMA.to_owned())]))
            .build();
        let writer = SerializedFileWriter::new(sink, Arc::new(schema()?), Arc::new(properties))?;
        Ok(Self { writer, waiting: Vec::new(), bytes: 0 })
    }

    /// Takes a row; a full group is written out.
    pub(super) fn push(&mut self, row: ExportRow) -> Result<(), ParquetError> {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes += size_of::<ExportRow>() + text(&row.prompt) + text(&row.embedding);
        self.waiting.push(row);
        if self.waiting.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.write_group() } else { Ok(()) }
    }

    /// Writes what is waiting and the footer.
    pub(super) fn finish(mut self) -> Result<(), ParquetError> {
        if !self.waiting.is_empty() {
            self.write_group()?;
        }
        self.writer.close().map(drop)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (_, column) in COLUMNS {
            match column {
                Column::Text(read) => {
                    let text = |row: &ExportRow| read(row).map(|text| ByteArray::from(text.into_bytes()));
                    write_column::<ByteArrayType, _>(&mut group, self.waiting.iter().map(text))?;
                }
                Column::Number(read) => write_column::<DoubleType, _>(&mut group, self.waiting.iter().map(read))?,
                Column::Count(read) => {
                    let count = |row: &ExportRow| read(row).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
                    write_column::<Int64Type, _>(&mut group, self.waiting.iter().map(count))?;
                }
                Column::Flag(read) => write_column::<BoolType, _>(&mut group, self.waiting.iter().map(read))?,
            }
        }
        group.close()?;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn schema() -> Result<Type, ParquetError> {
    let column = |(name, column): &(&str, Column)| {
        let (physical, logical) = match column {
            Column::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Column::Number(_) => (Physical::DOUBLE, None),
            Column::Count(_) => (Physical::INT64, None),
            Column::Flag(_) => (Physical::BOOLEAN, None),
        };
        Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(Repetition::OPTIONAL)
            .build()
            .map(Arc::new)
    };
    let fields = COLUMNS.iter().map(column).collect::<Result<_, _>>()?;
    Type::group_type_builder("trimtab_feedback").with_fields(fields).build()
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let mut present = Vec::new();
    let mut levels = Vec::new();
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let missing = || ParquetError::General("the schema has fewer columns than the rows".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}
