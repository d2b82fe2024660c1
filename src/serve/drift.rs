//! The watch over drift, as the server runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::drift::Drift;
use crate::http::admission::now_unix_ms;
use crate::model::registry::Registry;
use crate::serve::settings::{drift_file, drift_settings};

/// How often the watch looks by itself, so that a shift is logged while nobody asks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// After how many looks the counts are written.
const KEEP_EVERY: u32 = 5;

/// Begins to watch the serving bundle, going on with what was kept of it.
pub(super) fn watch_drift(config: &Config, models: &Registry) -> Arc<Drift> {
    let drift = Arc::new(Drift::new(drift_settings(config)));
    if let Some(generation) = models.current() {
        match drift_file(config) {
            Some(file) => {
                if let Err(error) = drift.resume(generation.id(), generation.baseline(), &file) {
                    tracing::warn!(%error, "drift is counted from the start");
                }
            }
            None => drift.begin(generation.id(), generation.baseline()),
        }
    }
    drift
}

/// Looks once a minute, and keeps the counts now and then and at the end.
pub(super) async fn look_for_drift(drift: Arc<Drift>, file: Option<PathBuf>, over: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let mut looks = 0;
    while over.run_until_cancelled(tick.tick()).await.is_some() {
        drift.look(now_unix_ms());
        looks += 1;
        if looks % KEEP_EVERY == 0 {
            keep(&drift, file.clone()).await;
        }
    }
    keep(&drift, file).await;
}

async fn keep(drift: &Arc<Drift>, file: Option<PathBuf>) {
    let Some(file) = file else { return };
    let drift = Arc::clone(drift);
    // Writing a few hundred kilobytes blocks, so it happens where blocking is allowed.
    match tokio::task::spawn_blocking(move || drift.keep(&file)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the counts of drift were not kept"),
        Err(error) => tracing::error!(%error, "keeping the counts of drift failed inside"),
    }
}
