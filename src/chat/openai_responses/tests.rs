use serde_json::{Value, json};

use crate::chat::native::Stamp;
use crate::chat::native::corpus::{
    events, never_says_that_it_is_done, pretty, reads_the_same_however_it_is_cut, relayed, tell, told,
};
use crate::chat::native::decoder::{Decoder, Translated};
use crate::chat::openai_responses::answer::completion;
use crate::chat::openai_responses::request::request;
use crate::chat::openai_responses::stream::ResponsesStream;
use crate::chat::responses::ResponsesRequest;
use crate::chat::usage::NotAnAnswer;

/// A response as the API publishes it: a thought, a text, parallel calls.
pub(in crate::chat) const ANSWER: &str = r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"gpt-5.5-2026-01-01","output":[{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Two towns."},{"type":"summary_text","text":"Both far."}],"encrypted_content":"gAAA"},{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"I look.","annotations":[],"logprobs":[{"token":"I","bytes":[73],"logprob":-0.25,"top_logprobs":[]}]}]},{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_1","name":"weather","arguments":"{\"town\": \"Bonn\"}"},{"id":"fc_2","type":"function_call","status":"completed","call_id":"call_2","name":"now","arguments":""}],"parallel_tool_calls":true,"store":false,"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":600},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":1050}}"#;

/// The same as a stream.
pub(in crate::chat) const STREAM: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"model\":\"gpt-5.5-2026-01-01\",\"output\":[],\"usage\":null,\"error\":null}}\n\n",
    "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"sequence_number\":1,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"model\":\"gpt-5.5-2026-01-01\",\"output\":[]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"gAA\"}}\n\n",
    "event: response.reasoning_summary_part.added\ndata: {\"type\":\"response.reasoning_summary_part.added\",\"sequence_number\":3,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"part\":{\"type\":\"summary_text\",\"text\":\"\"}}\n\n",
    "event: response.reasoning_summary_text.delta\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"sequence_number\":4,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"delta\":\"Two towns.\",\"obfuscation\":\"x\"}\n\n",
    "event: response.reasoning_summary_text.done\ndata: {\"type\":\"response.reasoning_summary_text.done\",\"sequence_number\":5,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"text\":\"Two towns.\"}\n\n",
    "event: response.reasoning_summary_part.added\ndata: {\"type\":\"response.reasoning_summary_part.added\",\"sequence_number\":6,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":1,\"part\":{\"type\":\"summary_text\",\"text\":\"\"}}\n\n",
    "event: response.reasoning_summary_text.delta\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"sequence_number\":7,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":1,\"delta\":\"Both far.\"}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":8,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"Two towns.\"},{\"type\":\"summary_text\",\"text\":\"Both far.\"}],\"encrypted_content\":\"gAAA\"}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":9,\"output_index\":1,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
    "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":10,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":11,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"delta\":\"I\",\"logprobs\":[{\"token\":\"I\",\"bytes\":[73],\"logprob\":-0.25,\"top_logprobs\":[]}]}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":12,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"delta\":\" l\u{f6}\u{f6}k.\",\"logprobs\":[]}\n\n",
    "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"sequence_number\":13,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"text\":\"I l\u{f6}\u{f6}k.\",\"logprobs\":[]}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":14,\"output_index\":1,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"I l\u{f6}\u{f6}k.\",\"annotations\":[]}]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":15,\"output_index\":2,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"in_progress\",\"call_id\":\"call_1\",\"name\":\"weather\",\"arguments\":\"\"}}\n\n",
    "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":16,\"item_id\":\"fc_1\",\"output_index\":2,\"delta\":\"{\\\"town\\\": \\\"Bo\"}\n\n",
    "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":17,\"item_id\":\"fc_1\",\"output_index\":2,\"delta\":\"nn\\\"}\"}\n\n",
    "event: response.function_call_arguments.done\ndata: {\"type\":\"response.function_call_arguments.done\",\"sequence_number\":18,\"item_id\":\"fc_1\",\"output_index\":2,\"name\":\"weather\",\"arguments\":\"{\\\"town\\\": \\\"Bonn\\\"}\"}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":19,\"output_index\":2,\"item\":{\"id\":\"fc_1\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"call_1\",\"name\":\"weather\",\"arguments\":\"{\\\"town\\\": \\\"Bonn\\\"}\"}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":20,\"output_index\":3,\"item\":{\"id\":\"fc_2\",\"type\":\"function_call\",\"status\":\"in_progress\",\"call_id\":\"call_2\",\"name\":\"now\",\"arguments\":\"\"}}\n\n",
    "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":21,\"output_index\":3,\"item\":{\"id\":\"fc_2\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"call_2\",\"name\":\"now\",\"arguments\":\"\"}}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":22,\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"error\":null,\"incomplete_details\":null,\"model\":\"gpt-5.5-2026-01-01\",\"output\":[],\"usage\":{\"input_tokens\":1000,\"input_tokens_details\":{\"cached_tokens\":600},\"output_tokens\":50,\"output_tokens_details\":{\"reasoning_tokens\":20},\"total_tokens\":1050}}}\n\n",
);

fn stamp() -> Stamp {
    Stamp { id: "chatcmpl-r".to_owned(), created: 1_700_000_000 }
}

pub(in crate::chat) fn decoder() -> Decoder {
    Decoder::Responses(Box::new(Translated::new(1 << 20, ResponsesStream::new(stamp()))))
}

/// The data of the chunks that these events become.
fn chunks(told: &[Value]) -> Vec<Value> {
    let stream: String = told.iter().map(|data| format!("data: {data}\n\n")).collect();
    let events = events(decoder(), &[stream.as_bytes()]);
    let data = events.iter().filter(|event| event.data != "[DONE]" && !event.data.is_empty());
    data.map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
}

fn ended(status: &str, more: &Value) -> Value {
    json!({ "type": format!("response.{status}"), "response": { "status": status, "incomplete_details": more } })
}

#[test]
fn requests_are_told_in_its_words() {
    insta::assert_snapshot!("requests", told("gpt-5.5", request));
}

#[test]
fn what_openai_alone_understands_is_kept() {
    let asked = r#"{"model":"m","stream":true,"logprobs":true,"top_logprobs":3,"verbosity":"low","metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","safety_identifier":"s","user":"u","reasoning_effort":"max","thinking":{"type":"enabled"},"max_completion_tokens":5,"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"z":{},"a":{}}}},"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b.png","detail":"low"}},{"type":"file","file":{"file_id":"file-1"}}]},{"role":"assistant","content":"Hm.","thinking_blocks":[{"type":"thinking","thinking":"So.","signature":"openai:gAAA"},{"type":"thinking","thinking":"Else.","signature":"c2ln"}]},{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}"#;

    insta::assert_snapshot!("own_words", pretty(tell(asked, request).as_bytes()));
}

#[test]
fn instructions_alone_become_the_input() {
    let said: Value =
        serde_json::from_str(&tell(r#"{"model":"m","messages":[{"role":"system","content":"Hi"}]}"#, request)).unwrap();

    assert_eq!(
        said["input"],
        json!([{ "type": "message", "role": "system", "content": [{ "type": "input_text", "text": "Hi" }] }])
    );
    assert!(said.get("instructions").is_none(), "{said}");
}

#[test]
fn what_it_cannot_do_is_refused_with_its_field() {
    let sound = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]}]}"#;
    let many = r#"{"model":"m","n":3,"messages":[]}"#;

    assert!(tell(sound, request).starts_with("refused: `messages[0].content[0]` cannot be sent to OpenAI's Responses"));
    assert!(tell(many, request).starts_with("refused: `n`"));
}

/// A request of Responses that goes to Responses.
fn passed_on(body: &Value) -> Value {
    let chat = ResponsesRequest::parse(body.to_string().as_bytes()).unwrap().chat;
    let body = String::from_utf8(chat.body_to_translate("upstream-model").to_vec()).unwrap();
    serde_json::from_str(&tell(&body, request)).unwrap()
}

#[test]
fn a_request_of_the_same_dialect_keeps_its_own_words() {
    let tools = json!([{ "type": "function", "name": "a", "strict": null, "novelty": 1 }]);
    let input = json!([
        { "role": "user", "content": [{ "type": "input_text", "text": "Hi", "novelty": 2 }] },
        { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA" },
        { "type": "function_call", "id": "fc_1", "call_id": "c", "name": "a", "arguments": "{ }", "status": "completed" },
        { "type": "function_call_output", "call_id": "c", "output": "x" },
        { "type": "reasoning", "id": "rs_01_0", "summary": [{ "type": "summary_text", "text": "of another provider" }] },
        { "role": "developer", "content": "In the middle." },
    ]);
    let body = json!({
        "model": "auto", "input": input, "tools": tools, "instructions": "Be kind.", "temperature": 0.70, "max_output_tokens": 5, "include": ["reasoning.encrypted_content"],
        "reasoning": { "effort": "low", "summary": "detailed" }, "max_tool_calls": 3, "novelty": { "a": [1] }, "metadata": { "a": "b" }, "store": false, "stream": true,
        "stream_options": { "include_obfuscation": false }, "trimtab": { "quality": 0.5 },
    });

    let said = passed_on(&body);

    for field in [
        "tools",
        "instructions",
        "temperature",
        "max_output_tokens",
        "include",
        "reasoning",
        "max_tool_calls",
        "novelty",
        "metadata",
    ] {
        assert_eq!(said[field], body[field], "{field}: {said}");
    }
    for field in ["trimtab", "stream_options"] {
        assert!(said.get(field).is_none(), "{field}: {said}");
    }
    assert_eq!(
        (&said["model"], &said["store"], &said["stream"]),
        (&json!("upstream-model"), &json!(false), &json!(true))
    );
    let mut items: Vec<Value> = input.as_array().unwrap().clone();
    items.remove(4);
    items[1].as_object_mut().unwrap().remove("id");
    assert_eq!(said["input"], json!(items));
}

#[test]
fn the_words_of_the_same_dialect_cannot_be_smuggled_in() {
    let chat = r#"{"messages":[{"role":"user","content":"Hi"}],"trimtab.responses":{"input":"other","store":true},"trimtab.responses.more":{"prompt":1}}"#;
    let chat = crate::chat::openai::ChatRequest::from_text(chat).unwrap();

    let said = String::from_utf8(chat.body_to_translate("m").to_vec()).unwrap();

    assert_eq!(said, r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#);
}

#[test]
fn an_answer_is_put_back() {
    insta::assert_snapshot!("answer", pretty(&completion(ANSWER.as_bytes(), &stamp()).unwrap()));
}

#[test]
fn a_stream_is_put_back() {
    insta::assert_snapshot!("stream", relayed(decoder(), STREAM.as_bytes()));
}

#[test]
fn a_stream_reads_the_same_however_it_is_cut() {
    reads_the_same_however_it_is_cut(decoder, STREAM.as_bytes());
}

#[test]
fn a_cut_stream_never_says_that_it_is_done() {
    never_says_that_it_is_done(decoder, (STREAM.as_bytes(), 4));
}

#[test]
fn every_way_to_end_has_its_word() {
    let call = json!([{ "type": "function_call", "call_id": "c", "name": "a", "arguments": "{}" }]);
    let cases = [
        (json!({ "status": "completed", "output": [] }), "stop"),
        (json!({ "status": "completed", "output": call }), "tool_calls"),
        (
            json!({ "status": "incomplete", "output": [], "incomplete_details": { "reason": "max_output_tokens" } }),
            "length",
        ),
        (
            json!({ "status": "incomplete", "output": call, "incomplete_details": { "reason": "content_filter" } }),
            "content_filter",
        ),
        (json!({ "output": [{ "type": "web_search_call", "action": {} }] }), "stop"),
    ];
    for (response, word) in cases {
        let said = completion(response.to_string().as_bytes(), &stamp()).unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();

        assert_eq!(said["choices"][0]["finish_reason"], word, "{response}");
    }
    let refusal = json!({ "output": [{ "type": "message", "content": [{ "type": "refusal", "refusal": "No." }] }] });
    let said: Value = serde_json::from_slice(&completion(refusal.to_string().as_bytes(), &stamp()).unwrap()).unwrap();
    assert_eq!(
        (&said["choices"][0]["message"]["refusal"], &said["choices"][0]["message"]["content"]),
        (&json!("No."), &Value::Null)
    );
}

#[test]
fn a_response_that_failed_is_no_answer_and_says_what_it_amounts_to() {
    let failed = |code: &str| {
        let body = json!({ "status": "failed", "error": { "code": code, "message": "x" }, "output": [] });
        completion(body.to_string().as_bytes(), &stamp()).unwrap_err()
    };

    assert_eq!(failed("rate_limit_exceeded"), NotAnAnswer::Failed { status: Some(429) });
    assert_eq!(failed("server_error"), NotAnAnswer::Failed { status: Some(500) });
    assert_eq!(failed("invalid_image_format"), NotAnAnswer::Failed { status: Some(400) });
    assert_eq!(
        completion(br#"{"status":"cancelled","output":[]}"#, &stamp()),
        Err(NotAnAnswer::Failed { status: Some(500) })
    );
    assert_eq!(completion(b"", &stamp()), Err(NotAnAnswer::Empty));
    assert_eq!(completion(b"<html>", &stamp()), Err(NotAnAnswer::NotJson));
    assert_eq!(completion(b"{}", &stamp()), Err(NotAnAnswer::NoChoices));
}

#[test]
fn failures_in_a_stream_keep_their_status() {
    let failed = json!({ "type": "response.failed", "response": { "status": "failed", "error": { "code": "server_error", "message": "Oh." } } });
    let flat = json!({ "type": "error", "code": "rate_limit_exceeded", "message": "Slow.", "param": null });
    let nested = json!({ "type": "error", "error": { "type": "invalid_request_error", "code": "context_length_exceeded", "message": "Long." } });
    for (event, status, message) in [(failed, 500, "Oh."), (flat, 429, "Slow."), (nested, 400, "Long.")] {
        let chunks = chunks(&[event]);

        assert_eq!((&chunks[0]["error"]["code"], &chunks[0]["error"]["message"]), (&json!(status), &json!(message)));
    }
}

#[test]
fn a_stream_ends_as_its_response_does() {
    for (status, more, word) in [
        ("completed", Value::Null, "stop"),
        ("incomplete", json!({ "reason": "max_output_tokens" }), "length"),
        ("incomplete", json!({ "reason": "content_filter" }), "content_filter"),
    ] {
        let chunks = chunks(&[ended(status, &more)]);

        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], word);
    }
}

#[test]
fn what_is_told_only_when_an_item_is_whole_is_told_then() {
    let done = |at: u32, item: Value| json!({ "type": "response.output_item.done", "output_index": at, "item": item });
    let chunks = chunks(&[
        done(0, json!({ "type": "reasoning", "content": [{ "type": "reasoning_text", "text": "Hm." }] })),
        done(1, json!({ "type": "message", "content": [{ "type": "output_text", "text": "Hi" }] })),
        done(2, json!({ "type": "function_call", "call_id": "c", "name": "a", "arguments": "{\"x\":1}" })),
        done(3, json!({ "type": "message", "content": [{ "type": "refusal", "refusal": "No." }] })),
        ended("completed", &Value::Null),
    ]);
    let delta = |at: usize| &chunks[at]["choices"][0]["delta"];

    assert_eq!(delta(0)["reasoning_content"], "Hm.");
    assert_eq!(delta(1)["content"], "Hi");
    assert_eq!(delta(2)["tool_calls"][0]["function"], json!({ "name": "a", "arguments": "{\"x\":1}" }));
    assert_eq!(delta(3)["refusal"], "No.");
}

#[test]
fn events_to_come_are_passed_over_and_damaged_ones_are_not() {
    let mut fine = decoder();
    fine.push("data: {\"type\":\"response.novelty\",\"output_index\":9}\n\ndata: [DONE]\n\n".into());
    let mut damaged = decoder();
    damaged.push("data: {\"type\":\n\n".into());

    assert_eq!(fine.next_event(), Ok(None));
    assert!(damaged.next_event().is_err());
}

proptest::proptest! {
    #[test]
    fn any_events_are_read_without_a_crash(stream in "(data: (\\{\"type\":\"(response.(output_item.(added|done)|completed|failed|output_text.delta|function_call_arguments.(delta|done))|error)\"(,\"(output_index|item|delta|response|error|arguments)\":(\"x\"|[0-9]{1,12}|\\{\"type\":\"(function_call|message|reasoning)\"\\}|\\{\\}|null)){0,3}\\}|[a-z\\{\\}\\[\\]\":]{0,20})\n{1,2}){0,12}") {
        let mut decoder = decoder();
        decoder.push(stream.into_bytes().into());
        while let Ok(Some(_)) = decoder.next_event() {}
        drop(decoder.finish());
    }
}
