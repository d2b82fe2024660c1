use super::*;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn rows(path: &Path, wanted: &[&str]) -> Result<(Vec<Vec<String>>, TableInfo), TrainError> {
    let mut rows = Vec::new();
    let info = read(path, wanted, &mut |_, cells| {
        rows.push(cells.iter().map(Cell::words).collect());
        Ok(())
    })?;
    Ok((rows, info))
}

/// A Parquet file with a text, a number and a list column, in two row groups.
pub(crate) fn parquet_bytes() -> Vec<u8> {
    use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    let schema = "message m { optional binary name (STRING); optional double score;
        optional group numbers (LIST) { repeated group list { optional float element; } } }";
    let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
    let zstd = ::parquet::basic::Compression::ZSTD(::parquet::basic::ZstdLevel::default());
    let properties = std::sync::Arc::new(WriterProperties::builder().set_compression(zstd).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let names = [ByteArray::from("ä"), ByteArray::from("b")];
        column.typed::<ByteArrayType>().write_batch(&names, Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[0.5, 1.0], Some(&[1, 1, 0]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&[1.0, 2.0, 3.0], Some(&[3, 3, 0, 3]), Some(&[0, 1, 0, 0])).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

#[test]
fn both_formats_give_the_same_cells() {
    let (_a, parquet) = file("x.parquet", &parquet_bytes());
    let json = concat!(
        r#"{"name":"ä","score":0.5,"numbers":[1,2],"extra":{"a":[1]}}"#,
        "\n\n",
        r#"{"score":1.0,"name":null}"#,
        "\r\n",
        r#"{"name":"b","numbers":[3.0]}"#
    );
    let (_b, json) = file("x.jsonl", json.as_bytes());
    let wanted = ["name", "score", "numbers", "absent"];

    let (from_parquet, info) = rows(&parquet, &wanted).unwrap();
    let (from_json, json_info) = rows(&json, &wanted).unwrap();

    assert_eq!(info.rows, 6);
    assert_eq!(from_parquet[..3], from_json[..]);
    assert_eq!(from_parquet[3..], from_json[..]);
    assert_eq!(info.columns, ["name", "numbers", "score"]);
    assert!(json_info.has("extra"));
}

#[test]
fn parquet_is_known_by_its_content_whatever_the_name() {
    let (_directory, path) = file("outcomes.data", &parquet_bytes());

    assert_eq!(rows(&path, &["name"]).unwrap().1.rows, 6);
}

#[test]
fn an_empty_file_is_refused() {
    for (name, bytes) in [("x.jsonl", &b""[..]), ("x.jsonl", b"\n \n"), ("x.parquet", b"")] {
        let (_directory, path) = file(name, bytes);
        assert!(matches!(rows(&path, &["a"]), Err(TrainError::Empty(_))));
    }
}

#[test]
fn a_line_in_another_encoding_is_named() {
    let (_directory, path) = file("x.jsonl", b"{\"name\":\"ok\"}\n{\"name\":\"M\xfcller\"}\n");

    let error = rows(&path, &["name"]).unwrap_err().to_string();

    assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
}

#[test]
fn what_is_not_a_json_object_says_what_to_do() {
    for (text, word) in [("[1,2]", "array"), ("{\"a\":NaN}", "null"), ("{\"a\":", "not valid JSON"), ("{} {}", "JSON")]
    {
        let (_directory, path) = file("x.jsonl", text.as_bytes());
        let error = rows(&path, &["a"]).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("line 1"), "{text}: {error}");
    }
}

#[test]
fn other_formats_are_refused_by_name() {
    let (_directory, path) = file("x.csv", b"a,b\n1,2\n");

    assert!(matches!(rows(&path, &["a"]), Err(TrainError::Format(_))));
}

#[test]
fn damaged_parquet_is_an_error_wherever_the_damage_is() {
    let good = parquet_bytes();
    for cut in [5, good.len() / 2, good.len() - 1] {
        let (_directory, path) = file("x.parquet", &good[..cut]);
        assert!(matches!(rows(&path, &["name"]), Err(TrainError::Parquet { .. })), "cut at {cut}");
    }
    for at in (4..good.len() - 8).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        let (_directory, path) = file("x.parquet", &bad);
        // Damage in unused bytes may go unseen, but it never panics.
        let _ = rows(&path, &["name", "score", "numbers"]);
    }
}
