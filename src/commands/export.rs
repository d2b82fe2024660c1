//! `trimtab export`.

use std::process::ExitCode;

use anyhow::bail;

use crate::cli::{self, ExportArgs};
use crate::commands::Settings;
use crate::commands::output::note;
use crate::config::Secrets;
use crate::store::{ExportFormat, ExportOptions, ExportWhich, PromptRetention, Store};

pub(super) fn run(settings: &Settings, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let config = settings.load(Secrets::Unread)?;
    let options = ExportOptions {
        format: match args.format {
            cli::ExportFormat::Jsonl => ExportFormat::Jsonl,
            cli::ExportFormat::Parquet => ExportFormat::Parquet,
        },
        which: if args.with_feedback { ExportWhich::WithFeedback } else { ExportWhich::All },
        prompts: if args.no_prompts { PromptRetention::None } else { PromptRetention::Full },
        ..ExportOptions::default()
    };
    if args.out.is_none() && options.format == ExportFormat::Parquet {
        bail!("Parquet needs a file; name one with --out");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let reader = Store::open_read_only(&config.store.path).await?;
        match &args.out {
            Some(path) => reader.export_to(&options, path).await,
            None => reader.export(&options, &mut std::io::stdout()).await,
        }
    })?;
    note(&format!("{} decisions, {} of them with a verdict", report.rows, report.scored));
    Ok(ExitCode::SUCCESS)
}
