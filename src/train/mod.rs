//! Offline work: datasets, fitting, calibration, evaluation and publishing of bundles. Imports `domain`, `model` and `store::export`.
//!
//! Two entries: `publish::train` makes a bundle from outcomes, task labels and feedback, and
//! `evaluate::eval` measures one with the code that serves. Nothing here prints: a [`progress::Progress`]
//! hears how far the work is.

pub mod error;
pub mod features;
pub mod fit;
pub mod graph;
pub mod labels;
pub mod metrics;
pub mod onnx;
pub mod outcomes;
pub mod progress;
mod table;
pub mod tasks;
pub mod tiers;
