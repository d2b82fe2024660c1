//! Talking to providers: clients, classification, retries, dispatch and the relay of bodies. Imports `domain` and `chat`.
//!
//! Start at [`dispatch::dispatch`]: it tries targets in order until one answers. The first token is the commit point: before it a failure
//! is retried or falls back, after it never. [`balance::Pool`] says which of several places of a model comes first, [`health::Health`] what is
//! known of each.

mod attempt;
pub mod balance;
pub mod books;
pub mod breaker;
pub mod budget;
pub mod classify;
pub mod client;
mod course;
pub mod dialect;
pub mod dispatch;
pub mod escalate;
mod headroom;
pub mod health;
pub mod heavy;
mod hedge;
mod hint;
mod last_words;
pub mod ledger;
pub mod relay;
pub mod retry;
pub mod said;
mod scrub;
pub mod sign;
mod source;
pub mod stalled;
mod tap;
pub mod threads;
pub mod transport;
pub mod verifier;
pub mod wait;

#[cfg(test)]
#[expect(dead_code, reason = "the scripted upstream is shared with the integration tests, which use more of it")]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
