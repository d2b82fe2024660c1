use proptest::prelude::*;

use super::*;
use crate::chat::sse::SseEvent;

fn public() -> PublicModel {
    PublicModel::from(&ModelName::from("public-name"))
}

fn completion(body: &str) -> Result<Completion, NotAnAnswer> {
    Completion::read(Bytes::copy_from_slice(body.as_bytes()), &public())
}

fn chunk(data: &str) -> Chunk {
    Chunk::read(data.as_bytes(), &public(), UsageChunk::Sent).unwrap()
}

#[test]
fn names_the_public_model_and_keeps_every_other_byte() {
    let read = completion(
        r#" {"id" : "x","model" :"up\u0020stream","big":12345678901234567890123,"f":1.50e+2,"choices":[{"message":{"content":"\u00e9 \"model\":\"up\""}}],"vendor":{"model":"keep"}} "#,
    );

    assert_eq!(
        read.unwrap().body,
        r#" {"id" : "x","model" :"public-name","big":12345678901234567890123,"f":1.50e+2,"choices":[{"message":{"content":"\u00e9 \"model\":\"up\""}}],"vendor":{"model":"keep"}} "#
    );
}

#[test]
fn adds_a_missing_model_and_replaces_a_null_one() {
    let missing = completion(r#"{"choices":[{}]}"#).unwrap();
    let null = completion(r#"{"model":null,"choices":[{}]}"#).unwrap();

    assert_eq!(missing.body, r#"{"model":"public-name","choices":[{}]}"#);
    assert_eq!(null.body, r#"{"model":"public-name","choices":[{}]}"#);
}

#[test]
fn leaves_an_answer_alone_that_names_the_public_model() {
    let body = Bytes::from_static(br#"{"model":"public-name","choices":[{}]}"#);

    let read = Completion::read(body.clone(), &public()).unwrap();

    assert_eq!(read.body.as_ptr(), body.as_ptr());
}

#[test]
fn reads_usage_with_cached_tokens() {
    let read = completion(
        r#"{"choices":[{}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2,"audio_tokens":0}}}"#,
    );

    assert_eq!(
        read.unwrap().usage,
        Some(Usage { input_tokens: 10, cached_input_tokens: 4, cache_write_tokens: 2, output_tokens: 3 })
    );
}

#[test]
fn strange_usage_is_no_usage_and_no_error() {
    for usage in ["null", "{}", "7", r#"{"prompt_tokens":"many"}"#, r#"{"prompt_tokens":-1}"#] {
        let read = completion(&format!(r#"{{"choices":[{{}}],"usage":{usage}}}"#));

        assert_eq!(read.unwrap().usage, None, "{usage}");
    }
}

#[test]
fn tells_what_is_not_an_answer() {
    assert_eq!(completion(""), Err(NotAnAnswer::Empty));
    for body in
        ["<html>", "{", "[]", "null", r#"{"choices":7}"#, r#"{"choices":[{}]} x"#, r#"{"choices":[{"message":7}]}"#]
    {
        assert_eq!(completion(body), Err(NotAnAnswer::NotJson), "{body}");
    }
    for body in ["{}", r#"{"choices":null}"#, r#"{"choices":[]}"#, r#"{"error":{}}"#] {
        assert_eq!(completion(body), Err(NotAnAnswer::NoChoices), "{body}");
    }
}

#[test]
fn an_error_in_place_of_an_answer_is_none_and_says_its_status() {
    for (body, status) in [
        (r#"{"error":{"message":"m","code":429}}"#, Some(429)),
        (r#"{"error":{"message":"m","code":"429"}}"#, Some(429)),
        (r#"{"error":{"message":"m","code":"busy"}}"#, None),
        (r#"{"error":{"message":"m"}}"#, None),
        (r#"{"error":"m"}"#, None),
        (r#"{"choices":[{"message":{"content":"a"}}],"error":{"message":"m","code":502}}"#, Some(502)),
        (r#"{"error":null,"choices":[{"message":{"content":"a"},"error":{"message":"m","code":502}}]}"#, Some(502)),
    ] {
        assert_eq!(completion(body), Err(NotAnAnswer::Failed { status }), "{body}");
        assert_eq!(chunk(body).error, Some(status), "{body}");
    }
    for nothing in ["null", "{}", "\"\"", "false", "[]"] {
        assert!(completion(&format!(r#"{{"choices":[{{}}],"error":{nothing}}}"#)).is_ok(), "{nothing}");
    }
    let embeddings = Completion::read_embeddings(Bytes::from(r#"{"data":[{}],"error":{"code":429}}"#), &public());
    assert_eq!(embeddings, Err(NotAnAnswer::Failed { status: Some(429) }));
    let elsewhere = br#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
    assert_eq!(NotAnAnswer::NoChoices.in_body(elsewhere), NotAnAnswer::Failed { status: None });
    assert_eq!(NotAnAnswer::NoChoices.in_body(b"{}"), NotAnAnswer::NoChoices);
}

#[test]
fn what_is_no_utf8_is_no_answer() {
    let answer = b"{\"id\":\"\xff\",\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}";
    let model = PublicModel::from(&ModelName::from("m"));

    assert_eq!(Completion::read(Bytes::from_static(answer), &model), Err(NotAnAnswer::NotJson));
    assert_eq!(Chunk::read(b"{\"id\":\"\xff\",\"choices\":[]}", &model, UsageChunk::Sent), Err(NotAnAnswer::NotJson));
}

#[test]
fn a_chunk_is_semantic_when_it_carries_answer() {
    for delta in [
        r#"{"content":"a"}"#,
        r#"{"role":"assistant","content":"a"}"#,
        r#"{"reasoning_content":"a"}"#,
        r#"{"refusal":"no"}"#,
        r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}"#,
        r#"{"vendor":{"x":1}}"#,
    ] {
        assert!(chunk(&format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)).is_semantic, "{delta}");
    }
    for delta in ["{}", "null", r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[]}"#] {
        assert!(!chunk(&format!(r#"{{"choices":[{{"delta":{delta},"finish_reason":null}}]}}"#)).is_semantic, "{delta}");
    }
    assert!(chunk(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#).is_semantic);
}

#[test]
fn sees_which_choices_end() {
    let read =
        chunk(r#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":2,"delta":{},"finish_reason":"stop"}]}"#);

    assert_eq!((read.choices, read.ended), (0b101, 0b100));
}

#[test]
fn a_usage_chunk_has_no_choices() {
    let read = chunk(r#"{"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#);

    assert!(!read.has_choices);
    assert_eq!(read.usage, Some(Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() }));
}

#[test]
fn usage_is_taken_out_wherever_it_stands_and_nothing_else_is() {
    let without = |data: &'static str| {
        let event = SseEvent::of(data.as_bytes());
        let read = Chunk::read(&event.data, &public(), UsageChunk::Left).unwrap();
        let bytes = event.splice(read.edits.iter().flatten().map(|edit| (edit.range.clone(), edit.with.as_ref())));
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).unwrap().to_owned()
    };

    for (given, left) in [
        (r#"{"model":"m","choices":[{}],"usage":null}"#, r#"{"model":"public-name","choices":[{}]}"#),
        (r#"{"model":"m","usage":{"prompt_tokens":1},"choices":[{}]}"#, r#"{"model":"public-name","choices":[{}]}"#),
        (r#"{"usage":null,"model":"m","choices":[{}]}"#, r#"{"model":"public-name","choices":[{}]}"#),
        (r#"{"usage":null,"choices":[{}]}"#, r#"{"model":"public-name","choices":[{}]}"#),
        (r#"{ "usage" : {} , "choices":[{}]}"#, r#"{"model":"public-name", "choices":[{}]}"#),
        (r#"{"choices":[{}] , "usage" : {"a":[1]} }"#, r#"{"model":"public-name","choices":[{}]  }"#),
        (r#"{"usage":null}"#, "{}"),
        (
            r#"{"choices":[{"usage":1}],"x":{"usage":2}}"#,
            r#"{"model":"public-name","choices":[{"usage":1}],"x":{"usage":2}}"#,
        ),
    ] {
        assert_eq!(without(given), left, "{given}");
    }
    let kept = Chunk::read(br#"{"choices":[{}],"usage":null}"#, &public(), UsageChunk::Sent).unwrap();
    assert_eq!(kept.edits.iter().flatten().count(), 1, "the model's alone");
}

#[test]
fn counts_the_bytes_of_answer() {
    let text = chunk(r#"{"choices":[{"delta":{"role":"assistant","content":"four","reasoning_content":"12"}}]}"#);
    let tool = chunk(
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"abc","arguments":"{}"}}]}}]}"#,
    );

    assert_eq!(text.output_bytes, 6);
    assert_eq!(tool.output_bytes, 5);
}

#[test]
fn sees_an_error_in_a_stream_and_its_status() {
    assert_eq!(chunk(r#"{"error":{"message":"m","code":429}}"#).error, Some(Some(429)));
    assert_eq!(chunk(r#"{"error":{"message":"m","code":"overloaded"}}"#).error, Some(None));
    assert_eq!(chunk(r#"{"error":"m"}"#).error, Some(None));
    assert_eq!(chunk(r#"{"error":null,"choices":[]}"#).error, None);
}

#[test]
fn a_foreign_object_is_a_chunk_without_anything() {
    let read = chunk(r#"{"type":"ping"}"#);

    assert_eq!((read.edits, read.is_semantic, read.has_choices), ([None, None], false, false));
    assert_eq!(Chunk::read(b"ping", &public(), UsageChunk::Sent), Err(NotAnAnswer::NotJson));
}

#[test]
fn knows_the_shape_of_an_error_body() {
    assert!(is_error_body(br#"{"error":{"message":"m","type":"t"}}"#));
    for body in ["", "{}", r#"{"error":"m"}"#, r#"{"detail":"m"}"#, "<html>"] {
        assert!(!is_error_body(body.as_bytes()), "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let read = Chunk::read(&bytes, &public(), UsageChunk::Left);
        prop_assert!(read.is_ok() || read.is_err());
    }

    #[test]
    fn only_the_model_changes(content in "\\PC{0,40}", model in "\\PC{0,20}") {
        let body = serde_json::json!({ "a": content, "model": model, "choices": [{ "delta": { "content": content } }] });
        let mut expected = body.clone();
        expected["model"] = "public-name".into();

        let read = completion(&body.to_string()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&read.body).unwrap();

        prop_assert_eq!(value, expected);
    }
}
