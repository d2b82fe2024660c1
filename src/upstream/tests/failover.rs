//! Before the first token: retry, the next target, or the end.

use super::*;
use crate::upstream::client::Sizes;
use crate::upstream::dialect::Dialect;
use crate::upstream::fake::{garbage, hang, json, raw_stream, refused_url, sse, status, whole};

#[tokio::test]
async fn answers_with_the_first_target() {
    let fake = FakeUpstream::script([json(ANSWER)]).await;

    let (body, outcome) = call(plan(vec![target("a", &fake)]), WHOLE).await.read().await;

    assert_eq!(body, ANSWER.replace("upstream-model", "m-a"));
    assert_eq!(outcome.class, Class::Success);
    assert_eq!(outcome.served_by, Some(ModelName::from("m-a")));
    assert_eq!(outcome.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((10, 5)));
    assert_eq!(outcome.cost, Some(NanoUsd(20_000)));
    assert!(outcome.first_byte.is_some());
}

#[tokio::test]
async fn an_answer_tells_its_price_before_its_body_is_read() {
    let fake = FakeUpstream::script([json(ANSWER)]).await;

    let answer = call(plan(vec![target("a", &fake)]), WHOLE).await.result.unwrap();

    assert_eq!(answer.cost, Some(NanoUsd(20_000)));
    assert_eq!(http_body::Body::size_hint(&answer.body).exact(), Some(ANSWER.len() as u64 - 11));
}

#[tokio::test]
async fn sends_what_the_upstream_needs_and_nothing_else() {
    let fake = FakeUpstream::script([json(ANSWER)]).await;

    let answer = call(plan(vec![target("a", &fake)]), WHOLE).await.result.unwrap();

    assert!(!format!("{answer:?}").contains(KEY));
    let request = fake.requests().remove(0);
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.body, br#"{"model":"upstream-model"}"#);
    assert_eq!(
        names,
        ["accept", "authorization", "content-length", "content-type", "host", "user-agent", "x-request-id"]
    );
    assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(request.header("user-agent"), Some(concat!("trimtab/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("x-request-id"), Some("req-1"));
}

#[tokio::test]
async fn sends_the_key_in_a_header_of_its_own_where_the_dialect_has_one() {
    let fake = FakeUpstream::script([json(ANSWER)]).await;
    let settings = UpstreamSettings { dialect: Dialect::Azure { api_version: None }, ..settings("a", fake.base_url()) };

    drop(call(plan(vec![target_of(settings)]), WHOLE).await.result.unwrap());

    let request = fake.requests().remove(0);
    assert_eq!((request.header("api-key"), request.header("authorization")), (Some(KEY), None));
}

#[tokio::test]
async fn retries_once_after_503() {
    for (ask, good) in [(WHOLE, json(ANSWER)), (STREAM, sse(&["Hel", "lo"]))] {
        let fake = FakeUpstream::script([status(503), good]).await;

        let (_, outcome) = call(plan(vec![target("a", &fake)]), ask).await.read().await;

        assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
        assert_eq!(outcome.attempts[0].status, Some(503));
        assert_eq!(fake.connections(), 1, "a refused request leaves its connection fit for the next");
    }
}

#[tokio::test]
async fn falls_back_to_next_target_after_the_retry() {
    let (bad, good) = (FakeUpstream::script([status(503)]).await, FakeUpstream::script([json(ANSWER)]).await);

    let (body, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), WHOLE).await.read().await;

    assert!(body.contains(r#""model":"m-b""#));
    assert_eq!(outcome.served_by, Some(ModelName::from("m-b")));
    assert_eq!(classes(&outcome), [Class::Transient, Class::Transient, Class::Success]);
    assert_eq!((bad.requests().len(), good.requests().len()), (2, 1));
}

#[tokio::test]
async fn refused_requests_pass_through_and_are_never_retried() {
    for code in [400, 422] {
        let (bad, good) = (FakeUpstream::script([status(code)]).await, FakeUpstream::script([json(ANSWER)]).await);

        let (error, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), WHOLE).await.failed().await;

        let DispatchError::Rejected { status, body, attempts } = error else { panic!("{error}") };
        assert_eq!(status, code);
        assert!(String::from_utf8_lossy(&body).contains(&format!("scripted {code}")));
        assert_eq!((attempts.len(), bad.requests().len(), good.requests().len()), (1, 1, 0));
        assert_eq!(outcome.class, Class::Rejected);
    }
}

#[tokio::test]
async fn a_refusal_in_foreign_words_is_put_into_ours() {
    for body in [b"<html>nginx</html>".as_slice(), br#"{"detail":"bad"}"#, b"", &[b'x'; 70_000]] {
        let fake = FakeUpstream::script([whole(400, "text/html", body)]).await;

        let (error, _) = call(plan(vec![target("a", &fake)]), WHOLE).await.failed().await;

        let DispatchError::Rejected { body, .. } = error else { panic!("{error}") };
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["error"]["message"], "the upstream refused the request with status 400");
        assert_eq!(value["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn wrong_credentials_go_to_the_next_target_at_once() {
    for code in [401, 403] {
        let (bad, good) = (FakeUpstream::script([status(code)]).await, FakeUpstream::script([json(ANSWER)]).await);

        let (_, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), WHOLE).await.read().await;

        assert_eq!(classes(&outcome), [Class::Unauthorised, Class::Success]);
    }
}

#[tokio::test]
async fn a_key_that_is_echoed_reaches_nobody() {
    let echo = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}"#);
    for code in [400, 401] {
        let fake = FakeUpstream::script([whole(code, "application/json", echo.as_bytes())]).await;
        let plan = plan(vec![target("a", &fake)]);
        assert!(!format!("{plan:?}").contains(KEY));

        let (error, outcome) = call(plan, WHOLE).await.failed().await;

        let shown = match &error {
            DispatchError::Rejected { body, .. } => String::from_utf8_lossy(body).into_owned(),
            DispatchError::Exhausted { .. } | DispatchError::Deadline { .. } | DispatchError::NoTarget => String::new(),
        };
        assert!(!format!("{error} {error:?} {outcome:?} {shown}").contains(KEY));
        assert_eq!(shown.contains("Incorrect API key provided: [redacted]"), code == 400);
    }
}

#[tokio::test]
async fn a_short_hint_is_waited_for() {
    let fake = FakeUpstream::script([status(429).header("retry-after-ms", "5"), json(ANSWER)]).await;

    let (_, outcome) = call(plan(vec![target("a", &fake)]), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Throttled, Class::Success]);
}

#[tokio::test]
async fn a_hint_beyond_the_deadline_moves_on_at_once() {
    let bad = FakeUpstream::script([status(429).header("retry-after", "9")]).await;
    let good = FakeUpstream::script([json(ANSWER)]).await;
    let mut plan = plan(vec![target("a", &bad), target("b", &good)]);
    plan.deadline = Instant::now() + Duration::from_secs(8);

    let (_, outcome) = call(plan, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Throttled, Class::Success]);
    assert!(outcome.total < Duration::from_secs(8), "{:?}", outcome.total);
}

#[tokio::test]
async fn a_hint_beyond_the_deadline_of_the_last_target_ends_the_call_at_once() {
    let fake = FakeUpstream::script([status(429).header("retry-after", "9")]).await;
    let mut plan = plan(vec![target("a", &fake)]);
    plan.deadline = Instant::now() + Duration::from_secs(8);

    let (error, outcome) = call(plan, WHOLE).await.failed().await;

    assert!(
        matches!(&error, DispatchError::Exhausted { retry_after: Some(hint), .. } if hint.as_secs() == 9),
        "{error}"
    );
    assert!(outcome.total < Duration::from_secs(8), "{:?}", outcome.total);
}

#[tokio::test]
async fn tells_when_to_come_back_if_all_are_busy() {
    let one = FakeUpstream::script([status(429).header("retry-after", "60")]).await;
    let two = FakeUpstream::script([status(529).header("retry-after", "30")]).await;

    let (error, _) = call(plan(vec![target("a", &one), target("b", &two)]), WHOLE).await.failed().await;

    assert!(error.is_throttled());
    let DispatchError::Exhausted { retry_after, .. } = error else { panic!("{error}") };
    assert_eq!(retry_after, Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn falls_back_when_the_connection_is_refused() {
    let good = FakeUpstream::script([json(ANSWER)]).await;
    let dead = target_of(settings("a", refused_url().await));

    let (_, outcome) = call(plan(vec![dead, target("b", &good)]), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Transient, Class::Success]);
    assert!(outcome.attempts[0].detail.contains("refused"), "{}", outcome.attempts[0].detail);
}

#[tokio::test]
async fn silence_ends_at_the_headers_timeout_and_falls_back() {
    let timeouts = Timeouts { headers: SHORT, ..Timeouts::default() };
    for (ask, silence, good) in [
        (WHOLE, hang(), json(ANSWER)),
        (WHOLE, json(ANSWER).stall_in_headers(), json(ANSWER)),
        (STREAM, hang(), sse(&["Hel", "lo"])),
    ] {
        let (silent, good) = (FakeUpstream::script([silence]).await, FakeUpstream::script([good]).await);

        let plan = plan(vec![hasty("a", &silent, timeouts), target("b", &good)]);
        let (_, outcome) = call(plan, ask).await.read().await;

        assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
        assert_eq!(outcome.attempts[0].detail, "no response headers within 60ms");
        timeout(PATIENCE, silent.client_gone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_that_falls_silent_or_is_cut_falls_back() {
    let timeouts = Timeouts { idle: SHORT, ..Timeouts::default() };
    let silent = FakeUpstream::script([whole(200, "application/json", ANSWER.as_bytes()).stall_after(0)]).await;
    let cut = FakeUpstream::script([json(ANSWER).cut_in_body()]).await;
    let good = FakeUpstream::script([json(ANSWER)]).await;

    let plan = plan(vec![hasty("a", &silent, timeouts), target("b", &cut), target("c", &good)]);
    let (_, outcome) = call(plan, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Transient, Class::Transient, Class::Success]);
    assert_eq!(outcome.attempts[0].detail, "silent for 60ms in the middle of the answer");
}

#[tokio::test]
async fn garbage_falls_back_and_is_named_when_nothing_else_is_left() {
    let bodies = ["", "{", r#"{"object":"list"}"#, r#"{"error":null}"#];
    let replies = bodies.map(json).into_iter().chain([garbage()]);
    for reply in replies {
        let bad = FakeUpstream::script([reply]).await;

        let (error, outcome) = call(plan(vec![target("a", &bad), target("b", &bad)]), WHOLE).await.failed().await;

        assert!(matches!(error, DispatchError::Exhausted { .. }));
        assert_eq!(classes(&outcome), [Class::Garbage; 4]);
        assert_eq!(error.to_string().matches("answered with").count(), 4, "{error}");
    }
}

#[tokio::test]
async fn an_oversize_answer_is_not_read() {
    let good = FakeUpstream::script([json(ANSWER)]).await;
    let sizes = Sizes { answer: 100, ..Sizes::default() };
    let announced = json(&"x".repeat(101));
    for reply in [announced.clone(), announced.stall_after(0), raw_stream(&["x".repeat(60), "x".repeat(60)])] {
        let large = FakeUpstream::script([reply]).await;
        let first = target_of(UpstreamSettings { sizes, ..settings("a", large.base_url()) });

        let (_, outcome) = call(plan(vec![first, target("b", &good)]), WHOLE).await.read().await;

        assert_eq!(classes(&outcome), [Class::Garbage, Class::Success]);
        assert_eq!(outcome.attempts[0].detail, "answered with more than 100 bytes");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let bad = FakeUpstream::script([whole(302, "text/plain", b"").header("location", "http://127.0.0.1:1/")]).await;

    let (error, outcome) = call(plan(vec![target("a", &bad)]), WHOLE).await.failed().await;

    assert_eq!(classes(&outcome), [Class::Garbage; 2]);
    assert!(error.to_string().contains("status 302"));
}

#[tokio::test]
async fn the_deadline_ends_everything() {
    let silent = FakeUpstream::script([hang()]).await;
    let mut plan = plan(vec![target("a", &silent), target("b", &silent)]);
    plan.deadline = Instant::now() + SHORT;

    let (error, outcome) = call(plan, WHOLE).await.failed().await;

    assert!(matches!(error, DispatchError::Deadline { .. }), "{error}");
    assert_eq!(classes(&outcome), [Class::Transient]);
    assert_eq!(outcome.attempts[0].detail, "the deadline of the call passed");
}

#[tokio::test]
async fn a_plan_without_targets_says_so() {
    let (error, outcome) = call(plan(Vec::new()), WHOLE).await.failed().await;

    assert!(matches!(error, DispatchError::NoTarget));
    assert!(outcome.attempts.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_call() {
    let silent = FakeUpstream::script([hang()]).await;
    let (books, reports, closed) = books();
    let pending = send(plan(vec![target("a", &silent)]), WHOLE, books);

    let left = timeout(SHORT, pending).await;

    assert!(left.is_err());
    let outcome = one_report(&reports, closed).await;
    assert_eq!((outcome.class, classes(&outcome)), (Class::Cancelled, vec![Class::Cancelled]));
    assert_eq!(outcome.usage, None);
    timeout(PATIENCE, silent.client_gone()).await.unwrap();
}

#[tokio::test]
async fn a_whole_answer_that_nobody_reads_is_cancelled_and_billed() {
    let fake = FakeUpstream::script([json(ANSWER)]).await;
    let call = call(plan(vec![target("a", &fake)]), WHOLE).await;

    drop(call.result);

    let outcome = one_report(&call.reports, call.closed).await;
    assert_eq!((outcome.class, outcome.cost), (Class::Cancelled, Some(NanoUsd(20_000))));
}
