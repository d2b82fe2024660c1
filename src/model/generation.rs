//! A bundle that was verified, loaded and warmed and can score.

mod prepare;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::domain::baseline::Baseline;
use crate::domain::calibration::Dial;
use crate::domain::candidate::Candidate;
use crate::domain::decide::Learned;
use crate::domain::embedding::Embedding;
use crate::domain::familiarity::{Familiarity, Known};
use crate::domain::ids::BundleId;
use crate::domain::language::Language;
use crate::domain::neighbour::Neighbour;
use crate::domain::operating::OperatingPoints;
use crate::domain::prompt::Prompt;
use crate::domain::scores::{Edition, LabelSpace, Neighbourhood, ScoreFailure, ScoreTimings, Scorer, Scores};
use crate::model::blend;
use crate::model::engine::{CarefulRequest, Engine};
use crate::model::error::{InferenceError, panic_text};
use crate::model::fast::{Reading, Slot, SlotPool};
use crate::model::heads::{HeadInput, SIGNALS};
use crate::model::index::{FreshItem, NeighbourIndex};
use crate::model::manifest::{Calibration, Manifest};
use crate::model::session::Placement;
use crate::model::tokenize::{TokenBuffer, Tokenizer};

pub use prepare::PrepareSettings;

/// Everything one bundle needs to score. Immutable but for fresh feedback; a request holds one and sees no other.
#[derive(Debug)]
pub struct Generation {
    manifest: Manifest,
    labels: LabelSpace,
    calibration: Calibration,
    baseline: Option<Baseline>,
    operating: Option<OperatingPoints>,
    known: Known,
    tokenizer: Tokenizer,
    slots: SlotPool,
    index: NeighbourIndex,
    careful: Result<Careful, CarefulStatus>,
}

/// The careful scorer of a generation.
#[derive(Debug)]
struct Careful {
    tokenizer: Tokenizer,
    engine: Engine,
    calibration: Calibration,
    placement: Placement,
}

/// Whether a generation can score carefully, and if not, why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarefulStatus {
    /// It can.
    Ready {
        /// Where its encoder computes.
        placement: Placement,
    },
    /// The bundle has no careful scorer.
    NotTrained,
    /// It was switched off by configuration.
    Off,
    /// The bundle has one, but its encoder cannot be used here.
    NotInstalled {
        /// Why, and what to do.
        problem: String,
    },
}

impl Generation {
    /// The bundle's name.
    #[must_use]
    pub const fn id(&self) -> &BundleId {
        &self.manifest.id
    }

    /// What the bundle is.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What its labels refer to.
    #[must_use]
    pub const fn labels(&self) -> &LabelSpace {
        &self.labels
    }

    /// Its calibration.
    #[must_use]
    pub const fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// What its calibration prompts looked like, where the bundle says so.
    #[must_use]
    pub const fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// What settings of the dial bought on prompts that training never saw, where the bundle says so.
    #[must_use]
    pub const fn operating(&self) -> Option<&OperatingPoints> {
        self.operating.as_ref()
    }

    /// What a decision needs to know of it.
    #[must_use]
    pub const fn learned(&self) -> Learned<'_> {
        Learned { bundle: &self.manifest.id, labels: &self.labels, dial: &self.calibration.dial }
    }

    /// The dial for these models: made from the bundle's sample prompts where it has some, else the bundle's own.
    #[must_use]
    pub fn dial_for(&self, candidates: &[Candidate]) -> Dial {
        let made = self.calibration.sample.dial(&self.labels, candidates);
        made.unwrap_or_else(|| self.calibration.dial.clone())
    }

    /// Its neighbour index.
    #[must_use]
    pub const fn index(&self) -> &NeighbourIndex {
        &self.index
    }

    /// Adds a labelled prompt that the next request already finds. False if its embedding is from another encoder.
    pub fn add_feedback(&self, item: FreshItem) -> bool {
        item.embedding.dimension() == self.manifest.encoder.dimension && self.index.add(item)
    }

    /// What its scores are made from now. Scores depend on this, on the ask and on whether it was cut, and on nothing else of a request:
    /// the decision cache relies on it, so read it before scoring.
    #[must_use]
    pub fn edition(&self) -> Edition {
        self.index.edition()
    }

    /// Whether it can score carefully.
    #[must_use]
    pub fn careful_status(&self) -> CarefulStatus {
        match &self.careful {
            Ok(careful) => CarefulStatus::Ready { placement: careful.placement.clone() },
            Err(status) => status.clone(),
        }
    }

    /// How many prompts wait for the careful scorer.
    #[must_use]
    pub fn careful_waiting(&self) -> usize {
        self.careful.as_ref().map_or(0, |careful| careful.engine.waiting())
    }

    /// Scores a prompt on the calling thread: tens to hundreds of microseconds, no waiting but for a free slot.
    ///
    /// # Errors
    /// The ask is empty or in words that the encoder does not know, or the model failed. A failure is evidence for the decision, never an error of the call.
    pub fn score(&self, prompt: &Prompt) -> Result<Scores, ScoreFailure> {
        let found = self.read(prompt)?;
        Ok(self.calibrate(found, (Scorer::Fast, &self.calibration), Seen::of(prompt)))
    }

    /// The fast embedding of a prompt. `None` where it has no tokens, where it has more than the encoder reads, and where the model failed:
    /// whoever compares embeddings is not told half of a text.
    #[must_use]
    pub fn embed(&self, prompt: &Prompt) -> Option<Embedding> {
        let embedded = catch_unwind(AssertUnwindSafe(|| {
            let mut slot = self.slots.take().ok_or(InferenceError::WorkerGone)?;
            let embedded = slot.embed(&self.tokenizer, &prompt.ask)?;
            Ok(embedded.filter(|_| !slot.tokens.truncated()).map(|(embedding, _)| embedding))
        }));
        let embedded = embedded.unwrap_or_else(|payload| Err(InferenceError::Panicked(panic_text(&*payload))));
        embedded.map_err(|error| failed(&error)).ok().flatten().filter(|_| !prompt.truncated)
    }

    /// Scores that this generation made, as they would be now: the neighbours are looked for again, and what they have no part in is taken over. Takes as long
    /// as a search does, with nothing of the prompt but its embedding.
    ///
    /// # Errors
    /// The search failed, or the scores are of a careful scorer that is not there.
    pub fn refresh(&self, scores: &Scores) -> Result<Scores, ScoreFailure> {
        let calibration = match scores.scorer {
            Scorer::Fast => &self.calibration,
            Scorer::Careful => &self.careful.as_ref().map_err(|_| ScoreFailure::Inference)?.calibration,
        };
        let start = Instant::now();
        let found = catch_unwind(AssertUnwindSafe(|| {
            let mut slot = self.slots.take().ok_or(InferenceError::WorkerGone)?;
            Ok(self.index.nearest(&scores.embedding, self.calibration.blend.k, &mut slot.scratch))
        }));
        let found = found.unwrap_or_else(|payload| Err(InferenceError::Panicked(panic_text(&*payload))));
        let mut fresh = self.weigh(scores.clone(), calibration, found.map_err(|error| failed(&error))?);
        fresh.timings = ScoreTimings { neighbours: start.elapsed(), ..ScoreTimings::default() };
        Ok(fresh)
    }

    /// Scores a prompt of which only the fast embedding and the structural signals were kept, as the records of a server have it.
    ///
    /// # Errors
    /// The embedding is of another length, or the model failed.
    pub fn score_kept(&self, embedding: Embedding, signals: &[f32; SIGNALS]) -> Result<Scores, ScoreFailure> {
        if embedding.dimension() != self.manifest.encoder.dimension {
            return Err(ScoreFailure::UnknownText);
        }
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut slot = self.slots.take().ok_or(InferenceError::WorkerGone)?;
            let outputs = slot.heads.score(&[HeadInput { embedding: embedding.as_slice(), signals }])?;
            let output = outputs.into_iter().next().ok_or(InferenceError::WorkerGone)?;
            let timings = ScoreTimings::default();
            let reading = Reading { embedding, output, tokens: 0, unknown: 0, truncated: false, timings };
            Ok(self.with_neighbours(&mut slot, reading))
        }));
        let read = read.unwrap_or_else(|payload| Err(InferenceError::Panicked(panic_text(&*payload))));
        let found = read.map_err(|error| failed(&error))?;
        Ok(self.calibrate(found, (Scorer::Fast, &self.calibration), Seen::default()))
    }

    /// Scores a prompt with the careful encoder and heads, and the neighbours of its fast embedding. Milliseconds, in a worker thread.
    ///
    /// Tokenising and the neighbour search run on the calling thread first, for as long as [`Generation::score`] takes.
    ///
    /// # Errors
    /// The ask is empty, the queue is full, the deadline passes, the model fails, or there is no careful scorer
    /// ([`Generation::careful_status`] says why), which reads as a failure of inference.
    pub async fn score_carefully(
        &self,
        prompt: &Prompt,
        deadline: tokio::time::Instant,
    ) -> Result<Scores, ScoreFailure> {
        let careful = self.careful.as_ref().map_err(|_| ScoreFailure::Inference)?;
        let mut found = self.read(prompt)?;
        let mut buffer = TokenBuffer::default();
        let start = Instant::now();
        careful.tokenizer.tokenize(&prompt.ask, &mut buffer).map_err(|error| failed(&error))?;
        found.reading.timings.tokenize += start.elapsed();
        (found.reading.tokens, found.reading.unknown) = (buffer.text_tokens(), buffer.unknown());
        found.reading.truncated = buffer.truncated();
        let request = CarefulRequest { tokens: buffer.ids().to_vec(), signals: prompt.signals.features(), deadline };
        let answer = careful.engine.ask(request).await?;
        found.reading.timings.queue = answer.queue;
        found.reading.timings.encode += answer.encode;
        found.reading.timings.heads += answer.heads;
        found.reading.output = answer.output;
        Ok(self.calibrate(found, (Scorer::Careful, &careful.calibration), Seen::of(prompt)))
    }

    /// Reads a prompt with the fast scorer and finds its neighbours. Nothing that unwinds inside a library gets out of here.
    fn read(&self, prompt: &Prompt) -> Result<Found, ScoreFailure> {
        let signals = prompt.signals.features();
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut slot = self.slots.take().ok_or(InferenceError::WorkerGone)?;
            let reading = slot.read(&self.tokenizer, &prompt.ask, &signals)?;
            Ok(reading.map(|reading| self.with_neighbours(&mut slot, reading)))
        }));
        let read = read.unwrap_or_else(|payload| Err(InferenceError::Panicked(panic_text(&*payload))));
        let nothing = if prompt.ask.trim().is_empty() { ScoreFailure::EmptyAsk } else { ScoreFailure::UnknownText };
        read.map_err(|error| failed(&error))?.ok_or(nothing)
    }

    fn with_neighbours(&self, slot: &mut Slot, mut reading: Reading) -> Found {
        let start = Instant::now();
        let neighbours = self.index.nearest(&reading.embedding, self.calibration.blend.k, &mut slot.scratch);
        reading.timings.neighbours = start.elapsed();
        Found { reading, neighbours }
    }
}

/// What was seen of a prompt before it came here.
#[derive(Clone, Copy, Default)]
struct Seen {
    language: Language,
    truncated: bool,
}

impl Seen {
    fn of(prompt: &Prompt) -> Self {
        Self { language: Language::of(&prompt.ask), truncated: prompt.truncated }
    }
}

/// What was read off a prompt, before calibration.
struct Found {
    reading: Reading,
    neighbours: Vec<Neighbour>,
}

impl Generation {
    fn calibrate(&self, found: Found, (scorer, calibration): (Scorer, &Calibration), seen: Seen) -> Scores {
        let start = Instant::now();
        let Found { reading, neighbours } = found;
        let Reading { embedding, output, tokens, unknown, truncated, timings } = reading;
        let familiarity = Familiarity {
            language: seen.language,
            unknown_share: unknown as f64 / tokens.max(1) as f64,
            ..Familiarity::default()
        };
        let read = Scores {
            scorer,
            tasks: blend::tasks(&output, calibration),
            difficulty: calibration.difficulty.apply(f64::from(output.difficulty)),
            prior: blend::prior(&output, calibration),
            success: Vec::new(),
            output_tokens: blend::output_tokens(&output),
            neighbourhood: Neighbourhood::default(),
            familiarity,
            tokens,
            truncated: truncated || seen.truncated,
            timings,
            embedding,
        };
        let mut scores = self.weigh(read, calibration, neighbours);
        scores.timings.neighbours += start.elapsed();
        scores
    }

    /// Lets neighbours have their say in what was read off a prompt.
    fn weigh(&self, read: Scores, calibration: &Calibration, neighbours: Vec<Neighbour>) -> Scores {
        let success = blend::success(&read.prior, calibration, &neighbours);
        let heads = read.prior.iter().take(self.labels.tiers().len());
        let moved = success.iter().zip(heads).map(|(after, before)| (after.mean.get() - before.get()).abs());
        let mut familiarity = Familiarity { disagreement: moved.fold(0.0, f64::max), ..read.familiarity };
        let neighbourhood = blend::neighbourhood(neighbours);
        familiarity.unfamiliar = self.known.judge(familiarity, neighbourhood.density, read.tokens);
        Scores { success, neighbourhood, familiarity, ..read }
    }
}

fn failed(error: &InferenceError) -> ScoreFailure {
    tracing::warn!(%error, "scoring failed");
    ScoreFailure::Inference
}

#[cfg(test)]
mod tests;
