//! The correction of the heads by labels, and how far it goes.

use crate::domain::calibration::Calibrator;
use crate::model::heads::graph::{HeadsGraph, LOCAL_MARGIN};
use crate::train::adapt::basis::Basis;
use crate::train::adapt::evidence::{Summing, Sums};
use crate::train::adapt::maps::{as_platt, line};
use crate::train::adapt::movers::{Mover, Row, mean, movers};
use crate::train::adapt::{Experience, Placed};
use crate::train::error::TrainError;
use crate::train::fit::gain::LENGTH;
use crate::train::metrics::log_loss;
use crate::train::outcomes::digest;
use crate::train::progress::{Phase, Progress, step};

/// Parts of the cross-validation.
const FOLDS: usize = 5;
/// Widths of the prior on what all models share, and on what tells strong from weak, in units of the noise.
const WIDTHS: ([f64; 5], [f64; 5]) = ([0.0, 0.05, 0.15, 0.5, 1.5], [0.0, 0.02, 0.07, 0.2, 0.7]);
/// Widths for a model's level, for how much of the base's spread is kept, and for the length.
const LEVEL_WIDTH: f64 = 0.3;
const KEEP_WIDTHS: (f64, f64) = (0.5, 0.1);
const LENGTH_WIDTHS: (f64, f64) = (0.002, 0.006);
/// What one deviation of length adds to the gain of the strongest over the weakest before labels say otherwise: the longer of two
/// prompts of the same kind gains more. Only on heads that no labels moved before.
const LENGTH_GAIN: f64 = 0.05;
/// Columns besides levels and basis: two for the base's spread, two for the length.
const SCALARS: usize = 4;

/// The weights of a correction.
#[derive(Clone, Debug)]
struct Weights {
    levels: Vec<f64>,
    keep: [f64; 2],
    length: [f64; 2],
    shared: Vec<f64>,
    gain: Vec<f64>,
}

/// A correction to be fitted: labels, the base's opinion, and what it may depend on.
pub(super) struct Correction<'a> {
    basis: Basis,
    /// A row in the basis and the standardised length of every prompt.
    rows: Vec<(Vec<f64>, f64)>,
    /// The base's calibrated probabilities by prompt and position.
    priors: Vec<Vec<f64>>,
    labels: Vec<Row>,
    movers: Vec<Mover>,
    maps: Vec<(f64, f64)>,
    prior_length: f64,
    stems: &'a [u64],
    placed: &'a Placed,
    seed: u64,
}

/// What a fit found.
pub(super) struct Fitted {
    /// Probabilities of every prompt by heads that were not fitted on its question; the base's where nothing moves.
    pub(super) held_out: Vec<Vec<f64>>,
    /// Log-loss of the base on the labels.
    pub(super) base_loss: f64,
    /// Log-loss of the held-out probabilities.
    pub(super) loss: f64,
    /// How firmly the correction is held, in labels that say nothing; `None` if the base was better and stays.
    pub(super) penalty: Option<f64>,
    weights: Weights,
}

impl<'a> Correction<'a> {
    /// Gathers rows. `movers` are the positions that have enough labels of their own.
    pub(super) fn of(
        (heads, success): (&HeadsGraph, &[Calibrator]),
        (experience, placed): (&'a Experience, &'a Placed),
        seed: u64,
    ) -> Result<Self, TrainError> {
        let basis = Basis::of(heads, &experience.features, seed)?;
        let (mut rows, mut priors, mut logits) = (Vec::new(), Vec::new(), Vec::new());
        for prompt in 0..experience.ids.len() {
            let (embedding, signals) = (experience.features.embedding(prompt), experience.features.signals(prompt));
            let outputs = heads.apply(&embedding, &signals);
            let mapped = success.iter().zip(&outputs.success);
            priors.push(mapped.map(|(map, &logit)| map.apply(f64::from(logit)).get()).collect::<Vec<f64>>());
            logits.push(outputs.success);
            let bounded = heads.input(&[], &signals);
            let length = basis.standardised(&bounded).get(LENGTH).copied().unwrap_or(0.0);
            rows.push((basis.row(&basis.local.features(&embedding, &bounded)), length));
        }
        let maps = success.iter().enumerate().map(|(position, map)| {
            let of = logits.iter().filter_map(|logits| logits.get(position)).copied();
            if heads.local.is_some() { line(map, of) } else { as_platt(map, of) }
        });
        let maps = maps.collect();
        let (movers, labels) = movers(placed, &priors);
        let prior_length = if heads.local.is_none() { LENGTH_GAIN } else { 0.0 };
        Ok(Self { basis, rows, priors, labels, movers, maps, prior_length, stems: &experience.stems, placed, seed })
    }

    fn columns(&self) -> usize {
        self.movers.len() + SCALARS + 2 * self.basis.columns()
    }

    /// The row of a label: levels, spread kept (shared, by place), length (shared, by place), basis (shared, by place).
    fn row(&self, label: &Row) -> Vec<f64> {
        let mut row = vec![0.0; self.movers.len()];
        if let Some(level) = row.get_mut(label.mover) {
            *level = 1.0;
        }
        let Some(mover) = self.movers.get(label.mover) else { return row };
        let (prior, length, basis) = self.at(label.prompt, mover.position);
        let spread = prior - mover.centre;
        row.extend([spread, mover.place * spread, length, mover.place * length]);
        row.extend_from_slice(basis);
        row.extend(basis.iter().map(|x| mover.place * x));
        row
    }

    /// The base's probability, the length and the basis row of a prompt.
    fn at(&self, prompt: usize, position: usize) -> (f64, f64, &[f64]) {
        let prior = self.priors.get(prompt).and_then(|priors| priors.get(position)).copied().unwrap_or(0.5);
        let (basis, length) =
            self.rows.get(prompt).map_or((&[][..], 0.0), |(basis, length)| (basis.as_slice(), *length));
        (prior, length, basis)
    }

    /// Fits on all labels, and once more without each part for the held-out probabilities.
    pub(super) fn fit(&self, progress: &dyn Progress) -> Result<Fitted, TrainError> {
        let mut parts: Vec<Summing> = (0..FOLDS).map(|_| Summing::new(self.columns())).collect();
        for (done, label) in self.labels.iter().enumerate() {
            if done.is_multiple_of(1024) {
                step(progress, Phase::Fit, (done, self.labels.len()))?;
            }
            let Some(mover) = self.movers.get(label.mover) else { continue };
            let (prior, length, _) = self.at(label.prompt, mover.position);
            let target = label.score - prior - self.prior_length * mover.place * length;
            if let Some(part) = parts.get_mut(self.fold_of(label.prompt)) {
                part.add(&self.row(label), (target, label.weight))?;
            }
        }
        let parts = parts.into_iter().map(Summing::finish).collect::<Result<Vec<Sums>, _>>()?;
        let mut all = Summing::new(self.columns()).finish()?;
        for part in &parts {
            all.add(part, 1.0);
        }
        let (weights, widths) = self.average(&all, progress)?;
        let mut held_out = self.priors.clone();
        for (fold, part) in parts.iter().enumerate() {
            step(progress, Phase::Fit, (fold, FOLDS))?;
            let mut rest = all.clone();
            rest.add(part, -1.0);
            let (weights, _) = rest.fit(&self.widths(widths))?;
            let weights = self.split(&weights);
            for (prompt, held_out) in held_out.iter_mut().enumerate() {
                if self.fold_of(prompt) == fold {
                    for (mover, level) in self.movers.iter().zip(&weights.levels) {
                        let moved = self.moved(prompt, (mover, *level), &weights);
                        if let Some(to) = held_out.get_mut(mover.position) {
                            *to = moved;
                        }
                    }
                }
            }
        }
        let (base_loss, loss) = (self.loss(&self.priors), self.loss(&held_out));
        let penalty = (loss < base_loss).then(|| 1.0 / widths.0.max(1e-3));
        let held_out = if penalty.is_some() { held_out } else { self.priors.clone() };
        Ok(Fitted { held_out, base_loss, loss: loss.min(base_loss), penalty, weights })
    }

    fn fold_of(&self, prompt: usize) -> usize {
        let stem = self.stems.get(prompt).copied().unwrap_or(0);
        (digest(&format!("{}/{stem}", self.seed)) % FOLDS as u64) as usize
    }

    /// Weights by every pair of widths, each counted as much as the evidence speaks for it, and the mean widths.
    fn average(&self, sums: &Sums, progress: &dyn Progress) -> Result<(Weights, (f64, f64)), TrainError> {
        let gains =
            if self.movers.iter().all(|mover| mover.place == 0.0) { WIDTHS.1.get(..1) } else { WIDTHS.1.get(..) };
        let mut found = Vec::new();
        for (done, shared) in WIDTHS.0.into_iter().enumerate() {
            step(progress, Phase::Fit, (done, WIDTHS.0.len()))?;
            for &gain in gains.unwrap_or_default() {
                let (weights, evidence) = sums.fit(&self.widths((shared, gain)))?;
                found.push(((shared, gain), weights, evidence));
            }
        }
        let best = found.iter().map(|(_, _, evidence)| *evidence).fold(f64::NEG_INFINITY, f64::max);
        let mut mean = vec![0.0; self.columns()];
        let (mut shared, mut gain, mut total) = (0.0, 0.0, 0.0);
        for (widths, weights, evidence) in &found {
            let share = (evidence - best).exp();
            total += share;
            shared += share * widths.0;
            gain += share * widths.1;
            for (to, from) in mean.iter_mut().zip(weights) {
                *to += share * from;
            }
        }
        for weight in &mut mean {
            *weight /= total;
        }
        Ok((self.split(&mean), (shared / total, gain / total)))
    }

    fn widths(&self, (shared, gain): (f64, f64)) -> Vec<f64> {
        let mut widths = vec![LEVEL_WIDTH; self.movers.len()];
        widths.extend([KEEP_WIDTHS.0, KEEP_WIDTHS.1, LENGTH_WIDTHS.0, LENGTH_WIDTHS.1]);
        widths.extend(std::iter::repeat_n(shared, self.basis.columns()));
        widths.extend(std::iter::repeat_n(gain, self.basis.columns()));
        widths
    }

    fn split(&self, weights: &[f64]) -> Weights {
        let (levels, rest) = weights.split_at(self.movers.len().min(weights.len()));
        let scalar = |at: usize| rest.get(at).copied().unwrap_or(0.0);
        let half = self.basis.columns();
        let part = |from: usize| rest.get(from..from + half).unwrap_or_default().to_vec();
        Weights {
            levels: levels.to_vec(),
            keep: [scalar(0), scalar(1)],
            length: [scalar(2), scalar(3) + self.prior_length],
            shared: part(SCALARS),
            gain: part(SCALARS + half),
        }
    }

    /// The corrected probability of a position that moves like this.
    fn moved(&self, prompt: usize, (mover, level): (&Mover, f64), weights: &Weights) -> f64 {
        let (prior, length, basis) = self.at(prompt, mover.position);
        let dot = |weights: &[f64]| weights.iter().zip(basis).map(|(w, x)| w * x).sum::<f64>();
        let keep = keep(weights, mover.place);
        let along = weights.length[0] + mover.place * weights.length[1];
        let shift = dot(&weights.shared) + mover.place * dot(&weights.gain);
        let moved = keep * prior + (1.0 - keep) * mover.centre + level + along * length + shift;
        moved.clamp(f64::from(LOCAL_MARGIN), 1.0 - f64::from(LOCAL_MARGIN))
    }

    fn loss(&self, probabilities: &[Vec<f64>]) -> f64 {
        let of = |label: &Row| {
            let position = self.movers.get(label.mover)?.position;
            Some((*probabilities.get(label.prompt)?.get(position)?, label.score))
        };
        log_loss(&self.labels.iter().filter_map(of).collect::<Vec<_>>())
    }

    /// Writes the correction into the heads, for the positions with labels and for every tier: what labels say about the prompts holds
    /// for tiers that they do not name too. Maps that moved are part of the heads afterwards.
    pub(super) fn write(&self, fitted: &Fitted, (heads, success): (&mut HeadsGraph, &mut [Calibrator])) {
        let had_local = heads.local.is_some();
        let mut local = self.basis.local.clone();
        let followers = self.followers(&fitted.weights);
        let movers = self.movers.iter().copied().zip(fitted.weights.levels.iter().copied());
        for (mover, level) in movers.chain(followers) {
            let at = mover.position;
            let Some(map) = self.maps.get(at).copied() else { continue };
            let weights = &fitted.weights;
            let keep = keep(weights, mover.place);
            let basis: Vec<f64> =
                weights.shared.iter().zip(&weights.gain).map(|(shared, gain)| shared + mover.place * gain).collect();
            let along = weights.length[0] + mover.place * weights.length[1];
            let (folded, bias) = self.basis.fold(&basis, (LENGTH, along));
            let bias = bias + level + (1.0 - keep) * mover.centre;
            // The map is folded in: as logits where this is the first correction, as probabilities where it is another.
            let (scale, offset) = if had_local { map } else { (1.0, 0.0) };
            if !had_local && let (Some(slope), Some(intercept)) = (local.slope.get_mut(at), local.intercept.get_mut(at))
            {
                (*slope, *intercept) = (map.0 as f32, map.1 as f32);
            }
            if let Some(to) = local.keep.get_mut(at) {
                *to *= (keep * scale) as f32;
            }
            let row = local.shift.weights.get_mut(at * local.shift.inputs..(at + 1) * local.shift.inputs);
            for (to, from) in row.unwrap_or_default().iter_mut().zip(&folded) {
                *to = (f64::from(*to) * keep * scale + from) as f32;
            }
            if let Some(to) = local.shift.bias.get_mut(at) {
                *to = ((f64::from(*to) * scale + offset) * keep + bias) as f32;
            }
            if let Some(map) = success.get_mut(at) {
                *map = Calibrator::IDENTITY;
            }
        }
        heads.local = Some(local);
    }

    /// Tiers that move with the models: their level by the labels of their models, where there are any, else as the others on average.
    fn followers(&self, weights: &Weights) -> Vec<(Mover, f64)> {
        let tiers = self.placed.space.tiers().len();
        let moving = weights.levels.len().max(1) as f64;
        let usual = weights.levels.iter().sum::<f64>() / moving;
        let mut followers = Vec::new();
        for position in (0..tiers).filter(|tier| self.movers.iter().all(|mover| mover.position != *tier)) {
            let place = if self.movers.iter().all(|mover| mover.place == 0.0) {
                0.0
            } else {
                position as f64 / (tiers.max(2) - 1) as f64 - 0.5
            };
            let centre = mean(self.priors.iter().filter_map(|priors| priors.get(position)).copied()).unwrap_or(0.5);
            let mover = Mover { position, place, centre };
            let (mut sum, mut count) = (usual / LEVEL_WIDTH, 1.0 / LEVEL_WIDTH);
            for (prompt, labels) in self.placed.labels.iter().enumerate() {
                for &(_, score, weight) in labels.iter().filter(|label| label.0 == position) {
                    sum += f64::from(weight) * (f64::from(score) - self.moved(prompt, (&mover, 0.0), weights));
                    count += f64::from(weight);
                }
            }
            followers.push((mover, sum / count));
        }
        followers
    }
}

/// How much of the base's spread stays: none at least, and no more than twice.
fn keep(weights: &Weights, place: f64) -> f64 {
    (1.0 + weights.keep[0] + place * weights.keep[1]).clamp(0.0, 2.0)
}
