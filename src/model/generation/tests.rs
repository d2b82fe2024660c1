use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::embedding::Embedding;
use crate::domain::ids::ItemId;
use crate::domain::prompt::Shape;
use crate::model::error::PrepareError;
use crate::model::index::FreshItem;
use crate::model::testing::{TinyModels, edit};

const PROMPT: &str = "Please explain the sum of two numbers?";

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(30)
}

fn refusal(change: impl FnOnce(&Path)) -> PrepareError {
    let models = TinyModels::new();
    let bundle = models.variant("damaged", change);
    Generation::prepare(&models.settings(&bundle)).unwrap_err()
}

fn edit_manifest(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    edit(&path.join("manifest.json"), change);
}

#[test]
fn scores_a_prompt() {
    let generation = TinyModels::new().generation();

    let scores = generation.score(&Prompt::from_ask(PROMPT)).unwrap();

    assert_eq!(scores.scorer, Scorer::Fast);
    assert!((scores.tasks.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(scores.success.len(), 4);
    assert!(scores.success.iter().all(|estimate| estimate.low <= estimate.mean && estimate.mean <= estimate.high));
    assert!(scores.output_tokens.p50 >= 1.0 && scores.output_tokens.p90 >= scores.output_tokens.p50);
    assert_eq!(scores.neighbourhood.neighbours.len(), 8);
    assert!(scores.neighbourhood.neighbours[0].similarity > 0.999, "the prompt itself is in the index");
    assert!(scores.neighbourhood.density > 0.0);
    assert_eq!(scores.embedding.dimension(), 16);
    assert!(!scores.truncated && scores.tokens > 5);
    assert_eq!(generation.learned().bundle.as_str(), "tiny");
}

#[test]
fn signals_reach_the_heads() {
    let generation = TinyModels::new().generation();
    let short = Prompt::from_ask(PROMPT);
    let mut long = short.clone();
    long.signals.chars = 100_000;

    let (short, long) = (generation.score(&short).unwrap(), generation.score(&long).unwrap());

    assert!(long.output_tokens.p50 > short.output_tokens.p50 * 2.0);
    assert_eq!(long.embedding, short.embedding);
}

#[test]
fn an_ask_without_text_is_a_failure_of_its_own() {
    let generation = TinyModels::new().generation();

    for (ask, failure) in
        [("", ScoreFailure::EmptyAsk), ("   ", ScoreFailure::EmptyAsk), ("\u{200b}", ScoreFailure::EmptyAsk)]
    {
        assert_eq!(generation.score(&Prompt::from_ask(ask)).unwrap_err(), failure);
    }
}

#[test]
fn long_asks_are_cut_and_say_so() {
    let generation = TinyModels::new().generation();

    let scores = generation.score(&Prompt::from_ask(&"the city ".repeat(50_000))).unwrap();

    assert!(scores.truncated);
    assert_eq!(scores.tokens, 128);
}

#[test]
fn fresh_feedback_is_found_at_once() {
    let generation = TinyModels::new().generation();
    let prompt = Prompt::from_ask("Write a poem on rust, python and german trains");
    let before = generation.score(&prompt).unwrap();
    let id: ItemId = "fresh".into();

    let labels = vec![(0, 1.0), (1, 0.0)].into();
    assert!(generation.add_feedback(FreshItem {
        id: id.clone(),
        embedding: before.embedding.clone(),
        labels,
        caller: "c".into()
    }));

    let after = generation.score(&prompt).unwrap();
    assert_eq!(after.neighbourhood.neighbours[0].item, id);
    assert!(after.success[0].mean > before.success[0].mean);
    assert!(after.success[1].mean < before.success[1].mean);
}

#[test]
fn an_edition_ends_with_the_feedback_that_is_taken_and_is_no_other_generations() {
    let models = TinyModels::new();
    let (generation, same) = (models.generation(), models.generation());
    let embedding = generation.score(&Prompt::from_ask(PROMPT)).unwrap().embedding;
    let item = |embedding| FreshItem { id: "fresh".into(), embedding, labels: [].into(), caller: "c".into() };
    let first = generation.edition();

    assert!(!generation.add_feedback(item(Embedding::normalise(vec![1.0; 32]).unwrap())));
    assert_eq!(generation.edition(), first, "scoring, and feedback that is not taken, change nothing");
    assert_ne!(same.edition().generation, first.generation);
    assert!(generation.add_feedback(item(embedding.clone())));
    let second = generation.edition();
    assert_eq!((second.generation, second.learned), (first.generation, first.learned + 1));
    assert!(generation.add_feedback(item(embedding.clone())), "it is there already");
    assert_eq!(generation.edition(), second);
    assert!(generation.add_feedback(FreshItem { labels: vec![(0, 1.0)].into(), ..item(embedding) }));
    assert_eq!(generation.edition().learned, second.learned + 1, "it takes the place of its namesake");
}

/// The decision cache keeps what a report does not change.
#[tokio::test]
async fn refreshed_scores_are_what_scoring_anew_gives() {
    let generation = TinyModels::new().generation();
    let prompt = Prompt::from_ask(PROMPT);
    let kept = [generation.score(&prompt).unwrap(), generation.score_carefully(&prompt, soon()).await.unwrap()];
    let item = FreshItem {
        id: "fresh".into(),
        embedding: kept[0].embedding.clone(),
        labels: vec![(0, 0.0), (1, 1.0)].into(),
        caller: "c".into(),
    };
    assert!(generation.add_feedback(item));

    let refreshed = kept.each_ref().map(|scores| generation.refresh(scores).unwrap());

    let anew = [generation.score(&prompt).unwrap(), generation.score_carefully(&prompt, soon()).await.unwrap()];
    for (refreshed, anew) in refreshed.into_iter().zip(anew) {
        let ScoreTimings { tokenize, encode, heads, .. } = refreshed.timings;
        assert_eq!(tokenize + encode + heads, Duration::ZERO, "nothing but the search is done again");
        assert!(refreshed.neighbourhood.neighbours.iter().any(|found| found.item.as_str() == "fresh"));
        let [one, other] = [refreshed, anew].map(|scores| Scores { timings: ScoreTimings::default(), ..scores });
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

/// The decision cache finds scores by the ask and by whether it was cut.
#[tokio::test]
async fn scores_depend_on_nothing_that_is_around_the_ask() {
    let generation = TinyModels::new().generation();
    let prompt = Prompt::from_ask(PROMPT);
    let mut loaded = prompt.clone();
    loaded.shape = Shape { turns: 40, input_tokens: 90_000, tools: 12, images: 3, json_schema: true, ..loaded.shape };

    let fast = [&prompt, &loaded].map(|prompt| generation.score(prompt).unwrap());
    let careful = [
        generation.score_carefully(&prompt, soon()).await.unwrap(),
        generation.score_carefully(&loaded, soon()).await.unwrap(),
    ];

    for [one, other] in [fast, careful] {
        let [one, other] = [one, other].map(|scores| Scores { timings: ScoreTimings::default(), ..scores });
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

#[test]
fn feedback_of_another_encoder_is_not_taken() {
    let generation = TinyModels::new().generation();
    let embedding = Embedding::normalise(vec![1.0; 32]).unwrap();

    assert!(!generation.add_feedback(FreshItem {
        id: "foreign".into(),
        embedding,
        labels: [].into(),
        caller: "c".into()
    }));
}

#[tokio::test]
async fn scores_carefully_with_the_neighbours_of_the_fast_embedding() {
    let generation = TinyModels::new().generation();
    let prompt = Prompt::from_ask(PROMPT);
    let fast = generation.score(&prompt).unwrap();

    let careful = generation.score_carefully(&prompt, soon()).await.unwrap();

    assert_eq!(careful.scorer, Scorer::Careful);
    assert_eq!(careful.embedding, fast.embedding);
    assert_eq!(careful.neighbourhood.neighbours, fast.neighbourhood.neighbours);
    assert_ne!(careful.tasks, fast.tasks);
    assert!(matches!(generation.careful_status(), CarefulStatus::Ready { .. }));
}

#[tokio::test]
async fn careful_scores_do_not_depend_on_the_batch() {
    let generation = TinyModels::new().generation();
    let prompts: Vec<Prompt> = (1..24).map(|n| Prompt::from_ask(&"what is the city ".repeat(n))).collect();

    let together =
        futures_util::future::join_all(prompts.iter().map(|prompt| generation.score_carefully(prompt, soon()))).await;

    for (prompt, together) in prompts.iter().zip(together) {
        let alone = generation.score_carefully(prompt, soon()).await.unwrap();
        for (a, b) in alone.success.iter().zip(&together.unwrap().success) {
            assert!((a.mean.get() - b.mean.get()).abs() < 1e-4);
        }
    }
}

#[tokio::test]
async fn a_deadline_that_has_passed_ends_careful_scoring() {
    let generation = TinyModels::new().generation();

    let failure = generation.score_carefully(&Prompt::from_ask(PROMPT), tokio::time::Instant::now()).await.unwrap_err();

    assert_eq!(failure, ScoreFailure::Deadline);
}

#[tokio::test]
async fn serves_without_the_careful_encoder_and_says_what_to_do() {
    let models = TinyModels::new();
    fs::remove_dir_all(models.encoder("transformer")).unwrap();

    let generation = models.generation();

    let prompt = Prompt::from_ask(PROMPT);
    assert!(generation.score(&prompt).is_ok());
    assert_eq!(generation.score_carefully(&prompt, soon()).await.unwrap_err(), ScoreFailure::Inference);
    let CarefulStatus::NotInstalled { problem } = generation.careful_status() else { panic!("expected a remedy") };
    assert!(problem.contains("make encoders"), "{problem}");
}

#[test]
fn answers_the_same_from_every_thread() {
    let generation = TinyModels::new().generation();
    let prompt = Prompt::from_ask(PROMPT);
    let expected = generation.score(&prompt).unwrap();

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(generation.score(&prompt).unwrap().success, expected.success);
                }
            });
        }
    });
}

#[test]
fn refuses_a_calibration_for_other_heads() {
    let error = refusal(|path| edit(&path.join("calibration.json"), |c| c["heads"] = "0".repeat(64).into()));
    assert!(matches!(error, PrepareError::Calibration { .. }), "{error}");

    let error = refusal(|path| edit(&path.join("calibration.json"), |c| c["index"] = "0".repeat(64).into()));
    assert!(matches!(error, PrepareError::Calibration { .. }), "{error}");

    let error = refusal(|path| edit(&path.join("careful-calibration.json"), |c| c["heads"] = "0".repeat(64).into()));
    assert!(matches!(error, PrepareError::Calibration { .. }), "{error}");
}

#[test]
fn refuses_a_calibration_that_is_unsound() {
    let decreasing = serde_json::json!({ "kind": "isotonic", "knots": [0.0, 1.0], "values": [0.9, 0.1] });
    let changes: [(&str, serde_json::Value); 5] = [
        ("success", serde_json::json!([])),
        ("difficulty", decreasing),
        ("task_temperature", 0.0.into()),
        ("dial", serde_json::json!([0.0, 1.0])),
        ("blend", serde_json::json!({ "k": 8, "floor": 0.0, "power": 1.0, "prior_strength": 0.0 })),
    ];
    for (field, value) in changes {
        let error = refusal(|path| edit(&path.join("calibration.json"), |calibration| calibration[field] = value));
        assert!(matches!(error, PrepareError::Calibration { .. }), "{field}: {error}");
    }
}

#[test]
fn refuses_a_golden_row_that_differs_and_names_it() {
    for field in ["tokens", "embedding", "tier_logits", "task"] {
        let error = refusal(|path| {
            let file = path.join("golden.jsonl");
            let text = fs::read_to_string(&file).unwrap();
            let mut rows: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            rows[2][field] = match field {
                "tokens" => 99.into(),
                "task" => if rows[2]["task"] == "other" { "rewrite" } else { "other" }.into(),
                _ => serde_json::json!([0.9, 0.9]),
            };
            fs::write(file, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
        });

        assert!(matches!(error, PrepareError::Golden { row: 3, .. }), "{field}: {error}");
    }
}

#[test]
fn refuses_heads_of_a_foreign_dimension() {
    let error = refusal(|path| {
        fs::copy(path.join("careful-heads.onnx"), path.join("heads.onnx")).unwrap();
        refit(path);
    });

    assert!(matches!(error, PrepareError::Dimension { expected: 16, found: 8, .. }), "{error}");
}

#[test]
fn refuses_heads_for_other_labels() {
    let error = refusal(|path| {
        edit_manifest(path, |manifest| manifest["models"] = serde_json::json!(["only-one"]));
        edit(&path.join("calibration.json"), |calibration| {
            calibration["success"].as_array_mut().unwrap().pop();
        });
        let items = fs::read_to_string(path.join("items.jsonl")).unwrap();
        fs::write(path.join("items.jsonl"), items.replace("[3, 1.0]", "[2, 1.0]").replace("[3, 0.0]", "[2, 0.0]"))
            .unwrap();
    });

    assert!(matches!(error, PrepareError::Dimension { expected: 3, found: 4, .. }), "{error}");
}

#[test]
fn refuses_an_index_of_another_size_or_dimension() {
    let error = refusal(|path| edit_manifest(path, |manifest| manifest["index"]["count"] = 79.into()));
    assert!(matches!(error, PrepareError::Index { .. }), "{error}");

    let error = refusal(|path| edit_manifest(path, |manifest| manifest["index"]["dimension"] = 32.into()));
    assert!(matches!(error, PrepareError::Dimension { expected: 16, found: 32, .. }), "{error}");

    let error = refusal(|path| {
        let vectors = path.join("vectors.f32");
        let bytes = fs::read(&vectors).unwrap();
        fs::write(&vectors, &bytes[..bytes.len() / 2]).unwrap();
        refit(path);
    });
    assert!(matches!(error, PrepareError::Index { .. }), "{error}");
}

#[test]
fn refuses_vectors_that_are_no_unit_vectors_and_labels_out_of_range() {
    let error = refusal(|path| {
        let vectors = path.join("vectors.f32");
        let mut bytes = fs::read(&vectors).unwrap();
        bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(&vectors, bytes).unwrap();
        refit(path);
    });
    assert!(matches!(error, PrepareError::Index { .. }), "{error}");

    let error = refusal(|path| {
        let items = fs::read_to_string(path.join("items.jsonl")).unwrap();
        fs::write(path.join("items.jsonl"), items.replacen("[3, ", "[4, ", 1)).unwrap();
    });
    assert!(matches!(error, PrepareError::Index { .. }), "{error}");
}

/// Lets the calibrations name the heads and vectors as they are now, so that only the damage itself is left to find.
fn refit(path: &Path) {
    let digest = |file: &str| crate::model::digest_of(&fs::read(path.join(file)).unwrap());
    for prefix in ["", "careful-"] {
        edit(&path.join(format!("{prefix}calibration.json")), |calibration| {
            calibration["heads"] = digest(&format!("{prefix}heads.onnx")).into();
            calibration["index"] = digest("vectors.f32").into();
        });
    }
}
