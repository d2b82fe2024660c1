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
use crate::train::adapt::careful::CarefulFate;
use crate::train::build::{TrainOptions, train};
use crate::train::dataset::Unseen;
use crate::train::held_out::HeldOut;
use crate::train::influence::Influence;
use crate::train::moved::Moved;
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
        let failed: Vec<&str> = report.gates.iter().filter(|gate| !gate.passed).map(|gate| gate.name).collect();
        note(&format!(
            "the bundle was written and not promoted, since it failed: {}; `trimtab bundle promote --force {}` serves it all the same",
            failed.join(", "),
            report.path.display()
        ));
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
        caller_share: caller_share(config, args.caller_share)?,
        device: match config.model.device {
            config::Device::Auto => Device::Auto,
            config::Device::Cpu => Device::Cpu,
            config::Device::Cuda => Device::Cuda,
        },
    })
}

fn caller_share(config: &Config, asked: Option<f64>) -> anyhow::Result<f64> {
    let share = asked.unwrap_or(config.training.caller_share);
    if share > 0.0 && share <= 1.0 {
        return Ok(share);
    }
    bail!("--caller-share is {share}; give a share above 0 and at most 1, for example 0.2")
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
    text += &held_out_for_people("", report.held_out.as_ref());
    text += &held_out_for_people("the careful scorer, ", report.careful_held_out.as_ref());
    text += &report.careful.as_ref().map(careful_for_people).unwrap_or_default();
    if report.left_out > 0 {
        text += &format!("\nleft out {} prompts that must stay unseen, or are nearly the same as one", report.left_out);
    }
    let skipped = report.adapted.iter().flat_map(|adapted| &adapted.skipped);
    for (reason, count) in skipped {
        text += &format!("\nleft out {count} {reason}");
    }
    text += &read_for_people(report);
    text += &report.influence.as_ref().map(influence_for_people).unwrap_or_default();
    text += &report.moved.as_ref().map(moved_for_people).unwrap_or_default();
    text
}

/// How well one scorer does on prompts that were held out.
fn held_out_for_people(scorer: &str, held_out: Option<&HeldOut>) -> String {
    let Some(held_out) = held_out else { return String::new() };
    let rounded = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.3}"));
    let tiers = held_out.positions.iter().filter(|position| position.labels > 0);
    let (errors, labels) = tiers.fold((0.0, 0.0), |(errors, labels), position| {
        (errors + position.ece * position.labels as f64, labels + position.labels as f64)
    });
    format!(
        "\nmeasured {scorer}APGR {}, by mixing {}; calibration error {:.3}; task macro-F1 {}",
        rounded(held_out.routing.apgr),
        rounded(held_out.routing.random_apgr),
        errors / f64::max(labels, 1.0),
        rounded(held_out.task_macro_f1)
    )
}

/// What became of the careful scorer of the base.
fn careful_for_people(fate: &CarefulFate) -> String {
    match fate {
        CarefulFate::Moved(moved) => format!(
            "\ncareful  the careful scorer moved too, on {} prompts: log-loss {:.3} on verdicts it was not fitted on, the base's {:.3}",
            moved.prompts, moved.log_loss, moved.base_log_loss
        ),
        CarefulFate::LeftOut { why } => {
            format!("\ncareful  the new bundle is without the careful scorer of its base: {why}")
        }
    }
}

/// What was merged and ignored while reading.
fn read_for_people(report: &TrainReport) -> String {
    let Some(read) = &report.read else { return String::new() };
    let mut text = String::new();
    if read.duplicates > 0 {
        text += &format!(
            "\nmerged   {} rows of the same prompt and model by their mean, {} of them with another score",
            read.duplicates, read.conflicts
        );
    }
    if read.text_conflicts > 0 {
        text += &format!(
            "\nkept     the first text of prompts whose name came again with another, {} rows",
            read.text_conflicts
        );
    }
    if !read.ignored_columns.is_empty() {
        text += &format!("\nignored  columns {}", read.ignored_columns.join(", "));
    }
    text
}

fn influence_for_people(influence: &Influence) -> String {
    let mut text = format!(
        "\nfeedback of {} callers, as good as {:.0} verdicts of equal weight; one caller weighs at most {:.0} %; {} prompts joined the index",
        influence.callers_in_all,
        influence.effective_verdicts,
        100.0 * influence.caller_share,
        influence.indexed
    );
    let bundles: Vec<String> = influence.bundles.iter().map(|(bundle, count)| format!("{count} by {bundle}")).collect();
    text += &format!("\n         decided: {}", bundles.join(", "));
    for caller in influence.callers.iter().take(10) {
        text += &format!(
            "\n         {:<20} {:>7} verdicts, {:>5.1} % of the weight given, {:>5.1} % counted, {} in the index",
            caller.caller,
            caller.verdicts,
            100.0 * caller.given,
            100.0 * caller.counted,
            caller.indexed
        );
    }
    text
}

fn moved_for_people(moved: &Moved) -> String {
    let seen = if moved.unseen { "not learned from" } else { "learned from" };
    let mut text = format!(
        "\nmoved    on {} prompts {seen}: another tier for {:.1} % of them at quality 0.5; {:.1} % go above the weakest, {:.1} % before",
        moved.prompts,
        100.0 * moved.choices_changed,
        100.0 * moved.share_up[1],
        100.0 * moved.share_up[0]
    );
    for position in moved.positions.iter().take(10) {
        let before = position.before.map_or_else(|| "new".to_owned(), |before| format!("{before:.3}"));
        text += &format!("\n         {:<20} {before} -> {:.3}", position.name, position.after);
    }
    for task in &moved.tasks {
        text += &format!(
            "\n         {:<20} {:.3} -> {:.3} on {} prompts of {}",
            task.tier, task.before, task.after, task.prompts, task.task
        );
    }
    text
}
