//! Which paths are accepted, and that a refused file is left as it was.

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;

#[tokio::test]
async fn a_second_store_on_one_path_is_refused_and_told_who_has_it() {
    let home = Home::new();
    let store = home.open().await;

    let refused = Store::open(home.settings()).await.unwrap_err();

    let message = refused.to_string();
    assert!(matches!(refused, StoreError::Locked { .. }), "{message}");
    assert!(message.contains("trimtab.db.lock") && message.contains("store.path"), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert_eq!(store.health(), StoreHealth::Healthy);
}

#[tokio::test]
async fn a_dropped_store_writes_what_was_waiting_and_frees_the_lock() {
    let home = Home::new();
    let store = home.open().await;
    for number in 0..700 {
        store.journal().record_decision(decision(number));
    }
    drop(store);

    let reopen = async {
        loop {
            match Store::open(home.settings()).await {
                Ok(store) => break store,
                Err(error) => assert!(matches!(error, StoreError::Locked { .. }), "{error}"),
            }
        }
    };
    let store = tokio::time::timeout(DEADLINE, reopen).await.unwrap();

    assert_eq!(store.reader().counts().await.unwrap().decisions, 700);
}

/// A directory that even root may not write to.
fn read_only_directory(home: &Home) -> PathBuf {
    let directory = home.directory.path().join("read-only");
    std::fs::create_dir(&directory).unwrap();
    let mut permissions = std::fs::metadata(&directory).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&directory, permissions).unwrap();
    let binds_us = std::fs::write(directory.join("probe"), "").is_err();
    if binds_us { directory } else { PathBuf::from("/sys/kernel") }
}

#[tokio::test]
async fn a_read_only_directory_is_refused_with_the_remedy() {
    let home = Home::new();
    let path = read_only_directory(&home).join("trimtab.db");

    let refused = Store::open(StoreSettings::at(&path)).await.unwrap_err();

    let message = refused.to_string();
    assert!(matches!(refused, StoreError::NotWritable { .. }), "{message}");
    assert!(message.contains("store.path"), "{message}");
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_refused() {
    let home = Home::new();
    let file = home.directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();

    let refused = Store::open(StoreSettings::at(file.join("trimtab.db"))).await;

    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
}

async fn check_refused(home: &Home, what: &str, is_expected: fn(&StoreError) -> bool) {
    let before = std::fs::read(home.path()).unwrap();

    let to_write = Store::open(home.settings()).await.unwrap_err();
    let to_read = Store::open_read_only(&home.path()).await.unwrap_err();

    assert!(is_expected(&to_write), "{what}: {to_write}");
    assert!(is_expected(&to_read), "{what}: {to_read}");
    assert!(to_write.to_string().contains("trimtab.db"), "{to_write}");
    assert_eq!(std::fs::read(home.path()).unwrap(), before, "{what}: the file was changed");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let home = Home::new();
    home.open().await.close(DEADLINE).await.unwrap();
    let mut connection = SqliteConnectOptions::new().filename(home.path()).connect().await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();

    check_refused(&home, "newer", |error| matches!(error, StoreError::Newer { found: 99, .. })).await;
}

/// A store as the first release made it, with one decision, its outcome and a report about it.
async fn of_schema_1(home: &Home) {
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(home.path()).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    for sql in [
        include_str!("../migrations/1.sql"),
        "PRAGMA application_id = 0x5452494d; PRAGMA user_version = 1",
        "INSERT INTO decision (id, at_unix_ms, version, kind, caller, policy, aim, threshold, model, tier, reason, sentence, propensity,
                               input_tokens, considered, signals, signals_version, prompt, route_us)
         VALUES (unhex('019eb45a2c1370008000000000000001'), 1795255663124, 1, 'completion', 'ann', 'balanced', '{\"quality\":0.5}', 0.2,
                 'small-1', 'small', 'cheapest_adequate', 's', 1.0, 12, '[]', x'', 1, 'What is 1 plus 1?', 80)",
        "INSERT INTO outcome VALUES (unhex('019eb45a2c1370008000000000000001'), 1795255663134, 1, 'success', 'small-1', 'small', 'demo', 14, 4,
                                     7, 1500000, '[]', 10, 3, 1)",
        "INSERT INTO feedback (decision_id, at_unix_ms, version, caller, digest, success)
         VALUES (unhex('019eb45a2c1370008000000000000001'), 1795255664000, 1, 'ann', x'00', 1)",
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    sqlx::Connection::close(connection).await.unwrap();
}

/// The only row of a store, and what the store knows of its decision.
async fn only_row(reader: &StoreReader) -> (ExportRow, RecordedDecision) {
    let mut sink = Vec::new();
    reader.export(&ExportOptions::default(), &mut sink).await.unwrap();
    let row: ExportRow = serde_json::from_slice(&sink).unwrap();
    (row, reader.recent(2).await.unwrap().remove(0))
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_read_as_it_is_and_brought_forward_by_who_writes() {
    let home = Home::new();
    of_schema_1(&home).await;
    let before = std::fs::read(home.path()).unwrap();

    let reader = Store::open_read_only(&home.path()).await.unwrap();
    let as_it_was = only_row(&reader).await;
    let untouched = std::fs::read(home.path()).unwrap() == before;
    let store = home.open().await;
    let brought_forward = only_row(store.reader()).await;
    let still_read = only_row(&reader).await;

    assert!(untouched);
    let (row, recorded) = &as_it_was;
    assert_eq!((row.score, row.cost_usd, row.output_tokens), (Some(1.0), Some(0.0015), Some(7)));
    assert_eq!((row.api.as_deref(), row.usage_estimated), (None, None), "unknown, and not a guess");
    let outcome = recorded.outcome.as_ref().unwrap();
    assert_eq!((recorded.decision.api, outcome.usage_estimated, outcome.stream), (None, None, true));
    assert_eq!(brought_forward, as_it_was);
    assert_eq!(still_read, as_it_was, "a reader from before goes on reading");
    store.journal().record_decision(decision(7));
    assert_eq!(store.decision(id(7)).await.unwrap().unwrap().decision.api, Some(Api::Messages));
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(home.path()).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE theirs (x)").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();

    check_refused(&home, "foreign", |error| matches!(error, StoreError::Foreign { .. })).await;
}

/// A store with some pages of records, closed.
async fn filled() -> Home {
    let home = Home::new();
    let store = home.open().await;
    for number in 0..200 {
        store.journal().record_decision(decision(number));
    }
    store.close(DEADLINE).await.unwrap();
    home
}

#[tokio::test]
async fn damaged_files_are_refused_and_left_as_they_are() {
    let sound = std::fs::read(filled().await.path()).unwrap();
    let mut flipped = sound.clone();
    flipped[16_384..32_768].fill(0xff);
    let damaged = [
        ("text", b"this is not a database, whatever its name says".to_vec()),
        ("a few bytes", sound[..40].to_vec()),
        ("half", sound[..sound.len() / 2].to_vec()),
        ("a page of rubbish", flipped),
    ];

    for (what, bytes) in damaged {
        let home = Home::new();
        std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
        std::fs::write(home.path(), bytes).unwrap();

        check_refused(&home, what, |error| matches!(error, StoreError::Corrupt { .. })).await;
    }
}

#[tokio::test]
async fn reading_where_there_is_no_store_creates_nothing() {
    let home = Home::new();

    let refused = Store::open_read_only(&home.path()).await;

    assert!(matches!(refused, Err(StoreError::Missing { .. })), "{refused:?}");
    assert!(!home.path().parent().unwrap().exists());
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    std::fs::write(home.path(), "").unwrap();

    assert_eq!(home.open().await.health(), StoreHealth::Healthy);
}

#[tokio::test]
async fn absurd_settings_are_brought_into_range() {
    let home = Home::new();
    let settings = StoreSettings { queue: NonZeroUsize::MAX, busy: Duration::MAX, ..home.settings() };

    assert_eq!(Store::open(settings).await.unwrap().health(), StoreHealth::Healthy);
}
