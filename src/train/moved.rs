//! What a training changed: for the one who decides whether it serves.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::probability::Probability;
use crate::train::adapt::position_name;
use crate::train::contest::{Case, Side};

/// Tasks that are listed at most.
const MOST_TASKS: usize = 5;

/// How predictions and choices moved, measured on prompts with verdicts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Moved {
    /// Prompts it was measured on.
    pub prompts: usize,
    /// Whether the new bundle had not learned from them.
    pub unseen: bool,
    /// Every tier and model that moved by at least a thousandth, most first.
    pub positions: Vec<MovedPosition>,
    /// Share of prompts for which another tier is chosen at quality 0.5.
    pub choices_changed: f64,
    /// Share of prompts that go above the weakest tier at quality 0.5, before and after.
    pub share_up: [f64; 2],
    /// The tasks that moved most.
    pub tasks: Vec<MovedTask>,
}

/// Mean predicted success of a tier or model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MovedPosition {
    /// The tier or model.
    pub name: String,
    /// By the parent; none for a model it does not know.
    pub before: Option<f64>,
    /// By the new bundle.
    pub after: f64,
}

/// The tier that moved most on prompts of one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MovedTask {
    /// The task, as the parent takes the prompts.
    pub task: &'static str,
    /// Prompts.
    pub prompts: usize,
    /// The tier.
    pub tier: String,
    /// Its mean predicted success by the parent.
    pub before: f64,
    /// And by the new bundle.
    pub after: f64,
}

/// Compares both sides' scores.
#[must_use]
pub fn moved(cases: &[Case], (parent, candidate): (Side<'_>, Side<'_>)) -> Moved {
    let tiers = parent.space.tiers().len();
    let chosen = |side: Side<'_>, scores: &[f64]| {
        let least = side.scorer.dial.threshold(Probability::clamped(0.5));
        let best = scores.iter().take(tiers).copied().fold(0.0, f64::max);
        scores.iter().take(tiers).position(|score| *score >= best - least).unwrap_or(0)
    };
    let choices: Vec<(usize, usize)> =
        cases.iter().map(|case| (chosen(parent, &case.parent), chosen(candidate, &case.candidate))).collect();
    let share = |is_counted: fn(&(usize, usize)) -> bool| {
        choices.iter().filter(|choice| is_counted(choice)).count() as f64 / choices.len().max(1) as f64
    };
    let of = |cases: &[&Case], at: usize| {
        let mean = |scores: fn(&Case) -> &[f64]| {
            let known = cases.iter().filter_map(|case| scores(case).get(at).copied());
            known.sum::<f64>() / cases.len().max(1) as f64
        };
        (mean(|case| &case.parent), mean(|case| &case.candidate))
    };
    let all: Vec<&Case> = cases.iter().collect();
    // The candidate's positions are the parent's with new models after them.
    let mut positions: Vec<MovedPosition> = (0..candidate.space.len())
        .map(|at| {
            let (before, after) = of(&all, at);
            let before = (at < parent.space.len()).then_some(before);
            MovedPosition { name: position_name(candidate.space, at), before, after }
        })
        .collect();
    let change = |position: &MovedPosition| position.before.map_or(1.0, |before| (position.after - before).abs());
    positions.retain(|position| change(position) >= 1e-3);
    positions.sort_by(|a, b| change(b).total_cmp(&change(a)));
    let mut by_task: BTreeMap<&'static str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        by_task.entry(case.task.as_str()).or_default().push(case);
    }
    let mut tasks: Vec<MovedTask> = by_task
        .into_iter()
        .filter_map(|(task, cases)| {
            let tier = |at: usize| {
                let (before, after) = of(&cases, at);
                MovedTask { task, prompts: cases.len(), tier: position_name(candidate.space, at), before, after }
            };
            (0..tiers).map(tier).max_by(|a, b| (a.after - a.before).abs().total_cmp(&(b.after - b.before).abs()))
        })
        .collect();
    tasks.sort_by(|a, b| (b.after - b.before).abs().total_cmp(&(a.after - a.before).abs()));
    tasks.truncate(MOST_TASKS);
    Moved {
        prompts: cases.len(),
        unseen: true,
        positions,
        choices_changed: share(|(before, after)| before != after),
        share_up: [share(|(before, _)| *before > 0), share(|(_, after)| *after > 0)],
        tasks,
    }
}
