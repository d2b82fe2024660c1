//! Unit vectors in a quarter of the memory, by which the graph is walked.
//!
//! A walk looks at a thousand rows that lie all over the memory, and waits for each: a row of 64 numbers is one cache line here instead
//! of four. What it finds is compared again in full.

use crate::model::index::vectors::Vectors;

/// What 1 is as a code of a query.
const ONE: f32 = 32_767.0;
/// The largest code of a row.
const LARGEST: f32 = 127.0;
/// Codes that a line of the processor's cache holds. Rows are padded with zeros to whole lines.
const LINE: usize = 64;
/// Codes that are multiplied at a time. Told apart like this, the products of a piece compile to two instructions of the widest kind;
/// from one loop over the line the compiler makes narrower ones.
const PIECE: usize = 16;

/// A query in codes.
pub(super) type Query = Vec<[i16; LINE]>;

/// Codes of a row, placed so that the processor never fetches two lines for them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
struct Line([i8; LINE]);

/// Row after row of codes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coarse {
    /// Lines of a row.
    lines: usize,
    codes: Vec<Line>,
}

impl Coarse {
    /// The codes of all rows.
    pub(super) fn of(vectors: &Vectors) -> Self {
        let largest = vectors.rows().flatten().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let one = LARGEST / largest.max(1.0 / LARGEST);
        let lines = vectors.dimension().div_ceil(LINE);
        let mut codes = Vec::with_capacity(vectors.len() * lines);
        for row in vectors.rows() {
            // The cast cuts at the ends, so that no number wraps round.
            codes.extend(row.chunks(LINE).map(|line| Line(padded(line, |number| (number * one).round() as i8))));
        }
        Self { lines, codes }
    }

    /// About the cosine of a row and a query that [`encode`] wrote; at 64 numbers it is off by 0.0015 on average. It is in a unit that all
    /// rows share, and below 2^30 either way. Zero for a row that there is not.
    #[inline(always)]
    pub(super) fn similarity(&self, query: &[[i16; LINE]], row: usize) -> i32 {
        let start = row.saturating_mul(self.lines);
        let row = self.codes.get(start..start.saturating_add(self.lines)).unwrap_or_default();
        let mut sum = 0;
        for (query, Line(row)) in query.iter().zip(row) {
            sum += products(query, row);
        }
        sum
    }
}

/// The sum of the products. Codes of two unit vectors add up to at most what one is as a code of either, multiplied: 127² times 32,767.
#[inline(always)]
fn products(query: &[i16; LINE], row: &[i8; LINE]) -> i32 {
    let mut sum = 0;
    for (query, row) in query.as_chunks::<PIECE>().0.iter().zip(row.as_chunks::<PIECE>().0) {
        let mut piece = 0;
        for (a, b) in query.iter().zip(row) {
            piece += i32::from(*a) * i32::from(*b);
        }
        sum += piece;
    }
    sum
}

/// Writes a query, a unit vector, in codes.
pub(super) fn encode(vector: &[f32], codes: &mut Query) {
    codes.clear();
    codes.extend(vector.chunks(LINE).map(|line| padded(line, |number| (number * ONE).round() as i16)));
}

fn padded<T: Copy + Default>(line: &[f32], code: impl Fn(f32) -> T) -> [T; LINE] {
    let mut codes = [T::default(); LINE];
    for (to, &number) in codes.iter_mut().zip(line) {
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
            (a, b) in (1_usize..200).prop_flat_map(|dimension| {
                let numbers = || prop::collection::vec(-1.0_f32..1.0, dimension);
                (numbers(), numbers())
            }),
        ) {
            let (Some(a), Some(b)) = (Embedding::normalise(a), Embedding::normalise(b)) else { return Ok(()) };
            let mut vectors = Vectors::new(b.dimension());
            vectors.push(&b);
            let mut query = Vec::new();
            encode(a.as_slice(), &mut query);

            let largest = b.as_slice().iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            let similarity = Coarse::of(&vectors).similarity(&query, 0) as f32 * largest / (LARGEST * ONE);

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

        assert_eq!(coarse.similarity(&query, 0), 127 * 32_767);
        assert_eq!(coarse.similarity(&query, 1), 0);
    }

    #[test]
    fn similarities_of_vectors_of_small_numbers_stay_below_two_to_the_thirtieth() {
        let even = Embedding::normalise(vec![-1.0; 20_000]).unwrap();
        let mut vectors = Vectors::new(20_000);
        vectors.push(&even);
        let mut query = Vec::new();
        encode(even.as_slice(), &mut query);

        let similarity = Coarse::of(&vectors).similarity(&query, 0);

        assert!((500_000_000..1 << 30).contains(&similarity), "{similarity}");
    }
}
