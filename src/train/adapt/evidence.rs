//! Least squares with a prior on every weight, its widths chosen by how well they explain the data.

use candle_core::{Device, Tensor};

use crate::train::error::TrainError;
use crate::train::fit::ridge::Cholesky;

/// Rows whose products are summed at a time, which bounds memory.
const CHUNK: usize = 4_096;
/// The variance of one label around its expectation before any is seen, and how many labels that guess is worth.
const NOISE: (f64, f64) = (0.2, 5.0);

/// Sums over rows: all that a fit needs of them. Sums of parts add up, so that a part can be left out.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    columns: usize,
    products: Vec<f64>,
    moments: Vec<f64>,
    squares: f64,
    weight: f64,
}

/// Rows waiting to be summed.
pub(super) struct Summing {
    sums: Sums,
    rows: Vec<f64>,
    weighted: Vec<f64>,
}

impl Summing {
    pub(super) fn new(columns: usize) -> Self {
        let sums = Sums {
            columns,
            products: vec![0.0; columns * columns],
            moments: vec![0.0; columns],
            squares: 0.0,
            weight: 0.0,
        };
        Self { sums, rows: Vec::new(), weighted: Vec::new() }
    }

    /// Adds a row with what it should give and how much it counts.
    pub(super) fn add(&mut self, row: &[f64], (target, weight): (f64, f64)) -> Result<(), TrainError> {
        for (moment, x) in self.sums.moments.iter_mut().zip(row) {
            *moment += weight * target * x;
        }
        self.sums.squares += weight * target * target;
        self.sums.weight += weight;
        self.rows.extend_from_slice(row);
        self.weighted.extend(row.iter().map(|x| x * weight));
        if self.rows.len() >= CHUNK * self.sums.columns { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TrainError> {
        let columns = self.sums.columns;
        let count = self.rows.len() / columns.max(1);
        if count == 0 {
            return Ok(());
        }
        let (rows, weighted) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.weighted));
        let product = || -> candle_core::Result<Vec<f64>> {
            let weighted = Tensor::from_vec(weighted, (count, columns), &Device::Cpu)?.t()?.contiguous()?;
            weighted.matmul(&Tensor::from_vec(rows, (count, columns), &Device::Cpu)?)?.flatten_all()?.to_vec1()
        };
        let part = product().map_err(TrainError::fit("the correction by labels"))?;
        for (sum, part) in self.sums.products.iter_mut().zip(part) {
            *sum += part;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Sums, TrainError> {
        self.flush()?;
        Ok(self.sums)
    }
}

impl Sums {
    /// Adds another part, or takes one away with a sign of minus one.
    pub(super) fn add(&mut self, other: &Self, sign: f64) {
        for (to, from) in self.products.iter_mut().zip(&other.products) {
            *to += sign * from;
        }
        for (to, from) in self.moments.iter_mut().zip(&other.moments) {
            *to += sign * from;
        }
        self.squares += sign * other.squares;
        self.weight += sign * other.weight;
    }

    /// The most likely weights when each has a normal prior of this variance around zero, in units of the noise, and the logarithm
    /// of the evidence: how likely the data are under such priors (MacKay, 1992; the noise is integrated out).
    pub(super) fn fit(&self, variances: &[f64]) -> Result<(Vec<f64>, f64), TrainError> {
        let n = self.columns;
        let roots: Vec<f64> = variances.iter().map(|variance| variance.max(0.0).sqrt()).collect();
        let mut system = vec![0.0; n * n];
        for (at, (to, from)) in system.chunks_exact_mut(n.max(1)).zip(self.products.chunks_exact(n.max(1))).enumerate()
        {
            let root = roots.get(at).copied().unwrap_or(0.0);
            for (column, ((to, from), other)) in to.iter_mut().zip(from).zip(&roots).enumerate() {
                *to = root * from * other + f64::from(u8::from(at == column));
            }
        }
        let scaled: Vec<f64> = self.moments.iter().zip(&roots).map(|(moment, root)| moment * root).collect();
        let factor = Cholesky::of(system, n).ok_or_else(|| TrainError::Fit {
            what: "the correction by labels",
            detail: "the inputs hold numbers that are not finite".to_owned(),
        })?;
        let half = factor.forward(scaled);
        let explained: f64 = half.iter().map(|x| x * x).sum();
        let weights = factor.backward(half).iter().zip(&roots).map(|(x, root)| x * root).collect();
        let (noise, worth) = NOISE;
        let left = ((self.squares - explained).max(0.0) + noise * worth) / (self.weight + worth);
        Ok((weights, -0.5 * factor.log_determinant() - 0.5 * (self.weight + worth) * left.ln()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(rows: usize, slope: f64) -> Sums {
        let mut summing = Summing::new(2);
        for at in 0..rows {
            let (x, noise) = ((at as f64 * 0.7).sin(), 0.3 * (at as f64 * 1.9).cos());
            summing.add(&[1.0, x], (0.2 + slope * x + noise, 1.0)).unwrap();
        }
        summing.finish().unwrap()
    }

    #[test]
    fn the_evidence_prefers_a_wide_prior_where_there_is_something_to_find_and_none_where_there_is_not() {
        let gain = |sums: &Sums| sums.fit(&[1.0, 1.0]).unwrap().1 - sums.fit(&[1.0, 0.0]).unwrap().1;

        assert!(gain(&sums(200, 0.8)) > 5.0);
        assert!(gain(&sums(200, 0.0)) < 0.0);
    }

    #[test]
    fn a_part_that_is_taken_away_leaves_the_rest() {
        let (mut all, part) = (sums(200, 0.8), sums(50, 0.8));
        all.add(&part, 1.0);
        all.add(&part, -1.0);

        let (found, _) = all.fit(&[1.0, 1.0]).unwrap();
        let (expected, _) = sums(200, 0.8).fit(&[1.0, 1.0]).unwrap();

        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
