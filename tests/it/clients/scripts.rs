//! Scripted upstreams of every dialect, in the providers' published shapes. They refuse what their provider refuses, so that a client that
//! gets an answer has sent, through the server, a request that the provider would have taken.
//!
//! All play one scene: asked with tools they call two of them, given the results they tell them, asked for a schema they follow it, and
//! else they greet.

use serde_json::{Value, json};

use crate::clients::claude::{Settings, plain, spoken};
use crate::support::fake::{Received, Reply, json as whole_json, raw_stream, whole};

/// What a thought is signed with.
pub(super) const SIGNATURE: &str = "c2lnbmVk";
/// The thought before the calls.
pub(super) const THOUGHT: &str = "Two towns.";
/// The calls: their ids and their towns.
pub(super) const CALLS: [(&str, &str); 2] = [("call_a", "Paris"), ("call_b", "Rome")];
/// How many tokens came from the cache, where the request marked what to cache.
const CACHED: u64 = 64;

/// What a scripted model says.
pub(super) struct Said {
    pub(super) thinks: bool,
    pub(super) text: &'static str,
    pub(super) calls: bool,
    pub(super) cached: u64,
}

/// What of a request the scene depends on.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) has_results: bool,
    /// The thought came back as it was given.
    pub(super) remembers: bool,
    pub(super) has_tools: bool,
    pub(super) has_schema: bool,
    pub(super) thinks: bool,
    pub(super) is_marked: bool,
}

impl Scene {
    pub(super) fn said(&self) -> Said {
        let cached = if self.is_marked { CACHED } else { 0 };
        let say = |text| Said { thinks: false, text, calls: false, cached };
        if self.has_results && self.remembers {
            return say("Rain in Paris, sun in Rome. I remember why.");
        }
        if self.has_results {
            return say("Rain in Paris, sun in Rome.");
        }
        if self.has_tools {
            return Said { thinks: self.thinks, text: "I look.", calls: true, cached };
        }
        say(if self.has_schema { r#"{"city":"Paris","degrees":21}"# } else { "Hello from afar." })
    }
}

pub(super) type Checked<T> = Result<T, String>;

pub(super) fn ensure(holds: bool, problem: impl Into<String>) -> Checked<()> {
    if holds { Ok(()) } else { Err(problem.into()) }
}

/// That an object has no other fields, as strict providers insist.
pub(super) fn only(object: &Value, names: &[&str]) -> Checked<()> {
    let strange = object.as_object().into_iter().flatten().find(|(name, _)| !names.contains(&name.as_str()));
    strange.map_or(Ok(()), |(name, _)| Err(format!("{name}: Extra inputs are not permitted")))
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    value[name].as_array().into_iter().flatten().collect()
}

pub(super) fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_default()
}

/// That every call was answered, and nothing else was.
pub(super) fn matched(calls: &[&Value], results: &[&Value]) -> Checked<()> {
    ensure(!calls.is_empty() && calls == results, format!("calls {calls:?} do not match results {results:?}"))
}

/// The pieces that a text is streamed in.
pub(super) fn halves(text: &str) -> [&str; 2] {
    let (first, second) = text.split_at(text.len() / 2);
    [first, second]
}

pub(super) fn arguments(town: &str) -> String {
    json!({ "city": town }).to_string()
}

/// OpenAI's chat completions.
pub(super) fn openai(received: &Received) -> Reply {
    let has_key = received.header("authorization").is_some_and(|key| key.starts_with("Bearer "));
    completions(received, ("/v1/chat/completions", has_key))
}

/// The same at the paths of Azure, which wants its own header.
pub(super) fn azure(received: &Received) -> Reply {
    let path = "/v1/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21";
    completions(received, (path, received.header("api-key").is_some()))
}

fn completions(received: &Received, (path, has_key): (&str, bool)) -> Reply {
    let body = body(received);
    let addressed = ensure(received.path == path, format!("Invalid URL ({})", received.path));
    let admitted = addressed.and_then(|()| ensure(has_key, "no key"));
    let said = match admitted.and_then(|()| openai_scene(&body)) {
        Ok(scene) => scene.said(),
        Err(problem) => {
            let error = json!({ "message": problem, "type": "invalid_request_error", "param": null, "code": null });
            return whole(400, "application/json", json!({ "error": error }).to_string().as_bytes());
        }
    };
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109, "prompt_tokens_details": { "cached_tokens": said.cached } });
    let call = |(id, town): (&str, &str)| json!({ "id": id, "type": "function", "function": { "name": "get_weather", "arguments": arguments(town) } });
    let reason = if said.calls { "tool_calls" } else { "stop" };
    let calls: Vec<Value> = if said.calls { CALLS.map(call).to_vec() } else { Vec::new() };
    if body["stream"] != true {
        let mut message = json!({ "role": "assistant", "content": said.text, "refusal": null, "annotations": [] });
        if said.calls {
            message["tool_calls"] = json!(calls);
        }
        let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": reason });
        let answer = json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage, "service_tier": "default" });
        return whole_json(&answer.to_string());
    }
    let event = |choices: Value, usage: Value| {
        let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices, "usage": usage });
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value| event(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null);
    let mut events = vec![delta(json!({ "role": "assistant", "content": "", "refusal": null }))];
    events.extend(halves(said.text).map(|piece| delta(json!({ "content": piece }))));
    for (at, call) in calls.iter().enumerate() {
        let mut begun = call.clone();
        begun["index"] = json!(at);
        begun["function"]["arguments"] = json!("");
        events.push(delta(json!({ "tool_calls": [begun] })));
        let text = call["function"]["arguments"].as_str().unwrap_or_default();
        let piece = |piece: &str| json!({ "tool_calls": [{ "index": at, "function": { "arguments": piece } }] });
        events.extend(halves(text).map(|text| delta(piece(text))));
    }
    events.push(event(json!([{ "index": 0, "delta": {}, "finish_reason": reason }]), Value::Null));
    if body["stream_options"]["include_usage"] == true {
        events.push(event(json!([]), usage));
    }
    events.push("data: [DONE]\n\n".to_owned());
    raw_stream(&events)
}

fn openai_scene(body: &Value) -> Checked<Scene> {
    let known = "model messages stream stream_options max_tokens max_completion_tokens temperature top_p n stop tools tool_choice \
        parallel_tool_calls response_format reasoning_effort seed user store metadata verbosity";
    only(body, &known.split_whitespace().collect::<Vec<_>>())?;
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    for message in list(body, "messages") {
        let names: &[&str] = match message["role"].as_str() {
            Some("assistant") => &["role", "content", "name", "refusal", "tool_calls", "audio", "annotations"],
            Some("tool") => &["role", "content", "tool_call_id"],
            Some("system" | "developer" | "user") => &["role", "content", "name"],
            Some(_) | None => return Err("a message without a role".to_owned()),
        };
        only(message, names)?;
        for part in list(message, "content") {
            only(part, &["type", "text", "image_url", "file", "input_audio", "refusal"])?;
        }
        for call in list(message, "tool_calls") {
            ensure(call["type"] == "function" && call["function"]["arguments"].is_string(), "a call in another shape")?;
            calls.push(&call["id"]);
        }
        results.extend(message.get("tool_call_id"));
    }
    if !calls.is_empty() {
        matched(&calls, &results)?;
    }
    for tool in list(body, "tools") {
        only(tool, &["type", "function"])?;
        only(&tool["function"], &["name", "description", "parameters", "strict"])?;
        ensure(tool["function"]["parameters"]["type"] == "object", "tools[0].function.parameters: not an object")?;
    }
    let format = &body["response_format"];
    let has_schema = format["type"] == "json_schema";
    ensure(!has_schema || format["json_schema"]["schema"]["type"] == "object", "response_format without a schema")?;
    let has_results = !results.is_empty();
    Ok(Scene { has_results, has_tools: body["tools"].is_array(), has_schema, ..Scene::default() })
}

/// Anthropic's Messages.
pub(super) fn anthropic(received: &Received) -> Reply {
    let body = body(received);
    let said = match anthropic_scene(received, &body) {
        Ok(scene) => scene.said(),
        Err(problem) => {
            let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": problem }, "request_id": "req_1" });
            return whole(400, "application/json", error.to_string().as_bytes());
        }
    };
    let usage = |output: u64| json!({ "input_tokens": 100 - said.cached, "cache_creation_input_tokens": 0, "cache_read_input_tokens": said.cached, "output_tokens": output });
    let reason = if said.calls { "tool_use" } else { "end_turn" };
    let thought = said.thinks.then(|| json!({ "type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE }));
    let text = json!({ "type": "text", "text": said.text });
    let call = |(id, town): (&str, &str)| json!({ "type": "tool_use", "id": id, "name": "get_weather", "input": { "city": town } });
    let calls = CALLS.into_iter().filter(|_| said.calls).map(call);
    let blocks: Vec<Value> = thought.into_iter().chain([text]).chain(calls).collect();
    let message = |content: &[Value], reason: Value, usage: Value| json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": content, "stop_reason": reason, "stop_sequence": null, "usage": usage });
    if body["stream"] != true {
        return whole_json(&message(&blocks, json!(reason), usage(9)).to_string());
    }
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    let mut events = vec![
        event(json!({ "type": "message_start", "message": message(&[], Value::Null, usage(1)) })),
        event(json!({ "type": "ping" })),
    ];
    for (at, block) in blocks.iter().enumerate() {
        let delta = |delta: Value| event(json!({ "type": "content_block_delta", "index": at, "delta": delta }));
        let (mut empty, mut pieces) = (block.clone(), Vec::new());
        match block["type"].as_str() {
            Some("thinking") => {
                (empty["thinking"], empty["signature"]) = (json!(""), json!(""));
                pieces
                    .extend(halves(THOUGHT).map(|piece| delta(json!({ "type": "thinking_delta", "thinking": piece }))));
                pieces.push(delta(json!({ "type": "signature_delta", "signature": SIGNATURE })));
            }
            Some("tool_use") => {
                empty["input"] = json!({});
                let input = block["input"].to_string();
                let piece = |piece: &str| delta(json!({ "type": "input_json_delta", "partial_json": piece }));
                pieces.push(piece(""));
                pieces.extend(halves(&input).map(piece));
            }
            Some(_) | None => {
                empty["text"] = json!("");
                pieces.extend(halves(said.text).map(|piece| delta(json!({ "type": "text_delta", "text": piece }))));
            }
        }
        events.push(event(json!({ "type": "content_block_start", "index": at, "content_block": empty })));
        events.append(&mut pieces);
        events.push(event(json!({ "type": "content_block_stop", "index": at })));
    }
    let ended = json!({ "stop_reason": reason, "stop_sequence": null });
    events.push(event(json!({ "type": "message_delta", "delta": ended, "usage": { "output_tokens": 9 } })));
    events.push(event(json!({ "type": "message_stop" })));
    raw_stream(&events)
}

fn anthropic_scene(received: &Received, body: &Value) -> Checked<Scene> {
    ensure(received.path == "/v1/messages", format!("no such path: {}", received.path))?;
    ensure(received.header("x-api-key").is_some(), "x-api-key header is required")?;
    ensure(received.header("anthropic-version") == Some("2023-06-01"), "anthropic-version: header is required")?;
    let known = "model max_tokens messages system metadata stop_sequences stream temperature top_p top_k tools tool_choice thinking \
        output_config service_tier";
    only(body, &known.split_whitespace().collect::<Vec<_>>())?;
    let limit = body["max_tokens"].as_u64().ok_or("max_tokens: Field required")?;
    let settings = Settings {
        model: body["model"].as_str().ok_or("model: Field required")?,
        temperature: &body["temperature"],
        top_p: &body["top_p"],
        top_k: &body["top_k"],
        thinking: &body["thinking"],
        insists: ["any", "tool"].iter().any(|kind| body["tool_choice"]["type"] == *kind),
    };
    let thinks = settings.thinks()?;
    if let Some(budget) = body["thinking"].get("budget_tokens") {
        let budget = budget.as_u64().unwrap_or(0);
        ensure((1_024..limit).contains(&budget), "max_tokens must be greater than thinking.budget_tokens")?;
    }
    let mut scene = Scene { thinks, has_tools: body["tools"].is_array(), ..Scene::default() };
    let mut open: Vec<&Value> = Vec::new();
    let mut last_role = &Value::Null;
    for message in list(body, "messages") {
        only(message, &["role", "content"])?;
        ensure(message["role"] != *last_role, "roles must alternate")?;
        last_role = &message["role"];
        let blocks = list(message, "content");
        let is_text = message["content"].as_str().is_some_and(|text| !text.trim().is_empty());
        ensure(is_text || !blocks.is_empty(), "messages: text content blocks must be non-empty")?;
        let of = |kind: &'static str| blocks.iter().copied().filter(move |block| block["type"] == kind);
        if !open.is_empty() {
            matched(&open, &of("tool_result").map(|result| &result["tool_use_id"]).collect::<Vec<_>>())?;
            scene.has_results = true;
        }
        open = of("tool_use").map(|call| &call["id"]).collect();
        if !open.is_empty() {
            ensure(!thinks || blocks[0]["type"] == "thinking", "Expected `thinking`, but found `tool_use`")?;
            ensure(of("tool_use").all(|call| call["input"].is_object()), "tool_use.input: Input should be an object")?;
        }
        for thought in of("thinking") {
            let is_whole = thought["thinking"] == THOUGHT && thought["signature"] == SIGNATURE;
            ensure(is_whole, "Invalid `signature` in `thinking` block")?;
            scene.remembers = true;
        }
        for result in of("tool_result") {
            plain(&result["tool_use_id"])?;
            list(result, "content")
                .into_iter()
                .filter(|part| part["type"] == "text")
                .try_for_each(|part| spoken(&part["text"]))?;
        }
        of("tool_use").try_for_each(|call| plain(&call["id"]))?;
        of("text").try_for_each(|block| spoken(&block["text"]))?;
    }
    list(body, "system").into_iter().try_for_each(|block| spoken(&block["text"]))?;
    for tool in list(body, "tools") {
        let known = "name description input_schema strict type cache_control eager_input_streaming";
        only(tool, &known.split_whitespace().collect::<Vec<_>>())?;
        ensure(tool["input_schema"]["type"] == "object", "tools.0.input_schema.type: Field required")?;
    }
    let format = &body["output_config"]["format"];
    scene.has_schema = format["type"] == "json_schema" && format["schema"]["type"] == "object";
    ensure(format.is_null() || scene.has_schema, "output_config.format: not a schema")?;
    let blocks = list(body, "system").into_iter().chain(list(body, "tools"));
    let blocks = blocks.chain(list(body, "messages").into_iter().flat_map(|message| list(message, "content")));
    let mut marks = blocks.map(|block| &block["cache_control"]);
    scene.is_marked = marks.any(|mark| *mark == json!({ "type": "ephemeral" }));
    Ok(scene)
}
