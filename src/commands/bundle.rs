//! `trimtab bundle`: list, verify, promote, roll back.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use crate::cli::BundleCommand;
use crate::commands::Settings;
use crate::commands::output::say;
use crate::config::{Config, Secrets};
use crate::model::bundle::Bundle;
use crate::model::generation::Generation;
use crate::model::shelf::{Shelf, ShelfStatus};
use crate::model::verdict::failed_gates;
use crate::serve::settings::prepare_settings;
use crate::serve::start_runtime;

pub(super) fn run(settings: &Settings, command: BundleCommand) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    let shelf = Shelf::new(&config.model.dir);
    match command {
        BundleCommand::List { json } => list(&shelf, json)?,
        BundleCommand::Verify { bundle } => verify(&config, &shelf, bundle.as_deref())?,
        BundleCommand::Promote { bundle, force } => {
            let directory = shelf.resolve(&bundle);
            if !force {
                refuse_failed(&directory)?;
            }
            promote(&config, &shelf, &directory)?;
        }
        BundleCommand::Rollback => say(&format!("serving again: {}", shelf.rollback()?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(shelf: &Shelf, as_json: bool) -> anyhow::Result<()> {
    for bundle in shelf.list()? {
        // A bundle whose files are damaged is listed all the same; `bundle verify` says what is wrong with it.
        let opened = Bundle::open(&shelf.models().join(&bundle.path));
        let operating = opened.and_then(|bundle| bundle.operating()).ok().flatten();
        let status = match bundle.status {
            ShelfStatus::Serving => "serving",
            ShelfStatus::Earlier => "earlier",
            ShelfStatus::Available => "",
        };
        if as_json {
            let summary = bundle.summary.as_ref().map(|summary| {
                json!({ "id": summary.id, "created": summary.created, "parent": summary.parent, "rows": summary.rows })
            });
            say(&json!({ "path": bundle.path, "status": status, "bundle": summary, "operating": operating, "problem": bundle.problem })
                .to_string())?;
            continue;
        }
        let about = match (&bundle.summary, &bundle.problem) {
            (Some(summary), _) => format!("{}  trained on {} rows", summary.created, summary.rows),
            (None, Some(problem)) => format!("unusable: {problem}"),
            (None, None) => String::new(),
        };
        say(&format!("{status:<9} {:<40} {about}", bundle.path))?;
        let Some(operating) = operating else { continue };
        say(&format!("          measured on {}", operating.measured_on))?;
        for point in &operating.points {
            say(&format!("          {:<10} {}", point.name, point.words()))?;
        }
    }
    Ok(())
}

/// Loads the bundle exactly as the server would: digests, shapes, calibration and golden rows.
fn verify(config: &Config, shelf: &Shelf, bundle: Option<&str>) -> anyhow::Result<()> {
    let directory = bundle.map_or_else(|| shelf.current(), |name| Ok(shelf.resolve(name)))?;
    let generation = prepare(config, &directory)?;
    say(&format!("{} is sound ({})", generation.id(), directory.display()))?;
    Ok(())
}

fn prepare(config: &Config, directory: &Path) -> anyhow::Result<Generation> {
    start_runtime(config)?;
    Ok(Generation::prepare(&prepare_settings(config, directory))?)
}

fn refuse_failed(directory: &Path) -> anyhow::Result<()> {
    let failed = failed_gates(&Bundle::open(directory)?)?;
    if failed.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = failed.iter().map(|gate| format!("  {}: {}", gate.name, gate.detail)).collect();
    bail!(
        "the bundle failed {} when it was made:\n{}\npass --force to serve it all the same",
        gates(failed.len()),
        reasons.join("\n")
    )
}

fn gates(count: usize) -> String {
    if count == 1 { "a gate".to_owned() } else { format!("{count} gates") }
}

fn promote(config: &Config, shelf: &Shelf, directory: &Path) -> anyhow::Result<()> {
    // What cannot be loaded is not promoted: the server would refuse it, and the pointer would name a bundle that does not serve.
    let generation = prepare(config, directory)?;
    let path = shelf.promote(directory)?;
    say(&format!("{} serves from now on ({path}); a running server takes it up within a second", generation.id()))?;
    Ok(())
}
