//! The books of one call: what was tried, what it used, and the one report at its end.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::{ModelName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Price, Usage};
use crate::domain::outcome::{Attempt, Class, Outcome};
use crate::upstream::classify::{Blame, Trouble};
use crate::upstream::dispatch::Target;
use crate::upstream::health::Pass;

/// Bytes of answer that make about one token.
const BYTES_PER_TOKEN: u64 = 4;

/// The books of one call. However the call ends, `on_close` is called exactly once: with the last byte, with the error, or, when the books
/// are dropped before that, as cancelled. The guard is released after it.
///
/// Where an answer ended before its usage came, or well without any, the outcome holds an estimate: the upstream's own count of the input where
/// it began with one, else the caller's, and a token for every four bytes of answer that went by.
pub struct Books {
    admitted: Instant,
    on_close: Option<Box<dyn FnOnce(Outcome) + Send>>,
    prompt_tokens: u64,
    attempts: Vec<Attempt>,
    /// The attempts that have not ended: one, or two while they race.
    trying: Vec<Trying>,
    serving: Option<Serving>,
    first_byte: Option<Duration>,
    counts: Counts,
    begun: u32,
    blame: Blame,
    /// Last, so that what it holds is released when all else is done.
    _guard: Option<Box<dyn Send>>,
}

/// An attempt that has not ended, by its number within the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// An attempt that has not ended.
struct Trying {
    slot: Slot,
    pass: Pass,
    price: Option<Price>,
    upstream: UpstreamId,
    model: ModelName,
    tier: TierId,
    since: Instant,
}

/// An answer of no use.
pub(crate) struct Aside {
    pub(crate) status: u16,
    pub(crate) detail: String,
    pub(crate) counts: Counts,
}

/// What is known of the tokens of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// As the upstream counted them.
    pub(crate) usage: Option<Usage>,
    /// What it had counted by the time that the answer broke off: all of the input, and less of the output than there was.
    pub(crate) so_far: Option<Usage>,
    /// Bytes of answer, as written in JSON.
    pub(crate) output_bytes: usize,
}

/// How an attempt ended.
struct End {
    class: Class,
    status: Option<u16>,
    detail: String,
    at: Instant,
}

struct Serving {
    /// Its place among the attempts.
    at: usize,
    model: ModelName,
    price: Option<Price>,
    pass: Option<Pass>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").field("attempts", &self.attempts).field("counts", &self.counts).finish_non_exhaustive()
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
            trying: Vec::new(),
            serving: None,
            first_byte: None,
            counts: Counts::default(),
            begun: 0,
            blame: Blame::Target,
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
        let usage = self.counts.usage.or_else(|| self.serving.as_ref().map(|_| self.estimate(self.counts)));
        (self.counts.usage, self.cost(usage))
    }

    pub(crate) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    pub(crate) const fn expect_prompt_tokens(&mut self, tokens: u64) {
        self.prompt_tokens = tokens;
    }

    /// An attempt begins.
    pub(crate) fn begin(&mut self, target: &Target, pass: Pass) -> Slot {
        let slot = Slot(self.begun);
        self.begun += 1;
        self.trying.push(Trying {
            slot,
            pass,
            price: target.price,
            upstream: target.upstream.id().clone(),
            model: target.model.clone(),
            tier: target.tier.clone(),
            since: Instant::now(),
        });
        slot
    }

    /// A target was not asked.
    pub(crate) fn skip(&mut self, target: &Target, detail: String) {
        self.attempts.push(Attempt {
            upstream: target.upstream.id().clone(),
            model: target.model.clone(),
            tier: target.tier.clone(),
            class: Class::Skipped,
            status: None,
            took: Duration::ZERO,
            detail,
            unused_cost: None,
        });
    }

    /// The attempt failed.
    pub(crate) fn fail(&mut self, slot: Slot, trouble: &Trouble, detail: String) {
        let end = End { class: trouble.class(), status: trouble.status(), detail, at: Instant::now() };
        if let Some(trying) = self.end_attempt(slot, end)
            && trying.pass.failed(trouble.blame())
        {
            warn_of(&trying.upstream, &trying.model);
        }
    }

    /// Another attempt was faster. Its prompt is taken to be billed.
    pub(crate) fn outrun(&mut self, slot: Slot) {
        let detail = "another target answered first".to_owned();
        let end = End { class: Class::Cancelled, status: None, detail, at: Instant::now() };
        if let Some(trying) = self.end_attempt(slot, end) {
            trying.pass.outrun(trying.since.elapsed());
            self.note_unused(trying.price, Some(self.estimate(Counts::default())));
        }
    }

    /// The attempt answered with something of no use, which is paid for. Gives its place, by which it may serve after all.
    pub(crate) fn set_aside(&mut self, slot: Slot, Aside { status, detail, counts }: Aside) -> usize {
        let usage = counts.usage.unwrap_or_else(|| self.estimate(counts));
        let end = End { class: Class::Unfit, status: Some(status), detail, at: Instant::now() };
        if let Some(mut trying) = self.end_attempt(slot, end) {
            trying.pass.proved(trying.since.elapsed());
            trying.pass.succeeded();
            self.note_unused(trying.price, Some(usage));
        }
        self.attempts.len().saturating_sub(1)
    }

    fn note_unused(&mut self, price: Option<Price>, usage: Option<Usage>) {
        let cost = price.zip(usage).map(|(price, usage)| price.cost(&usage));
        if let Some(last) = self.attempts.last_mut() {
            last.unused_cost = cost;
        }
    }

    /// The attempt goes on to serve the call; it took until `reached`.
    pub(crate) fn serve(&mut self, slot: Slot, status: u16, reached: Instant) {
        let end = End { class: Class::Success, status: Some(status), detail: String::new(), at: reached };
        if let Some(mut trying) = self.end_attempt(slot, end) {
            trying.pass.proved(reached.saturating_duration_since(trying.since));
            let at = self.attempts.len().saturating_sub(1);
            let (model, price, pass) = (trying.model, trying.price, Some(trying.pass));
            self.serving = Some(Serving { at, model, price, pass });
        }
    }

    /// An answer that was set aside serves after all, since nothing better came.
    pub(crate) fn serve_after_all(&mut self, at: usize, target: &Target) {
        if let Some(attempt) = self.attempts.get_mut(at) {
            attempt.unused_cost = None;
        }
        self.serving = Some(Serving { at, model: target.model.clone(), price: target.price, pass: None });
    }

    /// An answer that was kept serves the call: it costs nothing.
    pub(crate) fn serve_kept(&mut self, model: &ModelName) {
        self.serving = Some(Serving { at: 0, model: model.clone(), price: Some(Price::default()), pass: None });
        self.counts.usage = Some(Usage::default());
    }

    /// What is known of the tokens so far.
    pub(crate) const fn count(&mut self, counts: Counts) {
        self.counts = counts;
    }

    pub(crate) fn sent_a_byte(&mut self) {
        self.first_byte.get_or_insert_with(|| self.admitted.elapsed());
    }

    /// For this the answer breaks off. A target that says when to come back is left alone until then, as before the first byte.
    pub(crate) fn broke(&mut self, trouble: &Trouble) {
        self.blame = trouble.blame();
        let pass = self.serving.as_ref().and_then(|serving| serving.pass.as_ref());
        if let (Some(wait), Some(pass)) = (trouble.rest(), pass) {
            pass.rest(wait);
        }
    }

    /// Closes the books of an answer; later closings do nothing.
    pub(crate) fn close(&mut self, class: Class, detail: &str) {
        let Some(on_close) = self.on_close.take() else { return };
        while let Some(slot) = self.trying.first().map(|trying| trying.slot) {
            drop(self.end_attempt(slot, End { class, status: None, detail: detail.to_owned(), at: Instant::now() }));
        }
        if let Some(serving) = &mut self.serving {
            if let Some(attempt) = self.attempts.get_mut(serving.at) {
                // An answer of no use stays what it is when it serves after all.
                if attempt.class != Class::Unfit || class != Class::Success {
                    attempt.class = class;
                    detail.clone_into(&mut attempt.detail);
                }
            }
            match (serving.pass.take(), class) {
                (Some(pass), Class::Success) => pass.succeeded(),
                (Some(pass), Class::Truncated) => {
                    if let (true, Some(last)) = (pass.failed(self.blame), self.attempts.get(serving.at)) {
                        warn_of(&last.upstream, &last.model);
                    }
                }
                // The client left, which says nothing about the upstream.
                (Some(_) | None, _) => {}
            }
        }
        let estimate = self.estimate_at_end(class).filter(|_| self.counts.usage.is_none());
        let served = self.serving.as_ref().and_then(|serving| self.attempts.get_mut(serving.at));
        let served = served.filter(|attempt| attempt.class == Class::Success);
        if let (Some(_), Some(attempt)) = (estimate, served) {
            "its usage is an estimate: the upstream counted none".clone_into(&mut attempt.detail);
        }
        let usage = self.counts.usage.or(estimate);
        let cost = self.cost(usage);
        on_close(Outcome {
            class,
            attempts: std::mem::take(&mut self.attempts),
            served_by: self.serving.as_ref().map(|serving| serving.model.clone()),
            usage,
            usage_estimated: estimate.is_some(),
            cost,
            total: self.admitted.elapsed(),
            first_byte: self.first_byte,
        });
    }

    /// What the answer cost, and every answer that was not given.
    fn cost(&self, usage: Option<Usage>) -> Option<NanoUsd> {
        let price = self.serving.as_ref().and_then(|serving| serving.price);
        let given = price.zip(usage).map(|(price, usage)| price.cost(&usage));
        let unused = self.attempts.iter().filter_map(|attempt| attempt.unused_cost);
        given.into_iter().chain(unused).reduce(|sum, one| sum + one)
    }

    fn end_attempt(&mut self, slot: Slot, End { class, status, detail, at }: End) -> Option<Trying> {
        let place = self.trying.iter().position(|trying| trying.slot == slot)?;
        let trying = self.trying.remove(place);
        self.attempts.push(Attempt {
            upstream: trying.upstream.clone(),
            model: trying.model.clone(),
            tier: trying.tier.clone(),
            class,
            status,
            took: at.saturating_duration_since(trying.since),
            detail,
            unused_cost: None,
        });
        Some(trying)
    }

    /// An answer is paid for whether it was allowed to end and whether anybody counted or not.
    fn estimate_at_end(&self, class: Class) -> Option<Usage> {
        let is_answer = match class {
            Class::Success | Class::Truncated | Class::Cancelled => self.serving.is_some(),
            Class::Throttled | Class::Transient | Class::Rejected => false,
            Class::Unauthorised | Class::Garbage | Class::TooLong | Class::Unfit | Class::Skipped => false,
        };
        is_answer.then(|| self.estimate(self.counts))
    }

    /// What an answer is taken to be billed for where nobody counted it to its end.
    fn estimate(&self, Counts { so_far, output_bytes, .. }: Counts) -> Usage {
        let output_tokens = u64::try_from(output_bytes).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN);
        let counted = so_far.unwrap_or(Usage { input_tokens: self.prompt_tokens, ..Usage::default() });
        Usage { output_tokens: counted.output_tokens.max(output_tokens), ..counted }
    }
}

fn warn_of(upstream: &UpstreamId, model: &ModelName) {
    tracing::warn!(%upstream, %model, "a breaker opened: too many calls failed; see /admin/upstreams");
}

impl Drop for Books {
    fn drop(&mut self) {
        self.close(Class::Cancelled, "the client went away");
    }
}
