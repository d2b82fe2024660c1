//! `trimtab eval`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::EvalArgs;
use crate::commands::Settings;
use crate::commands::output::{note, say};
use crate::commands::progress::Bars;
use crate::config::Secrets;
use crate::serve::start_runtime;
use crate::train::evaluate::{CallPrice, CompareReport, EvalOptions, EvalReport, Figure, PairNames, compare, eval};
use crate::train::outcomes::Filter;
use crate::train::report;

pub(super) fn run(settings: &Settings, args: EvalArgs) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    start_runtime(&config)?;
    let (json, directory, both, bundle) = (args.json, args.report.clone(), args.compare.clone(), args.bundle.clone());
    if let Some(directory) = &directory {
        report::check_free(directory)?;
    }
    let options = options(args, config.model.dir)?;
    let bars = Bars::new();
    if let [a, b] = both.as_slice() {
        let found = compare((a, b), &options, &bars)?;
        bars.finish();
        say(&if json { serde_json::to_string(&found)? } else { compared(&found) })?;
        return Ok(ExitCode::SUCCESS);
    }
    if bundle.is_none() {
        bail!("name a bundle with --bundle, or two with --compare");
    }
    let found = eval(&options, &bars)?;
    bars.finish();
    say(&if json { serde_json::to_string(&found)? } else { for_people(&found) })?;
    if let Some(directory) = &directory {
        report::write(&found, directory)?;
        note(&format!("the report is at {}", directory.join("index.html").display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: EvalArgs, models: PathBuf) -> anyhow::Result<EvalOptions> {
    let parsed: Result<Vec<Filter>, _> =
        args.filters.iter().map(|text| text.parse().map_err(anyhow::Error::msg).context("--where")).collect();
    let mut filters = parsed?;
    filters.extend(args.dataset.map(|value| Filter { column: "dataset".to_owned(), value }));
    let prices: Result<Vec<CallPrice>, _> =
        args.prices.iter().map(|text| text.parse().map_err(anyhow::Error::msg).context("--price")).collect();
    Ok(EvalOptions {
        bundle: args.bundle.unwrap_or_default(),
        models,
        outcomes: args.outcomes,
        filters,
        pair: args.weak.zip(args.strong).map(|(weak, strong)| PairNames { weak, strong }),
        only: args.only,
        prices: prices?,
        tiers: args.tiers,
        seed: args.seed,
        bootstrap: args.bootstrap,
    })
}

fn compared(report: &CompareReport) -> String {
    let change = |words: &str, figure: Option<Figure>| figure.map(|figure| format!("{words:<28} {}", signed(figure)));
    let lines = [
        Some(report.sentence.clone()),
        Some(format!("{:<28} {:.4} and {:.4}", "APGR of A and B", report.apgr_a, report.apgr_b)),
        change("change of APGR", Some(report.apgr)),
        change("quality at half the budget", report.quality_at_equal_cost),
        change("mean quality over budgets", report.aiq),
        change("Brier score (lower: better)", report.brier),
        change("ECE (lower: better)", report.ece),
        Some(format!("{}; {} rounds, seed {}", report.costs.words, report.rounds, report.seed)),
    ];
    lines.into_iter().flatten().collect::<Vec<String>>().join("\n")
}

fn signed(figure: Figure) -> String {
    let interval = figure.ci.map_or(String::new(), |[low, high]| format!(" [{low:+.4}, {high:+.4}]"));
    format!("{:+.4}{interval}", figure.value)
}

fn plain(figure: Option<Figure>) -> String {
    let Some(Figure { value, ci }) = figure else { return "–".to_owned() };
    format!("{value:.4}{}", interval(ci))
}

fn interval(ci: Option<[f64; 2]>) -> String {
    ci.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"))
}

fn for_people(report: &EvalReport) -> String {
    let mut lines = vec![
        format!(
            "{} prompts, {} models; {} scores {:.3}, {} scores {:.3}",
            report.n,
            report.models.len(),
            report.weak,
            report.weak_score,
            report.strong,
            report.strong_score
        ),
        format!(
            "APGR {:.4}{}   random {:.4}   length {}   task mean {}   oracle {:.4}",
            report.apgr,
            interval(report.apgr_ci),
            report.random_apgr,
            plain(report.length_apgr),
            plain(report.task_apgr),
            report.oracle_apgr
        ),
        format!(
            "CPT  20 % {:.3}{}   50 % {:.3}{}   80 % {:.3}{}",
            report.cpt20,
            interval(report.cpt20_ci),
            report.cpt50,
            interval(report.cpt50_ci),
            report.cpt80,
            interval(report.cpt80_ci)
        ),
        format!(
            "AUC  of the gap {}   ECE {:.4}{}   Brier {:.4}{}",
            report.auc.map_or("–".to_owned(), |auc| format!("{auc:.4}{}", interval(report.auc_ci))),
            report.ece,
            interval(report.ece_ci),
            report.brier,
            interval(report.brier_ci)
        ),
        format!(
            "AIQ  {}   best fixed mix {}   oracle {}",
            plain(report.aiq.router),
            plain(report.aiq.mix),
            plain(report.aiq.oracle)
        ),
    ];
    for difference in &report.differences {
        let claim = if difference.clear { "" } else { "   (not shown: the interval holds zero)" };
        lines.push(format!("{} over {}: {}{claim}", difference.measure, difference.over, signed(difference.lead)));
    }
    for one in &report.escalation {
        lines.push(format!(
            "dial {:.1}: {} go up, precision {}, recall {}",
            one.dial,
            plain(one.share),
            plain(one.precision),
            plain(one.recall)
        ));
    }
    for saving in &report.savings {
        lines.push(format!(
            "losing {} points saves {} of the strong calls and {} of their cost; mixing at random saves {} of the calls",
            saving.loss_points,
            plain(saving.calls),
            plain(saving.cost),
            plain(saving.calls_by_mixing)
        ));
    }
    lines.push(String::new());
    lines.push(format!("{:<9} {:<28} {:>7}  {:<24} {:<24} ECE", "slice", "", "prompts", "APGR", "over length"));
    for slice in &report.slices {
        let row = [plain(slice.apgr), slice.apgr_minus_length.map_or("–".to_owned(), signed), plain(slice.ece)];
        let value: String = slice.value.chars().take(28).collect();
        lines.push(format!("{:<9} {value:<28} {:>7}  {:<24} {:<24} {}", slice.by, slice.n, row[0], row[1], row[2]));
    }
    lines.push(String::new());
    lines.push(format!(
        "{}; {} prompts and {} models left out; {:.0} µs a prompt at the median, {:.0} µs at the 99th percentile; seed {}",
        report.costs.words, report.prompts_left_out, report.models_left_out, report.p50_us, report.p99_us, report.seed
    ));
    lines.join("\n")
}
