//! The task head: one hidden layer, fitted by gradient descent.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::heads::graph::Affine;
use crate::train::error::TrainError;
use crate::train::fit::linear::{Descent, rate, tensor};
use crate::train::fit::{Matrix, batches};
use crate::train::progress::{Phase, Progress, step};

/// Labelled rows: the class of each row and how much it counts.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a> {
    /// The class of each row.
    pub labels: &'a [usize],
    /// How much each row counts.
    pub weights: &'a [f32],
    /// How many classes there are.
    pub count: usize,
}

/// Fits `second(relu(first(row)))` to the classes by cross-entropy.
///
/// # Errors
/// Numeric failure and interruption.
pub fn fit(
    rows: &Matrix,
    classes: Classes<'_>,
    (units, descent): (usize, Descent),
    progress: &dyn Progress,
) -> Result<(Affine, Affine), TrainError> {
    let wrap = TrainError::fit("the task head");
    let mut random = StdRng::seed_from_u64(descent.seed);
    let mut build = || -> candle_core::Result<([Var; 4], AdamW)> {
        let first = uniform((rows.columns, units), &mut random)?;
        let second = uniform((units, classes.count), &mut random)?;
        let zeros = |n: usize| Var::from_tensor(&Tensor::zeros((1, n), DType::F32, &Device::Cpu)?);
        let variables = [first, zeros(units)?, second, zeros(classes.count)?];
        let settings = ParamsAdamW { lr: descent.rate, weight_decay: 0.0, ..ParamsAdamW::default() };
        Ok((variables.clone(), AdamW::new(variables.to_vec(), settings)?))
    };
    let ([first, first_bias, second, second_bias], mut optimiser) = build().map_err(&wrap)?;
    let steps = descent.epochs * rows.rows().div_ceil(descent.batch.max(1));
    let mut done = 0;
    for epoch in 0..descent.epochs {
        for batch in batches(rows.rows(), descent.batch, descent.seed.wrapping_add(epoch as u64)) {
            step(progress, Phase::Fit, (done, steps))?;
            optimiser.set_learning_rate(rate(descent.rate, (done, steps)));
            let mut advance = || -> candle_core::Result<()> {
                let x = tensor(&rows.select(&batch))?;
                let hidden = x.matmul(first.as_tensor())?.broadcast_add(first_bias.as_tensor())?.relu()?;
                let logits = hidden.matmul(second.as_tensor())?.broadcast_add(second_bias.as_tensor())?;
                let label = |&row: &usize| classes.labels.get(row).copied().unwrap_or(0) as u32;
                let labels = Tensor::from_iter(batch.iter().map(label), &Device::Cpu)?;
                let weight = |&row: &usize| classes.weights.get(row).copied().unwrap_or(0.0);
                let weights = Tensor::from_iter(batch.iter().map(weight), &Device::Cpu)?;
                let log = candle_nn::ops::log_softmax(&logits, 1)?;
                let chosen = log.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
                let data = ((chosen * weights)?.sum_all()?.neg()? / batch.len().max(1) as f64)?;
                let squares = (first.as_tensor().sqr()?.sum_all()? + second.as_tensor().sqr()?.sum_all()?)?;
                let penalty = (squares * (descent.penalty / 2.0 / batch.len().max(1) as f64))?;
                optimiser.backward_step(&(data + penalty)?)
            };
            advance().map_err(&wrap)?;
            done += 1;
        }
    }
    let affine = |weights: &Var, bias: &Var, inputs: usize| -> candle_core::Result<Affine> {
        let weights = weights.as_tensor().t()?.contiguous()?.flatten_all()?.to_vec1()?;
        Ok(Affine { inputs, weights, bias: bias.as_tensor().flatten_all()?.to_vec1()? })
    };
    let read = || Ok((affine(&first, &first_bias, rows.columns)?, affine(&second, &second_bias, units)?));
    read().map_err(wrap)
}

/// Weights drawn evenly within the bound of Glorot and Bengio.
fn uniform((inputs, outputs): (usize, usize), random: &mut StdRng) -> candle_core::Result<Var> {
    let bound = (6.0 / (inputs + outputs) as f32).sqrt();
    let values: Vec<f32> = (0..inputs * outputs).map(|_| random.random_range(-bound..bound)).collect();
    Var::from_tensor(&Tensor::from_vec(values, (inputs, outputs), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::progress::Silent;

    #[test]
    fn learns_what_no_straight_line_separates_and_repeats_itself() {
        let mut rows = Matrix::new(2);
        let mut labels = Vec::new();
        for at in 0..400_usize {
            let (x, y) = ((at % 20) as f32 / 10.0 - 0.95, (at / 20) as f32 / 10.0 - 0.95);
            rows.push(&[x, y]);
            labels.push(usize::from(x * y > 0.0));
        }
        let classes = Classes { labels: &labels, weights: &vec![1.0; 400], count: 2 };
        let descent = Descent { epochs: 150, batch: 64, rate: 0.02, penalty: 0.0, seed: 3 };

        let (first, second) = fit(&rows, classes, (16, descent), &Silent).unwrap();
        let again = fit(&rows, classes, (16, descent), &Silent).unwrap();

        let right = (0..400).filter(|&row| {
            let hidden: Vec<f32> = first.apply(rows.row(row)).iter().map(|x| x.max(0.0)).collect();
            let logits = second.apply(&hidden);
            usize::from(logits[1] > logits[0]) == labels[row]
        });
        assert!(right.count() > 370);
        assert_eq!(again, (first, second));
    }
}
