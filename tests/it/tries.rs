//! A request that is asked again out of the queue, without a server around it: what it leaves out, and what it is spared.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trimtab::cache::{Cache, CacheSettings, Matching, Rules, Temperatures, ToolCalls};
use trimtab::chat::dialect::{Dialect, Events, Naming, Problem, Teller};
use trimtab::chat::openai::ChatRequest;
use trimtab::chat::usage::NotAnAnswer;
use trimtab::deferred::View;
use trimtab::domain::deferred::{DeferredEvent, DeferredStatus};
use trimtab::domain::ids::{CallerId, DecisionId, DeferredId};
use trimtab::domain::outcome::Class;
use trimtab::drift::{Drift, DriftSettings};
use trimtab::pipeline::deferred::{Deferred, Edge, Unanswered, keep_on};
use trimtab::pipeline::{App, Asked, Call, RouteError, SessionEvent, complete, route};
use trimtab::serve::{build_app, local_call};
use trimtab::sessions::{SessionSettings, Sessions};
use trimtab::upstream::dispatch::{Answer, Degraded, DispatchError};

use crate::support::Setup;
use crate::support::app::{PATIENCE, chat, load_config};
use crate::support::fake::{FakeUpstream, json as whole, status};

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;

/// One attempt at each target, breakers that stay shut, and a queue that is quick.
const ONCE: &str = "\n[retry]\nper_target = 1\n[breaker]\nin_a_row = 1000\nleast_calls = 1000\n[deferred]\npause = \"100ms\"\nlongest_pause = \"100ms\"\n";

/// The line without a server.
struct Line {
    app: App,
    _directory: TempDir,
}

impl Line {
    fn new(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let app = build_app(&load_config(directory.path(), setup)).unwrap();
        Self { app, _directory: directory }
    }

    fn queue(&self) -> &Deferred {
        self.app.deferred.as_ref().unwrap()
    }

    async fn complete(&self, call: Call) -> Result<Answer, RouteError> {
        complete(&self.app, call, ()).await.map(|(_, answer)| answer).map_err(|failed| failed.error)
    }

    /// Waits until a deferred request stands so.
    async fn standing(&self, id: DeferredId, status: DeferredStatus) -> View {
        let began = Instant::now();
        loop {
            let view = self.queue().view(id, &CallerId::from("local"), Instant::now()).unwrap();
            if view.status == status {
                return view;
            }
            assert!(began.elapsed() < PATIENCE, "not {status:?}: {view:?}");
            tokio::task::yield_now().await;
        }
    }
}

fn call(body: &Value) -> Call {
    local_call(ChatRequest::from_text(&body.to_string()).unwrap())
}

fn again(body: &Value) -> Call {
    Call { asked: Asked::Again, ..call(body) }
}

/// Takes an answer as a client does that reads to the end. Where the answer will be, if it is queued.
async fn read(answer: Answer) -> Option<DeferredId> {
    answer.body.collect().await.unwrap();
    match answer.degraded {
        Some(Degraded::Queued(id)) => Some(id),
        Some(Degraded::Template | Degraded::Cached(_)) | None => None,
    }
}

/// The answer as callers read it.
fn told() -> String {
    ANSWER.replace(r#""model":"m""#, r#""model":"cheap""#)
}

#[tokio::test]
async fn nobody_is_asked_again_for_a_client_that_left_before_it_read_the_reference() {
    let down = FakeUpstream::answering(|_| status(503)).await;
    let queued = format!("{ONCE}[policies.calm]\nquality = 0\ndegraded = \"queued\"\n");
    let line = Line::new(&Setup::tiers(&[down.base_url()]).with(&queued));
    let body = chat("auto:calm", "hello");
    let happened = |event| line.queue().totals(Instant::now()).happened(event);

    let unread = line.complete(call(&body)).await.unwrap();
    assert_eq!((line.queue().is_empty(), happened(DeferredEvent::Queued)), (false, 1));
    drop(unread);
    assert_eq!((line.queue().is_empty(), happened(DeferredEvent::Abandoned)), (true, 1));

    let id = read(line.complete(call(&body)).await.unwrap()).await.unwrap();
    assert_eq!(happened(DeferredEvent::Abandoned), 1);
    line.standing(id, DeferredStatus::Queued).await;
}

#[tokio::test]
async fn nothing_stands_in_for_the_answer_to_a_try() {
    let upstream = FakeUpstream::script([whole(ANSWER), status(503)]).await;
    let policies = "[cache]\nresponses = \"exact\"\n[policies.words]\nquality = 0\ndegraded = { text = \"Later.\" }\n[policies.old]\nquality = 0\ndegraded = { cached = true }\n[policies.calm]\nquality = 0\ndegraded = \"queued\"\n";
    let mut line = Line::new(&Setup::tiers(&[upstream.base_url()]).with(&format!("{ONCE}{policies}")));
    line.app.cache = Some(Arc::new(Cache::new(CacheSettings {
        matching: Matching::Exact,
        ttl: Duration::from_secs(1),
        stale_for: Duration::from_secs(3_600),
        max_entries: NonZeroUsize::new(10).unwrap(),
        max_bytes: 1 << 20,
        max_answer_bytes: 1 << 20,
        rules: Rules { temperatures: Temperatures::Any, tool_calls: ToolCalls::Left },
    })));
    read(line.complete(call(&chat("auto:old", "hello"))).await.unwrap()).await;
    // When what is kept is too old, and nothing but better than nothing.
    let later = |mut call: Call| {
        call.admission.started += Duration::from_secs(2);
        line.complete(call)
    };

    for (policy, kind) in [("auto:words", "template"), ("auto:old", "cached"), ("auto:calm", "queued")] {
        let body = chat(policy, "hello");
        let now = later(call(&body)).await.unwrap();
        assert_eq!(now.degraded.map(Degraded::as_str), Some(kind));
        let tried = later(again(&body)).await.map(|answer| answer.degraded);
        let is_failed = matches!(tried, Err(RouteError::Dispatch(DispatchError::Exhausted { not_deferred: None, .. })));
        assert!(is_failed, "{kind} stands in for an answer: {tried:?}");
    }
    assert_eq!(line.queue().totals(Instant::now()).happened(DeferredEvent::Queued), 1, "what waits waits once");
}

#[tokio::test]
async fn nobody_waits_for_a_try_so_that_it_has_the_patience_of_a_batch_call() {
    let late = || FakeUpstream::script([status(429).header("retry-after-ms", "300"), whole(ANSWER)]);
    let (first, last) = (late().await, FakeUpstream::script([whole(ANSWER)]).await);
    let policies = "\n[retry]\npatience = \"10ms\"\n[policies.chat]\nquality = 0\nlatency = \"interactive\"\nfirst_token_timeout = \"50ms\"\nhedge_after = \"1ms\"\n";
    let line = Line::new(&Setup::tiers(&[first.base_url(), last.base_url()]).with(policies));
    let mut body = chat("auto:chat", "hello");
    body["trimtab"] = json!({ "latency": "interactive" });

    let answer = line.complete(again(&body)).await.unwrap();

    let attempts: Vec<_> = answer.attempts.iter().map(|attempt| (attempt.model.as_str(), attempt.class)).collect();
    assert_eq!(attempts, [("cheap", Class::Throttled), ("cheap", Class::Success)]);
    assert!(last.requests().is_empty());
}

#[tokio::test]
async fn a_try_is_no_turn_of_its_session_and_no_traffic_that_drifts() {
    let upstream = FakeUpstream::script([whole(ANSWER)]).await;
    let mut line = Line::new(&Setup::tiers(&[upstream.base_url()]));
    let settings = SessionSettings { idle_reset: Duration::from_secs(600), max_sessions: NonZeroUsize::MIN };
    line.app.sessions = Some(Sessions::new(settings));
    // The first decision is the reference, and those after it are counted.
    line.app.drift = Arc::new(Drift::new(DriftSettings { reference_decisions: 1, ..DriftSettings::default() }));
    line.app.drift.begin(line.app.models.current().unwrap().id(), None);
    let decisions = |call: &Call| line.app.drift.look(call.admission.at_unix_ms).unwrap().decisions;
    let mut body = chat("auto", "hello");
    body["trimtab"] = json!({ "session": "s1" });
    let (tried, first, second) = (again(&body), call(&body), call(&body));

    let tried_turn = route(&line.app, &tried).await.unwrap().session;
    let first_turn = route(&line.app, &first).await.unwrap().session.unwrap();
    assert_eq!((tried_turn, first_turn.event, decisions(&first)), (None, SessionEvent::Started, 0));
    let second_turn = route(&line.app, &second).await.unwrap().session.unwrap();
    let late_turn = route(&line.app, &again(&body)).await.unwrap().session;

    assert_eq!((second_turn.event, late_turn, decisions(&second)), (SessionEvent::Kept, None, 1));
}

/// A writer with a fault.
struct Faulty;

impl Dialect for Faulty {
    fn sign_of_life(&self) -> &'static [u8] {
        b""
    }

    fn whole(self, _: &[u8]) -> Result<Vec<u8>, NotAnAnswer> {
        panic!("a fault of the writer")
    }

    fn chunk(&mut self, _: &[u8], _: &mut Events) -> Result<(), Problem> {
        Ok(())
    }

    fn end(&mut self, _: &mut Events) {}

    fn fail(&mut self, _: &Problem, _: &mut Events) {}
}

fn stamp() -> (DecisionId, u64) {
    (DecisionId::from_u128(7), 7_000)
}

#[expect(clippy::needless_pass_by_value, reason = "the line gives the failure away")]
fn explain(why: Unanswered) -> Box<RawValue> {
    to_raw_value(&why.to_string()).unwrap()
}

#[tokio::test]
async fn a_panic_in_a_try_fails_that_request_and_no_other() {
    let upstream = FakeUpstream::script([status(503), status(503), status(503), status(503), whole(ANSWER)]).await;
    let queued = format!("{ONCE}[policies.calm]\nquality = 0\ndegraded = \"queued\"\n");
    let line = Line::new(&Setup::tiers(&[upstream.base_url()]).with(&queued));
    let body = chat("auto:calm", "hello");
    let teller = Some(Teller::new(Arc::new(|_: Naming| Faulty)));
    let faulty = read(line.complete(Call { teller, ..call(&body) }).await.unwrap()).await.unwrap();
    let sound = read(line.complete(call(&body)).await.unwrap()).await.unwrap();
    let stop = CancellationToken::new();

    let watched = async {
        let failed = line.standing(faulty, DeferredStatus::Failed).await;
        let done = line.standing(sound, DeferredStatus::Done).await;
        stop.cancel();
        (failed, done)
    };
    let ((), (failed, done)) = tokio::join!(keep_on(&line.app, Edge { stamp, explain }, stop.clone()), watched);

    assert!(failed.problem.unwrap().get().contains("please report this"));
    assert_eq!((failed.tries, done.tries, done.answer.unwrap().body.get()), (1, 1, told().as_str()));
}

#[tokio::test]
async fn a_fault_of_the_queue_itself_costs_a_pause_and_no_request() {
    static IS_WELL: AtomicBool = AtomicBool::new(false);
    fn faulty(why: Unanswered) -> Box<RawValue> {
        assert!(IS_WELL.swap(true, Ordering::SeqCst), "a fault of whoever explains");
        explain(why)
    }
    let upstream = FakeUpstream::script([status(503), status(503), status(503), status(503), whole(ANSWER)]).await;
    let queued = format!("{ONCE}[policies.calm]\nquality = 0\ndegraded = \"queued\"\n");
    let line = Line::new(&Setup::tiers(&[upstream.base_url()]).with(&queued));
    let id = read(line.complete(call(&chat("auto:calm", "hello"))).await.unwrap()).await.unwrap();
    let stop = CancellationToken::new();

    let watched = async {
        let done = line.standing(id, DeferredStatus::Done).await;
        stop.cancel();
        done
    };
    let edge = Edge { stamp, explain: faulty };
    let ((), done) = tokio::join!(keep_on(&line.app, edge, stop.clone()), watched);

    assert_eq!((done.tries, done.answer.unwrap().body.get()), (2, told().as_str()));
}
