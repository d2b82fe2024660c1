//! Unit vectors side by side in memory, as the index searches them.

use crate::domain::embedding::Embedding;
use crate::domain::embedding::dot;

/// Row after row of unit vectors of one dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    dimension: usize,
    numbers: Vec<f32>,
}

impl Vectors {
    /// An empty set. A dimension of zero is taken as one.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        Self { dimension: dimension.max(1), numbers: Vec::new() }
    }

    /// Reads little-endian rows. `None` if the bytes are no whole number of rows or a row is not of length one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], dimension: usize) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
        let whole = rest.is_empty() && dimension > 0 && numbers.len().is_multiple_of(dimension);
        let unit = |row: &[f32]| (dot(row, row) - 1.0).abs() < 1e-2;
        (whole && numbers.chunks_exact(dimension).all(unit)).then_some(Self { dimension, numbers })
    }

    /// The rows as they go into a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Adds the leading numbers of an embedding, scaled to length one again. Gives false, and adds nothing, if it is too short or
    /// its leading numbers have no direction.
    pub fn push(&mut self, embedding: &Embedding) -> bool {
        let Some(leading) = leading(embedding, self.dimension) else { return false };
        self.numbers.extend_from_slice(leading.as_slice());
        true
    }

    /// Replaces a row that exists.
    pub(super) fn replace(&mut self, at: usize, row: &[f32]) {
        if let Some(old) = self.numbers.chunks_exact_mut(self.dimension).nth(at)
            && old.len() == row.len()
        {
            old.copy_from_slice(row);
        }
    }

    /// The length of a row.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.numbers.len() / self.dimension
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.numbers.chunks_exact(self.dimension)
    }

    /// One row; empty if there is none of that number.
    #[must_use]
    pub fn row(&self, at: usize) -> &[f32] {
        let start = at.saturating_mul(self.dimension);
        self.numbers.get(start..start.saturating_add(self.dimension)).unwrap_or_default()
    }
}

/// The leading numbers of an embedding, scaled to length one again.
pub(super) fn leading(embedding: &Embedding, dimension: usize) -> Option<Embedding> {
    Embedding::normalise(embedding.as_slice().get(..dimension)?.to_vec())
}
