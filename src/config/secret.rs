//! Keys and tokens: read from the environment or a file, never printed, never serialised.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::env::Environment;

/// Text that must not leak: visible ASCII without spaces, never empty, so that it always fits a header.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a secret out of text, without the newline that editors and `echo` leave at its end.
    ///
    /// # Errors
    /// When nothing is left, or when something is left that a header cannot carry.
    pub fn new(text: &str) -> Result<Self, BadSecret> {
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(BadSecret::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadSecret::NotVisible);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Takes the value of a header, where spaces and tabs between words are allowed. `None` if a header cannot carry it.
    #[must_use]
    pub fn header(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'));
        fits.then(|| Self(SecretString::from(text)))
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    /// When the variable is not set, or as [`Secret::new`].
    pub fn from_env(variable: &str, environment: &Environment) -> Result<Self, BadSecret> {
        environment.get(variable).ok_or_else(|| BadSecret::NotSet(variable.to_owned())).and_then(Self::new)
    }

    /// Reads a secret from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Secret::new`].
    pub fn from_file(path: &Path) -> Result<Self, BadSecret> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadSecret::Unreadable(path.display().to_string(), error.kind().to_string()))?;
        Self::new(&text)
    }

    /// The text. For the moment it is sent and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether this is what someone presented. Takes the same time wherever the two differ, and whatever their lengths.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        digest(self.expose()).ct_eq(&digest(presented)).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why there is no secret where one was named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// The environment variable does not exist.
    #[error("the environment variable `{0}` is not set")]
    NotSet(String),
    /// The file is missing or may not be read.
    #[error("the file `{0}` cannot be read ({1})")]
    Unreadable(String, String),
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// There is a space, a control character or a letter beyond ASCII in it.
    #[error("the secret holds characters that a header cannot carry")]
    NotVisible,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_never_printed() {
        let secret = Secret::new("sk-very-secret").expect("a secret");

        assert_eq!(format!("{secret:?}"), "[secret]");
    }

    #[test]
    fn secret_loses_only_the_newline_at_its_end() {
        for text in ["sk-1", "sk-1\n", "sk-1\r\n"] {
            assert_eq!(Secret::new(text).expect("a secret").expose(), "sk-1");
        }
        assert_eq!(Secret::new("sk 1").err(), Some(BadSecret::NotVisible));
        assert_eq!(Secret::new("\n").err(), Some(BadSecret::Empty));
    }

    #[test]
    fn secret_matches_itself_alone() {
        let secret = Secret::new("sk-1").expect("a secret");

        assert!(secret.matches("sk-1"));
        for other in ["", "sk-", "sk-2", "sk-11"] {
            assert!(!secret.matches(other), "{other}");
        }
    }
}
