//! What can be wrong with a configuration, all of it at once.

use std::fmt;

/// One problem: where it is, what it is and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, for example `tiers[1].models[0].price.input`, or the file that could not be read.
    pub path: String,
    /// What is wrong. Never holds the value of a secret.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.problem, self.fix)
    }
}

/// Every problem of a configuration, sorted by path. Never empty.
///
/// Printed, it takes two lines a problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem")?,
            count => write!(f, "the configuration has {count} problems")?,
        }
        for error in &self.0 {
            write!(f, "\n  {}: {}\n      {}", error.path, error.problem, error.fix)?;
        }
        Ok(())
    }
}
