//! Whether an answer that arrived in good order is of any use. Pure.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::openai::ChatRequest;
use crate::chat::schema;
use crate::chat::sse::SseDecoder;
use crate::chat::worth::is_empty;
use crate::domain::recovery::{Unfit, UnfitSet};

/// The form that a request asked of its answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Any text.
    Free,
    /// JSON.
    Json,
    /// JSON that follows a schema.
    Schema(Value),
}

impl Form {
    /// The form that a request asks for.
    #[must_use]
    pub fn of(request: &ChatRequest) -> Self {
        let format = request.field("response_format").and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let Some(format) = format else { return Self::Free };
        match (format.get("type").and_then(Value::as_str), format.pointer("/json_schema/schema")) {
            (Some("json_schema"), Some(schema)) => Self::Schema(schema.clone()),
            (Some("json_object" | "json_schema"), _) => Self::Json,
            (Some(_) | None, _) => Self::Free,
        }
    }

    fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Free => true,
            Self::Json => serde_json::from_str::<Value>(text).is_ok(),
            Self::Schema(schema) => {
                serde_json::from_str::<Value>(text).is_ok_and(|value| schema::follows(&value, schema))
            }
        }
    }
}

/// What a policy looks for in answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitness {
    /// What makes an answer unfit.
    pub unfit: UnfitSet,
    /// The form it must have, where that counts.
    pub form: Form,
}

impl Fitness {
    /// Every answer will do.
    pub const ANY: Self = Self { unfit: UnfitSet::EMPTY, form: Form::Free };

    /// What is wrong with a whole answer, if anything: with each of its choices.
    #[must_use]
    pub fn of_answer(&self, body: &[u8]) -> Option<Unfit> {
        if self.unfit.is_empty() {
            return None;
        }
        let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
        let mut found = answer.choices.iter().map(|choice| self.of_choice(choice.message.as_ref(), choice));
        let first = found.next()??;
        found.all(|one| one.is_some()).then_some(first)
    }

    /// Whether only a whole answer tells if it is of use: a form counts, which is known at the end.
    #[must_use]
    pub fn wants_whole(&self) -> bool {
        self.unfit.has(Unfit::InvalidJson) && self.form != Form::Free
    }

    /// What is wrong with a stream, as far as the chunk tells in which its answer begins.
    #[must_use]
    pub fn of_beginning(&self, event: &Bytes) -> Option<Unfit> {
        if self.unfit.is_empty() {
            return None;
        }
        let mut events = SseDecoder::new(event.len());
        events.push(event.clone());
        let event = events.next_event().ok()??;
        let chunk: Answer<'_> = serde_json::from_slice(&event.data).ok()?;
        let choice = chunk.choices.first()?;
        let begins = Self { form: Form::Free, unfit: self.unfit };
        match (choice.delta.as_ref(), choice.finish_reason.is_some()) {
            // An answer that has not ended is not empty yet.
            (Some(delta), false) => begins.of_choice(Some(delta), choice).filter(|one| *one != Unfit::Empty),
            (delta, true) => begins.of_choice(delta, choice),
            (None, false) => None,
        }
    }

    fn of_choice(&self, message: Option<&Message<'_>>, choice: &Choice<'_>) -> Option<Unfit> {
        let read = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok().filter(|value| !is_empty(value));
        let is_there = |raw: Option<&RawValue>| raw.and_then(read).is_some();
        let reason = choice.finish_reason.unwrap_or_default();
        let content = message.and_then(|message| message.content).and_then(read);
        let acts = message.is_some_and(|message| {
            [message.tool_calls, message.function_call, message.audio].into_iter().any(is_there)
        });
        let refuses = reason == "refusal" || message.is_some_and(|message| is_there(message.refusal));
        let is_wrong_form = || {
            let text = content.as_ref().and_then(Value::as_str);
            // An answer that was cut at the caller's own limit is not the model's fault.
            !acts && reason != "length" && text.is_some_and(|text| !self.form.accepts(text))
        };
        let found = if refuses {
            Unfit::Refusal
        } else if reason == "content_filter" {
            Unfit::ContentFilter
        } else if !acts && reason != "length" && content.is_none() {
            Unfit::Empty
        } else if is_wrong_form() {
            Unfit::InvalidJson
        } else {
            return None;
        };
        self.unfit.has(found).then_some(found)
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strict(form: Form) -> Fitness {
        Fitness { unfit: Unfit::ALL.into_iter().collect(), form }
    }

    fn judged(form: Form, choice: &Value) -> Option<Unfit> {
        strict(form).of_answer(json!({ "choices": [choice] }).to_string().as_bytes())
    }

    #[test]
    fn refusals_filters_and_silence_are_told_from_answers() {
        let cases = [
            (json!({ "message": { "content": "hello" }, "finish_reason": "stop" }), None),
            (json!({ "message": { "content": null, "tool_calls": [{}] }, "finish_reason": "tool_calls" }), None),
            (json!({ "message": { "content": "" }, "finish_reason": "length" }), None),
            (json!({ "message": { "content": null, "refusal": "no" }, "finish_reason": "stop" }), Some(Unfit::Refusal)),
            (json!({ "message": { "content": "no" }, "finish_reason": "refusal" }), Some(Unfit::Refusal)),
            (json!({ "message": { "content": "ha" }, "finish_reason": "content_filter" }), Some(Unfit::ContentFilter)),
            (json!({ "message": { "content": "" }, "finish_reason": "stop" }), Some(Unfit::Empty)),
            (json!({ "message": { "content": " \n" }, "finish_reason": "stop" }), Some(Unfit::Empty)),
            (json!({ "message": { "content": null, "tool_calls": [] } }), Some(Unfit::Empty)),
            (json!({ "finish_reason": "stop" }), Some(Unfit::Empty)),
        ];
        for (choice, expected) in cases {
            assert_eq!(judged(Form::Free, &choice), expected, "{choice}");
        }
    }

    #[test]
    fn the_form_that_was_asked_for_counts() {
        let answer = |text: &str| json!({ "message": { "content": text }, "finish_reason": "stop" });
        let schema = Form::Schema(json!({ "type": "object", "required": ["a"] }));

        assert_eq!(judged(Form::Json, &answer("{\"a\":1}")), None);
        assert_eq!(judged(Form::Json, &answer("Sure! {\"a\":1}")), Some(Unfit::InvalidJson));
        assert_eq!(judged(schema.clone(), &answer("{\"a\":1}")), None);
        assert_eq!(judged(schema, &answer("{\"b\":1}")), Some(Unfit::InvalidJson));
    }

    #[test]
    fn one_fit_choice_of_several_is_enough_and_only_what_is_asked_for_counts() {
        let both = json!({ "choices": [
            { "message": { "content": "" }, "finish_reason": "stop" },
            { "message": { "content": "x" }, "finish_reason": "stop" }
        ] });
        let empty = json!({ "choices": [{ "message": { "content": "" }, "finish_reason": "stop" }] }).to_string();
        let only_refusals = Fitness { unfit: [Unfit::Refusal].into_iter().collect(), form: Form::Free };

        assert_eq!(strict(Form::Free).of_answer(both.to_string().as_bytes()), None);
        assert_eq!(only_refusals.of_answer(empty.as_bytes()), None);
        assert_eq!(Fitness::ANY.of_answer(empty.as_bytes()), None);
    }

    #[test]
    fn the_beginning_of_a_stream_tells_of_refusals_filters_and_silence() {
        let judge = |choice: Value| {
            let event = format!("data: {}\n\n", json!({ "choices": [choice] }));
            let named = format!("id: 7\r\nevent: message\r\n{}", event.replace('\n', "\r\n"));
            let [found, in_named] = [event, named].map(|event| strict(Form::Json).of_beginning(&Bytes::from(event)));
            assert_eq!(found, in_named, "whatever else the event holds");
            found
        };

        assert_eq!(judge(json!({ "delta": { "content": "x" }, "finish_reason": null })), None);
        assert_eq!(judge(json!({ "delta": { "reasoning": "x" }, "finish_reason": null })), None);
        assert_eq!(judge(json!({ "delta": { "refusal": "no" }, "finish_reason": null })), Some(Unfit::Refusal));
        assert_eq!(judge(json!({ "delta": {}, "finish_reason": "content_filter" })), Some(Unfit::ContentFilter));
        assert_eq!(judge(json!({ "delta": {}, "finish_reason": "stop" })), Some(Unfit::Empty));
        assert_eq!(strict(Form::Free).of_beginning(&Bytes::from("nonsense")), None);
    }

    #[test]
    fn reads_the_form_from_the_request() {
        let form = |format: Value| {
            let body = json!({ "messages": [{ "role": "user", "content": "x" }], "response_format": format });
            Form::of(&ChatRequest::from_text(&body.to_string()).unwrap())
        };

        assert_eq!(form(json!(null)), Form::Free);
        assert_eq!(form(json!({ "type": "json_object" })), Form::Json);
        assert_eq!(
            form(json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "object" } } })),
            Form::Schema(json!({ "type": "object" }))
        );
    }
}
