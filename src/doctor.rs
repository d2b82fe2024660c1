//! What is found where, and what to do about what is not: the checks behind `trimtab doctor`.
//!
//! Every check only looks, apart from a temporary file that shows whether the store can be written. Imports `config`, `domain`, `drift`, `model` and `serve`'s settings.

mod drift;
mod learned;
mod surroundings;

use std::fmt::Write;

use serde::Serialize;

use crate::config::env::Environment;
use crate::config::error::ConfigErrors;
use crate::config::{self, Config, Secrets, Sources};

/// Everything that was looked at, in the order in which things depend on one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about, for example `ONNX Runtime`.
    pub name: String,
    /// Whether it will do.
    pub status: Status,
    /// What was found, and where. Never holds a secret.
    pub found: String,
    /// What to do, where something should be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether something will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It will.
    Ok,
    /// The server starts, but something is missing that an operator may want.
    Warn,
    /// The server does not start, or cannot decide.
    Fail,
}

/// Looks at everything. Takes about as long as loading a bundle.
///
/// A configuration that is wrong is reported, and the rest is then looked at with the defaults.
#[must_use]
pub fn examine(sources: &Sources<'_>) -> Report {
    let mut checks = vec![version()];
    let (config, configured) = configuration(sources);
    checks.extend(configured);
    if let Some(config) = config {
        checks.extend(learned::checks(&config, sources.environment));
        checks.extend(surroundings::checks(&config, sources.environment));
    }
    Report { checks }
}

impl Report {
    /// The worst status. `Ok` where nothing was looked at.
    #[must_use]
    pub fn worst(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok)
    }

    /// The report as a table for people, remedies below what they mend.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let status = match check.status {
                Status::Ok => "ok  ",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{status}  {:width$}  {}", check.name, check.found);
            if let Some(remedy) = &check.remedy {
                let _ = writeln!(text, "      {:width$}  → {remedy}", "");
            }
        }
        text
    }

    /// The report for programs: `status`, the worst of all, and `checks`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "status": self.worst(), "checks": self.checks })
    }
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, found: found.into(), remedy: None }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warn, remedy: Some(remedy.into()), ..Self::ok(name, found) }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Fail, remedy: Some(remedy.into()), ..Self::ok(name, found) }
    }
}

fn version() -> Check {
    let (version, system, machine) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    Check::ok("version", format!("trimtab {version} for {system} on {machine}"))
}

/// The configuration to look at the rest with, and what is to be said about it.
fn configuration(sources: &Sources<'_>) -> (Option<Config>, Vec<Check>) {
    match config::load(sources) {
        Ok(config) => {
            let place = config
                .file
                .as_ref()
                .map_or_else(|| "no file, the embedded defaults".to_owned(), |file| file.display().to_string());
            let what = if config.demo {
                "nothing is configured, so the embedded demo answers".to_owned()
            } else {
                format!(
                    "{} tiers, {} models, {} upstreams",
                    config.tiers.len(),
                    config.targets().count(),
                    config.upstreams.len()
                )
            };
            (Some(config), vec![Check::ok("configuration", format!("{place}: {what}"))])
        }
        Err(ConfigErrors(errors)) => {
            let checks = errors
                .into_iter()
                .map(|error| Check::fail("configuration", format!("{}: {}", error.path, error.problem), error.fix));
            (fallback(sources), checks.collect())
        }
    }
}

/// The configuration without its secrets where only those are missing, else the defaults.
fn fallback(sources: &Sources<'_>) -> Option<Config> {
    let without_secrets = Sources { secrets: Secrets::Unread, ..*sources };
    let defaults = Sources { file: None, directory: std::path::Path::new(""), overrides: &[], ..without_secrets };
    let nothing = Environment::default();
    let defaults = Sources { environment: &nothing, ..defaults };
    config::load(&without_secrets).or_else(|_| config::load(&defaults)).ok()
}

#[cfg(test)]
mod tests;
