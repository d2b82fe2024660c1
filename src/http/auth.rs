//! Who is calling.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::domain::ids::CallerId;
use crate::http::error::{ApiError, Kind};

/// The keys that callers may use. Only digests are kept.
pub struct Keys {
    keys: Vec<(CallerId, [u8; 32])>,
    local: CallerId,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} configured)", self.keys.len())
    }
}

impl Keys {
    /// Takes the configured keys. Without any, every caller is `local`, which the configuration allows on loopback only.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = (CallerId, SecretString)>) -> Self {
        let keys = keys.into_iter().map(|(caller, key)| (caller, digest(key.expose_secret()))).collect();
        Self { keys, local: CallerId::from("local") }
    }

    /// Tells the caller by the `authorization: Bearer` or `x-api-key` header.
    ///
    /// Compares digests in constant time and always compares with every key, so that time tells nothing.
    ///
    /// # Errors
    /// A missing or unknown key. The message never repeats it.
    pub fn caller(&self, headers: &HeaderMap) -> Result<CallerId, ApiError> {
        if self.keys.is_empty() {
            return Ok(self.local.clone());
        }
        let Some(given) = presented(headers) else {
            let message = "no API key was given; send `authorization: Bearer <key>` with a configured key";
            return Err(ApiError::new(Kind::InvalidApiKey, message));
        };
        let given = digest(given);
        let mut found = 0_u64;
        for (position, (_, key)) in (1_u64..).zip(&self.keys) {
            let same: Choice = key.ct_eq(&given);
            found = u64::conditional_select(&found, &position, same);
        }
        let caller = usize::try_from(found).ok().and_then(|position| self.keys.get(position.checked_sub(1)?));
        caller.map(|(caller, _)| caller.clone()).ok_or_else(|| {
            ApiError::new(Kind::InvalidApiKey, "the API key is not a configured one; check the key you send")
        })
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()))
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new([(CallerId::from("alice"), "a-key".into()), (CallerId::from("bob"), "b-key".into())])
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        [(axum::http::HeaderName::from_static(name), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn tells_callers_apart() {
        assert_eq!(keys().caller(&headers("authorization", "Bearer b-key")).unwrap().as_str(), "bob");
        assert_eq!(keys().caller(&headers("x-api-key", "a-key")).unwrap().as_str(), "alice");
    }

    #[test]
    fn refuses_wrong_and_missing_keys_without_repeating_them() {
        for headers in
            [headers("authorization", "Bearer wrong-canary"), headers("authorization", "Basic a-key"), HeaderMap::new()]
        {
            let error = keys().caller(&headers).unwrap_err();

            assert_eq!(error.kind(), Kind::InvalidApiKey);
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn everyone_is_local_without_keys() {
        assert_eq!(Keys::new([]).caller(&HeaderMap::new()).unwrap().as_str(), "local");
    }
}
