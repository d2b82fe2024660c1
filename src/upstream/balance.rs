//! Which of several places that serve one model is asked first: deployments, and keys of one upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::domain::resilience::Balance;
use crate::upstream::dispatch::Target;

/// The golden ratio's part below one: multiples of it fill the unit interval as evenly as a sequence can.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The targets of one model.
#[derive(Debug, Default)]
pub struct Pool {
    targets: Vec<Arc<Target>>,
    balance: Balance,
    turn: AtomicU64,
}

impl Pool {
    /// A pool. Targets of weight zero are asked only where the others do not do.
    #[must_use]
    pub fn new(targets: Vec<Target>, balance: Balance) -> Self {
        Self { targets: targets.into_iter().map(Arc::new).collect(), balance, turn: AtomicU64::new(0) }
    }

    /// Every target, in the order of the configuration.
    #[must_use]
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// Every target in the order in which the next call should ask them.
    #[must_use]
    pub fn ordered(&self, now: Instant) -> Vec<Arc<Target>> {
        if self.targets.len() < 2 {
            return self.targets.clone();
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order = match self.balance {
            Balance::Weighted => self.by_weight(turn, now),
            Balance::LeastBusy => self.by(|target| {
                // Those without a weight are compared with each other alone.
                let weight = if target.weight > 0.0 { target.weight } else { 1.0 };
                f64::from(target.health.in_flight() + 1) / (weight * target.health.share(now))
            }),
            Balance::Latency => self.by(|target| {
                let waiting = f64::from(target.health.in_flight() + 1);
                target.health.latency(now) * waiting / target.health.share(now)
            }),
            Balance::Cost => self.by(|target| {
                let price = target.price.map(|price| price.input_per_mtok.0.saturating_add(price.output_per_mtok.0));
                price.map_or(f64::INFINITY, |price| price as f64 / target.health.share(now))
            }),
        };
        // Equals take turns.
        let by = turn as usize % order.len();
        order.rotate_left(by);
        let is_last = |target: &Target| target.weight <= 0.0;
        order.sort_by(|(a, one), (b, other)| is_last(one).cmp(&is_last(other)).then(a.total_cmp(b)));
        order.into_iter().map(|(_, target)| Arc::clone(target)).collect()
    }

    fn by(&self, rank: impl Fn(&Target) -> f64) -> Vec<(f64, &Arc<Target>)> {
        self.targets.iter().map(|target| (rank(target), target)).collect()
    }

    /// The one whose part of the unit interval this turn falls into comes first, the others by weight.
    fn by_weight(&self, turn: u64, now: Instant) -> Vec<(f64, &Arc<Target>)> {
        let weights = self.by(|target| target.weight * target.health.share(now));
        let total: f64 = weights.iter().map(|(weight, _)| weight).sum();
        let point = (turn as f64 * GOLDEN).fract() * total;
        let mut passed = 0.0;
        weights
            .into_iter()
            .map(|(weight, target)| {
                let is_first = (passed..passed + weight).contains(&point);
                passed += weight;
                (if is_first { f64::NEG_INFINITY } else { -weight }, target)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use reqwest::header::HeaderMap;

    use super::*;
    use crate::domain::money::{NanoUsd, Price};
    use crate::upstream::headroom::Headroom;
    use crate::upstream::health::Health;
    use crate::upstream::tests::{settings, target_of};

    fn target(name: &str, weight: f64) -> Target {
        Target {
            weight,
            health: Arc::new(Health::default()),
            ..target_of(settings(name, "http://127.0.0.1:9/v1".to_owned()))
        }
    }

    /// How often each of the targets `a`, `b` and `c` comes first.
    fn firsts(pool: &Pool, turns: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..turns {
            let order = pool.ordered(Instant::now());
            assert_eq!(order.len(), pool.targets().len());
            let first = order[0].upstream.id().as_str().as_bytes()[0] - b'a';
            counts[usize::from(first)] += 1;
        }
        counts
    }

    #[tokio::test(start_paused = true)]
    async fn load_is_spread_by_weight() {
        let pool = Pool::new(vec![target("a", 3.0), target("b", 1.0), target("c", 0.0)], Balance::Weighted);

        let [a, b, c] = firsts(&pool, 1_000);

        assert!(a.abs_diff(750) < 5 && b.abs_diff(250) < 5, "{a} {b}");
        assert_eq!(c, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_without_weight_is_the_last_resort_however_load_is_spread() {
        for balance in [Balance::Weighted, Balance::LeastBusy, Balance::Latency, Balance::Cost] {
            let price = |usd| Some(Price { input_per_mtok: NanoUsd(usd), ..Price::default() });
            let [dear, cheap] = [(1.0, 200), (0.0, 100)].map(|(weight, usd)| (weight, price(usd)));
            let make = |name, (weight, price)| Target { price, ..target(name, weight) };
            let pool = Pool::new(vec![make("a", cheap), make("b", dear), make("c", cheap)], balance);
            let mut busy = pool.targets()[1].health.enter(Instant::now()).unwrap();
            busy.proved(Duration::from_secs(9));

            assert_eq!(firsts(&pool, 10), [0, 10, 0], "{balance:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_limits_leave_smooths_the_load() {
        let pool = Pool::new(vec![target("a", 1.0), target("b", 1.0)], Balance::Weighted);
        let headers = [("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "25")];
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        pool.targets()[0].health.note(Headroom::read(&headers, Instant::now(), UNIX_EPOCH).unwrap());

        let [a, b, _] = firsts(&pool, 1_000);
        tokio::time::advance(Duration::from_secs(60)).await;
        let [later, _, _] = firsts(&pool, 1_000);

        assert!(a.abs_diff(200) < 5 && b.abs_diff(800) < 5, "{a} {b}");
        assert!(later.abs_diff(500) < 5, "{later}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_busy_comes_first_and_equals_take_turns() {
        let pool = Pool::new(vec![target("a", 1.0), target("b", 1.0), target("c", 1.0)], Balance::LeastBusy);
        let pass = pool.targets()[0].health.enter(Instant::now()).unwrap();

        let [a, b, c] = firsts(&pool, 300);
        drop(pass);
        let [again, _, _] = firsts(&pool, 300);

        assert_eq!((a, b + c), (0, 300));
        assert!(b > 90 && c > 90, "{b} {c}");
        assert_eq!(again, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fastest_comes_first_and_slow_ones_are_looked_at_again() {
        let pool = Pool::new(vec![target("a", 1.0), target("b", 1.0)], Balance::Latency);
        for (target, ms) in pool.targets().iter().zip([100, 900]) {
            let mut pass = target.health.enter(Instant::now()).unwrap();
            pass.proved(Duration::from_millis(ms));
            pass.succeeded();
        }

        assert_eq!(firsts(&pool, 10), [10, 0, 0]);
        tokio::time::advance(Duration::from_secs(120)).await;
        let mut pass = pool.targets()[0].health.enter(Instant::now()).unwrap();
        pass.proved(Duration::from_millis(100));
        assert_eq!(firsts(&pool, 10), [0, 10, 0], "what was slow two minutes ago may be fast now");
    }

    #[tokio::test(start_paused = true)]
    async fn the_cheapest_comes_first() {
        let priced = |name, price| Target { price, ..target(name, 1.0) };
        let price = |usd| Some(Price { input_per_mtok: NanoUsd(usd), ..Price::default() });
        let pool = Pool::new(vec![priced("a", None), priced("b", price(200)), priced("c", price(100))], Balance::Cost);

        assert_eq!(firsts(&pool, 10), [0, 0, 10]);
    }
}
