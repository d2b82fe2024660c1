//! The parts of what an evaluation found.

use serde::Serialize;

use crate::train::evaluate::sheet::Figure;
use crate::train::metrics::frontier::Point;
use crate::train::metrics::weighted::Bin;

/// The router's lead over a baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What is compared: `apgr`, `aiq`, or `quality` at half of the budget.
    pub measure: &'static str,
    /// The baseline.
    pub over: &'static str,
    /// The lead.
    pub lead: Figure,
    /// Whether the interval excludes zero.
    pub clear: bool,
}

/// How one model does, and how well that is predicted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelFigures {
    /// The model, as the outcomes name it.
    pub model: String,
    /// What judges it: its own name in the bundle, or a tier.
    pub judged_by: String,
    /// Mean score.
    pub score: Option<Figure>,
    /// Mean cost.
    pub cost: Option<Figure>,
    /// How well right and wrong answers are told apart.
    pub auc: Option<Figure>,
    /// Brier score.
    pub brier: Option<Figure>,
    /// Expected calibration error.
    pub ece: Option<Figure>,
    /// Predicted and observed success in bins of equal mass. Empty in slices.
    pub reliability: Vec<Bin>,
}

/// Mean quality over budgets (RouterBench's AIQ): `1 / (dearest - cheapest) · ∫ hull(c) dc`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Areas {
    /// Of the router, over its dial.
    pub router: Option<Figure>,
    /// Of the best fixed mix of single models: the zero router.
    pub mix: Option<Figure>,
    /// Of the best who knows every score.
    pub oracle: Option<Figure>,
    /// The share of the way from the mix to the oracle.
    pub headroom: Option<Figure>,
    /// Quality at a quarter, half and three quarters of the way from the cheapest model's cost to the dearest's.
    pub quality_at: Vec<(u8, Option<Figure>)>,
}

/// One setting of the dial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DialPoint {
    /// The setting.
    pub dial: f64,
    /// Mean score.
    pub quality: Figure,
    /// Mean cost.
    pub cost: Figure,
}

/// What happens at a setting of the dial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Escalation {
    /// The setting.
    pub dial: f64,
    /// Share of prompts that go to another than the cheapest model.
    pub share: Option<Figure>,
    /// Of those, the share that the chosen model did better on.
    pub precision: Option<Figure>,
    /// Of the prompts that some model did better on than the cheapest, the share that went up and did better.
    pub recall: Option<Figure>,
}

/// What is saved while losing at most so many points. The setting is chosen in hindsight, so this is an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Saving {
    /// Points of a hundred that may be lost against always taking the strong model.
    pub loss_points: u8,
    /// Share of strong calls saved.
    pub calls: Option<Figure>,
    /// Share of the strong model's cost saved.
    pub cost: Option<Figure>,
    /// Share of strong calls that a random mix of the weak and the strong model saves.
    pub calls_by_mixing: Option<Figure>,
    /// The router's lead over that mix.
    pub lead: Option<Figure>,
}

/// A way to choose without a router.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Baseline {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub words: &'static str,
    /// Area under the gap recovered, where it ranks prompts.
    pub apgr: Option<Figure>,
    /// Mean quality over budgets.
    pub aiq: Option<Figure>,
    /// Mean score, where it is one setting.
    pub quality: Option<Figure>,
    /// Mean cost, where it is one setting.
    pub cost: Option<Figure>,
    /// Its curve of cost and quality, where it has one of its own.
    pub points: Vec<Point>,
}

/// A point of the curve of the gap recovered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share of prompts sent to the strong model.
    pub share: f64,
    /// Share of the gap recovered.
    pub recovered: Figure,
}
