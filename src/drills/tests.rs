//! Drills against scripted upstreams.

use super::*;
use crate::domain::ids::{ModelName, PolicyName, TierId, UpstreamId};
use crate::domain::money::Price;
use crate::upstream::client::{Upstream, UpstreamSettings};
use crate::upstream::fake::{FakeUpstream, hang, json as whole, sse, status};
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
    let chat = targets.into_iter().map(Arc::new).collect();
    Drills::new(settings, Paths { chat, ..Paths::default() }, Arc::new(Metrics::new([])))
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
async fn a_drill_that_is_not_answered_in_time_is_taken_to_have_cost_what_it_may() {
    let fake = FakeUpstream::script([hang()]).await;
    let drills = drills(settings(Schedule::Off, 1.0), vec![target(&fake.base_url())]);

    drills.round().await.unwrap();

    assert_eq!((drills.view().targets[0].state, drills.view().spent), (PathState::Broken, NanoUsd(88_000)));
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

const WORD: &str = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"OK"},"finish_reason":"stop"}]}"#;

#[tokio::test]
async fn both_ways_are_drilled_in_turn_and_one_that_failed_until_it_works() {
    let fake = FakeUpstream::script([whole(WORD), status(503), sse(&["OK"]), whole(WORD)]).await;
    let drills = drills(settings(Schedule::Off, 1.0), vec![target(&fake.base_url())]);

    let mut found = Vec::new();
    for _ in 0..4 {
        drills.round().await.unwrap();
        let view = drills.view().targets.remove(0);
        found.push((view.way, view.state));
    }

    let (ok, broken) = (PathState::Ok, PathState::Broken);
    assert_eq!(found, [(Way::Whole, ok), (Way::Stream, broken), (Way::Stream, ok), (Way::Whole, ok)]);
    let asked = fake.requests();
    let streams: Vec<bool> =
        asked.iter().map(|request| String::from_utf8_lossy(&request.body).contains(r#""stream":true"#)).collect();
    assert_eq!(streams, [false, true, true, false]);
}

#[tokio::test]
async fn embedding_models_are_drilled_in_their_own_way() {
    let fake = FakeUpstream::script([whole(r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":1}}"#)]).await;
    let embeddings = vec![Arc::new(target(&fake.base_url()))];
    let paths = Paths { embeddings, ..Paths::default() };
    let drills = Drills::new(settings(Schedule::Off, 1.0), paths, Arc::new(Metrics::new([])));

    for _ in 0..2 {
        drills.round().await.unwrap();
    }

    assert_eq!(drills.view().targets[0].state, PathState::Ok);
    let asked = fake.requests();
    assert!(asked.len() == 2 && asked.iter().all(|request| request.path == "/v1/embeddings"), "{asked:?}");
}

/// A policy whose chain has one model that works at one place of two, and one that works nowhere.
async fn chain(file: &std::path::Path) -> (Drills, Arc<Metrics>) {
    let good = FakeUpstream::script([whole(WORD)]).await;
    let at = |model: &str, name: &str, base_url: &str| {
        Arc::new(Target { model: ModelName::from(model), upstream_model: name.to_owned(), ..target(base_url) })
    };
    let nowhere = "http://127.0.0.1:9/v1";
    let chat = vec![at("cheap", "one", nowhere), at("cheap", "two", &good.base_url()), at("dear", "vendor", nowhere)];
    let steps = ["cheap", "dear"].map(ModelName::from).to_vec();
    let chains = vec![Chain { policy: PolicyName::from("picky"), steps }];
    let metrics = Arc::new(Metrics::new([]));
    let paths = Paths { chat, chains, ..Paths::default() };
    let drills = Drills::new(settings(Schedule::Off, 1.0), paths, Arc::clone(&metrics)).kept_in(file.to_owned());
    drills.round().await.unwrap();
    (drills, metrics)
}

#[tokio::test]
async fn a_broken_step_of_a_policys_chain_is_shown_and_stays_shown_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trimtab.drills.json");
    let (before, metrics) = chain(&file).await;
    let steps: Vec<(String, PathState)> =
        before.view().steps.into_iter().map(|step| (step.step.to_string(), step.state)).collect();
    assert_eq!(steps, [("cheap".to_owned(), PathState::Ok), ("dear".to_owned(), PathState::Broken)]);

    let restarted = Arc::new(Metrics::new([]));
    let paths = Paths { chat: before.targets.clone(), chains: before.chains.clone(), ..Paths::default() };
    let after = Drills::new(settings(Schedule::Off, 1.0), paths, Arc::clone(&restarted)).kept_in(file);

    assert_eq!(after.view().steps, before.view().steps);
    for metrics in [metrics, restarted] {
        let text = metrics.render();
        for line in [
            r#"trimtab_drill_path_broken{policy="picky",step="cheap"} 0"#,
            r#"trimtab_drill_path_broken{policy="picky",step="dear"} 1"#,
            r#"trimtab_drill_broken{upstream="first",model="dear",upstream_model="vendor",key="1"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

#[tokio::test]
async fn the_first_failure_is_a_warning_and_that_it_works_again_is_told() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (log, fake) = (Log::default(), FakeUpstream::script([status(503), status(503), whole(WORD)]).await);
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let drills = drills(settings(Schedule::Off, 1.0), vec![target(&fake.base_url())]);

    {
        let _logging = tracing::subscriber::set_default(subscriber);
        for _ in 0..3 {
            drills.round().await.unwrap();
        }
    }

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = |what: &str| text.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    let warned = lines("WARN");
    assert_eq!(warned.len(), 1, "once: {text}");
    assert!(warned[0].contains("does not work") && warned[0].contains("cheap") && warned[0].contains("503"), "{text}");
    assert_eq!(lines("works again").len(), 1, "{text}");
}
