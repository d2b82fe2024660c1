//! Slow, full and locked disks: serving goes on, and the store comes back by itself.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::*;
use crate::store::schema::{self, WriterOptions};

/// A second process at the same file, such as an operator's shell.
async fn shell(home: &Home) -> SqliteConnection {
    let options = WriterOptions { busy: DEADLINE, max_bytes: None, creates: true };
    schema::connect(&home.path(), &options).await.unwrap()
}

async fn run(shell: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(shell).await.unwrap();
}

#[tokio::test]
async fn a_full_journal_drops_and_counts_and_never_waits() {
    let home = Home::new();
    let store = Store::open(StoreSettings { busy: DEADLINE, ..home.settings_with_queue(16) }).await.unwrap();
    let mut shell = shell(&home).await;
    run(&mut shell, "BEGIN IMMEDIATE").await;
    let mut offered = 0;

    // The writer waits for the shell, so the queue must fill; a record that waited would hang here for ever.
    while store.journal().dropped() < 3 {
        store.journal().record_decision(decision(offered));
        offered += 1;
    }
    run(&mut shell, "COMMIT").await;
    store.sync(DEADLINE).await.unwrap();

    let stats = store.journal().stats();
    assert_eq!(stats.written + stats.dropped, offered, "{stats:?}");
    assert!(stats.dropped >= 3 && stats.written >= 16, "{stats:?}");
    assert_eq!(store.reader().counts().await.unwrap().decisions, stats.written);
    assert_eq!(store.health(), StoreHealth::Healthy);
}

#[tokio::test]
async fn a_journal_full_of_bytes_drops_and_counts() {
    let home = Home::new();
    let settings = StoreSettings { busy: DEADLINE, queue_bytes: 100_000, ..home.settings() };
    let store = Store::open(settings).await.unwrap();
    let mut shell = shell(&home).await;
    run(&mut shell, "BEGIN IMMEDIATE").await;
    let long = || DecisionRecord { prompt: Some("long ".repeat(8_000)), ..decision(1) };

    for _ in 0..3 {
        store.journal().record_decision(long());
    }

    let stats = store.journal().stats();
    assert_eq!((stats.dropped, stats.queued), (1, 2));
    assert!(stats.queued_bytes <= 100_000);
    run(&mut shell, "COMMIT").await;
    store.sync(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_records_keeps_serving_and_recovers() {
    let home = Home::new();
    let store = Store::open(StoreSettings { max_bytes: Some(1_600_000), ..home.settings() }).await.unwrap();
    let long = |number| DecisionRecord { prompt: Some("long ".repeat(2_000)), ..decision(number) };
    let mut offered = 0;

    while store.sync(DEADLINE).await.is_ok() {
        assert!(offered < 1_000, "the limit was never reached");
        store.journal().record_decision(long(offered));
        offered += 1;
    }

    let StoreHealth::Degraded { since_unix_ms, problem } = store.health() else { panic!("should be degraded") };
    assert!(since_unix_ms > 0 && problem.contains("full"), "{problem}");
    assert_eq!(store.journal().stats().lost, 1);
    assert!(store.feedback(verdict(9_999, true)).await.is_err());
    assert!(matches!(store.sync(DEADLINE).await, Err(SyncError::Failed { .. })), "nothing was written since");
    assert!(store.decision(id(0)).await.unwrap().is_some(), "what was written can still be read");

    let mut shell = shell(&home).await;
    run(&mut shell, "DELETE FROM decision").await;
    store.journal().record_decision(decision(5_000));
    store.sync(DEADLINE).await.unwrap();

    assert_eq!(store.health(), StoreHealth::Healthy);
    assert_eq!(store.reader().counts().await.unwrap().decisions, 1);
    assert_eq!(store.journal().stats().written, offered);
}

#[tokio::test]
async fn feedback_is_refused_while_nothing_can_be_made_durable() {
    let home = Home::new();
    let store = Store::open(StoreSettings { busy: Duration::ZERO, ..home.settings() }).await.unwrap();
    store.journal().record_decision(decision(1));
    store.sync(DEADLINE).await.unwrap();
    let mut shell = shell(&home).await;
    run(&mut shell, "BEGIN IMMEDIATE").await;

    let refused = store.feedback(verdict(1, true)).await;

    assert!(
        matches!(&refused, Err(FeedbackError::Unavailable { problem }) if problem.contains("locked")),
        "{refused:?}"
    );
    assert!(matches!(store.health(), StoreHealth::Degraded { .. }));
    run(&mut shell, "COMMIT").await;
    assert!(!store.feedback(verdict(1, true)).await.unwrap().replayed);
    assert_eq!(store.health(), StoreHealth::Healthy);
}

#[tokio::test]
async fn a_batch_that_fails_once_is_tried_again() {
    let home = Home::new();
    let retry = RetrySettings { attempts: NonZeroU32::new(10_000).unwrap(), first_delay: Duration::ZERO };
    let store = Store::open(StoreSettings { busy: Duration::ZERO, retry, ..home.settings() }).await.unwrap();
    let mut health = store.journal().watch_health();
    let mut shell = shell(&home).await;
    run(&mut shell, "BEGIN IMMEDIATE").await;
    store.journal().record_decision(decision(1));

    health.wait_for(|health| *health != StoreHealth::Healthy).await.unwrap();
    run(&mut shell, "COMMIT").await;
    store.sync(DEADLINE).await.unwrap();

    let stats = store.journal().stats();
    assert_eq!((stats.written, stats.lost), (1, 0));
}

#[tokio::test]
async fn feedback_gives_up_at_its_deadline() {
    let home = Home::new();
    let settings = StoreSettings { busy: DEADLINE, feedback_deadline: Duration::from_millis(5), ..home.settings() };
    let store = Store::open(settings).await.unwrap();
    let mut shell = shell(&home).await;
    run(&mut shell, "BEGIN IMMEDIATE").await;

    let refused = store.feedback(verdict(1, true)).await;

    assert!(matches!(refused, Err(FeedbackError::Unavailable { .. })), "{refused:?}");
    assert_eq!(store.sync(Duration::from_millis(5)).await, Err(SyncError::Deadline { millis: 5 }));
    shell.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_drops_and_counts() {
    let home = Home::new();
    let store = home.open().await;
    store.close(DEADLINE).await.unwrap();

    store.journal().record_decision(decision(1));

    assert_eq!(store.journal().dropped(), 1);
    assert!(matches!(store.feedback(verdict(1, true)).await, Err(FeedbackError::Unavailable { .. })));
}

#[tokio::test]
async fn a_file_removed_under_a_running_store_is_noticed() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    store.sync(DEADLINE).await.unwrap();
    std::fs::remove_file(home.path()).unwrap();

    let refused = store.feedback(verdict(1, true)).await;

    assert!(
        matches!(&refused, Err(FeedbackError::Unavailable { problem }) if problem.contains("restart")),
        "{refused:?}"
    );
    assert!(matches!(store.health(), StoreHealth::Degraded { .. }));
    assert!(!home.path().exists(), "it must not come back empty");
}
