//! What a trained scorer is worth on prompts that it was not trained on.

use serde::Serialize;

use crate::domain::operating::OperatingPoint;
use crate::domain::task::Task;
use crate::model::index::SearchScratch;
use crate::train::calibrate::blend::MAX_K;
use crate::train::features::Features;
use crate::train::fit::gain::Part;
use crate::train::metrics::{Pair, PgrCurve, auc, bootstrap, brier, ece, ece_by_chance, macro_f1, random_apgr};
use crate::train::operating;
use crate::train::scorer::{Scorer, Surroundings, apply, neighbours};

/// Rounds of the bootstrap in the training report.
const ROUNDS: usize = 300;

/// How well one position is predicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PositionReport {
    /// The tier or model.
    pub name: String,
    /// Labels it was measured on.
    pub labels: usize,
    /// Its mean score.
    pub score: f64,
    /// How well right and wrong answers are told apart, where both occur.
    pub auc: Option<f64>,
    /// Expected calibration error.
    pub ece: f64,
    /// The expected calibration error that predictions without error would show on as many labels.
    pub ece_by_chance: f64,
    /// Brier score.
    pub brier: f64,
}

/// How well prompts are ranked for the strongest tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoutingReport {
    /// Prompts that both ends of the ladder answered.
    pub prompts: usize,
    /// Area under the gap recovered, against the share sent up.
    pub apgr: Option<f64>,
    /// Its 95 % interval.
    pub apgr_interval: Option<[f64; 2]>,
    /// The same by shuffling: what the best fixed mix reaches.
    pub random_apgr: Option<f64>,
    /// The same by heads alone, without neighbours.
    pub heads_apgr: Option<f64>,
}

/// The measurements of training.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeldOut {
    /// Prompts held out.
    pub prompts: usize,
    /// Tiers and models.
    pub positions: Vec<PositionReport>,
    /// Ranking for the strongest tier, over all prompts.
    pub routing: RoutingReport,
    /// Macro-F1 of the task head on held-out task rows, over the classes that occur.
    pub task_macro_f1: Option<f64>,
    /// What shares of calls to the strongest tier buy.
    pub operating: Vec<OperatingPoint>,
}

/// Measures a scorer on one part.
#[must_use]
pub fn measure(
    scorer: &Scorer,
    part: Part<'_>,
    around: Surroundings<'_>,
    (tasks, seed): (Option<(&Features, &[usize])>, u64),
) -> HeldOut {
    let mut scratch = SearchScratch::default();
    let positions = scorer.heads.positions();
    let mut predicted: Vec<Vec<(f64, f64)>> = vec![Vec::new(); positions];
    let (mut pairs, mut head_pairs) = (Vec::new(), Vec::new());
    let strongest = part.labels.tiers().saturating_sub(1);
    for &prompt in part.prompts {
        let outputs = apply(&scorer.heads, part.features, prompt);
        let near = neighbours(around.index, (around.index_features, MAX_K), prompt, &mut scratch);
        let (full, heads) = (scorer.score(&outputs, &near), scorer.score(&outputs, &[]));
        for label in part.labels.of(prompt) {
            let at = usize::from(label.position);
            if let (Some(list), Some(&p)) = (predicted.get_mut(at), full.get(at)) {
                list.push((p, f64::from(label.score)));
            }
        }
        if let (Some(weak), Some(strong)) = (part.labels.score(prompt, 0), part.labels.score(prompt, strongest)) {
            let gain = |p: &[f64]| p.get(strongest).copied().unwrap_or(0.0) - p.first().copied().unwrap_or(0.0);
            let pair = |gain| Pair { weak: f64::from(weak), strong: f64::from(strong), gain };
            pairs.push(pair(gain(&full)));
            head_pairs.push(pair(gain(&heads)));
        }
    }
    let area = |pairs: &[Pair]| PgrCurve::of(pairs, seed).map(|curve| curve.apgr());
    let names = part.labels.space.tiers().iter().map(ToString::to_string);
    let names = names.chain(part.labels.space.models().iter().map(ToString::to_string));
    HeldOut {
        prompts: part.prompts.len(),
        positions: names.zip(&predicted).map(|(name, items)| position(name, items)).collect(),
        routing: RoutingReport {
            prompts: pairs.len(),
            apgr: area(&pairs),
            apgr_interval: bootstrap(&pairs, (ROUNDS, seed), area),
            random_apgr: random_apgr(&pairs, seed, 50),
            heads_apgr: area(&head_pairs),
        },
        operating: operating::points(&pairs, seed),
        task_macro_f1: tasks.map(|(features, classes)| task_f1(scorer, features, classes)),
    }
}

fn position(name: String, items: &[(f64, f64)]) -> PositionReport {
    let classes: Vec<(f64, bool)> = items.iter().map(|&(p, score)| (p, score >= 0.5)).collect();
    PositionReport {
        name,
        labels: items.len(),
        score: items.iter().map(|item| item.1).sum::<f64>() / items.len().max(1) as f64,
        auc: auc(&classes),
        ece: ece(items),
        ece_by_chance: ece_by_chance(items),
        brier: brier(items),
    }
}

fn task_f1(scorer: &Scorer, features: &Features, classes: &[usize]) -> f64 {
    let guess = |row: usize| {
        let logits = scorer.heads.tasks(&scorer.heads.input(&features.embedding(row), &features.signals(row)));
        logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class)
    };
    let items: Vec<(usize, usize)> = classes.iter().enumerate().map(|(row, &class)| (guess(row), class)).collect();
    macro_f1(&items, Task::ALL.len())
}
