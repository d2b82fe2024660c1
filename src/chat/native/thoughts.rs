//! Thoughts of earlier turns, as providers of OpenAI's dialect want them: not at all, or every one.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::openai::{Fields, push_json};

/// Where Google's signature of a thought stands in a call, as the answer gave it to the client.
const SIGNED: &str = "extra_content";

/// The messages without these fields of the assistant's, and without signatures in its calls. `None` where they hold none of them.
pub(in crate::chat) fn without(messages: &RawValue, refused: &[&str]) -> Option<String> {
    let text = messages.get();
    let may_hold = |field: &&str| text.contains(&format!("\"{field}\""));
    if !refused.iter().chain(&[SIGNED]).any(may_hold) {
        return None;
    }
    let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let told: Vec<Option<String>> = list.iter().map(|raw| message(raw, refused)).collect();
    told.iter().any(Option::is_some).then(|| joined(&list, told))
}

/// Plain messages with the `reasoning_content` that the same ones have among those kept for translations. `None` where none has any.
pub(in crate::chat) fn with(plain: &RawValue, rich: &RawValue) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Rich<'a> {
        #[serde(borrow)]
        reasoning_content: Option<&'a RawValue>,
    }
    let list: Vec<&RawValue> = serde_json::from_str(plain.get()).ok()?;
    let rich: Vec<Rich<'_>> = serde_json::from_str(rich.get()).ok()?;
    if list.len() != rich.len() {
        return None;
    }
    let spliced = |(raw, rich): (&&RawValue, Rich<'_>)| {
        // Every message has a role, so that a comma is in place.
        let rest = raw.get().strip_prefix('{')?;
        Some(format!("{{\"reasoning_content\":{},{rest}", rich.reasoning_content?))
    };
    let told: Vec<Option<String>> = list.iter().zip(rich).map(spliced).collect();
    let is_told = told.iter().any(Option::is_some);
    is_told.then(|| RawValue::from_string(joined(&list, told)).ok()).flatten()
}

/// A list in which some elements are told anew.
fn joined(list: &[&RawValue], told: Vec<Option<String>>) -> String {
    let one = |(raw, told): (&&RawValue, Option<String>)| told.unwrap_or_else(|| raw.get().to_owned());
    format!("[{}]", list.iter().zip(told).map(one).collect::<Vec<_>>().join(","))
}

/// An object of these fields.
pub(in crate::chat) fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut bytes = vec![b'{'];
    for (at, (name, raw)) in fields.enumerate() {
        if at > 0 {
            bytes.push(b',');
        }
        push_json(&mut bytes, name);
        bytes.push(b':');
        bytes.extend_from_slice(raw.as_bytes());
    }
    bytes.push(b'}');
    bytes
}

fn message(raw: &RawValue, refused: &[&str]) -> Option<String> {
    let Fields(fields) = serde_json::from_str(raw.get()).ok()?;
    if !fields.iter().any(|(name, raw)| name == "role" && raw.get() == "\"assistant\"") {
        return None;
    }
    let calls = fields.iter().find(|(name, _)| name == "tool_calls").and_then(|(_, raw)| unsigned(raw));
    let is_refused = |name: &str| refused.contains(&name);
    if calls.is_none() && !fields.iter().any(|(name, _)| is_refused(name)) {
        return None;
    }
    let told = |name: &str, raw: &'_ RawValue| match (name, &calls) {
        ("tool_calls", Some(calls)) => calls.clone(),
        _ => raw.get().to_owned(),
    };
    let kept: Vec<(&str, String)> = fields
        .iter()
        .filter(|(name, _)| !is_refused(name))
        .map(|(name, raw)| (name.as_str(), told(name, raw)))
        .collect();
    String::from_utf8(object(kept.iter().map(|(name, raw)| (*name, raw.as_str())))).ok()
}

/// Calls without signatures. `None` where none has one.
fn unsigned(calls: &RawValue) -> Option<String> {
    let list: Vec<&RawValue> = serde_json::from_str(calls.get()).ok()?;
    let one = |raw: &&RawValue| {
        let Fields(fields) = serde_json::from_str(raw.get()).ok()?;
        let is_signed = fields.iter().any(|(name, _)| name == SIGNED);
        let kept = fields.iter().filter(|(name, _)| name != SIGNED).map(|(name, raw)| (name.as_str(), raw.get()));
        is_signed.then(|| String::from_utf8(object(kept)).ok()).flatten()
    };
    let told: Vec<Option<String>> = list.iter().map(one).collect();
    told.iter().any(Option::is_some).then(|| joined(&list, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn takes_thoughts_from_the_assistant_alone_and_keeps_every_other_byte() {
        let messages = raw(
            r#"[{"role":"user","content":"a \"reasoning_content\" b","reasoning_content":"mine"}, {"role":"assistant","content":[ 1e400 ],"reasoning_content":"Hm.","tool_calls":[{"id":"a","extra_content":{"google":{}},"function":{ "name":"x" }},{"id":"b"}]},{ "role":"assistant", "content":"y" }]"#,
        );

        let told = without(&messages, &["reasoning_content", "thinking_blocks"]).unwrap();

        assert_eq!(
            told,
            r#"[{"role":"user","content":"a \"reasoning_content\" b","reasoning_content":"mine"},{"role":"assistant","content":[ 1e400 ],"tool_calls":[{"id":"a","function":{ "name":"x" }},{"id":"b"}]},{ "role":"assistant", "content":"y" }]"#
        );
    }

    #[test]
    fn what_holds_no_thoughts_or_is_no_list_of_messages_stays_as_it_is() {
        for messages in [
            r#"[{"role":"assistant","content":"x"}]"#,
            r#"[{"role":"user","reasoning_content":"x"}]"#,
            r#""reasoning_content""#,
            r#"[7,{"role":"assistant","tool_calls":{"extra_content":1}},"extra_content"]"#,
        ] {
            assert_eq!(without(&raw(messages), &["reasoning_content"]), None, "{messages}");
        }
    }

    #[test]
    fn gives_plain_messages_the_thoughts_of_the_same_ones() {
        let plain = raw(r#"[{"role":"user","content":"x"},{"role":"assistant","content":null}]"#);
        let rich = raw(
            r#"[{"role":"user","content":[]},{"role":"assistant","content":null,"reasoning_content":"a\nb","thinking_blocks":[{}]}]"#,
        );

        let told = with(&plain, &rich).unwrap();

        assert_eq!(
            told.get(),
            r#"[{"role":"user","content":"x"},{"reasoning_content":"a\nb","role":"assistant","content":null}]"#
        );
        assert!(with(&plain, &plain).is_none());
        assert!(with(&plain, &raw("[]")).is_none());
    }
}
