//! Counters that any thread may add to, in a ring of hours.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::drift::{PLACES, Sighting, Tally};
use crate::drift::{Judgeable, Seen};

/// Milliseconds of an hour.
pub(super) const HOUR_MS: u64 = 3_600_000;

/// How many hours are kept: seven days.
pub(super) const KEPT_HOURS: usize = 168;

/// A tally that threads add to.
#[derive(Debug)]
pub(super) struct Counters {
    counts: Box<[AtomicU32]>,
    unfamiliar: AtomicU32,
}

impl Default for Counters {
    fn default() -> Self {
        Self { counts: (0..PLACES).map(|_| AtomicU32::new(0)).collect(), unfamiliar: AtomicU32::new(0) }
    }
}

impl Counters {
    pub(super) fn add(&self, sighting: &Sighting, judged: Judgeable) {
        for place in sighting.places() {
            if let Some(count) = self.counts.get(place) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        if judged == Judgeable::No {
            self.unfamiliar.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.add_counts(self.values());
        tally
    }

    fn values(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed)))
    }

    fn clear(&self) {
        self.counts.iter().chain([&self.unfamiliar]).for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Adds what a file kept: counts by place.
    pub(super) fn refill(&self, counts: &[(usize, u32)], unfamiliar: u32) {
        for &(place, more) in counts {
            if let Some(count) = self.counts.get(place) {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
        self.unfamiliar.fetch_add(unfamiliar, Ordering::Relaxed);
    }

    /// Counts by place, those that are zero left out, and how many were unfamiliar.
    pub(super) fn sparse(&self) -> (Vec<(usize, u32)>, u32) {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        (counts.filter(|(_, count)| *count > 0).collect(), self.unfamiliar.load(Ordering::Relaxed))
    }
}

/// The last [`KEPT_HOURS`] hours. An hour's place in the ring is taken over by the hour that comes a week later.
#[derive(Debug)]
pub(super) struct Hours {
    ring: Box<[Hour]>,
    /// Held while an hour is taken over, which happens once in an hour.
    turning: Mutex<()>,
}

#[derive(Debug, Default)]
struct Hour {
    /// Which hour since 1970, plus one; zero where there is none yet.
    stamp: AtomicU64,
    counters: Counters,
}

impl Default for Hours {
    fn default() -> Self {
        Self { ring: (0..KEPT_HOURS).map(|_| Hour::default()).collect(), turning: Mutex::new(()) }
    }
}

impl Hours {
    pub(super) fn add(&self, hour: u64, seen: &Seen<'_>) {
        if let Some(counters) = self.at(hour) {
            counters.add(&seen.sighting, seen.judged);
        }
    }

    /// The counters of an hour, cleared where they were another's. `None` of an hour that has left the ring.
    pub(super) fn at(&self, hour: u64) -> Option<&Counters> {
        let slot = self.ring.get(hour as usize % KEPT_HOURS)?;
        let stamp = hour + 1;
        if slot.stamp.load(Ordering::Acquire) != stamp {
            let _turn = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
            let there = slot.stamp.load(Ordering::Acquire);
            if there > stamp {
                return None;
            }
            if there < stamp {
                slot.counters.clear();
                slot.stamp.store(stamp, Ordering::Release);
            }
        }
        Some(&slot.counters)
    }

    /// Adds the counts of these hours to a tally and gives how many of them were unfamiliar.
    pub(super) fn sum(&self, hours: RangeInclusive<u64>, tally: &mut Tally) -> u64 {
        let mut unfamiliar = 0;
        for (_, counters) in self.kept().filter(|(hour, _)| hours.contains(hour)) {
            tally.add_counts(counters.values());
            unfamiliar += u64::from(counters.unfamiliar.load(Ordering::Relaxed));
        }
        unfamiliar
    }

    /// Every hour that has something.
    pub(super) fn kept(&self) -> impl Iterator<Item = (u64, &Counters)> {
        self.ring.iter().filter_map(|slot| Some((slot.stamp.load(Ordering::Acquire).checked_sub(1)?, &slot.counters)))
    }
}
