//! The line that every request walks. Start reading here.
//!
//! ```text
//! 1 ADMIT ─► 2 READ ─► 3 SCORE ─► 4 DECIDE ─► 5 RESERVE ─► 6 DISPATCH ─► 7 RELAY ─► 8 RECORD
//! permit,    chat →    fast, then   pure: best  (budgets     attempts,     bytes or    journal,
//! caller     Prompt    careful if   utility in  are to       retry,        SSE, usage  release
//!                      it pays      a session   come)        next target   tapped
//! ```
//!
//! Rooms 1 and 2 are `http` and `chat`: a [`Call`] has been admitted and read. [`route`] walks rooms 3 and 4 and stops;
//! [`complete`] walks to the end. One snapshot of the model generation is taken per call. A scoring failure never fails a call: it is
//! evidence, and the default tier answers.

mod admission;
mod asked;
pub mod cached;
mod care;
mod decider;
pub mod deferred;
pub mod embeddings;
mod gathered;
mod precision;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Cache;
use crate::cache::decisions::DecisionCache;
use crate::catalog::{Catalog, UnknownName, Wanted, Weaker, Wishes};
use crate::chat::dialect::Teller;
use crate::chat::openai::ChatRequest;
use crate::domain::api::Told;
use crate::domain::cache::Recall;
use crate::domain::candidate::Candidate;
use crate::domain::decide::{Considered, Decision, NoCandidate, Reason};
use crate::domain::drift::Sighting;
use crate::domain::explain::sentence;
use crate::domain::policy::{Limits, Policy};
use crate::domain::recovery::Recovery;
use crate::domain::resilience::RetrySettings;
use crate::domain::scores::{ScoreFailure, Scores};
use crate::drift::{Drift, Judgeable, Seen};
use crate::model::generation::Generation;
use crate::model::registry::Registry;
use crate::records;
use crate::sessions::Sessions;
use crate::store::Journal;
use crate::telemetry::metrics::Metrics;
use crate::upstream::books::Books;
use crate::upstream::budget::Traffic;
use crate::upstream::dispatch::{Answer, DispatchError, Expects, Outgoing, Plan, Reader, dispatch};

pub use crate::pipeline::admission::Admission;
pub use crate::pipeline::asked::Asked;
use crate::pipeline::cached::{CacheStatus, Looked, NotCached};
use crate::pipeline::decider::{Decider, Scored};
use crate::pipeline::deferred::Deferred;
use crate::pipeline::turn::conversation;
pub use crate::pipeline::turn::{FoundBy, SessionEvent, SessionTurn};

/// Everything a call needs that outlives it.
#[derive(Debug)]
pub struct App {
    /// Models, targets and policies.
    pub catalog: Catalog,
    /// The model generations.
    pub models: Arc<Registry>,
    /// Where decisions and outcomes go; `None` where the store is switched off.
    pub journal: Option<Journal>,
    /// Answers that are given again; `None` where every request is answered anew.
    pub cache: Option<Arc<Cache>>,
    /// What was found out about asks that are asked again; `None` where every ask is scored anew.
    pub decisions: Option<Arc<DecisionCache>>,
    /// Requests that no model answered; `None` where no policy has them wait.
    pub deferred: Option<Arc<Deferred>>,
    /// Which model each conversation is on; `None` where every request is decided by itself whatever the policies say.
    pub sessions: Option<Sessions>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The watch over drift.
    pub drift: Arc<Drift>,
    /// Bounds of the attempts of a call.
    pub retry: RetrySettings,
    /// What all calls to upstreams share.
    pub traffic: Arc<Traffic>,
    /// Longest time of a whole call.
    pub request_timeout: Duration,
    /// Longest time that the careful scorer may take.
    pub careful_timeout: Duration,
}

/// One admitted request.
#[derive(Debug)]
pub struct Call {
    /// What is known of it beside what was asked.
    pub admission: Admission,
    /// What was asked.
    pub chat: ChatRequest,
    /// What tells the answer in the caller's dialect where the call may have to wait for it; `None` where it is told as it comes.
    pub teller: Option<Teller>,
    /// Whether the caller waits for the answer.
    pub asked: Asked,
}

/// A decision with what led to it.
#[derive(Debug)]
pub struct Routed {
    /// The decision.
    pub decision: Decision,
    /// The scores, or why there are none. `None` for a model asked for by name.
    pub scores: Option<Result<Arc<Scores>, ScoreFailure>>,
    /// What the decision cache had for it. `None` where it is switched off, and where nothing was scored.
    pub recall: Option<Recall>,
    /// The decision in one sentence.
    pub sentence: String,
    /// What became of the session, where the request is a turn of one.
    pub session: Option<SessionTurn>,
    /// The time from admission to the decision.
    pub took: Duration,
    /// The encoder that embedded the prompt, by digest; `None` where there are no scores.
    pub encoder: Option<String>,
    /// What the response cache had to do with it.
    pub cache: CacheStatus,
    /// Whether a weaker tier may answer when all else failed.
    weaker_fallback: Weaker,
    /// What happens when the model fails.
    recovery: Recovery,
}

impl Routed {
    /// Whether the policy checks answers.
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.recovery.escalation.is_some()
    }

    /// A call for which there was nothing to decide.
    fn undecided(decision: Decision, sentence: String, started: Instant) -> Self {
        Self {
            decision,
            scores: None,
            recall: None,
            sentence,
            session: None,
            took: started.elapsed(),
            encoder: None,
            cache: CacheStatus::Off,
            weaker_fallback: Weaker::Forbidden,
            recovery: Recovery::NONE,
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The request names something that is not configured.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// No configured model can serve the request.
    #[error("no configured model can serve the request")]
    NoCandidate(NoCandidate),
    /// The caller wants an answer that is kept, and none is.
    #[error(transparent)]
    NotCached(#[from] NotCached),
    /// The upstreams failed or refused.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
}

/// A call that failed, with the decision that came before the failure, if one did.
#[derive(Debug)]
pub struct Failed {
    /// The decision.
    pub routed: Option<Routed>,
    /// Why the call failed.
    pub error: RouteError,
}

/// Decides which model should answer, and records the decision.
///
/// # Errors
/// Unknown names, and requests that no configured model can serve.
pub async fn route(app: &App, call: &Call) -> Result<Routed, RouteError> {
    let routed = choose(app, call).await?;
    records::note_route(app, call, &routed);
    Ok(routed)
}

/// Decides, calls the model, and gives its answer; or gives an answer that is kept, without a decision. Dropping the answer's body closes the books of the call.
///
/// # Errors
/// As [`route`], and failures of every upstream; those come with the decision that they followed.
pub async fn complete(app: &App, call: Call, guard: impl Send + 'static) -> Result<(Routed, Answer), Box<Failed>> {
    let (call, nothing) = (Arc::new(call), |error| Box::new(Failed { routed: None, error }));
    let (looked, guard) = cached::look(app, &call, guard).map_err(|error| nothing(error.into()))?;
    let (cache, place) = match looked {
        Looked::Found(found) => return Ok(*found),
        Looked::Open(status, place) => (status, place),
    };
    let routed = Routed { cache, ..choose(app, &call).await.map_err(nothing)? };
    let books = Books::open(call.admission.started, records::note_completion(app, &call, &routed)).holding(guard);
    let recovery = &routed.recovery;
    let wishes = Wishes { chain: &recovery.chain, weaker: routed.weaker_fallback };
    let plan = Plan {
        targets: app.catalog.targets_for(&routed.decision, &call.chat.prompt.shape, wishes),
        deadline: call.admission.deadline(app),
        retry: care::retry(app, &call, recovery),
        jitter: call.admission.draw.get(),
        care: care::care(app, &call, (recovery, place.as_ref())),
        traffic: Arc::clone(&app.traffic),
    };
    let body = |upstream_model: &str, reader: Reader| match reader {
        Reader::Server => call.chat.body_for(upstream_model),
        Reader::ThoughtfulServer => call.chat.body_with_thoughts(upstream_model),
        Reader::Translation => call.chat.body_to_translate(upstream_model),
    };
    let outgoing = Outgoing {
        path: "/chat/completions",
        expects: match call.admission.api.told() {
            Told::AsItIs => Expects::Completion,
            Told::Anew => Expects::Translatable,
        },
        api: call.admission.api,
        stream: call.chat.stream,
        wants_usage: call.chat.wants_usage,
        body: &body,
        request_id: &call.admission.request_id,
        prompt_tokens: call.chat.prompt.shape.input_tokens,
    };
    match dispatch(plan, &outgoing, books).await {
        Ok(mut answer) => {
            precision::note(app, &routed, &answer);
            deferred::hand_over(app, &mut answer);
            precision::watch(app, &call, (&routed, &mut answer));
            cached::keep((app, &call), place, (&routed, &mut answer));
            Ok((routed, answer))
        }
        Err(error) => Err(Box::new(Failed { routed: Some(routed), error: error.into() })),
    }
}

/// Rooms 3 and 4: score and decide.
async fn choose(app: &App, call: &Call) -> Result<Routed, RouteError> {
    let routed = match app.catalog.resolve(&call.chat.model, &call.chat.options)? {
        Wanted::Model(candidate) => named(app, call, candidate).map_err(RouteError::NoCandidate)?,
        Wanted::Decision { policy, limits } => {
            learned(app, call, policy, &limits).await.map_err(RouteError::NoCandidate)?
        }
    };
    app.metrics.decision(&routed.decision, routed.took);
    Ok(routed)
}

/// A model asked for by name passes straight through: nothing is scored and nothing decided. What it can do is for its provider to say, but
/// for what is certain to be refused.
fn named(app: &App, call: &Call, candidate: &Candidate) -> Result<Routed, NoCandidate> {
    let considered = Considered::unweighed(candidate.model.clone(), candidate.tier.clone(), candidate.rank);
    let shape = &call.chat.prompt.shape;
    let barred = app.catalog.barred(shape).into_iter().find(|(model, _)| *model == candidate.model);
    if let Some((_, why)) = barred {
        return Err(NoCandidate::of(vec![Considered { excluded: Some(why), ..considered }], shape));
    }
    let decision = Decision::only(considered, Reason::Named);
    let sentence = sentence(&decision, None);
    Ok(Routed::undecided(decision, sentence, call.admission.started))
}

async fn learned(app: &App, call: &Call, policy: &Policy, limits: &Limits) -> Result<Routed, NoCandidate> {
    let generation = app.models.current();
    let conversation = conversation(app, call, policy);
    let held = conversation.as_ref().and_then(|conversation| conversation.held.clone());
    let place = decider::place(app, call, generation.as_deref());
    let decider = Decider { app, call, policy, limits, generation: generation.as_deref(), held, place };
    let (Scored { scores, recall }, decision) = decider.choose().await?;
    if let (Some(cache), Some(recall)) = (&app.decisions, recall) {
        cache.count(recall);
    }
    // A request that is asked again was seen already, and was a turn of its session when it came.
    if let (Ok(scores), Some(generation), Asked::Now) = (&scores, generation.as_deref(), call.asked) {
        app.drift.saw(&seen(call, scores, generation));
    }
    let turn = conversation.filter(|_| call.asked == Asked::Now);
    let session = turn.and_then(|conversation| conversation.note(app, call, &decision));
    let sentence = sentence(&decision, scores.as_deref().ok());
    Ok(Routed {
        decision,
        encoder: scores
            .as_ref()
            .ok()
            .and(generation.as_deref())
            .map(|generation| generation.manifest().encoder.digest.clone()),
        scores: Some(scores),
        recall,
        sentence,
        session,
        took: call.admission.started.elapsed(),
        cache: CacheStatus::Off,
        weaker_fallback: if policy.allow_weaker_fallback { Weaker::Allowed } else { Weaker::Forbidden },
        recovery: policy.recovery.clone(),
    })
}

/// What a decision tells about the traffic.
fn seen<'a>(call: &Call, scores: &Scores, generation: &'a Generation) -> Seen<'a> {
    let prompt = &call.chat.prompt;
    let unfamiliar = scores.familiarity.unfamiliar.is_some();
    Seen {
        bundle: generation.id(),
        sighting: Sighting::of(scores, generation.labels().tiers().len(), prompt.signals.chars),
        judged: if unfamiliar { Judgeable::No } else { Judgeable::Yes },
        at_unix_ms: call.admission.at_unix_ms,
    }
}
