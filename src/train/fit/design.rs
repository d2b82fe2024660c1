//! From what the heads read to what fitting likes: every input on a comparable scale, and the way back.

use crate::model::heads::SIGNALS;
use crate::train::features::Features;
use crate::train::fit::Matrix;

/// How many standard deviations a signal may lie from its mean before it is cut.
const REACH: f32 = 4.0;

/// The range of every signal, wide enough for all prompts the heads are fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The least value of each signal.
    pub low: Vec<f32>,
    /// The largest value of each signal.
    pub high: Vec<f32>,
}

impl Bounds {
    /// Four standard deviations around the mean, and never beyond what was seen.
    #[must_use]
    pub fn of(features: &[&Features]) -> Self {
        let mut bounds = Self { low: vec![f32::INFINITY; SIGNALS], high: vec![f32::NEG_INFINITY; SIGNALS] };
        for features in features.iter().filter(|features| !features.is_empty()) {
            let moments = Moments::of(features);
            for (at, (low, high)) in bounds.low.iter_mut().zip(&mut bounds.high).enumerate() {
                let [mean, deviation, least, largest] = moments.at(at);
                *low = low.min((mean - REACH * deviation).max(least));
                *high = high.max((mean + REACH * deviation).min(largest));
            }
        }
        for (low, high) in bounds.low.iter_mut().zip(&mut bounds.high) {
            if !low.is_finite() || !high.is_finite() {
                (*low, *high) = (0.0, 12.0);
            }
        }
        bounds
    }

    /// The signals cut to their range.
    #[must_use]
    pub fn cut(&self, signals: &[f32; SIGNALS]) -> [f32; SIGNALS] {
        let mut cut = *signals;
        for (value, (low, high)) in cut.iter_mut().zip(self.low.iter().zip(&self.high)) {
            *value = value.max(*low).min(*high);
        }
        cut
    }
}

/// Mean, deviation, least and largest of every signal.
struct Moments(Vec<[f32; 4]>);

impl Moments {
    fn of(features: &Features) -> Self {
        let count = features.len().max(1) as f64;
        let mut sums = vec![(0.0_f64, 0.0_f64, f32::INFINITY, f32::NEG_INFINITY); SIGNALS];
        for row in 0..features.len() {
            for ((sum, squares, least, largest), x) in sums.iter_mut().zip(features.signals(row)) {
                *sum += f64::from(x);
                *squares += f64::from(x) * f64::from(x);
                *least = least.min(x);
                *largest = largest.max(x);
            }
        }
        let moments = sums.into_iter().map(|(sum, squares, least, largest)| {
            let mean = sum / count;
            [mean as f32, (squares / count - mean * mean).max(0.0).sqrt() as f32, least, largest]
        });
        Self(moments.collect())
    }

    fn at(&self, signal: usize) -> [f32; 4] {
        self.0.get(signal).copied().unwrap_or([0.0, 1.0, 0.0, 12.0])
    }
}

/// How much an input may weigh: a larger scale is a weaker regularisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Multiplies the embedding.
    pub embedding: f32,
    /// Multiplies the standardised signals.
    pub signals: f32,
}

/// The affine map from `x` (embedding and bounded signals) to the scale that fitting likes.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    bounds: Bounds,
    scales: Scales,
    dimension: usize,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Design {
    /// Standardises by the means and deviations of these prompts.
    #[must_use]
    pub fn of(features: &Features, bounds: &Bounds, scales: Scales) -> Self {
        let moments = Moments::of(features);
        let (mean, deviation) =
            (0..SIGNALS).map(|at| moments.at(at)).map(|[mean, deviation, ..]| (mean, deviation + 1e-3)).unzip();
        Self { bounds: bounds.clone(), scales, dimension: features.dimension(), mean, deviation }
    }

    /// How many numbers a row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.dimension + SIGNALS
    }

    /// The scaled row of a prompt.
    #[must_use]
    pub fn row(&self, features: &Features, row: usize) -> Vec<f32> {
        let mut z = features.embedding(row);
        for x in &mut z {
            *x *= self.scales.embedding;
        }
        let signals = self.bounds.cut(&features.signals(row));
        let moments = self.mean.iter().zip(&self.deviation);
        z.extend(
            signals.iter().zip(moments).map(|(x, (mean, deviation))| self.scales.signals * (x - mean) / deviation),
        );
        z
    }

    /// The scaled rows of these prompts.
    #[must_use]
    pub fn matrix(&self, features: &Features, rows: &[usize]) -> Matrix {
        let mut matrix = Matrix { columns: self.columns(), values: Vec::with_capacity(rows.len() * self.columns()) };
        for &row in rows {
            matrix.values.extend(self.row(features, row));
        }
        matrix
    }

    /// Turns weights on scaled rows into weights and bias on `x`.
    #[must_use]
    pub fn fold(&self, weights: &[f32], bias: f32) -> (Vec<f32>, f32) {
        let mut bias = f64::from(bias);
        let mut folded: Vec<f32> = weights.iter().take(self.dimension).map(|w| w * self.scales.embedding).collect();
        let moments = self.mean.iter().zip(&self.deviation);
        for (w, (mean, deviation)) in weights.iter().skip(self.dimension).zip(moments) {
            let w = w * self.scales.signals / deviation;
            bias -= f64::from(w) * f64::from(*mean);
            folded.push(w);
        }
        (folded, bias as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::embedding::dot;
    use crate::train::testing::signals_of;

    #[test]
    fn folded_weights_give_the_same_score_on_raw_inputs() {
        let mut features = Features::new(2);
        for text in ["Add 1 and 2.", "Write a long story about the sea, please!", "def f(x): return x", "A) yes\nB) no"]
        {
            features.push(Some(&[0.6, 0.8]), signals_of(text));
        }
        let bounds = Bounds::of(&[&features]);
        let design = Design::of(&features, &bounds, Scales { embedding: 4.0, signals: 0.5 });
        let weights: Vec<f32> = (0..design.columns()).map(|at| (at as f32 * 0.7).sin()).collect();

        let (folded, bias) = design.fold(&weights, 0.3);

        for row in 0..features.len() {
            let mut x = features.embedding(row);
            x.extend(bounds.cut(&features.signals(row)));
            let scaled = dot(&design.row(&features, row), &weights) + 0.3;
            assert!((dot(&x, &folded) + bias - scaled).abs() < 1e-3);
        }
    }
}
