use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::arena::{Arena, Facts, Timing};
use super::board::{Board, Detail, task_means};
use super::compare;
use super::judges::Judge;
use super::sheet::{Rounds, Sheet};
use super::slices::slices;
use super::*;
use crate::domain::ids::{ModelName, TierId};
use crate::train::outcomes::{OutcomeRow, Outcomes, PromptRow};

/// Outcomes of four prompts: `(prompt, model, score)`.
pub(super) fn outcomes(models: &[&str], rows: &[(u32, u32, f32)]) -> Outcomes {
    let row = |&(prompt, model, score): &(u32, u32, f32)| {
        let (weight, output_tokens, cost_usd) = (1.0, f32::NAN, f32::NAN);
        OutcomeRow { prompt, model, score, weight, output_tokens, cost_usd }
    };
    let prompt = |at: u32| PromptRow {
        id: at.to_string().into(),
        text: "t".into(),
        stem: u64::from(at),
        dataset: 0,
        task: None,
        group: 0,
    };
    Outcomes {
        prompts: (0..4).map(prompt).collect(),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        rows: rows.iter().map(row).collect(),
        ..Outcomes::default()
    }
}

/// A pair of models, the weak one at a cost of 0 and the strong one at 1, and a router with these wishes that sends up the share that
/// its dial says.
fn arena(bundle: &str, (weak, strong): (&[f64], &[f64]), wishes: &[f64]) -> Arena {
    let judge = |name: &str, rank| Judge {
        model: name.to_owned(),
        name: ModelName::from(name),
        known: true,
        position: rank,
        rank,
        class: TierId::from("any"),
    };
    let n = weak.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| wishes[b].total_cmp(&wishes[a]));
    let facts = |at: usize| Facts {
        dataset: ["one", "two", "three"][at % 3].to_owned(),
        task: ["open_qa", "other"][at % 2],
        language: "en".to_owned(),
        characters: 100 + (at * 37) % 900,
    };
    Arena {
        bundle: bundle.to_owned(),
        models: vec![judge("weak", 0), judge("strong", 1)],
        weak: 0,
        strong: 1,
        scores: vec![weak.to_vec(), strong.to_vec()],
        costs: vec![vec![0.0; n], vec![1.0; n]],
        predicted: vec![vec![0.4; n], wishes.iter().map(|wish| (0.4 + wish).clamp(0.0, 1.0)).collect()],
        wishes: wishes.to_vec(),
        facts: (0..n).map(facts).collect(),
        choices: sweep::of_an_order(&order, (0, 1), sweep::STEPS),
        cost_note: CostNote { source: CostSource::Unit, unit: "units", words: String::new() },
        timing: Timing::default(),
    }
}

fn sheet(arena: &Arena, count: usize) -> Sheet {
    let means = task_means(arena);
    let board = Board::new(arena, (0..arena.facts.len()).collect(), (&means, Detail::Whole, 1));
    Sheet::fill(board.len(), Rounds { count, seed: 1 }, &|weights, to| board.record(weights, to))
}

/// Six hundred prompts of which a third gain from the strong model.
fn scores() -> (Vec<f64>, Vec<f64>) {
    let mut random = StdRng::seed_from_u64(4);
    let cell = |_| match random.random_range(0..6) {
        0 | 1 => (0.0, 1.0),
        2 => (1.0, 0.0),
        3 | 4 => (1.0, 1.0),
        _ => (0.0, 0.0),
    };
    (0..600).map(cell).unzip()
}

fn noise(seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..600).map(|_| random.random_range(-0.5..0.5)).collect()
}

#[test]
fn four_prompts_have_the_figures_worked_out_by_hand() {
    // The router sends prompts up in file order: a gain, nothing, a gain, a loss.
    let arena = arena("b", (&[0.0, 1.0, 0.0, 1.0], &[1.0, 1.0, 1.0, 0.0]), &[0.4, 0.3, 0.2, 0.1]);

    let sheet = sheet(&arena, 0);
    let value = |name: &str| sheet.value(name).unwrap();

    // Gap ¼; recovered 0, 1, 1, 2, 1 quarters over the gap: areas ½, 1, 1½, 1½.
    assert!((value("apgr") - 4.5 / 4.0).abs() < 1e-9);
    assert!((value("cpt50") - 0.25).abs() < 1e-9);
    // Half of the dial sends two up, one of them rightly; two needed it.
    assert!((value("share 20") - 0.5).abs() < 1e-9);
    assert!((value("precision 20") - 0.5).abs() < 1e-9);
    assert!((value("recall 20") - 0.5).abs() < 1e-9);
    // Mean scores over cost: ½ at 0, ¾ at ¼ and ½, 1 at ¾; the hull from (0, ½) by (¼, ¾) to (¾, 1), then flat.
    let area = 0.25 * 0.625 + 0.5 * 0.875 + 0.25;
    assert!((value("aiq") - area).abs() < 1e-9, "{} {area}", value("aiq"));
    // The strong model's ¾ is first reached with one call of four.
    assert!((value("calls saved 0") - 0.75).abs() < 1e-9);
    assert!((value("cost saved 0") - 0.75).abs() < 1e-9);
}

#[test]
fn who_knows_every_score_captures_all_the_headroom() {
    let (weak, strong) = scores();
    let gaps: Vec<f64> = weak.iter().zip(&strong).map(|(weak, strong)| strong - weak).collect();

    let sheet = sheet(&arena("perfect", (&weak, &strong), &gaps), 0);
    let value = |name: &str| sheet.value(name).unwrap();

    assert!((value("apgr") - value("oracle_apgr")).abs() < 1e-9);
    assert!((value("headroom") - 1.0).abs() < 1e-9);
    assert!((value("headroom over mix") - 1.0).abs() < 0.02, "{}", value("headroom over mix"));
    assert!((value("auc") - 1.0).abs() < 1e-9);
    assert!(value("aiq") > value("aiq mix") && value("aiq mix") >= value("aiq random") - 1e-9);
}

#[test]
fn a_router_that_guesses_shows_no_lead() {
    let (weak, strong) = scores();

    let sheet = sheet(&arena("guess", (&weak, &strong), &noise(9)), 300);

    assert!(!sheet.get("apgr - random").unwrap().is_clear());
    assert!(!sheet.get("apgr - length").unwrap().is_clear());
}

#[test]
fn a_bundle_is_no_better_than_itself() {
    let (weak, strong) = scores();
    let same = || arena("same", (&weak, &strong), &noise(2));
    let options = EvalOptions { bootstrap: 200, seed: 1, ..EvalOptions::default() };

    let report = compare::report((&same(), &same()), &options).unwrap();

    assert_eq!(report.verdict, Verdict::NoDifference);
    assert_eq!((report.apgr.value, report.apgr.ci), (0.0, Some([0.0, 0.0])));
    assert!(
        report.sentence.starts_with("no difference") && report.sentence.contains("[0.000, 0.000]"),
        "{}",
        report.sentence
    );
}

#[test]
fn a_better_bundle_is_better_and_the_other_way_round_worse() {
    let (weak, strong) = scores();
    let gaps: Vec<f64> = weak.iter().zip(&strong).map(|(weak, strong)| strong - weak).collect();
    let noisy: Vec<f64> = gaps.iter().zip(noise(3)).map(|(gap, noise)| gap / 4.0 + noise).collect();
    let (guess, good) = (arena("guess", (&weak, &strong), &noise(2)), arena("good", (&weak, &strong), &noisy));
    let options = EvalOptions { bootstrap: 200, seed: 1, ..EvalOptions::default() };

    let up = compare::report((&guess, &good), &options).unwrap();
    let down = compare::report((&good, &guess), &options).unwrap();

    assert_eq!((up.verdict, down.verdict), (Verdict::Better, Verdict::Worse));
    assert!(up.apgr.ci.unwrap()[0] > 0.0 && up.quality_at_equal_cost.unwrap().value > 0.0);
    assert!((up.apgr.value + down.apgr.value).abs() < 1e-9);
    assert!(
        up.sentence.starts_with("good is better than guess by 0.")
            && down.sentence.starts_with("guess is worse than good by 0.")
    );
}

#[test]
fn every_prompt_is_in_one_slice_of_each_dimension() {
    let (weak, strong) = scores();
    let arena = arena("b", (&weak, &strong), &noise(2));

    let slices = slices(&arena, &task_means(&arena), Rounds { count: 10, seed: 1 });

    for by in ["dataset", "task", "language", "length"] {
        let own: Vec<&Slice> = slices.iter().filter(|slice| slice.by == by).collect();
        assert_eq!(own.iter().map(|slice| slice.n).sum::<usize>(), 600, "{by}");
        // Means add up too: the whole is the mean of the slices, weighted by their size.
        let sum: f64 = own.iter().map(|slice| slice.models[1].score.unwrap().value * slice.n as f64).sum();
        assert!((sum / 600.0 - strong.iter().sum::<f64>() / 600.0).abs() < 1e-9, "{by}");
    }
    assert_eq!(slices.iter().filter(|slice| slice.by == "dataset").count(), 3);
}

#[test]
fn a_slice_of_few_prompts_claims_nothing() {
    let arena = arena("b", (&[0.0, 1.0, 0.0], &[1.0, 1.0, 1.0]), &[0.1, 0.2, 0.3]);

    let slices = slices(&arena, &task_means(&arena), Rounds { count: 10, seed: 1 });

    assert!(slices.iter().all(|slice| !slice.measured && slice.apgr.is_none() && slice.models.is_empty()));
}
