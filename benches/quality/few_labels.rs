//! The bundle after a few labels of the benchmark itself, on the rest of it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tempfile::TempDir;
use trimtab::model::session::Device;
use trimtab::train::build::{TrainOptions, train};
use trimtab::train::dataset::Unseen;
use trimtab::train::evaluate::EvalReport;
use trimtab::train::outcomes::{OutcomeOptions, Outcomes, read};
use trimtab::train::progress::Silent;

use crate::Plan;
use crate::given::{STRONG, WEAK, dataset, measure};
use crate::row::{Bar, Row};

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let sets = [
        ("MMLU APGR, 1,500 labelled prompts", "routellm_mmlu", 1_500, 0.67),
        ("GSM8K APGR, 400 labelled prompts", "routellm_gsm8k", 400, 0.66),
    ];
    let row = |(words, name, labels, bar): (&str, &str, usize, f64)| {
        let set = Set::read(plan, name);
        let reports: Vec<EvalReport> = (0..plan.seeds).map(|seed| set.after(labels, seed, plan)).collect();
        let values: Vec<f64> = reports.iter().map(|report| report.apgr).collect();
        let ece = reports.iter().map(|report| report.ece).sum::<f64>() / reports.len() as f64;
        Row::over_seeds(words, Bar::AtLeast(bar), &values).noting(format!("both models' labels; ECE {ece:.3}"))
    };
    sets.into_iter().map(row).collect()
}

/// A benchmark's outcomes of the two models.
pub(crate) struct Set {
    outcomes: Outcomes,
}

impl Set {
    /// Reads it.
    pub(crate) fn read(plan: &Plan, name: &str) -> Self {
        let options = OutcomeOptions { filters: vec![dataset(name)], ..OutcomeOptions::default() };
        Self { outcomes: read(&[plan.outcomes()], &options, &Silent).unwrap_or_else(|error| panic!("{error}")) }
    }

    /// Labels so many prompts drawn by the seed, adapts the bundle to them and measures it on the rest.
    ///
    /// Prompts of the rest that ask a labelled question again are left out.
    pub(crate) fn after(&self, labels: usize, seed: u64, plan: &Plan) -> EvalReport {
        let directory = TempDir::new().unwrap();
        let (labelled, rest) = self.split(labels, seed);
        let (few, others) = (directory.path().join("few.jsonl"), directory.path().join("rest.jsonl"));
        self.write(&labelled, &[WEAK, STRONG], &few);
        self.write(&rest, &[WEAK, STRONG], &others);
        let bundle = adapt(plan, (&few, directory.path()), seed);
        measure((&bundle, &others), Vec::new(), (plan, 0))
    }

    /// Splits the prompts by the seed: so many, and those of the rest that do not ask one of them again.
    pub(crate) fn split(&self, first: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let prompts = &self.outcomes.prompts;
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        let rest = order.split_off(first);
        let stems: HashSet<u64> = order.iter().map(|&at| prompts[at].stem).collect();
        (order, rest.into_iter().filter(|&at| !stems.contains(&prompts[at].stem)).collect())
    }

    /// How many prompts there are.
    pub(crate) fn len(&self) -> usize {
        self.outcomes.prompts.len()
    }

    /// Writes the outcomes of some models on some prompts as JSON Lines.
    pub(crate) fn write(&self, prompts: &[usize], models: &[&str], to: &Path) {
        let wanted: HashSet<u32> = prompts.iter().map(|&at| at as u32).collect();
        let mut file = BufWriter::new(File::create(to).unwrap());
        for row in self.outcomes.rows.iter().filter(|row| wanted.contains(&row.prompt)) {
            let model = &self.outcomes.models[row.model as usize];
            if !models.contains(&model.as_str()) {
                continue;
            }
            let prompt = &self.outcomes.prompts[row.prompt as usize];
            let line = serde_json::json!({
                "prompt_id": &*prompt.id, "prompt": &*prompt.text, "model": model, "score": row.score,
                "dataset": self.outcomes.datasets[prompt.dataset as usize],
            });
            writeln!(file, "{line}").unwrap();
        }
        file.flush().unwrap();
    }
}

fn adapt(plan: &Plan, (few, directory): (&Path, &Path), seed: u64) -> PathBuf {
    let out = directory.join("adapted");
    let options = TrainOptions { outcomes: vec![few.to_path_buf()], ..adapting(plan, (&out, seed)) };
    train(&options, &Silent).unwrap_or_else(|error| panic!("{error}"));
    out
}

/// Options to adapt the bundle, with nothing to adapt it to yet.
pub(crate) fn adapting(plan: &Plan, (out, seed): (&Path, u64)) -> TrainOptions {
    TrainOptions {
        outcomes: Vec::new(),
        outcome_options: OutcomeOptions::default(),
        tasks: None,
        task_filters: Vec::new(),
        feedback: None,
        base: Some(plan.bundle.clone()),
        unseen: Unseen::default(),
        tiers: None,
        encoder: None,
        careful_encoder: None,
        models: plan.models.clone(),
        out: out.to_path_buf(),
        id: Some("adapted".to_owned()),
        seed,
        threads: 2,
        device: Device::Cpu,
        caller_share: 0.2,
    }
}
