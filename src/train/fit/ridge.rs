//! Least squares with a penalty, in closed form: exact, fast and without a seed.

use candle_core::{DType, Device, Tensor};

use crate::train::error::TrainError;
use crate::train::fit::Matrix;

/// Rows whose products are summed at a time, which bounds memory.
const CHUNK: usize = 8192;

/// Weights and bias that minimise the weighted squares plus `penalty` times the squared weights. The bias is free.
///
/// The weights of the rows are scaled to a mean of one, so that a penalty means the same whatever their unit.
///
/// # Errors
/// Numeric failure, as non-finite inputs cause.
pub fn ridge(rows: &Matrix, (targets, weights): (&[f32], &[f32]), penalty: f64) -> Result<(Vec<f32>, f32), TrainError> {
    let fit = TrainError::fit("the difficulty head");
    let size = rows.columns + 1;
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let scale = if total > 0.0 { rows.rows() as f64 / total } else { 0.0 };
    let mut gram = vec![0.0_f64; size * size];
    let mut moments = vec![0.0_f64; size];
    let mut start = 0;
    while start < rows.rows() {
        let end = (start + CHUNK).min(rows.rows());
        let mut left = Vec::with_capacity((end - start) * size);
        let mut right = Vec::with_capacity((end - start) * size);
        for row in start..end {
            let weight = weights.get(row).map_or(0.0, |&weight| f64::from(weight) * scale);
            let target = targets.get(row).map_or(0.0, |&target| f64::from(target));
            let first = right.len();
            right.extend(rows.row(row).iter().map(|&x| f64::from(x)));
            right.push(1.0);
            let values = right.get(first..).unwrap_or_default();
            for (moment, x) in moments.iter_mut().zip(values) {
                *moment += weight * target * x;
            }
            left.extend(values.iter().map(|x| x * weight));
        }
        let product = || -> candle_core::Result<Vec<f64>> {
            let left = Tensor::from_vec(left, (end - start, size), &Device::Cpu)?.t()?.contiguous()?;
            let right = Tensor::from_vec(right, (end - start, size), &Device::Cpu)?;
            left.matmul(&right)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
        };
        for (sum, part) in gram.iter_mut().zip(product().map_err(&fit)?) {
            *sum += part;
        }
        start = end;
    }
    for at in 0..size {
        if let Some(diagonal) = gram.get_mut(at * size + at) {
            *diagonal += if at + 1 == size { 1e-6 } else { penalty.max(1e-9) };
        }
    }
    let solution = solve(gram, moments).ok_or_else(|| TrainError::Fit {
        what: "the difficulty head",
        detail: "the inputs hold numbers that are not finite".to_owned(),
    })?;
    let bias = solution.last().copied().unwrap_or(0.0) as f32;
    Ok((solution.iter().take(rows.columns).map(|&x| x as f32).collect(), bias))
}

/// Solves a symmetric positive definite system by Cholesky's method. `None` if it is not one.
pub(crate) fn solve(a: Vec<f64>, b: Vec<f64>) -> Option<Vec<f64>> {
    let factor = Cholesky::of(a, b.len())?;
    Some(factor.backward(factor.forward(b)))
}

/// The lower triangle `L` of a symmetric positive definite matrix `L·Lᵀ`.
#[derive(Clone, Debug)]
pub(crate) struct Cholesky {
    size: usize,
    lower: Vec<f64>,
}

#[expect(clippy::indexing_slicing, reason = "triangular kernels over a square whose size is checked first")]
impl Cholesky {
    /// Factors a square matrix of this size. `None` if it is not positive definite or not of this size.
    pub(crate) fn of(mut a: Vec<f64>, n: usize) -> Option<Self> {
        if a.len() != n * n {
            return None;
        }
        for j in 0..n {
            for k in 0..j {
                let factor = a[j * n + k];
                a[j * n + j] -= factor * factor;
            }
            let pivot = a[j * n + j];
            if !pivot.is_finite() || pivot <= 0.0 {
                return None;
            }
            let root = pivot.sqrt();
            a[j * n + j] = root;
            for i in j + 1..n {
                let (upper, lower) = a.split_at_mut(i * n);
                let (row_j, row_i) = (&upper[j * n..j * n + j], &mut lower[..=j]);
                let products: f64 = row_j.iter().zip(row_i.iter()).map(|(x, y)| x * y).sum();
                row_i[j] = (row_i[j] - products) / root;
            }
        }
        Some(Self { size: n, lower: a })
    }

    /// `L⁻¹·b`. A vector of another length gives as many numbers as both have.
    pub(crate) fn forward(&self, mut b: Vec<f64>) -> Vec<f64> {
        let n = self.size;
        b.resize(n, 0.0);
        for i in 0..n {
            let known: f64 = self.lower[i * n..i * n + i].iter().zip(&b).map(|(l, x)| l * x).sum();
            b[i] = (b[i] - known) / self.lower[i * n + i];
        }
        b
    }

    /// `L⁻ᵀ·b`.
    pub(crate) fn backward(&self, mut b: Vec<f64>) -> Vec<f64> {
        let n = self.size;
        b.resize(n, 0.0);
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| self.lower[k * n + i] * b[k]).sum();
            b[i] = (b[i] - known) / self.lower[i * n + i];
        }
        b
    }

    /// The logarithm of the matrix's determinant.
    pub(crate) fn log_determinant(&self) -> f64 {
        (0..self.size).map(|at| 2.0 * self.lower[at * self.size + at].ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_planted_plane_and_shrinks_with_the_penalty() {
        let mut rows = Matrix::new(2);
        let mut targets = Vec::new();
        for at in 0..200 {
            let (x, y) = ((at as f32 * 0.37).sin(), (at as f32 * 0.91).cos());
            rows.push(&[x, y]);
            targets.push(2.0 * x - y + 0.5);
        }
        let ones = vec![1.0; 200];

        let (free, bias) = ridge(&rows, (&targets, &ones), 0.0).unwrap();
        let (shrunk, _) = ridge(&rows, (&targets, &ones), 1e4).unwrap();

        assert!((free[0] - 2.0).abs() < 1e-3 && (free[1] + 1.0).abs() < 1e-3 && (bias - 0.5).abs() < 1e-3);
        assert!(shrunk[0].abs() < 0.1);
    }

    #[test]
    fn refuses_what_is_not_finite() {
        let rows = Matrix { columns: 1, values: vec![f32::NAN, 1.0] };

        assert!(ridge(&rows, (&[1.0, 1.0], &[1.0, 1.0]), 1.0).is_err());
    }
}
