//! Which positions move by their own labels, and where they stand between weak and strong.

use crate::train::adapt::{LEAST_VERDICTS, Placed};

/// How many labels of the base's opinion a model's mean starts with.
const MEAN_HOLD: f64 = 4.0;

/// One label of a model that moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) prompt: usize,
    /// Place among the models that move.
    pub(super) mover: usize,
    pub(super) score: f64,
    pub(super) weight: f64,
}

/// A position that moves by its own labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mover {
    pub(super) position: usize,
    /// Between weak, −½, and strong, ½.
    pub(super) place: f64,
    /// The mean of the base's probability over its labels.
    pub(super) centre: f64,
}

/// The positions that move, with their labels: models with enough of them, and tiers that hold what is left over.
pub(super) fn movers(placed: &Placed, priors: &[Vec<f64>]) -> (Vec<Mover>, Vec<Row>) {
    let mut found: Vec<(usize, Vec<Row>)> = Vec::new();
    for (prompt, labels) in placed.movers.iter().enumerate() {
        for &(position, score, weight) in labels {
            let at = found.iter().position(|(known, _)| *known == position).unwrap_or_else(|| {
                found.push((position, Vec::new()));
                found.len() - 1
            });
            if let Some((_, rows)) = found.get_mut(at) {
                rows.push(Row { prompt, mover: 0, score: f64::from(score), weight: f64::from(weight) });
            }
        }
    }
    found.retain(|(_, rows)| rows.len() >= LEAST_VERDICTS);
    found.sort_by_key(|(position, _)| *position);
    let prior = |row: &Row, position: usize| {
        priors.get(row.prompt).and_then(|priors| priors.get(position)).copied().unwrap_or(0.5)
    };
    let levels: Vec<(f64, f64)> = found
        .iter()
        .map(|(position, rows)| {
            let centre = mean(rows.iter().map(|row| prior(row, *position))).unwrap_or(0.5);
            let (sum, weight) =
                rows.iter().fold((0.0, 0.0), |(sum, total), row| (sum + row.weight * row.score, total + row.weight));
            (centre, (sum + MEAN_HOLD * centre) / (weight + MEAN_HOLD))
        })
        .collect();
    let low = levels.iter().map(|level| level.1).fold(f64::INFINITY, f64::min);
    let high = levels.iter().map(|level| level.1).fold(f64::NEG_INFINITY, f64::max);
    let (mut movers, mut all) = (Vec::new(), Vec::new());
    for ((position, rows), (centre, level)) in found.into_iter().zip(levels) {
        let place = if high - low > 1e-9 { (level - low) / (high - low) - 0.5 } else { 0.0 };
        all.extend(rows.into_iter().map(|row| Row { mover: movers.len(), ..row }));
        movers.push(Mover { position, place, centre });
    }
    (movers, all)
}

/// The mean; `None` without values.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}
