//! The models directory: which bundles there are, which one serves, and the way back.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::domain::ids::BundleId;
use crate::model::bundle::{Bundle, read_manifest};
use crate::model::error::PrepareError;
use crate::model::manifest::{EncoderRef, MANIFEST_FILE, Manifest};
use crate::model::{files, publish};

/// The file that names the serving bundle and its predecessors, newest first.
pub const CURRENT_FILE: &str = "CURRENT";

/// The bundle that serves where there is no `CURRENT`.
pub const DEFAULT_BUNDLE: &str = "default";

/// Most lines of `CURRENT` that are kept. Older ones are forgotten; their bundles stay.
pub const MAX_HISTORY: usize = 16;

/// Largest `CURRENT` that is read.
const MAX_CURRENT_BYTES: u64 = 64 << 10;

/// A models directory.
#[derive(Clone, Debug)]
pub struct Shelf {
    models: PathBuf,
}

/// A bundle as a listing shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Where it is, relative to the models directory.
    pub path: String,
    /// Whether it serves.
    pub status: ShelfStatus,
    /// What its manifest says, where that can be read.
    pub summary: Option<Summary>,
    /// Why its manifest cannot be read.
    pub problem: Option<String>,
}

/// What a listing says about a readable bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its name.
    pub id: BundleId,
    /// When it was made.
    pub created: String,
    /// What it was trained from.
    pub parent: Option<BundleId>,
    /// Outcome rows it was trained on.
    pub rows: u64,
}

/// Where a bundle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShelfStatus {
    /// `CURRENT` names it first.
    Serving,
    /// `CURRENT` names it further down: a rollback can reach it.
    Earlier,
    /// It is only there.
    Available,
}

impl Shelf {
    /// Refers to a models directory. Reads nothing yet.
    #[must_use]
    pub fn new(models: &Path) -> Self {
        Self { models: models.to_path_buf() }
    }

    /// The models directory.
    #[must_use]
    pub fn models(&self) -> &Path {
        &self.models
    }

    /// The lines of `CURRENT`, newest first; only the default bundle where there is none.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or names a path outside the models directory.
    pub fn history(&self) -> Result<Vec<String>, PrepareError> {
        let bytes = match files::read_capped(&self.models, CURRENT_FILE, MAX_CURRENT_BYTES) {
            Ok(bytes) => bytes,
            Err(PrepareError::Missing { .. }) => return Ok(vec![DEFAULT_BUNDLE.to_owned()]),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        for line in &lines {
            files::inside(&self.models, line)?;
        }
        Ok(if lines.is_empty() { vec![DEFAULT_BUNDLE.to_owned()] } else { lines })
    }

    /// The directory of the bundle that should serve.
    ///
    /// # Errors
    /// As [`Shelf::history`].
    pub fn current(&self) -> Result<PathBuf, PrepareError> {
        let history = self.history()?;
        let serving = history.first().map_or(DEFAULT_BUNDLE, String::as_str);
        files::inside(&self.models, serving)
    }

    /// The directory that a person means: a path, or the id of a bundle in the models directory.
    #[must_use]
    pub fn resolve(&self, name: &str) -> PathBuf {
        let in_shelf = [self.models.join(name), self.models.join("bundles").join(name)];
        let named = in_shelf.into_iter().find(|path| !name.is_empty() && path.join(MANIFEST_FILE).is_file());
        named.unwrap_or_else(|| PathBuf::from(name))
    }

    /// Makes a bundle the serving one. A bundle from elsewhere is verified and copied in first, with its encoder if that is not here.
    ///
    /// # Errors
    /// The bundle or its encoder is damaged or missing, or the disk refuses. `CURRENT` is then as it was.
    pub fn promote(&self, directory: &Path) -> Result<String, PrepareError> {
        let bundle = Bundle::open(directory)?;
        let encoder = bundle.encoder(&bundle.manifest().encoder, &self.models)?;
        let relative = match self.relative(directory) {
            Some(relative) => relative,
            None => self.copy_in(&bundle)?,
        };
        self.install(&bundle.manifest().encoder, encoder.directory())?;
        let history = self.history()?;
        let mut lines = vec![relative.clone()];
        lines.extend(history.into_iter().filter(|line| *line != relative));
        lines.truncate(MAX_HISTORY);
        self.write(&lines)?;
        Ok(relative)
    }

    /// Goes back to the bundle that served before. Gives its path in the models directory.
    ///
    /// # Errors
    /// There is none, or it is damaged. `CURRENT` is then as it was.
    pub fn rollback(&self) -> Result<String, PrepareError> {
        let lines: Vec<String> = self.history()?.into_iter().skip(1).collect();
        let earlier = lines.first().cloned().ok_or(PrepareError::NoEarlier)?;
        Bundle::open(&files::inside(&self.models, &earlier)?)?;
        self.write(&lines)?;
        Ok(earlier)
    }

    /// Every bundle in the models directory: the default, then those that were promoted, by path.
    ///
    /// # Errors
    /// `CURRENT` or the directory cannot be read. A damaged bundle is listed, not an error.
    pub fn list(&self) -> Result<Vec<Listed>, PrepareError> {
        let history = self.history()?;
        let mut paths = vec![DEFAULT_BUNDLE.to_owned()];
        let bundles = self.models.join("bundles");
        if bundles.is_dir() {
            let entries = fs::read_dir(&bundles).map_err(PrepareError::io(&bundles))?;
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let mut promoted: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
            promoted.sort();
            paths.extend(promoted.into_iter().map(|name| format!("bundles/{name}")));
        }
        paths.extend(history.iter().filter(|line| !paths.contains(line)).cloned().collect::<Vec<_>>());
        let unneeded_default = |path: &String| path == DEFAULT_BUNDLE && !self.models.join(path).is_dir();
        let listed = paths.into_iter().filter(|path| !unneeded_default(path) || history.contains(path));
        Ok(listed.map(|path| self.describe(path, &history)).collect())
    }

    fn describe(&self, path: String, history: &[String]) -> Listed {
        let status = match history.iter().position(|line| *line == path) {
            Some(0) => ShelfStatus::Serving,
            Some(_) => ShelfStatus::Earlier,
            None => ShelfStatus::Available,
        };
        match read_manifest(&self.models.join(&path)) {
            Ok(Manifest { id, created, parent, trained_on, .. }) => {
                let summary = Summary { id, created, parent, rows: trained_on.rows };
                Listed { path, status, summary: Some(summary), problem: None }
            }
            Err(error) => Listed { path, status, summary: None, problem: Some(error.to_string()) },
        }
    }

    /// The path relative to the models directory, if the directory is in it.
    fn relative(&self, directory: &Path) -> Option<String> {
        let (directory, models) = (directory.canonicalize().ok()?, self.models.canonicalize().ok()?);
        let relative = directory.strip_prefix(models).ok()?;
        let parts: Option<Vec<&str>> = relative
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
            })
            .collect();
        parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
    }

    fn copy_in(&self, bundle: &Bundle) -> Result<String, PrepareError> {
        let relative = format!("bundles/{}", bundle.manifest().id);
        let target = files::inside(&self.models, &relative)?;
        if target.join(MANIFEST_FILE).is_file() {
            let same = files::describe(&target, MANIFEST_FILE)? == files::describe(bundle.directory(), MANIFEST_FILE)?;
            return if same { Ok(relative) } else { Err(PrepareError::Exists { path: target }) };
        }
        publish::copy_directory(bundle.directory(), &target)?;
        Bundle::open(&target)?;
        Ok(relative)
    }

    fn install(&self, encoder: &EncoderRef, found_at: &Path) -> Result<(), PrepareError> {
        let target = files::inside(&self.models.join("encoders"), &encoder.digest)?;
        if target.is_dir() { Ok(()) } else { publish::copy_directory(found_at, &target).map(|_| ()) }
    }

    /// Replaces `CURRENT` in one step: a reader sees the old lines or the new ones.
    fn write(&self, lines: &[String]) -> Result<(), PrepareError> {
        let path = self.models.join(CURRENT_FILE);
        let partial = files::unused_name(&path);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let written = files::write_synced(&partial, text.as_bytes())
            .and_then(|()| fs::rename(&partial, &path).map_err(PrepareError::io(&path)));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written?;
        files::sync_directory(&self.models)
    }
}

#[cfg(test)]
mod tests;
