//! Verdicts by the position of the model that they are of.

use std::collections::{BTreeMap, HashMap};

use crate::domain::calibration::Calibrator;
use crate::domain::ids::ModelName;
use crate::domain::scores::LabelSpace;
use crate::model::heads::graph::HeadsGraph;
use crate::train::adapt::{Experience, LEAST_VERDICTS, Verdict, pick};
use crate::train::base::Base;
use crate::train::tiers::key;

/// Labels of experience by position.
pub(super) struct Placed {
    pub(super) space: LabelSpace,
    /// Position, score and weight: of a model's own position, and of its tier.
    pub(super) labels: Vec<Vec<(usize, f32, f32)>>,
    /// The same, each verdict once: at its model's own position, or at its tier's where the model has too few.
    pub(super) movers: Vec<Vec<(usize, f32, f32)>>,
    pub(super) counts: Vec<usize>,
    pub(super) added: Vec<String>,
    /// The base's position that each started from, its own for those that the base has.
    pub(super) like: Vec<usize>,
}

impl Placed {
    /// The labels of some of the prompts.
    pub(super) fn select(&self, prompts: &[usize]) -> Self {
        Self {
            space: self.space.clone(),
            labels: pick(&self.labels, prompts),
            movers: pick(&self.movers, prompts),
            counts: self.counts.clone(),
            added: self.added.clone(),
            like: self.like.clone(),
        }
    }

    /// What the dial's gain is between: the models with enough verdicts, the weakest first; the tiers where fewer than two have them.
    pub(super) fn rungs(&self, tiers: usize) -> Vec<usize> {
        let mut sums: BTreeMap<usize, (f64, f64, usize)> = BTreeMap::new();
        for &(position, score, weight) in self.movers.iter().flatten().filter(|label| label.0 >= tiers) {
            let (total, weights, count) = sums.entry(position).or_default();
            *total += f64::from(score * weight);
            *weights += f64::from(weight);
            *count += 1;
        }
        sums.retain(|_, sum| sum.2 >= LEAST_VERDICTS && sum.1 > 0.0);
        let mut rungs: Vec<(usize, f64)> = sums.into_iter().map(|(at, (sum, weight, _))| (at, sum / weight)).collect();
        rungs.sort_by(|a, b| a.1.total_cmp(&b.1));
        if rungs.len() < 2 { (0..tiers).collect() } else { rungs.into_iter().map(|rung| rung.0).collect() }
    }
}

/// Finds the position of every verdict's model, appends models with enough verdicts, and gives tiers their share.
pub(super) fn place(
    base: &Base,
    experience: &Experience,
    (heads, success): (&mut HeadsGraph, &mut Vec<Calibrator>),
) -> Placed {
    let old = base.space();
    let tiers = old.tiers().len();
    let mut position_of: HashMap<String, usize> =
        old.models().iter().enumerate().map(|(at, model)| (key(model.as_str()), tiers + at)).collect();
    let mut seen: BTreeMap<&str, (usize, f64, Option<&str>)> = BTreeMap::new();
    for verdict in experience.verdicts.iter().flatten() {
        let entry = seen.entry(verdict.model.as_str()).or_insert((0, 0.0, None));
        entry.0 += 1;
        entry.1 += f64::from(verdict.score);
        entry.2 = entry.2.or(verdict.tier.as_deref());
    }
    let mut models = old.models().to_vec();
    let mut tier_of: HashMap<&str, usize> = HashMap::new();
    let mut added = Vec::new();
    let mut like: Vec<usize> = (0..old.len()).collect();
    let mut ranked: Vec<(&str, f64)> =
        seen.iter().map(|(name, (n, sum, _))| (*name, sum / (*n).max(1) as f64)).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (&name, &(count, _, tier)) in &seen {
        // A tier that the base does not name: by the place of the model's mean among the others, the best at the top.
        let rank = ranked.iter().position(|(ranked, _)| *ranked == name).unwrap_or(0);
        let by_rank = (rank * tiers.saturating_sub(1) + ranked.len() / 2) / ranked.len().saturating_sub(1).max(1);
        let by_rank = if ranked.len() == 1 { tiers / 2 } else { by_rank.min(tiers.saturating_sub(1)) };
        let tier = tier.and_then(|tier| old.tiers().iter().position(|known| known.as_str() == tier)).unwrap_or(by_rank);
        tier_of.insert(name, tier);
        if count >= LEAST_VERDICTS && !position_of.contains_key(&key(name)) {
            position_of.insert(key(name), tiers + models.len());
            models.push(ModelName::from(name));
            added.push(name.to_owned());
            heads.push_like(tier);
            like.push(tier);
            success.push(success.get(tier).cloned().unwrap_or(Calibrator::IDENTITY));
        }
    }
    let mut counts = vec![0; tiers + models.len()];
    let mut movers = Vec::with_capacity(experience.verdicts.len());
    let labels = experience.verdicts.iter().map(|verdicts| {
        let (mut labels, mut moving) = (Vec::new(), Vec::new());
        for verdict in verdicts {
            let own = position_of.get(&key(&verdict.model)).copied();
            let own = own.filter(|_| seen.get(verdict.model.as_str()).is_some_and(|seen| seen.0 >= LEAST_VERDICTS));
            let tier = tier_of.get(verdict.model.as_str()).copied();
            for position in tier.into_iter().chain(position_of.get(&key(&verdict.model)).copied()) {
                merge(&mut labels, position, verdict);
            }
            if let Some(position) = own.or(tier) {
                merge(&mut moving, position, verdict);
            }
        }
        movers.push(moving);
        for &(position, ..) in &labels {
            if let Some(count) = counts.get_mut(position) {
                *count += 1;
            }
        }
        labels
    });
    let labels = labels.collect();
    Placed { space: LabelSpace::new(old.tiers().to_vec(), models), labels, movers, counts, added, like }
}

/// Adds a verdict to the labels of its prompt: verdicts of the same position become their mean.
fn merge(labels: &mut Vec<(usize, f32, f32)>, position: usize, verdict: &Verdict) {
    match labels.iter_mut().find(|label| label.0 == position) {
        Some(label) => {
            label.2 += verdict.weight;
            label.1 += (verdict.score - label.1) * verdict.weight / label.2;
        }
        None => labels.push((position, verdict.score, verdict.weight)),
    }
}
