//! System messages in the middle of a conversation, for models that know none there.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The system prompt and the messages of a request, with what the system says in the middle at the end of the prompt. `None` where it says
/// nothing there.
pub(super) fn hoisted(system: Option<&RawValue>, messages: &RawValue) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        role: Cow<'a, str>,
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let list: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let (mut said, mut rest) = (Vec::new(), Vec::new());
    for raw in list {
        match serde_json::from_str::<Message<'_>>(raw.get()) {
            Ok(message) if message.role == "system" => said.push(message.content),
            Ok(_) | Err(_) => rest.push(raw.get()),
        }
    }
    if said.is_empty() {
        return None;
    }
    let blocks: Vec<Cow<'_, str>> = system.into_iter().chain(said).filter_map(blocks).collect();
    Some((format!("[{}]", blocks.join(",")), format!("[{}]", rest.join(","))))
}

/// What stands between the brackets of a list of blocks; `None` where nothing does. A text is a block of its own.
fn blocks(content: &RawValue) -> Option<Cow<'_, str>> {
    match content.get().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => Some(Cow::Borrowed(inner)).filter(|inner| !inner.trim().is_empty()),
        None => Some(Cow::Owned(format!(r#"{{"type":"text","text":{}}}"#, content.get()))),
    }
}
