//! Who waits, for how long, and for whom.

use std::num::{NonZeroU32, NonZeroUsize};

use super::*;
use crate::chat::openai::ChatRequest;
use crate::domain::api::Api;
use crate::domain::deferred::{DeferredEvent, DeferredSettings, DeferredStatus};
use crate::domain::ids::{CallerId, ModelName, TierId, UpstreamId};
use crate::domain::probability::Probability;
use crate::domain::resilience::BreakerSettings;
use crate::upstream::breaker::Breaker;
use crate::upstream::classify::Blame;
use crate::upstream::client::{Upstream, UpstreamSettings};
use crate::upstream::health::Health;

fn queue() -> Arc<Deferred> {
    Arc::new(Queue::new(DeferredSettings {
        max_entries: NonZeroUsize::MIN,
        max_bytes: 1 << 20,
        caller_share: 1.0,
        keep_for: Duration::from_secs(60),
        at_once: NonZeroUsize::MIN,
        max_tries: NonZeroU32::MIN,
        pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(1),
    }))
}

fn call(asked: Asked) -> Arc<Call> {
    let body = br#"{"messages":[{"role":"user","content":"hello"}],"stream":true}"#;
    let admission = Admission {
        id: DecisionId::from_u128(7),
        caller: CallerId::from("alice"),
        request_id: "req_1".to_owned(),
        started: Instant::now(),
        at_unix_ms: 5_000,
        draw: Probability::clamped(0.5),
        api: Api::Chat,
    };
    Arc::new(Call { asked, ..Call::now(admission, ChatRequest::parse(body).unwrap()) })
}

fn target(settings: BreakerSettings) -> Arc<Target> {
    Arc::new(Target {
        upstream: Arc::new(
            Upstream::new(UpstreamSettings::new(UpstreamId::from("a"), "http://127.0.0.1:9/v1".to_owned())).unwrap(),
        ),
        model: ModelName::from("cheap"),
        upstream_model: "cheap".to_owned(),
        tier: TierId::from("small"),
        price: None,
        context_tokens: None,
        weight: 1.0,
        key: None,
        health: Arc::new(Health::new(settings, Arc::new(Breaker::new(settings)))),
    })
}

fn defer(queue: &Arc<Deferred>) -> Put {
    let room = Room { queue: Arc::clone(queue), call: call(Asked::Now), words: Arc::from("Later: {reference}") };
    room.defer(&[target(BreakerSettings::default())]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_while_every_breaker_is_open_and_no_longer() {
    let settings = BreakerSettings { in_a_row: 1, ..BreakerSettings::default() };
    let targets = vec![target(settings), target(settings)];
    let waiting = Waiting { call: call(Asked::Now), targets };
    let fail = |at: usize| waiting.targets[at].health.force(Instant::now()).failed(Blame::Target);

    fail(0);
    assert!(waiting.is_worth_a_try(Instant::now()), "the other one may answer");
    fail(1);
    assert!(!waiting.is_worth_a_try(Instant::now()));
    assert!(waiting.is_worth_a_try(Instant::now() + settings.cooling), "one may see whether it works again");

    let resting = Waiting { call: call(Asked::Now), targets: vec![target(settings)] };
    resting.targets[0].health.rest(Duration::from_secs(9), Instant::now());
    assert!(!resting.is_worth_a_try(Instant::now()), "it asked to be left alone");
    assert!(resting.is_worth_a_try(Instant::now() + Duration::from_secs(10)));
}

#[tokio::test(start_paused = true)]
async fn what_is_put_says_when_that_was_and_who_asked() {
    let queue = queue();
    let waiting = call(Asked::Now);
    tokio::time::advance(Duration::from_secs(3)).await;
    let room = Room { queue: Arc::clone(&queue), call: Arc::clone(&waiting), words: Arc::from("Later") };

    let put = room.defer(&[target(BreakerSettings::default())]).unwrap();

    let view = queue.view(put.id, &CallerId::from("alice"), Instant::now()).unwrap();
    assert_eq!((view.status, view.created_unix_ms), (DeferredStatus::Queued, 8_000));
    assert!(queue.totals(Instant::now()).bytes > waiting.chat.size());
    assert_eq!(room.defer(&[]).unwrap_err(), NotDeferred::Full);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_again_for_a_client_that_left_before_it_had_the_reference() {
    let queue = queue();
    let handing = |id| Box::new(Handing { queue: Some(Arc::clone(&queue)), id });

    let put = defer(&queue);
    drop(handing(put.id));
    assert!(queue.is_empty());
    assert_eq!(queue.totals(Instant::now()).happened(DeferredEvent::Abandoned), 1);

    let put = defer(&queue);
    handing(put.id).ended_well(Bill::default(), Instant::now().into_std());
    assert!(!queue.is_empty(), "it has the reference");
}

#[test]
fn only_what_may_pass_is_asked_again() {
    let exhausted = || DispatchError::Exhausted { attempts: Vec::new(), retry_after: None, not_deferred: None };
    let refused = DispatchError::Rejected { attempts: Vec::new(), status: 422, body: Bytes::new() };
    let may_pass = |error: DispatchError| Unanswered::from(RouteError::from(error)).may_pass();

    assert!(may_pass(exhausted()) && may_pass(DispatchError::Deadline { attempts: Vec::new(), not_deferred: None }));
    assert!(!may_pass(refused) && !may_pass(DispatchError::NoTarget));
    assert!(!Unanswered::Panicked.may_pass() && !Unanswered::Untold(NotAnAnswer::NotJson).may_pass());
}
