//! What is known of one target from the calls made to it: whether it works, how busy and how fast it is, and what its limits leave.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::resilience::BreakerSettings;
use crate::upstream::breaker::{Breaker, BreakerState, BreakerView, Entry};
use crate::upstream::classify::Blame;
use crate::upstream::headroom::Headroom;

/// How much of a new measurement enters the mean.
const NEW: f64 = 0.2;
/// After so long without a measurement a mean counts half, so that a target that was slow once is looked at again.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// The least that a target counts whose limits leave nothing: it must be looked at again some time.
const LEAST_SHARE: f64 = 0.02;
/// The longest rest that is kept without asking.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The health of one target: one model at one upstream with one key. Shared by all calls.
#[derive(Debug)]
pub struct Health {
    breaker: Breaker,
    /// Of the upstream with this key, whatever the model.
    lane: Arc<Breaker>,
    in_flight: AtomicU32,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    latency: Option<(Duration, Instant)>,
    headroom: Option<Headroom>,
    rests_until: Option<Instant>,
}

/// A target as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthView {
    /// Its own breaker.
    pub breaker: BreakerView,
    /// The breaker of its upstream and key.
    pub lane: BreakerView,
    /// Calls that it is answering.
    pub in_flight: u32,
    /// The mean time to the first token of a stream or to the end of a whole answer.
    pub latency: Option<Duration>,
    /// The share of its rate limits that is left, 0 to 1; 1 where it does not say.
    pub headroom: f64,
    /// How long it asked to be left alone.
    pub rests_for: Duration,
}

impl HealthView {
    /// The stricter of the two breakers.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.breaker.state.max(self.lane.state)
    }
}

/// Why a target is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) why: Why,
    pub(crate) until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A breaker is open, whether or not it asked to be left alone as well.
    Open,
    /// It asked to be left alone.
    Resting,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::Open => "not asked: it failed too often lately and its breaker is open",
            Why::Resting => "not asked: it wanted to be left alone for a while",
        })
    }
}

impl Default for Health {
    fn default() -> Self {
        let settings = BreakerSettings::default();
        Self::new(settings, Arc::new(Breaker::new(settings)))
    }
}

impl Health {
    /// Nothing is known yet. `lane` is the breaker of the upstream and key, shared by every model there.
    #[must_use]
    pub fn new(settings: BreakerSettings, lane: Arc<Breaker>) -> Self {
        Self { breaker: Breaker::new(settings), lane, in_flight: AtomicU32::new(0), seen: Mutex::default() }
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self, now: Instant) -> HealthView {
        let (latency, headroom, rests_for) = {
            let seen = self.seen();
            let rests_for = seen.rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            (seen.latency.map(|(mean, _)| mean), seen.share(now), rests_for)
        };
        HealthView {
            breaker: self.breaker.view(now),
            lane: self.lane.view(now),
            in_flight: self.in_flight(),
            latency,
            headroom,
            rests_for,
        }
    }

    /// Lets a call in, unless a breaker is open or the target asked to be left alone.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Obstacle> {
        let resting = self.seen().rests_until.filter(|until| *until > now);
        if let Some(until) = resting {
            let breakers = [self.lane.view(now), self.breaker.view(now)];
            let open = breakers.into_iter().filter(|view| view.state == BreakerState::Open);
            let opens = open.map(|view| now + view.remaining).max();
            let why = if opens.is_some() { Why::Open } else { Why::Resting };
            return Err(Obstacle { why, until: opens.map_or(until, |opens| opens.max(until)) });
        }
        let open = |until| Obstacle { why: Why::Open, until };
        let lane = self.lane.enter(now).map_err(open)?;
        let own = self.breaker.enter(now).map_err(|until| {
            self.lane.undecided(lane, now);
            open(until)
        })?;
        Ok(self.pass(own, lane))
    }

    /// Whether it would let a call in.
    pub(crate) fn lets_in(&self, now: Instant) -> bool {
        let rests = self.seen().rests_until.is_some_and(|until| until > now);
        !rests && self.lane.lets_in(now) && self.breaker.lets_in(now)
    }

    /// Lets a call in that has nowhere else to go.
    pub(crate) fn force(self: &Arc<Self>, now: Instant) -> Pass {
        self.pass(self.breaker.force(now), self.lane.force(now))
    }

    fn pass(self: &Arc<Self>, own: Entry, lane: Entry) -> Pass {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Pass { health: Arc::clone(self), own, lane, is_over: false }
    }

    /// It asked to be left alone for this long; a longer wish that it had before stands. More than a minute is not kept: whether it still wants to is cheap to ask.
    pub(crate) fn rest(&self, wait: Duration, now: Instant) {
        let mut seen = self.seen();
        seen.rests_until = seen.rests_until.max(Some(now + wait.min(LONGEST_REST)));
    }

    /// What its limits leave, as it said with an answer.
    pub(crate) fn note(&self, headroom: Headroom) {
        self.seen().headroom = Some(headroom);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The share of its limits that is left: how much it counts among its like.
    pub(crate) fn share(&self, now: Instant) -> f64 {
        self.seen().share(now).max(LEAST_SHARE)
    }

    /// The mean time it takes, in seconds; less the longer ago that was; zero where nothing is known.
    pub(crate) fn latency(&self, now: Instant) -> f64 {
        let Some((mean, at)) = self.seen().latency else { return 0.0 };
        let age = now.saturating_duration_since(at).as_secs_f64();
        mean.as_secs_f64() * (-age / HALF_LIFE.as_secs_f64()).exp2()
    }

    fn measured(&self, took: Duration, now: Instant) {
        let mut seen = self.seen();
        let mean = seen.latency.map_or(took, |(mean, _)| mean.mul_f64(1.0 - NEW) + took.mul_f64(NEW));
        seen.latency = Some((mean, now));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn share(&self, now: Instant) -> f64 {
        self.headroom.map_or(1.0, |headroom| headroom.share_at(now))
    }
}

/// A call that is on its way to a target. Dropped without a word it says nothing about the target, as a cancelled call.
#[derive(Debug)]
pub(crate) struct Pass {
    health: Arc<Health>,
    own: Entry,
    lane: Entry,
    is_over: bool,
}

impl Pass {
    /// The target began to answer, after this long. A probe has seen enough.
    pub(crate) fn proved(&mut self, took: Duration) {
        self.health.measured(took, Instant::now());
        self.health.breaker.proved(self.own);
        self.health.lane.proved(self.lane);
        (self.own, self.lane) = (Entry::Free, Entry::Free);
    }

    /// The target asked to be left alone while it was answering.
    pub(crate) fn rest(&self, wait: Duration) {
        self.health.rest(wait, Instant::now());
    }

    /// Another target was faster; this one took at least so long.
    pub(crate) fn outrun(&self, after: Duration) {
        self.health.measured(after, Instant::now());
    }

    /// The call ended well.
    pub(crate) fn succeeded(mut self) {
        self.is_over = true;
        let now = Instant::now();
        self.health.breaker.succeeded(self.own, now);
        self.health.lane.succeeded(self.lane, now);
    }

    /// The call failed. Whether that opened a breaker.
    pub(crate) fn failed(mut self, blame: Blame) -> bool {
        self.is_over = true;
        let now = Instant::now();
        match blame {
            Blame::Nobody => {
                self.undecided(now);
                false
            }
            Blame::Caller => {
                self.health.breaker.proved(self.own);
                self.health.lane.proved(self.lane);
                false
            }
            Blame::Target => {
                self.health.lane.undecided(self.lane, now);
                self.health.breaker.failed(self.own, now)
            }
            Blame::Lane => {
                self.health.breaker.undecided(self.own, now);
                self.health.lane.failed(self.lane, now)
            }
        }
    }

    fn undecided(&self, now: Instant) {
        self.health.breaker.undecided(self.own, now);
        self.health.lane.undecided(self.lane, now);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_over {
            self.undecided(Instant::now());
        }
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_is_not_hidden_by_a_rest() {
        let settings = BreakerSettings { in_a_row: 1, ..BreakerSettings::default() };
        let health = Arc::new(Health::new(settings, Arc::new(Breaker::new(settings))));
        let now = Instant::now();
        health.rest(Duration::from_secs(5), now);
        let why = || health.enter(now).unwrap_err().why;

        let before = why();
        health.force(now).failed(Blame::Target);

        assert_eq!((before, why()), (Why::Resting, Why::Open));
        assert_eq!(health.enter(now).unwrap_err().until, now + settings.cooling, "when nothing speaks against it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_wish_does_not_cut_a_longer_rest() {
        let (health, now) = (Health::default(), Instant::now());

        health.rest(Duration::from_secs(30), now);
        health.rest(Duration::from_secs(1), now);

        assert_eq!(health.view(now).rests_for, Duration::from_secs(30));
    }
}
