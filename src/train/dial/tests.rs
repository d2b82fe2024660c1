use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::candidate::Capability;
use crate::domain::money::{NanoUsd, Price};
use crate::domain::prompt::Prompt;
use crate::model::testing::TinyModels;
use crate::train::outcomes::OutcomeOptions;
use crate::train::progress::Silent;
use crate::train::testing::{PLANTED, generation, options as train_options, prompt, trained, write_outcomes};

fn candidate(model: &str, rank: usize, class: &str) -> Candidate {
    let price = |usd: f64| NanoUsd::from_usd(usd).unwrap();
    let usd = if rank == 0 { 0.5 } else { 15.0 };
    Candidate {
        model: model.into(),
        tier: class.into(),
        rank,
        class: class.into(),
        price: Some(Price {
            input_per_mtok: price(usd),
            cached_input_per_mtok: None,
            cache_write_per_mtok: None,
            output_per_mtok: price(2.0 * usd),
        }),
        capability: Capability {
            context_tokens: None,
            tools: true,
            forced_tools: true,
            images: true,
            image_urls: true,
            json_schema: true,
        },
    }
}

fn options(tiny: &TinyModels, bundle: &Path, goal: Goal) -> CalibrateOptions {
    let outcomes = tiny.models().join("traffic.jsonl");
    write_outcomes(&outcomes, (700, 41), &PLANTED);
    CalibrateOptions {
        bundle: bundle.to_path_buf(),
        models: tiny.models().to_path_buf(),
        source: Source::Outcomes(vec![outcomes], OutcomeOptions::default()),
        candidates: vec![candidate("weak-1", 0, "small"), candidate("strong-1", 1, "large")],
        goal,
        delta: 0.05,
        seed: 3,
        out: None,
        id: None,
    }
}

fn gains(tiny: &TinyModels, bundle: &Path, asks: &[Prompt]) -> Vec<f64> {
    let served = generation(tiny, bundle);
    let of = |name: &str| served.labels().model(&name.into()).unwrap();
    let (weak, strong) = (of("weak-1"), of("strong-1"));
    let gain = |ask: &Prompt| {
        let success = served.score(ask).unwrap().success;
        (success[strong].mean.get() - success[weak].mean.get()).max(0.0)
    };
    asks.iter().map(gain).collect()
}

/// The share of fresh asks that a bundle sends up at a quality.
fn share_at(tiny: &TinyModels, bundle: &Path, quality: f64) -> f64 {
    let mut random = StdRng::seed_from_u64(987);
    let asks: Vec<Prompt> = (0..400).map(|_| Prompt::from_ask(&prompt(&mut random).0)).collect();
    let threshold = generation(tiny, bundle).calibration().dial.threshold(Probability::clamped(quality));
    gains(tiny, bundle, &asks).iter().filter(|&&gain| gain > threshold).count() as f64 / 400.0
}

#[test]
fn a_share_is_met_without_labels_and_told_with_its_cost() {
    let (tiny, bundle) = trained();

    let report = calibrate(&options(&tiny, &bundle, Goal::ShareStrong(0.3)), &Silent).unwrap();

    let cost = report.cost_per_1k.unwrap();
    assert!((report.share_up.value - 0.3).abs() < 0.03, "{report:?}");
    assert!(report.share_up.interval[0] < 0.3 && report.share_up.interval[1] > 0.3);
    assert!(cost.value < report.strongest_cost_per_1k.unwrap() && cost.interval[0] < cost.value);
    assert_eq!(report.basis, Basis::Outcomes);
    assert!(report.toml.contains(&format!("quality = {:.2}", report.quality)), "{}", report.toml);
    assert!(report.calibration.iter().any(|slice| slice.of == "tier" && slice.slice == "all" && slice.labels == 700));
    assert!(report.calibration.iter().any(|slice| slice.slice.starts_with("task=")));
}

#[test]
fn a_promised_quality_is_kept_on_fresh_prompts_and_saves_calls() {
    let (tiny, bundle) = trained();

    let report = calibrate(&options(&tiny, &bundle, Goal::TargetQuality(0.9)), &Silent).unwrap();

    let threshold = report.threshold.unwrap();
    let mut random = StdRng::seed_from_u64(5);
    let asked: Vec<(String, bool)> = (0..1_000).map(|_| prompt(&mut random)).collect();
    let asks: Vec<Prompt> = asked.iter().map(|(text, _)| Prompt::from_ask(text)).collect();
    let kept: Vec<f64> = gains(&tiny, &bundle, &asks)
        .into_iter()
        .zip(&asked)
        .map(|(gain, (_, hard))| if gain > threshold || !hard { 0.92 } else { 0.08 })
        .collect();
    let kept = kept.iter().sum::<f64>() / 1_000.0;
    let promise = report.promise.unwrap();
    assert!(kept >= 0.9 * 0.93 - 0.02, "{kept} {report:?}");
    assert!(report.share_up.value < 0.75, "{report:?}");
    assert!(promise.p_value <= 0.05 && promise.labels == 700 && !promise.assumption.is_empty());
}

#[test]
fn a_promise_is_refused_with_how_many_labels_it_takes() {
    let (tiny, bundle) = trained();
    let few = tiny.models().join("few.jsonl");
    write_outcomes(&few, (40, 8), &PLANTED);
    let source = Source::Outcomes(vec![few], OutcomeOptions::default());

    let strict = CalibrateOptions { source, ..options(&tiny, &bundle, Goal::TargetQuality(0.99)) };
    let error = calibrate(&strict, &Silent).unwrap_err().to_string();

    let needed: Vec<usize> = error.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(error.contains("40 labelled asks are too few") && needed.iter().any(|n| *n > 40), "{error}");
}

/// The server's log under a policy that draws the weak model with this chance, whatever the prompt.
fn write_log(path: &Path, (rows, weak): (usize, f64), with_scores: bool) {
    let mut random = StdRng::seed_from_u64(61);
    let mut lines = Vec::new();
    for _ in 0..rows {
        let (text, hard) = prompt(&mut random);
        let is_weak = random.random_bool(weak);
        let (model, p) = if is_weak { ("weak-1", weak) } else { ("strong-1", 1.0 - weak) };
        let right = random.random_bool(if is_weak && hard { 0.08 } else { 0.92 });
        let score = if with_scores { u8::from(right).to_string() } else { "null".to_owned() };
        lines.push(format!(r#"{{"prompt":"{text}","model":"{model}","score":{score},"propensity":{}}}"#, p.max(0.01)));
    }
    std::fs::write(path, lines.join("\n")).unwrap();
}

#[test]
fn a_log_that_explored_tells_quality_and_one_that_did_not_still_tells_shares() {
    let (tiny, bundle) = trained();
    let path = tiny.models().join("log.jsonl");
    let log = |goal| CalibrateOptions { source: Source::Log(path.clone()), ..options(&tiny, &bundle, goal) };

    write_log(&path, (1_500, 0.5), true);
    let explored = calibrate(&log(Goal::ShareStrong(0.5)), &Silent).unwrap();
    let promised = calibrate(&log(Goal::TargetQuality(0.7)), &Silent).unwrap();
    write_log(&path, (300, 0.0), true);
    let refused = calibrate(&log(Goal::TargetQuality(0.7)), &Silent).unwrap_err().to_string();
    write_log(&path, (300, 0.5), false);
    let unlabelled = calibrate(&log(Goal::MaxCostPer1k(3.0)), &Silent).unwrap();

    assert_eq!(explored.basis, Basis::DoublyRobust);
    // Hard prompts, about half, go up: nearly all is answered well.
    assert!((explored.score.value - 0.9).abs() < 0.07, "{explored:?}");
    assert!((500.0..1_000.0).contains(&explored.effective_sample_size.unwrap()), "{explored:?}");
    assert!(promised.quality < 1.0 && promised.promise.unwrap().assumption.contains("propensities"));
    assert!(refused.contains("exploration"), "{refused}");
    assert_eq!(unlabelled.basis, Basis::Predictions);
    assert!(unlabelled.cost_per_1k.unwrap().value <= 3.0 && unlabelled.quality > 0.0);
}

#[test]
fn a_dial_fitted_on_traffic_means_its_share_there_and_nothing_else_changes() {
    let (tiny, bundle) = trained();
    let out = tiny.models().join("dialled");
    let fitted = CalibrateOptions { out: Some(out.clone()), ..options(&tiny, &bundle, Goal::ShareStrong(0.4)) };

    let report = calibrate(&fitted, &Silent).unwrap();

    assert!((report.quality - 0.4).abs() < 0.03, "{report:?}");
    for quality in [0.2, 0.5, 0.8] {
        let share = share_at(&tiny, &out, quality);
        assert!((share - quality).abs() < 0.09, "{quality} sends {share} up");
    }
    assert_eq!(generation(&tiny, &out).manifest().parent.as_ref(), Some(generation(&tiny, &bundle).id()));
    for file in ["heads.onnx", "vectors.f32", "items.jsonl", "golden.jsonl"] {
        assert_eq!(std::fs::read(bundle.join(file)).unwrap(), std::fs::read(out.join(file)).unwrap(), "{file}");
    }
    let again = calibrate(&fitted, &Silent).unwrap_err().to_string();
    assert!(again.contains("exists already"), "{again}");
}

#[test]
fn the_dial_keeps_its_meaning_when_a_bundle_learns() {
    let (tiny, bundle) = trained();
    let dialled = tiny.models().join("dialled");
    let fitted = CalibrateOptions { out: Some(dialled.clone()), ..options(&tiny, &bundle, Goal::ShareStrong(0.4)) };
    calibrate(&fitted, &Silent).unwrap();
    // Too few prompts for a table of their own, and enough; in both, models that do otherwise than the base believes.
    for (prompts, name) in [(160, "few"), (400, "many")] {
        let log = tiny.models().join(format!("{name}.jsonl"));
        write_outcomes(&log, (prompts, 71), &[("weak-1", 0.5, 0.6), ("strong-1", 0.95, 0.9)]);
        let out = tiny.models().join(name);
        let learn = crate::train::build::TrainOptions {
            base: Some(dialled.clone()),
            id: Some(name.to_owned()),
            ..train_options(&tiny, &log, &out)
        };

        let report = crate::train::build::train(&learn, &Silent).unwrap();

        assert!(report.adapted.unwrap().penalty.is_some(), "the heads moved");
        for quality in [0.3, 0.6] {
            let (before, after) = (share_at(&tiny, &dialled, quality), share_at(&tiny, &out, quality));
            assert!((before - after).abs() < 0.13, "{name}: {quality} sent {before} up and sends {after}");
        }
    }
}

#[test]
fn what_cannot_work_is_refused_with_the_best_that_can_be() {
    let (tiny, bundle) = trained();
    let plain = |goal| options(&tiny, &bundle, goal);
    let check = |options: CalibrateOptions, expected: &str| {
        let error = calibrate(&options, &Silent).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let write = |name: &str, text: &str| {
        let path = tiny.models().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let share = Goal::ShareStrong(0.5);
    let mut unpriced = plain(Goal::MaxCostPer1k(1.0));
    unpriced.candidates[1].price = None;
    let mut unknown = plain(Goal::TargetQuality(0.9));
    unknown.candidates[0].model = "nobody".into();
    let log = |path: PathBuf| CalibrateOptions { source: Source::Log(path), ..plain(share) };
    let outcomes = |path: PathBuf| Source::Outcomes(vec![path], OutcomeOptions::default());

    check(plain(Goal::ShareStrong(1.5)), "--share-strong");
    check(plain(Goal::ShareStrong(f64::NAN)), "--share-strong");
    check(plain(Goal::TargetQuality(0.0)), "--target-quality");
    check(plain(Goal::MaxCostPer1k(f64::INFINITY)), "--max-cost-per-1k");
    check(plain(Goal::MaxCostPer1k(0.000_001)), "the least that these models can do");
    check(CalibrateOptions { delta: 0.9, ..plain(share) }, "--delta");
    check(CalibrateOptions { candidates: plain(share).candidates[..1].to_vec(), ..plain(share) }, "two models");
    check(unpriced, "`strong-1` has no price");
    check(unknown, "no model `nobody`");
    check(CalibrateOptions { source: outcomes(write("empty.jsonl", "")), ..plain(share) }, "no rows");
    let nan = r#"{"prompt_id":"1","prompt":"hi","model":"weak-1","score":1,"cost_usd":-1}"#;
    check(CalibrateOptions { source: outcomes(write("cost.jsonl", nan)), ..plain(share) }, "`cost_usd`");
    check(log(write("range.jsonl", r#"{"prompt":"hi","model":"weak-1","score":7}"#)), "`score`");
    check(log(write("chance.jsonl", r#"{"prompt":"hi","model":"weak-1","score":1,"propensity":0}"#)), "`propensity`");
    check(log(write("bare.jsonl", r#"{"model":"weak-1","score":1}"#)), "neither a prompt nor an embedding");
    check(log(write("one.jsonl", r#"{"prompt":"the story","model":"weak-1"}"#)), "at least 20");
    let out = tiny.models().join("never");
    let few = CalibrateOptions {
        out: Some(out.clone()),
        ..log(write("one.jsonl", r#"{"prompt":"the story","model":"weak-1"}"#))
    };
    check(few, "at least 200");
    assert!(!out.exists());
}
