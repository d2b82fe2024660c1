//! Requests that no model answered: put into the queue when a call fails under a policy that says so, and asked again until one answers.
//!
//! A try walks the whole line anew: it is decided by the bundle that serves then, along the same policy and chain, with the same breakers and
//! budgets, and is recorded and billed like any other call. Only what stands in for an answer is left out, since an answer is wanted.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::chat::usage::NotAnAnswer;
use crate::deferred::{self, Ending, New, Queue, Taken};
use crate::domain::api::Told;
use crate::domain::deferred::NotDeferred;
use crate::domain::ids::{DecisionId, DeferredId};
use crate::domain::recovery::Recovery;
use crate::pipeline::{Admission, App, Asked, Call, RouteError, complete};
use crate::upstream::breaker::BreakerState;
use crate::upstream::dispatch::{Answer, Deferred as Put, Degraded, DispatchError, Target, WaitingRoom};
use crate::upstream::heavy::heavy;
use crate::upstream::ledger::{Bill, Keeper};
use crate::upstream::relay::Relay;

/// The pause after the queue itself failed.
const RECOVERY: Duration = Duration::from_secs(1);

/// The queue of requests that no model answered.
pub type Deferred = Queue<Waiting>;

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    call: Arc<Call>,
    /// Whom its first call could ask.
    targets: Vec<Arc<Target>>,
}

impl Waiting {
    /// Whether a target may answer: none of its breakers is open, and it did not ask to be left alone.
    fn is_worth_a_try(&self, now: Instant) -> bool {
        self.targets.iter().any(|target| {
            let health = target.health.view(now);
            health.state() != BreakerState::Open && health.rests_for.is_zero()
        })
    }
}

/// Why a request that waited has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The call failed.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// There is one that cannot be told.
    #[error("a model answered with {0}")]
    Untold(NotAnAnswer),
    /// The program itself failed.
    #[error("the gateway failed when it asked again; please report this, with the log of the server")]
    Panicked,
}

impl Unanswered {
    /// Whether asking again may help.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Route(RouteError::Dispatch(DispatchError::Exhausted { .. } | DispatchError::Deadline { .. })) => true,
            Self::Route(RouteError::Dispatch(DispatchError::Rejected { .. } | DispatchError::NoTarget)) => false,
            Self::Route(RouteError::Unknown(_) | RouteError::NoCandidate(_) | RouteError::NotCached(_)) => false,
            Self::Untold(_) | Self::Panicked => false,
        }
    }
}

/// What the edge gives to tries, as it does to calls.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Names a try, and says when it is made: milliseconds since 1970.
    pub stamp: fn() -> (DecisionId, u64),
    /// A failure as its caller reads it: an error object.
    pub explain: fn(Unanswered) -> Box<RawValue>,
}

/// Where a call may wait that no model answers, where its policy has it wait. A try does not wait: it does already.
pub(super) fn room(app: &App, call: &Arc<Call>, recovery: &Recovery) -> Option<Arc<dyn WaitingRoom>> {
    let words = recovery.degraded.queued.as_ref().filter(|_| call.asked == Asked::Now)?;
    let queue = Arc::clone(app.deferred.as_ref()?);
    Some(Arc::new(Room { queue, call: Arc::clone(call), words: Arc::clone(words) }))
}

#[derive(Debug)]
struct Room {
    queue: Arc<Deferred>,
    call: Arc<Call>,
    words: Arc<str>,
}

impl WaitingRoom for Room {
    fn defer(&self, targets: &[Arc<Target>]) -> Result<Put, NotDeferred> {
        let (call, now) = (&self.call, Instant::now());
        let id = DeferredId::of(call.admission.id);
        let so_far = u64::try_from((now - call.admission.started).as_millis()).unwrap_or(u64::MAX);
        // What an answer in another dialect repeats of its request is held beside it.
        let copies = match call.admission.api.told() {
            Told::AsItIs => 1,
            Told::Anew => 2,
        };
        let new = New {
            id,
            caller: call.admission.caller.clone(),
            created_unix_ms: call.admission.at_unix_ms.saturating_add(so_far),
            bytes: call.chat.size() * copies,
            request: Waiting { call: Arc::clone(call), targets: targets.to_vec() },
        };
        self.queue.put(new, now)?;
        Ok(Put { id, words: Arc::clone(&self.words) })
    }
}

/// Sees to it that a request waits no longer whose client left before it had the reference.
pub(super) fn hand_over(app: &App, answer: &mut Answer) {
    if let (Some(id), Some(queue)) = (answer.degraded.and_then(Degraded::reference), &app.deferred) {
        answer.body.keep_with(Box::new(Handing { queue: Some(Arc::clone(queue)), id }));
    }
}

/// The reference on its way to the client.
struct Handing {
    /// `None` once it is there.
    queue: Option<Arc<Deferred>>,
    id: DeferredId,
}

impl Keeper for Handing {
    fn sees(&mut self, _: &Bytes) {}

    fn ended_well(mut self: Box<Self>, _: Bill, _: std::time::Instant) {
        self.queue = None;
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.abandon(self.id);
        }
    }
}

/// Asks the requests in the queue again, as many at once as it says, until `stop`. What has no answer then is dropped, counted and logged: a
/// server that stops answers nobody who would fetch it. A panic ends neither the queue nor, of the requests in it, more than the one it came with.
pub async fn keep_on(app: &App, edge: Edge, stop: CancellationToken) {
    let Some(queue) = &app.deferred else { return };
    loop {
        let rounds = AssertUnwindSafe(rounds(app, queue, edge)).catch_unwind();
        match stop.run_until_cancelled(rounds).await {
            None => break,
            Some(Ok(never)) => match never {},
            Some(Err(_panic)) => {
                tracing::error!("asking requests that wait panicked; they are put back, please report this");
                queue.put_back(Instant::now());
                stop.run_until_cancelled(sleep(RECOVERY)).await;
            }
        }
    }
    let dropped = queue.close();
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "requests that waited for an answer were dropped with the server; their callers must ask again"
        );
    }
}

async fn rounds(app: &App, queue: &Deferred, edge: Edge) -> Infallible {
    let (at_once, look_every) = (queue.settings().at_once.get(), queue.look_every());
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < at_once {
            let now = Instant::now();
            let Some(taken) = queue.take(now, |waiting| waiting.is_worth_a_try(now)) else { break };
            running.push(Box::pin(one(app, (queue, edge), taken)));
        }
        tokio::select! {
            Some(()) = running.next(), if !running.is_empty() => {}
            () = queue.filled() => {}
            () = sleep(look_every), if !queue.is_empty() => {}
        }
    }
}

/// One try. A request that is taken back, or whose time is over, loses its call. A panic in it is its own affair.
async fn one(app: &App, (queue, edge): (&Deferred, Edge), taken: Taken<Waiting>) {
    let Taken { id, request, expires, cancel } = taken;
    let asking = timeout_at(expires, AssertUnwindSafe(ask(app, &request.call, edge)).catch_unwind());
    let Some(Ok(result)) = cancel.run_until_cancelled(asking).await else { return };
    let result = result.unwrap_or_else(|_panic| {
        tracing::error!(deferred = %id, "asking a request that waits panicked; please report this");
        Err(Unanswered::Panicked)
    });
    let ending = match result {
        Ok(answer) => Ending::Answered(answer),
        Err(why) if why.may_pass() => Ending::Again((edge.explain)(why)),
        Err(why) => Ending::Failed((edge.explain)(why)),
    };
    queue.settle(id, ending, Instant::now());
}

async fn ask(app: &App, first: &Call, edge: Edge) -> Result<deferred::Answer, Unanswered> {
    let (id, at_unix_ms) = (edge.stamp)();
    let Admission { caller, request_id, draw, api, .. } = &first.admission;
    let admission = Admission {
        id,
        caller: caller.clone(),
        request_id: request_id.clone(),
        started: Instant::now(),
        at_unix_ms,
        draw: *draw,
        api: *api,
    };
    let (chat, teller) = (first.chat.whole(), first.teller.clone());
    let call = Call { admission, chat, teller: teller.clone(), asked: Asked::Again };
    let naming = call.naming();
    let (_, answer) = complete(app, call, ()).await.map_err(|failed| failed.error)?;
    let Answer { model, cost, body, .. } = answer;
    let completion = whole(body).await;
    let bytes = completion.len();
    let tell = move || {
        let told = match teller {
            None => completion.to_vec(),
            Some(teller) => teller.tell(naming, &completion)?,
        };
        let text = String::from_utf8(told).map_err(|_| NotAnAnswer::NotJson)?;
        RawValue::from_string(text).map_err(|_| NotAnAnswer::NotJson)
    };
    let body = heavy(bytes, tell).await.unwrap_or(Err(NotAnAnswer::Empty)).map_err(Unanswered::Untold)?;
    Ok(deferred::Answer { body, decision: id, model, cost })
}

/// The bytes of an answer, which closes its books.
async fn whole(mut body: Relay) -> Bytes {
    let mut whole = Bytes::new();
    while let Some(Ok(frame)) = body.frame().await {
        // A whole answer is one frame.
        whole = frame.into_data().unwrap_or(whole);
    }
    whole
}

#[cfg(test)]
mod tests;
