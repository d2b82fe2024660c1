//! What a killed process leaves behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use super::*;

const STORE: &str = "TRIMTAB_TEST_STORE";

/// Opens a store, records a decision and a report, says so, and holds the store until it is killed or its input ends.
#[tokio::test]
#[ignore = "run in a process of its own by the test below"]
async fn child_holds_a_store() {
    let Ok(path) = std::env::var(STORE) else { return };
    let store = Store::open(StoreSettings::at(path)).await.unwrap();
    store.journal().record_decision(decision(1));
    store.feedback(verdict(1, true)).await.unwrap();
    writeln!(std::io::stdout(), "\nacknowledged").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

fn spawn_child(home: &Home) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::process::child_holds_a_store", "--ignored", "--nocapture"])
        .env(STORE, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "acknowledged"), "the child ended early");
    child
}

#[tokio::test]
async fn a_killed_process_frees_the_lock_and_loses_no_acknowledged_report() {
    let home = Home::new();
    let mut child = spawn_child(&home);
    let refused = Store::open(home.settings()).await.unwrap_err().to_string();
    child.kill().unwrap();
    child.wait().unwrap();

    let reader = Store::open_read_only(&home.path()).await.unwrap();
    let store = home.open().await;

    assert!(refused.contains(&format!("process {}", child.id())), "{refused}");
    assert_eq!(reader.counts().await.unwrap().feedback, 1);
    assert!(store.feedback(verdict(1, true)).await.unwrap().replayed);
}
