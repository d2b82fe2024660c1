//! Unit vectors in a quarter of the memory, by which the graph is walked.
//!
//! A walk looks at a thousand rows that lie all over the memory, and waits for each: a row of 64 numbers is one cache line here instead
//! of four. What it finds is compared again in full.

use crate::model::index::vectors::Vectors;

/// What 1 is as a code of a query.
const ONE: f32 = 32_767.0;
/// The largest code of a row.
const LARGEST: f32 = 127.0;
/// Numbers that are multiplied at a time; rows are padded with zeros to whole pieces. Written out like this, the products compile to one
/// instruction for eight or sixteen of them, as the caller's processor has it.
const LANES: usize = 16;

/// A query in codes.
pub(super) type Query = Vec<[i16; LANES]>;

/// Row after row of codes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coarse {
    /// Pieces of a row.
    pieces: usize,
    /// What a product of one with one is as a cosine.
    unit: f32,
    codes: Vec<[i8; LANES]>,
}

impl Coarse {
    /// The codes of all rows.
    pub(super) fn of(vectors: &Vectors) -> Self {
        let largest = vectors.rows().flatten().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let one = LARGEST / largest.max(1.0 / LARGEST);
        let mut codes = Vec::new();
        for row in vectors.rows() {
            // The cast cuts at the ends, so that no number wraps round.
            codes.extend(row.chunks(LANES).map(|piece| padded(piece, |number| (number * one).round() as i8)));
        }
        Self { pieces: vectors.dimension().div_ceil(LANES), unit: 1.0 / (ONE * one), codes }
    }

    /// About the cosine of a row and a query that [`encode`] wrote; at 64 numbers it is off by 0.0015 on average. Zero for a row that there is
    /// not.
    #[inline(always)]
    pub(super) fn similarity(&self, query: &[[i16; LANES]], row: usize) -> f32 {
        let start = row.saturating_mul(self.pieces);
        let row = self.codes.get(start..start.saturating_add(self.pieces)).unwrap_or_default();
        let product: i32 = query.iter().zip(row).map(|(query, row)| products(query, row)).sum();
        product as f32 * self.unit
    }
}

/// The sum of the products. Codes of two unit vectors add up to at most what one is as a code of either, multiplied, which an `i32` holds.
#[inline(always)]
fn products(query: &[i16; LANES], row: &[i8; LANES]) -> i32 {
    query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Writes a query, a unit vector, in codes.
pub(super) fn encode(vector: &[f32], codes: &mut Query) {
    codes.clear();
    codes.extend(vector.chunks(LANES).map(|piece| padded(piece, |number| (number * ONE).round() as i16)));
}

fn padded<T: Copy + Default>(piece: &[f32], code: impl Fn(f32) -> T) -> [T; LANES] {
    let mut codes = [T::default(); LANES];
    for (to, &number) in codes.iter_mut().zip(piece) {
        *to = code(number);
    }
    codes
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

            prop_assert!((similarity - dot(a.as_slice(), b.as_slice())).abs() < 0.01, "{similarity}");
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

        assert!((coarse.similarity(&query, 0) - 1.0).abs() < 1e-3, "{}", coarse.similarity(&query, 0));
        assert!(coarse.similarity(&query, 1).abs() < 1e-9);
    }
}
