//! Retraining on many rows of feedback, in a process of its own so that its memory can be read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use trimtab::train::build::{TrainOptions, train};
use trimtab::train::progress::Silent;

use crate::Plan;
use crate::few_labels::adapting;
use crate::row::{Bar, Row};

/// The argument that makes this program retrain and say what it took.
pub(crate) const CHILD: &str = "--retrain";
const ROWS: usize = 100_000;
const WORDS: [&str; 24] = [
    "write", "explain", "compute", "the", "harbour", "of", "a", "matrix", "invoice", "poem", "about", "sorting",
    "winter", "train", "proof", "email", "summary", "in", "ten", "words", "for", "my", "garden", "database",
];

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("feedback.jsonl");
    write_feedback(&file);
    let child = Command::new(std::env::current_exe().unwrap())
        .arg(CHILD)
        .args([&plan.bundle, &plan.models, &file, &directory.path().join("out")])
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let row = |measure: &str, bar: f64, value: f64| Row {
        measure: measure.to_owned(),
        bar: Bar::AtMost(bar),
        value,
        spread: String::new(),
        note: "prompts made up here, no two alike; this machine, all its cores".to_owned(),
    };
    vec![
        row("Retraining on 100,000 rows of feedback, seconds", 60.0, figure("seconds")),
        row("  … and most memory, GB", 1.0, figure("gigabytes")),
    ]
}

/// Retrains: `[bundle, models, feedback, out]`.
pub(crate) fn child(arguments: &[String]) -> ExitCode {
    let path = |at: usize| PathBuf::from(&arguments[at]);
    let plan = Plan { data: PathBuf::new(), bundle: path(0), models: path(1), seeds: 1, rounds: 0, only: None };
    let start = Instant::now();
    let options = TrainOptions { feedback: Some(path(2)), ..adapting(&plan, (&path(3), 17)) };
    train(&options, &Silent).unwrap_or_else(|error| panic!("{error}"));
    println!("seconds {:.1}", start.elapsed().as_secs_f64());
    println!("gigabytes {:.3}", peak_kilobytes().unwrap_or(f64::NAN) / 1e6);
    ExitCode::SUCCESS
}

/// The most memory this process had resident, where the system tells.
fn peak_kilobytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn write_feedback(to: &Path) {
    let mut random = StdRng::seed_from_u64(17);
    let mut file = BufWriter::new(File::create(to).unwrap());
    for at in 0..ROWS {
        let count = random.random_range(8..40);
        let mut words: Vec<&str> = (0..count).map(|_| *WORDS.choose(&mut random).unwrap()).collect();
        words.sort_by_key(|word| word.len() % 3);
        let (model, tier) = [("my-small", "small"), ("my-large", "large")][at % 2];
        let chance = if words.contains(&"proof") && at.is_multiple_of(2) { 0.3 } else { 0.85 };
        let line = serde_json::json!({
            "prompt_id": format!("f{at}"), "prompt": format!("{} {at}", words.join(" ")), "model": model, "tier": tier,
            "score": u8::from(random.random_bool(chance)), "propensity": 0.9,
        });
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}
