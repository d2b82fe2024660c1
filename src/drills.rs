//! Fire drills: a tiny call to each target by itself, now and then, so that a way out that nobody needed for long is known to be there.
//!
//! A drill goes past policies, caches and records of callers, within a cap of what drills may cost in 24 hours. Breakers learn from it: one that
//! works may close a breaker, one that fails counts. What it found is shown, counted, and logged where it changed.

mod keep;
mod paths;
mod table;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::api::Api;
use crate::domain::money::{NanoUsd, Usage};
use crate::domain::outcome::Outcome;
use crate::domain::resilience::{Allowance, RetrySettings};
pub use crate::drills::paths::{Chain, Paths, StepView};
use crate::drills::paths::{question, steps, text};
pub use crate::drills::table::{DrillView, PathState, Way};
use crate::drills::table::{Reservation, Table};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::drills::{DrillFigures, DrillResult, DrilledTarget};
use crate::upstream::books::Books;
use crate::upstream::budget::Traffic;
use crate::upstream::dispatch::{Care, Expects, Outgoing, Plan, Reader, Target, dispatch};

/// Targets that are called at once.
const AT_ONCE: usize = 4;
/// The most tokens that a drill asks for. Some models think before they speak, and refuse to begin with less.
const OUTPUT_TOKENS: u64 = 64;
/// About what the question costs in tokens, with the frame of a chat template around it.
const INPUT_TOKENS: u64 = 24;

/// When drills are made, and what they may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrillSettings {
    /// Whether they are made by themselves.
    pub schedule: Schedule,
    /// The longest that one may take.
    pub timeout: Duration,
    /// The most that all of them may cost in 24 hours, by configured prices.
    pub daily_cap: NanoUsd,
}

/// When drills are made by themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Never.
    Off,
    /// So long after one another, longer or shorter by up to this share, 0 to 1.
    Every(Duration, f64),
}

impl Schedule {
    /// The pause before the next drill for a draw from 0 to 1.
    #[must_use]
    pub fn pause(self, draw: f64) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Every(every, jitter) => Some(every.mul_f64((1.0 + jitter * (2.0 * draw - 1.0)).max(0.0))),
        }
    }
}

/// The drills of a server.
pub struct Drills {
    settings: DrillSettings,
    /// Those of chat models, then those of embedding models.
    targets: Vec<Arc<Target>>,
    chat: usize,
    chains: Vec<Chain>,
    metrics: Arc<Metrics>,
    /// Of their own, so that drills take nothing from the budgets of callers.
    traffic: Arc<Traffic>,
    table: Mutex<Table>,
    running: AtomicBool,
    /// Where it is kept what they find and cost.
    file: Option<PathBuf>,
}

/// Another drill is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a drill is under way; ask GET /admin/drills for what it finds")]
pub struct Busy;

/// How the drills stand.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillsView {
    /// Whether one is under way.
    pub running: bool,
    /// What drills cost in the present 24 hours.
    pub spent: NanoUsd,
    /// Every target with its last drill.
    pub targets: Vec<DrillView>,
    /// Every step of the policies' own chains.
    pub steps: Vec<StepView>,
}

impl fmt::Debug for Drills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drills").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Drills {
    /// Drills of these targets. None was made yet.
    #[must_use]
    pub fn new(settings: DrillSettings, paths: Paths, metrics: Arc<Metrics>) -> Self {
        let (chat, chains) = (paths.chat.len(), paths.chains);
        let targets: Vec<Arc<Target>> = paths.chat.into_iter().chain(paths.embeddings).collect();
        let nothing = Allowance { share: 0.0, burst: 0.0 };
        let table = Mutex::new(Table::new(targets.len(), Instant::now()));
        let traffic = Arc::new(Traffic::new(nothing, nothing, settings.timeout));
        let running = AtomicBool::new(false);
        Self { settings, targets, chat, chains, metrics, traffic, table, running, file: None }
    }

    /// The same, going on with what a file holds, and writing it after each round. A file that cannot be read is said so in the log and left out.
    #[must_use]
    pub fn kept_in(mut self, file: PathBuf) -> Self {
        match keep::read(&file) {
            Ok(Some(kept)) => self.table().resume(&kept, (&self.targets, Instant::now())),
            Ok(None) => {}
            Err(problem) => tracing::warn!(problem, "drills are counted from the start"),
        }
        self.file = Some(file);
        self.show();
        self
    }

    /// Sets the gauges to what is known.
    fn show(&self) {
        let view = self.view();
        for (target, view) in self.targets.iter().zip(&view.targets) {
            self.metrics.drill_found(&labels(target), broken(view.state));
        }
        for StepView { policy, step, state } in view.steps {
            self.metrics.drill_path((policy, step), broken(state));
        }
    }

    async fn keep(&self) {
        let Some(file) = self.file.clone() else { return };
        let kept = self.table().kept(&self.targets, Instant::now());
        // Writing blocks, so it happens where blocking is allowed.
        match tokio::task::spawn_blocking(move || keep::write(&file, &kept)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "what drills found was not kept; make the store's directory writable");
            }
            Err(error) => tracing::error!(%error, "keeping what drills found failed inside"),
        }
    }

    /// When they are made, and what they may cost.
    #[must_use]
    pub const fn settings(&self) -> &DrillSettings {
        &self.settings
    }

    /// Every target, in the order of the views.
    #[must_use]
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// How they stand.
    #[must_use]
    pub fn view(&self) -> DrillsView {
        let now = Instant::now();
        let mut table = self.table();
        let (spent, targets) = (table.spent(now), table.views());
        drop(table);
        let steps = steps(&self.chains, (&self.targets, &targets));
        DrillsView { running: self.running.load(Ordering::Relaxed), spent, targets, steps }
    }

    /// Makes drills as scheduled until `stop`. One that is under way then is cut, finds nothing, and is taken to have cost what it may.
    pub async fn keep_on(&self, draw: impl Fn() -> f64 + Send, stop: CancellationToken) {
        let rounds = async {
            while let Some(pause) = self.settings.schedule.pause(draw()) {
                tokio::time::sleep(pause).await;
                match self.round().await {
                    // One that was asked for meanwhile is as good.
                    Ok(()) | Err(Busy) => {}
                }
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Calls every target once. Dropping the future cuts what is under way.
    ///
    /// # Errors
    /// While another drill is under way.
    pub async fn round(&self) -> Result<(), Busy> {
        if self.running.swap(true, Ordering::Acquire) {
            return Err(Busy);
        }
        let _over = Over(&self.running);
        stream::iter(0..self.targets.len()).for_each_concurrent(AT_ONCE, |at| self.one(at)).await;
        self.show();
        self.keep().await;
        Ok(())
    }

    async fn one(&self, at: usize) {
        let Some(target) = self.targets.get(at) else { return };
        // What it may cost at most is set aside first, so that drills at the same time cannot exceed the cap together.
        let most = Usage { input_tokens: INPUT_TOKENS, output_tokens: OUTPUT_TOKENS, ..Usage::default() };
        let most = target.price.map_or(NanoUsd::ZERO, |price| price.cost(&most));
        let Some(money) = self.table().reserve(most, self.settings.daily_cap, Instant::now()) else {
            self.table().over_budget(at);
            self.figures(target, DrillResult::OverBudget, NanoUsd::ZERO);
            return;
        };
        let mut reserved = Reserved { drills: self, money, cost: most };
        let way = self.table().next_way(at);
        let asks = if at < self.chat { Asks::Chat(way) } else { Asks::Embeddings };
        let Some(outcome) = self.call(target, asks).await else { return };
        // The provider bills a call that is cut as well, and so one that did not answer in time.
        let unanswered = if outcome.total < self.settings.timeout { NanoUsd::ZERO } else { most };
        reserved.cost = outcome.cost.unwrap_or(unanswered);
        drop(reserved);
        self.note(at, target, (&outcome, asks));
    }

    /// One call, whose outcome is what its books say.
    async fn call(&self, target: &Arc<Target>, asks: Asks) -> Option<Outcome> {
        let begun = Instant::now();
        let found = Arc::new(Mutex::new(None));
        let books = {
            let found = Arc::clone(&found);
            Books::open(begun, move |outcome| *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome))
        };
        let once = RetrySettings { per_target: 1, total: 1, ..RetrySettings::default() };
        let plan = Plan {
            targets: vec![Arc::clone(target)],
            deadline: begun + self.settings.timeout,
            retry: once,
            jitter: 0.0,
            care: Care::NONE,
            traffic: Arc::clone(&self.traffic),
        };
        let body = |upstream_model: &str, _: Reader| match asks {
            Asks::Chat(way) => question(upstream_model, way),
            Asks::Embeddings => text(upstream_model),
        };
        let (path, expects) = match asks {
            Asks::Chat(_) => ("/chat/completions", Expects::Completion),
            Asks::Embeddings => ("/embeddings", Expects::Embeddings),
        };
        let outgoing = Outgoing {
            path,
            expects,
            api: match asks {
                Asks::Chat(_) => Api::Chat,
                Asks::Embeddings => Api::Embeddings,
            },
            stream: asks == Asks::Chat(Way::Stream),
            wants_usage: false,
            body: &body,
            request_id: "trimtab-drill",
            prompt_tokens: INPUT_TOKENS,
        };
        if let Ok(mut answer) = Box::pin(dispatch(plan, &outgoing, books)).await {
            // The books of an answer close with its last byte.
            while answer.body.frame().await.is_some() {}
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.take()
    }

    fn note(&self, at: usize, target: &Target, (outcome, asks): (&Outcome, Asks)) {
        let way = match asks {
            Asks::Chat(way) => way,
            Asks::Embeddings => Way::Whole,
        };
        let (works, was) = self.table().note(at, (outcome, way), Instant::now());
        let took_ms = outcome.total.as_millis() as u64;
        let (upstream, model, key) = (target.upstream.id(), &target.model, target.key.unwrap_or(1));
        tracing::info!(%upstream, %model, key, class = outcome.class.as_str(), took_ms, "drill ended");
        let result = if works == PathState::Ok { DrillResult::Ok } else { DrillResult::Broken };
        self.figures(target, result, outcome.cost.unwrap_or_default());
        match (works, was) {
            (PathState::Ok, PathState::Broken) => {
                tracing::info!(%upstream, %model, key, "a drill found that this target works again");
            }
            (PathState::Broken, PathState::Ok | PathState::Untried) => {
                let why = outcome.attempts.last().map_or("", |attempt| attempt.detail.as_str());
                let class = outcome.class.as_str();
                tracing::warn!(%upstream, %model, key, class, why, "a drill found that this target does not work; see /admin/drills");
            }
            (PathState::Ok | PathState::Broken | PathState::Untried, _) => {}
        }
    }

    fn figures(&self, target: &Target, result: DrillResult, cost: NanoUsd) {
        self.metrics.drilled(DrillFigures { target: labels(target), result, cost });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a target is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// A word, in this way.
    Chat(Way),
    /// The embedding of a word.
    Embeddings,
}

fn labels(target: &Target) -> DrilledTarget {
    DrilledTarget {
        upstream: target.upstream.id().clone(),
        model: target.model.clone(),
        upstream_model: target.upstream_model.clone(),
        key: target.key.unwrap_or(1),
    }
}

/// What a gauge shows of a state; nothing of what was not tried.
const fn broken(state: PathState) -> Option<bool> {
    match state {
        PathState::Untried => None,
        PathState::Ok => Some(false),
        PathState::Broken => Some(true),
    }
}

/// Ends a round, however it ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Money set aside for a drill. What it did not cost comes back; all of it is spent where nobody can know.
struct Reserved<'a> {
    drills: &'a Drills,
    money: Reservation,
    cost: NanoUsd,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.drills.table().settle(self.money, self.cost);
    }
}

#[cfg(test)]
mod tests;
