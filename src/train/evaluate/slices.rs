//! The same figures for prompts of one kind.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::train::evaluate::arena::{Arena, Facts};
use crate::train::evaluate::board::{Board, Detail, LOSSES, MARKS};
use crate::train::evaluate::findings::{escalation, models, saving};
use crate::train::evaluate::parts::{Escalation, ModelFigures, Saving};
use crate::train::evaluate::sheet::{Figure, Rounds, Sheet};

/// Fewest prompts of a slice whose figures say anything.
const LEAST_PROMPTS: usize = 30;

/// Prompts of one kind. Every prompt is in one slice of each dimension.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// The dimension: `dataset`, `task`, `language` or `length`.
    pub by: &'static str,
    /// The kind.
    pub value: String,
    /// Prompts of it.
    pub n: usize,
    /// Whether there are enough of them; if not, nothing below is told.
    pub measured: bool,
    /// Area under the gap recovered, where the strong model is better on these prompts.
    pub apgr: Option<Figure>,
    /// The router's lead over sending the longest up first.
    pub apgr_minus_length: Option<Figure>,
    /// The router's lead over shuffling.
    pub apgr_minus_random: Option<Figure>,
    /// Share of strong calls at which half of the gap is recovered.
    pub cpt50: Option<Figure>,
    /// The share of the area between shuffling and knowing everything.
    pub headroom: Option<Figure>,
    /// Mean quality over budgets.
    pub aiq: Option<Figure>,
    /// The router's lead over the best fixed mix of these prompts.
    pub aiq_minus_mix: Option<Figure>,
    /// How well the gain tells prompts where the strong model does better.
    pub auc: Option<Figure>,
    /// Calibration error, the mean over models.
    pub ece: Option<Figure>,
    /// Brier score, the mean over models.
    pub brier: Option<Figure>,
    /// Escalations at the marks of the dial.
    pub escalation: Vec<Escalation>,
    /// What is saved against sending everything to the strong model.
    pub savings: Vec<Saving>,
    /// Every model.
    pub models: Vec<ModelFigures>,
}

/// All slices: by dataset, task, language and length, the largest of each first.
pub(super) fn slices(arena: &Arena, task_means: &[f64], rounds: Rounds) -> Vec<Slice> {
    type Kind = fn(&Facts) -> String;
    let dimensions: [(&'static str, Kind); 4] = [
        ("dataset", |facts| facts.dataset.clone()),
        ("task", |facts| facts.task.to_owned()),
        ("language", |facts| facts.language.clone()),
        ("length", |facts| length(facts.characters).to_owned()),
    ];
    let mut all = Vec::new();
    for (by, kind) in dimensions {
        let mut rows: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, facts) in arena.facts.iter().enumerate() {
            rows.entry(kind(facts)).or_default().push(at);
        }
        let mut rows: Vec<(String, Vec<usize>)> = rows.into_iter().collect();
        rows.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
        all.extend(rows.into_iter().map(|(value, rows)| slice((by, value), (arena, rows), (task_means, rounds))));
    }
    all
}

/// The length class of a prompt.
fn length(characters: usize) -> &'static str {
    match characters {
        0..=199 => "under 200 characters",
        200..=499 => "200 to 499 characters",
        500..=1_999 => "500 to 1,999 characters",
        2_000.. => "2,000 characters and more",
    }
}

fn slice(
    (by, value): (&'static str, String),
    (arena, rows): (&Arena, Vec<usize>),
    (task_means, rounds): (&[f64], Rounds),
) -> Slice {
    let n = rows.len();
    let measured = n >= LEAST_PROMPTS;
    let sheet = if measured {
        let board = Board::new(arena, rows, (task_means, Detail::Slice, rounds.seed));
        Sheet::fill(n, rounds, &|weights, to| board.record(weights, to))
    } else {
        Sheet::default()
    };
    let get = |name: &str| sheet.get(name);
    Slice {
        by,
        value,
        n,
        measured,
        apgr: get("apgr"),
        apgr_minus_length: get("apgr - length"),
        apgr_minus_random: get("apgr - random"),
        cpt50: get("cpt50"),
        headroom: get("headroom"),
        aiq: get("aiq"),
        aiq_minus_mix: get("aiq - mix"),
        auc: get("auc"),
        ece: get("ece"),
        brier: get("brier"),
        escalation: if measured { MARKS.iter().map(|&mark| escalation(&sheet, mark)).collect() } else { Vec::new() },
        savings: if measured { LOSSES.iter().map(|&loss| saving(&sheet, loss)).collect() } else { Vec::new() },
        models: if measured { models((arena, None), &sheet) } else { Vec::new() },
    }
}
