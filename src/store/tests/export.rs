//! Exports: the same rows in both formats, and nothing that was not meant to leave.

use std::collections::HashSet;
use std::fs::File;

use futures_util::TryStreamExt;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};

use super::*;

fn from(caller: &str, feedback: Feedback) -> FeedbackEntry {
    FeedbackEntry { caller: caller.into(), ..entry(feedback) }
}

/// Decision 1 has an outcome and reports of two callers, 2 has a label only, 3 has nothing.
async fn told(home: &Home) -> Store {
    let store = home.open().await;
    for number in 1..=3 {
        store.journal().record_decision(decision(number));
    }
    store.journal().record_outcome(outcome(1));
    let says = |success| Feedback { success: Some(success), source: Some("human".to_owned()), ..nothing_said(1) };
    let labels = |number| Feedback { label: Some(Task::Reasoning), ..nothing_said(number) };
    for one in [
        from("ann", says(false)),
        from("ann", says(true)),
        from("ann", labels(1)),
        from("bob", Feedback { score: Some(Probability::HALF), ..nothing_said(1) }),
        from("bob", labels(2)),
    ] {
        store.feedback(one).await.unwrap();
    }
    store
}

async fn jsonl(store: &Store, options: &ExportOptions) -> Vec<ExportRow> {
    let mut sink = Vec::new();
    let report = store.reader().export(options, &mut sink).await.unwrap();
    let text = String::from_utf8(sink).unwrap();
    let rows: Vec<ExportRow> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(report.rows, rows.len() as u64);
    rows
}

#[tokio::test]
async fn a_row_joins_decision_outcome_and_the_callers_latest_verdicts() {
    let home = Home::new();
    let store = told(&home).await;

    let rows = jsonl(&store, &ExportOptions::default()).await;

    let [first, second] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(first.schema, "trimtab.feedback.v1");
    assert_eq!((first.prompt_id.as_str(), first.model.as_str()), (id(1).to_string().as_str(), "large-1"));
    assert_eq!((first.tier.as_str(), first.class.as_deref()), ("large", Some("success")));
    assert_eq!((first.score, first.verdicts), (Some(0.75), 2));
    assert_eq!((first.task.as_deref(), first.predicted_task.as_deref()), (Some("reasoning"), Some("mathematics")));
    assert_eq!((first.input_tokens, first.output_tokens, first.cost_usd), (14, Some(7), Some(0.0015)));
    assert_eq!(first.created, "2026-11-21T10:07:43.124Z");
    assert_eq!(first.source.as_deref(), Some("human"));
    assert_eq!(first.signals, decision(1).signals);
    assert_eq!((first.api.as_deref(), first.usage_estimated), (Some("messages"), Some(true)));
    assert_eq!((second.api.as_deref(), second.usage_estimated), (Some("messages"), None), "no call was made");
    assert_eq!((second.score, second.verdicts, second.task.as_deref()), (None, 0, Some("reasoning")));
    assert_eq!((second.model.as_str(), second.class.as_deref(), second.input_tokens), ("small-1", None, 12));
}

fn value(field: &Field) -> Value {
    if let Field::Str(text) = field {
        return Value::from(text.as_str());
    }
    if let Field::Double(number) = field {
        return Value::from(*number);
    }
    if let Field::Long(number) = field {
        return Value::from(*number);
    }
    if let Field::Bool(flag) = field {
        return Value::from(*flag);
    }
    assert_eq!(*field, Field::Null);
    Value::Null
}

fn read_parquet(path: &std::path::Path) -> Vec<ExportRow> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let mut fields: Map<String, Value> =
            row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect();
        let signals = serde_json::from_str(fields["signals"].as_str().unwrap()).unwrap();
        fields.insert("signals".to_owned(), signals);
        serde_json::from_value(Value::Object(fields)).unwrap()
    });
    rows.collect()
}

#[tokio::test]
async fn parquet_holds_the_same_rows_as_json_lines() {
    let home = Home::new();
    let store = told(&home).await;
    let every = ExportOptions { which: ExportWhich::All, ..ExportOptions::default() };
    let path = home.directory.path().join("out.parquet");
    std::fs::write(&path, "an older export").unwrap();

    let report = store
        .reader()
        .export_to(&ExportOptions { format: ExportFormat::Parquet, ..every.clone() }, &path)
        .await
        .unwrap();

    assert_eq!(report, ExportReport { rows: 3, scored: 1, with_prompt: 3 });
    assert_eq!(read_parquet(&path), jsonl(&store, &every).await);
    let left: Vec<_> =
        std::fs::read_dir(home.directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn a_row_of_an_older_export_is_read() {
    let home = Home::new();
    let store = told(&home).await;
    let row = jsonl(&store, &ExportOptions::default()).await.remove(0);
    let Value::Object(mut older) = serde_json::to_value(&row).unwrap() else { panic!("a row is an object") };
    for added in ["api", "usage_estimated"] {
        older.remove(added).unwrap();
    }

    let read: ExportRow = serde_json::from_value(older.into()).unwrap();

    assert_eq!(read, ExportRow { api: None, usage_estimated: None, ..row });
}

#[tokio::test]
async fn an_empty_export_is_a_sound_file() {
    let home = Home::new();
    let store = home.open().await;
    let path = home.directory.path().join("out.parquet");
    let options = ExportOptions { format: ExportFormat::Parquet, ..ExportOptions::default() };

    store.reader().export_to(&options, &path).await.unwrap();

    assert_eq!(read_parquet(&path), vec![]);
}

#[tokio::test]
async fn every_decision_is_exported_once_across_pages_and_times() {
    let home = Home::new();
    let store = home.open().await;
    for number in 0..1_000 {
        // Hundreds share one millisecond, so that pages end inside it.
        store.journal().record_decision(DecisionRecord { at_unix_ms: START_MS + number / 400, ..decision(number) });
    }
    store.sync(DEADLINE).await.unwrap();
    let every = ExportOptions { which: ExportWhich::All, ..ExportOptions::default() };
    let second =
        ExportOptions { since_unix_ms: Some(START_MS + 1), until_unix_ms: Some(START_MS + 2), ..every.clone() };

    let all: Vec<ExportRow> = store.reader().export_rows(&every).try_collect().await.unwrap();
    let some = jsonl(&store, &second).await;

    let ids: HashSet<&str> = all.iter().map(|row| row.prompt_id.as_str()).collect();
    assert_eq!((all.len(), ids.len()), (1_000, 1_000));
    assert_eq!(some, all[400..800]);
}

#[tokio::test]
async fn an_export_can_only_reduce_what_was_kept() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(DecisionRecord { prompt: Some("ask a@b.org".to_owned()), ..decision(1) });
    store.sync(DEADLINE).await.unwrap();
    let mut prompts = Vec::new();

    for retention in [PromptRetention::Full, PromptRetention::Redacted, PromptRetention::None] {
        let options = ExportOptions { which: ExportWhich::All, prompts: retention, ..ExportOptions::default() };
        prompts.push(jsonl(&store, &options).await.remove(0).prompt);
    }

    assert_eq!(prompts, [Some("ask a@b.org".to_owned()), Some("ask [email]".to_owned()), None]);
}

#[tokio::test]
async fn a_failed_export_names_the_file_and_leaves_nothing() {
    let home = Home::new();
    let store = told(&home).await;
    let path = home.directory.path().join("absent").join("out.jsonl");

    let refused = store.reader().export_to(&ExportOptions::default(), &path).await.unwrap_err();

    assert!(refused.to_string().contains("out.jsonl"), "{refused}");
    assert!(!path.parent().unwrap().exists());
}

#[tokio::test]
async fn an_export_may_move_between_threads() {
    fn movable<T: Send + 'static>(value: T) -> T {
        value
    }
    let home = Home::new();
    let store = told(&home).await;
    let reader = store.reader().clone();

    let rows = movable(async move {
        let mut sink = Vec::new();
        let parquet = ExportOptions { format: ExportFormat::Parquet, ..ExportOptions::default() };
        let report = reader.export(&parquet, &mut sink).await.unwrap();
        (report.rows, movable(reader.export_rows(&parquet)).try_collect::<Vec<_>>().await.unwrap().len())
    });

    assert_eq!(rows.await, (2, 2));
    drop(movable(async move { store.feedback(verdict(1, true)).await }));
}
