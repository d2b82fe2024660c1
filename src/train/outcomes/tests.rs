use super::*;
use crate::train::progress::Silent;

/// Writes lines to a file and reads them.
fn read_lines(lines: &[&str], filters: &[&str]) -> Result<Outcomes, TrainError> {
    let file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    let filters = filters.iter().map(|filter| filter.parse().unwrap()).collect();
    read(&[file.path().to_path_buf()], &OutcomeOptions { filters, ..OutcomeOptions::default() }, &Silent)
}

fn error_of(lines: &[&str]) -> String {
    read_lines(lines, &[]).and_then(|outcomes| outcomes.check_learnable()).unwrap_err().to_string()
}

const GOOD: [&str; 4] = [
    r#"{"prompt_id":"1","prompt":"Add 1 and 1.","model":"a","score":1,"use":"train","surprise":3}"#,
    r#"{"prompt_id":"1","prompt":"Add 1 and 1.","model":"b","score":0.25,"use":"train","output_tokens":12}"#,
    r#"{"prompt_id":2,"prompt":"x","prompt_core":"Name a sea.","model":"a","score":true,"use":"train"}"#,
    r#"{"prompt_id":"3","prompt":"Not for training","model":"c","score":1,"use":"test"}"#,
];

#[test]
fn keeps_each_prompt_once_and_only_what_the_filters_say() {
    let outcomes = read_lines(&GOOD, &["use=train"]).unwrap();

    let texts: Vec<&str> = outcomes.prompts.iter().map(|prompt| &*prompt.text).collect();
    assert_eq!(texts, ["Add 1 and 1.", "Name a sea."]);
    assert_eq!(outcomes.models, ["a", "b"]);
    assert_eq!(outcomes.rows.len(), 3);
    assert_eq!(outcomes.report.ignored_columns, ["surprise"]);
    assert!(outcomes.check_learnable().is_ok());
}

#[test]
fn duplicates_are_merged_by_their_mean_and_counted() {
    let again = r#"{"prompt_id":"1","prompt":"Add 1 and 1.","model":"b","score":0.75}"#;
    let outcomes = read_lines(&[GOOD[0], GOOD[1], again, GOOD[0]], &[]).unwrap();

    assert!((outcomes.rows[1].score - 0.5).abs() < 1e-6);
    assert_eq!((outcomes.report.duplicates, outcomes.report.conflicts), (2, 1));
}

#[test]
fn the_canonical_name_is_used_and_the_other_is_remembered() {
    let line = r#"{"prompt_id":"1","prompt":"p","model":"Org/Model-A","model_canon":"model-a","score":1}"#;
    let outcomes = read_lines(&[line], &[]).unwrap();

    assert_eq!(outcomes.models, ["model-a"]);
    assert_eq!(outcomes.aliases.get("Org/Model-A").map(String::as_str), Some("model-a"));
}

#[test]
fn prompts_that_differ_in_spacing_and_case_share_a_stem() {
    assert_eq!(stem_of("Name  a sea!"), stem_of("name a SEA"));
    assert_ne!(stem_of("Name a sea"), stem_of("Name a lake"));
    assert_ne!(stem_of("?"), stem_of("!"));
}

#[test]
fn a_propensity_weighs_a_row_but_never_without_bound() {
    let line = |p: &str| format!(r#"{{"prompt_id":"{p}","prompt":"p {p}","model":"a","score":1,"propensity":{p}}}"#);
    let (half, tiny) = (line("0.5"), line("0.0001"));
    let outcomes = read_lines(&[&half, &tiny], &[]).unwrap();

    let weights: Vec<f32> = outcomes.rows.iter().map(|row| row.weight).collect();
    assert_eq!(weights, [2.0, 20.0]);
}

#[test]
fn every_bad_value_is_refused_with_row_column_and_remedy() {
    let cases = [
        (r#"{"prompt_id":"1","prompt":"p","model":"a","score":1.5}"#, "column `score`"),
        (r#"{"prompt_id":"1","prompt":"p","model":"a","score":null}"#, "column `score`"),
        (r#"{"prompt_id":"1","prompt":"p","model":"a","score":"1"}"#, "column `score`"),
        (r#"{"prompt_id":"1","prompt":"p","model":"","score":1}"#, "column `model`"),
        (r#"{"prompt_id":"1","prompt":"  ","model":"a","score":1}"#, "column `prompt`"),
        (r#"{"prompt_id":"1","prompt":"p","model":"a","score":1,"cost_usd":-1}"#, "column `cost_usd`"),
        (r#"{"prompt_id":"1","prompt":"p","model":"a","score":1,"propensity":0}"#, "column `propensity`"),
        (r#"{"prompt_id":"1","prompt":"p","model":"a","score":1,"cost_usd":NaN}"#, "null"),
    ];
    for (line, part) in cases {
        let error = error_of(&[GOOD[0], line]);
        let place = error.contains("row 2") || error.contains("line 2");
        assert!(error.contains(part) && place, "{line}: {error}");
    }
}

#[test]
fn nan_in_parquet_is_refused() {
    let check = |column: usize, name: &str| {
        let mut cells = vec![table::Cell::Null; COLUMNS.len()];
        cells[0] = table::Cell::Text("1".into());
        cells[1] = table::Cell::Text("p".into());
        cells[2] = table::Cell::Text("a".into());
        cells[3] = table::Cell::Number(1.0);
        cells[column] = table::Cell::Number(f64::NAN);
        let source = builder::Source { path: Path::new("f.parquet"), row: 7, model_at: None };
        let error = Builder::default().add(&mut Outcomes::default(), source, &cells).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("NaN") && error.contains("row 7"), "{error}");
    };

    check(3, "score");
    check(8, "cost_usd");
    check(10, "output_tokens");
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let one_class = [
        r#"{"prompt_id":"1","prompt":"p","model":"a","score":1}"#,
        r#"{"prompt_id":"1","prompt":"p","model":"b","score":1}"#,
    ];
    let one_model = [
        r#"{"prompt_id":"1","prompt":"p","model":"a","score":1}"#,
        r#"{"prompt_id":"2","prompt":"q","model":"a","score":0}"#,
    ];

    assert!(error_of(&one_class).contains("every score is 1"));
    assert!(error_of(&one_model).contains("model `a`"));
}

#[test]
fn a_missing_column_and_a_filter_that_leaves_nothing_are_named() {
    let missing = read_lines(&[r#"{"prompt_id":"1","prompt":"p","model":"a"}"#], &[]).unwrap_err().to_string();
    let unknown = read_lines(&GOOD, &["usage=train"]).unwrap_err().to_string();
    let nothing = read_lines(&GOOD, &["use=nothing"]).unwrap_err().to_string();

    assert!(missing.contains("`score`"), "{missing}");
    assert!(unknown.contains("`usage`"), "{unknown}");
    assert!(nothing.contains("`use=nothing`"), "{nothing}");
}

#[test]
fn columns_that_are_not_read_are_listed_and_a_misspelt_one_is_named() {
    let outcomes =
        read_lines(&[r#"{"prompt_id":"1","prompt":"p","model":"a","score":1,"propensty":0.5,"colour":"red"}"#], &[]);
    let missing = error_of(&[r#"{"prompt_id":"1","prompt":"p","model":"a","scroe":1}"#]);

    let ignored = outcomes.unwrap().report.ignored_columns;
    assert_eq!(ignored, ["colour", "propensty (did you mean `propensity`?)"]);
    assert!(missing.contains("`score`") && missing.contains("did you mean `scroe`"), "{missing}");
}
