//! The quality of the default bundle, against the bars that it should meet: `make eval`.
//!
//! Reads published outcomes from a directory in place and writes nothing to it; labelled samples and adapted bundles live in a
//! temporary directory that is removed. Without the data it says what is missing. `--quick` draws two seeds instead of five.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on has failed, and prints its figures"
)]

mod calibration;
mod few_labels;
mod given;
mod onboarding;
mod retrain;
mod row;
mod tasks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::row::Row;

/// Where everything is, and how much is measured.
pub(crate) struct Plan {
    pub(crate) data: PathBuf,
    pub(crate) bundle: PathBuf,
    pub(crate) models: PathBuf,
    pub(crate) seeds: u64,
    pub(crate) rounds: usize,
    /// Only rows whose name contains this.
    pub(crate) only: Option<String>,
}

impl Plan {
    fn read(arguments: &[String]) -> Self {
        let value = |flag: &str| {
            let at = arguments.iter().position(|argument| argument == flag)?;
            arguments.get(at + 1).cloned()
        };
        let quick = arguments.iter().any(|argument| argument == "--quick");
        Self {
            data: value("--data").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from),
            bundle: value("--bundle").map_or_else(|| PathBuf::from("models/default"), PathBuf::from),
            models: value("--models").map_or_else(|| PathBuf::from("models"), PathBuf::from),
            seeds: if quick { 2 } else { 5 },
            rounds: if quick { 200 } else { 1000 },
            only: value("--only"),
        }
    }

    /// The outcomes file.
    pub(crate) fn outcomes(&self) -> PathBuf {
        self.data.join("outcomes.parquet")
    }
}

/// A group of rows: what it needs, its name, and how it is measured.
type Group = (&'static [&'static str], &'static str, fn(&Plan) -> Vec<Row>);

const GROUPS: &[Group] = &[
    (&["outcomes.parquet"], "no labels", given::rows),
    (&["outcomes.parquet"], "few labels", few_labels::rows),
    (&["outcomes.parquet"], "onboarding", onboarding::rows),
    (&["outcomes.parquet"], "calibration", calibration::rows),
    (&["tasks.parquet"], "tasks", tasks::rows),
    (&[], "retraining", retrain::rows),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let library = trimtab::model::runtime::locate().unwrap_or_else(|error| panic!("{error}"));
    trimtab::model::runtime::init(&library).unwrap_or_else(|error| panic!("{error}"));
    if let Some(at) = arguments.iter().position(|argument| argument == retrain::CHILD) {
        return retrain::child(&arguments[at + 1..]);
    }
    let plan = Plan::read(&arguments);
    println!("{}", row::head());
    let (mut missing, mut failed) = (Vec::new(), 0);
    for (needs, name, measure) in GROUPS {
        if plan.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let absent: Vec<PathBuf> =
            needs.iter().map(|file| plan.data.join(file)).filter(|path| !path.is_file()).collect();
        if !absent.is_empty() {
            missing.extend(absent.into_iter().map(|path| (*name, path)));
            continue;
        }
        let start = Instant::now();
        let rows = measure(&plan);
        failed += rows.iter().filter(|row| row.is_met() == Some(false)).count();
        for row in rows {
            println!("{row}");
        }
        println!("{:>80}", format!("({name}: {:.0} s)", start.elapsed().as_secs_f64()));
    }
    println!(
        "\nIntervals: 95 %, by a bootstrap over prompts where one sample was measured; mean ± standard deviation where seeds were drawn."
    );
    if failed > 0 {
        println!("{failed} bars are not met.");
    }
    for (name, path) in &missing {
        println!("Not measured ({name}): {} is not there; set DATA to a directory that has it.", path.display());
    }
    if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
