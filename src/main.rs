//! The `trimtab` program.

use std::process::ExitCode;

use clap::Parser;
use trimtab::cli::Cli;
use trimtab::commands;

/// A request allocates some hundreds of small pieces on one thread and frees a part of them on another, which this allocator does in half the
/// time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
