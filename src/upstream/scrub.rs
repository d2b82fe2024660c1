//! Keeping secrets out of what people read.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

/// Shorter values would be found in ordinary words.
const SHORTEST_SECRET: usize = 6;
const REDACTED: &str = "[redacted]";

/// Replaces the secrets of one upstream wherever it echoes them.
#[derive(Clone, Debug)]
pub(crate) struct Scrubber(Arc<[SecretString]>);

impl Scrubber {
    pub(crate) fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        Self(secrets.into_iter().filter(|secret| secret.expose_secret().len() >= SHORTEST_SECRET).collect())
    }

    pub(crate) fn text(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| {
            let secret = secret.expose_secret();
            if text.contains(secret) { text.replace(secret, REDACTED) } else { text }
        })
    }

    /// The same for bytes, which become valid UTF-8 if anything had to be replaced.
    pub(crate) fn bytes(&self, bytes: Bytes) -> Bytes {
        let echoes = |secret: &SecretString| {
            let secret = secret.expose_secret().as_bytes();
            bytes.windows(secret.len()).any(|window| window == secret)
        };
        if !self.0.iter().any(echoes) {
            return bytes;
        }
        Bytes::from(self.text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_every_secret_in_text_and_bytes() {
        let scrubber = Scrubber::new(["sk-canary-1", "sk-canary-2", "ab"].map(SecretString::from));

        assert_eq!(scrubber.text("x sk-canary-1 sk-canary-2 ab".to_owned()), "x [redacted] [redacted] ab");
        assert_eq!(scrubber.bytes(Bytes::from_static(b"sk-canary-1")), "[redacted]");
        assert_eq!(format!("{scrubber:?}").find("canary"), None);
    }
}
