//! Drills against scripted upstreams.

use super::*;
use crate::domain::ids::{ModelName, TierId, UpstreamId};
use crate::domain::money::Price;
use crate::upstream::client::{Upstream, UpstreamSettings};
use crate::upstream::fake::{FakeUpstream, hang};
use crate::upstream::health::Health;

fn settings(schedule: Schedule, cap: f64) -> DrillSettings {
    DrillSettings { schedule, timeout: Duration::from_secs(5), daily_cap: NanoUsd::from_usd(cap).unwrap() }
}

fn target(base_url: &str) -> Target {
    let settings = UpstreamSettings::new(UpstreamId::from("first"), base_url.to_owned());
    Target {
        upstream: Arc::new(Upstream::new(settings).unwrap()),
        model: ModelName::from("cheap"),
        upstream_model: "vendor".to_owned(),
        tier: TierId::from("small"),
        price: Some(Price {
            input_per_mtok: NanoUsd(1_000_000_000),
            output_per_mtok: NanoUsd(1_000_000_000),
            ..Price::default()
        }),
        context_tokens: None,
        weight: 1.0,
        key: None,
        health: Arc::new(Health::default()),
    }
}

fn drills(settings: DrillSettings, targets: Vec<Target>) -> Drills {
    let targets = targets.into_iter().map(Arc::new).collect();
    Drills::new(settings, targets, Arc::new(Metrics::new([])))
}

#[test]
fn pauses_vary_around_the_schedule_within_their_share() {
    let schedule = Schedule::Every(Duration::from_secs(100), 0.2);
    let pause = |draw| schedule.pause(draw).unwrap().as_secs_f64().round();

    assert_eq!([pause(0.0), pause(0.5), pause(1.0)], [80.0, 100.0, 120.0]);
    assert_eq!(Schedule::Off.pause(0.5), None);
}

#[tokio::test]
async fn a_drill_that_may_cost_too_much_is_not_made() {
    // A drill may cost 88 millionths at most, and refused connections cost nothing.
    let drills = drills(settings(Schedule::Off, 80e-6), vec![target("http://127.0.0.1:9/v1")]);

    drills.round().await.unwrap();

    let view = drills.view();
    assert_eq!((view.targets[0].state, view.targets[0].over_budget), (PathState::Untried, true));
    assert_eq!(view.spent, NanoUsd::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_for_24_hours_and_what_was_not_used_comes_back() {
    let now = Instant::now();
    let mut table = Table::new(1, now);
    let cap = NanoUsd(100);

    let first = table.reserve(NanoUsd(60), cap, now).unwrap();
    assert!(table.reserve(NanoUsd(60), cap, now).is_none(), "set aside");
    table.settle(first, NanoUsd(30));
    let second = table.reserve(NanoUsd(60), cap, now).unwrap();
    assert!(table.reserve(NanoUsd(60), cap, now + Duration::from_secs(23 * 3600)).is_none());
    let tomorrow = now + Duration::from_secs(25 * 3600);
    assert!(table.reserve(NanoUsd(60), cap, tomorrow).is_some());
    table.settle(second, NanoUsd(10));
    assert_eq!(table.spent(tomorrow), NanoUsd(60), "what was set aside yesterday was not set aside today");
}

#[tokio::test]
async fn a_drill_that_is_cut_is_taken_to_have_cost_what_it_may() {
    let fake = FakeUpstream::script([hang()]).await;
    let drills = drills(settings(Schedule::Off, 1.0), vec![target(&fake.base_url())]);

    tokio::select! {
        _ = drills.round() => panic!("nobody answers"),
        () = fake.asked() => {}
    }

    assert_eq!(drills.view().spent, NanoUsd(88_000), "24 tokens in and 64 out at a millionth each");
}

#[tokio::test(start_paused = true)]
async fn drills_come_by_themselves_until_they_are_to_stop() {
    let drills =
        drills(settings(Schedule::Every(Duration::from_secs(60), 0.0), 0.0), vec![target("http://127.0.0.1:9/v1")]);
    let stop = CancellationToken::new();

    let made = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!drills.view().targets[0].over_budget, "not before the first pause is over");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(drills.view().targets[0].over_budget);
        stop.cancel();
    };
    tokio::join!(drills.keep_on(|| 0.5, stop.clone()), made);
}

#[tokio::test(start_paused = true)]
async fn one_round_at_a_time() {
    let drills = drills(settings(Schedule::Off, 1.0), vec![target("http://127.0.0.1:9/v1")]);

    let (first, second) = tokio::join!(drills.round(), drills.round());

    assert_eq!((first, second), (Ok(()), Err(Busy)));
    assert_eq!(drills.round().await, Ok(()), "the place is free again");
}

#[tokio::test]
async fn a_restart_forgets_neither_what_was_found_nor_what_it_cost() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trimtab.drills.json");
    let start = |cap| drills(settings(Schedule::Off, cap), vec![target("http://127.0.0.1:9/v1")]).kept_in(file.clone());
    let before = start(150e-6);
    let reserved = before.table().reserve(NanoUsd(60_000), NanoUsd(150_000), Instant::now()).unwrap();
    before.table().settle(reserved, NanoUsd(60_000));
    before.round().await.unwrap();
    let found = before.view().targets.remove(0);
    drop(before);

    let after = start(100e-6);

    assert_eq!(after.view().spent, NanoUsd(60_000));
    let kept = after.view().targets.remove(0);
    assert_eq!((kept.state, kept.class, kept.failures), (PathState::Broken, found.class, 1));
    let now = Instant::now();
    assert!(kept.age(now).is_some() && kept.last_ok(now).is_none() && kept.error == found.error);
    after.round().await.unwrap();
    assert!(after.view().targets[0].over_budget, "the cap of the day goes on");

    std::fs::write(&file, "no JSON").unwrap();
    assert_eq!(start(1.0).view().spent, NanoUsd::ZERO, "what cannot be read is left out");
}
