//! One training as it is seen from outside, while it runs and afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::domain::time::{Precision, rfc3339};
use crate::train::gates::Gate;
use crate::train::progress::{Phase, Progress};
use crate::train::publish::TrainReport;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It computes.
    Running,
    /// The bundle is there and passed its gates.
    Succeeded,
    /// The bundle is there and failed a gate.
    GateFailed,
    /// It ended with a problem; no bundle is there.
    Failed,
    /// Somebody ended it; no bundle is there.
    Cancelled,
}

/// A job.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// The name of the bundle it makes.
    pub bundle: String,
    /// Where it stands.
    pub state: JobState,
    /// What it learns from.
    pub source: String,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// The step it is at; none before the first.
    pub phase: Option<&'static str>,
    /// Units of the step that are done.
    pub done: u64,
    /// Units of the step in all; zero where that is not known.
    pub total: u64,
    /// Seconds since it began, until it ended.
    pub seconds: f64,
    /// Seconds that are left of the step at its pace; none where the total is not known.
    pub seconds_left: Option<f64>,
    /// Whether the bundle was promoted.
    pub promoted: bool,
    /// The gates, once there is a bundle.
    pub gates: Vec<Gate>,
    /// The training report, once there is a bundle.
    pub report: Option<Arc<TrainReport>>,
    /// Why there is none.
    pub problem: Option<String>,
}

impl Job {
    /// Whether it computes.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == JobState::Running
    }

    /// How far it is, for a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.phase, self.total) {
            (None, _) => "just started".to_owned(),
            (Some(phase), 0) => format!("{phase}, {} so far", self.done),
            (Some(phase), total) => format!("{phase}, {} of {total}", self.done),
        }
    }
}

/// A job's shared state: the thread that computes writes it, requests read it.
#[derive(Clone, Debug)]
pub(super) struct Running {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cancelled: AtomicBool,
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    job: Job,
    phase_began: Instant,
}

impl Running {
    pub(super) fn new(bundle: &str, source: String) -> Self {
        let began = Instant::now();
        let job = Job {
            bundle: bundle.to_owned(),
            state: JobState::Running,
            source,
            started: rfc3339(unix_ms(), Precision::Seconds),
            phase: None,
            done: 0,
            total: 0,
            seconds: 0.0,
            seconds_left: None,
            promoted: false,
            gates: Vec::new(),
            report: None,
            problem: None,
        };
        let inner = Mutex::new(Inner { job, phase_began: began });
        Self { shared: Arc::new(Shared { cancelled: AtomicBool::new(false), began, inner }) }
    }

    pub(super) fn view(&self) -> Job {
        let inner = self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut job = inner.job.clone();
        if job.is_running() {
            job.seconds = self.shared.began.elapsed().as_secs_f64();
            if job.total > 0 && job.done > 0 {
                let pace = inner.phase_began.elapsed().as_secs_f64() / job.done as f64;
                job.seconds_left = Some(pace * job.total.saturating_sub(job.done) as f64);
            }
        }
        job
    }

    pub(super) fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// Records how it ended.
    pub(super) fn end(&self, result: Result<(TrainReport, bool), String>) {
        let mut inner = self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let job = &mut inner.job;
        job.seconds = self.shared.began.elapsed().as_secs_f64();
        match result {
            Ok((report, promoted)) => {
                job.state = if report.passed() { JobState::Succeeded } else { JobState::GateFailed };
                job.promoted = promoted;
                job.gates.clone_from(&report.gates);
                job.report = Some(Arc::new(report));
            }
            Err(problem) => {
                let cancelled = self.shared.cancelled.load(Ordering::Relaxed);
                job.state = if cancelled { JobState::Cancelled } else { JobState::Failed };
                job.problem = Some(problem);
            }
        }
    }
}

impl Progress for Running {
    fn at(&self, phase: Phase, done: u64, total: u64) {
        let mut inner = self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // A step that is taken again starts its clock again.
        if inner.job.phase != Some(phase.words()) || done < inner.job.done {
            inner.phase_began = Instant::now();
        }
        (inner.job.phase, inner.job.done, inner.job.total) = (Some(phase.words()), done, total);
    }

    fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }
}

/// This moment, for names: `20261121T100743`.
pub(super) fn now_for_names() -> String {
    let mut text = rfc3339(unix_ms(), Precision::Seconds).replace(['-', ':'], "");
    text.truncate(15);
    text
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
