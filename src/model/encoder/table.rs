//! A static encoder as what it is: a row of numbers for each token, and their weighted mean.

use pulp::{Arch, NullaryFnOnce};

use crate::domain::embedding::Embedding;
use crate::model::error::InferenceError;
use crate::model::onnx::Constants;

/// A row of small integers for each token, and what they are multiplied with.
#[derive(Debug)]
pub(super) struct Table {
    dimension: usize,
    scales: Vec<f32>,
    rows: Vec<i8>,
}

/// Tokens that are added at a time: the sum is read and written once for all of them.
const TOGETHER: usize = 4;

impl Table {
    /// Reads the table out of the graph of a static encoder. `None` where it holds none.
    pub(super) fn read(graph: &[u8], dimension: usize) -> Option<Self> {
        let constants = Constants::read(graph).ok()?;
        let scales = constants.floats("scales")?;
        let rows: Vec<i8> = constants.into_bytes("rows")?.into_iter().map(u8::cast_signed).collect();
        let is_whole = dimension > 0 && scales.len().checked_mul(dimension) == Some(rows.len());
        let is_finite = scales.iter().all(|scale| scale.is_finite());
        (is_whole && is_finite).then_some(Self { dimension, scales, rows })
    }

    /// The same with every other token weighing twice as much.
    #[cfg(test)]
    pub(super) fn with_other_scales(mut self) -> Self {
        self.scales.iter_mut().step_by(2).for_each(|scale| *scale *= 2.0);
        self
    }

    /// How many tokens there are.
    pub(super) const fn tokens(&self) -> usize {
        self.scales.len()
    }

    /// The direction of the sum of some tokens' rows. `None` where it has none.
    ///
    /// # Errors
    /// A token is not in the table, or the sum is not finite.
    pub(super) fn embed(&self, tokens: &[i64]) -> Result<Option<Embedding>, InferenceError> {
        let mut sum = vec![0.0; self.dimension];
        // Compiled for the processor's widest instructions; each number is added up in the same order on every machine.
        Arch::new().dispatch(Adding { table: self, tokens, sum: &mut sum })?;
        if !sum.iter().all(|number| number.is_finite()) {
            return Err(InferenceError::NotFinite { output: "embedding" });
        }
        Ok(Embedding::normalise(sum))
    }

    /// The row and the weight of a token; an empty row for one that is not in the table.
    #[inline(always)]
    fn row(&self, token: i64) -> (&[i8], f32) {
        let at = usize::try_from(token).unwrap_or(usize::MAX);
        let start = at.saturating_mul(self.dimension);
        let row = self.rows.get(start..start.saturating_add(self.dimension)).unwrap_or_default();
        (row, self.scales.get(at).copied().unwrap_or(0.0))
    }

    #[cold]
    fn unknown(&self, tokens: &[i64]) -> InferenceError {
        let token = tokens.iter().copied().find(|&token| self.row(token).0.is_empty());
        InferenceError::Token { token: token.unwrap_or_default(), tokens: self.tokens() }
    }
}

/// The work that is compiled more than once: a type and not a closure, since only so it is sure to become part of what calls it.
struct Adding<'a> {
    table: &'a Table,
    tokens: &'a [i64],
    sum: &'a mut [f32],
}

impl NullaryFnOnce for Adding<'_> {
    type Output = Result<(), InferenceError>;

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self { table, tokens, sum } = self;
        let (groups, rest) = tokens.as_chunks::<TOGETHER>();
        for group in groups {
            let [(a, w), (b, x), (c, y), (d, z)] = group.map(|token| table.row(token));
            if a.is_empty() || b.is_empty() || c.is_empty() || d.is_empty() {
                return Err(table.unknown(group));
            }
            for ((((sum, &a), &b), &c), &d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (w * f32::from(a) + x * f32::from(b)) + (y * f32::from(c) + z * f32::from(d));
            }
        }
        for &token in rest {
            let (row, weight) = table.row(token);
            if row.is_empty() {
                return Err(table.unknown(&[token]));
            }
            for (sum, &number) in sum.iter_mut().zip(row) {
                *sum += weight * f32::from(number);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table { dimension: 2, scales: vec![1.0, 0.5, 2.0], rows: vec![3, 4, -8, 6, 0, 1] }
    }

    #[test]
    fn adds_up_what_the_tokens_mean() {
        let embed = |tokens: &[i64]| table().embed(tokens).unwrap().map(|found| found.as_slice().to_vec());

        assert_eq!(embed(&[0]), Some(vec![0.6, 0.8]));
        // (3, 4) + (-4, 3) + (0, 2) five times over, and once more the first.
        let expected = Embedding::normalise(vec![-2.0, 49.0]).unwrap();
        assert_eq!(embed(&[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]), Some(expected.as_slice().to_vec()));
        assert_eq!(embed(&[]), None);
    }

    #[test]
    fn a_sum_beyond_all_numbers_is_an_error_and_no_empty_text() {
        let table = Table { scales: vec![f32::MAX, 0.5, 2.0], ..table() };

        assert!(matches!(table.embed(&[0]), Err(InferenceError::NotFinite { output: "embedding" })));
    }

    #[test]
    fn a_token_that_is_none_is_named() {
        for (tokens, unknown) in [(&[0, 1, 3, 2, 1][..], 3), (&[0, 1, 2, 0, -1][..], -1), (&[i64::MAX][..], i64::MAX)] {
            let error = table().embed(tokens).unwrap_err();

            assert!(matches!(error, InferenceError::Token { token, tokens: 3 } if token == unknown), "{error}");
        }
    }
}
