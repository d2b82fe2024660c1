//! What drills found and cost, on disk, so that a restart neither forgets it nor begins the day's cap anew.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ModelName, UpstreamId};
use crate::domain::money::NanoUsd;
use crate::domain::outcome::Class;
use crate::drills::table::Way;
use crate::upstream::dispatch::Target;

/// The version of the file.
const VERSION: u32 = 1;

/// The largest file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// The file. Times are ages at the moment when it was written, since a restart begins another monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    written_unix_ms: u64,
    /// How old the present 24 hours are.
    pub(super) day_ms: u64,
    pub(super) spent: NanoUsd,
    pub(super) rows: Vec<KeptRow>,
}

/// What the last drill of a target found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptRow {
    upstream: UpstreamId,
    model: ModelName,
    /// Absent in files of before there were several deployments of a model at one upstream.
    #[serde(default)]
    upstream_model: Option<String>,
    key: Option<u32>,
    pub(super) class: Class,
    #[serde(default)]
    pub(super) way: Way,
    pub(super) age_ms: u64,
    pub(super) ok_age_ms: Option<u64>,
    pub(super) took_ms: u64,
    pub(super) error: String,
    pub(super) cost: Option<NanoUsd>,
    pub(super) failures: u64,
}

/// What a row says of its drill, without the target.
pub(super) struct Found {
    pub(super) class: Class,
    pub(super) way: Way,
    pub(super) age: Duration,
    pub(super) ok_age: Option<Duration>,
    pub(super) took: Duration,
    pub(super) error: String,
    pub(super) cost: Option<NanoUsd>,
    pub(super) failures: u64,
}

impl Kept {
    pub(super) fn new((day, spent): (Duration, NanoUsd), rows: Vec<KeptRow>) -> Self {
        Self { version: VERSION, written_unix_ms: now_unix_ms(), day_ms: millis(day), spent, rows }
    }

    /// How long ago it was written. A clock that was set back makes it no younger than new.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(now_unix_ms().saturating_sub(self.written_unix_ms))
    }
}

impl KeptRow {
    pub(super) fn new(target: &Target, found: Found) -> Self {
        Self {
            upstream: target.upstream.id().clone(),
            model: target.model.clone(),
            upstream_model: Some(target.upstream_model.clone()),
            key: target.key,
            class: found.class,
            way: found.way,
            age_ms: millis(found.age),
            ok_age_ms: found.ok_age.map(millis),
            took_ms: millis(found.took),
            error: found.error,
            cost: found.cost,
            failures: found.failures,
        }
    }

    pub(super) fn is_of(&self, target: &Target) -> bool {
        let is_deployment = self.upstream_model.as_ref().is_none_or(|name| *name == target.upstream_model);
        let is_place = self.upstream == *target.upstream.id() && self.key == target.key;
        is_place && is_deployment && self.model == target.model
    }
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// What is wrong with it, with the remedy.
pub(super) fn read(file: &Path) -> Result<Option<Kept>, String> {
    let wrong = |problem: String| {
        format!("`{}` is left out and written anew, so that the day's cap begins again ({problem})", file.display())
    };
    match fs::metadata(file) {
        Ok(found) if found.len() > MOST_BYTES => return Err(wrong("it is too large".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    }
    let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if kept.version == VERSION { Ok(Some(kept)) } else { Err(wrong("it is of another version".to_owned())) }
}

/// Writes a file so that it is the old one or the new one. Blocks for as long as the disk takes.
///
/// # Errors
/// The disk refuses.
pub(super) fn write(file: &Path, kept: &Kept) -> std::io::Result<()> {
    let partial = file.with_extension("json.partial");
    let mut out = fs::File::create(&partial)?;
    out.write_all(&serde_json::to_vec(kept)?)?;
    out.sync_all()?;
    fs::rename(&partial, file)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn now_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
