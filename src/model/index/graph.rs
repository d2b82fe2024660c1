//! The neighbour graph as it is stored and searched: flat arrays of links, layer upon layer.
//!
//! `hnsw_rs` builds the graph (see `build`); this file only walks it. Walking flat arrays takes a quarter of the time of searching
//! in the builder, which counts references and takes a lock at every step (20,000 × 64, k 64, ef 128: 47 µs against 188 µs at the
//! same recall), and a stored graph is read by our own checked reader: the builder's own exits the process on damaged files.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use pulp::Arch;

use crate::domain::embedding::dot;
use crate::model::index::coarse::{self, Coarse, encode};
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
    /// A bit for each row that this search has met. Bits stay in the nearest cache, where a number for each row would not.
    seen: Vec<u64>,
    waiting: BinaryHeap<Hit>,
    best: BinaryHeap<Reverse<Hit>>,
    pub(super) hits: Vec<Hit>,
    codes: coarse::Query,
    /// Rows that a step of the walk meets for the first time.
    met: Vec<u32>,
    near: Vec<Hit>,
}

impl SearchScratch {
    fn start(&mut self, rows: usize) {
        self.waiting.clear();
        self.best.clear();
        self.seen.clear();
        self.seen.resize(rows.div_ceil(64), 0);
    }

    /// Whether this search meets a row for the first time.
    #[inline(always)]
    fn first_time(&mut self, row: u32) -> bool {
        let bit = 1 << (row % 64);
        self.seen.get_mut(row as usize / 64).is_some_and(|seen| std::mem::replace(seen, *seen | bit) & bit == 0)
    }

    /// Notes which of some rows this search meets for the first time.
    #[inline(always)]
    fn meet(&mut self, rows: &[u32]) {
        let mut met = std::mem::take(&mut self.met);
        met.clear();
        met.extend(rows.iter().copied().filter(|&row| self.first_time(row)));
        self.met = met;
    }

    /// Keeps a row if it is among the `width` best so far.
    fn offer(&mut self, hit: Hit, width: usize) {
        if self.best.len() >= width {
            if self.best.peek().is_some_and(|Reverse(worst)| *worst >= hit) {
                return;
            }
            self.best.pop();
        }
        self.best.push(Reverse(hit));
        self.waiting.push(hit);
    }
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
        scratch.start(vectors.len());
        let mut codes = std::mem::take(&mut scratch.codes);
        encode(vector, &mut codes);
        // Compiled for the processor's widest instructions for integers, whose sums are the same on every machine.
        Arch::new().dispatch(|| self.walk((coarse, &codes), width, scratch));
        scratch.codes = codes;
        scratch.hits.clear();
        let exact = |row: u32| Hit { similarity: dot(vector, vectors.row(row as usize)), row };
        scratch.hits.extend(scratch.best.drain().map(|Reverse(hit)| exact(hit.row)));
        scratch.hits.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Gathers about the nearest rows into `scratch.best`.
    #[inline(always)]
    fn walk(&self, (coarse, query): (&Coarse, &coarse::Query), width: usize, scratch: &mut SearchScratch) {
        let similarity = |row: u32| coarse.similarity(query, row as usize);
        let mut entry = Hit { similarity: similarity(self.entry), row: self.entry };
        for layer in self.layers.iter().skip(1).rev() {
            // Walk downhill until no link is better. Each step is strictly better, so this ends.
            loop {
                let links = layer.links_of(entry.row).iter();
                let nearest = links.map(|&row| Hit { similarity: similarity(row), row }).max();
                let Some(better) = nearest.filter(|hit| *hit > entry) else { break };
                entry = better;
            }
        }
        let Some(base) = self.layers.first() else { return };
        scratch.first_time(entry.row);
        scratch.offer(entry, width);
        while let Some(nearest) = scratch.waiting.pop() {
            let full = scratch.best.len() >= width;
            if full && scratch.best.peek().is_some_and(|Reverse(worst)| *worst > nearest) {
                break;
            }
            // Every row is in the lowest layer, so its position there is its number.
            scratch.meet(base.links(nearest.row as usize));
            // All are compared before any is offered: the processor then waits for many rows at a time instead of one after the other.
            let mut near = std::mem::take(&mut scratch.near);
            near.clear();
            near.extend(scratch.met.iter().map(|&row| Hit { similarity: similarity(row), row }));
            near.iter().for_each(|&hit| scratch.offer(hit, width));
            scratch.near = near;
        }
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
