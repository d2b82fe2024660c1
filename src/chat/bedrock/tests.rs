use serde_json::Value;

use super::*;
use crate::chat::bedrock::answer::completion;
use crate::chat::bedrock::frame::{FrameDecoder, encode};
use crate::chat::bedrock::request::request;
use crate::chat::bedrock::stream::BedrockStream;
use crate::chat::native::TOO_LONG;
use crate::chat::native::corpus::{
    events, never_says_that_it_is_done, pretty, read_to_the_end, reads_the_same_however_it_is_cut, relayed, stamp,
    tell, told,
};
use crate::chat::native::decoder::{Decoder, Framed};
use crate::chat::sse::SseError;
use crate::chat::usage::NotAnAnswer;

/// An answer as the API publishes it: thoughts, text, parallel calls.
pub(in crate::chat) const ANSWER: &str = r#"{"metrics":{"latencyMs":100},"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"Two towns.","signature":"c2ln"}}},{"text":"Let me look."},{"toolUse":{"toolUseId":"tooluse_1","name":"weather","input":{"town":"Bonn"}}},{"toolUse":{"toolUseId":"tooluse_2","name":"now","input":{}}}],"role":"assistant"}},"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":20,"totalTokens":33,"cacheReadInputTokens":1,"cacheWriteInputTokens":2}}"#;

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

pub(in crate::chat) fn stream() -> Vec<u8> {
    FRAMES.iter().flat_map(|(name, payload)| encode("event", name, payload)).collect()
}

pub(in crate::chat) fn decoder() -> Decoder {
    Decoder::Bedrock(Box::new(Framed::new(1 << 20, BedrockStream::new(stamp()))))
}

#[test]
fn requests_are_told_in_its_words() {
    insta::assert_snapshot!("requests", told("eu.anthropic.claude-opus-4-6-v1", request));
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

/// A conversation with a thought, calls, blank texts and marks.
const CALLED: &str = r#"{"model":"MODEL","messages":[{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":"\n\n","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"c2ln"}],"tool_calls":[{"id":"functions.b:0","type":"function","function":{"name":"b","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"a","arguments":"{}"}},{"id":"c3","type":"function","function":{"name":"b","arguments":"{}"}}]},{"role":"tool","tool_call_id":"functions.b:0","content":" "},{"role":"tool","tool_call_id":"c2","content":"y"},{"role":"tool","tool_call_id":"c3","content":"z"}]TOOLS}"#;

fn called(model: &str, tools: &str) -> (String, Value) {
    let told = tell(&CALLED.replace("MODEL", model).replace("TOOLS", tools), request);
    let json = serde_json::from_str(&told).unwrap();
    (told, json)
}

#[test]
fn calls_of_a_conversation_without_tools_are_offered_as_tools() {
    let (_, bare) = called("anthropic.claude-sonnet-4-5", "");
    let (_, none) = called("anthropic.claude-sonnet-4-5", r#","tools":[],"tool_choice":"none""#);

    let names: Vec<_> = bare["toolConfig"]["tools"].as_array().unwrap().iter().map(|tool| &tool["toolSpec"]).collect();
    let schema = serde_json::json!({ "json": { "type": "object", "properties": {} } });
    assert_eq!(
        names,
        [
            &serde_json::json!({ "name": "a", "inputSchema": schema }),
            &serde_json::json!({ "name": "b", "inputSchema": schema })
        ]
    );
    assert!(bare["toolConfig"].get("toolChoice").is_none());
    assert_eq!(bare["toolConfig"], none["toolConfig"]);
}

#[test]
fn blank_texts_are_left_out_and_a_blank_result_says_that_it_is() {
    let (told, said) = called("anthropic.claude-sonnet-4-5", "");

    assert!(
        said["messages"][1]["content"].as_array().unwrap().iter().all(|block| block.get("text").is_none()),
        "{told}"
    );
    assert_eq!(said["messages"][2]["content"][0]["toolResult"]["content"], serde_json::json!([{ "text": "(empty)" }]));
}

#[test]
fn ids_of_calls_hold_what_is_allowed_and_still_match() {
    let (_, said) = called("anthropic.claude-sonnet-4-5", "");

    assert_eq!(said["messages"][1]["content"][1]["toolUse"]["toolUseId"], "functions_b_0");
    assert_eq!(said["messages"][2]["content"][0]["toolResult"]["toolUseId"], "functions_b_0");
}

#[test]
fn thoughts_and_cache_points_go_to_models_that_know_them() {
    let tools = r#","tools":[{"type":"function","function":{"name":"a"},"cache_control":{"type":"ephemeral"}}]"#;
    let cases = [
        ("eu.anthropic.claude-opus-4-6-v1", 3, true),
        ("amazon.nova-pro-v1:0", 2, false),
        ("meta.llama3-3-70b-instruct-v1:0", 0, false),
        ("arn:aws:bedrock:eu-central-1:1:application-inference-profile/x", 0, false),
    ];
    for (model, points, thinks) in cases {
        let (told, said) = called(model, tools);

        assert_eq!(told.matches("cachePoint").count(), points, "{told}");
        assert_eq!(told.contains("reasoningContent"), thinks, "{told}");
        let has_tool_point = said["toolConfig"]["tools"].as_array().unwrap().len() == 2;
        assert_eq!(has_tool_point, thinks, "{told}");
    }
}

#[test]
fn models_that_refuse_sampling_or_to_be_made_to_call_are_spared() {
    let ask = |model: &str, more: &str| {
        let messages = r#""messages":[{"role":"user","content":"x"}]"#;
        tell(&format!(r#"{{"model":"{model}","temperature":0.5,"top_p":0.5,"top_k":5,{messages}{more}}}"#), request)
    };
    let insist = r#","tool_choice":"required","tools":[{"type":"function","function":{"name":"a"}}]"#;

    let (new, old) = (ask("us.anthropic.claude-opus-4-7", ""), ask("anthropic.claude-opus-4-1-v1:0", ""));
    let nova = ask("amazon.nova-lite-v1:0", "");

    assert!(new.contains(r#""inferenceConfig":{}"#) && !new.contains("top_k"), "{new}");
    assert!(old.contains(r#""inferenceConfig":{"temperature":0.5}"#) && old.contains(r#""top_k":5"#), "{old}");
    assert!(nova.contains(r#""inferenceConfig":{"temperature":0.5,"topP":0.5}"#) && !nova.contains("top_k"), "{nova}");
    let refused = ask("anthropic.claude-opus-5-5-v1:0", insist);
    assert!(refused.starts_with("refused: `tool_choice` cannot be sent to Bedrock"), "{refused}");
    assert!(ask("anthropic.claude-opus-4-6-v1", insist).contains(r#""toolChoice":{"any":{}}"#));
}

#[test]
fn no_two_documents_have_one_name_and_names_stay() {
    let file = r#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="}}"#;
    let ask = |messages: &[String]| {
        let told = tell(&format!(r#"{{"model":"m","messages":[{}]}}"#, messages.join(",")), request);
        let names = told.split(r#""name":""#).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let message = format!(r#"{{"role":"user","content":[{file},{file}]}}"#);

    assert_eq!(ask(std::slice::from_ref(&message)), ["a 0-0", "a 0-1"]);
    assert_eq!(ask(&[message.clone(), message]), ["a 0-0", "a 0-1", "a 1-0", "a 1-1"]);
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
    never_says_that_it_is_done(decoder, (&stream(), 0));
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
    let failed = refused(424, br#"{"message":"the model failed"}"#, None);
    let throttled = refused(429, br#"{"Message":"Too many requests"}"#, None);
    let long = refused(400, br#"{"message":"Input is too long for requested model."}"#, Some(TOO_LONG));

    assert_eq!((failed.status, throttled.status, long.status), (502, 429, 400));
    assert!(String::from_utf8_lossy(&long.words.unwrap()).contains("context_length_exceeded"));
    assert!(String::from_utf8_lossy(&throttled.words.unwrap()).contains("Too many requests"));
    assert_eq!(refused(500, b"<html>", None).words, None);
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
        read_to_the_end(decoder(), bytes);
    }
}
