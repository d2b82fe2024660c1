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
    flipped[8_192..12_288].fill(0xff);
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
