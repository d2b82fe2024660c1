//! Streams over real sockets: the commit point, usage, names, and what is left of a broken one.

use futures_util::StreamExt as _;
use http_body::Body as _;

use super::*;
use crate::upstream::fake::{Reply, events_reply, garbage, raw_stream, sse, status};

const ROLE: &str = r#"{"model":"upstream-model","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
const WORD: &str = r#"{"model":"upstream-model","choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
/// The same as it comes where usage was asked for.
const COUNTED_WORD: &str =
    r#"{"model":"upstream-model","choices":[{"index":0,"delta":{"content":"Hello"}}],"usage":null}"#;
const STOP: &str = r#"{"model":"upstream-model","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"model":"upstream-model","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#;

async fn streamed(reply: Reply, ask: Ask) -> (String, Outcome) {
    let fake = FakeUpstream::script([reply]).await;
    call(plan(vec![target("a", &fake)]), ask).await.read().await
}

/// What the client reads when exactly these events pass under the public name.
fn passed(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect::<String>().replace("upstream-model", "m-a")
}

#[tokio::test]
async fn relays_a_stream_under_the_public_name() {
    let (text, outcome) = streamed(events_reply(&[ROLE, WORD, STOP, "[DONE]"]), STREAM).await;

    assert_eq!(text, passed(&[ROLE, WORD, STOP, "[DONE]"]));
    assert_eq!((outcome.class, classes(&outcome)), (Class::Success, vec![Class::Success]));
    assert_eq!(outcome.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((7, 2)), "nobody counted");
    assert!(outcome.usage_estimated && outcome.attempts[0].detail.contains("estimate"));
    assert_eq!(outcome.cost, Some(NanoUsd(11_000)));
}

#[tokio::test]
async fn keeps_the_usage_chunk_back_unless_the_client_asked() {
    let events = [WORD, STOP, USAGE, "[DONE]"];
    let asking = Ask { stream: true, wants_usage: true };

    let (kept_back, silent) = streamed(events_reply(&events), STREAM).await;
    let (given, asked) = streamed(events_reply(&events), asking).await;

    assert_eq!(kept_back, passed(&[WORD, STOP, "[DONE]"]));
    assert_eq!(given, passed(&events));
    for outcome in [silent, asked] {
        assert_eq!(outcome.usage.map(|usage| usage.cached_input_tokens), Some(4));
        assert_eq!(outcome.cost, Some(NanoUsd(20_000)));
    }
}

#[tokio::test]
async fn usage_beside_choices_counts_and_is_for_clients_that_asked() {
    let last = STOP.replace(r#""choices""#, r#""usage":{"prompt_tokens":3,"completion_tokens":2},"choices""#);
    let asking = Ask { stream: true, wants_usage: true };

    let (kept_back, silent) = streamed(events_reply(&[COUNTED_WORD, &last, "[DONE]"]), STREAM).await;
    let (given, asked) = streamed(events_reply(&[COUNTED_WORD, &last, "[DONE]"]), asking).await;

    assert_eq!(kept_back, passed(&[WORD, STOP, "[DONE]"]));
    assert_eq!(given, passed(&[COUNTED_WORD, &last, "[DONE]"]));
    for outcome in [silent, asked] {
        assert_eq!(outcome.usage.map(|usage| usage.output_tokens), Some(2));
    }
}

#[tokio::test]
async fn a_stream_may_be_split_anywhere() {
    let text = passed(&[ROLE, WORD, STOP, USAGE, "[DONE]"]).replace("m-a", "upstream-model");
    let pieces: Vec<String> = text.chars().map(String::from).collect();

    let (read, outcome) = streamed(raw_stream(&pieces), STREAM).await;

    assert_eq!(read, passed(&[ROLE, WORD, STOP, "[DONE]"]));
    assert_eq!(outcome.usage.map(|usage| usage.input_tokens), Some(10));
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_token_falls_back() {
    let reported = r#"{"error":{"message":"overloaded","code":529}}"#;
    let starts = [
        (status(503), Class::Transient),
        (events_reply(&[ROLE, WORD]).cut_after(0), Class::Transient),
        (events_reply(&[ROLE, WORD]).cut_after(1), Class::Transient),
        (events_reply(&[ROLE, WORD]).end_after(1), Class::Transient),
        (events_reply(&["[DONE]"]), Class::Transient),
        (events_reply(&[ROLE, reported]), Class::Throttled),
        (events_reply(&[ROLE, r#"{"error":{"message":"m"}}"#]), Class::Transient),
        (raw_stream(&["event: error\ndata: {\"message\":\"m\"}\n\n".to_owned()]), Class::Transient),
        (events_reply(&[ROLE, r#"{"choices":[{"de"#]), Class::Garbage),
        (garbage(), Class::Garbage),
        (crate::upstream::fake::json(ANSWER), Class::Garbage),
    ];
    for (start, class) in starts {
        let (bad, good) = (FakeUpstream::script([start]).await, FakeUpstream::script([sse(&["Hel", "lo"])]).await);

        let (text, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), STREAM).await.read().await;

        assert_eq!(classes(&outcome), [class, class, Class::Success]);
        assert!(text.starts_with(r#"data: {"id":"c1""#) && text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(!text.contains("assistant"), "nothing of the failed start is seen: {text}");
    }
}

#[tokio::test]
async fn a_stream_that_says_that_the_request_never_fits_goes_to_the_next_target() {
    let reported = r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM)"}}"#;
    let (bad, good) =
        (FakeUpstream::script([events_reply(&[reported])]).await, FakeUpstream::script([sse(&["yes"])]).await);

    let (_, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), STREAM).await.read().await;

    assert_eq!(classes(&outcome), [Class::Throttled, Class::Success]);
}

#[tokio::test]
async fn a_request_refused_inside_a_stream_passes_through() {
    let reported = r#"{"error":{"message":"too long","code":400}}"#;
    let fake = FakeUpstream::script([events_reply(&[reported])]).await;

    let (error, _) = call(plan(vec![target("a", &fake)]), STREAM).await.failed().await;

    let DispatchError::Rejected { status, body, .. } = error else { panic!("{error}") };
    assert_eq!((status, body.as_ref()), (400, reported.as_bytes()));
}

#[tokio::test]
async fn a_stream_that_never_begins_falls_back_at_its_own_timeout() {
    let timeouts = Timeouts { first_token: SHORT, ..Timeouts::default() };
    let comments = raw_stream(&[": working\n\n".to_owned(), ": working\n\n".to_owned()]).stall_after(2);
    for start in [events_reply(&[ROLE, WORD]).stall_after(1), comments] {
        let (bad, good) = (FakeUpstream::script([start]).await, FakeUpstream::script([sse(&["Hel"])]).await);

        let plan = plan(vec![hasty("a", &bad, timeouts), target("b", &good)]);
        let (_, outcome) = call(plan, STREAM).await.read().await;

        assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
        assert_eq!(outcome.attempts[0].detail, "no first token within 60ms");
        timeout(PATIENCE, bad.client_gone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_start_too_long_to_hold_back_is_committed() {
    let fake = FakeUpstream::script([events_reply(&[ROLE; 70]).stall_after(70)]).await;

    let answer = call(plan(vec![target("a", &fake)]), STREAM).await.result.unwrap();

    let first = answer.body.into_data_stream().next().await.unwrap().unwrap();
    assert_eq!(first, passed(&[ROLE]));
}

#[tokio::test]
async fn does_not_retry_after_first_byte() {
    for (end, code) in [
        (events_reply(&[WORD, WORD]).cut_after(1), "upstream_cut"),
        (events_reply(&[WORD, WORD]).end_after(1), "upstream_cut"),
        (raw_stream(&[format!("data: {WORD}\n\n"), "data: {\"choi".to_owned()]), "upstream_cut"),
        (events_reply(&[WORD, "nonsense"]), "upstream_garbage"),
    ] {
        let (bad, good) = (FakeUpstream::script([end]).await, FakeUpstream::script([sse(&["no"])]).await);

        let (text, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), STREAM).await.read().await;

        let last = text.strip_prefix(&passed(&[WORD])).unwrap().strip_prefix("data: ").unwrap();
        let value: serde_json::Value = serde_json::from_str(last.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(value["error"]["code"], code);
        assert_eq!(value["error"]["type"], "upstream_error");
        assert!(value["error"]["message"].is_string() && value["error"]["param"].is_null());
        assert_eq!((outcome.class, classes(&outcome)), (Class::Truncated, vec![Class::Truncated]));
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 0));
        assert_eq!(outcome.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((7, 2)), "an estimate");
    }
}

#[tokio::test]
async fn a_stall_in_the_middle_ends_in_an_error_event() {
    let timeouts = Timeouts { idle: SHORT, ..Timeouts::default() };
    let fake = FakeUpstream::script([events_reply(&[WORD, WORD]).stall_after(1)]).await;

    let (text, outcome) = call(plan(vec![hasty("a", &fake, timeouts)]), STREAM).await.read().await;

    assert!(text.contains(r#""code":"upstream_idle""#), "{text}");
    assert_eq!(outcome.class, Class::Truncated);
    timeout(PATIENCE, fake.client_gone()).await.unwrap();
}

#[tokio::test]
async fn a_stream_beyond_its_total_ends_in_an_error_event() {
    let timeouts = Timeouts { total: Duration::from_millis(500), ..Timeouts::default() };
    let fake = FakeUpstream::script([events_reply(&[WORD, WORD]).stall_after(1)]).await;

    let (text, outcome) = call(plan(vec![hasty("a", &fake, timeouts)]), STREAM).await.read().await;

    assert!(text.contains(r#""code":"deadline_exceeded""#), "{text}");
    assert_eq!(outcome.attempts[0].detail, "no complete answer within 500ms");
}

#[tokio::test]
async fn an_error_event_in_the_middle_is_passed_on_without_the_key_and_ends_the_stream() {
    let echo = format!(r#"{{"error":{{"message":"lost {KEY}"}}}}"#);

    let (text, outcome) = streamed(events_reply(&[WORD, &echo, WORD]), STREAM).await;

    assert_eq!(text, passed(&[WORD, r#"{"error":{"message":"lost [redacted]"}}"#]));
    assert_eq!(outcome.class, Class::Truncated);
}

#[tokio::test]
async fn adds_the_end_mark_that_an_upstream_forgot() {
    let (text, outcome) = streamed(events_reply(&[WORD, STOP, USAGE]), STREAM).await;

    assert_eq!(text, passed(&[WORD, STOP, "[DONE]"]));
    assert_eq!((outcome.class, outcome.cost), (Class::Success, Some(NanoUsd(20_000))));
}

#[tokio::test]
async fn signs_of_life_in_the_middle_pass() {
    let ping = r#"{"type":"ping"}"#;

    let (text, outcome) = streamed(events_reply(&[WORD, ping, STOP, "[DONE]"]), STREAM).await;

    assert_eq!(text, passed(&[WORD, ping, STOP, "[DONE]"]));
    assert_eq!(outcome.class, Class::Success);
}

#[tokio::test]
async fn unknown_fields_survive_byte_for_byte() {
    let odd = r#"{ "x":1.50e+1, "model" : "upstream-model" ,"choices":[{"delta":{"content":"\u00e9\"model\":"}}],"vendor":{"model":"keep","big":123456789012345678901}}"#;

    let (text, _) = streamed(events_reply(&[odd, STOP, "[DONE]"]), STREAM).await;

    assert_eq!(text, passed(&[odd, STOP, "[DONE]"]));
}

#[tokio::test]
async fn a_connection_serves_one_stream_after_another() {
    let fake = FakeUpstream::script([sse(&["Hel", "lo"])]).await;
    let target = target("a", &fake);

    for _ in 0..3 {
        call(plan(vec![target.clone()]), STREAM).await.read().await;
    }

    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_and_is_billed_for_what_passed() {
    let fake = FakeUpstream::script([events_reply(&[WORD, WORD]).stall_after(2)]).await;
    let call = call(plan(vec![target("a", &fake)]), STREAM).await;
    let mut body = call.result.unwrap().body;
    for _ in 0..2 {
        timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    }
    assert!(!body.is_end_stream());

    drop(body);

    timeout(PATIENCE, fake.client_gone()).await.unwrap();
    let outcome = one_report(&call.reports, call.closed).await;
    assert_eq!((outcome.class, classes(&outcome)), (Class::Cancelled, vec![Class::Cancelled]));
    assert_eq!(outcome.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((7, 3)));
    assert_eq!(outcome.cost, Some(NanoUsd(13_000)));
    assert_eq!(fake.requests().len(), 1);
}
