//! Names and identifiers, one type each so that none is passed where another is meant.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// A model as callers and upstreams name it, for example `gpt-4o-mini`.
    ModelName
}
name_type! {
    /// An ordered class of models, for example `small`.
    TierId
}
name_type! {
    /// A configured provider connection, for example `openai`.
    UpstreamId
}
name_type! {
    /// An account at a provider, which alone can read what its models encrypted: letters, digits, `-` and `_`.
    AccountId
}
name_type! {
    /// A named set of decision rules, reachable as `auto:<policy>`.
    PolicyName
}
name_type! {
    /// One immutable bundle directory, for example `2026-11-21T0300Z-7f3a`.
    BundleId
}
name_type! {
    /// Who called: the name of a caller key, or `local` where no keys are configured.
    CallerId
}
name_type! {
    /// One labelled prompt of the neighbour index.
    ItemId
}

impl AccountId {
    /// The longest name.
    const LONGEST: usize = 64;

    /// Reads a name: 1 to 64 letters, digits, `-` and `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(is_plain);
        is_name.then(|| text.into())
    }
}

/// Identifies one decision for ever; time-ordered, printed as `dec_` and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(u128);

impl DecisionId {
    /// Wraps 128 bits that the caller made unique (a UUID version 7 at the edge).
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits, for storage.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Reads the printed form. `None` for anything else, whatever its length.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        bits(text.strip_prefix("dec_")?).map(Self)
    }
}

/// Reads 32 hexadecimal digits and nothing else.
fn bits(digits: &str) -> Option<u128> {
    let hexadecimal = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal { u128::from_str_radix(digits, 16).ok() } else { None }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dec_{:032x}", self.0)
    }
}

impl Serialize for DecisionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected `dec_` and 32 hexadecimal digits"))
    }
}

/// Refers to a request that waits for its answer: the digits of its first decision, printed as `dfr_` and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeferredId(u128);

impl DeferredId {
    /// The reference of the request that this was decided for.
    #[must_use]
    pub const fn of(decision: DecisionId) -> Self {
        Self(decision.0)
    }

    /// Reads the printed form. `None` for anything else, whatever its length.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        bits(text.strip_prefix("dfr_")?).map(Self)
    }
}

impl fmt::Display for DeferredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dfr_{:032x}", self.0)
    }
}

impl Serialize for DeferredId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_id_survives_printing_and_reading() {
        let id = DecisionId::from_u128(0x0193_5f00_dead_beef);

        assert_eq!(DecisionId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn decision_id_refuses_foreign_text() {
        for text in ["", "dec_", "dec_zz", "0193", "dec_+1935f00deadbeef00000000000000000", "dec_é"] {
            assert_eq!(DecisionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_reference_has_the_digits_of_its_decision_and_is_no_decision() {
        let decision = DecisionId::from_u128(0xbeef);
        let reference = DeferredId::of(decision).to_string();

        assert_eq!(reference.strip_prefix("dfr_"), decision.to_string().strip_prefix("dec_"));
        assert_eq!(DeferredId::parse(&reference), Some(DeferredId::of(decision)));
        assert_eq!((DeferredId::parse(&decision.to_string()), DecisionId::parse(&reference)), (None, None));
    }
}
