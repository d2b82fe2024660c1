//! The neighbour graph as it is stored and searched: flat arrays of links, layer upon layer.
//!
//! `hnsw_rs` builds the graph (see `build`); this file only walks it. Walking flat arrays takes less than a quarter of the time of
//! searching in the builder, which counts references and takes a lock at every step, and a stored graph is read by our own checked reader: the builder's own exits the process on damaged files.

use std::cmp::Ordering;

use pulp::{Arch, NullaryFnOnce};

use crate::domain::embedding::dot;
use crate::model::index::coarse::{self, Coarse, encode};
use crate::model::index::pool::{Found, Pool, Seen};
use crate::model::index::vectors::Vectors;

const MAGIC: &[u8; 8] = b"TTGRAPH1";

/// Layers of links between rows. The lowest layer holds every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    entry: u32,
    layers: Vec<Layer>,
}

/// The links of one layer: those of `nodes[i]` are `links[starts[i]..starts[i + 1]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layer {
    /// Which rows are in the layer, ascending. The lowest layer holds them all.
    nodes: Vec<u32>,
    starts: Vec<u32>,
    links: Vec<u32>,
}

impl Layer {
    /// Gathers the links of the rows of a layer. The rows must come in ascending order.
    pub(super) fn gather<'a>(rows: impl Iterator<Item = (u32, &'a [u32])>) -> Self {
        let mut layer = Self { starts: vec![0], ..Self::default() };
        for (node, links) in rows {
            layer.nodes.push(node);
            layer.links.extend_from_slice(links);
            layer.starts.push(layer.links.len() as u32);
        }
        layer
    }

    fn links(&self, position: usize) -> &[u32] {
        let start = self.starts.get(position).copied().unwrap_or(0) as usize;
        let end = self.starts.get(position + 1).copied().unwrap_or(0) as usize;
        self.links.get(start..end).unwrap_or_default()
    }

    fn links_of(&self, node: u32) -> &[u32] {
        self.nodes.binary_search(&node).map_or(&[], |position| self.links(position))
    }

    fn is_sound(&self, count: usize) -> bool {
        let within = |ids: &[u32]| ids.iter().all(|&id| (id as usize) < count);
        self.starts.len() == self.nodes.len() + 1
            && self.starts.first() == Some(&0)
            && self.starts.last().is_some_and(|&last| last as usize == self.links.len())
            && self.starts.is_sorted()
            && self.nodes.is_sorted_by(|a, b| a < b)
            && within(&self.nodes)
            && within(&self.links)
    }
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    /// A unit vector.
    pub(super) vector: &'a [f32],
    /// How many rows are kept on the way. A wider search misses fewer and takes longer.
    pub(super) width: usize,
}

/// A row and its similarity to the query, ordered by similarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) similarity: f32,
    pub(super) row: u32,
}

impl Eq for Hit {}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Keeps the `k` best of some hits, best first.
pub(super) fn keep_best(hits: &mut Vec<Hit>, k: usize) {
    if k < hits.len() {
        hits.select_nth_unstable_by(k, |a, b| b.cmp(a));
        hits.truncate(k);
    }
    hits.sort_unstable_by(|a, b| b.cmp(a));
}

/// Room for a search, used again by the next one. Belongs to one thread at a time.
#[derive(Debug, Default)]
pub struct SearchScratch {
    seen: Seen,
    pool: Pool,
    pub(super) hits: Vec<Hit>,
    codes: coarse::Query,
    /// Rows that a step of the walk meets for the first time.
    met: Vec<u32>,
    near: Vec<Found>,
}

impl SearchScratch {
    /// Notes which of some rows this search meets for the first time.
    #[inline(always)]
    fn meet(&mut self, rows: &[u32]) {
        // Every row is written down and only those met for the first time are counted: the processor cannot guess which ones they are.
        self.met.clear();
        self.met.resize(rows.len(), 0);
        let mut count = 0;
        for &row in rows {
            if let Some(met) = self.met.get_mut(count) {
                *met = row;
                count += usize::from(self.seen.first_time(row));
            }
        }
        self.met.truncate(count);
    }
}

/// A walk over a graph that gathers about the nearest rows into `scratch.pool`.
struct Walk<'a> {
    graph: &'a Graph,
    coarse: &'a Coarse,
    query: &'a coarse::Query,
    scratch: &'a mut SearchScratch,
}

/// Only what is inlined into this call is compiled for the newer processor, all else for the oldest there is. A closure of this size
/// would not be, nor always what takes a closure: hence a type of its own, and loops in it and in what it calls for each row.
impl NullaryFnOnce for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { graph, coarse, query, scratch } = self;
        let mut entry = find((coarse, query), graph.entry);
        for layer in graph.layers.iter().skip(1).rev() {
            // Walk downhill until no link is better. Each step is strictly better, so this ends.
            loop {
                let mut nearest = entry;
                for &row in layer.links_of(entry.row()) {
                    nearest = nearest.max(find((coarse, query), row));
                }
                if nearest == entry {
                    break;
                }
                entry = nearest;
            }
        }
        let Some(base) = graph.layers.first() else { return };
        scratch.seen.first_time(entry.row());
        scratch.pool.offer(entry);
        while let Some(row) = scratch.pool.follow() {
            // Every row is in the lowest layer, so its position there is its number.
            scratch.meet(base.links(row as usize));
            // All are compared before any is offered: the processor then waits for many rows at a time instead of one after the other.
            scratch.near.clear();
            for &row in &scratch.met {
                scratch.near.push(find((coarse, query), row));
            }
            for &found in &scratch.near {
                scratch.pool.offer(found);
            }
        }
    }
}

#[inline(always)]
fn find((coarse, query): (&Coarse, &coarse::Query), row: u32) -> Found {
    Found::new(coarse.similarity(query, row as usize), row)
}

impl Graph {
    /// Joins layers, lowest first. `None` if they do not fit together.
    pub(super) fn new(entry: u32, layers: Vec<Layer>, count: usize) -> Option<Self> {
        let whole = layers.first().is_some_and(|base| base.nodes.len() == count);
        let sound = whole && (entry as usize) < count && layers.iter().all(|layer| layer.is_sound(count));
        sound.then_some(Self { entry, layers })
    }

    /// Finds about the nearest rows, best first, into `scratch.hits`.
    pub(super) fn search(&self, (vectors, coarse): (&Vectors, &Coarse), query: Query<'_>, scratch: &mut SearchScratch) {
        let Query { vector, width } = query;
        scratch.seen.start(vectors.len());
        scratch.pool.start(width);
        let mut codes = std::mem::take(&mut scratch.codes);
        encode(vector, &mut codes);
        // With the processor's wider instructions for integers, whose sums are the same on every machine.
        Arch::new().dispatch(Walk { graph: self, coarse, query: &codes, scratch });
        scratch.codes = codes;
        scratch.hits.clear();
        let exact = |row: u32| Hit { similarity: dot(vector, vectors.row(row as usize)), row };
        scratch.hits.extend(scratch.pool.best.iter().map(|found| exact(found.row())));
        scratch.hits.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// The graph as it goes into a file: little-endian, the same on every machine.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut put = |number: usize| bytes.extend_from_slice(&(number as u32).to_le_bytes());
        put(self.entry as usize);
        put(self.layers.len());
        for layer in &self.layers {
            put(layer.nodes.len());
            put(layer.links.len());
            for numbers in [&layer.nodes, &layer.starts, &layer.links] {
                numbers.iter().for_each(|&number| put(number as usize));
            }
        }
        bytes
    }

    /// Reads what [`Graph::to_bytes`] wrote, for that many rows. `None` for anything else; never unwinds, whatever the bytes are.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], count: usize) -> Option<Self> {
        let mut numbers = Numbers(bytes.strip_prefix(MAGIC)?);
        let entry = numbers.next()?;
        let layer_count = numbers.next()?;
        // The builder has sixteen layers at most.
        if layer_count > 16 {
            return None;
        }
        let mut layers = Vec::new();
        for _ in 0..layer_count {
            let (nodes, links) = (numbers.next()? as usize, numbers.next()? as usize);
            layers.push(Layer {
                nodes: numbers.take(nodes)?,
                starts: numbers.take(nodes + 1)?,
                links: numbers.take(links)?,
            });
        }
        if numbers.0.is_empty() { Self::new(entry, layers, count) } else { None }
    }
}

struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    fn take(&mut self, count: usize) -> Option<Vec<u32>> {
        // Splitting first means that no length in the file can ask for more memory than the file has bytes.
        let (taken, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        Some(taken.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect())
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::domain::embedding::Embedding;

    /// What a search is to find, told in the plainest way: of the `width` best rows met, the links of the best one not followed yet are
    /// followed, until there is none.
    fn plain(vectors: &Vectors, links: &[Vec<u32>], (query, width): (&[f32], usize)) -> Vec<u32> {
        let mut codes = Vec::new();
        encode(query, &mut codes);
        let coarse = Coarse::of(vectors);
        let (mut met, mut followed) = (vec![0_u32], Vec::new());
        loop {
            met.sort_by_key(|&row| (-coarse.similarity(&codes, row as usize), row));
            met.dedup();
            let Some(&row) = met.iter().take(width).find(|row| !followed.contains(*row)) else { break };
            followed.push(row);
            met.extend(&links[row as usize]);
        }
        met.truncate(width);
        met.sort_unstable();
        met
    }

    #[test]
    fn a_walk_finds_what_is_reached_through_the_best() {
        let mut random = StdRng::seed_from_u64(3);
        let mut scratch = SearchScratch::default();
        for dimension in [1, 5, 64, 130] {
            let mut point = |_| Embedding::normalise((0..dimension).map(|_| random.random_range(-1.0..1.0)).collect());
            let points: Vec<Embedding> = (0..120).filter_map(&mut point).collect();
            let queries: Vec<Embedding> = (0..20).filter_map(&mut point).collect();
            let mut vectors = Vectors::new(dimension);
            assert!(points.iter().all(|point| vectors.push(point)));
            let mut linked = |_| (0..5).map(|_| random.random_range(0..points.len() as u32)).collect();
            let links: Vec<Vec<u32>> = (0..points.len()).map(&mut linked).collect();
            let layer = Layer::gather((0..).zip(links.iter().map(Vec::as_slice)));
            let graph = Graph::new(0, vec![layer], points.len()).unwrap();
            let coarse = Coarse::of(&vectors);
            for (query, width) in
                queries.iter().flat_map(|query| [1, 2, 16, 500].map(|width| (query.as_slice(), width)))
            {
                graph.search((&vectors, &coarse), Query { vector: query, width }, &mut scratch);

                assert!(scratch.hits.is_sorted_by(|a, b| a >= b));
                let mut found: Vec<u32> = scratch.hits.iter().map(|hit| hit.row).collect();
                found.sort_unstable();
                assert_eq!(found, plain(&vectors, &links, (query, width)), "{dimension} numbers, width {width}");
            }
        }
    }
}
