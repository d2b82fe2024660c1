//! Training that does not come to its end: told to stop, or on a disk that fills up.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::app::{install_default_models, runtime_for_children};

/// A home with the shipped bundle, and more outcomes than are learned in an instant.
fn home(prompts: usize) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    install_default_models(&home.path().join("models"));
    let mut rows = String::new();
    for at in 0..prompts {
        for (model, score) in [("small", at % 3 / 2), ("large", 1 - at % 7 / 6)] {
            let line = serde_json::json!({ "prompt_id": at, "prompt": format!("How many are {at} and {}?", at * 7), "model": model, "score": score });
            writeln!(rows, "{line}").unwrap();
        }
    }
    fs::write(home.path().join("outcomes.jsonl"), rows).unwrap();
    fs::create_dir(home.path().join("out")).unwrap();
    home
}

const TRAIN: [&str; 7] = ["train", "--base", "models/default", "--outcomes", "outcomes.jsonl", "--out", "out/mine"];

/// Everything that lies in a directory, hidden or not.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Whether a process has a handler for SIGTERM: bit 14 of what it catches.
fn catches_sigterm(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & (1 << 14) != 0)
}

#[test]
fn a_training_that_is_told_to_stop_leaves_nothing_behind() {
    let home = home(6_000);
    let before = names(home.path());
    let mut child = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(TRAIN)
        .current_dir(home.path())
        .env_remove("TRIMTAB_CONFIG")
        .envs(runtime_for_children())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while !catches_sigterm(child.id()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be told to stop");
        assert!(Instant::now() < patience, "it never listens for SIGTERM");
        std::thread::yield_now();
    }

    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let ended = child.wait_with_output().unwrap();

    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(told.success());
    assert_eq!(ended.status.code(), Some(1), "{error}");
    assert!(error.contains("interrupted; nothing was written"), "{error}");
    assert!(ended.stdout.is_empty());
    assert_eq!(names(&home.path().join("out")), BTreeSet::new());
    assert_eq!(names(home.path()), before);
}

/// Trains in a shell that lets no file grow beyond so many blocks of 512 bytes: what a disk that fills up does to a write.
fn train_on_a_disk_of(blocks: &str, home: &Path) -> (Option<i32>, String) {
    let ended = Command::new("sh")
        .args([
            "-c",
            &format!("trap '' XFSZ; ulimit -f {blocks} || exit 99; exec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_trimtab"),
        ])
        .args(TRAIN)
        .current_dir(home)
        .env_remove("TRIMTAB_CONFIG")
        .envs(runtime_for_children())
        .output()
        .unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_half_written() {
    let home = home(60);

    // Too full for the index's items, and, further on, for its vectors.
    for (blocks, file) in [("100", "items.jsonl"), ("4500", "vectors.f32")] {
        let (code, error) = train_on_a_disk_of(blocks, home.path());

        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(file) && error.contains("make room"), "{error}");
        assert_eq!(names(&home.path().join("out")), BTreeSet::new(), "{blocks}");
    }
    let (code, error) = train_on_a_disk_of("unlimited", home.path());

    // 3 where a gate failed: sixty prompts that make no sense are not held to teach anything.
    assert!(matches!(code, Some(0 | 3)), "{error}");
    assert_eq!(names(&home.path().join("out")), BTreeSet::from(["mine".to_owned()]));
}
