//! Unit vectors in half the memory, by which the graph is walked.
//!
//! A walk looks at a thousand rows that lie all over the memory, and waits for each: half the bytes is close to half the time. What it
//! finds is compared again in full.

use crate::model::index::vectors::Vectors;

/// What 1 is as a code. The products of two unit vectors add up to at most its square, which an `i32` holds.
const ONE: f32 = 32_767.0;

/// Row after row of codes, as many to a row as the vectors have numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coarse {
    dimension: usize,
    codes: Vec<i16>,
}

impl Coarse {
    /// The codes of all rows.
    pub(super) fn of(vectors: &Vectors) -> Self {
        let mut codes = Vec::with_capacity(vectors.len() * vectors.dimension());
        vectors.rows().for_each(|row| encode(row, &mut codes));
        Self { dimension: vectors.dimension(), codes }
    }

    /// About the cosine of a row and a query that [`encode`] wrote; at 64 numbers it is off by less than 0.0003. Zero for a row that there is not.
    pub(super) fn similarity(&self, query: &[i16], row: usize) -> f32 {
        let start = row.saturating_mul(self.dimension);
        let row = self.codes.get(start..start.saturating_add(self.dimension)).unwrap_or_default();
        let product: i32 = query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        product as f32 / (ONE * ONE)
    }
}

/// Appends the codes of a unit vector.
pub(super) fn encode(vector: &[f32], codes: &mut Vec<i16>) {
    // The cast cuts at the ends, so that no number wraps round.
    codes.extend(vector.iter().map(|number| (number * ONE).round() as i16));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::embedding::{Embedding, dot};

    proptest! {
        #[test]
        fn codes_say_what_the_numbers_say(
            a in prop::collection::vec(-1.0_f32..1.0, 64), b in prop::collection::vec(-1.0_f32..1.0, 64),
        ) {
            let (Some(a), Some(b)) = (Embedding::normalise(a), Embedding::normalise(b)) else { return Ok(()) };
            let mut vectors = Vectors::new(64);
            vectors.push(&b);
            let mut query = Vec::new();
            encode(a.as_slice(), &mut query);

            let similarity = Coarse::of(&vectors).similarity(&query, 0);

            prop_assert!((similarity - dot(a.as_slice(), b.as_slice())).abs() < 5e-4, "{similarity}");
        }
    }

    #[test]
    fn one_number_alone_does_not_overflow() {
        let one = Embedding::normalise(vec![1.0, 0.0]).unwrap();
        let mut vectors = Vectors::new(2);
        vectors.push(&one);
        let mut query = Vec::new();
        encode(&[1.01, 0.0], &mut query);

        let coarse = Coarse::of(&vectors);

        assert!((coarse.similarity(&query, 0) - 1.0).abs() < 1e-3);
        assert!(coarse.similarity(&query, 1).abs() < 1e-9);
    }
}
