use serde_json::Value;

use super::*;
use crate::chat::anthropic::answer::completion;
use crate::chat::anthropic::request::request;
use crate::chat::anthropic::stream::AnthropicStream;
use crate::chat::native::TOO_LONG;
use crate::chat::native::corpus::{
    NEARLY_EVENTS, events, never_says_that_it_is_done, pretty, read_to_the_end, reads_the_same_however_it_is_cut,
    relayed, stamp, tell, told,
};
use crate::chat::native::decoder::{Decoder, Translated};
use crate::chat::usage::NotAnAnswer;

/// A message as the API publishes it: thoughts, text, parallel calls.
pub(in crate::chat) const ANSWER: &str = r#"{"id":"msg_01","type":"message","role":"assistant","model":"claude-x-20260101","content":[{"type":"thinking","thinking":"Two towns.","signature":"c2ln"},{"type":"redacted_thinking","data":"cmVk"},{"type":"text","text":"Let me "},{"type":"text","text":"look.","citations":null},{"type":"tool_use","id":"toolu_1","name":"weather","input":{"town":"Bonn","at":"noon"}},{"type":"tool_use","id":"toolu_2","name":"now","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":50,"service_tier":"standard"}}"#;

/// A stream as the API publishes it.
pub(in crate::chat) const STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_02\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x-20260101\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Two \"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"towns.\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Grüß dich\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"town\\\": \\\"Bo\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"nn\\\"}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"now\",\"input\":{}}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":89}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

pub(in crate::chat) fn decoder() -> Decoder {
    Decoder::Anthropic(Box::new(Translated::new(1 << 20, AnthropicStream::new(stamp()))))
}

#[test]
fn requests_are_told_in_its_words() {
    insta::assert_snapshot!("requests", told("claude-opus-4-6", request));
}

#[test]
fn older_models_think_within_a_budget() {
    let ask = |more: &str| {
        tell(
            &format!(
                r#"{{"model":"claude-haiku-4-5","reasoning_effort":"high","temperature":1,"messages":[{{"role":"user","content":"x"}}]{more}}}"#
            ),
            request,
        )
    };

    let free: Value = serde_json::from_str(&ask("")).unwrap();
    let tight: Value = serde_json::from_str(&ask(r#","max_tokens":3000"#)).unwrap();
    let none: Value = serde_json::from_str(&ask(r#","max_tokens":500"#)).unwrap();

    assert_eq!((&free["thinking"]["budget_tokens"], &free["max_tokens"]), (&24_576.into(), &32_768.into()));
    assert_eq!((&tight["thinking"]["budget_tokens"], &tight["max_tokens"]), (&2_999.into(), &3_000.into()));
    assert!(free.get("temperature").is_none());
    assert_eq!((none.get("thinking"), &none["temperature"]), (None, &1.into()));
}

#[test]
fn a_turn_that_began_without_thoughts_goes_on_without_them() {
    let request_text = r#"{"model":"claude-opus-5-5","reasoning_effort":"high","tools":[{"type":"function","function":{"name":"a"}}],"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"y"}]}"#;

    let said: Value = serde_json::from_str(&tell(request_text, request)).unwrap();

    assert!(said.get("thinking").is_none(), "{said}");
}

#[test]
fn texts_of_nothing_but_spaces_are_left_out() {
    let request_text = r#"{"model":"m","messages":[{"role":"system","content":" \n"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"text","text":"\t"}]},{"role":"assistant","content":"\n\n","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":" "}]}"#;

    let said = tell(request_text, request);

    assert_eq!(said.matches(r#""text":"#).count(), 1, "{said}");
    assert!(said.contains(r#"{"role":"assistant","content":[{"type":"tool_use""#), "{said}");
}

#[test]
fn the_properties_of_a_schema_keep_their_order() {
    let request_text = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"z":{},"a":{}}}}}}"#;

    assert!(tell(request_text, request).contains(r#""schema":{"properties":{"z":{},"a":{}}}"#));
}

#[test]
fn what_it_cannot_do_is_refused_with_its_field() {
    let part = |part: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let sound = tell(&part(r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#), request);
    let word = tell(&part(r#"{"type":"file","file":{"file_data":"data:text/csv;base64,AA=="}}"#), request);
    let many = tell(r#"{"model":"m","n":3,"messages":[]}"#, request);

    assert!(sound.starts_with("refused: `messages[0].content[0]` cannot be sent to Anthropic"), "{sound}");
    assert!(word.contains("must be PDF"), "{word}");
    assert!(many.starts_with("refused: `n`"), "{many}");
}

#[test]
fn an_answer_is_put_back() {
    insta::assert_snapshot!("answer", pretty(&completion(ANSWER.as_bytes(), &stamp()).unwrap()));
}

#[test]
fn every_reason_to_end_has_its_word() {
    let cases = [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("something_new", "stop"),
    ];
    for (reason, word) in cases {
        let body = format!(r#"{{"content":[],"stop_reason":"{reason}"}}"#);
        let said: Value = serde_json::from_slice(&completion(body.as_bytes(), &stamp()).unwrap()).unwrap();

        assert_eq!(said["choices"][0]["finish_reason"], word, "{reason}");
        assert_eq!((&said["choices"][0]["message"]["content"], &said["id"]), (&"".into(), &"chatcmpl-r".into()));
        assert!(said.get("usage").is_none(), "{said}");
    }
}

#[test]
fn what_is_no_message_is_no_answer() {
    assert_eq!(completion(b"", &stamp()), Err(NotAnAnswer::Empty));
    assert_eq!(completion(b"<html>", &stamp()), Err(NotAnAnswer::NotJson));
    assert_eq!(completion(b"{}", &stamp()), Err(NotAnAnswer::NoChoices));
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
    never_says_that_it_is_done(decoder, (STREAM.as_bytes(), 60));
}

#[test]
fn an_error_in_a_stream_keeps_its_status() {
    let stream = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

    let events = events(decoder(), &[stream.as_bytes()]);

    assert_eq!(
        events[0].data,
        r#"{"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":529}}"#
    );
}

#[test]
fn events_to_come_are_passed_over_and_damaged_ones_are_not() {
    let mut fine = decoder();
    fine.push("data: {\"type\":\"novelty\",\"index\":9}\n\n".into());
    let mut damaged = decoder();
    damaged.push("data: {\"type\":\n\n".into());

    assert_eq!(fine.next_event(), Ok(None));
    assert!(damaged.next_event().is_err());
}

#[test]
fn errors_are_read_by_their_type() {
    let body =
        |kind: &str, message: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#);
    let cases = [
        (529, "overloaded_error", "Overloaded", 529),
        (429, "rate_limit_error", "slow down", 429),
        (413, "request_too_large", "Request exceeds the maximum size", 413),
        (400, "invalid_request_error", "max_tokens: too large", 400),
        (500, "api_error", "Internal server error", 500),
    ];
    for (status, kind, message, expected) in cases {
        let refused = refused(status, body(kind, message).as_bytes(), None);

        assert_eq!(refused.status, expected, "{kind}");
        let words: Value = serde_json::from_slice(&refused.words.unwrap()).unwrap();
        assert_eq!((&words["error"]["message"], &words["error"]["type"]), (&message.into(), &kind.into()));
    }
    let long = refused(400, body("invalid_request_error", "too long").as_bytes(), Some(TOO_LONG));
    assert!(String::from_utf8_lossy(&long.words.unwrap()).contains(r#""code":"context_length_exceeded""#));
    assert_eq!(refused(502, b"<html>", None).words, None);
}

proptest::proptest! {
    #[test]
    fn any_events_are_read_without_a_crash(stream in NEARLY_EVENTS) {
        read_to_the_end(decoder(), stream.into_bytes());
    }
}
