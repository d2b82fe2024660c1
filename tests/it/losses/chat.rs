//! What a chat completions request may hold.

use serde_json::{Value, json};

use crate::losses::Probe;

/// The probes, in the order of the table.
pub(super) fn probes() -> Vec<Probe> {
    let mut all = settings();
    all.extend(tools());
    all.extend(conversation());
    all
}

fn base() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }] })
}

/// A field, beside others.
fn beside(name: &'static str, others: Value, (field, value): (&str, Value)) -> Probe {
    Probe::beside(name, (base(), others), (field, value.clone(), value))
}

fn field(name: &'static str, value: Value) -> Probe {
    beside(name, json!({}), (name.trim_matches('`'), value))
}

/// Messages in place of others; what is looked for in them.
fn said(name: &'static str, (without, with): (Value, Value), given: Value) -> Probe {
    let of = |messages: Value| json!({ "model": "m", "tools": functions(), "messages": messages });
    Probe { name, given, without: of(without), with: of(with) }
}

/// The same part of a user's message without something and with it.
fn within_part(name: &'static str, (without, with): (Value, Value), given: Value) -> Probe {
    let of = |part: Value| json!([{ "role": "user", "content": [{ "type": "text", "text": "Hello" }, part] }]);
    said(name, (of(without), of(with)), given)
}

/// A part of a user's message.
fn part(name: &'static str, part: Value, given: Value) -> Probe {
    let text = json!({ "type": "text", "text": "Hello" });
    let without = json!([{ "role": "user", "content": [text] }]);
    said(name, (without, json!([{ "role": "user", "content": [text, part] }])), given)
}

fn functions() -> Value {
    json!([{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object", "properties": {} } } }])
}

fn offering(name: &'static str, (field, value): (&str, Value)) -> Probe {
    beside(name, json!({ "tools": functions() }), (field, value))
}

fn settings() -> Vec<Probe> {
    let thinking = || json!({ "reasoning_effort": "high" });
    let schema = json!({ "type": "object", "properties": { "age": { "type": "integer" } }, "required": ["age"], "additionalProperties": false });
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "person", "strict": true, "schema": schema } });
    let named = beside(
        "name of a schema",
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "other", "strict": true, "schema": schema } } }),
        ("response_format", format.clone()),
    );
    let named = Probe { given: json!("person"), ..named };
    vec![
        field("`max_completion_tokens`", json!(64)),
        field("`max_tokens`", json!(64)),
        field("`temperature`", json!(0.5)),
        beside("`temperature` above 1", json!({}), ("temperature", json!(1.5))),
        beside("`temperature` beside `reasoning_effort`", thinking(), ("temperature", json!(0.5))),
        field("`top_p`", json!(0.9)),
        beside("`top_p` beside `temperature`", json!({ "temperature": 0.5 }), ("top_p", json!(0.9))),
        field("`top_k`", json!(40)),
        field("`seed`", json!(7)),
        field("`presence_penalty`", json!(0.5)),
        field("`frequency_penalty`", json!(0.5)),
        field("`stop`", json!(["END"])),
        beside("`stop` of spaces", json!({}), ("stop", json!(["\n\n"]))),
        beside("`n` above 1", json!({}), ("n", json!(3))),
        field("`logprobs`", json!(true)),
        beside("`top_logprobs`", json!({ "logprobs": true }), ("top_logprobs", json!(3))),
        field("`logit_bias`", json!({ "7": 1 })),
        field("`reasoning_effort`", json!("high")),
        beside("`reasoning_effort` `none`", json!({}), ("reasoning_effort", json!("none"))),
        field("`thinking`", json!({ "type": "enabled", "budget_tokens": 2048 })),
        field("`verbosity`", json!("low")),
        beside("`response_format` `json_object`", json!({}), ("response_format", json!({ "type": "json_object" }))),
        Probe { given: schema, ..beside("`response_format` `json_schema`", json!({}), ("response_format", format)) },
        named,
        field("`user`", json!("u-1")),
        field("`safety_identifier`", json!("s-1")),
        field("`metadata`", json!({ "a": "b" })),
        field("`service_tier`", json!("flex")),
        field("`prompt_cache_key`", json!("k-1")),
        field("`prompt_cache_retention`", json!("24h")),
        field("`store`", json!(true)),
        field("`moderation`", json!({ "model": "omni-moderation" })),
        field("`prediction`", json!({ "type": "content", "content": "Hello" })),
        field("`modalities`", json!(["text"])),
        field("`web_search_options`", json!({ "search_context_size": "low" })),
        beside("a field that nobody knows", json!({}), ("novelty", json!("new"))),
    ]
}

fn tools() -> Vec<Probe> {
    let described = |name: &str, value: Value| {
        let mut tools = functions();
        tools[0]["function"][name] = value;
        tools
    };
    let custom = json!([{ "type": "custom", "custom": { "name": "weather" } }]);
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [{ "type": "function", "function": { "name": "weather" } }] } });
    vec![
        Probe { given: json!("weather"), ..beside("`tools`", json!({}), ("tools", functions())) },
        Probe {
            given: json!("A tool."),
            ..offering("description of a tool", ("tools", described("description", json!("A tool."))))
        },
        Probe { given: json!(true), ..offering("`strict` of a tool", ("tools", described("strict", json!(true)))) },
        Probe { given: json!("weather"), ..beside("custom tools", json!({}), ("tools", custom)) },
        beside("`tool_choice` `auto`", json!({ "tools": functions() }), ("tool_choice", json!("auto"))),
        offering("`tool_choice` `required`", ("tool_choice", json!("required"))),
        offering("`tool_choice` `none`", ("tool_choice", json!("none"))),
        offering(
            "`tool_choice` of one function",
            ("tool_choice", json!({ "type": "function", "function": { "name": "weather" } })),
        ),
        offering("`tool_choice` `allowed_tools` (all of them)", ("tool_choice", allowed)),
        offering("`parallel_tool_calls` `false`", ("parallel_tool_calls", json!(false))),
    ]
}

fn conversation() -> Vec<Probe> {
    let user = json!({ "role": "user", "content": "Hello" });
    let call =
        json!({ "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"b\":1}" } });
    let called = |call: Value| json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let result = |content: Value| json!({ "role": "tool", "tool_call_id": "call_1", "content": content });
    let changed = |mut object: Value, name: &str, value: Value| {
        object[name] = value;
        object
    };
    let answered = json!({ "role": "assistant", "content": "Hi" });
    let turn = |message: Value| json!([user, message, user]);
    let calls = |call: Value, content: Value| json!([user, called(call), result(content)]);
    let text = json!({ "type": "text", "text": "Hello" });
    let marked = changed(text.clone(), "cache_control", json!({ "type": "ephemeral" }));
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,aGVsbG8=" } });
    let pdf = json!({ "type": "file", "file": { "filename": "annual.pdf", "file_data": "data:application/pdf;base64,cGRm" } });
    let thoughts = json!([{ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }]);
    let google = json!({ "google": { "thought_signature": "Z29vZ2xl" } });
    vec![
        said(
            "a system message",
            (json!([user]), json!([{ "role": "system", "content": "Be brief." }, user])),
            json!("Be brief."),
        ),
        said(
            "a developer message",
            (json!([user]), json!([{ "role": "developer", "content": "Be brief." }, user])),
            json!("Be brief."),
        ),
        said(
            "a system message in the middle",
            (json!([user]), json!([user, { "role": "system", "content": "Be brief." }])),
            json!("Be brief."),
        ),
        said(
            "`name` of a message",
            (json!([user]), json!([changed(user.clone(), "name", json!("Ann"))])),
            json!("Ann"),
        ),
        said(
            "`cache_control` of a part",
            (json!([{ "role": "user", "content": [text] }]), json!([{ "role": "user", "content": [marked] }])),
            json!({ "type": "ephemeral" }),
        ),
        part("an image", image.clone(), json!("aGVsbG8=")),
        part(
            "an image by address",
            json!({ "type": "image_url", "image_url": { "url": "https://a.example/b.png" } }),
            json!("https://a.example/b.png"),
        ),
        within_part(
            "`detail` of an image",
            (
                image,
                json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,aGVsbG8=", "detail": "low" } }),
            ),
            json!("low"),
        ),
        part("a PDF", pdf.clone(), json!("cGRm")),
        within_part(
            "name of a document",
            (
                pdf,
                json!({ "type": "file", "file": { "filename": "report.pdf", "file_data": "data:application/pdf;base64,cGRm" } }),
            ),
            json!("report"),
        ),
        part(
            "a table (CSV)",
            json!({ "type": "file", "file": { "filename": "t.csv", "file_data": "data:text/csv;base64,YSxi" } }),
            json!("YSxi"),
        ),
        part("a file by id", json!({ "type": "file", "file": { "file_id": "file-1" } }), json!("file-1")),
        part(
            "sound",
            json!({ "type": "input_audio", "input_audio": { "data": "d2F2", "format": "wav" } }),
            json!("d2F2"),
        ),
        said("an answer of the model", (json!([user, user]), json!([user, answered, user])), json!("Hi")),
        said(
            "a refusal of the model",
            (turn(answered.clone()), turn(json!({ "role": "assistant", "refusal": "I cannot." }))),
            json!("I cannot."),
        ),
        said("a call and its result", (json!([user]), calls(call.clone(), json!("Rain"))), json!("Rain")),
        said("id of a call", (json!([user]), calls(call.clone(), json!("Rain"))), json!("call_1")),
        said(
            "a result in parts",
            (json!([user]), calls(call.clone(), json!([{ "type": "text", "text": "Rain" }]))),
            json!("Rain"),
        ),
        said(
            "arguments that are no object",
            (
                calls(call.clone(), json!("Rain")),
                calls(
                    changed(call.clone(), "function", json!({ "name": "weather", "arguments": "{\"b\":" })),
                    json!("Rain"),
                ),
            ),
            json!("{\"b\":"),
        ),
        said(
            "signed thoughts (`thinking_blocks`)",
            (turn(answered.clone()), turn(changed(answered.clone(), "thinking_blocks", thoughts))),
            json!("c2ln"),
        ),
        said(
            "`reasoning_content`",
            (turn(answered.clone()), turn(changed(answered, "reasoning_content", json!("Hm.")))),
            json!("Hm."),
        ),
        said(
            "Gemini's signature of a call",
            (calls(call.clone(), json!("Rain")), calls(changed(call, "extra_content", google), json!("Rain"))),
            json!("Z29vZ2xl"),
        ),
    ]
}
