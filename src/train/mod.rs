//! Offline work: datasets, fitting, calibration, evaluation and publishing of bundles. Imports `domain`, `model` and `store::export`.
