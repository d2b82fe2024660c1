//! The invariants of ARCHITECTURE.md, read from the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import of ours. A room that is not listed may import nothing.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("chat", &["domain"]),
    ("model", &["domain"]),
    ("upstream", &["domain", "chat"]),
    ("demo", &["domain", "chat"]),
    ("store", &["domain"]),
    ("config", &["domain"]),
    ("telemetry", &["domain", "config"]),
    ("train", &["domain", "model"]),
    ("catalog", &["domain", "chat", "upstream"]),
    ("sessions", &["domain"]),
    ("cache", &["domain", "chat"]),
    ("deferred", &["domain"]),
    ("drift", &["domain"]),
    (
        "pipeline",
        &[
            "domain",
            "chat",
            "cache",
            "deferred",
            "drift",
            "model",
            "upstream",
            "store",
            "telemetry",
            "catalog",
            "records",
            "sessions",
        ],
    ),
    ("drills", &["domain", "telemetry", "upstream"]),
    ("records", &["domain", "store", "pipeline"]),
    ("view", &["domain", "pipeline"]),
    ("learn", &["domain", "model", "store", "pipeline"]),
    (
        "http",
        &[
            "domain",
            "chat",
            "cache",
            "deferred",
            "drift",
            "drills",
            "model",
            "store",
            "telemetry",
            "upstream",
            "catalog",
            "pipeline",
            "view",
            "learn",
            "retrain",
        ],
    ),
    ("retrain", &["domain", "model", "store", "train"]),
    ("shutdown", &[]),
    (
        "serve",
        &[
            "domain",
            "chat",
            "cache",
            "config",
            "deferred",
            "demo",
            "drift",
            "drills",
            "http",
            "model",
            "pipeline",
            "catalog",
            "retrain",
            "sessions",
            "shutdown",
            "store",
            "telemetry",
            "upstream",
        ],
    ),
    ("doctor", &["domain", "config", "drift", "model", "serve"]),
    ("cli", &[]),
    (
        "commands",
        &[
            "chat",
            "cli",
            "config",
            "doctor",
            "domain",
            "model",
            "pipeline",
            "serve",
            "shutdown",
            "store",
            "telemetry",
            "train",
            "view",
        ],
    ),
];

/// Crates that only some rooms or files may name: the crate, and the prefixes of the paths that may.
const CRATES: &[(&str, &[&str])] = &[
    ("axum", &["http/", "demo/", "serve.rs"]),
    ("ort", &["model/"]),
    ("hnsw_rs", &["model/index"]),
    ("candle_core", &["train/"]),
    ("candle_nn", &["train/"]),
    ("parquet", &["train/", "store/"]),
    ("plotters", &["train/report"]),
    ("png", &["train/report"]),
    ("prost", &["model/onnx", "train/onnx"]),
    ("rayon", &["train/", "model/index", "model/embedder", "retrain.rs"]),
    ("rustix", &["retrain.rs"]),
    ("sqlx", &["store/"]),
    ("reqwest", &["upstream/"]),
    ("aws_sigv4", &["upstream/sign"]),
    ("aws_credential_types", &["upstream/sign"]),
    ("crc32fast", &["chat/bedrock/frame"]),
    ("prometheus_client", &["telemetry/"]),
    ("anyhow", &["commands/"]),
    ("clap", &["cli.rs", "main.rs"]),
    ("mimalloc", &["main"]),
    ("whatlang", &["domain/language"]),
    ("regex", &["domain/check"]),
];

/// What the pure rooms may not touch.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "tokio",
    "rand::",
    "uuid::",
    "tracing::",
];

/// Files over 400 lines, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The room of a file: its first directory, or its own name.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The part of a file that ships: everything before its tests, without comments.
fn shipped(file: &str, text: &str) -> String {
    if file.contains("/tests") || file.ends_with("tests.rs") || file.ends_with("fake.rs") || file.ends_with("corpus.rs")
    {
        return String::new();
    }
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn arrows_point_inward() {
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        let room = room(&file);
        if matches!(room, "lib" | "main") {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            wrong.insert(format!("{file}: the room `{room}` is not in ARROWS"));
            continue;
        };
        for piece in shipped(&file, &text).split("crate::").skip(1) {
            let target: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if target != room && !allowed.contains(&target.as_str()) {
                wrong.insert(format!("{file} imports `{target}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point the wrong way:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        let text = shipped(&file, &text);
        for (name, rooms) in CRATES {
            let names = [format!("use {name}::"), format!(" {name}::"), format!("({name}::"), format!("<{name}::")];
            if names.iter().any(|one| text.contains(one)) && !rooms.iter().any(|allowed| file.starts_with(allowed)) {
                wrong.insert(format!("{file} names `{name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "crates outside their rooms:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = BTreeSet::new();
    for (file, text) in sources() {
        if !matches!(room(&file), "domain" | "chat") {
            continue;
        }
        let text = shipped(&file, &text);
        for impure in IMPURE {
            if text.contains(impure) {
                wrong.insert(format!("{file} touches `{impure}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "impure lines in the core:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn only_the_configuration_reads_raw_settings_and_only_telemetry_names_metrics() {
    for (file, text) in sources() {
        let text = shipped(&file, &text);
        // The store names its tables and its files after the product too.
        if !matches!(room(&file), "telemetry" | "store") {
            assert!(!text.contains("\"trimtab_"), "{file} names a metric");
        }
        if room(&file) != "http" && room(&file) != "demo" && room(&file) != "upstream" {
            assert!(!text.contains("StatusCode"), "{file} names a status code");
        }
    }
}

#[test]
fn files_stay_short() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(name, _)| *name == file);
        assert!(lines <= 400 || excused, "{file} has {lines} lines; split it, or say in LONG_FILES why not");
    }
}
