//! The bundles of a running server: which there are, which serves, and the way forth and back.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::bundle::Bundle;
use crate::model::generation::{Generation, PrepareSettings};
use crate::model::shelf::{Listed, Shelf};
use crate::model::verdict::{GateResult, failed_gates};
use crate::retrain::{RetrainError, is_name};

/// Whether gates may be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gates {
    /// A bundle that failed one is refused.
    Heeded,
    /// It serves all the same.
    Overruled,
}

/// The models directory of a server. Everything here reads files and may block for a second.
#[derive(Clone, Debug)]
pub struct Bundles {
    settings: PrepareSettings,
    pinned: Option<PathBuf>,
}

/// A bundle as administration sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// What a listing says.
    #[serde(flatten)]
    pub listed: Listed,
    /// The gates it failed when it was made.
    pub failed_gates: Vec<GateResult>,
}

impl Bundles {
    /// Bundles that are prepared like this; `pinned` serves whatever `CURRENT` says.
    #[must_use]
    pub const fn new(settings: PrepareSettings, pinned: Option<PathBuf>) -> Self {
        Self { settings, pinned }
    }

    /// The models directory.
    #[must_use]
    pub fn models(&self) -> &Path {
        &self.settings.models
    }

    /// The directory of the bundle that serves.
    ///
    /// # Errors
    /// `CURRENT` cannot be read.
    pub fn serving(&self) -> Result<PathBuf, RetrainError> {
        match &self.pinned {
            Some(pinned) => Ok(self.models().join(pinned)),
            None => Ok(Shelf::new(self.models()).current()?),
        }
    }

    /// Every bundle there is.
    ///
    /// # Errors
    /// The models directory cannot be read. A damaged bundle is listed, not an error.
    pub fn list(&self) -> Result<Vec<Shown>, RetrainError> {
        let shown = |listed: Listed| {
            let bundle = Bundle::open(&self.models().join(&listed.path));
            let failed_gates = bundle.and_then(|bundle| failed_gates(&bundle)).unwrap_or_default();
            Shown { listed, failed_gates }
        };
        Ok(Shelf::new(self.models()).list()?.into_iter().map(shown).collect())
    }

    /// Makes a bundle of the models directory the serving one. A running server takes it up within a second.
    ///
    /// # Errors
    /// No bundle has this name, it failed a gate, it does not load, or the configuration pins another.
    pub fn promote(&self, id: &str, gates: Gates) -> Result<String, RetrainError> {
        if !is_name(id) {
            return Err(RetrainError::Name { field: "id" });
        }
        self.refuse_pinned()?;
        let shelf = Shelf::new(self.models());
        let is_meant = |one: &Listed| one.summary.as_ref().is_some_and(|summary| summary.id.as_str() == id);
        let found = shelf.list()?.into_iter().find(is_meant);
        let found = found.ok_or_else(|| RetrainError::Unknown { what: "bundle", name: id.to_owned() })?;
        let directory = self.models().join(&found.path);
        let failed = failed_gates(&Bundle::open(&directory)?)?;
        if gates == Gates::Heeded && !failed.is_empty() {
            let reasons: Vec<String> = failed.iter().map(|gate| format!("{}: {}", gate.name, gate.detail)).collect();
            return Err(RetrainError::GatesFailed(reasons.join("; ")));
        }
        // What cannot be loaded is not promoted: the server would refuse it, and the pointer would name a bundle that does not serve.
        Generation::prepare(&PrepareSettings { bundle: directory.clone(), ..self.settings.clone() })?;
        Ok(shelf.promote(&directory)?)
    }

    /// Goes back to the bundle that served before. Gives its path in the models directory.
    ///
    /// # Errors
    /// There is none, or the configuration pins one.
    pub fn rollback(&self) -> Result<String, RetrainError> {
        self.refuse_pinned()?;
        Ok(Shelf::new(self.models()).rollback()?)
    }

    fn refuse_pinned(&self) -> Result<(), RetrainError> {
        if self.pinned.is_some() { Err(RetrainError::Pinned) } else { Ok(()) }
    }
}
