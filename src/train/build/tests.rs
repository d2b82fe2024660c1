use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::drift::{Dimension, Sighting, Tally};
use crate::domain::prompt::Prompt;
use crate::model::generation::Generation;
use crate::model::testing::TinyModels;
use crate::train::metrics::{auc, log_loss};
use crate::train::progress::{Phase, Silent};
use crate::train::testing::{PLANTED, generation, options, prompt, write_outcomes};

fn planted(path: &Path, prompts: usize, seed: u64) {
    write_outcomes(path, (prompts, seed), &PLANTED);
}

/// A models directory with a bundle trained on the planted rule.
fn trained() -> (TinyModels, PathBuf, TrainReport) {
    let tiny = TinyModels::new();
    let outcomes = tiny.models().join("outcomes.jsonl");
    planted(&outcomes, 700, 3);
    let out = tiny.models().join("trained");
    let report = train(&options(&tiny, &outcomes, &out), &Silent).unwrap_or_else(|error| panic!("{error}"));
    (tiny, out, report)
}

#[test]
fn a_planted_rule_is_learned_and_served() {
    let (tiny, out, report) = trained();
    let served = generation(&tiny, &out);
    let mut random = StdRng::seed_from_u64(99);
    let scored: Vec<(f64, bool)> = (0..300)
        .map(|_| {
            let (text, hard) = prompt(&mut random);
            let scores = served.score(&Prompt::from_ask(&text)).unwrap();
            (scores.success[2].mean.get() - scores.success[0].mean.get(), hard)
        })
        .collect();

    assert!(report.passed(), "{:?}", report.gates);
    assert_eq!(served.labels().models().len(), 2);
    assert!(auc(&scored).unwrap() > 0.9, "{:?}", auc(&scored));
    let weak = &report.held_out.unwrap().positions[0];
    assert!(weak.auc.unwrap() > 0.8 && weak.ece < 0.15, "{weak:?}");
}

#[tokio::test]
async fn a_transformer_gets_heads_of_its_own_that_serve() {
    let tiny = TinyModels::new();
    let outcomes = tiny.models().join("outcomes.jsonl");
    planted(&outcomes, 700, 3);
    let out = tiny.models().join("careful");
    let careful =
        TrainOptions { careful_encoder: Some(tiny.encoder("transformer")), ..options(&tiny, &outcomes, &out) };

    let report = train(&careful, &Silent).unwrap();
    let served = generation(&tiny, &out);
    let asked = Prompt::from_ask("please solve the equation and prove the sum");
    let soon = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let (fast, looked) = (served.score(&asked).unwrap(), served.score_carefully(&asked, soon).await.unwrap());

    assert_eq!(looked.scorer, crate::domain::scores::Scorer::Careful);
    let gain = |scores: &crate::domain::scores::Scores| scores.success[2].mean.get() - scores.success[0].mean.get();
    assert!(gain(&fast) > 0.2 && gain(&looked) > 0.2, "{} and {}", gain(&fast), gain(&looked));
    let measured = report.careful_held_out.unwrap();
    assert_eq!(measured.prompts, report.held_out.unwrap().prompts);
    assert!(measured.positions[0].auc.unwrap() > 0.8, "{:?}", measured.positions[0]);
}

#[test]
fn the_same_files_and_seed_give_the_same_heads_and_index() {
    let (tiny, out, _) = trained();
    let again = tiny.models().join("again");

    train(&options(&tiny, &tiny.models().join("outcomes.jsonl"), &again), &Silent).unwrap();

    for file in ["heads.onnx", "calibration.json", "items.jsonl", "vectors.f32", "golden.jsonl"] {
        assert_eq!(std::fs::read(out.join(file)).unwrap(), std::fs::read(again.join(file)).unwrap(), "{file}");
    }
}

/// Users who hate stories by the weak model, whatever benchmarks say. Every other row has no prompt, only its embedding.
fn log(path: &Path, served: &Generation, rows: usize) {
    let mut random = StdRng::seed_from_u64(17);
    let mut lines = Vec::new();
    for id in 0..rows {
        let (text, hard) = prompt(&mut random);
        let asked = Prompt::from_ask(&text);
        let (model, tier) = if random.random_bool(0.5) { ("weak-1", "small") } else { ("strong-1", "large") };
        let liked = random.random_bool(if model == "strong-1" || hard { 0.9 } else { 0.1 });
        let embedding: Vec<u8> = served
            .score(&asked)
            .unwrap()
            .embedding
            .as_slice()
            .iter()
            .flat_map(|&x| half::f16::from_f32(x).to_le_bytes())
            .collect();
        let bundle = if id.is_multiple_of(4) { "an-older-one" } else { "trained" };
        let caller = if id.is_multiple_of(2) { "ann" } else { "ben" };
        let row = serde_json::json!({
            "schema": "trimtab.feedback.v1", "prompt_id": format!("dec_{id:032x}"),
            "prompt": (id % 2 == 0).then_some(&text), "model": model, "tier": tier, "score": u8::from(liked), "propensity": 0.5,
            "encoder": served.manifest().encoder.digest, "signals": asked.signals.features(), "signals_version": 1,
            "embedding": base64::engine::general_purpose::STANDARD.encode(embedding), "dataset": "feedback", "task": null,
            "bundle": bundle, "caller": caller,
        });
        lines.push(row.to_string());
    }
    std::fs::write(path, lines.join("\n")).unwrap();
}

/// How well the weak model's success is predicted for these users on new prompts.
fn loss_for_users(served: &Generation) -> f64 {
    let mut random = StdRng::seed_from_u64(1234);
    let items: Vec<(f64, f64)> = (0..200)
        .map(|_| {
            let (text, hard) = prompt(&mut random);
            (served.score(&Prompt::from_ask(&text)).unwrap().success[0].mean.get(), if hard { 0.9 } else { 0.1 })
        })
        .collect();
    log_loss(&items)
}

#[test]
fn feedback_moves_a_bundle_towards_its_users() {
    let (tiny, base, _) = trained();
    let before = generation(&tiny, &base);
    let feedback = tiny.models().join("feedback.jsonl");
    log(&feedback, &before, 400);
    let out = tiny.models().join("adapted");

    let adapt = TrainOptions {
        outcomes: Vec::new(),
        feedback: Some(feedback),
        base: Some(base),
        encoder: None,
        ..options(&tiny, Path::new(""), &out)
    };
    let report = train(&adapt, &Silent).unwrap();
    let after = generation(&tiny, &out);

    let (old, new) = (loss_for_users(&before), loss_for_users(&after));
    assert!(report.passed(), "{:?}", report.gates);
    assert!(new < 0.6 * old, "before {old}, after {new}");
    let influence = report.influence.unwrap();
    assert_eq!(influence.bundles["an-older-one"], 100, "feedback on an older bundle's decisions counts");
    assert!(influence.callers.iter().all(|caller| (caller.counted - 0.5).abs() < 0.05), "{influence:?}");
    let moved = report.moved.unwrap();
    assert!(moved.unseen && moved.positions.iter().any(|position| position.name == "weak-1"), "{moved:?}");
    assert_eq!(after.manifest().parent.as_ref(), Some(before.id()));
    assert_eq!(after.index().len(), before.index().len() + 400);
}

#[test]
fn a_model_the_base_does_not_know_is_added_from_its_labels() {
    let (tiny, base, _) = trained();
    let outcomes = tiny.models().join("few.jsonl");
    let mut random = StdRng::seed_from_u64(8);
    let line = |id: usize, random: &mut StdRng| {
        let (text, hard) = prompt(random);
        let score = u8::from(random.random_bool(if hard { 0.95 } else { 0.05 }));
        format!(r#"{{"prompt_id":"n{id}","prompt":"{text}","model":"mathematician","score":{score}}}"#)
    };
    let lines: Vec<String> = (0..150).map(|id| line(id, &mut random)).collect();
    std::fs::write(&outcomes, lines.join("\n")).unwrap();
    let out = tiny.models().join("onboarded");

    let report = train(&TrainOptions { base: Some(base), ..options(&tiny, &outcomes, &out) }, &Silent).unwrap();
    let after = generation(&tiny, &out);
    let position = after.labels().model(&"mathematician".into()).unwrap();
    let scored: Vec<(f64, bool)> = (0..200)
        .map(|_| {
            let (text, hard) = prompt(&mut random);
            (after.score(&Prompt::from_ask(&text)).unwrap().success[position].mean.get(), hard)
        })
        .collect();

    let change = report.adapted.unwrap();
    assert_eq!(change.added, ["mathematician"]);
    assert!(auc(&scored).unwrap() > 0.8, "{:?} {change:?}", auc(&scored));
}

#[test]
fn labels_of_both_ends_give_an_adapted_bundle_operating_points() {
    let (tiny, base, _) = trained();
    let outcomes = tiny.models().join("both.jsonl");
    let mut random = StdRng::seed_from_u64(9);
    let lines = (0..500).map(|id| {
        let (text, hard) = prompt(&mut random);
        let line = |model: &str, score: u8| {
            format!(r#"{{"prompt_id":"b{id}","prompt":"{text} {id}","model":"{model}","score":{score}}}"#)
        };
        format!("{}\n{}", line("apprentice", u8::from(!hard)), line("master", 1))
    });
    std::fs::write(&outcomes, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let out = tiny.models().join("both");

    let report = train(&TrainOptions { base: Some(base), ..options(&tiny, &outcomes, &out) }, &Silent).unwrap();
    let after = generation(&tiny, &out);
    let operating = after.operating().unwrap_or_else(|| panic!("{:?}", report.gates));

    assert!(report.gates.iter().all(|gate| !gate.detail.starts_with("not judged")), "{:?}", report.gates);
    assert!(operating.measured_on.contains("of its own labels"), "{}", operating.measured_on);
    let [none, half] = [&operating.points[0], &operating.points[4]];
    assert!(none.quality < half.quality && half.quality > 0.9, "{operating:?}");
}

/// Cancels after so many reports.
struct Impatient {
    patience: AtomicU64,
}

impl Progress for Impatient {
    fn at(&self, _phase: Phase, _done: u64, _total: u64) {
        let left = self.patience.load(Ordering::Relaxed).saturating_sub(1);
        self.patience.store(left, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.patience.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn an_interrupted_training_leaves_nothing_behind() {
    let tiny = TinyModels::new();
    let outcomes = tiny.models().join("outcomes.jsonl");
    planted(&outcomes, 200, 3);
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("bundle");
    let mut interrupted = 0;
    for patience in [1, 3, 30, 100, 300, 1_000] {
        let progress = Impatient { patience: AtomicU64::new(patience) };
        match train(&options(&tiny, &outcomes, &out), &progress) {
            Err(error) => {
                interrupted += 1;
                assert!(matches!(error, TrainError::Interrupted), "{error}");
                assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "after {patience} reports");
            }
            Ok(_) => std::fs::remove_dir_all(&out).unwrap(),
        }
    }

    assert!(interrupted >= 4, "{interrupted}");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let (tiny, base, _) = trained();
    let outcomes = tiny.models().join("outcomes.jsonl");
    let out = tiny.models().join("never");
    let check = |options: TrainOptions, expected: &str| {
        let error = train(&options, &Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!out.exists());
    };
    let plain = || options(&tiny, &outcomes, &out);
    let few = tiny.models().join("few.jsonl");
    planted(&few, 20, 3);

    check(TrainOptions { feedback: Some(outcomes.clone()), ..plain() }, "--base");
    check(TrainOptions { encoder: None, ..plain() }, "--encoder");
    check(
        TrainOptions { encoder: Some(tiny.encoder("transformer")), base: Some(base), ..plain() },
        "made for the encoder",
    );
    check(TrainOptions { outcomes: vec![few], ..plain() }, "too few");
    let unseen = Unseen { paths: vec![outcomes.clone()], filters: Vec::new() };
    check(TrainOptions { unseen, ..plain() }, "too few");
    let error = train(&TrainOptions { out: tiny.bundle(), ..plain() }, &Silent).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
}

#[test]
fn no_bundle_is_judged_on_what_its_ancestors_learned() {
    let (tiny, base, _) = trained();
    let feedback = tiny.models().join("feedback.jsonl");
    log(&feedback, &generation(&tiny, &base), 400);
    let child = |base: &Path, name: &str| {
        let out = tiny.models().join(name);
        let adapt = TrainOptions {
            outcomes: Vec::new(),
            feedback: Some(feedback.clone()),
            base: Some(base.to_path_buf()),
            encoder: None,
            ..options(&tiny, Path::new(""), &out)
        };
        (train(&adapt, &Silent).unwrap(), out)
    };

    let (first, out) = child(&base, "first");
    let (second, again) = child(&out, "second");

    assert!(first.prompts.test >= 40, "{:?}", first.prompts);
    assert_eq!(second.prompts.test, 0, "the same log again holds nothing new");
    assert!(second.gates.iter().any(|gate| gate.detail.starts_with("not judged")), "{:?}", second.gates);
    let (first, second) = (generation(&tiny, &out), generation(&tiny, &again));
    assert_eq!(first.index().len(), second.index().len(), "nothing is in the index twice");
}

#[test]
fn a_disk_that_refuses_leaves_nothing() {
    let (tiny, base, _) = trained();
    let feedback = tiny.models().join("feedback.jsonl");
    log(&feedback, &generation(&tiny, &base), 60);
    // A file where the directory of the output should be is as good as a full disk, and stops root too.
    let file = tiny.models().join("file");
    std::fs::write(&file, "in the way").unwrap();

    let adapt = TrainOptions {
        outcomes: Vec::new(),
        feedback: Some(feedback),
        base: Some(base),
        encoder: None,
        ..options(&tiny, Path::new(""), &file.join("out"))
    };
    let error = train(&adapt, &Silent).unwrap_err().to_string();

    assert!(error.contains("writing the bundle") && error.contains("file"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"in the way");
}

#[test]
fn a_bundle_says_what_its_calibration_prompts_looked_like_and_an_adapted_one_keeps_it() {
    let (tiny, out, report) = trained();
    let served = generation(&tiny, &out);
    let mut random = StdRng::seed_from_u64(4);
    let mut met = Tally::default();
    for _ in 0..200 {
        let asked = Prompt::from_ask(&prompt(&mut random).0);
        let scores = served.score(&asked).unwrap();
        met.add(&Sighting::of(&scores, served.labels().tiers().len(), asked.signals.chars));
    }
    let few = tiny.models().join("few.jsonl");
    planted(&few, 60, 9);
    let adapted = tiny.models().join("adapted");
    train(&TrainOptions { base: Some(out), ..options(&tiny, &few, &adapted) }, &Silent).unwrap();

    let baseline = served.baseline().unwrap();

    assert_eq!(baseline.tally().total(), report.prompts.calibration as u64);
    for dimension in [Dimension::Gain, Dimension::Density, Dimension::Disagreement] {
        let (trained, met) = (baseline.tally().quantile(dimension, 0.5), met.quantile(dimension, 0.5));
        assert!((trained - met).abs() < 0.2, "{dimension:?}: {trained} in training, {met} when serving");
    }
    assert_eq!(generation(&tiny, &adapted).baseline(), Some(baseline));
}
