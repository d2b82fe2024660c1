//! Who is calling.

use std::borrow::Cow;

use axum::extract::Query;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::domain::ids::CallerId;
use crate::http::error::{ApiError, Kind};

/// How the paths of Google's API begin.
pub(super) const GOOGLES: &str = "/v1beta/";
/// How those of its calls begin in the version that is no beta.
pub(super) const GOOGLES_STABLE: &str = "/v1/models/";

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

    /// Tells the caller by the `authorization: Bearer`, `x-api-key` or `x-goog-api-key` header, and under Google's paths by the `key` of the
    /// address, where older clients of Google's put it.
    ///
    /// Compares digests in constant time and always compares with every key, so that time tells nothing.
    ///
    /// # Errors
    /// A missing or unknown key. The message never repeats it.
    pub fn caller(&self, headers: &HeaderMap, uri: &Uri) -> Result<CallerId, ApiError> {
        if self.keys.is_empty() {
            return Ok(self.local.clone());
        }
        let Some(given) = presented(headers).map(Cow::Borrowed).or_else(|| in_address(uri).map(Cow::Owned)) else {
            let message = "no API key was given; send a configured key as `authorization: Bearer <key>`, `x-api-key` or \
                           `x-goog-api-key`";
            return Err(ApiError::new(Kind::InvalidApiKey, message));
        };
        let given = digest(&given);
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
    let named = |name| headers.get(name).and_then(|value| value.to_str().ok());
    bearer.or_else(|| named("x-api-key")).or_else(|| named("x-goog-api-key"))
}

/// Anywhere else a key in the address is not read: addresses are written to logs.
fn in_address(uri: &Uri) -> Option<String> {
    #[derive(Deserialize)]
    struct Options {
        key: Option<String>,
    }
    let is_googles = [GOOGLES, GOOGLES_STABLE].iter().any(|begin| uri.path().starts_with(begin));
    let Query(Options { key }) = Query::try_from_uri(uri).ok().filter(|_| is_googles)?;
    key
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

    fn caller(headers: &HeaderMap) -> Result<CallerId, ApiError> {
        keys().caller(headers, &Uri::from_static("/v1/models"))
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        [(axum::http::HeaderName::from_static(name), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn tells_callers_apart() {
        assert_eq!(caller(&headers("authorization", "Bearer b-key")).unwrap().as_str(), "bob");
        for name in ["x-api-key", "x-goog-api-key"] {
            assert_eq!(caller(&headers(name, "a-key")).unwrap().as_str(), "alice");
        }
    }

    #[test]
    fn a_key_in_the_address_is_read_under_googles_paths_alone() {
        let by = |uri: &'static str| keys().caller(&HeaderMap::new(), &Uri::from_static(uri));
        for uri in ["/v1beta/models/auto:generateContent?alt=sse&key=%61-key", "/v1/models/auto:countTokens?key=a-key"]
        {
            assert_eq!(by(uri).unwrap().as_str(), "alice");
        }
        for uri in
            ["/v1/models?key=a-key", "/v1beta/models?key=wrong", "/v1beta/models?alt=a-key", "/v1beta/models?key"]
        {
            assert!(by(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn refuses_wrong_and_missing_keys_without_repeating_them() {
        for headers in
            [headers("authorization", "Bearer wrong-canary"), headers("authorization", "Basic a-key"), HeaderMap::new()]
        {
            let error = caller(&headers).unwrap_err();

            assert_eq!(error.kind(), Kind::InvalidApiKey);
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn everyone_is_local_without_keys() {
        assert_eq!(Keys::new([]).caller(&HeaderMap::new(), &Uri::from_static("/")).unwrap().as_str(), "local");
    }
}
