use std::collections::HashSet;
use std::sync::OnceLock;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const K: usize = 32;

/// Points around a few centres, as prompts lie.
fn clustered(count: usize, dimension: usize, seed: u64) -> Vec<Embedding> {
    let mut random = StdRng::seed_from_u64(seed);
    let centres: Vec<Vec<f32>> =
        (0..40).map(|_| (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
    let mut point = |_| {
        let centre = &centres[random.random_range(0..centres.len())];
        Embedding::normalise(centre.iter().map(|x| x + random.random_range(-0.8..0.8)).collect()).unwrap()
    };
    (0..count).map(&mut point).collect()
}

fn vectors(embeddings: &[Embedding], dimension: usize) -> Vectors {
    let mut vectors = Vectors::new(dimension);
    assert!(embeddings.iter().all(|embedding| vectors.push(embedding)));
    vectors
}

fn index(vectors: Vectors, graph: Option<Graph>) -> NeighbourIndex {
    let items = (0..vectors.len()).map(|at| IndexItem { id: at.to_string(), labels: vec![(0, 1.0)] }).collect();
    NeighbourIndex::new(IndexParts { vectors, items, graph, ef_search: 96 })
}

fn found(index: &NeighbourIndex, query: &Embedding) -> Vec<String> {
    let neighbours = index.nearest(query, K, &mut SearchScratch::default());
    assert!(neighbours.is_sorted_by(|a, b| a.similarity >= b.similarity));
    neighbours.into_iter().map(|neighbour| neighbour.item.to_string()).collect()
}

fn recall(count: usize, dimension: usize, threads: BuildThreads) -> f64 {
    let points = clustered(count + 100, dimension, 7);
    let (points, queries) = points.split_at(count);
    let vectors = vectors(points, dimension);
    let graph = build_graph(&vectors, &GraphSettings { m: 12, ef_construction: 80, threads }).unwrap();
    let graph = Graph::from_bytes(&graph.to_bytes(), count).unwrap();
    let (exact, approximate) = (index(vectors.clone(), None), index(vectors, Some(graph)));
    let hits: usize = queries
        .iter()
        .map(|query| {
            let truth: HashSet<String> = found(&exact, query).into_iter().collect();
            found(&approximate, query).iter().filter(|id| truth.contains(*id)).count()
        })
        .sum();
    hits as f64 / (queries.len() * K) as f64
}

#[test]
fn the_graph_finds_what_exact_search_finds() {
    for (count, dimension) in [(600, 24), (2_000, 32)] {
        let recall = recall(count, dimension, BuildThreads::One);
        assert!(recall >= 0.95, "recall {recall} at {count} × {dimension}");
    }
}

#[test]
fn a_graph_built_by_several_threads_finds_as_much() {
    let recall = recall(1_500, 24, BuildThreads::Pool);

    assert!(recall >= 0.95, "recall {recall}");
}

#[test]
fn one_thread_builds_the_same_graph_every_time() {
    let vectors = vectors(&clustered(400, 16, 3), 16);
    let build = || build_graph(&vectors, &GraphSettings { m: 8, ..GraphSettings::default() }).unwrap();

    assert_eq!(build(), build());
}

#[test]
fn equal_vectors_and_queries_are_no_trouble() {
    let same = vec![Embedding::normalise(vec![0.3, 0.4, 0.5]).unwrap(); 50];
    let vectors = vectors(&same, 3);
    let graph = build_graph(&vectors, &GraphSettings::default());

    let neighbours = index(vectors, graph).nearest(&same[0], 10, &mut SearchScratch::default());

    assert_eq!(neighbours.len(), 10);
    assert!(neighbours.iter().all(|neighbour| (0.999..=1.0).contains(&neighbour.similarity)));
}

#[test]
fn a_search_keeps_a_bounded_number_of_candidates_whatever_a_bundle_says() {
    let index = NeighbourIndex::new(IndexParts {
        vectors: Vectors::new(2),
        items: Vec::new(),
        graph: None,
        ef_search: usize::MAX,
    });

    assert_eq!(index.ef_search, MOST_CANDIDATES);
}

#[test]
fn compares_the_leading_numbers_scaled_to_length_one() {
    let near = Embedding::normalise(vec![1.0, 0.1, 9.0]).unwrap();
    let far = Embedding::normalise(vec![0.0, 1.0, 0.0]).unwrap();
    let index = index(vectors(&[far, near], 2), None);
    let query = Embedding::normalise(vec![1.0, 0.0, -9.0]).unwrap();

    let neighbours = index.nearest(&query, 5, &mut SearchScratch::default());

    assert_eq!(neighbours[0].item.as_str(), "1");
    assert!(neighbours[0].similarity > 0.99);
    assert!(index.nearest(&Embedding::normalise(vec![1.0]).unwrap(), 5, &mut SearchScratch::default()).is_empty());
}

fn fresh(id: usize, embedding: &Embedding) -> FreshItem {
    by("c", id, embedding)
}

fn by(caller: &str, id: usize, embedding: &Embedding) -> FreshItem {
    let name = format!("fresh-{id}");
    let labels = vec![(1, 0.5)].into();
    FreshItem { id: name.as_str().into(), embedding: embedding.clone(), labels, caller: caller.into() }
}

#[test]
fn fresh_items_are_found_at_once_and_replace_their_namesakes() {
    let points = clustered(40, 8, 1);
    let index = index(vectors(&points[..20], 8), None);
    let query = &points[30];
    assert!(!found(&index, query).contains(&"fresh-0".to_owned()));

    assert!(index.add(fresh(0, &points[31])));
    assert!(index.add(fresh(0, query)));

    assert_eq!(found(&index, query)[0], "fresh-0");
    assert_eq!((index.fresh_len(), index.fresh_dropped()), (1, 0));
    assert_eq!(index.len(), 20);
}

#[test]
fn the_oldest_fresh_items_give_way_and_are_counted() {
    let index = NeighbourIndex::empty(2);
    let at = |n: usize| Embedding::normalise(vec![(n as f32 / 1_000.0).cos(), (n as f32 / 1_000.0).sin()]).unwrap();

    for n in 0..MAX_FRESH + 10 {
        assert!(index.add(fresh(n, &at(n))));
    }

    assert_eq!((index.fresh_len(), index.fresh_dropped()), (MAX_FRESH, 10));
    let items = index.fresh_items();
    assert_eq!(items[0].id.as_str(), "fresh-10");
    assert_eq!(items[MAX_FRESH - 1].id.as_str(), format!("fresh-{}", MAX_FRESH + 9));
    assert!(!found(&index, &at(0)).contains(&"fresh-0".to_owned()));
}

#[test]
fn one_caller_cannot_fill_the_fresh_items() {
    let index = NeighbourIndex::empty(2);
    let point = Embedding::normalise(vec![1.0, 0.0]).unwrap();
    for honest in 0..4 {
        for n in 0..100 {
            assert!(index.add(by(&format!("honest-{honest}"), 1_000 * honest + n, &point)));
        }
    }

    for n in 0..MAX_FRESH {
        assert!(index.add(by("flood", 100_000 + n, &point)));
    }

    let items = index.fresh_items();
    let of = |caller: &str| items.iter().filter(|item| item.caller.as_str() == caller).count();
    assert_eq!((of("flood"), of("honest-0"), items.len()), (100, 100, 500));
    assert!(items.iter().any(|item| item.id.as_str() == format!("fresh-{}", 100_000 + MAX_FRESH - 1)));
}

#[test]
fn the_share_of_one_caller_is_a_setting() {
    let kept = |share: f64| {
        let index = NeighbourIndex::empty(2).with_caller_share(share);
        let point = Embedding::normalise(vec![1.0, 0.0]).unwrap();
        for n in 0..400 {
            assert!(index.add(by(&format!("honest-{}", n / 100), n, &point)));
        }
        for n in 0..2_000 {
            assert!(index.add(by("flood", 100_000 + n, &point)));
        }
        index.fresh_items().iter().filter(|item| item.caller.as_str() == "flood").count()
    };

    assert_eq!(kept(0.2), 100);
    assert_eq!(kept(0.5), 400);
    assert_eq!(kept(1.0), 2_000);
}

#[test]
fn a_damaged_graph_is_built_again_from_the_vectors() {
    let models = crate::model::testing::TinyModels::new();
    for content in [&b"damaged"[..], b"TTGRAPH1", b""] {
        let path = models.variant(&format!("graph-{}", content.len()), |path| {
            std::fs::write(path.join("graph.bin"), content).unwrap();
            crate::model::testing::edit(&path.join("manifest.json"), |manifest| {
                manifest["index"]["graph"] = "graph.bin".into();
                let listed = serde_json::json!({ "path": "graph.bin", "sha256": "", "bytes": 0 });
                manifest["files"].as_array_mut().unwrap().push(listed);
            });
        });
        let bundle = Bundle::open(&path).unwrap();
        let reference = bundle.manifest().index.clone().unwrap();
        let vectors = read_vectors(&bundle, &reference).unwrap();

        let graph = graph_of(&bundle, &reference, &vectors).unwrap().unwrap();

        let index = NeighbourIndex::new(IndexParts {
            items: read_items(&bundle, &reference, 4).unwrap(),
            vectors,
            graph: Some(graph),
            ef_search: reference.ef_search,
        });
        let query = Embedding::normalise(index.vectors.row(5).to_vec()).unwrap();
        assert!(index.nearest(&query, 1, &mut SearchScratch::default())[0].similarity > 0.999);
    }
}

static SMALL: OnceLock<(Vectors, Vec<u8>)> = OnceLock::new();

proptest! {
    #[test]
    fn a_damaged_graph_never_unwinds(at in 0_usize..4_000, byte in any::<u8>(), cut in 0_usize..4_000) {
        let (vectors, mut bytes) = SMALL
            .get_or_init(|| {
                let vectors = vectors(&clustered(60, 4, 5), 4);
                let graph = build_graph(&vectors, &GraphSettings { m: 4, ..GraphSettings::default() }).unwrap();
                (vectors, graph.to_bytes())
            })
            .clone();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % 8);

        if let Some(graph) = Graph::from_bytes(&bytes, 60) {
            let index = index(vectors, Some(graph));
            prop_assert!(index.nearest(&clustered(1, 4, 9)[0], K, &mut SearchScratch::default()).len() <= K);
        }
    }
}
