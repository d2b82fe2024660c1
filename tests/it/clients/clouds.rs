//! The scripted upstreams of Google and AWS: the scene of `scripts` in their shapes.

use serde_json::{Value, json};

use crate::clients::claude::{Settings, plain, spoken};
use crate::clients::scripts::{
    CALLS, Checked, SIGNATURE, Scene, THOUGHT, arguments, body, ensure, halves, list, matched, only,
};
use crate::support::aws::frame;
use crate::support::fake::{Received, Reply, json as whole_json, raw_stream, whole};

/// What stands for the signature of a thought that a client did not keep.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Gemini's `generateContent` and `streamGenerateContent`.
pub(in crate::clients) fn gemini(received: &Received) -> Reply {
    let body = body(received);
    let said = match gemini_scene(received, &body) {
        Ok(scene) => scene.said(),
        Err(problem) => {
            let error = json!({ "error": { "code": 400, "message": problem, "status": "INVALID_ARGUMENT" } });
            return whole(400, "application/json", error.to_string().as_bytes());
        }
    };
    let call = |(_, town): (&str, &str)| json!({ "functionCall": { "name": "get_weather", "args": { "city": town } } });
    let mut calls: Vec<Value> = CALLS.into_iter().filter(|_| said.calls).map(call).collect();
    if let Some(first) = calls.first_mut() {
        first["thoughtSignature"] = json!(SIGNATURE);
    }
    let usage = json!({ "promptTokenCount": 100, "candidatesTokenCount": 9, "totalTokenCount": 109 });
    let piece = |parts: Value, reason: Value| {
        let mut candidate = json!({ "content": { "parts": parts, "role": "model" }, "index": 0 });
        if !reason.is_null() {
            candidate["finishReason"] = reason;
        }
        json!({ "candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3", "responseId": "r1" })
            .to_string()
    };
    let text = |text: &str| json!({ "text": text });
    if !received.path.contains(":streamGenerateContent") {
        let parts: Vec<Value> = [text(said.text)].into_iter().chain(calls).collect();
        return whole_json(&piece(json!(parts), json!("STOP")));
    }
    let [first, second] = halves(said.text).map(|half| piece(json!([text(half)]), Value::Null));
    let calls = calls.into_iter().map(|call| piece(json!([call]), Value::Null));
    let last = piece(json!([text("")]), json!("STOP"));
    let events = [first, second].into_iter().chain(calls).chain([last]).map(|data| format!("data: {data}\r\n\r\n"));
    raw_stream(&events.collect::<Vec<_>>())
}

fn gemini_scene(received: &Received, body: &Value) -> Checked<Scene> {
    let is_stream = received.path.ends_with(":streamGenerateContent?alt=sse");
    ensure(is_stream || received.path.ends_with(":generateContent"), format!("no such path: {}", received.path))?;
    ensure(received.header("x-goog-api-key").is_some(), "Method doesn't allow unregistered callers")?;
    only(body, &["contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"])?;
    let mut scene = Scene { has_tools: !list(body, "tools").is_empty(), ..Scene::default() };
    let mut open: Vec<&Value> = Vec::new();
    for content in list(body, "contents") {
        let is_model = content["role"] == "model";
        ensure(is_model || content["role"] == "user", "Please use a valid role: user, model.")?;
        let parts = list(content, "parts");
        ensure(!parts.is_empty(), "contents.parts must not be empty")?;
        for part in &parts {
            only(
                part,
                &["text", "thought", "inlineData", "fileData", "functionCall", "functionResponse", "thoughtSignature"],
            )?;
        }
        let of = |kind: &'static str| parts.iter().copied().filter(move |part| part.get(kind).is_some());
        if !open.is_empty() {
            matched(&open, &of("functionResponse").map(|part| &part["functionResponse"]["name"]).collect::<Vec<_>>())?;
            ensure(of("functionResponse").all(|part| part["functionResponse"]["response"].is_object()), "no response")?;
            scene.has_results = true;
        }
        open = of("functionCall").map(|part| &part["functionCall"]["name"]).collect();
        if let Some(first) = of("functionCall").next() {
            let signature = &first["thoughtSignature"];
            scene.remembers = signature == SIGNATURE;
            let problem = "Function call is missing a thought_signature in functionCall parts";
            ensure(scene.remembers || signature == NO_SIGNATURE, problem)?;
        }
    }
    for tool in list(body, "tools") {
        for function in list(tool, "functionDeclarations") {
            only(function, &["name", "description", "parameters", "parametersJsonSchema", "behavior"])?;
            let schema = if function["parameters"].is_null() { "parametersJsonSchema" } else { "parameters" };
            let kind = function[schema]["type"].as_str().map(str::to_ascii_lowercase);
            ensure(kind.as_deref() == Some("object"), "parameters should be of type OBJECT")?;
        }
    }
    let config = &body["generationConfig"];
    let has_schema = ["responseJsonSchema", "responseSchema"].iter().any(|name| config[*name].is_object());
    ensure(!has_schema || config["responseMimeType"] == "application/json", "a schema needs application/json")?;
    let mixes = received.path.contains("gemini-2") && scene.has_tools && !config["responseMimeType"].is_null();
    ensure(!mixes, "Function calling with a response mime type: 'application/json' is unsupported")?;
    Ok(Scene { has_schema, ..scene })
}

/// Bedrock's `Converse` and `ConverseStream`.
pub(in crate::clients) fn bedrock(received: &Received) -> Reply {
    let body = body(received);
    let said = match bedrock_scene(received, &body) {
        Ok(scene) => scene.said(),
        Err(problem) => return whole(400, "application/json", json!({ "message": problem }).to_string().as_bytes()),
    };
    let reason = if said.calls { "tool_use" } else { "end_turn" };
    let usage = json!({ "inputTokens": 100 - said.cached, "outputTokens": 9, "totalTokens": 109, "cacheReadInputTokens": said.cached, "cacheWriteInputTokens": 0 });
    let calls: &[(&str, &str)] = if said.calls { &CALLS } else { &[] };
    if received.path.ends_with("/converse") {
        let thought = json!({ "reasoningContent": { "reasoningText": { "text": THOUGHT, "signature": SIGNATURE } } });
        let call = |(id, town): &(&str, &str)| json!({ "toolUse": { "toolUseId": id, "name": "get_weather", "input": { "city": town } } });
        let thought = said.thinks.then_some(thought);
        let content: Vec<Value> =
            thought.into_iter().chain([json!({ "text": said.text })]).chain(calls.iter().map(call)).collect();
        let output = json!({ "message": { "role": "assistant", "content": content } });
        let answer = json!({ "output": output, "stopReason": reason, "usage": usage, "metrics": { "latencyMs": 1 } });
        return whole_json(&answer.to_string());
    }
    let mut bytes = frame("messageStart", &json!({ "role": "assistant" }).to_string());
    let mut at = 0;
    let mut tell = |start: Option<Value>, deltas: Vec<Value>| {
        if let Some(start) = start {
            bytes.extend(frame("contentBlockStart", &json!({ "contentBlockIndex": at, "start": start }).to_string()));
        }
        for delta in deltas {
            bytes.extend(frame("contentBlockDelta", &json!({ "contentBlockIndex": at, "delta": delta }).to_string()));
        }
        bytes.extend(frame("contentBlockStop", &json!({ "contentBlockIndex": at }).to_string()));
        at += 1;
    };
    if said.thinks {
        let pieces = halves(THOUGHT).map(|piece| json!({ "reasoningContent": { "text": piece } }));
        tell(None, pieces.into_iter().chain([json!({ "reasoningContent": { "signature": SIGNATURE } })]).collect());
    }
    tell(None, halves(said.text).map(|piece| json!({ "text": piece })).to_vec());
    for (id, town) in calls {
        let pieces = halves(&arguments(town)).map(|piece| json!({ "toolUse": { "input": piece } })).to_vec();
        tell(Some(json!({ "toolUse": { "toolUseId": id, "name": "get_weather" } })), pieces);
    }
    bytes.extend(frame("messageStop", &json!({ "stopReason": reason }).to_string()));
    bytes.extend(frame("metadata", &json!({ "usage": usage, "metrics": { "latencyMs": 1 } }).to_string()));
    whole(200, "application/vnd.amazon.eventstream", &bytes)
}

fn bedrock_scene(received: &Received, body: &Value) -> Checked<Scene> {
    let is_known = received.path.ends_with("/converse") || received.path.ends_with("/converse-stream");
    ensure(
        is_known && received.path.contains("/model/anthropic.claude-haiku-4-5/"),
        format!("no path {}", received.path),
    )?;
    let key = received.header("authorization").unwrap_or_default();
    ensure(key.starts_with("AWS4-HMAC-SHA256 Credential="), "Missing Authentication Token")?;
    only(
        body,
        &["messages", "system", "inferenceConfig", "toolConfig", "outputConfig", "additionalModelRequestFields"],
    )?;
    only(&body["inferenceConfig"], &["maxTokens", "temperature", "topP", "stopSequences"])?;
    let (config, fields) = (&body["inferenceConfig"], &body["additionalModelRequestFields"]);
    let choice = &body["toolConfig"]["toolChoice"];
    let settings = Settings {
        model: &received.path,
        temperature: &config["temperature"],
        top_p: &config["topP"],
        top_k: &fields["top_k"],
        thinking: &fields["thinking"],
        insists: ["any", "tool"].iter().any(|kind| choice.get(kind).is_some()),
    };
    let thinks = settings.thinks()?;
    let has_tool_config = !list(&body["toolConfig"], "tools").is_empty();
    let mut scene = Scene { thinks, ..Scene::default() };
    let is_point = |block: &Value| block["cachePoint"]["type"] == "default";
    let mut open: Vec<&Value> = Vec::new();
    for message in list(body, "messages") {
        let blocks = list(message, "content");
        ensure(!blocks.is_empty(), "The content field in the Message object is empty")?;
        for block in &blocks {
            ensure(block.as_object().is_some_and(|fields| fields.len() == 1), "a block has exactly one field")?;
            scene.is_marked |= is_point(block);
        }
        let of = |kind: &'static str| blocks.iter().filter_map(move |block| block.get(kind));
        if !open.is_empty() {
            matched(&open, &of("toolResult").map(|result| &result["toolUseId"]).collect::<Vec<_>>())?;
            scene.has_results = true;
        }
        open = of("toolUse").map(|call| &call["toolUseId"]).collect();
        ensure(of("toolUse").all(|call| call["input"].is_object()), "toolUse.input is not an object")?;
        let problem = "The toolConfig field must be defined when using toolUse and toolResult content blocks.";
        ensure(has_tool_config || of("toolUse").chain(of("toolResult")).next().is_none(), problem)?;
        of("toolUse").chain(of("toolResult")).try_for_each(|block| plain(&block["toolUseId"]))?;
        of("text").try_for_each(spoken)?;
        for result in of("toolResult") {
            let texts = list(result, "content").into_iter().filter_map(|part| part.get("text"));
            ensure(!list(result, "content").is_empty(), "The content field in the ToolResult object is empty")?;
            texts.into_iter().try_for_each(spoken)?;
        }
        for thought in of("reasoningContent") {
            scene.remembers = thought["reasoningText"] == json!({ "text": THOUGHT, "signature": SIGNATURE });
            ensure(scene.remembers, "Invalid signature in reasoningContent")?;
        }
        ensure(open.is_empty() || !thinks || scene.remembers, "Expected `thinking`, but found `tool_use`")?;
    }
    for tool in list(&body["toolConfig"], "tools") {
        if is_point(tool) {
            scene.is_marked = true;
        } else {
            ensure(tool["toolSpec"]["inputSchema"]["json"]["type"] == "object", "toolSpec without a schema")?;
            scene.has_tools = true;
        }
    }
    scene.is_marked |= list(body, "system").into_iter().any(is_point);
    let schema = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
    scene.has_schema = schema.as_str().is_some_and(|schema| schema.starts_with('{'));
    ensure(schema.is_null() || scene.has_schema, "the schema is not JSON as text")?;
    Ok(scene)
}
