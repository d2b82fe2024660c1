//! What goes on beside the requests, each in a task of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::http::state::Server;
use crate::store::{Journal, StoreHealth};
use crate::telemetry::metrics::Metrics;
use crate::upstream::budget::Traffic;

/// Ends streams whose clients stopped reading.
pub(super) async fn look_after_clients(traffic: Arc<Traffic>, over: CancellationToken) {
    over.run_until_cancelled(traffic.clients.look_after()).await;
}

/// Calls every target now and then.
pub(super) async fn hold_drills(server: Arc<Server>, stop: CancellationToken) {
    server.drills.keep_on(rand::random::<f64>, stop).await;
}

/// Says that new requests should go elsewhere, as soon as the server is told to stop.
pub(super) async fn announce_drain(server: Arc<Server>, stop: CancellationToken) {
    stop.cancelled().await;
    server.draining.store(true, Ordering::Relaxed);
}

/// Turns the store's own counts into metrics, once a second.
pub(super) async fn report_store(journal: Journal, metrics: Arc<Metrics>, over: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut reported = 0;
    while over.run_until_cancelled(tick.tick()).await.is_some() {
        let stats = journal.stats();
        let lost = stats.dropped + stats.lost;
        metrics.store_dropped(lost.saturating_sub(reported));
        reported = lost;
        match journal.health() {
            StoreHealth::Healthy => metrics.store_recovered(),
            StoreHealth::Degraded { .. } => metrics.store_failing(),
        }
    }
}
