//! What the benchmarks of the gateway share: an upstream, a load generator and a server.

#![allow(dead_code, reason = "each benchmark uses a part")]

pub(crate) mod delays;
pub(crate) mod load;
pub(crate) mod mock;
pub(crate) mod prompts;
pub(crate) mod server;
