//! Where predictions are off: calibration error by model and tier, dataset and task.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::candidate::Candidate;
use crate::train::dial::sweep::Swept;
use crate::train::metrics::ece;
use crate::train::traffic::Ask;

/// Fewest labels of a slice that is shown.
const LEAST: usize = 30;

/// How far predictions are off on one kind of ask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// `model` or `tier`.
    pub of: &'static str,
    /// Which.
    pub name: String,
    /// `all`, `dataset=…` or `task=…`.
    pub slice: String,
    /// Labels.
    pub labels: usize,
    /// The mean prediction.
    pub predicted: f64,
    /// The mean score.
    pub observed: f64,
    /// Expected calibration error.
    pub ece: f64,
}

/// Whether model or tier, which, and which of its asks.
type Kind = (&'static str, String, String);

/// The slices with enough labels: models before tiers, each whole before its parts.
pub(super) fn slices(swept: &[Swept], asks: &[Ask], (candidates, keys): (&[Candidate], &[String])) -> Vec<Slice> {
    let mut found: BTreeMap<Kind, Vec<(f64, f64)>> = BTreeMap::new();
    for one in swept {
        let Some(ask) = asks.get(one.ask) else { continue };
        let predicted_task = || ask.scores.as_ref().ok().map(|scores| scores.task().0.as_str().to_owned());
        let task = ask.task.clone().or_else(predicted_task).unwrap_or_default();
        for ((candidate, key), predicted) in candidates.iter().zip(keys).zip(&one.predicted) {
            let Some((_, score)) = ask.seen.iter().find(|(model, _)| model == key) else { continue };
            let whose = [("model", candidate.model.to_string()), ("tier", candidate.tier.to_string())];
            let which = ["all".to_owned(), format!("dataset={}", ask.dataset), format!("task={task}")];
            for (of, name) in &whose {
                for slice in &which {
                    found.entry((of, name.clone(), slice.clone())).or_default().push((*predicted, *score));
                }
            }
        }
    }
    let large = found.into_iter().filter(|(_, items)| items.len() >= LEAST);
    large
        .map(|((of, name, slice), items)| {
            let mean = |value: fn(&(f64, f64)) -> f64| items.iter().map(value).sum::<f64>() / items.len() as f64;
            Slice {
                of,
                name,
                slice,
                labels: items.len(),
                predicted: mean(|item| item.0),
                observed: mean(|item| item.1),
                ece: ece(&items),
            }
        })
        .collect()
}
