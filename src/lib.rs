//! Trimtab: a small model that steers large ones.
//!
//! Start reading at [`pipeline`], the line that every request walks. `ARCHITECTURE.md` has the map.

pub mod cache;
pub mod catalog;
pub mod chat;
pub mod cli;
pub mod commands;
pub mod config;
pub mod deferred;
pub mod demo;
pub mod doctor;
pub mod domain;
pub mod drift;
pub mod drills;
pub mod http;
pub mod learn;
pub mod model;
pub mod pipeline;
pub mod records;
pub mod retrain;
pub mod serve;
pub mod sessions;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod train;
pub mod upstream;
pub mod view;
