//! Talking to providers: clients, classification, retries, dispatch and the relay of bodies. Imports `domain` and `chat`.
//!
//! Start at [`dispatch::dispatch`]: it tries targets in order until one answers. The first token is the commit point: before it a failure
//! is retried or falls back, after it never.

mod attempt;
pub mod books;
pub mod classify;
pub mod client;
pub mod dialect;
pub mod dispatch;
pub mod relay;
pub mod retry;
mod scrub;
pub mod sign;
mod source;
mod tap;
pub mod transport;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
