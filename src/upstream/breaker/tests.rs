use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn breaker() -> (Breaker, Instant) {
    (Breaker::new(BreakerSettings::default()), Instant::now())
}

fn fail(breaker: &Breaker, times: u32, now: Instant) {
    for _ in 0..times {
        let entry = breaker.enter(now).unwrap();
        breaker.failed(entry, now);
    }
}

fn succeed(breaker: &Breaker, times: u32, now: Instant) {
    for _ in 0..times {
        let entry = breaker.enter(now).unwrap();
        breaker.succeeded(entry, now);
    }
}

#[tokio::test(start_paused = true)]
async fn opens_at_the_share_of_failures_and_not_before() {
    let (breaker, now) = breaker();
    for _ in 0..4 {
        succeed(&breaker, 1, now);
        fail(&breaker, 1, now);
    }
    assert_eq!(breaker.view(now).state, BreakerState::Closed, "eight calls say too little");

    succeed(&breaker, 1, now);
    fail(&breaker, 1, now);

    let view = breaker.view(now);
    assert_eq!((view.state, view.calls, view.failures, view.opened), (BreakerState::Open, 10, 5, 1));
    assert_eq!(view.remaining, 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_however_far_apart() {
    let (breaker, now) = breaker();
    for minute in 0..5 {
        assert_eq!(breaker.view(now).state, BreakerState::Closed);
        fail(&breaker, 1, now + minute * 60 * SECOND);
    }

    assert_eq!(breaker.view(now + 241 * SECOND).state, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn what_left_the_window_no_longer_counts() {
    let (breaker, now) = breaker();
    fail(&breaker, 4, now);
    succeed(&breaker, 1, now);
    let later = now + 31 * SECOND;

    fail(&breaker, 4, later);
    succeed(&breaker, 5, later);

    let view = breaker.view(later);
    assert_eq!((view.state, view.calls, view.failures), (BreakerState::Closed, 9, 4));
}

#[tokio::test(start_paused = true)]
async fn one_probe_passes_after_the_cooling_and_closes_or_reopens_it() {
    let (breaker, now) = breaker();
    fail(&breaker, 5, now);
    assert_eq!(breaker.enter(now + 9 * SECOND), Err(now + 10 * SECOND));
    let later = now + 10 * SECOND;

    assert_eq!(breaker.enter(later), Ok(Entry::Probe));
    assert!(breaker.enter(later).is_err(), "a single probe");
    breaker.failed(Entry::Probe, later);
    assert_eq!(breaker.enter(later + 19 * SECOND), Err(later + 20 * SECOND), "the cooling doubles");
    let again = later + 20 * SECOND;
    assert_eq!(breaker.enter(again), Ok(Entry::Probe));
    breaker.succeeded(Entry::Probe, again);

    assert_eq!(breaker.enter(again), Ok(Entry::Free));
    fail(&breaker, 5, again);
    assert_eq!(breaker.view(again).remaining, 10 * SECOND, "the cooling starts anew");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_leaves_its_place_to_the_next_call() {
    let (breaker, now) = breaker();
    fail(&breaker, 5, now);
    let later = now + 10 * SECOND;
    let probe = breaker.enter(later).unwrap();

    breaker.undecided(probe, later);

    assert_eq!(breaker.enter(later), Ok(Entry::Probe));
}

#[tokio::test(start_paused = true)]
async fn counts_are_exact_under_many_threads() {
    let settings = BreakerSettings { failures: 1.0, in_a_row: u32::MAX, ..BreakerSettings::default() };
    let (breaker, now) = (Breaker::new(settings), Instant::now());

    std::thread::scope(|scope| {
        for thread in 0..8 {
            let breaker = &breaker;
            scope.spawn(move || {
                for _ in 0..1_000 {
                    let entry = Entry::Free;
                    if thread % 2 == 0 {
                        breaker.succeeded(entry, now);
                    } else {
                        breaker.failed(entry, now);
                    }
                }
            });
        }
    });

    let view = breaker.view(now);
    assert_eq!((view.calls, view.failures), (8_000, 4_000));
}
