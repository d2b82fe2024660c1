//! Offline work: datasets, fitting, calibration, evaluation and publishing of bundles. Imports `domain`, `model` and `store::export`.
//!
//! Two entries: [`build::train`] makes a bundle from outcomes, task labels and feedback, and
//! [`evaluate::eval`] measures one with the code that serves. Nothing here prints: a [`progress::Progress`]
//! hears how far the work is.

pub mod adapt;
pub mod base;
pub mod baseline;
pub mod build;
pub mod calibrate;
mod clock;
pub mod contest;
pub mod dataset;
pub(crate) mod derive;
pub mod dial;
pub mod directions;
pub mod embed;
pub mod error;
pub mod evaluate;
mod extra;
pub mod features;
pub mod feedback;
pub mod fit;
pub mod gates;
pub mod golden;
pub mod held_out;
pub mod index_build;
pub mod influence;
pub mod labels;
pub mod metrics;
pub mod moved;
pub mod near;
pub mod onboard;
pub mod onnx;
pub mod operating;
pub mod outcomes;
pub mod progress;
pub mod publish;
pub mod report;
mod retrain;
mod rows;
pub mod scorer;
mod second;
pub mod split;
mod table;
pub mod tasks;
pub mod texts;
pub mod tiers;
pub mod traffic;

#[cfg(test)]
pub(crate) mod testing;
