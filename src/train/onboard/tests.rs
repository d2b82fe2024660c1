use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::domain::prompt::Prompt;
use crate::model::testing::TinyModels;
use crate::train::metrics::auc;
use crate::train::onboard::anchors::{AnchorOptions, anchors};
use crate::train::progress::{Phase, Silent};
use crate::train::testing::{generation, prompt, trained, write_outcomes};

/// Neither like the weak nor like the strong model.
const NEWCOMER: (&str, f64, f64) = ("newcomer", 0.35, 0.97);

fn options(tiny: &TinyModels, bundle: &Path) -> OnboardOptions {
    let outcomes = tiny.models().join("newcomer.jsonl");
    write_outcomes(&outcomes, (160, 21), &[NEWCOMER, ("strong-1", 0.9, 0.9)]);
    OnboardOptions {
        model: "newcomer".to_owned(),
        outcomes: vec![outcomes],
        outcome_options: OutcomeOptions::default(),
        most_labels: None,
        bundle: bundle.to_path_buf(),
        models: tiny.models().to_path_buf(),
        tier: None,
        standard_error: 0.02,
        out: tiny.models().join("with-newcomer"),
        id: Some("with-newcomer".to_owned()),
        seed: 4,
        threads: 1,
        device: Device::Cpu,
    }
}

#[test]
fn a_model_is_learned_from_a_few_dozen_labels() {
    let (tiny, base) = trained();

    let report = onboard(&options(&tiny, &base), &Silent).unwrap();

    let served = generation(&tiny, &report.path);
    let position = served.labels().model(&"newcomer".into()).unwrap();
    let mut random = StdRng::seed_from_u64(77);
    let scored: Vec<(f64, bool)> = (0..300)
        .map(|_| {
            let (text, hard) = prompt(&mut random);
            (served.score(&Prompt::from_ask(&text)).unwrap().success[position].mean.get(), hard)
        })
        .collect();
    let mean_of = |hard: bool| {
        let of: Vec<f64> = scored.iter().filter(|one| one.1 == hard).map(|one| one.0).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let apart = auc(&scored.iter().map(|one| (-one.0, one.1)).collect::<Vec<_>>()).unwrap();
    assert!(apart > 0.9, "{apart}");
    assert!(
        (mean_of(true) - 0.35).abs() < 0.12 && (mean_of(false) - 0.97).abs() < 0.12,
        "{} {}",
        mean_of(true),
        mean_of(false)
    );
    assert!(report.expected.brier < report.before.brier, "{report:?}");
    assert_eq!(report.labels, 160);
    assert_eq!(report.labels_needed, report.labels + report.labels_missing);
    assert!(report.evidence.1 > 100, "{report:?}");
}

#[test]
fn nothing_moves_for_the_models_that_were_known() {
    let (tiny, base) = trained();
    let report = onboard(&options(&tiny, &base), &Silent).unwrap();
    let (before, after) = (generation(&tiny, &base), generation(&tiny, &report.path));
    let positions = before.labels().len();
    // Prompts of the labels are the ones whose neighbours could move most.
    let rows = std::fs::read_to_string(tiny.models().join("newcomer.jsonl")).unwrap();

    for row in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        let asked = Prompt::from_ask(row["prompt"].as_str().unwrap());
        let (old, new) = (before.score(&asked).unwrap(), after.score(&asked).unwrap());
        assert_eq!(old.success, new.success[..positions]);
        assert_eq!((old.tasks, old.difficulty, old.output_tokens), (new.tasks, new.difficulty, new.output_tokens));
        assert_eq!(old.neighbourhood.neighbours, new.neighbourhood.neighbours[..old.neighbourhood.neighbours.len()]);
    }
    assert_eq!(before.calibration().dial, after.calibration().dial);
    for file in ["vectors.f32", "golden.jsonl", "items.jsonl"] {
        assert_eq!(std::fs::read(base.join(file)).unwrap(), std::fs::read(report.path.join(file)).unwrap(), "{file}");
    }
    assert_eq!(after.manifest().parent.as_ref(), Some(before.id()));
}

#[test]
fn a_second_model_joins_the_first_and_a_retrain_takes_both_in() {
    let (tiny, base) = trained();
    let first = onboard(&options(&tiny, &base), &Silent).unwrap();
    let again = OnboardOptions { bundle: first.path, ..options(&tiny, &base) };

    let error = onboard(&OnboardOptions { out: tiny.models().join("never"), ..again.clone() }, &Silent).unwrap_err();
    let outcomes = tiny.models().join("second.jsonl");
    write_outcomes(&outcomes, (60, 21), &[("second", 0.5, 0.8), ("other", 0.9, 0.9)]);
    let second = OnboardOptions {
        model: "second".to_owned(),
        outcomes: vec![outcomes],
        out: tiny.models().join("with-both"),
        ..again
    };
    let report = onboard(&second, &Silent).unwrap();

    assert!(error.to_string().contains("knows `newcomer` already"), "{error}");
    assert!(report.evidence.0 > 40, "the prompts are those of the first: {report:?}");
    assert_eq!(generation(&tiny, &report.path).labels().models().len(), 4);
    let (_, as_base) = crate::train::base::Base::at(&report.path).unwrap();
    let labels_of = |position: u16| {
        as_base.content.items.iter().flat_map(|item| &item.labels).filter(|label| label.0 == position).count()
    };
    assert!(labels_of(5) > 100 && labels_of(6) > 40);
}

#[test]
fn what_cannot_work_is_refused_with_a_remedy_and_leaves_nothing() {
    let (tiny, base) = trained();
    let plain = options(&tiny, &base);
    let write = |name: &str, text: &str| {
        let path = tiny.models().join(name);
        std::fs::write(&path, text).unwrap();
        vec![path]
    };
    let row = |id: usize, score: &str| {
        format!(r#"{{"prompt_id":"{id}","prompt":"prove number {id}","model":"newcomer","score":{score}}}"#)
    };
    let rows = |score: &str| (0..40).map(|id| row(id, score)).collect::<Vec<_>>().join("\n");
    let check = |options: OnboardOptions, expected: &str| {
        let error = onboard(&options, &Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(
            !plain.out.exists()
                && !std::fs::read_dir(tiny.models())
                    .unwrap()
                    .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains("partial") })
        );
    };
    let with = |outcomes: Vec<PathBuf>| OnboardOptions { outcomes, ..plain.clone() };

    check(OnboardOptions { model: "nobody".to_owned(), ..plain.clone() }, "no model `nobody`");
    check(OnboardOptions { model: "weak-1".to_owned(), ..plain.clone() }, "--base");
    check(OnboardOptions { tier: Some("gigantic".to_owned()), ..plain.clone() }, "no tier `gigantic`");
    check(OnboardOptions { most_labels: Some(5), ..plain.clone() }, "--anchors");
    check(OnboardOptions { standard_error: f64::NAN, ..plain.clone() }, "--standard-error");
    check(with(write("empty.jsonl", "")), "no rows");
    check(with(write("one-class.jsonl", &rows("1"))), "every score is 1");
    check(with(write("range.jsonl", &rows("1.5"))), "`score`");
    check(
        OnboardOptions { models: PathBuf::from("nowhere"), bundle: elsewhere(&tiny, &base), ..plain.clone() },
        "encoder",
    );
    let occupied = OnboardOptions { out: tiny.bundle(), ..plain.clone() };
    assert!(onboard(&occupied, &Silent).unwrap_err().to_string().contains("exists already"));
}

/// A copy of a bundle where its encoder is not found.
fn elsewhere(tiny: &TinyModels, bundle: &Path) -> PathBuf {
    let to = tiny.models().join("far/away/copy");
    crate::model::publish::copy_directory(bundle, &to).unwrap();
    to
}

struct Impatient(AtomicU64);

impl Progress for Impatient {
    fn at(&self, _phase: Phase, _done: u64, _total: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn an_interrupted_onboarding_leaves_nothing_behind() {
    let (tiny, base) = trained();
    let place = tempfile::tempdir().unwrap();
    let options = OnboardOptions { out: place.path().join("bundle"), ..options(&tiny, &base) };
    let mut interrupted = 0;
    for patience in [1, 4, 100, 1_000, 100_000] {
        match onboard(&options, &Impatient(AtomicU64::new(patience))) {
            Err(TrainError::Interrupted) => {
                interrupted += 1;
                assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "after {patience} reports");
            }
            Err(error) => panic!("{error}"),
            Ok(report) => std::fs::remove_dir_all(report.path).unwrap(),
        }
    }

    assert!((2..5).contains(&interrupted), "{interrupted}");
}

#[test]
fn anchors_come_from_the_users_file_or_the_shipped_prompts() {
    let (tiny, base) = trained();
    let shipped = AnchorOptions {
        prompts: None,
        count: 12,
        bundle: base,
        models: tiny.models().to_path_buf(),
        tier: Some("small".to_owned()),
        threads: 1,
        device: Device::Cpu,
    };
    let own = tiny.models().join("newcomer.jsonl");
    write_outcomes(&own, (50, 1), &[NEWCOMER, ("other", 0.5, 0.5)]);

    let golden = anchors(&shipped, &Silent).unwrap();
    let users = anchors(&AnchorOptions { prompts: Some(own), count: 500, ..shipped.clone() }, &Silent).unwrap();
    let nothing = tiny.models().join("nothing.jsonl");
    std::fs::write(&nothing, "{\"text\": \"hello\"}\n").unwrap();
    let error = anchors(&AnchorOptions { prompts: Some(nothing), ..shipped }, &Silent).unwrap_err();

    assert_eq!(golden.len(), 12);
    assert!(
        golden.iter().all(|one| crate::train::golden::PROMPTS.contains(&one.prompt.as_str()) && one.information > 0.0)
    );
    assert!((45..=50).contains(&users.len()), "each prompt once: {}", users.len());
    assert!(users.iter().all(|one| one.prompt_id.starts_with("1-")));
    assert!(error.to_string().contains("`prompt`"), "{error}");
}
