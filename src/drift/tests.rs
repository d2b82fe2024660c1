use super::*;
use crate::domain::language::Language;
use crate::domain::task::Task;

const START: u64 = 1_000 * HOUR_MS;

fn drift(reference: u64) -> Drift {
    let drift =
        Drift::new(DriftSettings { reference_decisions: reference, window_hours: 24, ..DriftSettings::default() });
    drift.begin(&BundleId::from("b"), None);
    drift
}

fn see(drift: &Drift, task: Task, at_unix_ms: u64, times: usize) {
    let bundle = BundleId::from("b");
    for at in 0..times {
        let sighting = Sighting {
            gain: (at % 40) as f64 / 100.0,
            task,
            language: Language::ENGLISH,
            chars: 100,
            density: 0.5,
            disagreement: 0.1,
        };
        drift.saw(&Seen { bundle: &bundle, sighting, judged: Judgeable::No, at_unix_ms });
    }
}

#[test]
fn the_first_decisions_are_the_reference_and_the_rest_is_recent() {
    let drift = drift(200);

    see(&drift, Task::OpenQa, START, 350);
    let report = drift.look(START).unwrap();

    assert_eq!((report.reference_decisions, report.decisions, report.state), (200, 150, State::Steady));
    assert!((report.unfamiliar_share - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_older_than_the_window_no_longer_counts() {
    let drift = drift(200);
    see(&drift, Task::OpenQa, START, 200);
    see(&drift, Task::Mathematics, START, 150);
    assert_eq!(drift.look(START).unwrap().state, State::Shifted);

    assert_eq!(drift.look(START + 23 * HOUR_MS).unwrap().decisions, 150);
    let later = drift.look(START + 24 * HOUR_MS).unwrap();

    assert_eq!((later.decisions, later.state, later.proposal), (0, State::Collecting, None));
}

#[test]
fn an_hour_a_week_later_takes_the_place_of_the_old_one() {
    let drift = drift(100);
    see(&drift, Task::OpenQa, START, 100);
    see(&drift, Task::OpenQa, START, 120);

    let week = START + 168 * HOUR_MS;
    see(&drift, Task::OpenQa, week, 130);
    see(&drift, Task::OpenQa, START, 5);

    assert_eq!(drift.look(week).unwrap().decisions, 130, "the old hour is gone, and its stragglers with it");
}

#[test]
fn another_bundle_starts_afresh_and_stragglers_of_the_old_one_are_left_out() {
    let drift = drift(100);
    see(&drift, Task::OpenQa, START, 250);

    drift.begin(&BundleId::from("b"), None);
    assert_eq!(drift.look(START).unwrap().decisions, 150, "the same bundle goes on");
    drift.begin(&BundleId::from("c"), None);
    see(&drift, Task::OpenQa, START, 10);

    let report = drift.look(START).unwrap();
    assert_eq!((report.bundle.as_str(), report.reference_decisions, report.decisions), ("c", 0, 0));
}

#[test]
fn training_is_the_reference_where_it_is_asked_for_and_there() {
    let settings =
        DriftSettings { reference: ReferenceKind::Training, reference_decisions: 100, ..DriftSettings::default() };
    let mut tally = Tally::default();
    let sighting = Sighting {
        gain: 0.1,
        task: Task::Mathematics,
        language: Language::ENGLISH,
        chars: 90,
        density: 0.8,
        disagreement: 0.0,
    };
    (0..500).for_each(|_| tally.add(&sighting));

    let with = Drift::new(settings);
    with.begin(&BundleId::from("b"), Some(&Baseline::new(tally)));
    see(&with, Task::OpenQa, START, 150);
    let without = Drift::new(settings);
    without.begin(&BundleId::from("b"), None);
    see(&without, Task::OpenQa, START, 150);

    let (with, without) = (with.look(START).unwrap(), without.look(START).unwrap());
    assert_eq!((with.reference, with.decisions, with.state), (ReferenceKind::Training, 150, State::Shifted));
    assert_eq!((without.reference, without.reference_decisions), (ReferenceKind::Traffic, 100));
}

#[test]
fn a_restart_goes_on_with_what_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("drift.json");
    let before = drift(200);
    see(&before, Task::OpenQa, START, 200);
    see(&before, Task::Mathematics, START, 150);
    before.judged(&BundleId::from("b"), Judged { predicted: 0.5, verdict: 1.0, instead_of: Some(0.25) });
    before.keep(&file).unwrap();

    let after = drift(200);
    after.resume(&BundleId::from("b"), None, &file).unwrap();
    let other = drift(200);
    other.resume(&BundleId::from("c"), None, &file).unwrap();

    assert_eq!(after.look(START), before.look(START));
    assert_eq!(other.look(START).unwrap().reference_decisions, 0);
    std::fs::write(&file, "{}").unwrap();
    assert!(matches!(after.resume(&BundleId::from("b"), None, &file), Err(keep::KeepError::Foreign { .. })));
    assert_eq!(after.look(START).unwrap().reference_decisions, 0);
}
