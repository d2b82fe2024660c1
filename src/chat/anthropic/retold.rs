//! A whole message as the events of a stream, for a client that wants it so though it was read to its end first.

use serde_json::{Map, Value, json};

/// The events that say what a message says. None where it is no message.
pub(crate) fn events(message: &Value) -> Vec<Value> {
    let Some(fields) = message.as_object() else { return Vec::new() };
    let Some(blocks) = fields.get("content").and_then(Value::as_array) else { return Vec::new() };
    let mut begun = fields.clone();
    begun.insert("content".to_owned(), json!([]));
    let mut ending = Map::new();
    for name in ["stop_reason", "stop_sequence", "container"] {
        if let Some(value) = begun.insert(name.to_owned(), Value::Null) {
            ending.insert(name.to_owned(), value);
        } else {
            begun.remove(name);
        }
    }
    let mut last = Map::from_iter([("type".to_owned(), json!("message_delta")), ("delta".to_owned(), ending.into())]);
    if let Some(usage) = fields.get("usage") {
        last.insert("usage".to_owned(), usage.clone());
    }
    if let Some(edits) = begun.remove("context_management") {
        last.insert("context_management".to_owned(), edits);
    }
    let mut events = vec![json!({ "type": "message_start", "message": begun })];
    for (index, block) in blocks.iter().enumerate() {
        let (opening, deltas) = parts(block);
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": opening }));
        let delta = |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.extend([last.into(), json!({ "type": "message_stop" })]);
    events
}

/// A block as it opens, and what is added to it. One of a kind that is not known to grow opens whole.
fn parts(block: &Value) -> (Value, Vec<Value>) {
    let mut opening = block.clone();
    let mut take = |name: &str, empty: Value| {
        let field = opening.get_mut(name)?;
        Some(std::mem::replace(field, empty)).filter(|given| !given.is_null())
    };
    let deltas = match block.get("type").and_then(Value::as_str) {
        Some("text") => {
            let citations = take("citations", json!([]));
            let citations = citations.as_ref().and_then(Value::as_array).into_iter().flatten();
            let citations = citations.map(|citation| json!({ "type": "citations_delta", "citation": citation }));
            let text = take("text", json!("")).map(|text| json!({ "type": "text_delta", "text": text }));
            citations.chain(text).collect()
        }
        Some("thinking") => {
            let said = take("thinking", json!("")).map(|said| json!({ "type": "thinking_delta", "thinking": said }));
            let signature = take("signature", json!(""));
            let signature = signature.map(|signed| json!({ "type": "signature_delta", "signature": signed }));
            said.into_iter().chain(signature).collect()
        }
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
            let input = take("input", json!({})).map(|input| input.to_string());
            input.into_iter().map(|input| json!({ "type": "input_json_delta", "partial_json": input })).collect()
        }
        Some(_) | None => Vec::new(),
    };
    (opening, deltas)
}
