//! Preparing a generation: everything that can fail does so here, before anything is replaced.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::domain::candidate::Candidate;
use crate::domain::familiarity::Known;
use crate::domain::operating::OperatingPoints;
use crate::domain::signals::Signals;
use crate::domain::task::Task;
use crate::domain::unknown::Market;
use crate::model::bundle::{Bundle, EncoderDirectory, GOLDEN_FILE, MARKET_FILE};
use crate::model::encoder::{Encoder, GRAPH_FILE};
use crate::model::engine::{Engine, EngineSettings, Worker};
use crate::model::error::{InferenceError, PrepareError, panic_text};
use crate::model::fast::{Reading, Slot, SlotPool};
use crate::model::generation::{Careful, CarefulStatus, Generation};
use crate::model::heads::{Heads, HeadsShape};
use crate::model::index::{CALLER_SHARE, NeighbourIndex, SearchScratch};
use crate::model::manifest::{Calibration, CarefulRef, GoldenRow, HeadsRef};
use crate::model::session::Device;
use crate::model::tokenize::{TokenBuffer, Tokenizer};

/// How far a golden embedding may be off in each number. Covers other processors and precisions, not another encoder.
const EMBEDDING_TOLERANCE: f32 = 1e-3;

/// How far a golden logit may be off.
const LOGIT_TOLERANCE: f32 = 1e-2;

/// What to prepare and how.
#[derive(Clone, Debug)]
pub struct PrepareSettings {
    /// The bundle directory.
    pub bundle: PathBuf,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// Where a transformer encoder computes. A static one always computes on the processor.
    pub device: Device,
    /// How many threads can score fast at once.
    pub slots: NonZeroUsize,
    /// The careful scorer, unless it is switched off.
    pub careful: Option<EngineSettings>,
    /// The most of the fresh feedback in the index that one caller's may be, as a share of all, above 0 and at most 1.
    pub caller_share: f64,
    /// The models that will be chosen among, for which the dial is made. Without any the dial is the bundle's own.
    pub candidates: Vec<Candidate>,
}

impl PrepareSettings {
    /// The usual settings: on the processor, a slot per thread the machine runs at once, one careful worker.
    #[must_use]
    pub fn new(bundle: &Path, models: &Path) -> Self {
        Self {
            bundle: bundle.to_path_buf(),
            models: models.to_path_buf(),
            device: Device::Cpu,
            slots: SlotPool::default_size(),
            careful: Some(EngineSettings::default()),
            caller_share: CALLER_SHARE,
            candidates: Vec::new(),
        }
    }
}

impl Generation {
    /// Verifies, loads, checks and warms a bundle. Blocks for up to a second or so: call it where blocking is allowed.
    ///
    /// A bundle with a careful scorer whose encoder is not installed is prepared without it; see [`Generation::careful_status`].
    ///
    /// # Errors
    /// Anything about the bundle that is missing, altered, foreign, contradictory or not as it answered when it was made.
    pub fn prepare(settings: &PrepareSettings) -> Result<Self, PrepareError> {
        // A library that unwinds on a bundle must not take the caller with it.
        let prepared = catch_unwind(AssertUnwindSafe(|| prepare(settings)));
        prepared.unwrap_or_else(|payload| {
            Err(PrepareError::Defect { path: settings.bundle.clone(), problem: panic_text(&*payload) })
        })
    }
}

fn prepare(settings: &PrepareSettings) -> Result<Generation, PrepareError> {
    let bundle = Bundle::open(&settings.bundle)?;
    let manifest = bundle.manifest();
    let encoder = bundle.encoder(&manifest.encoder, &settings.models)?;
    let scorer = Part { bundle: &bundle, encoder: &encoder, heads: &manifest.heads, device: settings.device };
    let calibration = scorer.calibration()?;
    let labels = bundle.label_space().with_market(market(&bundle)?);
    let index = match &manifest.index {
        Some(index) if index.dimension > manifest.encoder.dimension => {
            let what = format!("`{}`", index.vectors);
            return Err(PrepareError::Dimension { what, expected: manifest.encoder.dimension, found: index.dimension });
        }
        Some(index) => NeighbourIndex::open(&bundle, index, labels.len())?,
        None => NeighbourIndex::empty(manifest.encoder.dimension),
    };
    let index = index.with_caller_share(settings.caller_share);
    let tokenizer = Tokenizer::open(&encoder)?;
    let sessions = scorer.sessions(settings.slots)?.into_iter();
    let slot =
        |(encoder, heads)| Slot { encoder, heads, tokens: TokenBuffer::default(), scratch: SearchScratch::default() };
    let mut slots: Vec<Slot> = sessions.map(slot).collect();
    if let Some(first) = slots.first_mut() {
        check_golden(&bundle, &tokenizer, first)?;
    }
    for slot in &mut slots {
        warm(&tokenizer, slot, &index)?;
    }
    let careful = careful(&bundle, settings)?;
    let baseline = bundle.baseline()?;
    let operating = operating(&bundle);
    let known = Known::of(baseline.as_ref());
    let manifest = manifest.clone();
    let mut generation = Generation {
        manifest,
        labels,
        calibration,
        baseline,
        operating,
        known,
        tokenizer,
        slots: SlotPool::new(slots),
        index,
        careful,
    };
    generation.calibration.dial = generation.dial_for(&settings.candidates);
    Ok(generation)
}

/// The operating points. They decide nothing, so that a bundle serves without those that cannot be read.
fn operating(bundle: &Bundle) -> Option<OperatingPoints> {
    let read = bundle.operating();
    read.inspect_err(|error| tracing::warn!(%error, "going on without the bundle's operating points")).ok().flatten()
}

/// The points of comparison for models without labels, where the bundle has some.
fn market(bundle: &Bundle) -> Result<Option<Market>, PrepareError> {
    if !bundle.lists(MARKET_FILE) {
        return Ok(None);
    }
    let market: Market = bundle.read_json(MARKET_FILE)?;
    let problem = || "a number in it is not finite, or a price is not positive".to_owned();
    let unusable = || PrepareError::Inconsistent { file: MARKET_FILE.to_owned(), problem: problem() };
    if market.is_valid() { Ok(Some(market)) } else { Err(unusable()) }
}

/// One scorer of a bundle: its encoder, its heads and what belongs to them.
struct Part<'a> {
    bundle: &'a Bundle,
    encoder: &'a EncoderDirectory,
    heads: &'a HeadsRef,
    device: Device,
}

impl Part<'_> {
    /// Reads the calibration and checks that it is sound and was fitted for these heads and this index.
    fn calibration(&self) -> Result<Calibration, PrepareError> {
        let file = &self.heads.calibration;
        let unusable = |problem: String| Err(PrepareError::Calibration { file: file.clone(), problem });
        let calibration: Calibration = self.bundle.read_json(file)?;
        let manifest = self.bundle.manifest();
        if calibration.heads != self.bundle.digest(&self.heads.path)? {
            return unusable(format!("it was fitted for other heads than `{}`", self.heads.path));
        }
        let index = manifest.index.as_ref().map(|index| self.bundle.digest(&index.vectors)).transpose()?;
        if calibration.index.as_deref() != index {
            return unusable("it was fitted for another neighbour index".to_owned());
        }
        let positions = self.bundle.label_space().len();
        if calibration.success.len() != positions {
            return unusable(format!(
                "it has {} maps, the bundle has {positions} tiers and models",
                calibration.success.len()
            ));
        }
        for (position, map) in calibration.success.iter().chain([&calibration.difficulty]).enumerate() {
            if let Err(error) = map.check() {
                return unusable(format!("map {position}: {error}"));
            }
        }
        let blend = &calibration.blend;
        let sound = blend.prior_strength.is_finite()
            && blend.prior_strength > 0.0
            && (-1.0..1.0).contains(&blend.floor)
            && blend.power.is_finite()
            && blend.power >= 0.0
            && calibration.task_temperature.is_finite()
            && calibration.task_temperature > 0.0;
        if !sound {
            return unusable("a number of the blend or the task temperature is out of range".to_owned());
        }
        if !calibration.dial.is_valid() {
            return unusable("the dial's thresholds increase or are not finite".to_owned());
        }
        if !calibration.sample.is_valid(positions) {
            return unusable(format!("a row of the dial's sample is no list of at most {positions} probabilities"));
        }
        Ok(calibration)
    }

    /// Opens encoder and heads for that many threads. The graphs are read once.
    fn sessions(&self, count: NonZeroUsize) -> Result<Vec<(Encoder, Heads)>, PrepareError> {
        let (graph, heads) = (self.encoder.read(GRAPH_FILE)?, self.bundle.read(&self.heads.path)?);
        let shape = HeadsShape {
            dimension: self.encoder.description().dimension,
            tasks: Task::ALL.len(),
            positions: self.bundle.label_space().len(),
        };
        let encoder = Encoder::from_bytes(self.encoder, self.device, &graph)?;
        let first = (encoder, Heads::open(&self.heads.path, &heads, shape)?);
        let another = || -> Result<_, PrepareError> {
            let encoder = first.0.another(self.device, &graph)?;
            Ok((encoder, first.1.another(&self.heads.path, &heads)?))
        };
        let others: Vec<(Encoder, Heads)> = (1..count.get()).map(|_| another()).collect::<Result<_, _>>()?;
        Ok(std::iter::once(first).chain(others).collect())
    }
}

fn careful(bundle: &Bundle, settings: &PrepareSettings) -> Result<Result<Careful, CarefulStatus>, PrepareError> {
    let Some(CarefulRef { encoder, heads }) = &bundle.manifest().careful else {
        return Ok(Err(CarefulStatus::NotTrained));
    };
    let Some(engine) = &settings.careful else { return Ok(Err(CarefulStatus::Off)) };
    let encoder = match bundle.encoder(encoder, &settings.models) {
        Ok(encoder) => encoder,
        Err(error) => {
            tracing::info!(bundle = %bundle.manifest().id, %error, "scoring without the careful scorer");
            return Ok(Err(CarefulStatus::NotInstalled { problem: error.to_string() }));
        }
    };
    let scorer = Part { bundle, encoder: &encoder, heads, device: settings.device };
    let calibration = scorer.calibration()?;
    let tokenizer = Tokenizer::open(&encoder)?;
    let sessions = scorer.sessions(engine.workers)?.into_iter();
    let mut workers: Vec<Worker> = sessions.map(|(encoder, heads)| Worker { encoder, heads }).collect();
    let placement = workers.first().map(|worker| worker.encoder.placement().clone());
    let mut buffer = TokenBuffer::default();
    tokenizer.tokenize(&long_text(tokenizer.max_tokens()), &mut buffer)?;
    for worker in &mut workers {
        worker.encoder.embed(&[buffer.ids()])?;
    }
    let started = Engine::start(workers, engine).map_err(PrepareError::io(bundle.directory()))?;
    let placement = placement.unwrap_or(crate::model::session::Placement::Cpu);
    Ok(Ok(Careful { tokenizer, engine: started, calibration, placement }))
}

/// Checks that the bundle answers its golden rows as it did when it was made.
fn check_golden(bundle: &Bundle, tokenizer: &Tokenizer, slot: &mut Slot) -> Result<(), PrepareError> {
    let rows: Vec<GoldenRow> = bundle.read_json_lines(GOLDEN_FILE)?;
    for (row, golden) in (1_usize..).zip(&rows) {
        let differs = |problem: String| PrepareError::Golden { row, problem };
        let signals = Signals::of(&golden.prompt).features();
        let reading = slot.read(tokenizer, &golden.prompt, &signals)?;
        let reading = reading.ok_or_else(|| differs("it has no tokens".to_owned()))?;
        compare(golden, &reading, bundle.manifest().tiers.len()).map_err(differs)?;
    }
    if rows.is_empty() {
        let problem = "there are no golden rows".to_owned();
        return Err(PrepareError::Golden { row: 0, problem });
    }
    Ok(())
}

fn compare(golden: &GoldenRow, reading: &Reading, tiers: usize) -> Result<(), String> {
    if reading.tokens != golden.tokens {
        return Err(format!("it has {} tokens, expected {}", reading.tokens, golden.tokens));
    }
    close("embedding", (&golden.embedding, reading.embedding.as_slice()), EMBEDDING_TOLERANCE)?;
    if golden.tier_logits.len() != tiers {
        return Err(format!("it has {} tier logits, the bundle has {tiers} tiers", golden.tier_logits.len()));
    }
    close("tier logits", (&golden.tier_logits, &reading.output.success), LOGIT_TOLERANCE)?;
    let logits = Task::ALL.iter().zip(&reading.output.task);
    let task = logits.max_by(|a, b| a.1.total_cmp(b.1)).map_or(Task::Other, |(&task, _)| task);
    if task == golden.task {
        Ok(())
    } else {
        Err(format!("its task is {}, expected {}", task.as_str(), golden.task.as_str()))
    }
}

fn close(what: &str, (expected, found): (&[f32], &[f32]), tolerance: f32) -> Result<(), String> {
    let off = expected.iter().zip(found).position(|(expected, found)| (expected - found).abs() > tolerance);
    match off {
        Some(at) => Err(format!("number {at} of its {what} is off by more than {tolerance}")),
        None if expected.is_empty() || expected.len() > found.len() => Err(format!("it has no comparable {what}")),
        None => Ok(()),
    }
}

/// Runs the longest prompt once, so that the first request does not pay for memory and caches.
fn warm(tokenizer: &Tokenizer, slot: &mut Slot, index: &NeighbourIndex) -> Result<(), InferenceError> {
    let text = long_text(tokenizer.max_tokens());
    let reading = slot.read(tokenizer, &text, &Signals::of(&text).features())?;
    if let Some(reading) = reading {
        let _ = index.nearest(&reading.embedding, 64, &mut slot.scratch);
    }
    Ok(())
}

fn long_text(tokens: usize) -> String {
    "what is it? ".repeat(tokens.div_ceil(3))
}
