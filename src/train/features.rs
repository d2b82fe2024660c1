//! What the heads read: embeddings and structural signals of prompts, made by the code that serves.

use half::f16;

use crate::model::heads::SIGNALS;

/// Embeddings and signals of prompts, row after row. Half precision halves the memory of millions of prompts.
#[derive(Clone, Debug, Default)]
pub struct Features {
    dimension: usize,
    embeddings: Vec<f16>,
    signals: Vec<[f32; SIGNALS]>,
}

impl Features {
    /// No rows yet, of embeddings of this length.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        Self { dimension, ..Self::default() }
    }

    /// The length of an embedding.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.signals.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty()
    }

    /// Appends a row. A missing embedding, as a text without a known token has, becomes zeros: the signals still speak.
    pub fn push(&mut self, embedding: Option<&[f32]>, signals: [f32; SIGNALS]) {
        let end = self.embeddings.len() + self.dimension;
        self.embeddings.extend(embedding.unwrap_or_default().iter().take(self.dimension).map(|&x| f16::from_f32(x)));
        self.embeddings.resize(end, f16::ZERO);
        self.signals.push(signals);
    }

    /// The embedding of a row, in full precision. Zeros where it is missing.
    #[must_use]
    pub fn embedding(&self, row: usize) -> Vec<f32> {
        let start = row * self.dimension;
        let halves = self.embeddings.get(start..start + self.dimension).unwrap_or_default();
        halves.iter().map(|half| half.to_f32()).collect()
    }

    /// The signals of a row; zeros beyond the last.
    #[must_use]
    pub fn signals(&self, row: usize) -> [f32; SIGNALS] {
        self.signals.get(row).copied().unwrap_or([0.0; SIGNALS])
    }

    /// Appends the rows of another set of the same dimension.
    pub fn append(&mut self, mut other: Self) {
        self.embeddings.append(&mut other.embeddings);
        self.signals.append(&mut other.signals);
    }
}
