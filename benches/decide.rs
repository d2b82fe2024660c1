//! The fast scorer in process: tokenise, encode, heads, neighbours; and the decision that follows.
//!
//! `cargo bench --bench decide`. Uses the shipped static encoder with heads and an index of 20,000 items made up here, and the
//! default bundle where there is one. Figures of one run are compared with each other only: machines are shared and noisy.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and prints its figures"
)]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::Criterion;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trimtab::domain::calibration::{Calibrator, Dial};
use trimtab::domain::candidate::{Candidate, Capability};
use trimtab::domain::decide::{Learned, Question, decide};
use trimtab::domain::embedding::Embedding;
use trimtab::domain::money::{NanoUsd, Price};
use trimtab::domain::neighbour::BlendSettings;
use trimtab::domain::policy::{Aim, Limits, Policy};
use trimtab::domain::probability::Probability;
use trimtab::domain::prompt::Prompt;
use trimtab::domain::scores::ScoreTimings;
use trimtab::domain::signals::SIGNALS_VERSION;
use trimtab::domain::task::Task;
use trimtab::model::digest_of;
use trimtab::model::embedder::Embedder;
use trimtab::model::generation::{Generation, PrepareSettings};
use trimtab::model::heads::graph::{Affine, HeadsGraph};
use trimtab::model::heads::{HeadInput, Heads, HeadsShape, SIGNALS};
use trimtab::model::index::{BuildThreads, GraphSettings, Vectors, build_graph};
use trimtab::model::manifest::{
    Calibration, EncoderRef, GoldenRow, HeadsRef, IndexItem, IndexRef, Manifest, SCHEMA, TrainedOn,
};
use trimtab::model::publish::BundleWriter;
use trimtab::model::session::Device;

const ITEMS: usize = 20_000;
const INDEX_DIMENSION: usize = 64;
const HIDDEN: usize = 96;
const GOLDEN: &str = "What is the capital of Australia?";
const WORDS: [&str; 40] = [
    "the",
    "warehouse",
    "received",
    "crates",
    "on",
    "Monday",
    "and",
    "sold",
    "a",
    "third",
    "of",
    "them",
    "by",
    "Friday,",
    "keeping",
    "rest",
    "for",
    "spring",
    "fair.",
    "Explain",
    "step",
    "how",
    "many",
    "are",
    "left,",
    "which",
    "assumptions",
    "you",
    "made",
    "about",
    "returns",
    "function",
    "integral",
    "translate",
    "poem",
    "Python",
    "equation",
    "history",
    "chemistry",
    "summarise",
];

fn text(words: usize, random: &mut StdRng) -> String {
    (0..words).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect::<Vec<_>>().join(" ")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn affine(inputs: usize, outputs: usize, random: &mut StdRng) -> Affine {
    let mut numbers = |count| (0..count).map(|_| random.random_range(-0.3_f32..0.3)).collect();
    Affine { inputs, weights: numbers(inputs * outputs), bias: numbers(outputs) }
}

/// Heads of the shape that training makes, with random weights.
fn heads(dimension: usize, positions: usize, random: &mut StdRng) -> Vec<u8> {
    let x = dimension + SIGNALS;
    let graph = HeadsGraph {
        dimension,
        low: vec![-10.0; SIGNALS],
        high: vec![10.0; SIGNALS],
        hidden: affine(x, HIDDEN, random),
        task: affine(HIDDEN, Task::ALL.len(), random),
        outputs: affine(x + Task::ALL.len(), 5 + positions, random),
        least_gain: 0.0,
        largest_gain: 0.6,
        place: vec![0.0; positions],
        level: vec![0.0; positions],
        local: None,
    };
    trimtab::train::onnx::encode(&graph)
}

/// A bundle for the shipped encoder, with or without an index.
fn bundle(directory: &Path, items: usize) -> PathBuf {
    let mut random = StdRng::seed_from_u64(7);
    let (encoder, mut embedder) = encoder();
    let (tiers, models) = (vec!["small".into(), "large".into()], Vec::new());
    let heads = heads(encoder.dimension, 2, &mut random);
    let path = directory.join(format!("bundle-{items}"));
    let mut writer = BundleWriter::create(&path).unwrap();
    writer.write("heads.onnx", &heads).unwrap();
    let texts: Vec<String> = (0..items).map(|_| text(random.random_range(5..60), &mut random)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let index = (items > 0).then(|| {
        let mut vectors = Vectors::new(INDEX_DIMENSION);
        for embedding in embedder.embed_many(&texts, NonZeroUsize::new(2).unwrap()).unwrap() {
            // Some noise, since sentences of forty words are more alike than prompts.
            let numbers = embedding.unwrap().as_slice().iter().map(|x| x + random.random_range(-0.08..0.08)).collect();
            assert!(vectors.push(&Embedding::normalise(numbers).unwrap()));
        }
        let settings = GraphSettings { threads: BuildThreads::Pool, ..GraphSettings::default() };
        writer.write("graph.bin", &build_graph(&vectors, &settings).unwrap().to_bytes()).unwrap();
        writer.write("vectors.f32", &vectors.to_bytes()).unwrap();
        let item = |at: usize| IndexItem { id: at.to_string(), labels: vec![(0, (at % 2) as f32), (1, 1.0)] };
        let lines: String = (0..items).map(|at| serde_json::to_string(&item(at)).unwrap() + "\n").collect();
        writer.write("items.jsonl", lines.as_bytes()).unwrap();
        IndexRef {
            items: "items.jsonl".to_owned(),
            vectors: "vectors.f32".to_owned(),
            graph: Some("graph.bin".to_owned()),
            count: items,
            dimension: INDEX_DIMENSION,
            m: settings.m,
            ef_construction: settings.ef_construction,
            ef_search: 96,
        }
    });
    let index_digest = index.as_ref().map(|_| digest_of(&std::fs::read(writer.path().join("vectors.f32")).unwrap()));
    let calibration = Calibration {
        heads: digest_of(&heads),
        index: index_digest,
        success: vec![Calibrator::IDENTITY; 2],
        difficulty: Calibrator::IDENTITY,
        task_temperature: 1.0,
        blend: BlendSettings { k: 64, floor: 0.0, power: 4.0, prior_strength: 20.0 },
        dial: Dial::from_gains(&[0.0, 1.0]).unwrap(),
        sample: trimtab::domain::steps::DialSample::default(),
    };
    writer.write("calibration.json", &serde_json::to_vec(&calibration).unwrap()).unwrap();
    let golden = golden(&mut embedder, &encoder, &heads);
    writer.write("golden.jsonl", &serde_json::to_vec(&golden).unwrap()).unwrap();
    let manifest = Manifest {
        schema: SCHEMA,
        id: "bench".into(),
        parent: None,
        created: "2026-11-21T00:00:00Z".to_owned(),
        made_by: "benches/decide.rs".to_owned(),
        seed: 7,
        encoder,
        heads: HeadsRef { path: "heads.onnx".to_owned(), calibration: "calibration.json".to_owned() },
        careful: None,
        signals_version: SIGNALS_VERSION,
        tasks: Task::ALL.to_vec(),
        tiers,
        models,
        index,
        files: Vec::new(),
        trained_on: TrainedOn::default(),
    };
    writer.publish(manifest).unwrap()
}

fn golden(embedder: &mut Embedder, encoder: &EncoderRef, heads: &[u8]) -> GoldenRow {
    let shape = HeadsShape { dimension: encoder.dimension, tasks: Task::ALL.len(), positions: 2 };
    let prompt = Prompt::from_ask(GOLDEN);
    let embedding = embedder.embed_many(&[GOLDEN], NonZeroUsize::MIN).unwrap().pop().flatten().unwrap();
    let input = HeadInput { embedding: embedding.as_slice(), signals: &prompt.signals.features() };
    let output = Heads::open("heads.onnx", heads, shape).unwrap().score(&[input]).unwrap().remove(0);
    let likeliest = Task::ALL.iter().zip(&output.task).max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    GoldenRow {
        prompt: GOLDEN.to_owned(),
        tokens: embedder.count_tokens(GOLDEN).unwrap(),
        embedding: embedding.as_slice()[..8].to_vec(),
        tier_logits: output.success[..2].to_vec(),
        task: *likeliest.0,
    }
}

/// The shipped static encoder.
fn encoder() -> (EncoderRef, Embedder) {
    let entries = std::fs::read_dir(root().join("models/encoders")).unwrap().map(|entry| entry.unwrap().path());
    let is_static = |path: &PathBuf| {
        let text = std::fs::read_to_string(path.join("encoder.json")).unwrap_or_default();
        text.contains("\"static\"")
    };
    let embedder = Embedder::open(&entries.into_iter().find(is_static).unwrap(), Device::Cpu).unwrap();
    (embedder.encoder_ref(), embedder)
}

/// Texts of about that many tokens, all different, so that nothing can be cached.
fn prompts(tokens: usize, generation: &Generation) -> Vec<Prompt> {
    let mut random = StdRng::seed_from_u64(11);
    let mut words = tokens;
    loop {
        let prompts: Vec<Prompt> = (0..500).map(|_| Prompt::from_ask(&text(words, &mut random))).collect();
        let mean = prompts.iter().map(|prompt| generation.score(prompt).unwrap().tokens).sum::<usize>() / prompts.len();
        if mean <= tokens {
            println!("  prompts of {mean} tokens on average");
            return prompts;
        }
        words = words * tokens / mean - 1;
    }
}

fn measure(name: &str, generation: &Generation, prompts: &[Prompt]) {
    let mut took: Vec<Duration> = Vec::new();
    let mut sum = ScoreTimings::default();
    for _ in 0..4 {
        for prompt in prompts {
            let start = Instant::now();
            let scores = generation.score(prompt).unwrap();
            took.push(start.elapsed());
            sum.tokenize += scores.timings.tokenize;
            sum.encode += scores.timings.encode;
            sum.heads += scores.timings.heads;
            sum.neighbours += scores.timings.neighbours;
        }
    }
    took.sort();
    let at = |share: f64| took[(took.len() as f64 * share) as usize];
    let mean = |total: Duration| total / took.len() as u32;
    let (tokenize, encode, heads, neighbours) =
        (mean(sum.tokenize), mean(sum.encode), mean(sum.heads), mean(sum.neighbours));
    println!("{name:34} p50 {:.1?}  p99 {:.1?}", at(0.5), at(0.99));
    println!(
        "  mean: tokenise {tokenize:.1?}, encode {encode:.1?}, heads {heads:.1?}, neighbours and blend {neighbours:.1?}"
    );
}

/// So many models of two tiers, each with its price.
fn candidates(count: usize) -> Vec<Candidate> {
    let candidate = |at: usize| {
        let rank = at * 2 / count;
        let tier = ["small", "large"][rank];
        Candidate {
            model: format!("model-{at}").into(),
            tier: tier.into(),
            rank,
            class: tier.into(),
            price: Some(Price {
                input_per_mtok: NanoUsd(100_000_000 * (1 + at as u64)),
                cached_input_per_mtok: None,
                cache_write_per_mtok: None,
                output_per_mtok: NanoUsd(400_000_000 * (1 + at as u64)),
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
    };
    (0..count).map(candidate).collect()
}

fn bench_decision(criterion: &mut Criterion, generation: &Generation) {
    let policy = Policy::plain("bench".into(), Aim::Quality(Probability::HALF), "large".into());
    let prompt = Prompt::from_ask(GOLDEN);
    let scores = generation.score(&prompt).unwrap();
    let Learned { bundle, labels, dial } = generation.learned();
    for count in [2, 12] {
        let candidates = candidates(count);
        let limits = Limits::default();
        let question = Question {
            scores: Ok(&scores),
            learned: Some(Learned { bundle, labels, dial }),
            candidates: &candidates,
            barred: &[],
            shape: &prompt.shape,
            policy: &policy,
            limits: &limits,
            held: None,
            draw: Probability::HALF,
        };
        criterion.bench_function(&format!("decide, {count} models"), |bencher| bencher.iter(|| decide(&question)));
    }
}

fn main() {
    let scratch = tempfile::tempdir().unwrap();
    let models = root().join("models");
    let prepare = |bundle: &Path| {
        let start = Instant::now();
        let mut settings = PrepareSettings::new(bundle, &models);
        settings.careful = None;
        let generation = Generation::prepare(&settings).unwrap_or_else(|error| panic!("{error}"));
        println!("prepared {} in {:.1?}", bundle.display(), start.elapsed());
        generation
    };
    let mut generations = vec![
        ("no index", prepare(&bundle(scratch.path(), 0))),
        ("20,000 items", prepare(&bundle(scratch.path(), ITEMS))),
    ];
    if models.join("default/manifest.json").is_file() {
        generations.push(("default bundle", prepare(&models.join("default"))));
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    bench_decision(&mut criterion, &generations[0].1);
    for (name, generation) in &generations {
        for tokens in [64, 512] {
            let prompts = prompts(tokens, generation);
            measure(&format!("{name}, {tokens} tokens"), generation, &prompts);
            let mut prompts = prompts.iter().cycle();
            criterion.bench_function(&format!("score, {name}, {tokens} tokens"), |bencher| {
                bencher.iter(|| generation.score(prompts.next().unwrap()));
            });
        }
    }
    criterion.final_summary();
}
