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
mod caches;
mod calibration;
mod chat_completions;
mod choice;
mod clients;
mod commands;
#[cfg(target_os = "linux")]
mod cut_short;
mod decision_cache;
mod deferred;
mod degraded;
mod dialects;
mod drift;
mod drills;
mod escalation;
mod evaluation;
mod failures;
mod fault_matrix;
mod feedback;
mod feedback_loop;
mod google;
mod health;
mod legacy;
mod losses;
mod providers;
mod recovery;
mod robustness;
mod route;
mod sample_data;
mod sessions;
mod support;
mod tls;
mod tries;
