//! The books of one call: what was tried, what it used, and the one report at its end.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::{ModelName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Price, Usage};
use crate::domain::outcome::{Attempt, Class, Outcome};
use crate::upstream::classify::Trouble;
use crate::upstream::dispatch::Target;

/// Bytes of answer that make about one token.
const BYTES_PER_TOKEN: u64 = 4;

/// The books of one call. However the call ends, `on_close` is called exactly once: with the last byte, with the error, or, when the books
/// are dropped before that, as cancelled. The guard is released after it.
///
/// Where an answer was cut or cancelled before its usage came, the outcome holds an estimate: the caller's count of the prompt and a token
/// for every four bytes of answer that went by. An answer that ended well has the upstream's count or none.
pub struct Books {
    admitted: Instant,
    on_close: Option<Box<dyn FnOnce(Outcome) + Send>>,
    prompt_tokens: u64,
    attempts: Vec<Attempt>,
    trying: Option<Trying>,
    serving: Option<Serving>,
    first_byte: Option<Duration>,
    usage: Option<Usage>,
    output_bytes: usize,
    /// Last, so that what it holds is released when all else is done.
    _guard: Option<Box<dyn Send>>,
}

/// An attempt that has not ended.
struct Trying {
    upstream: UpstreamId,
    model: ModelName,
    tier: TierId,
    since: Instant,
}

/// How an attempt ended.
struct End {
    class: Class,
    status: Option<u16>,
    detail: String,
    at: Instant,
}

struct Serving {
    model: ModelName,
    price: Option<Price>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").field("attempts", &self.attempts).field("usage", &self.usage).finish_non_exhaustive()
    }
}

impl Books {
    /// Opens the books of a call that was admitted at this time. `on_close` must not block: it may run inside a drop.
    #[must_use]
    pub fn open(admitted: Instant, on_close: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self {
            admitted,
            on_close: Some(Box::new(on_close)),
            prompt_tokens: 0,
            attempts: Vec::new(),
            trying: None,
            serving: None,
            first_byte: None,
            usage: None,
            output_bytes: 0,
            _guard: None,
        }
    }

    /// Keeps something, such as the admission permit, until the call is over and its body gone.
    #[must_use]
    pub fn holding(mut self, guard: impl Send + 'static) -> Self {
        self._guard = Some(Box::new(guard));
        self
    }

    /// The tokens and the cost of what was counted so far, where they are known.
    pub(crate) fn bill(&self) -> (Option<Usage>, Option<NanoUsd>) {
        (self.usage, self.cost(self.usage))
    }

    pub(crate) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    pub(crate) const fn expect_prompt_tokens(&mut self, tokens: u64) {
        self.prompt_tokens = tokens;
    }

    pub(crate) fn begin(&mut self, target: &Target) {
        self.trying = Some(Trying {
            upstream: target.upstream.id().clone(),
            model: target.model.clone(),
            tier: target.tier.clone(),
            since: Instant::now(),
        });
    }

    pub(crate) fn fail(&mut self, trouble: &Trouble, detail: String) {
        self.end_attempt(End { class: trouble.class(), status: trouble.status(), detail, at: Instant::now() });
    }

    /// The attempt goes on to serve the call; it took until `reached`.
    pub(crate) fn serve(&mut self, target: &Target, status: u16, reached: Instant) {
        self.end_attempt(End { class: Class::Success, status: Some(status), detail: String::new(), at: reached });
        self.serving = Some(Serving { model: target.model.clone(), price: target.price });
    }

    /// An answer that was kept serves the call: it costs nothing.
    pub(crate) fn serve_kept(&mut self, model: &ModelName) {
        self.serving = Some(Serving { model: model.clone(), price: Some(Price::default()) });
        self.usage = Some(Usage::default());
    }

    /// What is known of the tokens so far.
    pub(crate) const fn count(&mut self, usage: Option<Usage>, output_bytes: usize) {
        self.usage = usage;
        self.output_bytes = output_bytes;
    }

    pub(crate) fn sent_a_byte(&mut self) {
        self.first_byte.get_or_insert_with(|| self.admitted.elapsed());
    }

    /// Closes the books of an answer; later closings do nothing.
    pub(crate) fn close(&mut self, class: Class, detail: &str) {
        let Some(on_close) = self.on_close.take() else { return };
        if self.trying.is_some() {
            self.end_attempt(End { class, status: None, detail: detail.to_owned(), at: Instant::now() });
        } else if let Some(last) = self.attempts.last_mut().filter(|_| self.serving.is_some()) {
            last.class = class;
            detail.clone_into(&mut last.detail);
        }
        let usage = self.usage.or_else(|| self.estimate(class));
        let cost = self.cost(usage);
        on_close(Outcome {
            class,
            attempts: std::mem::take(&mut self.attempts),
            served_by: self.serving.as_ref().map(|serving| serving.model.clone()),
            usage,
            cost,
            total: self.admitted.elapsed(),
            first_byte: self.first_byte,
        });
    }

    fn cost(&self, usage: Option<Usage>) -> Option<NanoUsd> {
        let price = self.serving.as_ref()?.price?;
        usage.map(|usage| price.cost(&usage))
    }

    fn end_attempt(&mut self, End { class, status, detail, at }: End) {
        let Some(Trying { upstream, model, tier, since }) = self.trying.take() else { return };
        let took = at.saturating_duration_since(since);
        self.attempts.push(Attempt { upstream, model, tier, class, status, took, detail });
    }

    /// An answer that was not allowed to end is paid for all the same.
    fn estimate(&self, class: Class) -> Option<Usage> {
        let is_partial = match class {
            Class::Truncated | Class::Cancelled => self.serving.is_some(),
            Class::Success | Class::Throttled | Class::Transient | Class::Rejected => false,
            Class::Unauthorised | Class::Garbage => false,
        };
        let output_tokens = u64::try_from(self.output_bytes).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN);
        is_partial.then_some(Usage { input_tokens: self.prompt_tokens, cached_input_tokens: 0, output_tokens })
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        self.close(Class::Cancelled, "the client went away");
    }
}
