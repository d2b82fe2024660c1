//! Keeping what will be measured on out of training: the same questions, and questions nearly the same.

use std::collections::HashSet;

use candle_core::{Device, Tensor};

use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::progress::{Phase, Progress, step};

/// The cosine from which on two prompts are taken for the same question.
pub const NEARLY_SAME: f32 = 0.95;

/// Rows compared at a time, which bounds memory.
const CHUNK: usize = 512;

/// Which rows are nearly the same as one of the others: their largest cosine is at least `least`.
///
/// # Errors
/// Numeric failure and interruption.
pub fn nearly_same(
    features: &Features,
    others: &Features,
    least: f32,
    progress: &dyn Progress,
) -> Result<HashSet<usize>, TrainError> {
    let mut found = HashSet::new();
    let wrap = TrainError::fit("the near-duplicate check");
    let width = others.dimension();
    if others.is_empty() || width != features.dimension() {
        return Ok(found);
    }
    for start in (0..features.len()).step_by(CHUNK) {
        step(progress, Phase::Embed, (start, features.len()))?;
        let count = CHUNK.min(features.len() - start);
        let mut largest = vec![f32::NEG_INFINITY; count];
        let rows: Vec<f32> = (start..start + count).flat_map(|row| features.embedding(row)).collect();
        for other in (0..others.len()).step_by(8 * CHUNK) {
            let width_other = (8 * CHUNK).min(others.len() - other);
            let columns: Vec<f32> = (other..other + width_other).flat_map(|row| others.embedding(row)).collect();
            let compare = || -> candle_core::Result<Vec<f32>> {
                let rows = Tensor::from_slice(&rows, (count, width), &Device::Cpu)?;
                let columns = Tensor::from_vec(columns, (width_other, width), &Device::Cpu)?;
                rows.matmul(&columns.t()?)?.max(1)?.to_vec1()
            };
            for (to, value) in largest.iter_mut().zip(compare().map_err(&wrap)?) {
                *to = to.max(value);
            }
        }
        found.extend(largest.iter().enumerate().filter(|&(_, &value)| value >= least).map(|(at, _)| start + at));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::heads::SIGNALS;
    use crate::train::progress::Silent;

    #[test]
    fn finds_what_is_nearly_the_same_and_nothing_else() {
        let features = |angles: &[f32]| {
            let mut features = Features::new(2);
            for angle in angles {
                features.push(Some(&[angle.cos(), angle.sin()]), [0.0; SIGNALS]);
            }
            features
        };

        let found = nearly_same(&features(&[0.0, 0.5, 1.5]), &features(&[0.1, 3.0]), NEARLY_SAME, &Silent).unwrap();

        assert_eq!(found, HashSet::from([0]));
    }
}
