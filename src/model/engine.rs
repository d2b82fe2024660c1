//! The careful scorer: worker threads that batch prompts through a transformer.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::domain::scores::ScoreFailure;
use crate::model::batch::BatchLimits;
use crate::model::encoder::Encoder;
use crate::model::error::{InferenceError, panic_text};
use crate::model::heads::{HeadInput, HeadOutput, Heads, SIGNALS};
use crate::model::queue::{Entry, Queue, Refused};

/// How much the engine takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Worker threads, each with its own sessions.
    pub workers: NonZeroUsize,
    /// Most prompts that wait. When full, a prompt is refused at once and the fast scores stand.
    pub waiting: NonZeroUsize,
    /// How large a batch may be.
    pub batch: BatchLimits,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let number = |n: usize| NonZeroUsize::MIN.saturating_add(n - 1);
        Self {
            workers: number(1),
            waiting: number(256),
            batch: BatchLimits { tokens: number(2_048), prompts: number(16) },
        }
    }
}

/// One prompt for the careful scorer.
#[derive(Debug)]
pub(crate) struct CarefulRequest {
    /// Its token ids, special tokens included.
    pub(crate) tokens: Vec<i64>,
    /// Its structural signals.
    pub(crate) signals: [f32; SIGNALS],
    /// When the answer is of no more use.
    pub(crate) deadline: Instant,
}

/// What the careful scorer answers.
#[derive(Clone, Debug)]
pub(crate) struct CarefulAnswer {
    pub(crate) output: HeadOutput,
    /// From being queued to being taken.
    pub(crate) queue: Duration,
    /// The whole batch through the encoder.
    pub(crate) encode: Duration,
    /// The whole batch through the heads.
    pub(crate) heads: Duration,
}

type Reply = Result<CarefulAnswer, InferenceError>;

#[derive(Debug)]
struct Waiting {
    request: CarefulRequest,
    queued: Instant,
    reply: oneshot::Sender<Reply>,
}

impl Entry for Waiting {
    fn tokens(&self) -> usize {
        self.request.tokens.len()
    }

    fn is_dead(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.request.deadline
    }
}

/// The sessions of one worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) encoder: Encoder,
    pub(crate) heads: Heads,
}

/// Running workers and their queue. Dropping it closes the queue and does not wait: the threads end after their batch.
#[derive(Debug)]
pub(crate) struct Engine {
    queue: Arc<Queue<Waiting>>,
}

impl Engine {
    /// Starts a thread per worker.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(workers: Vec<Worker>, settings: &EngineSettings) -> std::io::Result<Self> {
        let engine = Self { queue: Arc::new(Queue::new(settings.waiting)) };
        let batch = settings.batch;
        for (number, worker) in workers.into_iter().enumerate() {
            let queue = Arc::clone(&engine.queue);
            let thread = std::thread::Builder::new().name(format!("trimtab-careful-{number}"));
            thread.spawn(move || work(worker, &queue, &batch))?;
        }
        Ok(engine)
    }

    /// Asks for an answer and waits for it until the deadline.
    ///
    /// # Errors
    /// The queue is full, the deadline passes, or the model fails.
    pub(crate) async fn ask(&self, request: CarefulRequest) -> Result<CarefulAnswer, ScoreFailure> {
        let deadline = request.deadline;
        let (reply, answer) = oneshot::channel();
        self.queue.push(Waiting { request, queued: Instant::now(), reply }).map_err(|refused| match refused {
            Refused::Full(_) => ScoreFailure::Overloaded,
            Refused::Closed(_) => ScoreFailure::Inference,
        })?;
        match tokio::time::timeout_at(deadline, answer).await {
            Err(_) => Err(ScoreFailure::Deadline),
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "the careful scorer failed");
                Err(ScoreFailure::Inference)
            }
            // The entry was dropped unanswered: its deadline had passed in the queue, or the workers are gone.
            Ok(Err(_)) if Instant::now() >= deadline => Err(ScoreFailure::Deadline),
            Ok(Err(_)) => Err(ScoreFailure::Inference),
        }
    }

    /// How many prompts wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Closes the queue when a worker ends, however it ends, so that callers fail at once and do not wait for nobody.
struct CloseOnEnd<'a>(&'a Queue<Waiting>);

impl Drop for CloseOnEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn work(mut worker: Worker, queue: &Queue<Waiting>, limits: &BatchLimits) {
    let _closing = CloseOnEnd(queue);
    while let Some(batch) = queue.take_batch(limits) {
        let taken = Instant::now();
        let answered = catch_unwind(AssertUnwindSafe(|| worker.answer(&batch)));
        let died = answered.is_err();
        let answered = answered.unwrap_or_else(|payload| Err(InferenceError::Panicked(panic_text(&*payload))));
        send(batch, answered, taken);
        if died {
            // What a library left behind after unwinding is not to be trusted with another prompt.
            tracing::error!("a careful scoring worker stopped, its queue is closed");
            return;
        }
    }
}

struct Answered {
    outputs: Vec<HeadOutput>,
    encode: Duration,
    heads: Duration,
}

impl Worker {
    fn answer(&mut self, batch: &[Waiting]) -> Result<Answered, InferenceError> {
        let start = Instant::now();
        let tokens: Vec<&[i64]> = batch.iter().map(|waiting| waiting.request.tokens.as_slice()).collect();
        let embeddings = self.encoder.embed(&tokens)?;
        let encode = start.elapsed();
        let start = Instant::now();
        // A prompt without a direction is not expected here; it gets the heads' answer to nothing.
        let nothing = vec![0.0; self.encoder.dimension()];
        let inputs = embeddings.iter().zip(batch).map(|(embedding, waiting)| HeadInput {
            embedding: embedding.as_ref().map_or(nothing.as_slice(), |embedding| embedding.as_slice()),
            signals: &waiting.request.signals,
        });
        let outputs = self.heads.score(&inputs.collect::<Vec<_>>())?;
        Ok(Answered { outputs, encode, heads: start.elapsed() })
    }
}

fn send(batch: Vec<Waiting>, answered: Result<Answered, InferenceError>, taken: Instant) {
    match answered {
        Ok(Answered { outputs, encode, heads }) => {
            for (waiting, output) in batch.into_iter().zip(outputs) {
                let queue = taken.duration_since(waiting.queued);
                // A caller that left meanwhile does not mind.
                let _ = waiting.reply.send(Ok(CarefulAnswer { output, queue, encode, heads }));
            }
        }
        Err(error) => {
            let text = error.to_string();
            tracing::warn!(prompts = batch.len(), error = text, "a careful batch failed");
            for waiting in batch {
                let _ = waiting.reply.send(Err(InferenceError::WorkerGone));
            }
        }
    }
}

#[cfg(test)]
mod tests;
