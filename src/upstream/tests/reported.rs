//! Errors that come where an answer was to come, under a status of success, and what they say about coming back.

use super::*;
use crate::chat::fitness::{Fitness, Form};
use crate::domain::recovery::Unfit;
use crate::upstream::dialect::Dialect;
use crate::upstream::fake::{Reply, events_reply, json, sse};

const WORD: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 10 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;

fn healthy(ask: Ask) -> Reply {
    if ask.stream { sse(&["Hel"]) } else { json(ANSWER) }
}

/// Waits between tries are a minute, unless an upstream says otherwise.
fn unhurried(plan: Plan) -> Plan {
    let minute = Duration::from_secs(60);
    Plan { retry: RetrySettings { base: minute, cap: minute, ..RetrySettings::default() }, ..plan }
}

#[tokio::test]
async fn a_200_that_reports_an_error_counts_as_that_error() {
    for (body, class) in [
        (r#"{"error":{"code":429,"message":"busy","metadata":{"headers":{"Retry-After":"30"}}}}"#, Class::Throttled),
        (r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Class::Unauthorised),
        (r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#, Class::Unauthorised),
        (TOO_LONG, Class::TooLong),
    ] {
        for ask in [WHOLE, STREAM] {
            let (bad, good) = (FakeUpstream::script([json(body)]).await, FakeUpstream::script([healthy(ask)]).await);
            let first = Target { context_tokens: Some(1_000), ..target("a", &bad) };

            let (_, outcome) = call(plan(vec![first.clone(), target("b", &good)]), ask).await.read().await;

            assert_eq!(classes(&outcome), [class, Class::Success], "{body}");
            let rests = first.health.view(Instant::now()).rests_for;
            assert_eq!(rests > Duration::from_secs(20), class == Class::Throttled, "{rests:?} {body}");
        }
    }
}

#[tokio::test]
async fn a_200_that_refuses_the_request_is_passed_on_in_its_words_and_not_retried() {
    let refused = r#"{"error":{"message":"bad field","type":"invalid_request_error","param":"seed","code":400}}"#;
    for ask in [WHOLE, STREAM] {
        let fake = FakeUpstream::script([json(refused)]).await;

        let (error, _) = call(plan(vec![target("a", &fake), target("b", &fake)]), ask).await.failed().await;

        let DispatchError::Rejected { status, body, .. } = error else { panic!("{error}") };
        assert_eq!((status, body.as_ref()), (400, refused.as_bytes()));
        assert_eq!(fake.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_response_that_failed_counts_as_its_code_says() {
    let failed = |code: &str| {
        let error = serde_json::json!({ "code": code, "message": "m" });
        serde_json::json!({ "id": "r", "status": "failed", "error": error, "output": [] }).to_string()
    };
    let events = |code: &str| {
        let response: serde_json::Value = serde_json::from_str(&failed(code)).unwrap();
        events_reply(&[&serde_json::json!({ "type": "response.failed", "response": response }).to_string()])
    };
    for (code, class) in [("context_length_exceeded", Class::TooLong), ("insufficient_quota", Class::Unauthorised)] {
        for ask in [WHOLE, STREAM] {
            let reply = if ask.stream { events(code) } else { json(&failed(code)) };
            let (bad, good) = (FakeUpstream::script([reply]).await, FakeUpstream::script([healthy(ask)]).await);
            let first = target_of(UpstreamSettings { dialect: Dialect::Responses, ..settings("a", bad.base_url()) });
            let first = Target { context_tokens: Some(1_000), ..first };
            let (books, reports, closed) = books();
            let body = |model: &str, _: Reader| {
                Bytes::from(format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#))
            };
            let outgoing = Outgoing {
                path: "/chat/completions",
                expects: Expects::Completion,
                stream: ask.stream,
                wants_usage: false,
                body: &body,
                request_id: "req-1",
                prompt_tokens: 7,
            };

            let answer = dispatch(plan(vec![first, target("b", &good)]), &outgoing, books).await.unwrap();

            collect(answer.body).await;
            let outcome = one_report(&reports, closed).await;
            assert_eq!(classes(&outcome), [class, Class::Success], "{code}");
        }
    }
}

#[tokio::test]
async fn a_hint_inside_a_stream_is_waited_for() {
    let busy = r#"{"error":{"message":"slow down","code":429,"retry_after_ms":5}}"#;
    let fake = FakeUpstream::script([events_reply(&[busy]), sse(&["Hel"])]).await;
    let target = target("a", &fake);

    let (_, outcome) = call(unhurried(plan(vec![target.clone()])), STREAM).await.read().await;

    assert_eq!(classes(&outcome), [Class::Throttled, Class::Success]);
    assert_eq!(target.health.view(Instant::now()).breaker.failures, 0, "it did not fail");
}

#[tokio::test]
async fn a_target_that_asks_for_a_rest_in_the_middle_of_its_stream_has_it() {
    let busy = r#"{"error":{"message":"Please retry after 30 seconds.","code":429}}"#;
    let fake = FakeUpstream::script([events_reply(&[WORD, busy])]).await;
    let target = target("a", &fake);

    let (_, outcome) = call(plan(vec![target.clone()]), STREAM).await.read().await;

    assert_eq!(outcome.class, Class::Truncated);
    let view = target.health.view(Instant::now());
    assert!(view.rests_for > Duration::from_secs(20), "{view:?}");
    assert_eq!(view.breaker.failures, 0, "it did not fail");
}

#[tokio::test]
async fn a_stream_whose_json_is_wrong_falls_back_before_the_client_sees_any_of_it() {
    let fitness = Fitness { unfit: [Unfit::InvalidJson].into_iter().collect(), form: Form::Json };
    let care = Care { fitness, ..Care::NONE };
    let prose = FakeUpstream::script([json(ANSWER)]).await;
    let good = FakeUpstream::script([json(&ANSWER.replace("hello", "{}"))]).await;
    let last = FakeUpstream::script([sse(&["{}"])]).await;

    let targets = vec![target("a", &prose), target("b", &good), target("c", &last)];
    let (text, outcome) = call(Plan { care: care.clone(), ..plan(targets) }, STREAM).await.read().await;
    let targets = vec![target("a", &prose), target("c", &last)];
    let (streamed, _) = call(Plan { care, ..plan(targets) }, STREAM).await.read().await;

    assert_eq!(classes(&outcome), [Class::Unfit, Class::Success]);
    assert!(text.contains(r#""content":"{}""#) && text.contains("m-b") && !text.contains("hello"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("usage"), "{text}");
    assert_eq!(outcome.cost, Some(NanoUsd(40_000)), "both are billed");
    assert!(streamed.contains(r#""id":"c1""#), "the last target's stream flows through: {streamed}");
}
