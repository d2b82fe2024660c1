use serde_json::Value;

use super::*;
use crate::chat::gemini::answer::completion;
use crate::chat::gemini::request::request;
use crate::chat::gemini::stream::GeminiStream;
use crate::chat::native::TOO_LONG;
use crate::chat::native::corpus::{
    NEARLY_EVENTS, events, never_says_that_it_is_done, pretty, read_to_the_end, reads_the_same_however_it_is_cut,
    relayed, stamp, tell, told,
};
use crate::chat::native::decoder::{Decoder, Translated};
use crate::chat::usage::NotAnAnswer;

/// An answer as the API publishes it: thoughts, text, parallel calls.
pub(in crate::chat) const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Two towns.","thought":true},{"text":"Let me look."},{"functionCall":{"id":"fc_1","name":"weather","args":{"town":"Bonn","at":"noon"}},"thoughtSignature":"Z29v"},{"functionCall":{"name":"now"}}],"role":"model"},"finishReason":"STOP","index":0,"safetyRatings":[]}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":20,"totalTokenCount":35,"thoughtsTokenCount":5,"cachedContentTokenCount":4,"promptTokensDetails":[{"modality":"TEXT","tokenCount":10}]},"modelVersion":"gemini-3-pro","responseId":"resp-1"}"#;

/// A stream as the API publishes it.
pub(in crate::chat) const STREAM: &str = concat!(
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Two towns.\",\"thought\": true}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 10,\"totalTokenCount\": 10},\"modelVersion\": \"gemini-3-pro\",\"responseId\": \"resp-2\"}\r\n\r\n",
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Grüß \"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 10,\"candidatesTokenCount\": 2,\"totalTokenCount\": 12},\"modelVersion\": \"gemini-3-pro\",\"responseId\": \"resp-2\"}\r\n\r\n",
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"dich\"},{\"functionCall\": {\"name\": \"weather\",\"args\": {\"town\": \"Bonn\"}},\"thoughtSignature\": \"Z29v\"},{\"functionCall\": {\"name\": \"now\",\"args\": {}}}],\"role\": \"model\"},\"index\": 0}],\"modelVersion\": \"gemini-3-pro\",\"responseId\": \"resp-2\"}\r\n\r\n",
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"\"}],\"role\": \"model\"},\"finishReason\": \"STOP\",\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 10,\"candidatesTokenCount\": 20,\"thoughtsTokenCount\": 5,\"totalTokenCount\": 35},\"modelVersion\": \"gemini-3-pro\",\"responseId\": \"resp-2\"}\r\n\r\n",
);

pub(in crate::chat) fn decoder() -> Decoder {
    Decoder::Gemini(Box::new(Translated::new(1 << 20, GeminiStream::new(stamp()))))
}

#[test]
fn requests_are_told_in_its_words() {
    insta::assert_snapshot!("requests", told("gemini-3-pro", request));
}

#[test]
fn older_models_think_within_a_budget_and_need_no_signature() {
    let request_text = r#"{"model":"gemini-2.5-flash","reasoning_effort":"none","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"y"}]}"#;

    let old: Value = serde_json::from_str(&tell(request_text, request)).unwrap();
    let new: Value = serde_json::from_str(&tell(&request_text.replace("2.5-flash", "3-flash"), request)).unwrap();

    assert_eq!(old["generationConfig"]["thinkingConfig"], serde_json::json!({ "thinkingBudget": 0 }));
    assert_eq!(new["generationConfig"]["thinkingConfig"], serde_json::json!({ "thinkingLevel": "minimal" }));
    assert!(old["contents"][1]["parts"][0].get("thoughtSignature").is_none(), "{old}");
    assert_eq!(new["contents"][1]["parts"][0]["thoughtSignature"], "skip_thought_signature_validator");
}

#[test]
fn a_model_that_thinks_as_it_sees_fit_tells_its_thoughts_where_they_are_wanted() {
    let told = |model: &str, thinking: &str| {
        let body = format!(
            r#"{{"model":"{model}","thinking":{{"type":"{thinking}"}},"messages":[{{"role":"user","content":"x"}}]}}"#
        );
        let sent: Value = serde_json::from_str(&tell(&body, request)).unwrap();
        sent["generationConfig"]["thinkingConfig"].clone()
    };

    for model in ["gemini-3-pro", "gemini-2.5-flash"] {
        assert_eq!(told(model, "adaptive"), serde_json::json!({ "includeThoughts": true }), "{model}");
        assert_eq!(told(model, "disabled"), Value::Null, "{model}");
    }
    // These do not think, and refuse to be asked about it.
    for model in ["gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b"] {
        assert_eq!(told(model, "adaptive"), Value::Null, "{model}");
    }
}

#[test]
fn sound_and_addresses_are_sent_and_an_address_it_cannot_fetch_is_refused() {
    let part = |part: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#);

    let sound = tell(&part(r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#), request);
    let address = tell(&part(r#"{"type":"image_url","image_url":{"url":"https://a/b.PNG?x=1"}}"#), request);
    let file = tell(&part(r#"{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}"#), request);

    assert!(sound.contains(r#""inlineData":{"mimeType":"audio/wav","data":"AA=="}"#), "{sound}");
    assert!(address.contains(r#""fileData":{"mimeType":"image/png","fileUri":"https://a/b.PNG?x=1"}"#), "{address}");
    assert!(file.starts_with("refused: `messages[0].content[0]`") && !file.contains("passwd"), "{file}");
    let result = r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":[{"type":"image_url","image_url":{"url":"http://a/b.png"}}]}]}"#;
    let result = tell(result, request);
    assert!(result.starts_with("refused: `messages[0].content[0]` cannot be sent to Gemini"), "{result}");
}

#[test]
fn a_pro_thinks_a_little_at_least() {
    let thinking = |model: &str, effort: &str| {
        let told = tell(&format!(r#"{{"model":"{model}","reasoning_effort":"{effort}","messages":[]}}"#), request);
        serde_json::from_str::<Value>(&told).unwrap()["generationConfig"]["thinkingConfig"].clone()
    };

    assert_eq!(thinking("gemini-2.5-pro", "none")["thinkingBudget"], 128);
    assert_eq!(thinking("gemini-2.5-pro", "low")["thinkingBudget"], 1_024);
    for effort in ["none", "minimal", "low"] {
        assert_eq!(thinking("gemini-3-pro-preview", effort)["thinkingLevel"], "low", "{effort}");
    }
    assert_eq!(thinking("gemini-3-flash", "minimal")["thinkingLevel"], "minimal");
}

#[test]
fn older_models_give_json_or_call_tools() {
    let ask = |model: &str, format: &str| {
        let tools = r#""tools":[{"type":"function","function":{"name":"a"}}]"#;
        tell(
            &format!(r#"{{"model":"{model}","messages":[],{tools},"response_format":{{"type":"{format}"}}}}"#),
            request,
        )
    };

    let refused = ask("gemini-2.5-flash", "json_object");
    assert!(refused.starts_with("refused: `response_format` cannot be sent to Gemini"), "{refused}");
    assert!(ask("gemini-2.5-flash", "text").contains("functionDeclarations"));
    assert!(ask("gemini-3-flash", "json_object").contains(r#""responseMimeType":"application/json""#));
}

#[test]
fn calls_of_several_candidates_have_ids_of_their_own() {
    let candidate = |index: u32| {
        format!(
            r#"{{"index":{index},"content":{{"parts":[{{"functionCall":{{"name":"a"}}}}]}},"finishReason":"STOP"}}"#
        )
    };
    let body = format!(r#"{{"responseId":"r","candidates":[{},{}]}}"#, candidate(0), candidate(1));

    let whole = String::from_utf8(completion(body.as_bytes(), &stamp()).unwrap().to_vec()).unwrap();
    let stream = relayed(decoder(), format!("data: {body}\n\n").as_bytes());

    for told in [whole, stream] {
        assert!(told.contains(r#""id":"call_r_0_0""#) && told.contains(r#""id":"call_r_1_0""#), "{told}");
    }
}

#[test]
fn several_answers_are_asked_for() {
    assert!(tell(r#"{"model":"m","n":2,"messages":[]}"#, request).contains(r#""candidateCount":2"#));
}

#[test]
fn an_answer_is_put_back() {
    insta::assert_snapshot!("answer", pretty(&completion(ANSWER.as_bytes(), &stamp()).unwrap()));
}

#[test]
fn every_reason_to_end_has_its_word() {
    let cases = [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("SOMETHING_NEW", "stop"),
    ];
    for (reason, word) in cases {
        let body = format!(r#"{{"candidates":[{{"finishReason":"{reason}"}}]}}"#);
        let said: Value = serde_json::from_slice(&completion(body.as_bytes(), &stamp()).unwrap()).unwrap();

        assert_eq!(said["choices"][0]["finish_reason"], word, "{reason}");
    }
}

#[test]
fn a_blocked_prompt_is_a_refusal_and_no_failure() {
    let body = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;

    let said: Value = serde_json::from_slice(&completion(body.as_bytes(), &stamp()).unwrap()).unwrap();
    let stream = relayed(decoder(), format!("data: {body}\n\n").as_bytes());

    assert_eq!(said["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(said["choices"][0]["message"]["refusal"], "the provider blocked the prompt (SAFETY)");
    assert_eq!(said["usage"]["prompt_tokens"], 4);
    assert!(stream.contains(r#""finish_reason":"content_filter""#) && stream.ends_with("[DONE]\n\n"), "{stream}");
}

#[test]
fn what_is_no_content_is_no_answer() {
    assert_eq!(completion(b"", &stamp()), Err(NotAnAnswer::Empty));
    assert_eq!(completion(b"[]", &stamp()), Err(NotAnAnswer::NotJson));
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
    never_says_that_it_is_done(decoder, (STREAM.as_bytes(), 8));
}

#[test]
fn an_error_in_a_stream_keeps_its_status() {
    let stream = "data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\n\n";

    let events = events(decoder(), &[stream.as_bytes()]);

    assert_eq!(events[0].data, r#"{"error":{"message":"overloaded","type":"UNAVAILABLE","param":null,"code":503}}"#);
}

#[test]
fn errors_say_whose_mistake_they_are() {
    let throttled = r#"[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}]"#;
    let key = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
    let wrong = r#"{"error":{"code":400,"message":"bad schema","status":"INVALID_ARGUMENT"}}"#;

    let long = refused(400, wrong.as_bytes(), Some(TOO_LONG));
    let wrong = refused(400, wrong.as_bytes(), None);
    let inside = events(decoder(), &[format!("data: {key}\n\n").as_bytes()]);

    assert_eq!(refused(429, throttled.as_bytes(), None).status, 429);
    assert_eq!(refused(400, key.as_bytes(), None).status, 401);
    assert!(String::from_utf8_lossy(&inside[0].data).contains(r#""code":401"#), "as outside of a stream: {inside:?}");
    assert_eq!(wrong.status, 400);
    let expected =
        r#"{"error":{"message":"bad schema","type":"INVALID_ARGUMENT","param":null,"code":"INVALID_ARGUMENT"}}"#;
    assert_eq!(wrong.words.unwrap(), expected);
    assert!(String::from_utf8_lossy(&long.words.unwrap()).contains(r#""code":"context_length_exceeded""#));
    assert_eq!(refused(500, b"nothing", None).words, None);
}

#[test]
fn a_model_has_its_path() {
    assert_eq!(path("gemini-3-pro", Delivery::Whole), "/models/gemini-3-pro:generateContent");
    assert_eq!(path("tunedModels/my one?", Delivery::Stream), "/tunedModels/my%20one%3F:streamGenerateContent");
}

proptest::proptest! {
    #[test]
    fn any_events_are_read_without_a_crash(stream in NEARLY_EVENTS) {
        read_to_the_end(decoder(), stream.into_bytes());
    }
}
