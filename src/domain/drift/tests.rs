use proptest::prelude::*;

use super::*;
use crate::domain::ids::BundleId;
use crate::domain::language::Language;
use crate::domain::task::Task;

fn sighting(task: Task, gain: f64) -> Sighting {
    Sighting { gain, task, language: Language::ENGLISH, chars: 100, density: 0.6, disagreement: 0.05 }
}

/// Prompts of which this share is code; gains are spread alike in all of them.
fn mix(prompts: usize, code: f64) -> Tally {
    let mut tally = Tally::default();
    for at in 0..prompts {
        let task = if (at as f64) < code * prompts as f64 { Task::CodeGeneration } else { Task::OpenQa };
        tally.add(&sighting(task, (at * 7 % 50) as f64 / 100.0));
    }
    tally
}

fn look(reference: &Tally, recent: &Tally, before: Levels) -> (DriftReport, Levels) {
    let verdicts = Verdicts::default();
    DriftReport::of(&observed(reference, recent, &verdicts), before)
}

fn observed<'a>(reference: &'a Tally, recent: &'a Tally, verdicts: &'a Verdicts) -> Observed<'a> {
    static BUNDLE: std::sync::LazyLock<BundleId> = std::sync::LazyLock::new(|| BundleId::from("b"));
    Observed {
        bundle: &BUNDLE,
        kind: ReferenceKind::Traffic,
        reference,
        wanted: 1_000,
        recent,
        unfamiliar: 3,
        window_hours: 24,
        verdicts,
    }
}

#[test]
fn the_index_is_what_it_is_by_hand() {
    // (0.5 − 0.2) ln(0.5 / 0.2) + (0.5 − 0.8) ln(0.5 / 0.8), the floor aside.
    let by_hand = 0.3 * (2.5_f64).ln() - 0.3 * (0.625_f64).ln();

    assert!((psi(&[500, 500], &[200, 800]) - by_hand).abs() < 0.002, "{by_hand}");
    // Three bins: 0.1 ln(0.5/0.4) + 0 + −0.1 ln(0.2/0.3).
    let by_hand = 0.1 * (1.25_f64).ln() - 0.1 * (2.0_f64 / 3.0).ln();
    assert!((psi(&[50, 30, 20], &[40, 30, 30]) - by_hand).abs() < 0.002, "{by_hand}");
}

#[test]
fn an_empty_bin_moves_the_index_and_an_empty_side_does_not() {
    let emptied = psi(&[90, 10], &[100, 0]);

    assert!(emptied.is_finite() && emptied > 0.2, "{emptied}");
    assert!(psi(&[0, 0], &[5, 5]).abs() < 1e-12);
    assert!(chance(&[0, 0], &[5, 5]).is_infinite());
}

#[test]
fn chance_explains_small_samples() {
    // 10 bins, 1,000 and 200 prompts: the 99 % quantile of chi-squared with 9 degrees of freedom is 21.67.
    let (reference, recent) = ([100; 10], [20; 10]);

    assert!((chance(&reference, &recent) - 21.67 * 0.006).abs() < 0.002);
    assert!(chance(&reference, &[2; 10]) > SHIFTED);
}

#[test]
fn numbers_are_cut_into_bins_of_equal_weight_in_the_reference() {
    let reference = mix(1_000, 0.1);

    let binned = Tally::binned(&reference, &mix(500, 0.1), Dimension::Gain);

    assert_eq!(binned.reference.iter().sum::<u64>(), 1_000);
    assert_eq!(binned.recent.iter().sum::<u64>(), 500);
    assert!((9..=11).contains(&binned.names.len()), "{binned:?}");
    assert!(binned.reference.iter().take(9).all(|count| (80..=120).contains(count)), "{binned:?}");
    assert_eq!(binned.names[0], "0.00 to 0.05");
}

#[test]
fn nothing_is_said_before_there_is_enough_to_compare() {
    let (report, _) = look(&mix(999, 0.1), &mix(500, 0.9), Levels::default());
    assert_eq!((report.state, report.dimensions.len()), (State::Collecting, 0));

    let (report, _) = look(&mix(1_000, 0.1), &mix(99, 0.9), Levels::default());
    assert_eq!((report.state, report.proposal), (State::Collecting, None));
}

#[test]
fn another_mix_of_tasks_is_proposed_for_a_retrain_with_its_evidence() {
    let (report, _) = look(&mix(1_000, 0.08), &mix(2_140, 0.35), Levels::default());

    assert_eq!(report.state, State::Shifted);
    let proposal = report.proposal.unwrap();
    assert!(proposal.contains("the task mix moved: PSI 0.49"), "{proposal}");
    assert!(proposal.contains("over 2140 decisions, code_generation from 8 % to 35 %"), "{proposal}");
    assert!(proposal.contains("trimtab train --base"), "{proposal}");
    let steady = report.dimensions.iter().filter(|moved| moved.level == Level::Steady);
    assert_eq!(steady.count(), 5, "only the task mix moved");
}

#[test]
fn a_proposal_appears_late_and_goes_late() {
    let reference = mix(1_000, 0.10);
    let state = |code: f64, before: Levels| {
        let (report, after) = look(&reference, &mix(2_000, code), before);
        (report.state, after)
    };

    let (state_low, levels) = state(0.24, Levels::default());
    let (risen, levels_high) = state(0.30, levels);
    let (held, levels_held) = state(0.275, levels_high);
    let (released, _) = state(0.18, levels_held);

    assert_eq!((state_low, risen, held, released), (State::Watch, State::Shifted, State::Shifted, State::Steady));
    assert_eq!(state(0.275, Levels::default()).0, State::Watch, "the same mix does not raise it");
}

#[test]
fn verdicts_show_how_far_predictions_are_off() {
    let mut good = Verdicts::default();
    let mut bad = Verdicts::default();
    for at in 0..500 {
        let verdict = f64::from(u8::from(at % 10 < 8));
        good.push(Judged { predicted: 0.8, verdict, instead_of: None });
        bad.push(Judged { predicted: 0.55, verdict, instead_of: None });
    }

    let (good, bad) = (good.calibration().unwrap(), bad.calibration().unwrap());

    assert!(good.ece < 0.01, "{good:?}");
    assert!((bad.ece - 0.25).abs() < 0.01 && bad.verdicts == MOST_VERDICTS, "{bad:?}");
    // √(2/π) · √(0.8 · 0.2 / 400).
    assert!((good.by_chance - 0.798 * 0.02).abs() < 1e-3, "{good:?}");
    let tally = mix(1_000, 0.1);
    let mut off = Verdicts::default();
    (0..200).for_each(|_| off.push(Judged { predicted: 0.9, verdict: 0.5, instead_of: None }));
    let (report, _) = DriftReport::of(&observed(&tally, &mix(10, 0.1), &off), Levels::default());
    assert_eq!(report.state, State::Shifted);
    assert!(report.proposal.unwrap().contains("the last 200 verdicts is 0.40"));
}

#[test]
fn escalations_count_for_what_the_cheapest_would_not_have_done() {
    let mut verdicts = Verdicts::default();
    for at in 0..40 {
        verdicts.push(Judged { predicted: 0.9, verdict: f64::from(at % 2), instead_of: Some(0.4) });
        verdicts.push(Judged { predicted: 0.9, verdict: 1.0, instead_of: None });
    }
    verdicts.push(Judged { predicted: f64::NAN, verdict: 1.0, instead_of: Some(0.1) });

    let escalation = verdicts.escalation().unwrap();

    assert_eq!(escalation.verdicts, 40);
    assert!((escalation.precision - 0.5 * 0.6).abs() < 1e-9);
    assert_eq!(Verdicts::default().escalation(), None);
}

#[test]
fn tallies_survive_json_and_one_of_another_shape_is_noticed() {
    let tally = mix(10, 0.5);

    let back: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();

    assert_eq!(back, tally);
    assert!(back.is_sound() && back.total() == 10);
    assert!(!serde_json::from_str::<Tally>("[1, 2]").unwrap().is_sound());
}

proptest! {
    #[test]
    fn the_index_is_zero_for_equal_shares_the_same_both_ways_and_finite(
        a in proptest::collection::vec(0_u64..1_000, 12), b in proptest::collection::vec(0_u64..1_000, 12), times in 1_u64..50,
    ) {
        let scaled: Vec<u64> = a.iter().map(|count| count * times).collect();

        prop_assert!(psi(&a, &scaled).abs() < 1e-9);
        prop_assert!((psi(&a, &b) - psi(&b, &a)).abs() < 1e-12);
        prop_assert!(psi(&a, &b).is_finite() && psi(&a, &b) >= 0.0);
    }

    #[test]
    fn every_sighting_is_counted_once_in_every_dimension(gain in -2.0_f64..2.0, chars in 0_usize..1_000_000, density in -1.0_f64..2.0) {
        let mut tally = Tally::default();

        tally.add(&Sighting { gain, chars, density, ..sighting(Task::Other, 0.0) });

        for dimension in Dimension::ALL {
            prop_assert_eq!(tally.of(dimension).iter().sum::<u64>(), 1, "{:?}", dimension);
        }
    }
}
