//! Trimtab from outside: HTTP, the command line, and the official clients.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod architecture;
mod bad_input;
mod bundles;
mod chat_completions;
mod clients;
mod commands;
mod evaluation;
mod failures;
mod feedback;
mod feedback_loop;
mod health;
mod route;
mod support;
