//! One line of the table.

use std::fmt;

/// What a figure must be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
    /// Told for comparison.
    None,
}

/// A measure with its bar.
pub(crate) struct Row {
    pub(crate) measure: String,
    pub(crate) bar: Bar,
    pub(crate) value: f64,
    /// The interval or spread, in words.
    pub(crate) spread: String,
    pub(crate) note: String,
}

impl Row {
    /// Whether the bar is met; nothing where there is none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.bar {
            Bar::AtLeast(bar) => Some(self.value >= bar),
            Bar::AtMost(bar) => Some(self.value <= bar),
            Bar::None => None,
        }
    }

    /// A figure that was measured once per seed.
    pub(crate) fn over_seeds(measure: impl Into<String>, bar: Bar, values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let spread = format!("± {deviation:.3} ({low:.3} to {high:.3}, {} seeds)", values.len());
        Self { measure: measure.into(), bar, value: mean, spread, note: String::new() }
    }

    /// The same with a remark.
    pub(crate) fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// The line above the rows.
pub(crate) fn head() -> String {
    format!("{:<58} {:>8}  {:>7}  {:<42} {:<8} {}", "measure", "bar", "figure", "interval or spread", "", "note")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bar = match self.bar {
            Bar::AtLeast(bar) => format!("≥ {bar}"),
            Bar::AtMost(bar) => format!("≤ {bar}"),
            Bar::None => String::new(),
        };
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        let value = if self.value >= 10.0 { format!("{:.1}", self.value) } else { format!("{:.3}", self.value) };
        write!(f, "{:<58} {bar:>8}  {value:>7}  {:<42} {met:<8} {}", self.measure, self.spread, self.note)
    }
}
