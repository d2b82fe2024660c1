//! Clients that stop reading. Such a client would hold its permit and the upstream's connection until the deadline of the call, since nothing
//! asks for the next piece of a body that nobody takes. One task looks after all of them.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::upstream::relay::Relay;

/// How often is looked, at most and at least.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(1);

/// A body that can be ended from outside.
pub(crate) trait Stalls: Send + Sync {
    /// Ends the body if its client has left a piece of it untaken since then. Whether it goes on.
    fn goes_on(&self, since: Instant) -> bool;
}

/// The streams whose clients are watched.
pub struct Clients {
    limit: Duration,
    watched: Mutex<Vec<Weak<dyn Stalls>>>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Clients {
    /// A client may leave what is ready for it untaken for at most `limit`.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, watched: Mutex::new(Vec::new()) }
    }

    /// Watches the client of a stream. As many are watched as there are permits for requests.
    pub(crate) fn watching(&self, relay: Relay) -> Relay {
        if let Some(watched) = relay.watched() {
            self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        }
        relay
    }

    /// Looks after the streams for as long as it is polled.
    pub async fn look_after(&self) {
        let mut ticks = interval((self.limit / 8).clamp(OFTEN, SELDOM));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep(Instant::now());
        }
    }

    fn sweep(&self, now: Instant) {
        let Some(since) = now.checked_sub(self.limit) else { return };
        let lock = || self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched = std::mem::take(&mut *lock());
        watched.retain(|stream| stream.upgrade().is_some_and(|stream| stream.goes_on(since)));
        lock().append(&mut watched);
    }
}

/// Watches a stream through a weak reference.
pub(crate) fn weak<S: Stalls + 'static>(stream: &Arc<S>) -> Weak<dyn Stalls> {
    let stream: Arc<dyn Stalls> = Arc::<S>::clone(stream);
    Arc::downgrade(&stream)
}
