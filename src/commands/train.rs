//! `trimtab train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::TrainArgs;
use crate::commands::Settings;
use crate::commands::output::{note, say};
use crate::commands::progress::Bars;
use crate::config::{self, Config, Secrets};
use crate::model::bundle::{EncoderDirectory, EncoderKind};
use crate::model::session::Device;
use crate::model::shelf::Shelf;
use crate::serve::start_runtime;
use crate::train::build::{TrainOptions, train};
use crate::train::dataset::Unseen;
use crate::train::outcomes::{Filter, OutcomeOptions};
use crate::train::publish::TrainReport;

/// The exit status of a training whose bundle was written and failed a gate.
const GATE_FAILED: u8 = 3;

pub(super) fn run(settings: &Settings, args: TrainArgs) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    start_runtime(&config)?;
    let (json, promote) = (args.json, args.promote);
    let options = options(&config, args)?;
    let bars = Bars::new();
    let report = train(&options, &bars)?;
    bars.finish();
    say(&if json { serde_json::to_string(&report)? } else { for_people(&report) })?;
    if !report.passed() {
        note("a gate failed, so the bundle was written and not promoted");
        return Ok(ExitCode::from(GATE_FAILED));
    }
    if promote {
        let path = Shelf::new(&config.model.dir).promote(&report.path)?;
        note(&format!("{} serves from now on ({path})", report.id));
    }
    Ok(ExitCode::SUCCESS)
}

fn options(config: &Config, args: TrainArgs) -> anyhow::Result<TrainOptions> {
    let encoder = match (args.encoder, &args.base) {
        (Some(encoder), _) => Some(encoder),
        (None, Some(_)) => None,
        (None, None) => Some(only_static_encoder(&config.model.dir.join("encoders"))?),
    };
    let threads = if args.threads == 0 { std::thread::available_parallelism()?.get() } else { args.threads };
    Ok(TrainOptions {
        outcomes: args.outcomes,
        outcome_options: OutcomeOptions {
            filters: filters(&args.filters, "--where")?,
            model_column: args.model_column,
            without_models: args.without_models,
        },
        tasks: args.tasks,
        task_filters: filters(&args.task_filters, "--tasks-where")?,
        feedback: args.feedback,
        base: args.base,
        unseen: Unseen { paths: args.unseen, filters: filters(&args.unseen_filters, "--unseen-where")? },
        tiers: args.tiers,
        encoder,
        careful_encoder: args.careful_encoder,
        models: config.model.dir.clone(),
        out: args.out,
        id: args.id,
        seed: args.seed,
        threads,
        device: match config.model.device {
            config::Device::Auto => Device::Auto,
            config::Device::Cpu => Device::Cpu,
            config::Device::Cuda => Device::Cuda,
        },
    })
}

fn filters(texts: &[String], flag: &'static str) -> anyhow::Result<Vec<Filter>> {
    texts.iter().map(|text| text.parse().map_err(anyhow::Error::msg).context(flag)).collect()
}

/// The static encoder of the model directory, where there is exactly one.
fn only_static_encoder(encoders: &Path) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(encoders)
        .with_context(|| format!("{} cannot be read; name an encoder with --encoder", encoders.display()))?;
    let directories =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("encoder.json").is_file());
    let is_static = |path: &PathBuf| {
        EncoderDirectory::open(path).is_ok_and(|encoder| matches!(encoder.description().kind, EncoderKind::Static))
    };
    let found: Vec<PathBuf> = directories.filter(is_static).collect();
    match found.as_slice() {
        [encoder] => Ok(encoder.clone()),
        [] => bail!("there is no static encoder in {}; name one with --encoder", encoders.display()),
        [..] => bail!("there are {} static encoders in {}; name one with --encoder", found.len(), encoders.display()),
    }
}

fn for_people(report: &TrainReport) -> String {
    let mut text = format!(
        "bundle {} at {}\n{} prompts fitted, {} for calibration, {} held out, in {:.0} s",
        report.id,
        report.path.display(),
        report.prompts.fit,
        report.prompts.calibration,
        report.prompts.test,
        report.seconds,
    );
    for gate in &report.gates {
        let mark = if gate.passed { "passed" } else { "FAILED" };
        text += &format!("\n{mark}  {}: {}", gate.name, gate.detail);
    }
    text
}
