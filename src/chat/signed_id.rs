//! Ids of tool calls that carry the signature of the thought behind the call.
//!
//! Gemini signs its calls, and thinks on only where it sees its signature again. Messages and Responses have no field for it that clients
//! send back, but the id of a call comes back with the call and with its result. No upstream ever sees such an id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Stands between the id and the signature. Together they are letters, digits, `_` and `-`, as ids of Messages must be.
const MARK: &str = "__thought__";

/// An id that carries a signature.
pub(crate) fn join(id: &str, signature: &str) -> String {
    format!("{id}{MARK}{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The id without what it carries, and the signature. An id that carries none is left as it is.
pub(crate) fn split(id: &str) -> (&str, Option<String>) {
    let found = id.rsplit_once(MARK).and_then(|(id, carried)| {
        let signature = String::from_utf8(URL_SAFE_NO_PAD.decode(carried).ok()?).ok()?;
        Some((id, signature)).filter(|(_, signature)| !signature.is_empty())
    });
    found.map_or((id, None), |(id, signature)| (id, Some(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_id_carries_comes_back_whatever_it_is() {
        for signature in ["c2ln", "a+/b==", "é \u{1F600}", "__thought__"] {
            let id = join("call_1", signature);

            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'), "{id}");
            assert_eq!(split(&id), ("call_1", Some(signature.to_owned())));
        }
    }

    #[test]
    fn other_ids_are_left_alone() {
        for id in ["", "call_1", "__thought__", "call__thought__", "call__thought__?", "call__thought___w"] {
            assert_eq!(split(id), (id, None));
        }
    }
}
