//! What a Messages request may hold.

use serde_json::{Value, json};

use crate::losses::Probe;

/// The probes, in the order of the table.
pub(super) fn probes() -> Vec<Probe> {
    let mut all = settings();
    all.extend(content());
    all
}

fn base() -> Value {
    json!({ "model": "m", "max_tokens": 4000, "messages": [{ "role": "user", "content": "Hello" }] })
}

/// A field, beside others; what is looked for in it.
fn beside(name: &'static str, others: Value, asked: (&str, Value, Value)) -> Probe {
    Probe::beside(name, (base(), others), asked)
}

fn field(name: &'static str, value: Value) -> Probe {
    beside(name, json!({}), (name.trim_matches('`'), value.clone(), value))
}

fn tool(more: (&str, Value)) -> Value {
    let mut tool = json!({ "name": "weather", "input_schema": { "type": "object", "properties": {} } });
    tool[more.0] = more.1;
    json!([tool])
}

fn settings() -> Vec<Probe> {
    let plain = || json!({ "tools": tool(("description", json!("A tool."))) });
    let mark = json!({ "type": "ephemeral" });
    let schema = json!({ "type": "object", "properties": { "age": { "type": "integer" } }, "required": ["age"], "additionalProperties": false });
    let format = json!({ "format": { "type": "json_schema", "schema": schema } });
    let thinking = json!({ "type": "enabled", "budget_tokens": 2048 });
    let choice = |choice: Value| ("tool_choice", choice.clone(), choice);
    vec![
        field("`max_tokens`", json!(64)),
        field("`temperature`", json!(0.5)),
        field("`top_p`", json!(0.9)),
        field("`top_k`", json!(40)),
        field("`stop_sequences`", json!(["END"])),
        beside("`metadata.user_id`", json!({}), ("metadata", json!({ "user_id": "u-1" }), json!("u-1"))),
        field("`service_tier`", json!("auto")),
        field("`thinking`", thinking),
        beside("`thinking` `adaptive`", json!({}), ("thinking", json!({ "type": "adaptive" }), json!("adaptive"))),
        beside("`output_config.effort`", json!({}), ("output_config", json!({ "effort": "high" }), json!("high"))),
        beside("`output_config.format`", json!({}), ("output_config", format, schema)),
        field("`context_management`", json!({ "edits": [] })),
        beside(
            "`mcp_servers`",
            json!({}),
            ("mcp_servers", json!([{ "url": "https://a.example" }]), json!("https://a.example")),
        ),
        beside("`container`", json!({}), ("container", json!("c-1"), json!("c-1"))),
        beside("`system`", json!({}), ("system", json!("Be brief."), json!("Be brief."))),
        beside(
            "`cache_control` of `system`",
            json!({ "system": [{ "type": "text", "text": "Be brief." }] }),
            ("system", json!([{ "type": "text", "text": "Be brief.", "cache_control": mark }]), mark.clone()),
        ),
        beside("`tools`", json!({}), ("tools", tool(("description", json!("A tool."))), json!("weather"))),
        beside(
            "`strict` of a tool",
            json!({ "tools": tool(("type", json!("custom"))) }),
            ("tools", tool(("strict", json!(true))), json!(true)),
        ),
        beside(
            "`cache_control` of a tool",
            json!({ "tools": tool(("type", json!("custom"))) }),
            ("tools", tool(("cache_control", mark.clone())), mark),
        ),
        beside(
            "tools that Anthropic runs",
            json!({}),
            ("tools", json!([{ "type": "web_search_20250305", "name": "search" }]), json!("web_search_20250305")),
        ),
        beside("`tool_choice` `any`", plain(), choice(json!({ "type": "any" }))),
        beside("`tool_choice` `none`", plain(), choice(json!({ "type": "none" }))),
        beside("`tool_choice` of one tool", plain(), choice(json!({ "type": "tool", "name": "weather" }))),
        beside(
            "`disable_parallel_tool_use`",
            json!({ "tools": tool(("type", json!("custom"))), "tool_choice": { "type": "auto" } }),
            choice(json!({ "type": "auto", "disable_parallel_tool_use": true })),
        ),
        beside("a field that nobody knows", json!({}), ("novelty", json!("new"), json!("new"))),
    ]
}

/// Messages in place of others; what is looked for in them.
fn said(name: &'static str, (without, with): (Value, Value), given: Value) -> Probe {
    let of = |messages: Value| json!({ "model": "m", "max_tokens": 4000, "tools": tool(("type", json!("custom"))), "messages": messages });
    Probe { name, given, without: of(without), with: of(with) }
}

/// A block of a user's message.
fn block(name: &'static str, block: Value, given: &str) -> Probe {
    let text = json!({ "type": "text", "text": "Hello" });
    let without = json!([{ "role": "user", "content": [text] }]);
    said(name, (without, json!([{ "role": "user", "content": [text, block] }])), json!(given))
}

/// A block before the answer of a model.
fn thought(name: &'static str, block: Value, given: &str) -> Probe {
    let user = json!({ "role": "user", "content": "Hello" });
    let answer = json!({ "type": "text", "text": "Hi" });
    let of = |content: Value| json!([user, { "role": "assistant", "content": content }, user]);
    said(name, (of(json!([answer])), of(json!([block, answer]))), json!(given))
}

/// A result of a call, with something beside or in place of the usual.
fn result(name: &'static str, (field, value): (&str, Value), given: &str) -> Probe {
    let of = |result: Value| {
        json!([
            { "role": "user", "content": "Hello" },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} }] },
            { "role": "user", "content": [result] },
        ])
    };
    let without = json!({ "type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain" });
    let mut with = without.clone();
    with[field] = value;
    said(name, (of(without), of(with)), said_or_flag(given))
}

/// What is looked for: a text, or true.
fn said_or_flag(given: &str) -> Value {
    if given == "true" { json!(true) } else { json!(given) }
}

/// A document without something and with it.
fn of_document(name: &'static str, (field, value): (&str, Value), given: &str) -> Probe {
    let without =
        json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "cGRm" } });
    let mut with = without.clone();
    with[field] = value;
    let of = |document: Value| json!([{ "role": "user", "content": [{ "type": "text", "text": "Hello" }, document] }]);
    said(name, (of(without), of(with)), said_or_flag(given))
}

fn content() -> Vec<Probe> {
    let image =
        json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGVsbG8=" } });
    let document = |source: Value| json!({ "type": "document", "title": "report", "source": source });
    let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "cGRm" });
    let user = json!({ "role": "user", "content": "Hello" });
    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "b": 1 } });
    vec![
        block("an image", image.clone(), "aGVsbG8="),
        block(
            "an image by address",
            json!({ "type": "image", "source": { "type": "url", "url": "https://a.example/b.png" } }),
            "https://a.example/b.png",
        ),
        block("a PDF", document(pdf), "cGRm"),
        of_document("title of a document", ("title", json!("report")), "report"),
        of_document("citations of a document", ("citations", json!({ "enabled": true })), "true"),
        block(
            "a document that is text",
            document(json!({ "type": "text", "media_type": "text/plain", "data": "Buy milk." })),
            "Buy milk.",
        ),
        block(
            "a document by address",
            document(json!({ "type": "url", "url": "https://a.example/b.pdf" })),
            "https://a.example/b.pdf",
        ),
        block(
            "a search result",
            json!({ "type": "search_result", "source": "https://a.example", "title": "A page", "content": [{ "type": "text", "text": "What it says." }] }),
            "What it says.",
        ),
        thought("signed thoughts", json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }), "c2ln"),
        thought("encrypted thoughts", json!({ "type": "redacted_thinking", "data": "cmVk" }), "cmVk"),
        thought(
            "thoughts without a signature",
            json!({ "type": "thinking", "thinking": "Hm.", "signature": "" }),
            "Hm.",
        ),
        thought(
            "calls of tools that Anthropic runs",
            json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {} }),
            "web_search",
        ),
        said(
            "a call",
            (
                json!([user]),
                json!([user, { "role": "assistant", "content": [call] }, { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain" }] }]),
            ),
            json!("toolu_1"),
        ),
        result("a result", ("content", json!("Sunshine")), "Sunshine"),
        result("`is_error` of a result", ("is_error", json!(true)), "true"),
        result("an image in a result", ("content", json!([{ "type": "text", "text": "Rain" }, image])), "aGVsbG8="),
        result("`cache_control` of a result", ("cache_control", json!({ "type": "ephemeral" })), "ephemeral"),
        said(
            "a beginning of the answer",
            (json!([user]), json!([user, { "role": "assistant", "content": "The answer is" }])),
            json!("The answer is"),
        ),
    ]
}
