//! Neighbour search: exact against the graph, with the recall of each setting.
//!
//! `cargo bench --bench index`. Points lie around a few hundred centres, as prompts do; where `models/default` has an index, its own
//! vectors are measured too. Figures of one run are compared with each other only: machines are shared and noisy.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and prints its figures"
)]

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use criterion::Criterion;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use trimtab::domain::embedding::Embedding;
use trimtab::model::bundle::Bundle;
use trimtab::model::index::{
    BuildThreads, Graph, GraphSettings, IndexParts, NeighbourIndex, SearchScratch, Vectors, build_graph,
};
use trimtab::model::manifest::IndexItem;

const ITEMS: usize = 20_000;
const QUERIES: usize = 1_000;
const K: usize = 64;
const SEED: u64 = 20_261_121;

fn clustered(count: usize, dimension: usize) -> Vec<Embedding> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut normal = move || (0..6).map(|_| random.random_range(-1.0_f32..1.0)).sum::<f32>() / 1.414;
    let centres: Vec<Vec<f32>> = (0..200).map(|_| (0..dimension).map(|_| normal()).collect()).collect();
    let mut choice = StdRng::seed_from_u64(SEED + 1);
    let mut point = || {
        let centre = &centres[choice.random_range(0..centres.len())];
        Embedding::normalise(centre.iter().map(|x| x + 0.9 * normal()).collect()).unwrap()
    };
    (0..count).map(|_| point()).collect()
}

fn index(vectors: &Vectors, graph: Option<Graph>, ef_search: usize) -> NeighbourIndex {
    let items = (0..vectors.len()).map(|at| IndexItem { id: at.to_string(), labels: vec![(0, 1.0)] }).collect();
    NeighbourIndex::new(IndexParts { vectors: vectors.clone(), items, graph, ef_search })
}

struct Measured {
    found: Vec<HashSet<String>>,
    micros: Vec<f64>,
}

fn measure(index: &NeighbourIndex, queries: &[Embedding]) -> Measured {
    let mut scratch = SearchScratch::default();
    let mut measured = Measured { found: Vec::new(), micros: Vec::new() };
    for query in queries {
        let start = Instant::now();
        let neighbours = index.nearest(query, K, &mut scratch);
        measured.micros.push(start.elapsed().as_secs_f64() * 1e6);
        measured.found.push(neighbours.iter().map(|neighbour| neighbour.item.to_string()).collect());
    }
    measured.micros.sort_by(f64::total_cmp);
    measured
}

fn report(name: &str, measured: &Measured, truth: &Measured) {
    let hits: usize =
        measured.found.iter().zip(&truth.found).map(|(found, truth)| found.intersection(truth).count()).sum();
    let recall = hits as f64 / truth.found.iter().map(HashSet::len).sum::<usize>() as f64;
    let at = |share: f64| measured.micros[(measured.micros.len() as f64 * share) as usize];
    println!("{name:28} p50 {:7.1} µs  p99 {:7.1} µs  recall@{K} {recall:.4}", at(0.5), at(0.99));
}

fn compare(name: &str, vectors: &Vectors, queries: &[Embedding]) {
    let exact = measure(&index(vectors, None, 0), queries);
    report(&format!("{name} exact"), &exact, &exact);
    let start = Instant::now();
    let settings = GraphSettings { m: 16, ef_construction: 200, threads: BuildThreads::Pool };
    let graph = build_graph(vectors, &settings).unwrap();
    let (built, bytes) = (start.elapsed(), graph.to_bytes());
    let start = Instant::now();
    let graph = Graph::from_bytes(&bytes, vectors.len()).unwrap();
    println!("{name} graph of {} bytes built in {built:.1?}, read in {:.1?}", bytes.len(), start.elapsed());
    for ef in [64, 96, 128, 160] {
        let measured = measure(&index(vectors, Some(graph.clone()), ef), queries);
        report(&format!("{name} graph ef {ef}"), &measured, &exact);
    }
}

fn vectors_of(embeddings: &[Embedding], dimension: usize) -> Vectors {
    let mut vectors = Vectors::new(dimension);
    assert!(embeddings.iter().all(|embedding| vectors.push(embedding)));
    vectors
}

fn default_bundle() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/default");
    let Ok(bundle) = Bundle::open(&path) else { return };
    let Some(reference) = bundle.manifest().index.clone() else { return };
    let vectors = Vectors::from_bytes(&bundle.read(&reference.vectors).unwrap(), reference.dimension).unwrap();
    let rows: Vec<Embedding> = vectors.rows().map(|row| Embedding::normalise(row.to_vec()).unwrap()).collect();
    // Every twentieth row is a query and not an item.
    let (queries, items): (Vec<_>, Vec<_>) = rows.into_iter().enumerate().partition(|(at, _)| at % 20 == 0);
    let [queries, items] = [queries, items].map(|rows| rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    compare(&format!("default {}", items.len()), &vectors_of(&items, reference.dimension), &queries);
}

fn main() {
    for dimension in [64, 96, 128, 256] {
        let points = clustered(ITEMS + QUERIES, dimension);
        let (items, queries) = points.split_at(ITEMS);
        compare(&format!("{ITEMS}×{dimension}"), &vectors_of(items, dimension), queries);
    }
    for count in [2_500, 5_000, 10_000] {
        let points = clustered(count + QUERIES, 64);
        let (items, queries) = points.split_at(count);
        let exact = measure(&index(&vectors_of(items, 64), None, 0), queries);
        report(&format!("{count}×64 exact"), &exact, &exact);
    }
    default_bundle();

    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let points = clustered(ITEMS + QUERIES, 64);
    let (items, queries) = points.split_at(ITEMS);
    let vectors = vectors_of(items, 64);
    let graph = build_graph(&vectors, &GraphSettings { threads: BuildThreads::Pool, ..GraphSettings::default() });
    for (name, index) in [("graph", index(&vectors, graph, 96)), ("exact", index(&vectors, None, 0))] {
        let (mut scratch, mut queries) = (SearchScratch::default(), queries.iter().cycle());
        criterion.bench_function(&format!("nearest 64 of 20,000×64, {name}"), |bencher| {
            bencher.iter(|| index.nearest(queries.next().unwrap(), K, &mut scratch));
        });
    }
    criterion.final_summary();
}
