//! Requests whose answers are to be checked, and what their answers tell. Pure.
//!
//! A checked answer is asked for whole, with what the checks need beside what the client asked for; that is taken out of it again before
//! anybody reads it.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::fitness::Fitness;
use crate::chat::native::OWN_WORDS;
use crate::chat::native::thoughts::object;
use crate::chat::openai::{Fields, MESSAGES};
use crate::domain::check::Evidence;
use crate::domain::probability::Probability;

/// What asks a model how sure it is.
const ASK: &str = "When you have answered, add one last line that says `Confidence: N`, where N is a number from 0 to 100: how likely it is \
                   that your answer is right.";

/// What is asked of an answer beside the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The log probabilities of its tokens.
    pub logprobs: Option<Added>,
    /// How sure the model is.
    pub confidence: Option<Added>,
}

/// Asked for by us, and not by the client, so that it is taken out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added;

/// The same request for a whole answer, and what was added to it of the extras that are wanted: log probabilities where the client did not ask
/// for them, the confidence where the last message is a text of the user's and no form is set.
#[must_use]
pub fn prepare(body: Bytes, wanted: Extras) -> (Bytes, Extras) {
    let Ok(Fields(fields)) = serde_json::from_slice::<Fields<'_>>(&body) else { return (body, Extras::default()) };
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, raw)| raw.get());
    let has_form = field("response_format").is_some_and(|raw| raw != "null");
    let messages = field("messages").filter(|_| wanted.confidence.is_some() && !has_form);
    let asking = messages.and_then(with_ask);
    let added = Extras {
        logprobs: wanted.logprobs.filter(|_| field("logprobs") != Some("true")),
        confidence: wanted.confidence.filter(|_| asking.is_some()),
    };
    let mut written = Vec::with_capacity(body.len() + 256);
    let mut push = |name: &str, raw: &str| {
        written.push(if written.is_empty() { b'{' } else { b',' });
        written.extend_from_slice(Value::from(name).to_string().as_bytes());
        written.push(b':');
        written.extend_from_slice(raw.as_bytes());
    };
    for (name, raw) in &fields {
        match name.as_str() {
            "stream" | "stream_options" => {}
            "logprobs" if added.logprobs.is_some() => {}
            "messages" => push(name, asking.as_deref().unwrap_or(raw.get())),
            MESSAGES if asking.is_some() => push(name, in_own_words(raw).as_deref().unwrap_or(raw.get())),
            _ => push(name, raw.get()),
        }
    }
    if added.logprobs.is_some() {
        push("logprobs", "true");
    }
    written.push(b'}');
    (Bytes::from(written), added)
}

/// A client's own words with the question in the last of their messages.
fn in_own_words(words: &RawValue) -> Option<String> {
    let Fields(fields) = serde_json::from_str(words.get()).ok()?;
    let messages = fields.iter().find(|(name, _)| name == "messages").and_then(|(_, raw)| with_ask(raw.get()))?;
    let told = fields
        .iter()
        .map(|(name, raw)| (name.as_str(), if name == "messages" { messages.as_str() } else { raw.get() }));
    String::from_utf8(object(told)).ok()
}

/// The messages with the question in the last of them; `None` where it is not a text of the user's.
fn with_ask(messages: &str) -> Option<String> {
    let mut messages: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let mut last: Value = serde_json::from_str(messages.pop()?.get()).ok()?;
    if last.get("role").and_then(Value::as_str) != Some("user") {
        return None;
    }
    match last.get_mut("content")? {
        Value::String(text) => *text = format!("{text}\n\n{ASK}"),
        Value::Array(parts) => parts.push(json!({ "type": "text", "text": ASK })),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    }
    let mut all: Vec<String> = messages.into_iter().map(|raw| raw.get().to_owned()).collect();
    all.push(last.to_string());
    Some(format!("[{}]", all.join(",")))
}

/// A whole answer without what was added, and what it tells. Of several choices the first is looked at.
#[must_use]
pub fn read(body: Bytes, extras: Extras, fitness: &Fitness) -> (Bytes, Evidence) {
    let Ok(mut whole) = serde_json::from_slice::<Value>(&body) else { return (body, Evidence::default()) };
    let mut evidence = Evidence::default();
    let (mut changed, mut is_taken_out) = (false, false);
    let choices = whole.get_mut("choices").and_then(Value::as_array_mut);
    for (at, choice) in choices.into_iter().flatten().enumerate() {
        let logprobs = token_logprobs(choice);
        let given = choice.get_mut("logprobs").filter(|given| extras.logprobs.is_some() && !given.is_null());
        if let Some(given) = given {
            *given = Value::Null;
            changed = true;
        }
        let content = choice.pointer_mut("/message/content");
        let said = extras.confidence.and(content.as_deref()).and_then(Value::as_str).and_then(last_line);
        let said = said.map(|(text, confidence)| (text.to_owned(), confidence));
        let confidence = said.as_ref().map(|(_, confidence)| *confidence);
        if let (Some((text, _)), Some(content)) = (said, content) {
            *content = Value::from(text);
            changed = true;
            is_taken_out = true;
        }
        if at == 0 {
            let list = |name: &str| choice.pointer(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
            evidence = Evidence {
                text: choice.pointer("/message/content").and_then(Value::as_str).unwrap_or_default().to_owned(),
                calls_tools: list("/message/tool_calls")
                    || choice.pointer("/message/function_call").is_some_and(Value::is_object),
                logprobs,
                confidence,
                fault: None,
            };
        }
    }
    if let (true, Some(words)) = (is_taken_out, whole.get_mut(OWN_WORDS)) {
        take_out_of_words(words);
    }
    // Taken out in place, so that an answer with nothing added keeps its bytes.
    let body = if changed { Bytes::from(whole.to_string()) } else { body };
    evidence.fault = fitness.of_answer(&body);
    (body, evidence)
}

/// Takes the line that tells a confidence out of an answer's own words.
fn take_out_of_words(words: &mut Value) {
    let blocks = words.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten();
    let last = blocks.rev().find_map(|block| block.get_mut("text"));
    if let Some(text) = last
        && let Some((before, _)) = text.as_str().and_then(last_line)
    {
        *text = Value::from(before);
    }
}

/// The mean and the least log probability of a choice's tokens.
fn token_logprobs(choice: &Value) -> Option<(f64, f64)> {
    let tokens = choice.pointer("/logprobs/content")?.as_array()?;
    let values: Vec<f64> = tokens.iter().filter_map(|token| token.get("logprob")?.as_f64()).collect();
    let least = values.iter().copied().reduce(f64::min)?;
    Some((values.iter().sum::<f64>() / values.len() as f64, least))
}

/// A text without its last line, and the confidence that this line tells. `None` where it tells none.
fn last_line(text: &str) -> Option<(&str, Probability)> {
    let trimmed = text.trim_end();
    let (before, line) = trimmed.rsplit_once('\n').unwrap_or(("", trimmed));
    let is_frame = |c: char| c.is_whitespace() || "*_`#:.%=".contains(c);
    let line = line.trim_matches(is_frame);
    let (word, number) = line.split_at_checked("confidence".len())?;
    if !word.eq_ignore_ascii_case("confidence") {
        return None;
    }
    let number = number.trim_matches(is_frame);
    let number = number.split_once('/').map_or(number, |(number, _)| number.trim_end());
    let value: f64 = number.parse().ok().filter(|value| (0.0..=100.0).contains(value))?;
    // 0.9 is what some models say for 90.
    let share = if number.contains('.') && value <= 1.0 { value } else { value / 100.0 };
    Some((before.trim_end(), Probability::clamped(share)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::fitness::Form;
    use crate::domain::recovery::Unfit;

    const BOTH: Extras = Extras { logprobs: Some(Added), confidence: Some(Added) };

    fn body(value: &Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    fn strict() -> Fitness {
        Fitness { unfit: Unfit::ALL.into_iter().collect(), form: Form::Free }
    }

    #[test]
    fn a_checked_request_is_whole_and_asks_for_what_is_added() {
        let asked =
            body(&json!({ "model": "m", "stream": true, "stream_options": { "include_usage": true }, "seed": 7,
            "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "Hi" }] }));

        let sent: Value = serde_json::from_slice(&prepare(asked, BOTH).0).unwrap();

        assert_eq!(sent["messages"][1]["content"], format!("Hi\n\n{ASK}"));
        assert_eq!(sent["messages"][0]["content"], "s");
        assert_eq!((&sent["logprobs"], &sent["seed"]), (&json!(true), &json!(7)));
        assert!(sent.get("stream").is_none() && sent.get("stream_options").is_none());
    }

    #[test]
    fn nothing_is_added_where_it_does_not_fit() {
        let messages = |role: &str| json!([{ "role": role, "content": "x" }]);
        let of = |request: Value| prepare(body(&request), BOTH).1;

        assert_eq!(of(json!({ "messages": messages("user"), "logprobs": true })).logprobs, None);
        assert_eq!(of(json!({ "messages": messages("tool") })).confidence, None);
        assert_eq!(
            of(json!({ "messages": messages("user"), "response_format": { "type": "json_object" } })).confidence,
            None
        );
        assert_eq!(of(json!({ "messages": messages("user"), "logprobs": false })), BOTH);
        assert_eq!(of(json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "x" }] }] })), BOTH);
    }

    #[test]
    fn what_was_added_is_taken_out_of_the_answer() {
        let answer = body(&json!({ "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "Paris.\n\n**Confidence: 85%**\n" },
            "logprobs": { "content": [{ "token": "Paris", "logprob": -0.5 }, { "token": ".", "logprob": -1.5 }] } }] }));

        let (clean, evidence) = read(answer, BOTH, &strict());

        let clean: Value = serde_json::from_slice(&clean).unwrap();
        assert_eq!(clean["choices"][0]["message"]["content"], "Paris.");
        assert_eq!(clean["choices"][0]["logprobs"], Value::Null);
        assert_eq!(evidence.text, "Paris.");
        assert_eq!(evidence.logprobs, Some((-1.0, -1.5)));
        assert_eq!(evidence.confidence, Some(Probability::clamped(0.85)));
        assert_eq!(evidence.fault, None);
    }

    #[test]
    fn a_client_of_anthropics_dialect_is_asked_and_answered_in_its_own_words() {
        let own = json!({ "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] });
        let asked = body(&json!({ "messages": [{ "role": "user", "content": "Hi" }], "trimtab.messages": own }));
        let answer = body(&json!({
            "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Paris.\nConfidence: 85" } }],
            "trimtab.words": { "content": [{ "type": "text", "text": "Paris.\nConfidence: 85" }, { "type": "novelty" }], "more": 1 },
        }));

        let sent: Value = serde_json::from_slice(&prepare(asked, BOTH).0).unwrap();
        let clean: Value = serde_json::from_slice(&read(answer, BOTH, &strict()).0).unwrap();

        assert_eq!(sent["trimtab.messages"]["messages"], sent["messages"]);
        assert_eq!(sent["trimtab.messages"]["max_tokens"], 9);
        let words = json!({ "content": [{ "type": "text", "text": "Paris." }, { "type": "novelty" }], "more": 1 });
        assert_eq!(clean["trimtab.words"], words);
    }

    #[test]
    fn an_answer_with_nothing_added_keeps_its_bytes() {
        let answer = Bytes::from_static(
            b"{ \"choices\" : [{\"message\":{\"content\":\"a\\nConfidence: 10\"},\"logprobs\":{\"content\":[{\"logprob\":-2}]},\"finish_reason\":\"stop\"}]}",
        );

        let (kept, evidence) = read(answer.clone(), Extras::default(), &strict());

        assert_eq!(kept, answer);
        assert_eq!(evidence.logprobs, Some((-2.0, -2.0)), "the client asked for them");
        assert_eq!(evidence.confidence, None);
    }

    #[test]
    fn confidence_is_read_in_the_ways_models_say_it() {
        for (line, expected) in [
            ("Confidence: 90", Some(0.9)),
            ("confidence: 0.9", Some(0.9)),
            ("`Confidence: 7 %`", Some(0.07)),
            ("**Confidence:** 95/100", Some(0.95)),
            ("Confidence: 1", Some(0.01)),
            ("Confidence: 250", None),
            ("Confidence: high", None),
            ("Kodiak bears", None),
            ("", None),
        ] {
            let text = format!("x\n{line}");
            assert_eq!(last_line(&text).map(|(_, said)| said), expected.map(Probability::clamped), "{line}");
        }
        assert_eq!(last_line("Confidence: 50"), Some(("", Probability::clamped(0.5))));
    }

    #[test]
    fn faults_and_calls_of_tools_are_seen() {
        let refused =
            body(&json!({ "choices": [{ "message": { "content": null, "refusal": "no" }, "finish_reason": "stop" }] }));
        let calls = body(
            &json!({ "choices": [{ "message": { "content": null, "tool_calls": [{ "id": "a" }] }, "finish_reason": "tool_calls" }] }),
        );

        assert_eq!(read(refused, BOTH, &strict()).1.fault, Some(Unfit::Refusal));
        assert!(read(calls, BOTH, &strict()).1.calls_tools);
        assert_eq!(read(Bytes::from_static(b"junk"), BOTH, &strict()).1, Evidence::default());
    }
}
