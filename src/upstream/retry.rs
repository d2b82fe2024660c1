//! When to ask again, when to move on. Pure: time and chance are arguments.

use std::time::Duration;

use crate::domain::resilience::RetrySettings;
use crate::upstream::classify::Advice;

/// What is left to a call after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The time before the deadline.
    pub time: Duration,
    /// How many targets have not been tried and may be asked.
    pub targets: usize,
    /// The time since the first attempt.
    pub spent: Duration,
    /// Whether one of the targets left serves the same model: it is asked instead of the same one again.
    pub twin: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the same target after this pause.
    Retry(Duration),
    /// Ask the next target now, if there is one.
    NextTarget,
    /// Stop.
    Stop,
}

/// Counts the attempts of one call.
#[derive(Clone, Debug)]
pub struct RetryPlan {
    settings: RetrySettings,
    jitter: f64,
    at_target: u32,
    total: u32,
}

impl RetryPlan {
    /// A plan for one call. `jitter` is the call's draw from 0 to 1: pauses last between half and all of their length, so that callers who
    /// failed together do not come back together.
    #[must_use]
    pub fn new(settings: RetrySettings, jitter: f64) -> Self {
        Self { settings, jitter: if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 }, at_target: 0, total: 0 }
    }

    /// Decides what follows an attempt that failed. A pause that does not end before the deadline is not begun.
    #[must_use]
    pub fn after(&mut self, advice: Advice, left: Left) -> Next {
        self.at_target += 1;
        self.total += 1;
        let next = self.decide(advice, left);
        if next == Next::NextTarget {
            self.move_on();
        }
        next
    }

    /// The next attempt goes to another target.
    pub fn move_on(&mut self) {
        self.at_target = 0;
    }

    fn decide(&self, advice: Advice, left: Left) -> Next {
        // Every target that is left may have its turn before one gets a second.
        let spare = usize::try_from(self.settings.total.saturating_sub(self.total)).unwrap_or(usize::MAX);
        let has_time = left.spent < self.settings.within;
        let may_retry = self.at_target < self.settings.per_target && spare > left.targets && has_time && !left.twin;
        let patience = if left.targets == 0 { self.settings.last_patience } else { self.settings.patience };
        let pause = match advice {
            Advice::GiveUp => return Next::Stop,
            Advice::MoveOn | Advice::Larger => None,
            Advice::Backoff => Some(self.backoff()),
            Advice::Wait(hint) => (hint <= patience).then_some(hint),
        };
        match pause {
            _ if self.total >= self.settings.total && left.targets == 0 => Next::Stop,
            Some(pause) if may_retry && pause < left.time => Next::Retry(pause),
            Some(_) | None => Next::NextTarget,
        }
    }

    fn backoff(&self) -> Duration {
        let doubled = self.settings.base.saturating_mul(2_u32.saturating_pow(self.at_target.saturating_sub(1)));
        doubled.min(self.settings.cap).mul_f64(0.5 + self.jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Left = Left { time: Duration::from_secs(600), targets: 1, spent: Duration::ZERO, twin: false };

    fn plan(jitter: f64) -> RetryPlan {
        RetryPlan::new(RetrySettings::default(), jitter)
    }

    #[test]
    fn retries_once_and_then_moves_on_for_every_target() {
        let mut plan = plan(1.0);

        for _ in 0..2 {
            assert_eq!(plan.after(Advice::Backoff, LONG), Next::Retry(Duration::from_millis(200)));
            assert_eq!(plan.after(Advice::Backoff, LONG), Next::NextTarget);
        }
    }

    #[test]
    fn stops_at_the_total() {
        let settings = RetrySettings { total: 3, ..RetrySettings::default() };
        let mut plan = RetryPlan::new(settings, 0.0);

        let nexts = [1, 1, 0].map(|targets| plan.after(Advice::Backoff, Left { targets, ..LONG }));

        assert_eq!(nexts, [Next::Retry(Duration::from_millis(100)), Next::NextTarget, Next::Stop]);
    }

    #[test]
    fn every_target_has_its_turn_before_one_gets_a_second() {
        let settings = RetrySettings { total: 3, ..RetrySettings::default() };
        let mut plan = RetryPlan::new(settings, 0.0);

        let nexts = [4, 3, 2, 1].map(|targets| plan.after(Advice::Backoff, Left { targets, ..LONG }));

        assert_eq!(nexts, [Next::NextTarget; 4]);
    }

    #[test]
    fn another_place_of_the_same_model_is_asked_instead_of_the_same_again() {
        assert_eq!(plan(0.0).after(Advice::Backoff, Left { twin: true, ..LONG }), Next::NextTarget);
    }

    #[test]
    fn retries_end_with_their_time() {
        let left = |seconds| Left { spent: Duration::from_secs(seconds), ..LONG };

        assert!(matches!(plan(0.0).after(Advice::Backoff, left(59)), Next::Retry(_)));
        assert_eq!(plan(0.0).after(Advice::Backoff, left(60)), Next::NextTarget);
    }

    #[test]
    fn honours_a_hint_that_fits_and_moves_on_from_one_that_does_not() {
        let after = |hint, left| plan(0.0).after(Advice::Wait(hint), left);
        let second = Duration::from_secs(1);
        let last = Left { targets: 0, ..LONG };

        assert_eq!(after(second, LONG), Next::Retry(second));
        assert_eq!(after(second, Left { time: second, ..LONG }), Next::NextTarget);
        assert_eq!(after(3 * second, LONG), Next::NextTarget);
        assert_eq!(after(3 * second, last), Next::Retry(3 * second));
        assert_eq!(after(31 * second, last), Next::NextTarget);
    }

    #[test]
    fn gives_up_when_no_target_will_do_better() {
        assert_eq!(plan(0.0).after(Advice::GiveUp, LONG), Next::Stop);
        assert_eq!(plan(0.0).after(Advice::MoveOn, LONG), Next::NextTarget);
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let settings = RetrySettings { per_target: 9, total: 9, ..RetrySettings::default() };
        let mut plan = RetryPlan::new(settings, 1.0);

        let pauses = [(); 6].map(|()| plan.after(Advice::Backoff, LONG));

        assert_eq!(pauses, [200, 400, 800, 1600, 2000, 2000].map(|ms| Next::Retry(Duration::from_millis(ms))));
    }

    proptest! {
        #[test]
        fn never_exceeds_its_bounds(advice in prop::collection::vec(0..4_u8, 1..40), jitter in any::<f64>(), ms in 0..20_000_u64, targets in 0..2_usize) {
            let mut plan = plan(jitter);
            let left = Left { time: Duration::from_millis(ms), targets, ..LONG };
            let mut retries = 0;
            let total = usize::try_from(RetrySettings::default().total).unwrap();
            for (made, advice) in advice.into_iter().enumerate() {
                let advice = [Advice::Backoff, Advice::Wait(Duration::from_secs(3)), Advice::MoveOn, Advice::GiveUp][usize::from(advice)];
                match plan.after(advice, left) {
                    Next::Retry(pause) => {
                        retries += 1;
                        prop_assert!(pause < left.time);
                        prop_assert!(retries < RetrySettings::default().per_target);
                    }
                    Next::NextTarget => retries = 0,
                    Next::Stop => break,
                }
                prop_assert!(made + 1 < total || targets > 0);
            }
        }
    }
}
