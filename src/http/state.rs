//! What every handler shares.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::domain::ids::CallerId;
use crate::drills::Drills;
use crate::http::auth::Keys;
use crate::http::body::BodyLimits;
use crate::pipeline::App;
use crate::retrain::Retrainer;
use crate::store::Store;

/// The server as handlers see it.
#[derive(Debug)]
pub struct Server {
    /// The pipeline.
    pub app: App,
    /// The store, where it is switched on.
    pub store: Option<Store>,
    /// The caller keys.
    pub keys: Keys,
    /// Callers who may report on everybody's decisions.
    pub judges: HashSet<CallerId>,
    /// One permit for each request that may be in flight. A permit is held until the last byte of the answer.
    pub permits: Arc<Semaphore>,
    /// Retraining, and the bundles there are.
    pub retrainer: Retrainer,
    /// Fire drills.
    pub drills: Drills,
    /// Limits of request bodies.
    pub body_limits: BodyLimits,
    /// After how much silence of a stream its client gets a sign of life.
    pub keep_alive: Duration,
    /// Whether new requests should go elsewhere.
    pub draining: AtomicBool,
    /// Seconds since 1970 at which the server started, for lists that want a creation time.
    pub started_unix: u64,
}

impl Server {
    /// Whether the server takes new requests: it is not draining.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
