//! The `trimtab` program.

use std::process::ExitCode;

use clap::Parser;
use trimtab::cli::Cli;
use trimtab::commands;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
