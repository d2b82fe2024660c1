use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::prompt::Prompt;
use crate::model::testing::TinyModels;
use crate::train::build::train;
use crate::train::progress::Silent;
use crate::train::publish::TrainReport;
use crate::train::testing::{PLANTED, generation, options, write_outcomes};

/// What these users found: the weak model does the mathematics, and nothing else.
const REVERSED: [(&str, f64, f64); 2] = [("weak-1", 0.95, 0.05), ("strong-1", 0.93, 0.93)];

/// A models directory with a bundle that has a careful scorer.
fn base() -> (TinyModels, PathBuf) {
    let tiny = TinyModels::new();
    let outcomes = tiny.models().join("outcomes.jsonl");
    write_outcomes(&outcomes, (500, 3), &PLANTED);
    let out = tiny.models().join("base");
    let careful = Some(tiny.encoder("transformer"));
    train(&TrainOptions { careful_encoder: careful, ..options(&tiny, &outcomes, &out) }, &Silent).unwrap();
    (tiny, out)
}

fn adapted(tiny: &TinyModels, base: &Path, name: &str) -> (PathBuf, TrainReport) {
    let outcomes = tiny.models().join(format!("{name}.jsonl"));
    write_outcomes(&outcomes, (200, 8), &REVERSED);
    let out = tiny.models().join(name);
    let adapting = TrainOptions { base: Some(base.to_path_buf()), encoder: None, ..options(tiny, &outcomes, &out) };
    let report = train(&adapting, &Silent).unwrap_or_else(|error| panic!("{error}"));
    (out, report)
}

#[tokio::test]
async fn a_second_look_learns_what_the_first_does() {
    let (tiny, base) = base();

    let (out, report) = adapted(&tiny, &base, "told");

    let Some(CarefulFate::Moved(moved)) = &report.careful else { panic!("{:?}", report.careful) };
    assert_eq!(moved.prompts, 200);
    assert!(moved.log_loss < moved.base_log_loss - 0.2, "{moved:?}");
    let (before, after) = (generation(&tiny, &base), generation(&tiny, &out));
    let soon = || tokio::time::Instant::now() + Duration::from_secs(30);
    for (text, is_liked) in
        [("please solve the equation and prove the sum", true), ("please give me a short story of the city", false)]
    {
        let asked = Prompt::from_ask(text);
        let weak = async |generation: &crate::model::generation::Generation| {
            let fast = generation.score(&asked).unwrap().success[0].mean.get();
            [fast, generation.score_carefully(&asked, soon()).await.unwrap().success[0].mean.get()]
        };
        let (before, after) = (weak(&before).await, weak(&after).await);
        for (before, after) in before.into_iter().zip(after) {
            assert_eq!(before > 0.5, !is_liked, "{text}: {before}");
            assert_eq!(after > 0.5, is_liked, "{text}: {before} and then {after}");
        }
    }
    // What was adapted can be adapted again; labels that were learned already say little about which look is better.
    assert!(adapted(&tiny, &out, "again").1.careful.is_some());
}

#[test]
fn without_its_encoder_the_careful_scorer_stays_behind_and_the_report_says_so() {
    let (tiny, base) = base();
    std::fs::remove_dir_all(tiny.encoder("transformer")).unwrap();

    let (out, report) = adapted(&tiny, &base, "alone");

    let Some(CarefulFate::LeftOut { why }) = &report.careful else { panic!("{:?}", report.careful) };
    assert!(why.contains("is not installed") && why.contains("make encoders"), "{why}");
    assert_eq!(Bundle::open(&out).unwrap().manifest().careful, None);
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(written["careful"]["state"], "left_out");
}

#[test]
fn another_encoder_than_that_of_the_base_is_refused() {
    let (tiny, base) = base();
    let outcomes = tiny.models().join("outcomes.jsonl");
    let out = tiny.models().join("foreign");
    let foreign = TrainOptions {
        base: Some(base),
        encoder: None,
        careful_encoder: Some(tiny.encoder("static")),
        ..options(&tiny, &outcomes, &out)
    };

    let error = train(&foreign, &Silent).unwrap_err();

    assert!(matches!(error, TrainError::OtherEncoder { .. }), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_second_look_that_sees_less_than_the_first_is_not_kept() {
    let report = |log_loss| crate::train::adapt::AdaptReport { log_loss, verdicts: 400, ..Default::default() };

    // Five hundredths are what four hundred verdicts may show by chance.
    assert_eq!(CarefulFate::of(report(0.54), &report(0.5)), CarefulFate::Moved(report(0.54)));
    let CarefulFate::LeftOut { why } = CarefulFate::of(report(0.61), &report(0.5)) else { panic!("it was kept") };
    assert!(why.contains("0.610 against 0.500"), "{why}");
}
