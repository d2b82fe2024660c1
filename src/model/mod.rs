//! The learned part: bundles, encoders, heads, the neighbour index and the generations that serve.
//!
//! A *bundle* is a directory on disk; a *generation* is a bundle that was verified, loaded and warmed and can score. Preparing a
//! generation may fail in many ways, activating one cannot. This room imports `domain` and nothing else of ours. Only `session`,
//! `encoder` and `heads` run ONNX graphs, and only `index::build` names the crate that builds the neighbour graph.

pub mod batch;
pub(crate) mod blend;
pub mod bundle;
pub mod embedder;
pub mod encoder;
pub mod engine;
pub mod error;
pub(crate) mod fast;
pub(crate) mod files;
pub mod generation;
pub mod heads;
pub mod index;
pub mod manifest;
pub(crate) mod onnx;
pub mod publish;
pub mod queue;
pub mod registry;
pub mod runtime;
pub mod session;
pub mod shelf;
pub mod tokenize;
pub mod verdict;
pub mod watch;

#[cfg(test)]
pub(crate) mod testing;

pub use files::digest_of;
