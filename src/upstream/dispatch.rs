//! The attempts of one call: retry, then the next target, never after the first token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::domain::ids::{ModelName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Price, Usage};
use crate::domain::outcome::{Attempt, Class};
use crate::upstream::attempt::{self, Failure, Started, StartedAnswer};
use crate::upstream::books::Books;
use crate::upstream::classify::Advice;
use crate::upstream::client::Upstream;
use crate::upstream::relay::Relay;
use crate::upstream::retry::{Left, Next, RetryPlan, RetrySettings};

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
}

/// Where a call may go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The targets, best first.
    pub targets: Vec<Target>,
    /// When the whole call, its answer included, must be over.
    pub deadline: Instant,
    /// Bounds of the attempts.
    pub retry: RetrySettings,
    /// The call's draw from 0 to 1 that spreads the pauses before retries.
    pub jitter: f64,
}

/// What a call asks of whichever target answers it.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The path after the base URL, for example `/chat/completions`.
    pub path: &'static str,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether the client itself asked for the usage chunk of a stream; it is kept back otherwise.
    pub wants_usage: bool,
    /// The body for an upstream's own model name. For a stream it must ask for usage.
    pub body: &'a (dyn Fn(&str) -> Bytes + Send + Sync),
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
    /// Every attempt so far; the last one is this answer.
    pub attempts: Vec<Attempt>,
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
    #[error("no target answered: {}", list(attempts))]
    Exhausted {
        /// Every attempt, in order; at least one.
        attempts: Vec<Attempt>,
        /// The earliest time at which an upstream asked to come back.
        retry_after: Option<Duration>,
    },
    /// The deadline of the call came before an answer.
    #[error("the deadline of the call passed: {}", list(attempts))]
    Deadline {
        /// Every attempt, in order; none if the deadline had passed before the first.
        attempts: Vec<Attempt>,
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
            Self::Rejected { attempts, .. } | Self::Exhausted { attempts, .. } | Self::Deadline { attempts } => {
                attempts
            }
            Self::NoTarget => &[],
        }
    }

    /// Whether every attempt was asked to slow down, so that coming back later is all that helps.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        let attempts = self.attempts();
        !attempts.is_empty() && attempts.iter().all(|attempt| attempt.class == Class::Throttled)
    }
}

/// Asks the targets of a plan in order until one answers: each is retried within the plan's bounds, then the next one is tried. A stream
/// counts as an answer when its first token is there; what came before it is held back, so that the client never sees a failed start.
///
/// The books are closed exactly once, however the call ends: by the returned body, with the returned error, or when this future is dropped.
///
/// # Errors
/// When no target answers; each error names every attempt.
pub async fn dispatch(plan: Plan, outgoing: &Outgoing<'_>, mut books: Books) -> Result<Answer, DispatchError> {
    books.expect_prompt_tokens(outgoing.prompt_tokens);
    let mut retries = RetryPlan::new(plan.retry, plan.jitter);
    let mut retry_after: Option<Duration> = None;
    let mut unsaid: Option<Failure> = None;
    for (nth, target) in plan.targets.iter().enumerate() {
        loop {
            if Instant::now() >= plan.deadline {
                return Err(give_up(books, |attempts| DispatchError::Deadline { attempts }));
            }
            books.begin(target);
            let failure = match attempt::run(target, outgoing, plan.deadline).await {
                Ok(started) => return Ok(answer(target, started, books)),
                Err(failure) => failure,
            };
            let trouble = &failure.trouble;
            books.fail(trouble, target.upstream.scrubber().text(trouble.to_string()));
            retry_after = retry_after.into_iter().chain(trouble.hint()).min();
            if trouble.class() == Class::Rejected && trouble.advice() == Advice::GiveUp {
                return Err(rejected(books, failure));
            }
            let time = plan.deadline.saturating_duration_since(Instant::now());
            let next = retries.after(trouble.advice(), Left { time, targets: plan.targets.len() - nth - 1 });
            unsaid = if trouble.words().is_some() { Some(failure) } else { unsaid };
            match next {
                Next::Retry(pause) => sleep(pause).await,
                Next::NextTarget => break,
                Next::Stop => {
                    return Err(match untold(&books, unsaid) {
                        Some(failure) => rejected(books, failure),
                        None => give_up(books, |attempts| DispatchError::Exhausted { attempts, retry_after }),
                    });
                }
            }
        }
    }
    if let Some(failure) = untold(&books, unsaid) {
        return Err(rejected(books, failure));
    }
    let has_passed = Instant::now() >= plan.deadline;
    Err(give_up(books, |attempts| match attempts.as_slice() {
        [] => DispatchError::NoTarget,
        [..] if has_passed => DispatchError::Deadline { attempts },
        [..] => DispatchError::Exhausted { attempts, retry_after },
    }))
}

fn answer(target: &Target, started: Started, mut books: Books) -> Answer {
    books.serve(target, started.status, started.reached);
    let attempts = books.attempts().to_vec();
    let (stream, usage, output_bytes) = match &started.answer {
        StartedAnswer::Whole(completion) => (false, completion.usage, 0),
        StartedAnswer::Stream(stream) => (true, stream.usage(), stream.output_bytes()),
    };
    books.count(usage, output_bytes);
    let (usage, cost) = books.bill();
    let body = match started.answer {
        StartedAnswer::Whole(completion) => Relay::whole(completion.body, books),
        StartedAnswer::Stream(stream) => Relay::stream(stream, books),
    };
    Answer {
        upstream: target.upstream.id().clone(),
        model: target.model.clone(),
        tier: target.tier.clone(),
        attempts,
        stream,
        usage,
        cost,
        body,
    }
}

/// Closes the books of a call without an answer, as its last attempt ended.
fn give_up(mut books: Books, error: impl FnOnce(Vec<Attempt>) -> DispatchError) -> DispatchError {
    let attempts = books.attempts().to_vec();
    let class = attempts.last().map_or(Class::Transient, |attempt| attempt.class);
    books.close(class, "");
    error(attempts)
}

/// The last failure to put the request into a provider's words, where nothing else went wrong: then it is the request that must change.
fn untold(books: &Books, unsaid: Option<Failure>) -> Option<Failure> {
    unsaid.filter(|_| books.attempts().iter().all(|attempt| attempt.class == Class::Rejected))
}

fn rejected(books: Books, failure: Failure) -> DispatchError {
    let status = failure.trouble.status().unwrap_or(400);
    let ours = || {
        let message = format!("the upstream refused the request with status {status}");
        let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
        Bytes::from(json!({ "error": error }).to_string())
    };
    let body = failure.words.or_else(|| failure.trouble.words()).unwrap_or_else(ours);
    give_up(books, |attempts| DispatchError::Rejected { attempts, status, body })
}

fn list(attempts: &[Attempt]) -> String {
    let said: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("`{}` at `{}`: {}", attempt.model, attempt.upstream, attempt.detail))
        .collect();
    if said.is_empty() { "nothing was tried".to_owned() } else { said.join("; ") }
}
