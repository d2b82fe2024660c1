//! Following `CURRENT`: a promoted bundle is prepared and activated without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::ids::BundleId;
use crate::model::error::PrepareError;
use crate::model::generation::PrepareSettings;
use crate::model::registry::{Prepared, Registry};
use crate::model::shelf::Shelf;

/// How often `CURRENT` is read.
pub const POLL_EVERY: Duration = Duration::from_secs(1);

/// Hears what became of each change of `CURRENT`, for logs and metrics.
pub trait Watcher: Send + Sync {
    /// A bundle serves that did not before.
    fn activated(&self, bundle: &BundleId);

    /// A bundle could not be prepared. The one before it goes on serving, and this one is not tried again until `CURRENT` changes.
    fn refused(&self, bundle: &std::path::Path, error: &PrepareError);
}

/// Follows a models directory.
pub struct Watch {
    /// What is kept up to date.
    pub registry: Arc<Registry>,
    /// How bundles are prepared. Its bundle is replaced by what `CURRENT` names.
    pub settings: PrepareSettings,
    /// Who hears of it.
    pub watcher: Arc<dyn Watcher>,
}

impl Watch {
    /// Reads `CURRENT` every second and activates the bundle it names, until cancelled. Spawn it on the task tracker.
    ///
    /// `serving` is the directory that serves already. The file is compared by what it says: polling is enough for a file that
    /// changes by hand or by training, and works on every file system.
    pub async fn run(self, serving: PathBuf, cancelled: CancellationToken) {
        let mut seen = serving;
        let mut ticks = tokio::time::interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let this = Arc::new(self);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (step, before) = (Arc::clone(&this), seen.clone());
            // Preparing blocks for up to a second; a server that shuts down meanwhile does not wait for more than that.
            match tokio::task::spawn_blocking(move || step.step(before)).await {
                Ok(after) => seen = after,
                Err(error) => tracing::error!(%error, "following CURRENT failed inside"),
            }
        }
    }

    /// Looks once. Gives the directory that was dealt with last.
    fn step(&self, seen: PathBuf) -> PathBuf {
        let wanted = match Shelf::new(&self.settings.models).current() {
            Ok(wanted) => wanted,
            Err(error) => {
                let file = self.settings.models.join(crate::model::shelf::CURRENT_FILE);
                // Reported once: `seen` becomes the file itself, which is never a bundle.
                if seen != file {
                    self.watcher.refused(&file, &error);
                }
                return file;
            }
        };
        if wanted == seen {
            return seen;
        }
        let settings = PrepareSettings { bundle: wanted.clone(), ..self.settings.clone() };
        match Prepared::new(&settings) {
            Ok(prepared) => {
                let id = prepared.generation().id().clone();
                self.registry.activate(prepared);
                self.watcher.activated(&id);
            }
            Err(error) => self.watcher.refused(&wanted, &error),
        }
        wanted
    }
}

#[cfg(test)]
mod tests;
