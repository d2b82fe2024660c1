//! What each subcommand does: settings in, a few calls into the rooms, words out. Nothing imports this room but `main`.

mod bundle;
mod calibrate;
mod catalog;
mod doctor;
mod eval;
mod export;
mod onboard;
mod output;
mod progress;
mod route;
mod serve;
mod train;

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{Cli, Command};
use crate::config::env::Environment;
use crate::config::{Config, Secrets, Sources, load};

/// The exit status for settings and arguments that are wrong, as against 1 for work that failed.
const WRONG_SETTINGS: u8 = 2;

/// Runs a subcommand. Errors are printed to standard error, in full.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let settings = Settings { file: cli.config.clone(), overrides: Vec::new() };
    let result = match cli.command {
        Command::Serve(args) => serve::run(settings, &args),
        Command::Route(args) => route::run(&settings, &args),
        Command::Train(args) => train::run(&settings, *args),
        Command::Eval(args) => eval::run(&settings, *args),
        Command::Onboard(args) => onboard::run(&settings, *args),
        Command::Calibrate(args) => calibrate::run(&settings, *args),
        Command::Export(args) => export::run(&settings, &args),
        Command::Bundle(command) => bundle::run(&settings, command),
        Command::Catalog => catalog::run(&settings),
        Command::Doctor { json } => doctor::run(&settings, json),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            let wrong = error.downcast_ref::<crate::config::error::ConfigErrors>().is_some();
            ExitCode::from(if wrong { WRONG_SETTINGS } else { 1 })
        }
    }
}

/// The directory of a bundle: the one named, or the one that serves.
fn bundle_at(config: &Config, name: Option<&str>) -> anyhow::Result<std::path::PathBuf> {
    let shelf = crate::model::shelf::Shelf::new(&config.model.dir);
    Ok(name.map_or_else(|| shelf.current(), |name| Ok(shelf.resolve(name)))?)
}

/// Where the settings of this run come from.
#[derive(Clone, Debug)]
struct Settings {
    file: Option<std::path::PathBuf>,
    overrides: Vec<(String, String)>,
}

impl Settings {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    fn load(&self, secrets: Secrets) -> anyhow::Result<Config> {
        let directory = std::env::current_dir().context("the current directory cannot be read")?;
        let environment = Environment::of_process();
        let sources = Sources {
            file: self.file.as_deref(),
            directory: &directory,
            environment: &environment,
            overrides: &self.overrides,
            secrets,
        };
        Ok(load(&sources)?)
    }
}
