//! The whole room against a scripted upstream: what the client reads, what the upstream sees, what the books say.

mod failover;
mod hedging;
mod pings;
mod readiness;
mod recovery;
mod relaying;
mod reported;
mod streams;
mod waiting;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::domain::ids::{ModelName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Price};
use crate::domain::outcome::{Class, Outcome};
use crate::domain::resilience::RetrySettings;
use crate::domain::timeouts::Timeouts;
use crate::upstream::books::Books;
use crate::upstream::client::{Upstream, UpstreamSettings};
use crate::upstream::dispatch::{Answer, Care, DispatchError, Expects, Outgoing, Plan, Reader, Target, dispatch};
use crate::upstream::fake::FakeUpstream;
use crate::upstream::health::Health;

const KEY: &str = "sk-canary-0123456789";
/// Long enough for anything that works; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a silent upstream is given.
const SHORT: Duration = Duration::from_millis(60);
const ANSWER: &str = r#"{"id":"x","model":"upstream-model","choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;

pub(super) fn settings(name: &str, base_url: String) -> UpstreamSettings {
    UpstreamSettings {
        api_key: Some(SecretString::from(KEY)),
        ..UpstreamSettings::new(UpstreamId::from(name), base_url)
    }
}

/// A target `m-NAME` at an upstream called NAME that charges a dollar per million tokens in and two out.
pub(super) fn target_of(settings: UpstreamSettings) -> Target {
    let model = ModelName::from(format!("m-{}", settings.id));
    let price = Price {
        input_per_mtok: NanoUsd(1_000_000_000),
        cached_input_per_mtok: None,
        cache_write_per_mtok: None,
        output_per_mtok: NanoUsd(2_000_000_000),
    };
    Target {
        upstream: Arc::new(Upstream::new(settings).unwrap()),
        model,
        upstream_model: "upstream-model".to_owned(),
        tier: TierId::from("small"),
        price: Some(price),
        context_tokens: None,
        weight: 1.0,
        key: None,
        health: Arc::new(Health::default()),
    }
}

fn target(name: &str, fake: &FakeUpstream) -> Target {
    target_of(settings(name, fake.base_url()))
}

fn hasty(name: &str, fake: &FakeUpstream, timeouts: Timeouts) -> Target {
    target_of(UpstreamSettings { timeouts, ..settings(name, fake.base_url()) })
}

fn plan(targets: Vec<Target>) -> Plan {
    let retry = RetrySettings { base: Duration::from_millis(1), ..RetrySettings::default() };
    let deadline = Instant::now() + PATIENCE;
    let targets = targets.into_iter().map(Arc::new).collect();
    Plan { targets, deadline, retry, jitter: 0.0, care: Care::NONE, traffic: Arc::default() }
}

/// How one call is asked.
#[derive(Clone, Copy, Default)]
struct Ask {
    stream: bool,
    wants_usage: bool,
}

const WHOLE: Ask = Ask { stream: false, wants_usage: false };
const STREAM: Ask = Ask { stream: true, wants_usage: false };

/// A call and its books. Every report of the books is kept, to prove that there is one.
struct Call {
    result: Result<Answer, DispatchError>,
    reports: Arc<Mutex<Vec<Outcome>>>,
    closed: oneshot::Receiver<()>,
}

async fn call(plan: Plan, ask: Ask) -> Call {
    let (books, reports, closed) = books();
    let result = timeout(PATIENCE, send(plan, ask, books)).await.unwrap();
    Call { result, reports, closed }
}

async fn send(plan: Plan, ask: Ask, books: Books) -> Result<Answer, DispatchError> {
    let body = |model: &str, _: Reader| Bytes::from(format!(r#"{{"model":"{model}"}}"#));
    let outgoing = Outgoing {
        path: "/chat/completions",
        expects: Expects::Completion,
        stream: ask.stream,
        wants_usage: ask.wants_usage,
        body: &body,
        request_id: "req-1",
        prompt_tokens: 7,
    };
    dispatch(plan, &outgoing, books).await
}

fn books() -> (Books, Arc<Mutex<Vec<Outcome>>>, oneshot::Receiver<()>) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (guard, closed) = oneshot::channel::<()>();
    let kept = Arc::clone(&reports);
    let books = Books::open(Instant::now(), move |outcome| kept.lock().unwrap().push(outcome)).holding(guard);
    (books, reports, closed)
}

impl Call {
    /// The text of the answer's body and the one report of the books.
    async fn read(self) -> (String, Outcome) {
        let body = self.result.unwrap().body;
        let text = String::from_utf8(collect(body).await.to_vec()).unwrap();
        (text, one_report(&self.reports, self.closed).await)
    }

    async fn failed(self) -> (DispatchError, Outcome) {
        let error = self.result.unwrap_err();
        (error, one_report(&self.reports, self.closed).await)
    }
}

async fn collect<B: http_body::Body<Data = Bytes>>(body: B) -> Bytes
where
    B::Error: std::fmt::Debug,
{
    timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes()
}

/// The report of the books once their guard is released.
async fn one_report(reports: &Mutex<Vec<Outcome>>, closed: oneshot::Receiver<()>) -> Outcome {
    assert!(timeout(PATIENCE, closed).await.unwrap().is_err(), "the guard is dropped, never used");
    let mut reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1, "the books close exactly once");
    reports.remove(0)
}

fn classes(outcome: &Outcome) -> Vec<Class> {
    outcome.attempts.iter().map(|attempt| attempt.class).collect()
}
