//! Unit vectors.

/// A finite vector of length one.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Scales a vector to length one. `None` if it is empty, zero, or holds a number that is not finite.
    #[must_use]
    pub fn normalise(mut vector: Vec<f32>) -> Option<Self> {
        let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm < 1e-12 {
            return None;
        }
        for x in &mut vector {
            *x = (f64::from(*x) / norm) as f32;
        }
        Some(Self(vector.into_boxed_slice()))
    }

    /// How many numbers the vector has.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// The numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The cosine similarity in `-1.0..=1.0`. Vectors of different dimensions have similarity zero.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        if self.dimension() != other.dimension() {
            return 0.0;
        }
        dot(&self.0, &other.0).clamp(-1.0, 1.0)
    }
}

/// The sum of products of two slices, in eight lanes so that the compiler vectorises it.
///
/// Stops at the shorter slice. Inlined, so that a caller that is compiled for wider instructions has them here too; the sum is the same.
#[must_use]
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (chunks_a, rest_a) = a.as_chunks::<8>();
    let (chunks_b, rest_b) = b.as_chunks::<8>();
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_to_length_one() {
        let embedding = Embedding::normalise(vec![3.0, 4.0]).unwrap();

        assert_eq!(embedding.as_slice(), [0.6, 0.8]);
    }

    #[test]
    fn refuses_what_has_no_direction() {
        for vector in [vec![], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY]] {
            assert_eq!(Embedding::normalise(vector), None);
        }
    }

    #[test]
    fn dot_handles_lengths_that_are_no_multiple_of_eight() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();

        assert!((dot(&a, &a) - 2109.0).abs() < 1e-3);
    }
}
