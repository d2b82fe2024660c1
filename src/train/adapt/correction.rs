//! The correction of the heads, and how strongly it is held to the base.

use crate::domain::calibration::Calibrator;
use crate::domain::probability::sigmoid;
use crate::train::adapt::{Experience, LEAST_VERDICTS, MOST_FOR_CHOICE, Placed};
use crate::train::calibrate::{Hold, Observation, platt};
use crate::train::error::TrainError;
use crate::train::fit::Matrix;
use crate::train::fit::design::{Bounds, Design, Scales};
use crate::train::fit::gain::epochs_for;
use crate::train::fit::linear::{self, Descent, Loss, Targets};
use crate::train::graph::{FIXED_OUTPUTS, HeadsGraph};
use crate::train::metrics::log_loss;
use crate::train::outcomes::digest;
use crate::train::progress::Progress;

/// Penalties that are tried, in rows that say nothing changed.
const PENALTIES: [f64; 5] = [1.0, 5.0, 25.0, 125.0, 1000.0];
/// Parts of the cross-validation.
const FOLDS: u64 = 5;

/// The correction of the heads, as a logistic fit with the base's calibrated logits as offsets.
pub(super) struct Correction<'a> {
    rows: Matrix,
    targets: Targets,
    design: Design,
    maps: Vec<(f64, f64)>,
    stems: &'a [u64],
    counts: &'a [usize],
}

impl<'a> Correction<'a> {
    pub(super) fn of(
        heads: &HeadsGraph,
        success: &[Calibrator],
        (experience, placed): (&'a Experience, &'a Placed),
    ) -> Self {
        let bounds = Bounds { low: heads.low.clone(), high: heads.high.clone() };
        let design = Design::of(&experience.features, &bounds, Scales { embedding: 4.0, signals: 0.5 });
        let all: Vec<usize> = (0..experience.ids.len()).collect();
        let outputs: Vec<_> = all
            .iter()
            .map(|&row| heads.apply(&experience.features.embedding(row), &experience.features.signals(row)))
            .collect();
        let maps: Vec<(f64, f64)> = success
            .iter()
            .enumerate()
            .map(|(position, map)| {
                as_platt(map, outputs.iter().filter_map(|output| output.success.get(position)).copied())
            })
            .collect();
        let positions = maps.len();
        let empty = || Matrix { columns: positions, values: Vec::with_capacity(all.len() * positions) };
        let (mut labels, mut weights, mut offsets) = (empty(), empty(), empty());
        for (outputs, placed_labels) in outputs.iter().zip(&placed.labels) {
            let (mut label, mut weight) = (vec![0.0; positions], vec![0.0; positions]);
            for &(position, score, count) in placed_labels {
                if let (Some(l), Some(w)) = (label.get_mut(position), weight.get_mut(position)) {
                    (*l, *w) = (score, count);
                }
            }
            labels.push(&label);
            weights.push(&weight);
            let mapped = outputs.success.iter().zip(&maps);
            let offset: Vec<f32> =
                mapped.map(|(logit, (slope, intercept))| *logit * *slope as f32 + *intercept as f32).collect();
            offsets.push(&offset);
        }
        let targets = Targets { labels, weights, offsets: Some(offsets) };
        let rows = design.matrix(&experience.features, &all);
        Self { rows, targets, design, maps, stems: &experience.stems, counts: &placed.counts }
    }

    /// Fits on some prompts: one row of weights and one bias per position, zero where the position does not move.
    pub(super) fn solve(
        &self,
        prompts: &[usize],
        (penalty, seed): (f64, u64),
        progress: &dyn Progress,
    ) -> Result<(Matrix, Vec<f32>), TrainError> {
        let moving: Vec<usize> = (0..self.maps.len()).filter(|&position| self.moves(position)).collect();
        let part = |matrix: &Matrix| matrix.select(prompts).select_columns(&moving);
        let targets = Targets {
            labels: part(&self.targets.labels),
            weights: part(&self.targets.weights),
            offsets: self.targets.offsets.as_ref().map(part),
        };
        let rows = self.rows.select(prompts);
        let epochs = epochs_for(rows.rows(), 256);
        let descent = Descent { epochs, batch: 256, rate: 0.02, penalty: penalty / rows.rows().max(1) as f64, seed };
        let (found, found_bias) = linear::fit(&rows, &targets, (Loss::Success, descent), progress)?;
        let mut weights = Matrix { columns: rows.columns, values: vec![0.0; rows.columns * self.maps.len()] };
        let mut bias = vec![0.0; self.maps.len()];
        for (at, &position) in moving.iter().enumerate() {
            let to = weights.values.get_mut(position * rows.columns..(position + 1) * rows.columns).unwrap_or_default();
            to.copy_from_slice(found.row(at));
            if let (Some(to), Some(from)) = (bias.get_mut(position), found_bias.get(at)) {
                *to = *from;
            }
        }
        Ok((weights, bias))
    }

    /// The corrected logit of a position on a prompt; the base's where the position has too few verdicts to move.
    fn corrected(&self, prompt: usize, position: usize, fitted: Option<(&Matrix, &[f32])>) -> f64 {
        let offset = self.targets.offsets.as_ref().and_then(|offsets| offsets.row(prompt).get(position).copied());
        let offset = f64::from(offset.unwrap_or(0.0));
        match fitted {
            Some((weights, bias)) if self.moves(position) => {
                let step = crate::domain::embedding::dot(weights.row(position), self.rows.row(prompt));
                offset + f64::from(step + bias.get(position).copied().unwrap_or(0.0))
            }
            Some(_) | None => offset,
        }
    }

    fn moves(&self, position: usize) -> bool {
        self.counts.get(position).is_some_and(|&count| count >= LEAST_VERDICTS)
    }

    /// Chooses the penalty by cross-validation. Gives it, the held-out logits of every prompt, and the log-losses of base and choice.
    pub(super) fn choose(
        &self,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<(Option<f64>, Matrix, f64, f64), TrainError> {
        let positions = self.maps.len();
        let all: Vec<usize> = (0..self.rows.rows()).collect();
        let few = all.get(..MOST_FOR_CHOICE.min(all.len())).unwrap_or_default();
        let base = self.loss(few, |prompt, position| self.corrected(prompt, position, None));
        let mut best = (base, None);
        if (0..positions).any(|position| self.moves(position)) {
            for penalty in PENALTIES {
                let held_out = self.held_out(few, (penalty, seed), progress)?;
                let loss = self.loss(few, |prompt, position| {
                    f64::from(held_out.row(prompt).get(position).copied().unwrap_or(0.0))
                });
                if loss < best.0 {
                    best = (loss, Some(penalty));
                }
            }
        }
        let held_out = match best.1 {
            Some(penalty) => self.held_out(&all, (penalty, seed), progress)?,
            None => self.targets.offsets.clone().unwrap_or_default(),
        };
        Ok((best.1, held_out, base, best.0))
    }

    /// The logits of prompts by corrections that were fitted without their question.
    fn held_out(
        &self,
        prompts: &[usize],
        (penalty, seed): (f64, u64),
        progress: &dyn Progress,
    ) -> Result<Matrix, TrainError> {
        let fold_of =
            |prompt: usize| digest(&format!("{seed}/{}", self.stems.get(prompt).copied().unwrap_or(0))) % FOLDS;
        let mut logits = self.targets.offsets.clone().unwrap_or_default();
        for fold in 0..FOLDS {
            let (out, rest): (Vec<usize>, Vec<usize>) = prompts.iter().partition(|&&prompt| fold_of(prompt) == fold);
            let (weights, bias) = self.solve(&rest, (penalty, seed), progress)?;
            for prompt in out {
                let row = prompt * logits.columns;
                for position in 0..logits.columns {
                    let corrected = self.corrected(prompt, position, Some((&weights, &bias)));
                    if let Some(to) = logits.values.get_mut(row + position) {
                        *to = corrected as f32;
                    }
                }
            }
        }
        Ok(logits)
    }

    /// The log-loss over labels of some prompts.
    fn loss(&self, prompts: &[usize], value: impl Fn(usize, usize) -> f64) -> f64 {
        let mut items = Vec::new();
        for &prompt in prompts {
            let labels = self.targets.labels.row(prompt).iter().zip(self.targets.weights.row(prompt)).enumerate();
            for (position, (label, _)) in labels.filter(|(_, (_, weight))| **weight > 0.0) {
                items.push((sigmoid(value(prompt, position)), f64::from(*label)));
            }
        }
        log_loss(&items)
    }

    /// Adds the correction to the heads, in the heads' own scale, and makes every map that moved a Platt one.
    pub(super) fn write(&self, weights: &Matrix, bias: &[f32], (heads, success): (&mut HeadsGraph, &mut [Calibrator])) {
        for (position, &(slope, intercept)) in
            self.maps.iter().enumerate().filter(|(position, _)| self.moves(*position))
        {
            let scaled: Vec<f32> = weights.row(position).iter().map(|w| w / slope as f32).collect();
            let bias = bias.get(position).copied().unwrap_or(0.0) / slope as f32;
            let (folded, bias) = self.design.fold(&scaled, bias);
            heads.outputs.add(FIXED_OUTPUTS + position, &folded, bias);
            if let Some(map) = success.get_mut(position) {
                *map = Calibrator::Platt { slope, intercept };
            }
        }
    }
}

/// Slope and intercept of a map; an isotonic one is followed as well as two numbers can. The slope is kept away from zero, since a
/// correction is divided by it.
fn as_platt(map: &Calibrator, logits: impl Iterator<Item = f32>) -> (f64, f64) {
    let (slope, intercept) = match map {
        Calibrator::Platt { slope, intercept } => (*slope, *intercept),
        Calibrator::Isotonic { .. } => {
            let observe = |logit: f32| {
                let logit = f64::from(logit);
                Observation { logit, score: map.apply(logit).get(), weight: 1.0 }
            };
            match platt(&logits.map(observe).collect::<Vec<_>>(), Hold::LIGHT) {
                Calibrator::Platt { slope, intercept } => (slope, intercept),
                Calibrator::Isotonic { .. } => (1.0, 0.0),
            }
        }
    };
    (slope.max(0.1), intercept)
}
