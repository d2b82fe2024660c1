//! Writes infinite thresholds as text, since JSON has no number for them.

use serde::{Deserialize, Deserializer, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Extended {
    Number(f64),
    Word(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde decides the signature")]
pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.collect_str(value) }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Extended::deserialize(deserializer)? {
        Extended::Number(number) => Ok(number),
        Extended::Word(word) => word.parse().map_err(serde::de::Error::custom),
    }
}
