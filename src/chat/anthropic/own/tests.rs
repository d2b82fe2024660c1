use bytes::Bytes;
use serde_json::{Value, json};

use crate::chat::anthropic::answer::with_words;
use crate::chat::anthropic::request::request;
use crate::chat::anthropic::tests::decoder_with_words as decoder;
use crate::chat::dialect::{Dialect, Naming, StreamTranslator};
use crate::chat::messages::{MessageWriter, MessagesRequest};
use crate::chat::native::corpus::{events, never_says_that_it_is_done, reads_the_same_however_it_is_cut, stamp};
use crate::chat::native::request::Asked;
use crate::chat::native::without_own_words;
use crate::chat::replay::{UsageChunk, replay};
use crate::chat::usage::{Completion, PublicModel};
use crate::domain::ids::ModelName;

/// A stream with what chat completions have no words for: a tool that ran at Anthropic, its result, a text with a citation, counts of its own.
const STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_up\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"container\":null,\"usage\":{\"input_tokens\":25,\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"srvtoolu_1\",\"name\":\"web_search\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"query\\\":\\\"Bonn\\\"}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"srvtoolu_1\",\"content\":[]}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"text\",\"text\":\"\",\"citations\":[]}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"url\":\"https://bonn.example\"}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_delta\",\"text\":\"On the Rh\\u0069ne\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"!\"},\"usage\":{\"output_tokens\":89,\"server_tool_use\":{\"web_search_requests\":1}},\"context_management\":{\"applied_edits\":[]}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\",\"more\":true}\n\n",
);

fn writer() -> MessageWriter {
    let request = MessagesRequest::parse(br#"{"messages":[{"role":"user","content":"Hi"}]}"#).unwrap();
    request.reply.writer(Naming { key: "01".to_owned(), created: 5, input_tokens: 11 })
}

/// What a model of this name is told of a request of a client of the same dialect.
fn told(model: &str, body: &Value) -> Value {
    let chat = MessagesRequest::parse(body.to_string().as_bytes()).unwrap().chat;
    let body = chat.body_to_translate(model);
    match request(&Asked::read(&body).unwrap()) {
        Ok(told) => serde_json::from_slice(&told).unwrap(),
        Err(error) => Value::from(error.to_string()),
    }
}

fn ask(more: &Value) -> Value {
    let mut body = json!({ "model": "auto", "max_tokens": 5000, "messages": [{ "role": "user", "content": "Hi" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_request_of_the_same_dialect_keeps_its_words() {
    let body = ask(&json!({
        "system": [{ "type": "text", "text": "Be kind.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
        "tools": [{ "type": "web_search_20260209", "name": "web_search", "max_uses": 3 }],
        "tool_choice": { "type": "auto" },
        "metadata": { "user_id": "u".repeat(100) },
        "context_management": { "edits": [{ "type": "clear_tool_uses_20250919" }] },
        "service_tier": "standard_only",
        "stop_sequences": ["!"],
        "stream": true,
        "trimtab": { "quality": 0 },
    }));

    let said = told("claude-opus-5-5", &body);

    let mut wanted = body;
    wanted.as_object_mut().unwrap().remove("trimtab");
    wanted["model"] = json!("claude-opus-5-5");
    assert_eq!(said, wanted);
}

#[test]
fn how_to_think_is_said_in_words_that_the_chosen_model_knows() {
    let budget = json!({ "type": "enabled", "budget_tokens": 2000 });
    let edits = json!({ "edits": [{ "type": "clear_thinking_20251015" }] });
    let thinks = ask(&json!({ "thinking": budget, "context_management": edits, "temperature": 0.5, "top_k": 4 }));
    let forced = ask(
        &json!({ "thinking": budget, "context_management": edits, "tools": [{ "name": "a", "input_schema": {} }], "tool_choice": { "type": "any" } }),
    );
    let adaptive =
        ask(&json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "low", "task_budget": 9 } }));

    let (old, new) = (told("claude-haiku-4-5", &thinks), told("claude-opus-5-5", &thinks));
    let first_call = told("claude-haiku-4-5", &forced);
    let (old_adaptive, new_adaptive) = (told("claude-haiku-4-5", &adaptive), told("claude-opus-5-5", &adaptive));

    assert_eq!((&old["thinking"], &old["context_management"]), (&budget, &edits));
    assert_eq!(
        (&new["thinking"]["type"], &new["output_config"]["effort"]),
        (&json!("adaptive"), &json!("low")),
        "{new}"
    );
    for one in [&old, &new] {
        assert_eq!((one.get("temperature"), one.get("top_k")), (None, None), "{one}");
    }
    assert_eq!((first_call.get("thinking"), first_call.get("context_management")), (None, None), "{first_call}");
    assert_eq!(old_adaptive["thinking"]["type"], "enabled", "{old_adaptive}");
    assert_eq!(old_adaptive["output_config"], json!({ "task_budget": 9 }));
    assert_eq!(
        (&new_adaptive["thinking"], &new_adaptive["output_config"]),
        (&json!({ "type": "adaptive" }), &json!({ "effort": "low", "task_budget": 9 }))
    );
}

#[test]
fn an_effort_alone_takes_no_sampling_away() {
    let body = ask(&json!({ "temperature": 0, "output_config": { "effort": "low" } }));

    let said = told("claude-opus-4-6", &body);

    assert_eq!((said.get("thinking"), &said["temperature"]), (None, &json!(0)), "{said}");
    assert_eq!(said["output_config"], json!({ "effort": "low" }));
}

#[test]
fn a_loop_of_calls_goes_on_thinking_as_it_began() {
    let call = |id: &str| json!({ "type": "tool_use", "id": id, "name": "a", "input": {} });
    let result =
        |id: &str| json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "1" }] });
    let thought = json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" });
    let after = |first: Value, thinking: &Value| {
        ask(
            &json!({ "thinking": thinking, "tools": [{ "name": "a", "input_schema": { "type": "object" } }], "messages": [
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": first }, result("x"),
            { "role": "assistant", "content": [call("y")] }, result("y"),
        ] }),
        )
    };
    let (adaptive, budget) = (json!({ "type": "adaptive" }), json!({ "type": "enabled", "budget_tokens": 2000 }));
    let (with, without) = (json!([thought, call("x")]), json!([call("x")]));

    assert_eq!(told("claude-opus-5-5", &after(without.clone(), &adaptive))["thinking"], adaptive);
    assert_eq!(told("claude-haiku-4-5", &after(with, &budget))["thinking"], budget);
    assert_eq!(told("claude-haiku-4-5", &after(without, &budget)).get("thinking"), None);
}

#[test]
fn what_the_system_says_in_the_middle_is_moved_for_models_that_know_none_there() {
    let mut body = ask(&json!({ "system": "Be kind." }));
    let midway = json!({ "role": "system", "content": [{ "type": "text", "text": "Now rhyme." }] });
    body["messages"].as_array_mut().unwrap().extend([midway, json!({ "role": "user", "content": "Go" })]);

    let (old, new) = (told("claude-opus-4-7", &body), told("claude-opus-4-8", &body));

    assert_eq!(new["messages"], body["messages"]);
    assert_eq!(new["system"], body["system"]);
    assert_eq!(old["messages"], json!([body["messages"][0], body["messages"][2]]));
    assert_eq!(
        old["system"],
        json!([{ "type": "text", "text": "Be kind." }, { "type": "text", "text": "Now rhyme." }])
    );
}

#[test]
fn a_limit_is_said_where_the_client_says_none() {
    let mut body = ask(&json!({}));
    body.as_object_mut().unwrap().remove("max_tokens");

    assert_eq!(told("claude-opus-5-5", &body)["max_tokens"], 8_192);
}

#[test]
fn a_whole_answer_comes_in_its_own_words_under_the_names_that_the_caller_knows() {
    let answer = r#"{"id":"msg_up","model":"claude-x","role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"B\u006fnn"}},{"type":"text","text":"Hi","citations":[{"url":"u"}]}],"stop_reason":"stop_sequence","stop_sequence":"!","usage":{"input_tokens":1,"output_tokens":2,"server_tool_use":{"web_search_requests":1}},"container":{"id":"c"}}"#;

    let completion = with_words(answer.as_bytes(), &stamp()).unwrap();
    let read = Completion::read(completion, &PublicModel::from(&ModelName::from("cheap"))).unwrap();
    let message = String::from_utf8(writer().whole(&read.body).unwrap()).unwrap();

    let wanted = answer.replace("msg_up", "msg_01").replace("claude-x", "cheap");
    assert_eq!(message, wanted);
    assert_eq!(read.usage.map(|usage| usage.output_tokens), Some(2));
    let kept: Value = serde_json::from_slice(&without_own_words(read.body)).unwrap();
    assert_eq!(kept["choices"][0]["message"]["content"], "Hi");
    assert!(kept.get("trimtab.words").is_none(), "{kept}");
}

/// The stream as a client is to read it. Nobody here puts the public name of the model into it.
fn wanted(stream: &str) -> String {
    stream.replace("msg_up", "msg_01").replace("claude-x", "")
}

/// What a client reads of a stream.
fn relayed(stream: &str) -> String {
    let mut translator = StreamTranslator::new(writer());
    let mut told: Vec<Bytes> =
        events(decoder(), &[stream.as_bytes()]).into_iter().map(|event| translator.push(event.raw)).collect();
    told.push(translator.finish());
    String::from_utf8(told.concat()).unwrap()
}

#[test]
fn a_stream_comes_in_its_own_words() {
    assert_eq!(relayed(STREAM), wanted(STREAM));
}

#[test]
fn a_stream_that_breaks_off_ends_in_an_error_and_not_in_its_end() {
    let (head, _) = STREAM.split_once("event: message_stop").unwrap();
    let cut = relayed(head);
    let failed = relayed(&format!(
        "{head}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}}}\n\n"
    ));

    for told in [&cut, &failed] {
        assert!(told.starts_with(&wanted(head)), "{told}");
        assert!(told.contains("event: error\n") && !told.contains("message_stop"), "{told}");
    }
    assert!(failed.contains("overloaded_error"), "{failed}");
    never_says_that_it_is_done(decoder, (STREAM.as_bytes(), 2));
}

#[test]
fn a_stream_with_its_words_reads_the_same_however_it_is_cut() {
    reads_the_same_however_it_is_cut(decoder, STREAM.as_bytes());
}

/// What a client makes of the events of a message.
fn gathered(told: &str) -> Value {
    let mut message = Value::Null;
    for data in told.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(data).unwrap();
        let at = usize::try_from(event["index"].as_u64().unwrap_or_default()).unwrap();
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => message["content"].as_array_mut().unwrap().push(event["content_block"].clone()),
            "content_block_delta" => grow(&mut message["content"][at], &event["delta"]),
            "message_delta" => {
                message.as_object_mut().unwrap().extend(event["delta"].as_object().unwrap().clone());
                message["usage"] = event["usage"].clone();
                message["context_management"] = event["context_management"].clone();
            }
            "content_block_stop" | "message_stop" => {}
            other => panic!("{other}"),
        }
    }
    message
}

fn grow(block: &mut Value, delta: &Value) {
    let add = |field: &mut Value, more: &Value| {
        *field = json!(format!("{}{}", field.as_str().unwrap(), more.as_str().unwrap()));
    };
    match delta["type"].as_str().unwrap() {
        "text_delta" => add(&mut block["text"], &delta["text"]),
        "thinking_delta" => add(&mut block["thinking"], &delta["thinking"]),
        "signature_delta" => add(&mut block["signature"], &delta["signature"]),
        "citations_delta" => block["citations"].as_array_mut().unwrap().push(delta["citation"].clone()),
        "input_json_delta" => block["input"] = serde_json::from_str(delta["partial_json"].as_str().unwrap()).unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_message_that_was_read_to_its_end_is_told_as_a_stream() {
    let message = json!({
        "id": "msg_up", "type": "message", "role": "assistant", "model": "claude-x", "container": { "id": "c" },
        "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "c2ln" },
            { "type": "redacted_thinking", "data": "cmVk" },
            { "type": "server_tool_use", "id": "s", "name": "web_search", "input": { "query": "Bonn" } },
            { "type": "web_search_tool_result", "tool_use_id": "s", "content": [{ "type": "web_search_result", "url": "u" }] },
            { "type": "text", "text": "On the Rhine.", "citations": [{ "url": "u" }, { "url": "v" }] },
            { "type": "text", "text": "" },
            { "type": "tool_use", "id": "t", "name": "a", "input": {} },
        ],
        "stop_reason": "tool_use", "stop_sequence": null, "context_management": { "applied_edits": [] },
        "usage": { "input_tokens": 1, "output_tokens": 2, "server_tool_use": { "web_search_requests": 1 } },
    });
    let completion = with_words(message.to_string().as_bytes(), &stamp()).unwrap();
    let stream = replay(&serde_json::from_slice(&completion).unwrap(), UsageChunk::Left);

    let mut translator = StreamTranslator::new(writer());
    let told = [translator.push(stream), translator.finish()].concat();

    let told = String::from_utf8(told).unwrap();
    let mut wanted = message;
    wanted["id"] = json!("msg_01");
    assert_eq!(gathered(&told), wanted);
    assert!(told.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{told}");
}
