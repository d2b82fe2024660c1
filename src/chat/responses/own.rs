//! A request in its own words, for an upstream that speaks Responses too: nothing of it is lost on the way there.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::error::ChatError;
use crate::chat::object::{Object, Shape, elements, shape};
use crate::chat::seal::Seal;
use crate::chat::signed_id;
use crate::domain::ids::AccountId;

/// What the translation says too, or what changes no answer.
const KNOWN: [&str; 20] = [
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "moderation",
    "metadata",
    "truncation",
    "client_metadata",
];

/// What is said anew for every upstream, or holds for Trimtab alone. What would need a memory was refused before.
const LEFT: [&str; 10] = [
    "model",
    "stream",
    "stream_options",
    "store",
    "background",
    "trimtab",
    "previous_response_id",
    "conversation",
    "prompt",
    "context_management",
];

/// The fields of a request as sent.
pub(super) struct Own {
    /// Those that the translation says too.
    pub(super) known: Box<RawValue>,
    /// The others, where there are any: they may change an answer.
    pub(super) more: Option<Box<RawValue>>,
    /// Whose encrypted thoughts are among the items, in order.
    pub(super) thinkers: Vec<AccountId>,
}

/// The fields of a request as sent, but for items of the input that another provider would not know.
pub(super) fn own(body: &Object<'_>) -> Result<Own, ChatError> {
    let mut thinkers = Vec::new();
    let input = body.raw("input").map(|raw| input(&body.path_of("input"), raw, &mut thinkers)).transpose()?;
    let (mut known, mut more) = (BTreeMap::new(), BTreeMap::new());
    for (name, raw) in body.fields().filter(|(name, _)| !LEFT.contains(name)) {
        let raw = if name == "input" { input.as_deref().unwrap_or(raw) } else { raw };
        let into = if KNOWN.contains(&name) { &mut known } else { &mut more };
        into.insert(name, raw);
    }
    let more = (!more.is_empty()).then(|| raw(&more)).transpose()?;
    Ok(Own { known: raw(&known)?, more, thinkers })
}

fn input(path: &str, given: &RawValue, thinkers: &mut Vec<AccountId>) -> Result<Box<RawValue>, ChatError> {
    match shape(given) {
        Shape::Text | Shape::Other => Ok(given.to_owned()),
        Shape::List => {
            let items =
                elements(path, given)?.into_iter().map(|(path, raw)| item(&Object::at(path, raw)?, raw, thinkers));
            let items: Vec<Option<Box<RawValue>>> = items.collect::<Result<_, _>>()?;
            raw(&items.into_iter().flatten().collect::<Vec<_>>())
        }
    }
}

/// An item as sent. A thought counts by what is encrypted in it, which is bound to another name than the one that Trimtab gave it; without
/// that it names something that nobody keeps. A call is called as its provider called it.
fn item(
    item: &Object<'_>,
    given: &RawValue,
    thinkers: &mut Vec<AccountId>,
) -> Result<Option<Box<RawValue>>, ChatError> {
    match item.text("type")?.as_deref() {
        Some("reasoning") if item.raw("encrypted_content").is_none() => Ok(None),
        Some("reasoning") => {
            let content = item.text("encrypted_content")?.unwrap_or_default();
            thinkers.extend(Seal::read_content(&content).account);
            raw(&item.fields().filter(|(name, _)| *name != "id").collect::<BTreeMap<_, _>>()).map(Some)
        }
        Some("function_call" | "function_call_output") => {
            let given_id = item.text("call_id")?.unwrap_or_default();
            let (call_id, Some(_)) = signed_id::split(&given_id) else { return Ok(Some(given.to_owned())) };
            let (call_id, mut fields) = (raw(&call_id)?, item.fields().collect::<BTreeMap<_, _>>());
            fields.insert("call_id", &call_id);
            raw(&fields).map(Some)
        }
        Some(_) | None => Ok(Some(given.to_owned())),
    }
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, ChatError> {
    to_raw_value(value).map_err(|error| ChatError::NotJson { problem: error.to_string() })
}
