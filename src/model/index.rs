//! The labelled prompts nearest to an embedding.

pub mod build;
mod coarse;
pub mod fresh;
pub mod graph;
pub mod onboarded;
mod pool;
pub mod vectors;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use pulp::{Arch, NullaryFnOnce};

use crate::domain::embedding::{Embedding, dot};
use crate::domain::ids::ItemId;
use crate::domain::neighbour::{Labels, Neighbour};
use crate::domain::scores::Edition;
use crate::model::bundle::Bundle;
use crate::model::error::PrepareError;
use crate::model::index::coarse::Coarse;
use crate::model::index::fresh::Added;
use crate::model::manifest::{IndexItem, IndexRef};

pub use build::{BuildThreads, GraphSettings, build_graph};
pub use fresh::{CALLER_SHARE, FreshItem, MAX_FRESH};
pub use graph::{Graph, SearchScratch};
pub use vectors::Vectors;

/// Below this many items every one is compared, without a graph. Measured (`benches/index.rs`): comparing 5,000 × 64 takes 40 µs, about as
/// long as a graph search over 20,000, and misses nothing.
pub const EXACT_BELOW: usize = 5_000;

/// Most neighbours a search gives.
pub const MAX_NEIGHBOURS: usize = 1_024;

/// Most candidates of a search. They are kept sorted, which takes longer than it is worth for very many.
pub const MOST_CANDIDATES: usize = 4_096;

/// Labelled prompts that can be searched, and a bounded set of fresh ones on top.
#[derive(Debug)]
pub struct NeighbourIndex {
    vectors: Vectors,
    items: Vec<Item>,
    graph: Option<(Graph, Coarse)>,
    ef_search: usize,
    fresh: fresh::Fresh,
    onboarded: Option<onboarded::Onboarded>,
    generation: u64,
    learned: AtomicU64,
}

/// How many indexes there were in this process, so that no two have one number.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Debug)]
struct Item {
    id: ItemId,
    labels: Labels,
}

impl From<IndexItem> for Item {
    fn from(item: IndexItem) -> Self {
        Self { id: item.id.into(), labels: item.labels.into() }
    }
}

/// What an index is made of.
#[derive(Clone, Debug)]
pub struct IndexParts {
    /// The vectors.
    pub vectors: Vectors,
    /// One item per vector, in order.
    pub items: Vec<IndexItem>,
    /// The graph over the vectors; without one every search compares them all.
    pub graph: Option<Graph>,
    /// Candidates while searching the graph; cut to [`MOST_CANDIDATES`].
    pub ef_search: usize,
}

impl NeighbourIndex {
    /// An index without items, to which fresh ones can be added. Compares the leading `dimension` numbers of embeddings.
    #[must_use]
    pub fn empty(dimension: usize) -> Self {
        Self::new(IndexParts { vectors: Vectors::new(dimension), items: Vec::new(), graph: None, ef_search: 0 })
    }

    /// Joins the parts of an index. Vectors without an item, and items without a vector, are never found.
    #[must_use]
    pub fn new(parts: IndexParts) -> Self {
        let IndexParts { vectors, items, graph, ef_search } = parts;
        let ef_search = ef_search.min(MOST_CANDIDATES);
        let items = items.into_iter().map(Item::from).collect();
        let fresh = fresh::Fresh::new(vectors.dimension());
        let graph = graph.map(|graph| (graph, Coarse::of(&vectors)));
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Self { vectors, items, graph, ef_search, fresh, onboarded: None, generation, learned: AtomicU64::new(0) }
    }

    /// Loads the index of a verified bundle, for a label space of that many positions.
    ///
    /// At [`EXACT_BELOW`] items and above a graph is used: the stored one, or one built now from the vectors where there is none or it
    /// cannot be read. The vectors are the truth, the graph only a cache, so that is logged and not an error.
    ///
    /// # Errors
    /// Items or vectors do not have the count and dimension of the manifest, or a label is out of range.
    pub fn open(bundle: &Bundle, index: &IndexRef, positions: usize) -> Result<Self, PrepareError> {
        let vectors = read_vectors(bundle, index)?;
        let items = read_items(bundle, index, positions)?;
        let graph = if index.count < EXACT_BELOW { None } else { graph_of(bundle, index, &vectors)? };
        let onboarded = onboarded::Onboarded::open(bundle, (index.dimension, positions))?;
        Ok(Self { onboarded, ..Self::new(IndexParts { vectors, items, graph, ef_search: index.ef_search }) })
    }

    /// The same with another bound on what one caller's fresh items may be of all, above 0 and at most 1; [`CALLER_SHARE`] where nothing is said.
    #[must_use]
    pub fn with_caller_share(self, share: f64) -> Self {
        Self { fresh: self.fresh.bounded(share), ..self }
    }

    /// How many items there are, fresh ones not counted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items, fresh ones not counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many fresh items there are.
    #[must_use]
    pub fn fresh_len(&self) -> usize {
        self.fresh.len()
    }

    /// How many fresh items gave way to newer ones.
    #[must_use]
    pub fn fresh_dropped(&self) -> u64 {
        self.fresh.dropped()
    }

    /// The fresh items, oldest first.
    #[must_use]
    pub fn fresh_items(&self) -> Vec<FreshItem> {
        self.fresh.items()
    }

    /// Those of some fresh items whose names are not among the items that were trained on.
    #[must_use]
    pub fn without_known(&self, mut items: Vec<FreshItem>) -> Vec<FreshItem> {
        if !items.is_empty() {
            let known: HashSet<&ItemId> = self.items.iter().map(|item| &item.id).collect();
            items.retain(|item| !known.contains(&item.id));
        }
        items
    }

    /// Adds a labelled prompt that the next search already finds. At [`MAX_FRESH`] the oldest gives way.
    /// Gives false, and adds nothing, if its embedding is shorter than the index's dimension.
    pub fn add(&self, item: FreshItem) -> bool {
        match self.fresh.add(item) {
            Added::No => false,
            Added::Again => true,
            Added::Anew => {
                // After the item is in: whoever reads this edition finds it.
                self.learned.fetch_add(1, Ordering::Release);
                true
            }
        }
    }

    /// What a search finds now: another edition after every [`NeighbourIndex::add`] that changed something, and of another generation than any other index.
    #[must_use]
    pub fn edition(&self) -> Edition {
        Edition { generation: self.generation, learned: self.learned.load(Ordering::Acquire) }
    }

    /// The `k` nearest items, fresh ones included, most similar first. `k` is cut to [`MAX_NEIGHBOURS`]. Behind them come the items of
    /// added models (see [`onboarded`]) that are as near.
    ///
    /// Empty if the embedding is shorter than the index's dimension or its leading numbers have no direction.
    #[must_use]
    pub fn nearest(&self, embedding: &Embedding, k: usize, scratch: &mut SearchScratch) -> Vec<Neighbour> {
        let k = k.min(MAX_NEIGHBOURS);
        let Some(query) = vectors::leading(embedding, self.vectors.dimension()) else { return Vec::new() };
        let query = query.as_slice();
        match &self.graph {
            Some((graph, coarse)) => {
                let width = self.ef_search.max(k);
                graph.search((&self.vectors, coarse), graph::Query { vector: query, width }, scratch);
            }
            None => self.compare_all(query, k, scratch),
        }
        let hits = scratch.hits.iter().take(k);
        let found = hits.filter_map(|hit| Some((hit.similarity, self.items.get(hit.row as usize)?)));
        let mut neighbours: Vec<Neighbour> =
            found.map(|(similarity, item)| neighbour(similarity, item.id.clone(), item.labels.clone())).collect();
        let fresh = self.fresh.nearest(query, k);
        if !fresh.is_empty() {
            neighbours.extend(fresh.into_iter().map(|(similarity, item)| neighbour(similarity, item.id, item.labels)));
            neighbours.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
            neighbours.truncate(k);
        }
        if let Some(onboarded) = &self.onboarded {
            onboarded.add_to(&mut neighbours, (query, k));
        }
        neighbours
    }

    /// Exact search: the oracle for the graph, and the faster way below [`EXACT_BELOW`].
    fn compare_all(&self, query: &[f32], k: usize, scratch: &mut SearchScratch) {
        scratch.hits.clear();
        Arch::new().dispatch(Comparing { vectors: &self.vectors, query, hits: &mut scratch.hits });
        graph::keep_best(&mut scratch.hits, k);
    }
}

/// A comparison with every row. A type and not a closure, so that it is sure to be compiled for the processor's wider instructions.
struct Comparing<'a> {
    vectors: &'a Vectors,
    query: &'a [f32],
    hits: &'a mut Vec<graph::Hit>,
}

impl NullaryFnOnce for Comparing<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (row, vector) in (0_u32..).zip(self.vectors.rows()) {
            self.hits.push(graph::Hit { similarity: dot(self.query, vector), row });
        }
    }
}

fn neighbour(similarity: f32, item: ItemId, labels: Labels) -> Neighbour {
    Neighbour { item, similarity: similarity.clamp(-1.0, 1.0), labels }
}

fn read_vectors(bundle: &Bundle, index: &IndexRef) -> Result<Vectors, PrepareError> {
    let unusable = |problem: String| PrepareError::Index { file: index.vectors.clone(), problem };
    let bytes = bundle.read(&index.vectors)?;
    let expected = index.count.checked_mul(index.dimension).and_then(|numbers| numbers.checked_mul(4));
    if expected != Some(bytes.len()) || index.dimension == 0 {
        let (count, dimension) = (index.count, index.dimension);
        return Err(unusable(format!(
            "it has {} bytes, the manifest says {count} vectors of {dimension} numbers",
            bytes.len()
        )));
    }
    Vectors::from_bytes(&bytes, index.dimension).ok_or_else(|| unusable("a vector is not of length one".to_owned()))
}

fn read_items(bundle: &Bundle, index: &IndexRef, positions: usize) -> Result<Vec<IndexItem>, PrepareError> {
    let unusable = |problem: String| PrepareError::Index { file: index.items.clone(), problem };
    let items: Vec<IndexItem> = bundle.read_json_lines(&index.items)?;
    if items.len() != index.count {
        return Err(unusable(format!("it has {} items, the manifest says {}", items.len(), index.count)));
    }
    let sound = |&(position, score): &(u16, f32)| usize::from(position) < positions && (0.0..=1.0).contains(&score);
    match items.iter().position(|item| !item.labels.iter().all(sound)) {
        Some(at) => {
            Err(unusable(format!("line {} has a label outside the label space or a score outside 0 to 1", at + 1)))
        }
        None => Ok(items),
    }
}

/// The stored graph, or one built from the vectors.
fn graph_of(bundle: &Bundle, index: &IndexRef, vectors: &Vectors) -> Result<Option<Graph>, PrepareError> {
    let stored = match &index.graph {
        Some(file) => Graph::from_bytes(&bundle.read(file)?, index.count),
        None => None,
    };
    if stored.is_some() {
        return Ok(stored);
    }
    tracing::warn!(
        stored = index.graph,
        items = index.count,
        "no usable neighbour graph is stored, building it from the vectors"
    );
    let (m, ef_construction) = (index.m, index.ef_construction);
    Ok(build_graph(vectors, &GraphSettings { m, ef_construction, threads: BuildThreads::Pool }))
}

#[cfg(test)]
mod tests;
