//! Building the neighbour graph. The only file that names `hnsw_rs`; no type of it leaves.
//!
//! `hnsw_rs` exits the process on damaged files and on more than 256 links, and unwinds on NaN: nothing is ever loaded with it, the
//! settings are clamped, and [`Vectors`] holds unit vectors only. Its own dot distance asserts that `1 - a·b` is not negative, which
//! rounding breaks for a vector and itself, so the distance is ours.

use hnsw_rs::prelude::{Distance, Hnsw};
use rayon::prelude::*;

use crate::domain::embedding::dot;
use crate::model::index::graph::{Graph, Layer};
use crate::model::index::vectors::Vectors;

/// How a graph is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphSettings {
    /// Links per row and layer; twice that in the lowest. Between 2 and 128.
    pub m: usize,
    /// Candidates while building. At least `m`.
    pub ef_construction: usize,
    /// Who inserts.
    pub threads: BuildThreads,
}

impl Default for GraphSettings {
    fn default() -> Self {
        Self { m: 16, ef_construction: 200, threads: BuildThreads::One }
    }
}

/// Whether building uses several threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildThreads {
    /// One: the same vectors give the same graph.
    One,
    /// The current rayon pool: faster, and the graph differs a little from run to run.
    Pool,
}

/// Rows that are inserted by one thread before others join. A start by many threads can leave parts that nothing links to.
const ALONE: usize = 256;

/// One minus the dot product of unit vectors, never negative.
#[derive(Clone, Copy, Debug, Default)]
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// Builds the graph of some vectors. `None` where there are fewer than two: there is nothing to link.
#[must_use]
pub fn build_graph(vectors: &Vectors, settings: &GraphSettings) -> Option<Graph> {
    if vectors.len() < 2 || u32::try_from(vectors.len()).is_err() {
        return None;
    }
    let m = settings.m.clamp(2, 128);
    let ef = settings.ef_construction.max(m);
    let hnsw: Hnsw<'_, f32, UnitCosine> = Hnsw::new(m, vectors.len(), 16, ef, UnitCosine);
    let alone = match settings.threads {
        BuildThreads::One => vectors.len(),
        BuildThreads::Pool => ALONE.min(vectors.len()),
    };
    for at in 0..alone {
        hnsw.insert((vectors.row(at), at));
    }
    (alone..vectors.len()).into_par_iter().for_each(|at| hnsw.insert((vectors.row(at), at)));
    flatten(&hnsw, vectors.len())
}

fn flatten(hnsw: &Hnsw<'_, f32, UnitCosine>, count: usize) -> Option<Graph> {
    let points = hnsw.get_point_indexation();
    let top = usize::from(hnsw.get_max_level_observed());
    let mut linked: Vec<Vec<(u32, Vec<u32>)>> = vec![Vec::new(); top + 1];
    let mut entry = None;
    for level in 0..=top {
        for point in points.get_layer_iterator(level) {
            let node = point.get_origin_id() as u32;
            // Points of the top level are interchangeable as a way in; the lowest number makes the choice repeatable.
            if level == top {
                entry = Some(entry.map_or(node, |entry: u32| entry.min(node)));
            }
            // A point also remembers where it was entered from above its own level: that is no link.
            for (layer, links) in linked.iter_mut().zip(point.get_neighborhood_id()).take(level + 1) {
                layer.push((node, links.iter().map(|link| link.d_id as u32).collect()));
            }
        }
    }
    let layers = linked.into_iter().map(|mut nodes| {
        nodes.sort_unstable_by_key(|(node, _)| *node);
        Layer::gather(nodes.iter().map(|(node, links)| (*node, links.as_slice())))
    });
    Graph::new(entry?, layers.collect(), count)
}
