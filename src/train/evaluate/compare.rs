//! Whether one bundle routes better than another.

use serde::Serialize;

use crate::train::error::TrainError;
use crate::train::evaluate::EvalOptions;
use crate::train::evaluate::arena::Arena;
use crate::train::evaluate::board::{Board, Detail, task_means};
use crate::train::evaluate::costs::CostNote;
use crate::train::evaluate::sheet::{Chance, Figure, Recorder, Rounds, Sheet};

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second bundle ranks prompts better.
    Better,
    /// The second bundle ranks prompts worse.
    Worse,
    /// The interval of the difference holds zero.
    NoDifference,
}

/// The second bundle against the first, on the same draws of the same prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompareReport {
    /// The first bundle.
    pub a: String,
    /// The second bundle.
    pub b: String,
    /// Prompts.
    pub n: usize,
    /// The weaker, or cheapest, model.
    pub weak: String,
    /// The stronger, or best, model.
    pub strong: String,
    /// What can be said, by the area under the gap recovered.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub sentence: String,
    /// The first bundle's area under the gap recovered.
    pub apgr_a: f64,
    /// The second bundle's.
    pub apgr_b: f64,
    /// The difference of the areas, second minus first, as all of the following.
    pub apgr: Figure,
    /// Of the quality at a budget half way from the cheapest model's cost to the dearest's.
    pub quality_at_equal_cost: Option<Figure>,
    /// Of the mean quality over budgets.
    pub aiq: Option<Figure>,
    /// Of the Brier score; lower is better.
    pub brier: Option<Figure>,
    /// Of the calibration error; lower is better.
    pub ece: Option<Figure>,
    /// Where costs come from.
    pub costs: CostNote,
    /// The seed.
    pub seed: u64,
    /// Rounds of the bootstrap.
    pub rounds: usize,
}

/// Compares two arenas of one field.
pub(super) fn report((a, b): (&Arena, &Arena), options: &EvalOptions) -> Result<CompareReport, TrainError> {
    let n = a.facts.len();
    let board = |arena| {
        let rows = (0..n).collect();
        Board::new(arena, rows, (&task_means(arena), Detail::Slice, options.seed))
    };
    let (first, second) = (board(a), board(b));
    let record = |weights: &[f64], to: &mut Recorder| {
        let (mut before, mut after) = (Recorder::naming(), Recorder::naming());
        first.record(weights, &mut before);
        second.record(weights, &mut after);
        let values = before.values().iter().zip(after.values());
        let chances = before.chances().iter().zip(after.chances());
        for ((name, (before, after)), chances) in before.names().iter().zip(values).zip(chances) {
            // What chance adds to the first, it takes from the difference.
            let chance = || {
                let (before, after) = (chances.0.as_ref()?, chances.1.as_ref()?);
                Some(Chance { added: after.added + before.taken, taken: after.taken + before.added })
            };
            to.put_with(|| format!("change of {name}"), Some(after - before), chance);
        }
    };
    let sheet = Sheet::fill(n, Rounds { count: options.bootstrap, seed: options.seed }, &record);
    let change = |name: &str| sheet.get(&format!("change of {name}"));
    let once = vec![1.0; n];
    let value = |board: &Board<'_>, wanted: &str| {
        let mut recorder = Recorder::naming();
        board.record(&once, &mut recorder);
        let at = recorder.names().iter().position(|name| name == wanted);
        at.and_then(|at| recorder.values().get(at)).copied().unwrap_or(0.0)
    };
    let name = |at: usize| a.models.get(at).map_or_else(String::new, |judge| judge.model.clone());
    let (weak, strong) = (name(a.weak), name(a.strong));
    let apgr = change("apgr").ok_or_else(|| TrainError::NoGap {
        weak_score: value(&first, &format!("score {}", a.weak)),
        strong_score: value(&first, &format!("score {}", a.strong)),
        weak: weak.clone(),
        strong: strong.clone(),
    })?;
    let verdict = match (apgr.is_clear(), apgr.value > 0.0) {
        (true, true) => Verdict::Better,
        (true, false) => Verdict::Worse,
        (false, _) => Verdict::NoDifference,
    };
    Ok(CompareReport {
        a: a.bundle.clone(),
        b: b.bundle.clone(),
        n,
        sentence: sentence((&a.bundle, &b.bundle), verdict, (apgr, n)),
        weak,
        strong,
        verdict,
        apgr_a: value(&first, "apgr"),
        apgr_b: value(&second, "apgr"),
        apgr,
        quality_at_equal_cost: change("quality 50"),
        aiq: change("aiq"),
        brier: change("brier"),
        ece: change("ece"),
        costs: a.cost_note.clone(),
        seed: options.seed,
        rounds: options.bootstrap,
    })
}

fn sentence((a, b): (&str, &str), verdict: Verdict, (apgr, n): (Figure, usize)) -> String {
    let interval = apgr.ci.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"));
    let by = apgr.value.abs();
    match verdict {
        Verdict::Better => format!("{b} is better than {a} by {by:.3} APGR{interval} on {n} prompts"),
        Verdict::Worse => {
            // The interval is turned round with the figure.
            let turned = apgr.ci.map_or(String::new(), |[low, high]| format!(" [{:.3}, {:.3}]", -high, -low));
            format!("{b} is worse than {a} by {by:.3} APGR{turned} on {n} prompts")
        }
        Verdict::NoDifference => {
            let value = apgr.value + 0.0;
            format!("no difference between {a} and {b} can be shown on {n} prompts: {value:+.3} APGR{interval}")
        }
    }
}
