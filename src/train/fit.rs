//! Fitting heads: what transfers is fitted once for all models, what does not is a small residual per tier and model.

pub mod cells;
pub mod design;
pub mod gain;
pub mod heads;
pub mod linear;
pub mod network;
pub mod ridge;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// A dense row-major matrix of f32.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Numbers in a row.
    pub columns: usize,
    /// Row after row.
    pub values: Vec<f32>,
}

impl Matrix {
    /// No rows yet.
    #[must_use]
    pub const fn new(columns: usize) -> Self {
        Self { columns, values: Vec::new() }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// One row; empty beyond the last.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        self.values.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default()
    }

    /// Appends a row, which must have as many numbers as the others.
    pub fn push(&mut self, row: &[f32]) {
        debug_assert_eq!(row.len(), self.columns);
        self.values.extend_from_slice(row);
    }

    /// The rows at these places, in this order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut selected = Self { columns: self.columns, values: Vec::with_capacity(rows.len() * self.columns) };
        for &row in rows {
            selected.values.extend_from_slice(self.row(row));
        }
        selected
    }
}

/// Row numbers in batches, shuffled anew for every pass by the seed.
pub(crate) fn batches(rows: usize, size: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order.chunks(size.max(1)).map(<[usize]>::to_vec).collect()
}
