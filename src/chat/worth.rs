//! Whether an answer may be given again.

use serde_json::Value;

/// What an answer is, to somebody who may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It says something, and ended as it should.
    Said,
    /// It calls tools.
    CallsTools,
    /// It is empty, refused, filtered, broken off, or holds what expires: it must not be given again.
    Unfit,
}

/// Judges a whole completion by all of its choices.
#[must_use]
pub fn worth(completion: &Value) -> Worth {
    let is_error = completion.get("error").is_some_and(|error| !error.is_null());
    let choices = completion.get("choices").and_then(Value::as_array).filter(|choices| !choices.is_empty());
    let Some(choices) = choices.filter(|_| !is_error) else { return Worth::Unfit };
    let worths: Vec<Worth> = choices.iter().map(choice_worth).collect();
    if worths.contains(&Worth::Unfit) {
        Worth::Unfit
    } else if worths.contains(&Worth::CallsTools) {
        Worth::CallsTools
    } else {
        Worth::Said
    }
}

fn choice_worth(choice: &Value) -> Worth {
    let ended = choice.get("finish_reason").and_then(Value::as_str);
    let Some(message) = choice.get("message").filter(|_| ended.is_some_and(is_regular)) else { return Worth::Unfit };
    let has = |name: &str| message.get(name).is_some_and(|value| !is_empty(value));
    if has("refusal") || has("audio") {
        Worth::Unfit
    } else if has("tool_calls") || has("function_call") {
        Worth::CallsTools
    } else if has("content") {
        Worth::Said
    } else {
        Worth::Unfit
    }
}

/// An answer that reached the caller's own limit of tokens reaches it the next time too.
fn is_regular(reason: &str) -> bool {
    matches!(reason, "stop" | "length" | "tool_calls" | "function_call")
}

/// Whether a part of a message says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(message: &Value, reason: &Value) -> Worth {
        worth(&json!({ "choices": [{ "index": 0, "message": message, "finish_reason": reason }] }))
    }

    #[test]
    fn only_answers_that_ended_well_are_fit() {
        let said = json!({ "content": "yes", "refusal": null });
        assert_eq!(of(&said, &json!("stop")), Worth::Said);
        assert_eq!(of(&said, &json!("length")), Worth::Said);
        for reason in [json!("content_filter"), json!("error"), json!(null)] {
            assert_eq!(of(&said, &reason), Worth::Unfit, "{reason}");
        }
        assert_eq!(of(&json!({ "content": " " }), &json!("stop")), Worth::Unfit);
        assert_eq!(of(&json!({ "content": null, "refusal": "no" }), &json!("stop")), Worth::Unfit);
        assert_eq!(
            of(&json!({ "content": "x", "tool_calls": [{ "id": "a" }] }), &json!("tool_calls")),
            Worth::CallsTools
        );
        assert_eq!(worth(&json!({ "error": { "message": "m" }, "choices": [] })), Worth::Unfit);
    }

    #[test]
    fn one_unfit_choice_spoils_all() {
        let choices = json!([
            { "message": { "content": "a" }, "finish_reason": "stop" },
            { "message": { "content": "b" }, "finish_reason": "content_filter" },
        ]);
        assert_eq!(worth(&json!({ "choices": choices })), Worth::Unfit);
    }
}
