//! `trimtab calibrate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::CalibrateArgs;
use crate::commands::output::say;
use crate::commands::progress::Bars;
use crate::commands::{Settings, bundle_at};
use crate::config::{Config, Secrets};
use crate::domain::candidate::{Candidate, Capability};
use crate::domain::ids::TierId;
use crate::model::bundle::read_manifest;
use crate::serve::start_runtime;
use crate::store::{ExportFormat, ExportOptions, ExportWhich, PromptRetention, Store};
use crate::train::dial::{Basis, CalibrateOptions, DialReport, Goal, Measured, calibrate};
use crate::train::outcomes::{Filter, OutcomeOptions};
use crate::train::traffic::Source;

pub(super) fn run(settings: &Settings, args: CalibrateArgs) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    let bundle = bundle_at(&config, args.bundle.as_deref())?;
    let goal = match (args.share_strong, args.target_quality, args.max_cost_per_1k) {
        (Some(share), None, None) => Goal::ShareStrong(share),
        (None, Some(part), None) => Goal::TargetQuality(part),
        (None, None, Some(most)) => Goal::MaxCostPer1k(most),
        _ => bail!("give one of `--share-strong`, `--target-quality` and `--max-cost-per-1k`"),
    };
    let candidates = candidates(&config, &bundle, (args.weak.as_deref(), args.strong.as_deref()))?;
    let log = match &args.log {
        Some(None) => Some(Kept::export(&config)?),
        Some(Some(_)) | None => None,
    };
    let filters: Result<Vec<Filter>, String> = args.filters.iter().map(|text| text.parse()).collect();
    let outcome_options = OutcomeOptions {
        filters: filters.map_err(anyhow::Error::msg).context("--where")?,
        model_column: args.model_column,
        ..OutcomeOptions::default()
    };
    let source = match (args.outcomes.is_empty(), args.log, &log) {
        (false, None, _) => Source::Outcomes(args.outcomes, outcome_options),
        (true, Some(Some(path)), _) => Source::Log(path),
        (true, Some(None), Some(kept)) => Source::Log(kept.0.clone()),
        _ => bail!(
            "give traffic: `--outcomes FILE`, `--log FILE` (an export), or `--log` alone for the server's own store"
        ),
    };
    start_runtime(&config)?;
    let options = CalibrateOptions {
        bundle,
        models: config.model.dir,
        source,
        candidates,
        goal,
        delta: args.delta,
        seed: args.seed,
        out: args.out,
        id: args.id,
    };
    let bars = Bars::new();
    let report = calibrate(&options, &bars)?;
    bars.finish();
    say(&if args.json { serde_json::to_string(&report)? } else { for_people(&report) })?;
    Ok(ExitCode::SUCCESS)
}

/// The server's own log without prompts, beside the store, for as long as this lives.
struct Kept(PathBuf);

impl Kept {
    fn export(config: &Config) -> anyhow::Result<Self> {
        let path = config.store.path.with_extension(format!("calibrate-{}.jsonl", std::process::id()));
        let options = ExportOptions {
            format: ExportFormat::Jsonl,
            which: ExportWhich::All,
            prompts: PromptRetention::None,
            ..ExportOptions::default()
        };
        let kept = Self(path);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let reader = Store::open_read_only(&config.store.path).await?;
            reader.export_to(&options, &kept.0).await
        })?;
        Ok(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // There is nobody to tell if that fails; it holds no prompts.
        drop(std::fs::remove_file(&self.0));
    }
}

/// The configured models, or the two that were named.
fn candidates(config: &Config, bundle: &Path, named: (Option<&str>, Option<&str>)) -> anyhow::Result<Vec<Candidate>> {
    let mut configured: Vec<Candidate> = Vec::new();
    for candidate in config.candidates() {
        if configured.iter().all(|known| known.model != candidate.model) {
            configured.push(candidate);
        }
    }
    let (weak, strong) = match named {
        (None, None) => return Ok(configured),
        (Some(weak), Some(strong)) if weak != strong => (weak, strong),
        (Some(_), Some(_)) => bail!("`--weak` and `--strong` name the same model"),
        (Some(_), None) | (None, Some(_)) => bail!("`--weak` and `--strong` belong together"),
    };
    let tiers = read_manifest(bundle)?.tiers;
    let one = |name: &str, rank: usize, class: Option<&TierId>| {
        let known = configured.iter().find(|candidate| candidate.model.as_str() == name).cloned();
        let class = class.cloned().unwrap_or_else(|| TierId::from("small"));
        let plain = Candidate {
            model: name.into(),
            tier: class.clone(),
            rank,
            class,
            price: None,
            capability: Capability {
                context_tokens: None,
                tools: true,
                images: true,
                forced_tools: true,
                image_urls: true,
                json_schema: true,
            },
        };
        Candidate { rank, ..known.unwrap_or(plain) }
    };
    Ok(vec![one(weak, 0, tiers.first()), one(strong, 1, tiers.last())])
}

fn for_people(report: &DialReport) -> String {
    let measured =
        |number: &Measured| format!("{:.4} [{:.4}, {:.4}]", number.value, number.interval[0], number.interval[1]);
    let basis = match report.basis {
        Basis::Outcomes => "measured on outcomes",
        Basis::DoublyRobust => "estimated from logged outcomes, doubly robust",
        Basis::Predictions => "predicted by the bundle, not measured",
    };
    let mut text = format!(
        "quality {:.2}{} on bundle {}\nsent up   {} of {} asks\nscore     {}   relative to the strongest {}\n          {basis}, on {} asks",
        report.quality,
        report.threshold.map_or(String::new(), |threshold| format!(" (threshold {threshold:.4})")),
        report.bundle,
        measured(&report.share_up),
        report.asks - report.unscored,
        measured(&report.score),
        measured(&report.relative_quality),
        report.told_on,
    );
    if let Some(size) = report.effective_sample_size {
        text += &format!(", worth {size:.0} of them");
    }
    if let Some(cost) = &report.cost_per_1k {
        text += &format!("\ncost      ${} per 1,000 calls", measured(cost));
        if let Some(all) = report.strongest_cost_per_1k {
            text += &format!("; ${all:.4} if the strongest answered all");
        }
    }
    for (model, share) in &report.shares {
        text += &format!("\n  {model:<40} {:>5.1} %", 100.0 * share);
    }
    if let Some(promise) = &report.promise {
        text += &format!(
            "\npromise   at least {} of the strongest model's quality with confidence {} (p = {:.4} on {} labels)\n  method: {}\n  if: {}",
            promise.share,
            1.0 - promise.delta,
            promise.p_value,
            promise.labels,
            promise.method,
            promise.assumption
        );
    }
    for slice in &report.calibration {
        text += &format!(
            "\n  {:<6}{:<34} {:<28} {:>6} labels   predicted {:.3}   observed {:.3}   ECE {:.3}",
            slice.of, slice.name, slice.slice, slice.labels, slice.predicted, slice.observed, slice.ece
        );
    }
    for assumed in &report.assumed {
        text += &format!("\nassumed: {assumed}");
    }
    for (reason, count) in &report.skipped {
        text += &format!("\nleft out: {count} {reason}");
    }
    if let Some((id, path)) = &report.written {
        text += &format!("\nbundle {id} at {} has the dial of this traffic", path.display());
    }
    text + &format!("\n\nFor trimtab.toml, reachable as `auto:calibrated`:\n\n{}", report.toml)
}
