//! `trimtab onboard`.

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::OnboardArgs;
use crate::commands::output::{note, say};
use crate::commands::progress::Bars;
use crate::commands::{Settings, bundle_at};
use crate::config::Secrets;
use crate::model::session::Device;
use crate::serve::start_runtime;
use crate::train::onboard::anchors::{AnchorOptions, anchors};
use crate::train::onboard::{Expected, OnboardOptions, OnboardReport, onboard};
use crate::train::outcomes::{Filter, OutcomeOptions};

pub(super) fn run(settings: &Settings, args: OnboardArgs) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    let bundle = bundle_at(&config, args.bundle.as_deref())?;
    let threads = std::thread::available_parallelism()?.get();
    if args.outcomes.is_empty() && args.anchors.is_none() {
        bail!("give labels with `--outcomes FILE`, or ask with `--anchors N` which prompts would teach most");
    }
    start_runtime(&config)?;
    let bars = Bars::new();
    let report = match args.out {
        None if !args.outcomes.is_empty() => bail!("say where the new bundle goes with `--out DIR`"),
        Some(_) if args.outcomes.is_empty() => bail!("`--out` needs labels; give them with `--outcomes FILE`"),
        None => None,
        Some(out) => {
            let filters: Result<Vec<Filter>, String> = args.filters.iter().map(|text| text.parse()).collect();
            let outcome_options = OutcomeOptions {
                filters: filters.map_err(anyhow::Error::msg).context("--where")?,
                model_column: args.model_column,
                ..OutcomeOptions::default()
            };
            let options = OnboardOptions {
                model: args.model,
                outcomes: args.outcomes,
                outcome_options,
                most_labels: args.labels,
                bundle: bundle.clone(),
                models: config.model.dir.clone(),
                tier: args.tier.clone(),
                standard_error: args.standard_error,
                out,
                id: args.id,
                seed: args.seed,
                threads,
                device: Device::Cpu,
            };
            Some(onboard(&options, &bars)?)
        }
    };
    let chosen = match args.anchors {
        None => Vec::new(),
        Some(count) => {
            let (models, tier, prompts) = (config.model.dir, args.tier, args.prompts);
            anchors(&AnchorOptions { prompts, count, bundle, models, tier, threads, device: Device::Cpu }, &bars)?
        }
    };
    bars.finish();
    if let Some(report) = &report {
        say(&if args.json { serde_json::to_string(report)? } else { for_people(report) })?;
        if report.labels_missing > 0 {
            note(
                "run the new model on more prompts (`--anchors N` chooses them) and onboard again from the old bundle",
            );
        }
    }
    for anchor in chosen {
        say(&serde_json::to_string(&anchor)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn for_people(report: &OnboardReport) -> String {
    let interval =
        |interval: Option<[f64; 2]>| interval.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"));
    let error = |expected: &Expected| {
        let auc = expected.auc.map_or("–".to_owned(), |auc| format!("{auc:.3}"));
        format!(
            "AUC {auc}{}   calibration error {:.3}{}   Brier {:.4}",
            interval(expected.auc_interval),
            expected.ece,
            interval(expected.ece_interval),
            expected.brier
        )
    };
    let mut text = format!(
        "bundle {} at {} knows `{}` from {} labels\nfollows `{}`, discrimination {:.2}, ability {:+.2}{}\n\
         expected   {}\nas a tier  {}",
        report.id,
        report.path.display(),
        report.model,
        report.labels,
        report.prior,
        report.discrimination,
        report.ability,
        if report.residual { ", with a residual of its own" } else { "" },
        error(&report.expected),
        error(&report.before),
    );
    for point in &report.curve {
        let auc = point.auc.map_or("–".to_owned(), |auc| format!("{auc:.3}"));
        text += &format!("\n  with {:>6} labels   AUC {auc}   Brier {:.4}", point.labels, point.brier);
    }
    text += &format!(
        "\nmean success {:.3} ± {:.3}; ± {:.3} takes {} labels, {}",
        report.mean,
        report.standard_error,
        report.wanted_standard_error,
        report.labels_needed,
        if report.labels_missing == 0 {
            "none is missing".to_owned()
        } else {
            format!("{} are missing", report.labels_missing)
        },
    );
    text
}
