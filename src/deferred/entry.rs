//! One entry of the queue.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deferred::{Answer, View};
use crate::domain::deferred::{DeferredSettings, DeferredStatus};
use crate::domain::ids::CallerId;

/// About how many bytes an entry takes beside what it holds.
pub(super) const ENTRY: usize = 256;

/// How many bytes are set aside for what comes of a request. So most answers fit where their requests did, and a queue that is full goes on being answered.
pub(super) const OUTCOME: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) caller: CallerId,
    pub(super) created_unix_ms: u64,
    pub(super) expires: Instant,
    pub(super) tries: u32,
    pub(super) state: State<R>,
    pub(super) problem: Option<Arc<RawValue>>,
}

#[derive(Debug)]
pub(super) enum State<R> {
    Queued {
        request: Request<R>,
        due: Instant,
    },
    Running {
        request: Request<R>,
        cancel: CancellationToken,
    },
    Done(Arc<Answer>),
    Failed,
    /// What is left to say so for as long again, while nobody needs its place.
    Expired,
}

#[derive(Debug)]
pub(super) struct Request<R> {
    pub(super) it: Arc<R>,
    pub(super) bytes: usize,
}

impl<R> Request<R> {
    /// The bytes of an entry that waits with a request of so many.
    pub(super) const fn waiting(bytes: usize) -> usize {
        bytes.saturating_add(ENTRY + OUTCOME)
    }
}

impl<R> Clone for Request<R> {
    fn clone(&self) -> Self {
        Self { it: Arc::clone(&self.it), bytes: self.bytes }
    }
}

impl<R> State<R> {
    pub(super) const fn status(&self) -> DeferredStatus {
        match self {
            Self::Queued { .. } => DeferredStatus::Queued,
            Self::Running { .. } => DeferredStatus::Running,
            Self::Done(_) => DeferredStatus::Done,
            Self::Failed => DeferredStatus::Failed,
            Self::Expired => DeferredStatus::Expired,
        }
    }

    pub(super) const fn is_unanswered(&self) -> bool {
        match self {
            Self::Queued { .. } | Self::Running { .. } => true,
            Self::Done(_) | Self::Failed | Self::Expired => false,
        }
    }

    /// Ends the call that is made for it, if one is.
    pub(super) fn cancel(&self) {
        match self {
            Self::Running { cancel, .. } => cancel.cancel(),
            Self::Queued { .. } | Self::Done(_) | Self::Failed | Self::Expired => {}
        }
    }
}

impl<R> Entry<R> {
    pub(super) fn bytes(&self) -> usize {
        let problem = self.problem.as_ref().map_or(0, |problem| problem.get().len());
        match &self.state {
            State::Queued { request, .. } | State::Running { request, .. } => {
                Request::<R>::waiting(request.bytes) + problem.saturating_sub(OUTCOME)
            }
            State::Done(answer) => ENTRY + answer.body.get().len(),
            State::Failed | State::Expired => ENTRY + problem,
        }
    }

    pub(super) fn view(&self, settings: &DeferredSettings) -> View {
        let kept_ms = u64::try_from(settings.keep_for.as_millis()).unwrap_or(u64::MAX);
        View {
            status: self.state.status(),
            created_unix_ms: self.created_unix_ms,
            expires_unix_ms: self.created_unix_ms.saturating_add(kept_ms),
            tries: self.tries,
            answer: match &self.state {
                State::Done(answer) => Some(Arc::clone(answer)),
                State::Queued { .. } | State::Running { .. } | State::Failed | State::Expired => None,
            },
            problem: self.problem.clone(),
        }
    }
}
