//! How long an upstream may take, where only that time counts which is spent waiting for it: neither a client that reads slowly nor a busy
//! machine makes an upstream silent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::domain::timeouts::{Throughput, Timeouts};
use crate::upstream::classify::Trouble;

/// Silence is counted in so many steps. When this program itself had no time for the connection, at most one step of it is held against the
/// upstream, and what had come meanwhile is read before the next.
pub(crate) const STEPS: u32 = 8;
pub(crate) const SHORTEST_STEP: Duration = Duration::from_millis(1);

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Between two pieces.
    idle: Duration,
    throughput: Option<Throughput>,
    /// When the answer must be complete.
    pub(crate) until: Instant,
    /// What it means when it is not.
    late: Late,
}

/// Which limit comes first.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// The upstream's own for one answer.
    Total(Duration),
    /// The deadline of the call.
    Deadline,
}

impl Limits {
    /// The limits of an attempt that begins now.
    pub(crate) fn new(timeouts: &Timeouts, deadline: Instant) -> Self {
        let total = Instant::now() + timeouts.total;
        let late = if total < deadline { Late::Total(timeouts.total) } else { Late::Deadline };
        Self { idle: timeouts.idle, throughput: timeouts.throughput, until: total.min(deadline), late }
    }

    pub(crate) const fn late(&self) -> Trouble {
        match self.late {
            Late::Total(total) => Trouble::Slow(total),
            Late::Deadline => Trouble::Deadline,
        }
    }
}

/// Watches a body that is being read.
pub(crate) struct Watch {
    limits: Limits,
    timer: Pin<Box<Sleep>>,
    /// The step that is being waited: since when and how long. `None` while nobody waits.
    step: Option<(Instant, Duration)>,
    /// How long the upstream has been silent, but for the step.
    silent: Duration,
    pace: Option<Pace>,
}

impl Watch {
    pub(crate) fn new(limits: Limits) -> Self {
        let timer = Box::pin(sleep_until(limits.until));
        let pace = limits.throughput.map(Pace::new);
        Self { limits, timer, step: None, silent: Duration::ZERO, pace }
    }

    /// What it means that the end of the attempt has come, if it has.
    pub(crate) fn late(&self) -> Option<Trouble> {
        (Instant::now() >= self.limits.until).then(|| self.limits.late())
    }

    /// The upstream sent something, of which so many bytes are answer.
    pub(crate) fn came(&mut self, bytes: usize) {
        if let Some(pace) = &mut self.pace {
            let waited = self.step.map_or(Duration::ZERO, |(since, length)| since.elapsed().min(length));
            pace.note(waited, bytes);
        }
        self.lives();
    }

    /// The upstream gave a sign of life before its answer, which is not to be hurried.
    pub(crate) const fn lives(&mut self) {
        self.step = None;
        self.silent = Duration::ZERO;
    }

    /// Waits for as long as the upstream may be waited for. To be polled only after it had nothing to give.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Trouble> {
        loop {
            if let Some(trouble) = self.trouble() {
                return Poll::Ready(trouble);
            }
            let (_, length) = *self.step.get_or_insert_with(|| {
                let now = Instant::now();
                let left =
                    self.limits.idle.saturating_sub(self.silent).min((self.limits.idle / STEPS).max(SHORTEST_STEP));
                let length = self.pace.as_ref().map_or(left, |pace| pace.left().min(left)).max(SHORTEST_STEP);
                self.timer.as_mut().reset((now + length).min(self.limits.until));
                (now, length)
            });
            ready!(self.timer.as_mut().poll(cx));
            self.step = None;
            self.silent += length;
            if let Some(pace) = &mut self.pace {
                pace.note(length, 0);
            }
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        let idle = || (self.silent >= self.limits.idle).then_some(Trouble::Idle(self.limits.idle));
        let slow = || self.pace.as_ref().filter(|pace| pace.is_too_slow()).map(|pace| Trouble::Trickle(pace.least));
        self.late().or_else(idle).or_else(slow)
    }
}

/// How much came in the time that was waited. Windows follow one another, so that a pause is found out after two at the latest.
#[derive(Debug)]
struct Pace {
    least: Throughput,
    waited: Duration,
    bytes: usize,
}

impl Pace {
    const fn new(least: Throughput) -> Self {
        Self { least, waited: Duration::ZERO, bytes: 0 }
    }

    fn note(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited >= self.least.window && !self.is_too_slow() {
            *self = Self::new(self.least);
        }
    }

    fn left(&self) -> Duration {
        self.least.window.saturating_sub(self.waited)
    }

    fn is_too_slow(&self) -> bool {
        let needed = f64::from(self.least.bytes_per_second) * self.least.window.as_secs_f64();
        self.waited >= self.least.window && (self.bytes as f64) < needed
    }
}
