//! A bundle trained on a planted rule, for the tests of offline work.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::domain::signals::Signals;
use crate::model::generation::Generation;
use crate::model::heads::SIGNALS;
use crate::model::session::Device;
use crate::model::testing::TinyModels;
use crate::train::build::{TrainOptions, train};
use crate::train::dataset::Unseen;
use crate::train::outcomes::OutcomeOptions;
use crate::train::progress::Silent;

const HARD: [&str; 6] = ["prove", "integral", "equation", "solve", "sum", "number"];
const EASY: [&str; 6] = ["story", "poem", "email", "city", "country", "capital"];
const FILLER: [&str; 14] =
    ["the", "of", "and", "to", "in", "for", "please", "give", "me", "short", "long", "simple", "this", "with"];

/// A prompt of a few words, and whether it is a hard one.
pub(crate) fn prompt(random: &mut StdRng) -> (String, bool) {
    let hard = random.random_bool(0.5);
    let theme = if hard { HARD } else { EASY };
    let mut words: Vec<&str> = (0..random.random_range(5..12)).map(|_| *FILLER.choose(random).unwrap()).collect();
    for _ in 0..4 {
        let at = random.random_range(0..words.len());
        words.insert(at, theme.choose(random).unwrap());
    }
    (words.join(" "), hard)
}

/// Writes outcomes of models, each with its chance on hard and on easy prompts.
pub(crate) fn write_outcomes(path: &Path, (prompts, seed): (usize, u64), models: &[(&str, f64, f64)]) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut lines = Vec::new();
    for id in 0..prompts {
        let (text, hard) = prompt(&mut random);
        for &(model, when_hard, when_easy) in models {
            let score = u8::from(random.random_bool(if hard { when_hard } else { when_easy }));
            lines.push(format!(
                r#"{{"prompt_id":"{seed}-{id}","prompt":"{text}","model":"{model}","score":{score},"output_tokens":{}}}"#,
                if hard { 400 } else { 50 }
            ));
        }
    }
    std::fs::write(path, lines.join("\n")).unwrap();
}

/// The weak model fails on mathematics, the strong one hardly ever fails.
pub(crate) const PLANTED: [(&str, f64, f64); 2] = [("weak-1", 0.08, 0.92), ("strong-1", 0.93, 0.93)];

/// Trains on a file into a directory.
pub(crate) fn options(tiny: &TinyModels, outcomes: &Path, out: &Path) -> TrainOptions {
    TrainOptions {
        outcomes: vec![outcomes.to_path_buf()],
        outcome_options: OutcomeOptions::default(),
        tasks: None,
        task_filters: Vec::new(),
        feedback: None,
        base: None,
        unseen: Unseen::default(),
        tiers: None,
        encoder: Some(tiny.encoder("static")),
        careful_encoder: None,
        models: tiny.models().to_path_buf(),
        out: out.to_path_buf(),
        id: Some("trained".to_owned()),
        seed: 5,
        threads: 1,
        caller_share: 0.2,
        device: Device::Cpu,
    }
}

/// A models directory with a bundle that was trained on the planted rule.
pub(crate) fn trained() -> (TinyModels, PathBuf) {
    let tiny = TinyModels::new();
    let outcomes = tiny.models().join("outcomes.jsonl");
    write_outcomes(&outcomes, (500, 3), &PLANTED);
    let out = tiny.models().join("trained");
    let options = options(&tiny, &outcomes, &out);
    train(&options, &Silent).unwrap_or_else(|error| panic!("{error}"));
    (tiny, out)
}

/// Loads a bundle as a server does.
pub(crate) fn generation(tiny: &TinyModels, bundle: &Path) -> Generation {
    Generation::prepare(&tiny.settings(bundle)).unwrap_or_else(|error| panic!("{error}"))
}

/// The signals of a text as the heads read them.
pub(crate) fn signals_of(text: &str) -> [f32; SIGNALS] {
    Signals::of(text).features()
}
