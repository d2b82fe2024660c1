//! The `trimtab` program.

use std::process::ExitCode;

use clap::Parser;
use trimtab::cli::Cli;
use trimtab::commands;

/// A request allocates some hundreds of small pieces. With this allocator the same machine makes a tenth more decisions a second over HTTP, for
/// 30 MB more of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}
