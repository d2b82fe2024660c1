//! What proves a thought, in the field that Google's clients keep for it and send back with the thought.
//!
//! The field holds bytes, which clients write in either alphabet of Base64. Signatures of other providers are texts that must come back letter
//! for letter, and so are written as the bytes of those texts, with a mark before them: what Gemini itself has signed has none.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::native::answer::WireThought;

/// Stands before the signature of a thought in words.
const SIGNED: &str = "trimtab:signed:";
/// Stands before the words of a thought that the client did not ask to see, and their signature.
const SEALED: &str = "trimtab:sealed:";
/// Stands before a thought that is encrypted.
const SECRET: &str = "trimtab:secret:";

/// Takes Base64 with padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The field for the signature of a thought in words.
pub(super) fn signed(signature: &str) -> String {
    STANDARD.encode(format!("{SIGNED}{signature}"))
}

/// The field for an encrypted thought.
pub(super) fn secret(data: &str) -> String {
    STANDARD.encode(format!("{SECRET}{data}"))
}

/// A thought that the client did not ask to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) words: String,
    /// Some providers sign nothing and want the words back.
    pub(super) signature: Option<String>,
}

impl Sealed {
    /// The field for it; `None` where there is no thought.
    pub(super) fn field(&self) -> Option<String> {
        let is_empty = self.words.is_empty() && self.signature.is_none();
        let json = serde_json::to_string(self).ok().filter(|_| !is_empty)?;
        Some(STANDARD.encode(format!("{SEALED}{json}")))
    }
}

/// What a field holds that came back with a thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Signature(String),
    Sealed(Sealed),
    Secret(String),
}

impl Proof {
    /// Reads a field; `None` for what was not written here.
    pub(super) fn read(field: &str) -> Option<Self> {
        let text = String::from_utf8(LENIENT.decode(standard(field)).ok()?).ok()?;
        if let Some(json) = text.strip_prefix(SEALED) {
            return serde_json::from_str(json).ok().map(Self::Sealed);
        }
        let signature = text.strip_prefix(SIGNED).map(|signature| Self::Signature(signature.to_owned()));
        signature.or_else(|| text.strip_prefix(SECRET).map(|data| Self::Secret(data.to_owned())))
    }

    /// The thought, whose words are these if it does not bring its own, as its provider wants to see it again; `None` where that wants none.
    pub(super) fn thought(&self, words: &str) -> Option<Box<RawValue>> {
        match self {
            Self::Signature(signature) => Some(WireThought::signed(words, signature).to_raw()),
            Self::Sealed(Sealed { words, signature }) => {
                signature.as_ref().map(|signature| WireThought::signed(words, signature).to_raw())
            }
            Self::Secret(data) => Some(WireThought::redacted(data).to_raw()),
        }
    }
}

/// Base64 of either alphabet in the standard one, which is the only one that every provider takes.
pub(super) fn standard(data: &str) -> String {
    let mut data = data.replace('-', "+").replace('_', "/");
    let missing = data.len().wrapping_neg() % 4;
    if missing < 3 {
        data.extend(std::iter::repeat_n('=', missing));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_in_either_alphabet() {
        for text in ["c2ln", "openai:a+/=", "é \u{1F600}", ""] {
            let sealed = Sealed { words: text.to_owned(), signature: Some(text.to_owned()) };
            for (field, proof) in [
                (signed(text), Proof::Signature(text.to_owned())),
                (secret(text), Proof::Secret(text.to_owned())),
                (sealed.field().unwrap(), Proof::Sealed(sealed)),
            ] {
                let other = field.replace('+', "-").replace('/', "_");

                assert_eq!(Proof::read(&field), Some(proof.clone()));
                assert_eq!(Proof::read(other.trim_end_matches('=')), Some(proof));
            }
        }
    }

    #[test]
    fn what_was_not_written_here_is_nothing() {
        for field in ["", "c2ln", "?", "dHJpbXRhYg=="] {
            assert_eq!(Proof::read(field), None);
        }
    }

    #[test]
    fn no_thought_has_no_field() {
        assert_eq!(Sealed::default().field(), None);
        assert!(Sealed { words: "Hm.".to_owned(), signature: None }.field().is_some());
    }

    #[test]
    fn data_is_told_in_the_standard_alphabet() {
        assert_eq!(standard("-_8"), "+/8=");
        assert_eq!(standard("AAAA"), "AAAA");
        assert_eq!(standard("AA"), "AA==");
    }
}
