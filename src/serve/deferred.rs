//! Requests that wait for an answer, as the server asks them again.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::deferred::{Queue, QueueSettings};
use crate::http::admission::{new_decision_id, now_unix_ms};
use crate::http::deferred::explain;
use crate::http::state::Server;
use crate::pipeline::deferred::{Deferred, Edge, keep_on};

/// The queue, where a policy has requests wait.
pub(super) fn queue(config: &Config) -> Option<Arc<Deferred>> {
    config.policies.iter().find(|policy| policy.recovery.degraded.queued.is_some())?;
    let given = config.deferred;
    Some(Arc::new(Queue::new(QueueSettings {
        max_entries: given.max_entries,
        max_bytes: given.max_bytes,
        keep_for: given.keep_for,
        at_once: given.at_once,
        pause: given.pause,
        longest_pause: given.longest_pause,
    })))
}

/// Asks what waits until the server is to stop.
pub(super) async fn ask_again(server: Arc<Server>, stop: CancellationToken) {
    keep_on(&server.app, Edge { stamp: || (new_decision_id(), now_unix_ms()), explain }, stop).await;
}
