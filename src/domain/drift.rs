//! Whether traffic and verdicts have moved away from what a bundle was calibrated on: pure statistics.

mod report;
mod stability;
mod tally;
mod verdicts;

pub use report::{Change, DriftReport, FeedbackReport, Level, Levels, Moved, Observed, ReferenceKind, State};
pub use stability::{SHIFTED, WATCH, chance, psi};
pub use tally::{Dimension, PLACES, Sighting, Tally};
pub use verdicts::{Calibration, Escalation, Judged, MOST_VERDICTS, Verdicts};

#[cfg(test)]
mod tests;
