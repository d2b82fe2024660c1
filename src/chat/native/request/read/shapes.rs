//! What is put into the one shape that every other dialect takes.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};

use crate::chat::native::request::Source;

/// The id of a call with nothing but what every provider takes: letters, digits, `_` and `-`. Calls and their results still match.
pub(super) fn plain_id(id: Cow<'_, str>) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(is_plain) { id } else { id.replace(|c| !is_plain(c), "_").into() }
}

/// The arguments of a call as the object that every other dialect wants. A model may have written something else; that is wrapped, so that
/// the conversation can go on.
pub(super) fn arguments_object(text: &str) -> Box<RawValue> {
    let text = text.trim();
    let given = if text.is_empty() { "{}" } else { text };
    match serde_json::from_str::<Box<RawValue>>(given) {
        Ok(raw) if raw.get().starts_with('{') => raw,
        Ok(_) | Err(_) => {
            let wrapped = std::collections::BTreeMap::from([("invalid_arguments", text)]);
            to_raw_value(&wrapped).unwrap_or_default()
        }
    }
}

/// An address, or the bytes in it where it is a `data:` address in base64.
pub(super) fn source(url: Cow<'_, str>) -> Source<'_> {
    let split = |url: &str| {
        let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
        let media_type = head.strip_suffix(";base64")?;
        let media_type = media_type.split(';').next().unwrap_or_default().to_ascii_lowercase();
        Some((media_type, url.len() - data.len()))
    };
    match (split(&url), url) {
        (None, url) => Source::Url(url),
        (Some((media_type, at)), Cow::Borrowed(url)) => {
            Source::Base64 { media_type, data: Cow::Borrowed(url.get(at..).unwrap_or_default()) }
        }
        (Some((media_type, at)), Cow::Owned(mut url)) => {
            url.drain(..at);
            Source::Base64 { media_type, data: Cow::Owned(url) }
        }
    }
}
