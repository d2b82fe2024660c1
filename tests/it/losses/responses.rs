//! What a Responses request may hold.

use serde_json::{Value, json};

use crate::losses::Probe;

/// The probes, in the order of the table.
pub(super) fn probes() -> Vec<Probe> {
    let mut all = settings();
    all.extend(refused());
    all.extend(tools());
    all.extend(input());
    all
}

/// A field, beside others; what is looked for in it.
fn beside(name: &'static str, others: Value, asked: (&str, Value, Value)) -> Probe {
    Probe::beside(name, (json!({ "model": "m", "input": [{ "role": "user", "content": "Hello" }] }), others), asked)
}

fn field(name: &'static str, value: Value) -> Probe {
    beside(name, json!({}), (name.trim_matches('`'), value.clone(), value))
}

fn settings() -> Vec<Probe> {
    let schema = json!({ "type": "object", "properties": { "age": { "type": "integer" } }, "required": ["age"], "additionalProperties": false });
    let format = json!({ "format": { "type": "json_schema", "name": "person", "strict": true, "schema": schema } });
    let within = |name: &'static str, field: &str, value: Value, given: &str| {
        beside(name, json!({}), (field, value, json!(given)))
    };
    vec![
        field("`instructions`", json!("Be brief.")),
        field("`max_output_tokens`", json!(64)),
        field("`temperature`", json!(0.5)),
        field("`top_p`", json!(0.9)),
        field("`top_logprobs`", json!(3)),
        beside("`text.format`", json!({}), ("text", format, schema)),
        within("`text.verbosity`", "text", json!({ "verbosity": "low" }), "low"),
        within("`reasoning.effort`", "reasoning", json!({ "effort": "high" }), "high"),
        within("`reasoning.summary`", "reasoning", json!({ "summary": "detailed" }), "detailed"),
        within(
            "`include` of encrypted thoughts",
            "include",
            json!(["reasoning.encrypted_content"]),
            "reasoning.encrypted_content",
        ),
        within(
            "`include` of log probabilities",
            "include",
            json!(["message.output_text.logprobs"]),
            "message.output_text.logprobs",
        ),
        field("`metadata`", json!({ "a": "b" })),
        field("`user`", json!("u-1")),
        field("`safety_identifier`", json!("s-1")),
        field("`prompt_cache_key`", json!("k-1")),
        field("`prompt_cache_retention`", json!("24h")),
        field("`service_tier`", json!("flex")),
        field("`moderation`", json!({ "model": "omni-moderation" })),
        field("`max_tool_calls`", json!(3)),
        field("`stream_options`", json!({ "include_obfuscation": false })),
        field("`client_metadata`", json!({ "a": "b" })),
        beside("a field that nobody knows", json!({}), ("novelty", json!("new"), json!("new"))),
    ]
}

/// What would need a memory, or another's servers.
fn refused() -> Vec<Probe> {
    vec![
        beside("`store` `true`", json!({}), ("store", json!(true), json!(true))),
        field("`previous_response_id`", json!("resp_1")),
        field("`conversation`", json!("conv_1")),
        beside("`background` `true`", json!({}), ("background", json!(true), json!(true))),
        field("`prompt`", json!({ "id": "pmpt_1" })),
        beside("`truncation` `auto`", json!({}), ("truncation", json!("auto"), json!("auto"))),
        beside("`truncation` `disabled`", json!({}), ("truncation", json!("disabled"), json!("disabled"))),
        field("`context_management`", json!([{ "type": "compaction" }])),
    ]
}

fn tools() -> Vec<Probe> {
    let tool = |strict: bool| json!([{ "type": "function", "name": "weather", "strict": strict, "parameters": { "type": "object", "properties": {}, "required": [], "additionalProperties": false } }]);
    let plain = || json!({ "tools": tool(false) });
    let choice = |choice: Value| ("tool_choice", choice.clone(), choice);
    let allowed =
        json!({ "type": "allowed_tools", "mode": "auto", "tools": [{ "type": "function", "name": "weather" }] });
    vec![
        beside("`tools`", json!({}), ("tools", tool(false), json!("weather"))),
        beside("`strict` of a function", plain(), ("tools", tool(true), json!(true))),
        beside("tools that OpenAI runs", json!({}), ("tools", json!([{ "type": "web_search" }]), json!("web_search"))),
        beside(
            "custom tools",
            json!({}),
            ("tools", json!([{ "type": "custom", "name": "weather" }]), json!("weather")),
        ),
        beside("`tool_choice` `required`", plain(), choice(json!("required"))),
        beside("`tool_choice` `none`", plain(), choice(json!("none"))),
        beside("`tool_choice` of one function", plain(), choice(json!({ "type": "function", "name": "weather" }))),
        beside("`tool_choice` `allowed_tools` (all of them)", plain(), choice(allowed)),
        beside("`parallel_tool_calls` `false`", plain(), ("parallel_tool_calls", json!(false), json!(false))),
    ]
}

/// Items behind the user's message; what is looked for in them.
fn items(name: &'static str, (without, with): (Value, Value), given: &str) -> Probe {
    let of = |items: Value| {
        let mut input = vec![json!({ "role": "user", "content": "Hello" })];
        input.extend(items.as_array().unwrap().clone());
        json!({ "model": "m", "input": input, "tools": [{ "type": "function", "name": "weather" }] })
    };
    Probe { name, given: json!(given), without: of(without), with: of(with) }
}

/// A part of a user's message.
fn part(name: &'static str, part: Value, given: &str) -> Probe {
    let text = json!({ "type": "input_text", "text": "See:" });
    let of = |content: Value| json!([{ "role": "user", "content": content }]);
    items(name, (of(json!([text])), of(json!([text, part]))), given)
}

fn input() -> Vec<Probe> {
    let call = json!({ "type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}" });
    let output = |output: Value| json!({ "type": "function_call_output", "call_id": "call_1", "output": output });
    let answer = |part: Value| json!({ "type": "message", "role": "assistant", "content": [part] });
    let hi = answer(json!({ "type": "output_text", "text": "Hi" }));
    let image = json!({ "type": "input_image", "image_url": "data:image/png;base64,aGVsbG8=" });
    let thought = |encrypted: Option<&str>| {
        let mut item =
            json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Two towns." }] });
        if let Some(encrypted) = encrypted {
            item["encrypted_content"] = json!(encrypted);
        }
        item
    };
    let shown = |image: Value| json!([{ "role": "user", "content": [image] }]);
    let before = json!([hi]);
    vec![
        items(
            "a developer message",
            (json!([]), json!([{ "role": "developer", "content": "Be brief." }])),
            "Be brief.",
        ),
        part("an image", image.clone(), "aGVsbG8="),
        part(
            "an image by address",
            json!({ "type": "input_image", "image_url": "https://a.example/b.png" }),
            "https://a.example/b.png",
        ),
        part("an image by id", json!({ "type": "input_image", "file_id": "file-1" }), "file-1"),
        items(
            "`detail` of an image",
            (
                shown(image.clone()),
                shown(json!({ "type": "input_image", "image_url": "data:image/png;base64,aGVsbG8=", "detail": "low" })),
            ),
            "low",
        ),
        part(
            "a PDF",
            json!({ "type": "input_file", "filename": "report.pdf", "file_data": "data:application/pdf;base64,cGRm" }),
            "cGRm",
        ),
        part("a file by id", json!({ "type": "input_file", "file_id": "file-1" }), "file-1"),
        part(
            "a file by address",
            json!({ "type": "input_file", "file_url": "https://a.example/b.pdf" }),
            "https://a.example/b.pdf",
        ),
        items("an answer of the model", (json!([]), before.clone()), "Hi"),
        items(
            "a refusal of the model",
            (before.clone(), json!([answer(json!({ "type": "refusal", "refusal": "I cannot." }))])),
            "I cannot.",
        ),
        items("encrypted thoughts", (before.clone(), json!([thought(Some("gAAA")), hi])), "gAAA"),
        items("thoughts in words alone", (before, json!([thought(None), hi])), "Two towns."),
        items("a call", (json!([]), json!([call, output(json!("Rain"))])), "call_1"),
        items(
            "its result",
            (json!([call, output(json!("Rain"))]), json!([call, output(json!("Sunshine"))])),
            "Sunshine",
        ),
        items(
            "an image in a result",
            (
                json!([call, output(json!("Rain"))]),
                json!([call, output(json!([{ "type": "input_text", "text": "Rain" }, image]))]),
            ),
            "aGVsbG8=",
        ),
        items("`item_reference`", (json!([]), json!([{ "type": "item_reference", "id": "msg_1" }])), "msg_1"),
    ]
}
