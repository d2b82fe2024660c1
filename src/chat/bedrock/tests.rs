use serde_json::Value;

use super::*;
use crate::chat::bedrock::answer::completion;
use crate::chat::bedrock::frame::{FrameDecoder, encode};
use crate::chat::bedrock::request::request;
use crate::chat::bedrock::stream::BedrockStream;
use crate::chat::native::Stamp;
use crate::chat::native::corpus::{events, pretty, reads_the_same_however_it_is_cut, relayed, tell, told};
use crate::chat::native::decoder::{Decoder, Framed};
use crate::chat::sse::SseError;
use crate::chat::usage::NotAnAnswer;

/// An answer as the API publishes it: thoughts, text, parallel calls.
const ANSWER: &str = r#"{"metrics":{"latencyMs":100},"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"Two towns.","signature":"c2ln"}}},{"text":"Let me look."},{"toolUse":{"toolUseId":"tooluse_1","name":"weather","input":{"town":"Bonn"}}},{"toolUse":{"toolUseId":"tooluse_2","name":"now","input":{}}}],"role":"assistant"}},"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":20,"totalTokens":33,"cacheReadInputTokens":1,"cacheWriteInputTokens":2}}"#;

/// The frames of a stream as the API publishes them.
const FRAMES: &[(&str, &str)] = &[
    ("messageStart", r#"{"p":"abc","role":"assistant"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Two towns."}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"Grüß dich"},"p":"abcdefgh"}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"weather"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"town\":"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\"Bonn\"}"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    ("contentBlockStart", r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"tooluse_2","name":"now"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
    ("messageStop", r#"{"stopReason":"tool_use"}"#),
    ("metadata", r#"{"metrics":{"latencyMs":9},"usage":{"inputTokens":10,"outputTokens":20,"totalTokens":30}}"#),
];

fn stamp() -> Stamp {
    Stamp { id: "chatcmpl-r".to_owned(), created: 1_700_000_000 }
}

fn stream() -> Vec<u8> {
    FRAMES.iter().flat_map(|(name, payload)| encode("event", name, payload)).collect()
}

fn decoder() -> Decoder {
    Decoder::Bedrock(Box::new(Framed::new(1 << 20, BedrockStream::new(stamp()))))
}

#[test]
fn requests_are_told_in_its_words() {
    insta::assert_snapshot!("requests", told("eu.anthropic.claude-sonnet-5-5", request));
}

#[test]
fn thinking_goes_to_models_of_anthropic_alone() {
    let request_text = r#"{"model":"MODEL","reasoning_effort":"high","top_k":5,"temperature":0.5,"messages":[{"role":"user","content":"x"}]}"#;

    let nova = tell(&request_text.replace("MODEL", "amazon.nova-pro-v1:0"), request);
    let old = tell(&request_text.replace("MODEL", "anthropic.claude-sonnet-4-5-20250929-v1:0"), request);

    assert!(!nova.contains("additionalModelRequestFields") && nova.contains(r#""temperature":0.5"#), "{nova}");
    assert!(old.contains(r#"{"thinking":{"type":"enabled","budget_tokens":24576}}"#), "{old}");
    assert!(!old.contains("temperature"), "{old}");
}

#[test]
fn what_it_cannot_do_is_refused_with_its_field() {
    let part = |part: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#);

    let address = tell(&part(r#"{"type":"image_url","image_url":{"url":"https://secret/b.png"}}"#), request);
    let tiff = tell(&part(r#"{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA=="}}"#), request);
    let sound = tell(&part(r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#), request);

    for refused in [&address, &tiff, &sound] {
        assert!(refused.starts_with("refused: `messages[0].content[0]` cannot be sent to Bedrock"), "{refused}");
    }
    assert!(!address.contains("secret"), "{address}");
}

#[test]
fn an_answer_is_put_back() {
    insta::assert_snapshot!("answer", pretty(&completion(ANSWER.as_bytes(), &stamp()).unwrap()));
}

#[test]
fn every_reason_to_end_has_its_word() {
    let cases = [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ];
    for (reason, word) in cases {
        let body = format!(r#"{{"output":{{"message":{{"content":[]}}}},"stopReason":"{reason}"}}"#);
        let said: Value = serde_json::from_slice(&completion(body.as_bytes(), &stamp()).unwrap()).unwrap();

        assert_eq!(said["choices"][0]["finish_reason"], word, "{reason}");
    }
    assert_eq!(completion(b"", &stamp()), Err(NotAnAnswer::Empty));
    assert_eq!(completion(b"{", &stamp()), Err(NotAnAnswer::NotJson));
    assert_eq!(completion(b"{}", &stamp()), Err(NotAnAnswer::NoChoices));
}

#[test]
fn a_stream_is_put_back() {
    insta::assert_snapshot!("stream", relayed(decoder(), &stream()));
}

#[test]
fn a_stream_reads_the_same_however_it_is_cut() {
    reads_the_same_however_it_is_cut(decoder, &stream());
}

#[test]
fn a_cut_stream_never_says_that_it_is_done() {
    let stream = stream();
    for at in 0..stream.len() {
        let events = events(decoder(), &[&stream[..at]]);

        assert!(events.iter().all(|event| event.data != "[DONE]"), "cut at {at}");
    }
}

#[test]
fn an_exception_in_a_stream_keeps_its_status() {
    let frame = encode("exception", "throttlingException", r#"{"message":"Too many tokens"}"#);

    let events = events(decoder(), &[&frame]);

    let expected = r#"{"error":{"message":"Too many tokens","type":"throttlingException","param":null,"code":429}}"#;
    assert_eq!(events[0].data, expected);
}

#[test]
fn a_damaged_frame_is_found_wherever_the_damage_is() {
    let frame = encode("event", "messageStart", r#"{"role":"assistant"}"#);
    for at in 0..frame.len() {
        let mut damaged = frame.clone();
        damaged[at] ^= 1;
        let mut decoder = FrameDecoder::new(1 << 20);
        decoder.push(&damaged);

        assert_eq!(decoder.next_frame(), Err(SseError::Foreign), "byte {at}");
        assert_eq!(decoder.next_frame(), Err(SseError::Foreign), "it stays in this state");
    }
}

#[test]
fn a_frame_beyond_the_limit_is_refused_before_it_is_read() {
    let frame = encode("event", "messageStart", &" ".repeat(1_000));
    let mut decoder = FrameDecoder::new(500);
    decoder.push(&frame[..12]);

    assert_eq!(decoder.next_frame(), Err(SseError::EventTooLarge { limit: 500 }));
}

#[test]
fn errors_are_put_into_common_words() {
    let failed = refused(424, br#"{"message":"the model failed"}"#);
    let throttled = refused(429, br#"{"Message":"Too many requests"}"#);
    let long = refused(400, br#"{"message":"Input is too long for requested model."}"#);

    assert_eq!((failed.status, throttled.status, long.status), (502, 429, 400));
    assert!(String::from_utf8_lossy(&long.words.unwrap()).contains("context_length_exceeded"));
    assert!(String::from_utf8_lossy(&throttled.words.unwrap()).contains("Too many requests"));
    assert_eq!(refused(500, b"<html>").words, None);
}

#[test]
fn a_model_has_its_path() {
    let arn = "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x-v1:0";

    assert_eq!(path("amazon.nova-pro-v1:0", Delivery::Whole), "/model/amazon.nova-pro-v1%3A0/converse");
    assert_eq!(
        path(arn, Delivery::Stream),
        "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Feu.x-v1%3A0/converse-stream"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_a_crash(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut decoder = decoder();
        decoder.push(bytes.into());
        while let Ok(Some(_)) = decoder.next_event() {}
        drop(decoder.finish());
    }
}
