//! The words of the product and the decision itself.
//!
//! Everything here is pure: no clock, no randomness, no files, no network and no runtime. Time and
//! draws arrive as arguments, so that every law can be a test. This room imports none of ours.

pub mod api;
pub mod baseline;
pub mod cache;
pub mod calibration;
pub mod candidate;
pub mod check;
pub mod decide;
pub mod deferred;
pub mod drift;
pub mod embedding;
pub mod estimate;
pub mod explain;
pub mod familiarity;
pub mod feedback;
pub mod ids;
pub mod language;
pub mod look;
pub mod money;
pub mod neighbour;
pub mod operating;
pub mod outcome;
pub mod policy;
pub mod probability;
pub mod prompt;
pub mod provider;
pub mod recovery;
pub mod resilience;
pub mod scores;
pub mod signals;
pub mod steps;
pub mod task;
pub mod time;
pub mod timeouts;
pub mod unknown;
pub mod utility;
