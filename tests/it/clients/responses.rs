//! The scripted Responses of OpenAI: the scene of `scripts` in their shapes.

use serde_json::{Value, json};

use crate::clients::scripts::{
    CALLS, Checked, SIGNATURE, Scene, THOUGHT, arguments, body, ensure, halves, list, matched, only,
};
use crate::support::fake::{Received, Reply, json as whole_json, raw_stream, whole};

/// `POST /responses`, which keeps nothing.
pub(in crate::clients) fn responses(received: &Received) -> Reply {
    let body = body(received);
    let said = match scene(received, &body) {
        Ok(scene) => scene.said(),
        Err(problem) => {
            let error = json!({ "message": problem, "type": "invalid_request_error", "param": null, "code": null });
            return whole(400, "application/json", json!({ "error": error }).to_string().as_bytes());
        }
    };
    let summary = json!([{ "type": "summary_text", "text": THOUGHT }]);
    let thought = json!({ "id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": SIGNATURE });
    let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
    let message = json!({ "id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part(said.text)] });
    let call = |(id, town): (&str, &str)| json!({ "id": format!("fc_{id}"), "type": "function_call", "status": "completed", "call_id": id, "name": "get_weather", "arguments": arguments(town) });
    let calls = CALLS.into_iter().filter(|_| said.calls).map(call);
    let output: Vec<Value> = said.thinks.then_some(thought).into_iter().chain([message]).chain(calls).collect();
    let usage = json!({ "input_tokens": 100, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 9, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 109 });
    let response = |status: &str, output: &[Value], usage: Value| json!({ "id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null, "incomplete_details": null, "model": body["model"], "output": output, "parallel_tool_calls": true, "store": false, "tools": [], "usage": usage });
    if body["stream"] != true {
        return whole_json(&response("completed", &output, usage).to_string());
    }
    let mut events = vec![
        json!({ "type": "response.created", "response": response("in_progress", &[], Value::Null) }),
        json!({ "type": "response.in_progress", "response": response("in_progress", &[], Value::Null) }),
    ];
    for (at, item) in output.iter().enumerate() {
        let mut begun = item.clone();
        let about = |kind: &str, more: Value| {
            let mut event = json!({ "type": format!("response.{kind}"), "item_id": item["id"], "output_index": at });
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            event
        };
        let (field, text, kind, place) = match item["type"].as_str() {
            Some("reasoning") => ("summary", THOUGHT, "reasoning_summary_text", "summary_index"),
            Some("message") => ("content", said.text, "output_text", "content_index"),
            Some(_) | None => {
                ("arguments", item["arguments"].as_str().unwrap(), "function_call_arguments", "output_index")
            }
        };
        begun[field] = if field == "arguments" { json!("") } else { json!([]) };
        events.push(json!({ "type": "response.output_item.added", "output_index": at, "item": begun }));
        let at_place = if place == "output_index" { at } else { 0 };
        events.extend(
            halves(text).map(|piece| about(&format!("{kind}.delta"), json!({ place: at_place, "delta": piece }))),
        );
        events.push(about(&format!("{kind}.done"), json!({ place: at_place, "text": text, "arguments": text })));
        events.push(json!({ "type": "response.output_item.done", "output_index": at, "item": item }));
    }
    events.push(json!({ "type": "response.completed", "response": response("completed", &output, usage) }));
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = json!(number);
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    });
    raw_stream(&numbered.collect::<Vec<_>>())
}

fn scene(received: &Received, body: &Value) -> Checked<Scene> {
    ensure(received.path == "/v1/responses", format!("Invalid URL ({})", received.path))?;
    ensure(received.header("authorization").is_some_and(|key| key.starts_with("Bearer ")), "no key")?;
    let known = "model input instructions stream store max_output_tokens temperature top_p tools tool_choice parallel_tool_calls reasoning \
        text include top_logprobs user safety_identifier metadata service_tier prompt_cache_key truncation";
    only(body, &known.split_whitespace().collect::<Vec<_>>())?;
    ensure(body["store"] == false, "this account keeps nothing")?;
    let limit = body.get("max_output_tokens").and_then(Value::as_u64);
    ensure(limit.is_none_or(|limit| limit >= 16), "max_output_tokens: expected a value >= 16")?;
    let thinks = body["reasoning"]["effort"].as_str().is_some_and(|effort| effort != "none");
    let is_sealed = list(body, "include").into_iter().any(|word| *word == "reasoning.encrypted_content");
    ensure(thinks || !is_sealed, "Encrypted content is not supported with this model.")?;
    let mut scene = Scene { thinks: thinks && is_sealed, has_tools: body["tools"].is_array(), ..Scene::default() };
    let input = list(body, "input");
    ensure(!input.is_empty() || body["input"].is_string(), "input: nothing to answer")?;
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    for item in input {
        match item["type"].as_str() {
            Some("message") | None => {
                only(item, &["type", "id", "role", "content", "status", "phase"])?;
                for part in list(item, "content") {
                    let is_known = part["type"] == "input_text" || part["type"] == "output_text";
                    ensure(is_known && part["text"] != "", "Invalid value in content")?;
                }
            }
            Some("reasoning") => {
                ensure(item.get("id").is_none(), "Item with id was not found: items are not persisted")?;
                ensure(item["encrypted_content"] == SIGNATURE, "The encrypted content could not be verified")?;
                scene.remembers = true;
            }
            Some("function_call") => {
                ensure(item["arguments"].is_string(), "arguments: expected a string")?;
                calls.push(&item["call_id"]);
            }
            Some("function_call_output") => results.push(&item["call_id"]),
            Some(other) => return Err(format!("Invalid value: {other}")),
        }
    }
    for id in calls.iter().chain(&results) {
        ensure(id.as_str().is_some_and(|id| id.len() <= 64), "call_id: string too long")?;
    }
    if !calls.is_empty() {
        matched(&calls, &results)?;
    }
    for tool in list(body, "tools") {
        only(tool, &["type", "name", "description", "parameters", "strict"])?;
        ensure(tool["parameters"]["type"] == "object", "Invalid schema for function")?;
        ensure(tool["strict"].is_boolean() || tool["strict"].is_null(), "strict: expected a boolean")?;
    }
    let format = &body["text"]["format"];
    scene.has_schema = format["type"] == "json_schema" && format["name"].is_string();
    ensure(!scene.has_schema || format["schema"]["type"] == "object", "text.format.schema: not an object")?;
    scene.has_results = !results.is_empty();
    Ok(scene)
}
