//! `trimtab serve`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::ServeArgs;
use crate::commands::Settings;
use crate::commands::output::{note, say};
use crate::config::{Config, Secrets};
use crate::serve::settings::check;
use crate::serve::{Addresses, serve};
use crate::shutdown;
use crate::telemetry;

pub(super) fn run(mut settings: Settings, args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let flags = [("server.listen", args.listen), ("server.admin_listen", args.admin_listen)];
    settings.overrides.extend(flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_string()))));
    let config = settings.load(Secrets::Required)?;
    if args.check {
        check(&config)?;
        say(&format!("the configuration is sound: {}", summary(&config)))?;
        return Ok(ExitCode::SUCCESS);
    }
    telemetry::init(&config.log)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(until_stopped(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn until_stopped(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let told = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = shutdown::requested().await {
            tracing::error!(%error, "signals cannot be heard; stop the process to end it");
            return;
        }
        tracing::info!("draining");
        told.cancel();
    });
    let (demo, summary) = (config.demo, summary(&config));
    serve(config, stop, |addresses| announce(addresses, demo, &summary)).await?;
    Ok(())
}

/// The first line of standard output is the address, for programs that start a server on any free port.
fn announce(addresses: Addresses, demo: bool, summary: &str) {
    // A closed standard output is no reason not to serve.
    drop(say(&format!("trimtab listens on http://{}", addresses.public)));
    note(&format!("administration on http://{}; {summary}", addresses.admin));
    if demo {
        note(
            "demo: no language model answers; decisions are real. Copy one of examples/ to trimtab.toml for real models.",
        );
    }
}

fn summary(config: &Config) -> String {
    let from = config.file.as_ref().map_or("defaults".to_owned(), |file| file.display().to_string());
    let (models, tiers) = (config.targets().count(), config.tiers.len());
    format!("{models} models in {tiers} tiers, {} policies, from {from}", config.policies.len())
}
