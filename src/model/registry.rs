//! The generation that serves, and the one before it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::domain::ids::BundleId;
use crate::model::error::PrepareError;
use crate::model::generation::{Generation, PrepareSettings};

/// Holds the serving generation. Reading it is one atomic load; replacing it is one atomic store.
#[derive(Debug, Default)]
pub struct Registry {
    current: ArcSwapOption<Generation>,
    /// The generation to go back to. Also the lock that lets one replacement happen at a time.
    previous: Mutex<Option<Arc<Generation>>>,
}

/// A generation that can be activated. Only preparing makes one, so nothing unverified can serve.
#[derive(Clone, Debug)]
pub struct Prepared(Arc<Generation>);

impl Prepared {
    /// Prepares a bundle. Blocks; nothing that serves changes.
    ///
    /// # Errors
    /// As [`Generation::prepare`].
    pub fn new(settings: &PrepareSettings) -> Result<Self, PrepareError> {
        Generation::prepare(settings).map(|generation| Self(Arc::new(generation)))
    }

    /// What would be activated.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.0
    }
}

impl Registry {
    /// A registry in which nothing serves yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The serving generation. Take it once per request and pass it down: whatever is activated meanwhile, the request sees one.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Makes a prepared generation the serving one; cannot fail. Gives the name of the one it replaced.
    ///
    /// Requests that hold the old one finish with it. Fresh feedback moves over where it means the same: same encoder, same label
    /// space, and not among what the new one was trained on. The old one is kept for [`Registry::rollback`], the one before it ends.
    pub fn activate(&self, prepared: Prepared) -> Option<BundleId> {
        let mut previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner);
        let Prepared(next) = prepared;
        if let Some(current) = self.current.load_full() {
            carry_over(&current, &next);
        }
        let replaced = self.current.swap(Some(Arc::clone(&next)));
        let id = replaced.as_ref().map(|old| old.id().clone());
        tracing::info!(bundle = %next.id(), replaced = id.as_ref().map(tracing::field::display), "activated bundle");
        *previous = replaced;
        id
    }

    /// Makes the generation before this one the serving one again, at once. Gives its name, or `None` if there is none.
    pub fn rollback(&self) -> Option<BundleId> {
        let mut previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner);
        let back = previous.take()?;
        if let Some(current) = self.current.load_full() {
            carry_over(&current, &back);
        }
        let id = back.id().clone();
        tracing::info!(bundle = %id, "rolled back");
        *previous = self.current.swap(Some(back));
        Some(id)
    }
}

fn carry_over(from: &Generation, to: &Generation) {
    let same_meaning = from.manifest().encoder.digest == to.manifest().encoder.digest && from.labels() == to.labels();
    if same_meaning {
        let items = to.index().without_known(from.index().fresh_items());
        let moved = items.into_iter().filter(|item| to.add_feedback(item.clone())).count();
        tracing::debug!(moved, "moved fresh feedback to the new bundle");
    }
}

#[cfg(test)]
mod tests;
