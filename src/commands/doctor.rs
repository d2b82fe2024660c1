//! `trimtab doctor`.

use std::process::ExitCode;

use anyhow::Context;

use crate::commands::Settings;
use crate::commands::output::say;
use crate::config::env::Environment;
use crate::config::{Secrets, Sources};
use crate::doctor::{Status, examine};

pub(super) fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let directory = std::env::current_dir().context("the current directory cannot be read")?;
    let environment = Environment::of_process();
    let report = examine(&Sources {
        file: settings.file.as_deref(),
        directory: &directory,
        environment: &environment,
        overrides: &settings.overrides,
        secrets: Secrets::Unread,
    });
    say(&if json { report.to_json().to_string() } else { report.to_text() })?;
    Ok(match report.worst() {
        Status::Ok | Status::Warn => ExitCode::SUCCESS,
        Status::Fail => ExitCode::FAILURE,
    })
}
