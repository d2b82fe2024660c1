//! The fast scorer: tokenise, encode and score on the calling thread.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use crate::domain::embedding::Embedding;
use crate::domain::scores::ScoreTimings;
use crate::model::encoder::Encoder;
use crate::model::error::InferenceError;
use crate::model::heads::{HeadInput, HeadOutput, Heads, SIGNALS};
use crate::model::index::SearchScratch;
use crate::model::tokenize::{TokenBuffer, Tokenizer};

/// Sessions and buffers that one thread at a time scores with.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) encoder: Encoder,
    pub(crate) heads: Heads,
    pub(crate) tokens: TokenBuffer,
    pub(crate) scratch: SearchScratch,
}

/// What the fast scorer reads off one text, before calibration.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) embedding: Embedding,
    pub(crate) output: HeadOutput,
    pub(crate) tokens: usize,
    pub(crate) unknown: usize,
    pub(crate) truncated: bool,
    pub(crate) timings: ScoreTimings,
}

impl Slot {
    /// Embeds a text. `None` if it has no tokens.
    pub(crate) fn embed(
        &mut self,
        tokenizer: &Tokenizer,
        text: &str,
    ) -> Result<Option<(Embedding, ScoreTimings)>, InferenceError> {
        let start = Instant::now();
        tokenizer.tokenize(text, &mut self.tokens)?;
        let tokenize = start.elapsed();
        if self.tokens.text_tokens() == 0 {
            return Ok(None);
        }
        let start = Instant::now();
        let embedding = self.encoder.embed(&[self.tokens.ids()])?.pop().flatten();
        let timings = ScoreTimings { tokenize, encode: start.elapsed(), ..ScoreTimings::default() };
        Ok(embedding.map(|embedding| (embedding, timings)))
    }

    /// Embeds a text and runs the heads on it. `None` if it has no tokens.
    pub(crate) fn read(
        &mut self,
        tokenizer: &Tokenizer,
        text: &str,
        signals: &[f32; SIGNALS],
    ) -> Result<Option<Reading>, InferenceError> {
        let Some((embedding, mut timings)) = self.embed(tokenizer, text)? else { return Ok(None) };
        let start = Instant::now();
        let outputs = self.heads.score(&[HeadInput { embedding: embedding.as_slice(), signals }])?;
        timings.heads = start.elapsed();
        let (tokens, truncated) = (self.tokens.text_tokens(), self.tokens.truncated());
        let unknown = self.tokens.unknown();
        Ok(outputs.into_iter().next().map(|output| Reading { embedding, output, tokens, unknown, truncated, timings }))
    }
}

/// A fixed number of slots.
///
/// A session may be run by one thread at a time, and scoring takes microseconds: less than handing the work to another thread and
/// being woken again. So the caller does the work itself, in a slot that is free, and there are as many slots as the machine runs
/// threads at once. A caller that finds none free waits for one, for microseconds; the lock is never held across an await.
#[derive(Debug)]
pub(crate) struct SlotPool {
    slots: Vec<Mutex<Slot>>,
}

/// How many threads have scored so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which slot a thread tries first: always the same, whose buffers and weights its processor still has at hand.
    static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

impl SlotPool {
    /// As many slots as the machine runs threads at once, at least two and at most 64: each holds the buffers of a search, and the weights
    /// too where ONNX Runtime computes.
    pub(crate) fn default_size() -> NonZeroUsize {
        let (two, most) = (NonZeroUsize::MIN.saturating_add(1), NonZeroUsize::MIN.saturating_add(63));
        std::thread::available_parallelism().map_or(two, |threads| threads.clamp(two, most))
    }

    pub(crate) fn new(slots: Vec<Slot>) -> Self {
        Self { slots: slots.into_iter().map(Mutex::new).collect() }
    }

    /// The calling thread's own slot if it is free, else another free one, else its own as soon as it is free. `None` only if the pool was
    /// made empty.
    pub(crate) fn take(&self) -> Option<MutexGuard<'_, Slot>> {
        let first = OWN.with(|own| *own) % self.slots.len().max(1);
        let in_turn = || self.slots.iter().cycle().skip(first).take(self.slots.len());
        let free = in_turn().find_map(|slot| match slot.try_lock() {
            Ok(slot) => Some(slot),
            // A thread that unwound in here left buffers behind that the next use fills anew.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        free.or_else(|| in_turn().next().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
