//! What all calls share: how much extra traffic retries and hedges may make.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::domain::resilience::Allowance;
use crate::upstream::stalled::Clients;
use crate::upstream::verifier::Verifiers;

/// How many answers may be looked at at the same time when their clients have them.
const MOST_JUDGED: usize = 64;

/// A bucket of tokens. Every call puts a part of one in, every extra call takes one out, and quiet time refills it slowly, so that a server
/// with little traffic may try again too.
#[derive(Debug)]
pub struct Bucket {
    allowance: Allowance,
    level: Mutex<(f64, Instant)>,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        let level = Mutex::new((allowance.burst, Instant::now()));
        Self { allowance, level, taken: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// A call was made.
    pub(crate) fn earn(&self) {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.0 = (level.0 + self.allowance.share).min(self.allowance.burst);
    }

    /// Leave to make one more call now. `None` where there is none left, which is counted.
    pub(crate) fn take(&self, now: Instant) -> Option<Leave<'_>> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = now.saturating_duration_since(level.1).as_secs_f64();
        let full = (level.0 + quiet * self.allowance.burst / 60.0).min(self.allowance.burst);
        let may = full >= 1.0;
        *level = (if may { full - 1.0 } else { full }, now);
        drop(level);
        if !may {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        may.then(|| Leave { bucket: self, is_used: false })
    }

    fn give_back(&self) {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.0 = (level.0 + 1.0).min(self.allowance.burst);
    }

    /// How many were used so far, and how many refused.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

/// Leave to make one more call. It goes back where it came from when it is dropped without having been used.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leave<'a> {
    bucket: &'a Bucket,
    is_used: bool,
}

impl Leave<'_> {
    /// The call is made.
    pub(crate) fn used(mut self) {
        self.is_used = true;
        self.bucket.taken.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            self.bucket.give_back();
        }
    }
}

/// What all calls of a server share.
#[derive(Debug)]
pub struct Traffic {
    /// Retries of the same target.
    pub retries: Bucket,
    /// Second targets asked while the first is still silent.
    pub hedges: Bucket,
    /// The clients that must not stop reading.
    pub clients: Clients,
    /// Who asks verifiers, where a policy has one.
    pub verifiers: Option<Verifiers>,
    /// Answers that may be looked at at the same time when their clients have them. Beyond it they are not looked at.
    pub judging: Arc<Semaphore>,
}

impl Traffic {
    /// Full buckets. A client may leave an answer untaken for at most `client`.
    #[must_use]
    pub fn new(retries: Allowance, hedges: Allowance, client: Duration) -> Self {
        Self {
            retries: Bucket::new(retries),
            hedges: Bucket::new(hedges),
            clients: Clients::new(client),
            verifiers: None,
            judging: Arc::new(Semaphore::new(MOST_JUDGED)),
        }
    }
}

impl Default for Traffic {
    fn default() -> Self {
        let (retries, hedges) = (Allowance { share: 0.2, burst: 20.0 }, Allowance { share: 0.05, burst: 5.0 });
        Self::new(retries, hedges, Duration::from_secs(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One more call is made, if that may be.
    fn takes(bucket: &Bucket, now: Instant) -> bool {
        bucket.take(now).map(Leave::used).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn extra_calls_stay_within_their_share_of_traffic() {
        let bucket = Bucket::new(Allowance { share: 0.2, burst: 3.0 });
        let now = Instant::now();
        let at_first = (0..10).filter(|_| takes(&bucket, now)).count();

        let later = (0..100).filter(|_| {
            bucket.earn();
            takes(&bucket, now)
        });

        assert_eq!(at_first, 3, "the burst");
        assert_eq!(later.count(), 20, "a fifth of the traffic");
        assert_eq!(bucket.counts(), (23, 87));
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_time_gives_a_burst_back_and_no_more() {
        let bucket = Bucket::new(Allowance { share: 0.0, burst: 3.0 });
        let now = Instant::now();
        while takes(&bucket, now) {}

        assert!(!takes(&bucket, now + Duration::from_secs(19)));
        assert!(takes(&bucket, now + Duration::from_secs(21)));
        assert_eq!((0..10).filter(|_| takes(&bucket, now + Duration::from_secs(3600))).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn leave_that_is_not_used_is_not_lost() {
        let bucket = Bucket::new(Allowance { share: 0.0, burst: 1.0 });
        let now = Instant::now();

        for _ in 0..3 {
            drop(bucket.take(now).unwrap());
        }

        assert!(takes(&bucket, now) && !takes(&bucket, now));
        assert_eq!(bucket.counts(), (1, 1));
    }
}
