//! Labelled prompts of models that were added after training.
//!
//! They are kept beside the index and not in it: an item more would push another out of the nearest `k`, and the predictions for every
//! other model would move. Here they only ever add evidence, and their labels are of added models alone.

use crate::domain::embedding::dot;
use crate::domain::neighbour::Neighbour;
use crate::model::bundle::Bundle;
use crate::model::error::PrepareError;
use crate::model::index::graph::{Hit, keep_best};
use crate::model::index::{Item, Vectors, neighbour};
use crate::model::manifest::IndexItem;

/// The items of added models, as JSON Lines. Optional: a bundle has them if its manifest lists the file.
pub const ITEMS_FILE: &str = "onboarded.jsonl";

/// Their vectors, row by row like those of the index.
pub const VECTORS_FILE: &str = "onboarded.f32";

/// Most items. They are compared one by one, so this bounds what a search costs; labels beyond it still move the heads.
pub const MOST_ONBOARDED: usize = 4_096;

/// The items of added models.
#[derive(Debug)]
pub(super) struct Onboarded {
    vectors: Vectors,
    items: Vec<Item>,
}

impl Onboarded {
    /// Reads them from a verified bundle. `None` if it has none.
    pub(super) fn open(bundle: &Bundle, (dimension, positions): (usize, usize)) -> Result<Option<Self>, PrepareError> {
        let found = read_onboarded(bundle, (dimension, positions))?;
        Ok(found.map(|(vectors, items)| Self { vectors, items: items.into_iter().map(Item::from).collect() }))
    }

    /// Adds those that would be among the nearest `k` if they were items like any other. What is there stays, in its order.
    pub(super) fn add_to(&self, neighbours: &mut Vec<Neighbour>, (query, k): (&[f32], usize)) {
        let full = neighbours.len() >= k;
        let least = neighbours.last().filter(|_| full).map_or(f32::NEG_INFINITY, |last| last.similarity);
        let similarities = (0_u32..).zip(self.vectors.rows().map(|row| dot(query, row)));
        let near = similarities.filter(|(_, similarity)| *similarity >= least);
        let mut hits: Vec<Hit> = near.map(|(row, similarity)| Hit { similarity, row }).collect();
        keep_best(&mut hits, k);
        let found = hits.iter().filter_map(|hit| Some((hit.similarity, self.items.get(hit.row as usize)?)));
        neighbours.extend(found.map(|(similarity, item)| neighbour(similarity, item.id.clone(), item.labels.clone())));
    }
}

/// The vectors and items of added models in a verified bundle, for a label space of that many positions. `None` if it has none.
///
/// # Errors
/// One of the two files is missing, they do not match, or a label is out of range.
pub fn read_onboarded(
    bundle: &Bundle,
    (dimension, positions): (usize, usize),
) -> Result<Option<(Vectors, Vec<IndexItem>)>, PrepareError> {
    if !bundle.lists(ITEMS_FILE) {
        return Ok(None);
    }
    let unusable = |problem: &str| PrepareError::Index { file: ITEMS_FILE.to_owned(), problem: problem.to_owned() };
    let items: Vec<IndexItem> = bundle.read_json_lines(ITEMS_FILE)?;
    let vectors = Vectors::from_bytes(&bundle.read(VECTORS_FILE)?, dimension);
    let vectors = vectors.filter(|vectors| vectors.len() == items.len());
    let vectors = vectors.ok_or_else(|| unusable("its vectors are not unit vectors, one per item"))?;
    let sound = |&(position, score): &(u16, f32)| usize::from(position) < positions && (0.0..=1.0).contains(&score);
    if items.len() > MOST_ONBOARDED || !items.iter().all(|item| item.labels.iter().all(sound)) {
        return Err(unusable("it has too many items, a label outside the label space or a score outside 0 to 1"));
    }
    Ok(Some((vectors, items)))
}
