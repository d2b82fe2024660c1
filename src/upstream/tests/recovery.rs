//! What happens when targets fail in ways that their status does not tell, again and again, or late.

use super::*;
use crate::chat::fitness::{Fitness, Form};
use crate::domain::recovery::Unfit;
use crate::domain::resilience::{Allowance, BreakerSettings};
use crate::upstream::breaker::Breaker;
use crate::upstream::budget::Traffic;
use crate::upstream::fake::{Reply, events_reply, hang, json, refused_url, sse, status, whole};

const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 10 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
const REFUSED: &str = r#"{"model":"upstream-model","choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;

fn with_context(target: Target, tokens: u64) -> Target {
    Target { context_tokens: Some(tokens), ..target }
}

fn error(code: u16, body: &str) -> Reply {
    whole(code, "application/json", body.as_bytes())
}

fn particular(plan: Plan) -> Plan {
    let fitness = Fitness { unfit: Unfit::ALL.into_iter().collect(), form: Form::Json };
    Plan { care: Care { fitness, ..Care::NONE }, ..plan }
}

#[tokio::test]
async fn a_request_that_is_too_long_goes_on_to_a_larger_context_only() {
    let short = FakeUpstream::script([error(400, TOO_LONG)]).await;
    let same = FakeUpstream::script([json(ANSWER)]).await;
    let large = FakeUpstream::script([json(ANSWER)]).await;
    let targets = vec![
        with_context(target("a", &short), 1_000),
        with_context(target("b", &same), 1_000),
        with_context(target("c", &large), 9_000),
    ];

    let (_, outcome) = call(plan(targets), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::TooLong, Class::Success]);
    assert_eq!((same.requests().len(), large.requests().len()), (0, 1));
}

#[tokio::test]
async fn without_a_larger_context_the_upstreams_own_words_come_back() {
    let short = FakeUpstream::script([error(400, TOO_LONG)]).await;
    let targets = vec![with_context(target("a", &short), 1_000), with_context(target("b", &short), 500)];

    let (error, _) = call(plan(targets), WHOLE).await.failed().await;

    let DispatchError::Rejected { status, body, .. } = error else { panic!("{error}") };
    assert_eq!((status, body.as_ref()), (400, TOO_LONG.as_bytes()));
    assert_eq!(short.requests().len(), 1);
}

#[tokio::test]
async fn a_model_that_the_upstream_does_not_have_and_an_empty_account_go_to_the_next_target() {
    for (code, body) in [
        (404, r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#),
        (429, r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#),
        (400, r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#),
    ] {
        let (bad, good) = (FakeUpstream::script([error(code, body)]).await, FakeUpstream::script([json(ANSWER)]).await);

        let (_, outcome) = call(plan(vec![target("a", &bad), target("b", &good)]), WHOLE).await.read().await;

        assert_eq!(classes(&outcome), [Class::Unauthorised, Class::Success], "{body}");
    }
}

#[tokio::test]
async fn a_hint_in_the_body_is_waited_for() {
    let body = r#"{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.005s"}]}}"#;
    let fake = FakeUpstream::script([error(429, body), json(ANSWER)]).await;
    let retry =
        RetrySettings { base: Duration::from_secs(60), cap: Duration::from_secs(60), ..RetrySettings::default() };

    let (_, outcome) = call(Plan { retry, ..plan(vec![target("a", &fake)]) }, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Throttled, Class::Success]);
}

#[tokio::test]
async fn an_answer_of_no_use_falls_back_where_the_policy_says_so_and_both_are_billed() {
    let filtered = REFUSED.replace(r#""refusal":"no""#, r#""refusal":null"#).replace("stop", "content_filter");
    let empty = REFUSED.replace(r#""refusal":"no""#, r#""refusal":null"#);
    let prose = ANSWER.to_owned();
    let good = r#"{"model":"upstream-model","choices":[{"message":{"content":"{}"}}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    for unfit in [REFUSED.to_owned(), filtered, empty, prose] {
        let (bad, good) = (FakeUpstream::script([json(&unfit)]).await, FakeUpstream::script([json(good)]).await);
        let targets = || vec![target("a", &bad), target("b", &good)];

        let (_, usual) = call(plan(targets()), WHOLE).await.read().await;
        let (body, outcome) = call(particular(plan(targets())), WHOLE).await.read().await;

        assert_eq!(classes(&usual), [Class::Success], "off by default");
        assert_eq!(classes(&outcome), [Class::Unfit, Class::Success], "{unfit}");
        assert!(body.contains("m-b"));
        assert_eq!(outcome.attempts[0].unused_cost, Some(NanoUsd(20_000)));
        assert_eq!(outcome.cost, Some(NanoUsd(40_000)));
    }
}

#[tokio::test]
async fn an_answer_of_no_use_is_given_after_all_when_nothing_better_comes() {
    let (first, second) = (FakeUpstream::script([json(REFUSED)]).await, FakeUpstream::script([status(503)]).await);

    let (body, outcome) =
        call(particular(plan(vec![target("a", &first), target("b", &second)])), WHOLE).await.read().await;

    assert_eq!(body, REFUSED.replace("upstream-model", "m-a"));
    assert_eq!((outcome.class, outcome.served_by), (Class::Success, Some(ModelName::from("m-a"))));
    assert_eq!(outcome.cost, Some(NanoUsd(20_000)), "billed once");
}

#[tokio::test]
async fn a_stream_that_begins_with_a_refusal_falls_back() {
    let refusal = events_reply(&[r#"{"choices":[{"index":0,"delta":{"refusal":"no"}}]}"#]);
    let (bad, good) = (FakeUpstream::script([refusal]).await, FakeUpstream::script([sse(&["yes"])]).await);

    let fitness = Fitness { unfit: Unfit::ALL.into_iter().collect(), form: Form::Free };
    let plan = Plan { care: Care { fitness, ..Care::NONE }, ..plan(vec![target("a", &bad), target("b", &good)]) };
    let (text, outcome) = call(plan, STREAM).await.read().await;

    assert_eq!(classes(&outcome), [Class::Unfit, Class::Success]);
    assert!(text.contains("yes") && !text.contains("refusal"), "{text}");
    assert_eq!(outcome.attempts[0].unused_cost, Some(NanoUsd(9_000)), "seven tokens of prompt and one of refusal");
}

#[tokio::test]
async fn an_open_breaker_is_passed_over_before_any_call_and_named() {
    let (bad, good) = (FakeUpstream::script([status(503)]).await, FakeUpstream::script([json(ANSWER)]).await);
    let targets = vec![target("a", &bad), target("b", &good)];
    for _ in 0..3 {
        call(plan(targets.clone()), WHOLE).await.read().await;
    }
    let made = bad.requests().len();

    let (_, outcome) = call(plan(targets), WHOLE).await.read().await;

    assert_eq!(made, 5, "five failures in a row");
    assert_eq!(bad.requests().len(), made);
    assert_eq!(classes(&outcome), [Class::Skipped, Class::Success]);
    assert!(outcome.attempts[0].detail.contains("breaker is open"), "{}", outcome.attempts[0].detail);
}

#[tokio::test]
async fn an_open_breaker_does_not_refuse_when_nothing_else_is_left() {
    let fake =
        FakeUpstream::script([status(503), status(503), status(503), status(503), status(503), json(ANSWER)]).await;
    let target = target("a", &fake);
    for _ in 0..3 {
        drop(call(plan(vec![target.clone()]), WHOLE).await.failed().await);
        if fake.requests().len() >= 5 {
            break;
        }
    }

    let (_, outcome) = call(plan(vec![target]), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Skipped, Class::Success]);
}

#[tokio::test]
async fn callers_mistakes_and_cancellations_never_open_a_breaker() {
    let mistaken = FakeUpstream::script([status(422)]).await;
    let silent = FakeUpstream::script([hang()]).await;
    let (first, second) = (target("a", &mistaken), target("b", &silent));
    for _ in 0..20 {
        drop(call(plan(vec![first.clone()]), WHOLE).await.failed().await);
        let (books, ..) = books();
        drop(timeout(Duration::from_millis(5), send(plan(vec![second.clone()]), WHOLE, books)).await);
    }

    for target in [first, second] {
        let view = target.health.view(Instant::now());
        assert_eq!((view.breaker.calls, view.breaker.failures, view.in_flight), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_wrong_key_counts_for_the_key_whatever_the_model() {
    let fake = FakeUpstream::script([status(401)]).await;
    let lane = Arc::new(Breaker::new(BreakerSettings::default()));
    let shared = || Arc::new(Health::new(BreakerSettings::default(), Arc::clone(&lane)));
    let one = Target { health: shared(), ..target("a", &fake) };
    let other = Target { health: shared(), ..target("b", &fake) };
    for _ in 0..5 {
        drop(call(plan(vec![one.clone()]), WHOLE).await.failed().await);
    }
    let good = FakeUpstream::script([json(ANSWER)]).await;

    let (_, outcome) = call(plan(vec![other, target("c", &good)]), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Skipped, Class::Success]);
    assert_eq!(one.health.view(Instant::now()).breaker.failures, 0);
}

#[tokio::test]
async fn a_target_that_asked_for_a_rest_is_left_alone_while_there_is_another() {
    let busy = FakeUpstream::script([status(429).header("retry-after", "30")]).await;
    let good = FakeUpstream::script([json(ANSWER)]).await;
    let targets = vec![target("a", &busy), target("b", &good)];
    call(plan(targets.clone()), WHOLE).await.read().await;

    let (_, outcome) = call(plan(targets), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Skipped, Class::Success]);
    assert_eq!(busy.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_after_its_first_token_counts_against_its_target() {
    let word = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let fake = FakeUpstream::script([events_reply(&[word, word]).cut_after(1)]).await;
    let target = target("a", &fake);

    call(plan(vec![target.clone()]), STREAM).await.read().await;

    let view = target.health.view(Instant::now());
    assert_eq!((view.breaker.calls, view.breaker.failures, view.in_flight), (1, 1, 0));
}

#[tokio::test]
async fn another_place_of_the_same_model_is_asked_before_the_same_again() {
    let (bad, good) = (FakeUpstream::script([status(503)]).await, FakeUpstream::script([json(ANSWER)]).await);
    let twin = Target { model: ModelName::from("m-a"), ..target("b", &good) };

    let (_, outcome) = call(plan(vec![target("a", &bad), twin]), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
}

#[tokio::test]
async fn retries_stop_when_their_budget_is_used_up_and_other_targets_do_not() {
    let nothing = Allowance { share: 0.0, burst: 0.0 };
    let traffic = Arc::new(Traffic::new(nothing, nothing, PATIENCE));
    let (bad, good) = (FakeUpstream::script([status(503)]).await, FakeUpstream::script([json(ANSWER)]).await);

    let plan = Plan { traffic, ..plan(vec![target("a", &bad), target("b", &good)]) };
    let (_, outcome) = call(plan, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
}

#[tokio::test]
async fn only_what_is_listed_is_asked_again() {
    let fake = FakeUpstream::script([status(503)]).await;
    let on = [crate::domain::resilience::Kind::Connect].into_iter().collect();
    let retry = RetrySettings { on, ..RetrySettings::default() };

    drop(call(Plan { retry, ..plan(vec![target("a", &fake)]) }, WHOLE).await.failed().await);

    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_late_first_token_moves_on_while_another_target_is_left() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
    let care = Care { first_token: Some(SHORT), ..Care::NONE };
    for late in [hang(), events_reply(&[role]).stall_after(1)] {
        let (late, good) = (FakeUpstream::script([late]).await, FakeUpstream::script([sse(&["Hel"])]).await);

        let plan = Plan { care: care.clone(), ..plan(vec![target("a", &late), target("b", &good)]) };
        let (_, outcome) = call(plan, STREAM).await.read().await;

        assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
        assert_eq!(outcome.attempts[0].detail, "no first token within 60ms");
        timeout(PATIENCE, late.client_gone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_target_is_asked_when_the_first_is_late_and_the_loser_is_cancelled_and_billed() {
    let (late, good) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([json(ANSWER)]).await);
    let care = Care { hedge_after: Some(SHORT), ..Care::NONE };

    let plan = Plan { care, ..plan(vec![target("a", &late), target("b", &good)]) };
    let (body, outcome) = call(plan, WHOLE).await.read().await;

    assert!(body.contains("m-b"));
    assert_eq!(classes(&outcome), [Class::Cancelled, Class::Success]);
    assert_eq!(outcome.attempts[0].unused_cost, Some(NanoUsd(7_000)), "seven tokens of prompt");
    assert_eq!(outcome.cost, Some(NanoUsd(27_000)));
    timeout(PATIENCE, late.client_gone()).await.unwrap();
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_target_its_time() {
    let slow = FakeUpstream::script([json(ANSWER).stall_in_headers()]).await;
    let bad = FakeUpstream::script([status(503)]).await;
    let timeouts = Timeouts { headers: 3 * SHORT, ..Timeouts::default() };
    let care = Care { hedge_after: Some(SHORT), ..Care::NONE };

    let plan = Plan { care, ..plan(vec![hasty("a", &slow, timeouts), target("b", &bad)]) };
    let (_, outcome) = call(plan, WHOLE).await.failed().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Transient]);
    assert_eq!(outcome.attempts[1].detail, "no response headers within 180ms");
}

#[tokio::test]
async fn hedges_stay_within_their_share() {
    let nothing = Allowance { share: 0.0, burst: 0.0 };
    let traffic = Arc::new(Traffic::new(nothing, nothing, PATIENCE));
    let (late, good) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([json(ANSWER)]).await);
    let timeouts = Timeouts { headers: 3 * SHORT, ..Timeouts::default() };
    let care = Care { hedge_after: Some(SHORT), ..Care::NONE };

    let plan = Plan { care, traffic, ..plan(vec![hasty("a", &late, timeouts), target("b", &good)]) };
    let (_, outcome) = call(plan, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Success], "the second only after the first had failed");
}

#[tokio::test]
async fn the_operators_words_stand_in_when_nothing_answers() {
    for ask in [WHOLE, STREAM] {
        let fake = FakeUpstream::script([status(503)]).await;
        let care = Care { degraded: Some(Arc::from("Try later.")), ..Care::NONE };

        let call = call(Plan { care, ..plan(vec![target("a", &fake)]) }, ask).await;
        let degraded = call.result.as_ref().unwrap().degraded;
        let (text, outcome) = call.read().await;

        assert_eq!(degraded, Some(crate::upstream::dispatch::Degraded::Template));
        assert!(text.contains("Try later.") && text.contains(r#""degraded":"template""#), "{text}");
        assert_eq!(text.ends_with("data: [DONE]\n\n"), ask.stream);
        assert_eq!((outcome.class, outcome.served_by), (Class::Transient, None), "the books tell the truth");
    }
}

#[tokio::test]
async fn no_words_stand_in_for_a_refusal_of_the_request() {
    let fake = FakeUpstream::script([status(422)]).await;
    let care = Care { degraded: Some(Arc::from("Try later.")), ..Care::NONE };

    let (error, _) = call(Plan { care, ..plan(vec![target("a", &fake)]) }, WHOLE).await.failed().await;

    assert!(matches!(error, DispatchError::Rejected { status: 422, .. }), "{error}");
}

#[tokio::test]
async fn a_chain_longer_than_the_attempts_is_walked_to_its_end() {
    let (bad, good) = (FakeUpstream::script([status(503)]).await, FakeUpstream::script([json(ANSWER)]).await);
    let mut targets: Vec<Target> = (0..9).map(|n| target(&format!("t{n}"), &bad)).collect();
    targets.push(target("z", &good));

    let (body, _) = call(plan(targets), WHOLE).await.read().await;

    assert!(body.contains("m-z"));
    assert_eq!(bad.requests().len(), 9, "each had one turn");
}

/// Every way to fail before the first token, as a script, with the body for a stream where that differs.
fn faults(ask: Ask) -> Vec<Reply> {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
    let mut faults: Vec<Reply> = [401, 403, 408, 429, 500, 503, 529].map(status).to_vec();
    faults.push(status(429).header("retry-after", "30"));
    faults.push(hang());
    faults.push(crate::upstream::fake::garbage());
    faults.push(json(""));
    faults.push(if ask.stream { events_reply(&[role]).cut_after(1) } else { json(ANSWER).cut_in_body() });
    faults.push(if ask.stream { events_reply(&[role]).stall_after(1) } else { json(ANSWER).stall_in_headers() });
    faults
}

#[tokio::test]
async fn no_call_is_lost_or_billed_twice_while_a_healthy_target_remains() {
    let timeouts = Timeouts { headers: SHORT, first_token: SHORT, idle: SHORT, ..Timeouts::default() };
    for ask in [WHOLE, STREAM] {
        let good = FakeUpstream::script([if ask.stream { sse(&["Hel"]) } else { json(ANSWER) }]).await;
        for fault in faults(ask) {
            let bad = FakeUpstream::script([fault.clone()]).await;
            let dead = target_of(settings("dead", refused_url().await));
            let targets = vec![hasty("a", &bad, timeouts), dead, hasty("b", &bad, timeouts), target("z", &good)];
            // The breakers open on the way, and nothing changes for the caller.
            for round in 0..6 {
                let (text, outcome) = call(plan(targets.clone()), ask).await.read().await;

                assert_eq!(outcome.served_by, Some(ModelName::from("m-z")), "round {round}: {fault:?}");
                assert_eq!(outcome.class, Class::Success, "round {round}: {fault:?}\n{text}");
                assert_eq!(classes(&outcome).iter().filter(|class| **class == Class::Success).count(), 1);
                // Nobody counted the stream: seven tokens of prompt, and one for three bytes.
                let bill = NanoUsd(if ask.stream { 9_000 } else { 20_000 });
                assert_eq!(outcome.cost, Some(bill), "round {round}: {fault:?}");
            }
            assert!(bad.requests().len() <= 12, "{}: {fault:?}", bad.requests().len());
        }
    }
}
