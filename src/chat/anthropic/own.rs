//! The request of a client of the same dialect, in its own words.

mod systems;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::anthropic::claude::Thinking;
use crate::chat::anthropic::request::MAX_TOKENS;
use crate::chat::anthropic::{PROVIDER, claude};
use crate::chat::native::request::Asked;
use crate::chat::native::thoughts::object;
use crate::chat::native::{Untranslatable, to_bytes};
use crate::chat::openai::Fields;

/// The request with the upstream's name of the model. All else goes as it came, in its order, but for what the model that was chosen is known
/// to refuse: how it is to think, what of sampling it takes, and what the system says in the middle is said in words that it knows, since the
/// client may not know who answers.
///
/// # Errors
/// To insist on the call of a tool where the model takes no such word.
pub(super) fn request(asked: &Asked<'_>, own: &RawValue) -> Result<Bytes, Untranslatable> {
    claude::may_insist(asked, PROVIDER)?;
    let wrong = |_| Untranslatable::Wrong { field: "body".to_owned(), expected: "a JSON object" };
    let Fields(fields) = serde_json::from_str(own.get()).map_err(wrong)?;
    // An effort alone makes no model think that was not told to.
    let thinking = if asked.thinking.is_some() { claude::thinking(asked) } else { Thinking::default() };
    let sampling = claude::sampling(asked, &thinking);
    let may_not_think = !thinking.thinks && asked.thinking.is_some_and(|wish| !claude::is_off(wish));
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, raw)| *raw);
    let has = |wanted: &str| field(wanted).is_some();
    let moves = !claude::takes_system_messages(&asked.model);
    let moved = field("messages").filter(|_| moves).and_then(|list| systems::hoisted(field("system"), list));
    let json = |value: &str| Cow::Owned(String::from_utf8_lossy(&to_bytes(&value)).into_owned());
    let mut told: Vec<(&str, Cow<'_, str>)> = vec![("model", json(&asked.model))];
    for (name, raw) in &fields {
        let as_it_came = Some(Cow::Borrowed(raw.get()));
        let said = match name.as_str() {
            "system" if moved.is_some() => None,
            "messages" if moved.is_some() => moved.as_ref().map(|(_, messages)| Cow::Borrowed(messages.as_str())),
            "thinking" => thinking.raw.as_deref().map(|raw| Cow::Borrowed(raw.get())),
            "temperature" => as_it_came.filter(|_| sampling.temperature.is_some()),
            "top_p" => as_it_came.filter(|_| sampling.top_p.is_some()),
            "top_k" => as_it_came.filter(|_| sampling.top_k.is_some()),
            // What it says may be about thoughts, and is refused without any.
            "context_management" if may_not_think => None,
            "output_config" if !claude::knows_efforts(&asked.model) => without_effort(raw),
            _ => as_it_came,
        };
        told.extend(said.map(|said| (name.as_str(), said)));
    }
    told.extend(moved.as_ref().map(|(system, _)| ("system", Cow::Borrowed(system.as_str()))));
    // A budget that the model does not know has become an effort.
    if let (true, false, Some(effort)) = (has("thinking"), has("output_config"), thinking.effort) {
        told.push(("output_config", Cow::Owned(format!(r#"{{"effort":"{effort}"}}"#))));
    }
    if !has("max_tokens") {
        told.push(("max_tokens", Cow::Owned(MAX_TOKENS.saturating_add(thinking.room).to_string())));
    }
    if asked.stream {
        told.push(("stream", Cow::Borrowed("true")));
    }
    Ok(Bytes::from(object(told.iter().map(|(name, raw)| (*name, raw.as_ref())))))
}

/// How the answer is to be, without how hard to think. `None` where nothing else is said.
fn without_effort(config: &RawValue) -> Option<Cow<'_, str>> {
    let Ok(Fields(fields)) = serde_json::from_str::<Fields<'_>>(config.get()) else { return Some(config.get().into()) };
    let rest = fields.iter().filter(|(name, _)| name != "effort").map(|(name, raw)| (name.as_str(), raw.get()));
    let rest: Vec<_> = rest.collect();
    let told = (!rest.is_empty()).then(|| String::from_utf8(object(rest.into_iter())).ok());
    told.flatten().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
