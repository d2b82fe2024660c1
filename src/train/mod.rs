//! Offline work: datasets, fitting, calibration, evaluation and publishing of bundles. Imports `domain`, `model` and `store::export`.
//!
//! Two entries: [`build::train`] makes a bundle from outcomes, task labels and feedback, and
//! [`evaluate::eval`] measures one with the code that serves. Nothing here prints: a [`progress::Progress`]
//! hears how far the work is.

pub mod adapt;
pub mod base;
pub mod build;
pub mod calibrate;
mod clock;
pub mod dataset;
pub mod embed;
pub mod error;
pub mod evaluate;
pub mod features;
pub mod feedback;
pub mod fit;
pub mod golden;
pub mod graph;
pub mod held_out;
pub mod index_build;
pub mod labels;
pub mod metrics;
pub mod near;
pub mod onnx;
pub mod outcomes;
pub mod progress;
pub mod publish;
pub mod report;
pub mod scorer;
pub mod split;
mod table;
pub mod tasks;
pub mod tiers;
