//! The neighbour index: which prompts, which labels, and how well the graph finds them.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::domain::embedding::Embedding;
use crate::model::index::{
    BuildThreads, EXACT_BELOW, Graph, GraphSettings, IndexParts, NeighbourIndex, SearchScratch, Vectors, build_graph,
};
use crate::model::manifest::IndexItem;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::labels::Labels;
use crate::train::progress::{Phase, Progress, step};

/// How the index is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSettings {
    /// Most items.
    pub most: usize,
    /// How many leading numbers of the embedding are compared.
    pub dimension: usize,
    /// Links per node.
    pub m: usize,
    /// Candidates while building.
    pub ef_construction: usize,
    /// Candidates while searching. 64 find 0.997 of the 32 nearest prompts of the default bundle; a gate of training measures it.
    pub ef_search: usize,
    /// Draws the items where there are too many.
    pub seed: u64,
}

impl IndexSettings {
    /// The settings of the default bundle, with another seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { most: 20_000, dimension: 64, m: 16, ef_construction: 200, ef_search: 64, seed }
    }
}

/// The items and vectors of an index, in the same order.
#[derive(Clone, Debug)]
pub struct IndexContent {
    /// The vectors.
    pub vectors: Vectors,
    /// Names and labels.
    pub items: Vec<IndexItem>,
}

impl IndexContent {
    /// No items yet.
    #[must_use]
    pub fn empty(dimension: usize) -> Self {
        Self { vectors: Vectors::new(dimension), items: Vec::new() }
    }

    /// Adds an item. Does nothing if the embedding has no direction in the leading numbers or there are no labels.
    pub fn push(&mut self, id: String, embedding: &Embedding, labels: Vec<(u16, f32)>) {
        if !labels.is_empty() && self.vectors.push(embedding) {
            self.items.push(IndexItem { id, labels });
        }
    }

    /// Without these items, and then, where there are still more than `most`, as many as that, evenly spread.
    #[must_use]
    pub fn thinned(&self, without: &HashSet<String>, most: usize) -> Self {
        let kept: Vec<usize> = (0..self.items.len())
            .filter(|&at| self.items.get(at).is_some_and(|item| !without.contains(&item.id)))
            .collect();
        let mut thinned = Self::empty(self.vectors.dimension());
        for turn in 0..most.min(kept.len()) {
            let at = if kept.len() > most { turn * kept.len() / most } else { turn };
            let item = kept.get(at).and_then(|&at| Some((self.items.get(at)?, self.vectors.row(at))));
            if let Some((item, row)) = item
                && let Some(vector) = Embedding::normalise(row.to_vec())
            {
                thinned.push(item.id.clone(), &vector, item.labels.clone());
            }
        }
        thinned
    }

    /// The graph over this content, the same for the same content. `None` where there is nothing to link.
    #[must_use]
    pub fn graph(&self, settings: &IndexSettings) -> Option<Graph> {
        let IndexSettings { m, ef_construction, .. } = *settings;
        build_graph(&self.vectors, &GraphSettings { m, ef_construction, threads: BuildThreads::One })
    }

    /// The index over this content, with its graph where it is large enough for one.
    #[must_use]
    pub fn index(&self, settings: &IndexSettings) -> NeighbourIndex {
        let graph = if self.items.len() < EXACT_BELOW { None } else { self.graph(settings) };
        NeighbourIndex::new(IndexParts {
            vectors: self.vectors.clone(),
            items: self.items.clone(),
            graph,
            ef_search: settings.ef_search,
        })
    }
}

/// Chooses prompts: all of them, or as many as allowed, taken from the datasets in turn so that a large one does not crowd out the rest.
#[must_use]
pub fn choose(prompts: &[usize], dataset_of: impl Fn(usize) -> u32, settings: &IndexSettings) -> Vec<usize> {
    if prompts.len() <= settings.most {
        return prompts.to_vec();
    }
    let mut shuffled = prompts.to_vec();
    shuffled.shuffle(&mut StdRng::seed_from_u64(settings.seed));
    let mut seen: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
    let mut ranked: Vec<(usize, usize)> = shuffled
        .into_iter()
        .map(|prompt| {
            let turn = seen.entry(dataset_of(prompt)).or_default();
            *turn += 1;
            (*turn, prompt)
        })
        .collect();
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(settings.most).map(|(_, prompt)| prompt).collect();
    chosen.sort_unstable();
    chosen
}

/// Gathers the items of some prompts. Their names are digests of their texts, never the texts.
///
/// # Errors
/// [`TrainError::Interrupted`].
pub fn gather(
    (features, labels): (&Features, &Labels),
    prompts: &[usize],
    (settings, name): (&IndexSettings, &dyn Fn(usize) -> String),
    progress: &dyn Progress,
) -> Result<IndexContent, TrainError> {
    let mut content = IndexContent::empty(settings.dimension.min(features.dimension()));
    for (done, &prompt) in prompts.iter().enumerate() {
        if done.is_multiple_of(1024) {
            step(progress, Phase::Index, (done, prompts.len()))?;
        }
        let Some(embedding) = Embedding::normalise(features.embedding(prompt)) else { continue };
        let round = |score: f32| (score * 1000.0).round() / 1000.0;
        let own = labels.of(prompt).iter().map(|label| (label.position, round(label.score))).collect();
        content.push(name(prompt), &embedding, own);
    }
    Ok(content)
}

/// How well the graph finds what exact search finds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecallReport {
    /// Searches compared.
    pub searches: usize,
    /// Neighbours asked for.
    pub k: usize,
    /// The share of the true nearest that were found, 0..1. One where the index compares all.
    pub recall: f64,
}

/// Compares the index with exact search over the same vectors.
#[must_use]
pub fn recall(content: &IndexContent, index: &NeighbourIndex, queries: &[Embedding]) -> RecallReport {
    const K: usize = 32;
    let exact = NeighbourIndex::new(IndexParts {
        vectors: content.vectors.clone(),
        items: content.items.clone(),
        graph: None,
        ef_search: 0,
    });
    let mut scratch = SearchScratch::default();
    let (mut found, mut wanted) = (0_usize, 0_usize);
    for query in queries {
        let truth = exact.nearest(query, K, &mut scratch);
        let got = index.nearest(query, K, &mut scratch);
        // By similarity and not by name: of two items at the same distance either is right.
        let least = truth.last().map_or(f32::INFINITY, |neighbour| neighbour.similarity) - 1e-6;
        wanted += truth.len();
        found += got.iter().filter(|neighbour| neighbour.similarity >= least).count().min(truth.len());
    }
    let recall = if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 };
    RecallReport { searches: queries.len(), k: K, recall }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_prompts_are_drawn_from_every_dataset_in_turn() {
        let prompts: Vec<usize> = (0..1000).collect();
        let settings = IndexSettings { most: 100, ..IndexSettings::seeded(1) };

        let chosen = choose(&prompts, |prompt| u32::from(prompt >= 960), &settings);

        assert_eq!(chosen.len(), 100);
        assert_eq!(chosen.iter().filter(|&&prompt| prompt >= 960).count(), 40);
    }

    #[test]
    fn the_graph_finds_nearly_all_that_exact_search_finds() {
        use rand::Rng;
        let mut random = StdRng::seed_from_u64(2);
        let mut vector = || Embedding::normalise((0..16).map(|_| random.random_range(-1.0..1.0)).collect()).unwrap();
        let settings = IndexSettings { dimension: 16, ..IndexSettings::seeded(1) };
        let mut content = IndexContent::empty(16);
        for at in 0..EXACT_BELOW + 10 {
            content.push(format!("{at}"), &vector(), vec![(0, 1.0)]);
        }
        let queries: Vec<Embedding> = (0..50).map(|_| vector()).collect();

        let report = recall(&content, &content.index(&settings), &queries);

        assert!(report.recall > 0.9, "{report:?}");
    }
}
