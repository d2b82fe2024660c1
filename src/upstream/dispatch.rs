//! The attempts of one call: retry, then the next target, never after the first token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;

use crate::chat::fitness::Fitness;
use crate::domain::api::Api;
use crate::domain::candidate::Exclusion;
use crate::domain::check::CheckReport;
use crate::domain::deferred::NotDeferred;
use crate::domain::ids::{AccountId, DeferredId, ModelName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Price, Usage};
use crate::domain::outcome::{Attempt, Class};
use crate::domain::resilience::RetrySettings;
use crate::upstream::books::Books;
use crate::upstream::budget::Traffic;
use crate::upstream::client::Upstream;
use crate::upstream::course::Course;
use crate::upstream::escalate::Checking;
use crate::upstream::health::Health;
use crate::upstream::relay::Relay;

/// One model at one upstream.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is.
    pub upstream: Arc<Upstream>,
    /// The name that callers read.
    pub model: ModelName,
    /// The name that the upstream knows.
    pub upstream_model: String,
    /// The model's tier.
    pub tier: TierId,
    /// What it charges, if that is known.
    pub price: Option<Price>,
    /// Most tokens of input and output, if that is known.
    pub context_tokens: Option<u64>,
    /// How much of its model's load it should have, next to the weights of the others. Zero: only where the others do not do.
    pub weight: f64,
    /// Which of several keys of its upstream it uses, from 1. `None` where there is one.
    pub key: Option<u32>,
    /// What is known of it, shared by all calls.
    pub health: Arc<Health>,
}

impl Target {
    /// Whose thoughts its answers hold, where its provider encrypts them for the account that asked.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.upstream.dialect().account()
    }

    /// Why a request cannot be sent there, if it cannot: it needs what every place of a model has or has not by itself.
    #[must_use]
    pub fn bars(&self, needs: Needs<'_>) -> Option<Exclusion> {
        if needs.hosted.is_some_and(|api| !self.upstream.hosts(api)) {
            return Some(Exclusion::NeedsHosted);
        }
        let is_another = |account: &AccountId| needs.thinker.is_some_and(|thinker| thinker != account);
        self.account().filter(|account| is_another(account)).map(|_| Exclusion::OtherAccount)
    }
}

/// What a request needs of the place where it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The account that is to read its encrypted thoughts, of those whose thoughts it holds.
    pub thinker: Option<&'a AccountId>,
    /// The dialect whose providers alone have what it asks for.
    pub hosted: Option<Api>,
}

/// Where a call may go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The targets, best first.
    pub targets: Vec<Arc<Target>>,
    /// When the whole call, its answer included, must be over.
    pub deadline: Instant,
    /// Bounds of the attempts.
    pub retry: RetrySettings,
    /// The call's draw from 0 to 1 that spreads the pauses before retries.
    pub jitter: f64,
    /// What the policy asks beyond that.
    pub care: Care,
    /// What all calls share.
    pub traffic: Arc<Traffic>,
}

/// What a policy asks of a call beyond an answer.
#[derive(Clone, Debug)]
pub struct Care {
    /// The longest wait for the first token of a stream while another target is left.
    pub first_token: Option<Duration>,
    /// After so long without an answer a second target is asked too.
    pub hedge_after: Option<Duration>,
    /// Which answers are of no use.
    pub fitness: Fitness,
    /// An answer that is better than none, where there is one.
    pub last_kept: Option<Arc<dyn LastKept>>,
    /// Where the request may wait for its answer.
    pub waiting_room: Option<Arc<dyn WaitingRoom>>,
    /// What stands in for an answer when there is none.
    pub degraded: Option<Arc<str>>,
    /// What answers are held against while a stronger model may be asked.
    pub checking: Option<Box<Checking>>,
}

impl Care {
    /// Nothing.
    pub const NONE: Self = Self {
        first_token: None,
        hedge_after: None,
        fitness: Fitness::ANY,
        last_kept: None,
        waiting_room: None,
        degraded: None,
        checking: None,
    };
}

/// Whoever keeps answers, asked when no target answered.
pub trait LastKept: fmt::Debug + Send + Sync {
    /// The last answer to the request, though it is too old otherwise. Must not block.
    fn last(&self) -> Option<StandIn>;
}

/// Whoever lets requests wait, asked when no target answered.
pub trait WaitingRoom: fmt::Debug + Send + Sync {
    /// Keeps the request to be asked again of these targets or others. Must not block.
    ///
    /// # Errors
    /// When there is no room for it.
    fn defer(&self, targets: &[Arc<Target>]) -> Result<Deferred, NotDeferred>;
}

/// A request that waits.
#[derive(Clone, Debug)]
pub struct Deferred {
    /// What its answer is found by.
    pub id: DeferredId,
    /// What the client reads meanwhile.
    pub words: Arc<str>,
}

/// An answer from elsewhere, as the client reads it.
#[derive(Debug)]
pub struct StandIn {
    /// The model that gave it once.
    pub model: ModelName,
    /// The model's tier.
    pub tier: TierId,
    /// How old it is.
    pub age: Duration,
    /// The bytes.
    pub body: Bytes,
}

/// What stands in for a model's answer, where none came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// The operator's words.
    Template,
    /// An answer of this age.
    Cached(Duration),
    /// Words that say where the answer will be.
    Queued(DeferredId),
}

impl Degraded {
    /// The word used in headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Cached(_) => "cached",
            Self::Queued(_) => "queued",
        }
    }

    /// How old it is.
    #[must_use]
    pub const fn age(self) -> Option<Duration> {
        match self {
            Self::Template | Self::Queued(_) => None,
            Self::Cached(age) => Some(age),
        }
    }

    /// Where the answer will be.
    #[must_use]
    pub const fn reference(self) -> Option<DeferredId> {
        match self {
            Self::Template | Self::Cached(_) => None,
            Self::Queued(id) => Some(id),
        }
    }
}

/// What an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// A chat completion.
    Completion,
    /// A chat completion that can be told in another dialect, where more of it must be understood.
    Translatable,
    /// Embeddings.
    Embeddings,
}

/// Who reads a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A server of OpenAI's dialect, which may refuse fields that it does not know.
    Server,
    /// A server of OpenAI's dialect that wants the thoughts of earlier turns.
    ThoughtfulServer,
    /// A translation to another dialect, which takes what it has words for.
    Translation,
}

/// What a call asks of whichever target answers it.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The path after the base URL, for example `/chat/completions`.
    pub path: &'static str,
    /// What the answer must be.
    pub expects: Expects,
    /// By which API the client asked: an answer in the same dialect keeps its own words beside those of chat completions.
    pub api: Api,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client itself asked for the usage chunk of a stream; it is kept back otherwise.
    pub wants_usage: bool,
    /// The body for an upstream's own model name, and for whoever reads it. For a stream it must ask for usage.
    pub body: &'a (dyn Fn(&str, Reader) -> Bytes + Send + Sync),
    /// The call's id, sent as `x-request-id`.
    pub request_id: &'a str,
    /// About how many tokens the prompt has: what an answer is billed by that ends before its usage is known.
    pub prompt_tokens: u64,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("path", &self.path).field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// An answer, whole or begun. Its status is 200.
#[derive(Debug)]
pub struct Answer {
    /// Where it comes from.
    pub upstream: UpstreamId,
    /// The model that serves, by its public name.
    pub model: ModelName,
    /// The model's tier.
    pub tier: TierId,
    /// Every attempt so far, targets that were passed over included.
    pub attempts: Vec<Attempt>,
    /// What stands in for a model's answer, where none came.
    pub degraded: Option<Degraded>,
    /// What the checks of the policy found.
    pub checks: CheckReport,
    /// Whether the body is a stream of events rather than one JSON object.
    pub stream: bool,
    /// The tokens, where a whole answer counts them.
    pub usage: Option<Usage>,
    /// What a whole answer cost, where tokens and price are known.
    pub cost: Option<NanoUsd>,
    /// The bytes for the client.
    pub body: Relay,
}

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum DispatchError {
    /// An upstream refused the request itself. The caller can mend it, so no other target was asked.
    #[error("the request was refused with status {status}")]
    Rejected {
        /// Every attempt, in order.
        attempts: Vec<Attempt>,
        /// The upstream's status.
        status: u16,
        /// An error object in OpenAI's shape: the upstream's own if it had that shape, else ours.
        body: Bytes,
    },
    /// Every target failed, or as many attempts as one call may make.
    #[error("no target answered: {}{}", list(attempts), refused(not_deferred.as_ref()))]
    Exhausted {
        /// Every attempt, in order; at least one.
        attempts: Vec<Attempt>,
        /// The earliest time at which an upstream asked to come back.
        retry_after: Option<Duration>,
        /// Why the request does not wait for its answer, where the policy would have it wait.
        not_deferred: Option<NotDeferred>,
    },
    /// The deadline of the call came before an answer.
    #[error("the deadline of the call passed: {}{}", list(attempts), refused(not_deferred.as_ref()))]
    Deadline {
        /// Every attempt, in order; none if the deadline had passed before the first.
        attempts: Vec<Attempt>,
        /// Why the request does not wait for its answer, where the policy would have it wait.
        not_deferred: Option<NotDeferred>,
    },
    /// There was nowhere to go.
    #[error("there is no target to ask; configure a model for this tier or allow another one")]
    NoTarget,
}

impl DispatchError {
    /// Every attempt, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Rejected { attempts, .. } | Self::Exhausted { attempts, .. } | Self::Deadline { attempts, .. } => {
                attempts
            }
            Self::NoTarget => &[],
        }
    }

    /// Whether every attempt was asked to slow down, so that coming back later is all that helps.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let mut made = self.attempts().iter().filter(|attempt| attempt.class != Class::Skipped).peekable();
        made.peek().is_some() && made.all(|attempt| attempt.class == Class::Throttled)
    }
}

/// Asks the targets of a plan in order until one answers: each is retried within the plan's bounds, then the next one is tried. Targets
/// whose breaker is open come last. A stream counts as an answer when its first token is there; what came before it is held back, so that
/// the client never sees a failed start.
///
/// The books are closed exactly once, however the call ends: by the returned body, with the returned error, or when this future is dropped.
///
/// # Errors
/// When no target answers and no words stand in for one; each error names every attempt.
pub async fn dispatch(plan: Plan, outgoing: &Outgoing<'_>, mut books: Books) -> Result<Answer, DispatchError> {
    books.expect_prompt_tokens(outgoing.prompt_tokens);
    plan.traffic.retries.earn();
    Course::new(&plan, outgoing, books).run().await
}

fn list(attempts: &[Attempt]) -> String {
    let said: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("`{}` at `{}`: {}", attempt.model, attempt.upstream, attempt.detail))
        .collect();
    if said.is_empty() { "nothing was tried".to_owned() } else { said.join("; ") }
}

fn refused(why: Option<&NotDeferred>) -> String {
    why.map_or_else(String::new, |why| format!("; it was not queued either: {why}"))
}
