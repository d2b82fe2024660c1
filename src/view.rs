//! A decision as JSON: the answer of `/v1/route` and of `trimtab route --json`.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::cache::Recall;
use crate::domain::candidate::ExpectedCost;
use crate::domain::decide::{Considered, Reason};
use crate::domain::familiarity::Unfamiliar;
use crate::domain::ids::{DecisionId, ModelName};
use crate::domain::money::NanoUsd;
use crate::domain::policy::Aim;
use crate::domain::prompt::Prompt;
use crate::domain::scores::{ScoreFailure, Scores};
use crate::domain::task::Task;
use crate::domain::unknown::Origin;
use crate::pipeline::{Routed, SessionTurn};

/// How many neighbours are shown.
const TOP_NEIGHBOURS: usize = 5;

/// A decision as callers see it.
#[derive(Debug, Serialize)]
pub struct DecisionView<'a> {
    object: &'static str,
    id: DecisionId,
    created: u64,
    model: &'a str,
    tier: &'a str,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_value_usd: Option<f64>,
    threshold: Option<f64>,
    reason: &'static str,
    explanation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionView>,
    bundle: Option<&'a str>,
    propensity: f64,
    candidates: Vec<CandidateView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signals: Option<SignalsView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<NeighboursView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scoring_failure: Option<ScoreFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_cache: Option<&'static str>,
    timings_us: TimingsView,
}

#[derive(Debug, Serialize)]
struct CandidateView<'a> {
    model: &'a str,
    tier: &'a str,
    success: Option<f64>,
    interval: Option<[f64; 2]>,
    known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resembles: Option<&'a str>,
    cost_usd: Option<CostView>,
    relative_cost: Option<f64>,
    switching_cost: Option<f64>,
    utility: Option<f64>,
    eligible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    excluded_by: Option<crate::domain::candidate::Exclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct SessionView {
    found_by: &'static str,
    event: &'static str,
    cached_tokens: u64,
}

#[derive(Debug, Serialize)]
struct CostView {
    p50: f64,
    p90: f64,
    mean: f64,
}

#[derive(Debug, Serialize)]
struct SignalsView<'a> {
    task: &'static str,
    task_probability: f64,
    difficulty: f64,
    scorer: crate::domain::scores::Scorer,
    tokens: usize,
    truncated: bool,
    input_tokens: u64,
    output_tokens: CostlessQuantiles,
    turns: usize,
    language: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfamiliar: Option<Unfamiliar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    familiarity: Option<FamiliarityView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structure: Option<&'a crate::domain::signals::Signals>,
}

#[derive(Debug, Serialize)]
struct FamiliarityView {
    unknown_share: f64,
    disagreement: f64,
}

#[derive(Debug, Serialize)]
struct CostlessQuantiles {
    p50: u64,
    p90: u64,
}

#[derive(Debug, Serialize)]
struct NeighboursView<'a> {
    count: usize,
    density: f64,
    top: Vec<NeighbourView<'a>>,
}

#[derive(Debug, Serialize)]
struct NeighbourView<'a> {
    item: &'a str,
    similarity: f64,
}

#[derive(Debug, Default, Serialize)]
struct TimingsView {
    queue: u64,
    tokenize: u64,
    encode: u64,
    heads: u64,
    neighbours: u64,
    total: u64,
}

/// What a view is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The decision's name.
    pub id: DecisionId,
    /// When it was made, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What was scored.
    pub prompt: &'a Prompt,
    /// The decision.
    pub routed: &'a Routed,
    /// Whether every task's probability and the structural signals are shown too.
    pub explain: bool,
}

impl<'a> DecisionView<'a> {
    /// Shows a decision.
    #[must_use]
    pub fn of(shown: &Shown<'a>) -> Self {
        let decision = &shown.routed.decision;
        let scores = shown.routed.scores.as_ref();
        let good = scores.and_then(|scores| scores.as_deref().ok());
        let recall = shown.routed.recall;
        Self {
            object: "route.decision",
            id: shown.id,
            created: shown.at_unix_ms / 1000,
            model: decision.model.as_str(),
            tier: decision.tier.as_str(),
            policy: decision.policy.as_str(),
            quality: quality(decision.aim, decision.reason),
            success_value_usd: value(decision.aim),
            // JSON has no infinity: the ends of the dial show no threshold.
            threshold: Some(rounded(decision.threshold)).filter(|threshold| threshold.is_finite()),
            reason: decision.reason.as_str(),
            explanation: &shown.routed.sentence,
            session: shown.routed.session.map(session),
            bundle: decision.bundle.as_ref().map(|bundle| bundle.as_str()),
            propensity: rounded(decision.propensity.get()),
            candidates: decision.considered.iter().map(candidate).collect(),
            signals: good.map(|scores| signals(shown, scores)),
            neighbours: good.map(neighbours),
            scoring_failure: scores.and_then(|scores| scores.as_ref().err().copied()),
            decision_cache: recall.map(Recall::as_str),
            // What made a kept score took its time then, not now.
            timings_us: timings(good.filter(|_| recall != Some(Recall::Hit)), shown.routed.took),
        }
    }

    /// Shows of each candidate too whether it can be reached: the word for the breaker that stands best among its targets.
    #[must_use]
    pub fn with_breakers(
        mut self,
        considered: &[Considered],
        state: impl Fn(&ModelName) -> Option<&'static str>,
    ) -> Self {
        for (view, one) in self.candidates.iter_mut().zip(considered) {
            view.breaker = state(&one.model);
        }
        self
    }
}

fn quality(aim: Aim, reason: Reason) -> Option<f64> {
    match (aim, reason) {
        (_, Reason::Named | Reason::Cached) | (Aim::Threshold(_) | Aim::Value(_), _) => None,
        (Aim::Quality(quality), _) => Some(quality.get()),
    }
}

fn value(aim: Aim) -> Option<f64> {
    match aim {
        Aim::Value(value) => Some(value.as_usd()),
        Aim::Quality(_) | Aim::Threshold(_) => None,
    }
}

fn session(turn: SessionTurn) -> SessionView {
    SessionView { found_by: turn.found_by.as_str(), event: turn.event.as_str(), cached_tokens: turn.cached_tokens }
}

fn candidate(one: &Considered) -> CandidateView<'_> {
    CandidateView {
        model: one.model.as_str(),
        tier: one.tier.as_str(),
        success: one.success.map(|success| rounded(success.mean.get())),
        interval: one.success.map(|success| [rounded(success.low.get()), rounded(success.high.get())]),
        known: one.known,
        estimated_from: one.success.map(|_| one.origin.as_str()),
        resembles: match &one.origin {
            Origin::Family(model) => Some(model.as_str()),
            Origin::Own | Origin::Price | Origin::Tier => None,
        },
        cost_usd: one.cost.map(cost),
        relative_cost: one.worth.map(|worth| rounded(worth.relative_cost)),
        switching_cost: one.worth.map(|worth| rounded(worth.switching)),
        utility: one.worth.and_then(|worth| worth.utility).map(rounded),
        eligible: one.excluded.is_none(),
        excluded_by: one.excluded,
        breaker: None,
    }
}

fn cost(cost: ExpectedCost) -> CostView {
    let usd = |amount: NanoUsd| amount.as_usd();
    CostView { p50: usd(cost.p50), p90: usd(cost.p90), mean: usd(cost.mean) }
}

fn signals<'a>(shown: &Shown<'a>, scores: &Scores) -> SignalsView<'a> {
    let (task, probability) = scores.task();
    let tasks = || {
        Task::ALL.iter().zip(&scores.tasks).map(|(task, &p)| (task.as_str().to_owned(), json!(rounded(p)))).collect()
    };
    SignalsView {
        task: task.as_str(),
        task_probability: rounded(probability.get()),
        difficulty: rounded(scores.difficulty.get()),
        scorer: scores.scorer,
        tokens: scores.tokens,
        truncated: scores.truncated || shown.prompt.truncated,
        input_tokens: shown.prompt.shape.input_tokens,
        output_tokens: CostlessQuantiles {
            p50: scores.output_tokens.p50.round() as u64,
            p90: scores.output_tokens.p90.round() as u64,
        },
        turns: shown.prompt.shape.turns,
        language: scores.familiarity.language.code(),
        unfamiliar: scores.familiarity.unfamiliar,
        familiarity: shown.explain.then(|| FamiliarityView {
            unknown_share: rounded(scores.familiarity.unknown_share),
            disagreement: rounded(scores.familiarity.disagreement),
        }),
        tasks: shown.explain.then(|| Value::Object(tasks())),
        structure: shown.explain.then_some(&shown.prompt.signals),
    }
}

fn neighbours(scores: &Scores) -> NeighboursView<'_> {
    let found = &scores.neighbourhood;
    NeighboursView {
        count: found.neighbours.len(),
        density: rounded(found.density),
        top: found
            .neighbours
            .iter()
            .take(TOP_NEIGHBOURS)
            .map(|one| NeighbourView { item: one.item.as_str(), similarity: rounded(f64::from(one.similarity)) })
            .collect(),
    }
}

fn timings(scores: Option<&Scores>, took: Duration) -> TimingsView {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let total = micros(took);
    scores.map_or(TimingsView { total, ..TimingsView::default() }, |scores| {
        let steps = scores.timings;
        TimingsView {
            queue: micros(steps.queue),
            tokenize: micros(steps.tokenize),
            encode: micros(steps.encode),
            heads: micros(steps.heads),
            neighbours: micros(steps.neighbours),
            total,
        }
    })
}

/// Four digits after the point: more would claim more than is known.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}
