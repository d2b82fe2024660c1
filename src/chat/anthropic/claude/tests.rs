use serde_json::{Value, json};

use crate::chat::anthropic::request::request;
use crate::chat::native::corpus::tell;

/// What a model is asked where the request has these fields beside its messages.
fn told(model: &str, fields: &Value) -> Value {
    let mut asked = json!({ "model": model, "messages": [{ "role": "user", "content": "x" }] });
    asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let told = tell(&asked.to_string(), request);
    serde_json::from_str(&told).unwrap_or(Value::String(told))
}

#[test]
fn every_model_is_given_the_sampling_that_it_takes() {
    let all = json!({ "temperature": 0.5, "top_p": 0.9, "top_k": 40 });
    let of = |model: &str| {
        let told = told(model, &all);
        ["temperature", "top_p", "top_k"].map(|field| told.get(field).is_some())
    };

    for model in ["claude-opus-4-7", "claude-opus-4.8", "claude-opus-5-5", "claude-sonnet-5", "claude-haiku-5-5"] {
        assert_eq!(of(model), [false; 3], "{model}");
    }
    for model in ["claude-opus-4-6", "claude-sonnet-4-5-20250929", "claude-opus-4-1", "claude-3-5-haiku-latest"] {
        assert_eq!(of(model), [true, false, true], "{model}: of two ways to say how freely to choose it takes one");
    }
    assert_eq!(of("kimi-k2"), [true; 3], "nothing is known of other models");
    assert!(told("claude-opus-4-5", &json!({ "top_p": 0.9 })).get("top_p").is_some());
}

#[test]
fn a_clients_thinking_is_put_into_words_that_the_model_knows() {
    let adaptive = json!({ "type": "adaptive" });
    let shown = json!({ "type": "adaptive", "display": "summarized" });
    let enabled = json!({ "type": "enabled", "budget_tokens": 2000 });
    let medium = json!({ "type": "enabled", "budget_tokens": 8192 });
    let off = json!({ "type": "disabled" });
    let novel = json!({ "type": "between_tools" });
    let cases = [
        ("claude-haiku-4-5", &adaptive, Some(&medium), None),
        ("claude-haiku-4-5", &enabled, Some(&enabled), None),
        ("claude-haiku-4-5", &off, Some(&off), None),
        ("claude-opus-4-6", &adaptive, Some(&adaptive), None),
        ("claude-opus-4-6", &enabled, Some(&enabled), None),
        ("claude-opus-4-7", &adaptive, Some(&adaptive), None),
        ("claude-opus-4-7", &enabled, Some(&shown), Some("low")),
        ("claude-opus-4-7", &off, Some(&off), None),
        ("claude-opus-5-5", &enabled, Some(&shown), Some("low")),
        ("claude-opus-5-5", &off, None, None),
        ("claude-sonnet-5-5", &off, None, None),
        ("claude-sonnet-5-5", &novel, Some(&novel), None),
        ("claude-haiku-5-5", &off, Some(&off), None),
    ];
    for (model, wish, expected, effort) in cases {
        let told = told(model, &json!({ "thinking": wish }));

        assert_eq!(told.get("thinking"), expected, "{model} {wish}");
        assert_eq!(told["output_config"]["effort"].as_str(), effort, "{model} {wish}");
    }
}

#[test]
fn an_effort_beats_the_budget_that_is_lost_and_goes_with_the_clients_own_words() {
    let enabled = json!({ "reasoning_effort": "high", "thinking": { "type": "enabled", "budget_tokens": 2000 } });
    let adaptive = json!({ "reasoning_effort": "low", "thinking": { "type": "adaptive" } });

    assert_eq!(told("claude-opus-5-5", &enabled)["output_config"]["effort"], "high");
    assert_eq!(told("claude-opus-5-5", &adaptive)["output_config"]["effort"], "low");
    assert_eq!(told("claude-haiku-4-5", &adaptive)["thinking"]["budget_tokens"], 1_024);
    assert_eq!(told("claude-opus-4-6", &json!({ "reasoning_effort": "xhigh" }))["output_config"]["effort"], "high");
}

#[test]
fn a_clients_own_budget_has_room_beside_the_answer() {
    let thinking = json!({ "type": "enabled", "budget_tokens": 16_000, "display": "omitted" });
    let of = |more: Value| {
        let mut fields = json!({ "thinking": thinking, "temperature": 0.5 });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told("claude-sonnet-4-5", &fields)
    };

    let (free, wide) = (of(json!({})), of(json!({ "max_tokens": 20_000 })));
    let (tight, none) = (of(json!({ "max_tokens": 9_000 })), of(json!({ "max_tokens": 900 })));
    let most = told("claude-sonnet-4-5", &json!({ "thinking": { "type": "enabled", "budget_tokens": u64::MAX } }));

    assert_eq!((&free["max_tokens"], &free["thinking"]), (&24_192.into(), &thinking), "in the client's own words");
    assert_eq!((&wide["max_tokens"], &wide["thinking"]), (&20_000.into(), &thinking));
    assert_eq!((&tight["max_tokens"], &tight["thinking"]["budget_tokens"]), (&9_000.into(), &8_999.into()));
    assert_eq!((none.get("thinking"), &none["temperature"]), (None, &0.5.into()), "there is no room to think");
    assert_eq!(most["max_tokens"], u64::MAX);
}

#[test]
fn a_model_that_cannot_be_made_to_call_a_tool_is_not_asked_to() {
    let tools = json!([{ "type": "function", "function": { "name": "a" } }]);
    let insist = |choice: Value| json!({ "tools": tools, "tool_choice": choice });
    let (any, one) = (insist(json!("required")), insist(json!({ "type": "function", "function": { "name": "a" } })));
    for model in ["claude-opus-5-5", "claude-sonnet-5.5", "claude-fable-5-1"] {
        for asked in [&any, &one] {
            let told = told(model, asked).to_string();

            assert!(told.contains("refused: `tool_choice` cannot be sent to Anthropic"), "{model}: {told}");
        }
        assert_eq!(told(model, &insist(json!("auto")))["tool_choice"]["type"], "auto");
    }
    assert_eq!(told("claude-haiku-5-5", &any)["tool_choice"], json!({ "type": "any" }));
    assert_eq!(told("claude-opus-4-7", &one)["tool_choice"], json!({ "type": "tool", "name": "a" }));
}
