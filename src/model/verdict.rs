//! What the gates said of a bundle when it was made.

use serde::{Deserialize, Serialize};

use crate::model::bundle::Bundle;
use crate::model::error::PrepareError;

/// The report of the training that made a bundle.
pub const REPORT_FILE: &str = "report.json";

/// One gate, as the report tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// What was asked.
    pub name: String,
    /// Whether it was met.
    pub passed: bool,
    /// The figures.
    pub detail: String,
}

/// The gates that a bundle failed. None for a bundle without a report, which was not made by training.
///
/// # Errors
/// A report that is listed and cannot be read.
pub fn failed_gates(bundle: &Bundle) -> Result<Vec<GateResult>, PrepareError> {
    #[derive(Deserialize)]
    struct Report {
        #[serde(default)]
        gates: Vec<GateResult>,
    }
    if !bundle.manifest().files.iter().any(|file| file.path == REPORT_FILE) {
        return Ok(Vec::new());
    }
    let Report { gates } = bundle.read_json(REPORT_FILE)?;
    Ok(gates.into_iter().filter(|gate| !gate.passed).collect())
}
