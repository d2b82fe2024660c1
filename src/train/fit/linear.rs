//! Affine heads by gradient descent: success logits and quantiles of the answer's length.

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use crate::train::error::TrainError;
use crate::train::fit::{Matrix, batches};
use crate::train::progress::{Phase, Progress, step};

/// How long and how hard to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows per step.
    pub batch: usize,
    /// The first step size; it falls to a tenth along a cosine.
    pub rate: f64,
    /// The penalty on squared weights, relative to a mean loss per row. The bias is free.
    pub penalty: f64,
    /// Shuffles the rows.
    pub seed: u64,
}

/// What the outputs should be, row by row; `weights` zero where a label is missing.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The labels, one column per output.
    pub labels: Matrix,
    /// How much each label counts.
    pub weights: Matrix,
    /// A logit known beforehand, added to the output. `None` for zero.
    pub offsets: Option<Matrix>,
}

/// The kinds of label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Labels in 0..1, outputs are logits: cross-entropy.
    Success,
    /// Labels are numbers; the first output is their median, the second their 90th percentile: pinball loss.
    Quantiles,
}

/// Fits one affine row per column of the labels. Gives the weights, row after row, and the biases.
///
/// # Errors
/// Numeric failure and interruption.
pub fn fit(
    rows: &Matrix,
    targets: &Targets,
    (loss, descent): (Loss, Descent),
    progress: &dyn Progress,
) -> Result<(Matrix, Vec<f32>), TrainError> {
    let wrap = TrainError::fit(match loss {
        Loss::Success => "the success heads",
        Loss::Quantiles => "the answer-length head",
    });
    let outputs = targets.labels.columns;
    let start = start_bias(targets, loss);
    let build = || -> candle_core::Result<(Var, Var, AdamW)> {
        let weights =
            Var::from_tensor(&Tensor::zeros((rows.columns, outputs), candle_core::DType::F32, &Device::Cpu)?)?;
        let bias = Var::from_tensor(&Tensor::from_vec(start, (1, outputs), &Device::Cpu)?)?;
        let settings = ParamsAdamW { lr: descent.rate, weight_decay: 0.0, ..ParamsAdamW::default() };
        let optimiser = AdamW::new(vec![weights.clone(), bias.clone()], settings)?;
        Ok((weights, bias, optimiser))
    };
    let (weights, bias, mut optimiser) = build().map_err(&wrap)?;
    let steps = descent.epochs * rows.rows().div_ceil(descent.batch.max(1));
    let mut done = 0;
    for epoch in 0..descent.epochs {
        for batch in batches(rows.rows(), descent.batch, descent.seed.wrapping_add(epoch as u64)) {
            step(progress, Phase::Fit, (done, steps))?;
            optimiser.set_learning_rate(rate(descent.rate, (done, steps)));
            let mut advance = || -> candle_core::Result<()> {
                let x = tensor(&rows.select(&batch))?;
                let mut output = x.matmul(weights.as_tensor())?.broadcast_add(bias.as_tensor())?;
                if let Some(offsets) = &targets.offsets {
                    output = (output + tensor(&offsets.select(&batch))?)?;
                }
                let (labels, counts) =
                    (tensor(&targets.labels.select(&batch))?, tensor(&targets.weights.select(&batch))?);
                let losses = match loss {
                    Loss::Success => cross_entropy(&output, &labels)?,
                    Loss::Quantiles => pinball(&output, &labels)?,
                };
                let data = ((losses * counts)?.sum_all()? / batch.len().max(1) as f64)?;
                let penalty = (weights.as_tensor().sqr()?.sum_all()? * (descent.penalty / 2.0))?;
                optimiser.backward_step(&(data + penalty)?)
            };
            advance().map_err(&wrap)?;
            done += 1;
        }
    }
    let read = || -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
        Ok((
            weights.as_tensor().t()?.contiguous()?.flatten_all()?.to_vec1()?,
            bias.as_tensor().flatten_all()?.to_vec1()?,
        ))
    };
    let (values, bias) = read().map_err(&wrap)?;
    if values.iter().chain(&bias).any(|x| !x.is_finite()) {
        return Err(wrap(candle_core::Error::Msg(
            "the fit did not converge; check the inputs for odd values".to_owned(),
        )));
    }
    Ok((Matrix { columns: rows.columns, values }, bias))
}

/// The step size along a cosine from the first to a tenth of it.
pub(crate) fn rate(first: f64, (done, steps): (usize, usize)) -> f64 {
    let along = done as f64 / steps.max(1) as f64;
    first * (0.1 + 0.45 * (1.0 + (std::f64::consts::PI * along).cos()))
}

pub(crate) fn tensor(matrix: &Matrix) -> candle_core::Result<Tensor> {
    Tensor::from_slice(&matrix.values, (matrix.rows(), matrix.columns), &Device::Cpu)
}

/// `max(z, 0) − z·y + ln(1 + exp(−|z|))`, safe for any logit and any label in 0..1.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (logits.relu()? - (logits * labels)?)? + tail
}

/// `max(q·e, (q − 1)·e)` with `e` the label minus the output, for q of one half and nine tenths.
fn pinball(outputs: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
    let error = (labels - outputs)?;
    let quantiles = Tensor::new(&[[0.5_f32, 0.9]], &Device::Cpu)?;
    let above = error.broadcast_mul(&quantiles)?;
    // max(q·e, (q − 1)·e) = q·e + relu(−e)
    above + error.neg()?.relu()?
}

/// Where the biases start: the mean label, as a logit for success.
fn start_bias(targets: &Targets, loss: Loss) -> Vec<f32> {
    let columns = targets.labels.columns;
    let mut sums = vec![(0.0_f64, 0.0_f64); columns];
    for (at, (label, weight)) in targets.labels.values.iter().zip(&targets.weights.values).enumerate() {
        if let Some((sum, total)) = sums.get_mut(at % columns.max(1)) {
            *sum += f64::from(*label) * f64::from(*weight);
            *total += f64::from(*weight);
        }
    }
    let start = |(sum, total): (f64, f64)| match loss {
        Loss::Success if targets.offsets.is_some() || total <= 0.0 => 0.0,
        Loss::Success => crate::domain::probability::logit(sum / total) as f32,
        Loss::Quantiles => (sum / total.max(1e-9)) as f32,
    };
    sums.into_iter().map(start).collect()
}
