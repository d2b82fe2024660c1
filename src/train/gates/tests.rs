use super::*;
use crate::domain::task::Task;
use crate::train::contest::JudgedVerdict;

/// Prompts of which every other is hard: the weak tier fails on it and the strong one does not. `knows` is how well each side can
/// tell, from -1 (the wrong way round) over 0 (not at all) to 1.
fn cases(count: usize, [parent, candidate]: [f64; 2]) -> Vec<Case> {
    let scores = |knows: f64, hard: bool| {
        let weak = 0.5 + knows * if hard { -0.4 } else { 0.4 };
        vec![weak, 0.95]
    };
    let one = |at: usize| {
        let hard = at.is_multiple_of(2);
        let (before, after) = (scores(parent, hard), scores(candidate, hard));
        let verdict = |tier: usize, score: f64| JudgedVerdict {
            parent: before[tier],
            candidate: after[tier],
            score,
            weight: 1.0,
            tier,
        };
        let verdicts = vec![verdict(0, f64::from(u8::from(!hard))), verdict(1, 1.0)];
        Case { task: Task::Other, parent: before.clone(), candidate: after.clone(), verdicts, explored: false }
    };
    (0..count).map(one).collect()
}

fn failed(gates: &[Gate]) -> Vec<&'static str> {
    gates.iter().filter(|gate| !gate.passed).map(|gate| gate.name).collect()
}

#[test]
fn a_better_bundle_passes_and_a_worse_one_fails_every_gate_it_should() {
    let better = against_parent(&cases(200, [0.0, 1.0]), 2, 1);
    let same = against_parent(&cases(200, [1.0, 1.0]), 2, 1);
    let worse = against_parent(&cases(200, [1.0, -1.0]), 2, 1);

    assert!(failed(&better).is_empty() && failed(&same).is_empty(), "{better:?} {same:?}");
    assert_eq!(
        failed(&worse),
        ["predicts no worse", "calibrated", "quality at equal cost", "not worse than a fixed mix"],
        "{worse:?}"
    );
}

#[test]
fn worse_within_noise_passes() {
    // Half a dozen surprises more among thirty are no proof.
    let mut cases = cases(30, [0.2, 0.2]);
    for case in cases.iter_mut().take(4) {
        for verdict in &mut case.verdicts {
            verdict.candidate = (verdict.candidate - 0.1).max(0.05);
        }
    }

    assert!(failed(&against_parent(&cases, 2, 1)).is_empty());
}

#[test]
fn too_few_prompts_are_not_judged_and_say_so() {
    let gates = against_parent(&cases(10, [1.0, -1.0]), 2, 1);

    assert_eq!(gates.len(), 4);
    assert!(gates.iter().all(|gate| gate.passed && gate.detail.contains("not judged: 10 prompts")), "{gates:?}");
}

#[test]
fn explored_verdicts_judge_the_routing_where_no_prompt_has_two() {
    let single = |knows: [f64; 2], explored: bool| {
        let mut cases = cases(400, knows);
        for (at, case) in cases.iter_mut().enumerate() {
            case.verdicts.remove(at / 2 % 2);
            case.explored = explored;
        }
        against_parent(&cases, 2, 1)
    };

    let worse = single([1.0, -1.0], true);
    let unexplored = single([1.0, -1.0], false);

    assert!(failed(&worse).contains(&"quality at equal cost"), "{worse:?}");
    let routing = unexplored.iter().find(|gate| gate.name == "quality at equal cost").unwrap();
    assert!(routing.passed && routing.detail.contains("exploration"), "{routing:?}");
}

#[test]
fn the_calibration_error_of_chance_is_not_held_against_a_bundle() {
    let mut random = StdRng::seed_from_u64(3);
    let items: Vec<(f64, f64)> = (0..60)
        .map(|_| {
            let p: f64 = random.random_range(0.1..0.9);
            (p, f64::from(u8::from(random.random_bool(p))))
        })
        .collect();

    let (found, chance) = (ece(&items), by_chance(&items, 1));

    assert!(found > 0.02 && (found - chance).abs() < 0.1, "{found} {chance}");
}
