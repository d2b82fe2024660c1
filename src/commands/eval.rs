//! `trimtab eval`.

use std::process::ExitCode;

use crate::cli::EvalArgs;
use crate::commands::Settings;
use crate::commands::output::say;
use crate::commands::progress::Bars;
use crate::config::Secrets;
use crate::serve::start_runtime;
use crate::train::evaluate::{EvalOptions, EvalReport, eval};
use crate::train::outcomes::Filter;

pub(super) fn run(settings: &Settings, args: EvalArgs) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    start_runtime(&config)?;
    let dataset = args.dataset.map(|value| Filter { column: "dataset".to_owned(), value });
    let options = EvalOptions {
        bundle: args.bundle,
        models: config.model.dir,
        outcomes: vec![args.outcomes],
        filters: dataset.into_iter().collect(),
        weak: args.weak,
        strong: args.strong,
        seed: args.seed,
        bootstrap: args.bootstrap,
    };
    let bars = Bars::new();
    let report = eval(&options, &bars)?;
    bars.finish();
    say(&if args.json { serde_json::to_string(&report)? } else { for_people(&report) })?;
    Ok(ExitCode::SUCCESS)
}

fn for_people(report: &EvalReport) -> String {
    let interval =
        |interval: Option<[f64; 2]>| interval.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"));
    let lines = [
        format!(
            "{} prompts; {} scores {:.3}, {} scores {:.3}",
            report.n, report.weak, report.weak_score, report.strong, report.strong_score
        ),
        format!(
            "APGR {:.4}{}   random {:.4}   oracle {:.4}",
            report.apgr,
            interval(report.apgr_ci),
            report.random_apgr,
            report.oracle_apgr
        ),
        format!(
            "CPT  20 % {:.3}   50 % {:.3}{}   80 % {:.3}{}",
            report.cpt20,
            report.cpt50,
            interval(report.cpt50_ci),
            report.cpt80,
            interval(report.cpt80_ci)
        ),
        format!(
            "AUC  of the gap {}   ECE {:.4}",
            report.auc.map_or("–".to_owned(), |auc| format!("{auc:.4}")),
            report.ece
        ),
        format!(
            "{:.0} µs a prompt at the median, {:.0} µs at the 99th percentile; seed {}",
            report.p50_us, report.p99_us, report.seed
        ),
    ];
    lines.join("\n")
}
