//! Feedback that arrived since the bundle was trained.

use std::collections::{HashSet, VecDeque};
use std::sync::{PoisonError, RwLock};

use crate::domain::embedding::{Embedding, dot};
use crate::domain::ids::{CallerId, ItemId};
use crate::domain::neighbour::Labels;
use crate::model::index::graph::{Hit, keep_best};
use crate::model::index::vectors::{Vectors, leading};

/// Most fresh items that are kept. When full, the oldest gives way and is counted; a retrain takes them all in.
pub const MAX_FRESH: usize = 4_096;

/// A labelled prompt to add to a running index.
#[derive(Clone, Debug, PartialEq)]
pub struct FreshItem {
    /// Its name. A second item of the same name replaces the first.
    pub id: ItemId,
    /// Its embedding by the fast encoder.
    pub embedding: Embedding,
    /// Scores by position of the label space.
    pub labels: Labels,
    /// Who said so. One caller's items are bounded.
    pub caller: CallerId,
}

/// The most of the fresh items that one caller's may be where nothing else is said, as a share of all. Where there are too few callers for it, all may have the
/// same. A caller at its bound replaces its own oldest item, so that it crowds nobody out.
pub const CALLER_SHARE: f64 = 0.2;

/// Items that every caller may have whatever its share, so that the first reports are learned from.
const ALWAYS: usize = 64;

/// A bounded ring of fresh items that is searched exactly.
///
/// A lock is enough: a writer holds it for one copy of a row, a reader for one scan of at most [`MAX_FRESH`] rows.
#[derive(Debug)]
pub(super) struct Fresh {
    ring: RwLock<Ring>,
    share: f64,
}

#[derive(Debug)]
struct Ring {
    vectors: Vectors,
    /// The items of the rows, in the order of the rows.
    items: Vec<FreshItem>,
    /// Rows from oldest to newest.
    ages: VecDeque<usize>,
    dropped: u64,
}

/// What became of an item that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It does not fit.
    No,
    /// It was there already, exactly as it is.
    Again,
    /// It is there now.
    Anew,
}

impl Fresh {
    pub(super) fn new(dimension: usize) -> Self {
        let ring = Ring { vectors: Vectors::new(dimension), items: Vec::new(), ages: VecDeque::new(), dropped: 0 };
        Self { ring: RwLock::new(ring), share: CALLER_SHARE }
    }

    /// The same with another share for one caller.
    pub(super) fn bounded(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// Adds an item, in place of one of the same name if there is one.
    pub(super) fn add(&self, item: FreshItem) -> Added {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = leading(&item.embedding, ring.vectors.dimension()) else { return Added::No };
        let known = ring.items.iter().position(|old| old.id == item.id);
        let at = match known {
            Some(at) => {
                ring.ages.retain(|&row| row != at);
                at
            }
            None if let Some(own) = ring.own_oldest_at_bound(&item.caller, self.share) => {
                ring.dropped += 1;
                ring.ages.retain(|&row| row != own);
                own
            }
            None if ring.items.len() < MAX_FRESH => {
                let at = ring.items.len();
                ring.vectors.push(&row);
                ring.items.push(item.clone());
                at
            }
            None => {
                ring.dropped += 1;
                ring.ages.pop_front().unwrap_or(0)
            }
        };
        let is_known = known.is_some() && ring.items.get(at) == Some(&item);
        ring.vectors.replace(at, row.as_slice());
        if let Some(slot) = ring.items.get_mut(at) {
            *slot = item;
        }
        ring.ages.push_back(at);
        if is_known { Added::Again } else { Added::Anew }
    }

    /// The rows nearest to a query, best first, with their items.
    pub(super) fn nearest(&self, query: &[f32], k: usize) -> Vec<(f32, FreshMatch)> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if ring.items.is_empty() {
            return Vec::new();
        }
        let similarities = ring.vectors.rows().map(|row| dot(query, row));
        let mut hits: Vec<Hit> = (0_u32..).zip(similarities).map(|(row, similarity)| Hit { similarity, row }).collect();
        keep_best(&mut hits, k);
        let found = hits.iter().filter_map(|hit| Some((hit.similarity, ring.items.get(hit.row as usize)?)));
        found
            .map(|(similarity, item)| (similarity, FreshMatch { id: item.id.clone(), labels: item.labels.clone() }))
            .collect()
    }

    /// Every item, oldest first.
    pub(super) fn items(&self) -> Vec<FreshItem> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.ages.iter().filter_map(|&at| ring.items.get(at).cloned()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).items.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).dropped
    }
}

impl Ring {
    /// The row of the oldest item of a caller who has as many as it may have.
    fn own_oldest_at_bound(&self, caller: &CallerId, share: f64) -> Option<usize> {
        let callers: HashSet<&CallerId> = self.items.iter().map(|item| &item.caller).chain([caller]).collect();
        let is_own = |item: &FreshItem| item.caller == *caller;
        let own = self.items.iter().filter(|item| is_own(item)).count();
        let share = share.max(1.0 / callers.len() as f64);
        let most = ((self.items.len() + 1) as f64 * share).floor() as usize;
        // A lone caller has nobody to crowd out.
        if callers.len() == 1 || own < most.max(ALWAYS) {
            return None;
        }
        self.ages.iter().copied().find(|&at| self.items.get(at).is_some_and(is_own))
    }
}

/// What a neighbour needs of a fresh item.
#[derive(Clone, Debug)]
pub(super) struct FreshMatch {
    pub(super) id: ItemId,
    pub(super) labels: Labels,
}
