//! Retraining by the running server: one job at a time, on threads of its own at low priority, from the server's own records.

pub mod bundles;
pub mod job;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::model::error::PrepareError;
use crate::model::session::Device;
use crate::model::shelf::Shelf;
use crate::retrain::bundles::Bundles;
use crate::retrain::job::{Job, Running};
use crate::store::{ExportOptions, StoreReader};
use crate::train::build::{TrainOptions, train};
use crate::train::dataset::Unseen;
use crate::train::outcomes::OutcomeOptions;
use crate::train::publish::TrainReport;

/// The seed where none is given, as on the command line.
const SEED: u64 = 17;

/// The directory of exports that a training may name, beside the store.
const EXPORTS: &str = "exports";

/// What a server trains with.
#[derive(Clone, Debug)]
pub struct RetrainSettings {
    /// The directory of the store, where exports lie and the job's own file goes.
    pub data: PathBuf,
    /// Threads it computes on, at least one.
    pub threads: usize,
    /// The most that one caller's feedback may weigh.
    pub caller_share: f64,
    /// Where a transformer encoder computes.
    pub device: Device,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The new bundle's name. By default the moment.
    pub id: Option<String>,
    /// The name of a file in `exports` beside the store. By default the server's own records.
    pub export: Option<String>,
    /// What follows if every gate passes.
    pub then: Then,
    /// Seeds every draw.
    pub seed: Option<u64>,
}

/// What follows a training whose bundle passed its gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// It lies in the models directory until somebody promotes it.
    #[default]
    Keep,
    /// It serves.
    Promote,
}

/// Why a training was not started or a bundle not promoted.
#[derive(Debug, thiserror::Error)]
pub enum RetrainError {
    /// One runs already.
    #[error("the training of `{}` runs ({}); wait for it, or end it with DELETE /admin/train", .0.bundle, .0.words())]
    Busy(Box<Job>),
    /// None runs.
    #[error("no training runs")]
    Idle,
    /// A name that could lead elsewhere, or to nothing.
    #[error("`{field}` must be 1 to 64 letters, digits, `.`, `-` or `_`, beginning with a letter or digit")]
    Name {
        /// The field.
        field: &'static str,
    },
    /// A bundle of that name is there.
    #[error("there is a bundle `{0}` already; bundles are immutable, choose another `id`")]
    Exists(String),
    /// No such bundle or export.
    #[error(
        "there is no {what} `{name}`; GET /admin/bundles lists bundles, and exports lie in `exports` beside the store"
    )]
    Unknown {
        /// `bundle` or `export`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is nothing to learn from.
    #[error("the store is switched off; set `store.enabled = true`, or name an `export`")]
    NoStore,
    /// The bundle failed gates when it was made.
    #[error("the bundle failed when it was made: {0}; send `\"force\": true` to serve it all the same")]
    GatesFailed(String),
    /// What is promoted would not serve.
    #[error("the configuration pins the bundle with `model.bundle`; remove that, so that CURRENT decides")]
    Pinned,
    /// The models directory or the bundle cannot be used.
    #[error(transparent)]
    Model(#[from] PrepareError),
    /// The thread or its files could not be made.
    #[error("the training could not be started ({0}); check space, permissions and limits")]
    Io(#[from] std::io::Error),
}

/// Trains on request. At most one job runs; the last one's result is kept until the next.
#[derive(Debug)]
pub struct Retrainer {
    settings: RetrainSettings,
    bundles: Bundles,
    store: Option<StoreReader>,
    current: Mutex<Option<Running>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Retrainer {
    /// A retrainer that learns from this store. Removes what a training left behind whose process was killed.
    #[must_use]
    pub fn new(settings: RetrainSettings, bundles: Bundles, store: Option<StoreReader>) -> Self {
        for entry in fs::read_dir(&settings.data).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(OWN_EXPORT) && name.contains(".jsonl")) {
                drop(fs::remove_file(entry.path()));
            }
        }
        Self { settings, bundles, store, current: Mutex::new(None), thread: Mutex::new(None) }
    }

    /// The bundles there are.
    #[must_use]
    pub const fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    /// The job that runs, or the last one.
    #[must_use]
    pub fn job(&self) -> Option<Job> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Running::view)
    }

    /// Starts a job. Call it within a tokio runtime: the records are read there.
    ///
    /// # Errors
    /// One runs already, a name is not one, there is nothing to learn from, or the thread cannot be started.
    pub fn start(&self, wish: Wish) -> Result<Job, RetrainError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = current.as_ref().map(Running::view).filter(Job::is_running) {
            return Err(RetrainError::Busy(Box::new(job)));
        }
        let work = self.prepare(wish)?;
        let running = Running::new(&work.id, work.source.words());
        *current = Some(running.clone());
        let (bundles, runtime) = (self.bundles.clone(), Handle::current());
        let told = running.clone();
        let thread = std::thread::Builder::new().name("trimtab-train".to_owned());
        let handle =
            thread.spawn(move || told.end(work.run(&bundles, (&told, &runtime)))).inspect_err(|_| *current = None)?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        Ok(running.view())
    }

    /// Asks the running job to stop. It ends at its next step and leaves nothing behind.
    ///
    /// # Errors
    /// None runs.
    pub fn cancel(&self) -> Result<Job, RetrainError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let running = current.as_ref().filter(|running| running.view().is_running()).ok_or(RetrainError::Idle)?;
        running.cancel();
        Ok(running.view())
    }

    /// Cancels what runs and waits for its end, at most this long.
    pub async fn stop(&self, within: Duration) {
        drop(self.cancel());
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            let joined = tokio::task::spawn_blocking(move || drop(handle.join()));
            if tokio::time::timeout(within, joined).await.is_err() {
                tracing::warn!("the training did not end in time");
            }
        }
    }

    fn prepare(&self, wish: Wish) -> Result<Work, RetrainError> {
        let id = match wish.id {
            Some(id) if is_name(&id) => id,
            Some(_) => return Err(RetrainError::Name { field: "id" }),
            None => format!("retrained-{}", job::now_for_names()),
        };
        let out = self.bundles.models().join("bundles").join(&id);
        if out.symlink_metadata().is_ok() {
            return Err(RetrainError::Exists(id));
        }
        let source = match wish.export {
            Some(name) if !is_name(&name) => return Err(RetrainError::Name { field: "export" }),
            Some(name) => {
                let path = self.settings.data.join(EXPORTS).join(&name);
                // A link could lead out of the directory.
                let is_file = path.symlink_metadata().is_ok_and(|file| file.is_file());
                if !is_file {
                    return Err(RetrainError::Unknown { what: "export", name });
                }
                Source::Export(path, name)
            }
            None => {
                let store = self.store.clone().ok_or(RetrainError::NoStore)?;
                Source::Store(store, self.settings.data.join(format!("{OWN_EXPORT}{id}.jsonl")))
            }
        };
        let base = self.bundles.serving()?;
        Ok(Work {
            id,
            out,
            base,
            source,
            then: wish.then,
            seed: wish.seed.unwrap_or(SEED),
            settings: self.settings.clone(),
        })
    }
}

/// How much nicer a training thread is than the server: beside a busy one it gets about a tenth of its time, and what is idle.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// How the job's own export begins.
const OWN_EXPORT: &str = ".training-";

/// Whether a text is a plain name: no path, nothing hidden.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=64).contains(&text.len())
        && text.bytes().all(is_plain)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

/// What a job learns from.
enum Source {
    /// The server's records, and the file they are written to for the time of the job.
    Store(StoreReader, PathBuf),
    /// A file that was put there, and its name.
    Export(PathBuf, String),
}

impl Source {
    fn words(&self) -> String {
        match self {
            Self::Store(..) => "the server's own records".to_owned(),
            Self::Export(_, name) => format!("the export `{name}`"),
        }
    }
}

/// A file that is gone when it is dropped.
struct Passing<'a>(&'a Path);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        drop(fs::remove_file(self.0));
    }
}

/// One job's work.
struct Work {
    id: String,
    out: PathBuf,
    base: PathBuf,
    source: Source,
    then: Then,
    seed: u64,
    settings: RetrainSettings,
}

impl Work {
    /// Exports, trains, and promotes if that was asked for and every gate passed.
    fn run(&self, bundles: &Bundles, (running, runtime): (&Running, &Handle)) -> Result<(TrainReport, bool), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let own = match &self.source {
            Source::Store(_, path) => Some(Passing(path)),
            Source::Export(..) => None,
        };
        let feedback = match &self.source {
            Source::Export(path, _) => path,
            Source::Store(reader, path) => {
                let exported = runtime.block_on(reader.export_to(&ExportOptions::default(), path));
                exported.map_err(|error| words(&error))?;
                path
            }
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.settings.threads)
            .thread_name(|at| format!("trimtab-train-{at}"))
            .start_handler(|_| yield_to_serving())
            .build()
            .map_err(|error| words(&error))?;
        let options = TrainOptions {
            outcomes: Vec::new(),
            outcome_options: OutcomeOptions::default(),
            tasks: None,
            task_filters: Vec::new(),
            feedback: Some(feedback.clone()),
            base: Some(self.base.clone()),
            unseen: Unseen::default(),
            tiers: None,
            encoder: None,
            careful_encoder: None,
            models: bundles.models().to_path_buf(),
            out: self.out.clone(),
            id: Some(self.id.clone()),
            seed: self.seed,
            threads: self.settings.threads,
            device: self.settings.device,
            caller_share: self.settings.caller_share,
        };
        let report = pool.install(|| train(&options, running)).map_err(|error| words(&error))?;
        drop(own);
        let promote = self.then == Then::Promote && report.passed();
        if promote {
            Shelf::new(bundles.models()).promote(&report.path).map_err(|error| words(&error))?;
        }
        tracing::info!(bundle = %report.id, passed = report.passed(), promote, "retrained");
        Ok((report, promote))
    }
}

/// Lets every other thread go first. On Linux niceness is a thread's own; elsewhere it would be the server's, so nothing is done.
fn yield_to_serving() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICER);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_elsewhere() {
        for name in ["mine", "2026-11-21.a_b", "A"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".hidden", "..", "a/b", "a\\b", "-x", "ü", "a b", &"x".repeat(65), "a\0"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
