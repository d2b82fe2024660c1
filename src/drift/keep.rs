//! The counts on disk, so that a restart does not begin a new reference. Numbers only; no prompt can be read from them.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::baseline::Baseline;
use crate::domain::drift::{PLACES, Verdicts};
use crate::domain::ids::BundleId;
use crate::drift::hours::KEPT_HOURS;
use crate::drift::{Drift, Era};

/// The version of the file.
const VERSION: u32 = 1;

/// The largest file that is read. A full one has about two megabytes.
const MOST_BYTES: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    places: usize,
    bundle: BundleId,
    taken: u64,
    first: Counts,
    hours: Vec<(u64, Counts)>,
    verdicts: Verdicts,
}

/// Counts by place, and how many were unfamiliar.
type Counts = (Vec<(usize, u32)>, u32);

/// Why the counts cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The disk refuses.
    #[error(
        "`{file}` cannot be used ({source}); make its directory writable, or go on without: drift is then counted from the start"
    )]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no file of counts.
    #[error("`{file}` is not what this build wrote ({problem}); it is left out, and written anew")]
    Foreign {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Drift {
    /// As [`Drift::begin`], going on with what a file kept of the same bundle. A file that is not there is no error.
    ///
    /// # Errors
    /// The file cannot be read. The bundle has begun all the same, from nothing.
    pub fn resume(&self, bundle: &BundleId, baseline: Option<&Baseline>, file: &Path) -> Result<(), KeepError> {
        let kept = read(file);
        let era = Era::new(bundle.clone(), baseline.cloned(), self.settings);
        if let Ok(Some(kept)) = &kept
            && kept.bundle == *bundle
        {
            era.first.refill(&kept.first.0, kept.first.1);
            era.taken.store(kept.taken, Ordering::Relaxed);
            for (hour, (counts, unfamiliar)) in kept.hours.iter().take(KEPT_HOURS) {
                if let Some(counters) = era.hours.at(*hour) {
                    counters.refill(counts, *unfamiliar);
                }
            }
            *era.verdicts.lock().unwrap_or_else(PoisonError::into_inner) = kept.verdicts.clone();
        }
        self.era.store(Some(Arc::new(era)));
        kept.map(drop)
    }

    /// Which bundle the counts in a file are of. `None` where there is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept_of(file: &Path) -> Result<Option<BundleId>, KeepError> {
        Ok(read(file)?.map(|kept| kept.bundle))
    }

    /// Writes the counts so that the file is the old one or the new one. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, file: &Path) -> Result<(), KeepError> {
        let Some(era) = self.era.load_full() else { return Ok(()) };
        let kept = Kept {
            version: VERSION,
            places: PLACES,
            bundle: era.bundle.clone(),
            taken: era.taken.load(Ordering::Relaxed),
            first: era.first.sparse(),
            hours: era.hours.kept().map(|(hour, counters)| (hour, counters.sparse())).collect(),
            verdicts: era.verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let write = || -> std::io::Result<()> {
            let partial = file.with_extension("json.partial");
            let mut out = fs::File::create(&partial)?;
            out.write_all(&serde_json::to_vec(&kept)?)?;
            out.sync_all()?;
            fs::rename(&partial, file)
        };
        write().map_err(|source| KeepError::Io { file: file.display().to_string(), source })
    }
}

fn read(file: &Path) -> Result<Option<Kept>, KeepError> {
    let name = || file.display().to_string();
    let foreign = |problem: String| KeepError::Foreign { file: name(), problem };
    match fs::metadata(file) {
        Ok(found) if found.len() > MOST_BYTES => return Err(foreign("it is too large".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeepError::Io { file: name(), source }),
    }
    let bytes = fs::read(file).map_err(|source| KeepError::Io { file: name(), source })?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| foreign(error.to_string()))?;
    if kept.version != VERSION || kept.places != PLACES {
        return Err(foreign("it is of another version".to_owned()));
    }
    Ok(Some(kept))
}
