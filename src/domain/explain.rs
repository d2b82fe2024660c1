//! One plain sentence that says why.

use crate::domain::decide::{Considered, Decision, Reason};
use crate::domain::familiarity::Unfamiliar;
use crate::domain::policy::Aim;
use crate::domain::scores::Scores;

/// Says in one sentence which model was chosen and why.
#[must_use]
pub fn sentence(decision: &Decision, scores: Option<&Scores>) -> String {
    let model = &decision.model;
    let subject = scores.map_or_else(String::new, |scores| {
        let (task, probability) = scores.task();
        let sure = if probability.get() < 0.5 { "probably " } else { "" };
        format!("This is {sure}{} of {} difficulty. ", task.words(), difficulty_word(scores.difficulty.get()))
    });
    let aim = match decision.aim {
        Aim::Quality(quality) => format!("quality {}", quality.get()),
        Aim::Threshold(threshold) => format!("threshold {threshold}"),
        Aim::Value(value) => format!("${} for a right answer", value.as_usd()),
    };
    let because = match decision.reason {
        Reason::CheapestAdequate => arithmetic(decision, &aim),
        Reason::SessionKept => kept(decision, &aim),
        Reason::SessionRaised => format!("the session moves up to it: {}", raised(decision, &aim)),
        Reason::NoEstimate => {
            format!(
                "the bundle predicts nothing for the eligible models, so the default tier `{}` answers",
                decision.tier
            )
        }
        Reason::StrongestAsked => strongest(&aim),
        Reason::CheapestAsked => format!("{aim} asks for the cheapest eligible model"),
        Reason::OnlyEligible => format!("it is the only eligible model{}", exclusions(decision)),
        Reason::ScoringFailed(failure) => format!("{failure}, so the default tier `{}` answers", decision.tier),
        Reason::Unfamiliar(why) => unfamiliar(why, decision, scores),
        Reason::Exploration => "it was drawn at random to keep feedback honest".to_owned(),
        Reason::Named => "the request named it".to_owned(),
        Reason::Cached => "its answer is given again".to_owned(),
    };
    format!("{subject}`{model}` was chosen: {because}.")
}

fn unfamiliar(why: Unfamiliar, decision: &Decision, scores: Option<&Scores>) -> String {
    let because = match why {
        Unfamiliar::Language => {
            let language = scores.map_or("another language", |scores| scores.familiarity.language.name());
            format!("the prompt is in {language}, which the bundle was not trained on")
        }
        Unfamiliar::UnknownWords => "the scoring model does not know most words of the prompt".to_owned(),
        Unfamiliar::FarAway => "the prompt is unlike every labelled prompt".to_owned(),
        Unfamiliar::Disagreement => "the prediction and the labelled prompts nearby contradict each other".to_owned(),
    };
    format!("{because}, so the safe tier `{}` answers", decision.tier)
}

/// A word for a difficulty between 0 and 1.
#[must_use]
pub fn difficulty_word(difficulty: f64) -> &'static str {
    match difficulty {
        d if d < 0.25 => "low",
        d if d < 0.5 => "moderate",
        d if d < 0.75 => "high",
        _ => "very high",
    }
}

/// The arithmetic of a choice by utility: what the chosen model is worth, and what the next best is.
fn arithmetic(decision: &Decision, aim: &str) -> String {
    let worth = |one: &&Considered| one.worth.and_then(|worth| worth.utility).unwrap_or(f64::NEG_INFINITY);
    let eligible = || decision.considered.iter().filter(|one| one.excluded.is_none());
    let chosen = eligible().find(|one| one.model == decision.model);
    let next = eligible().filter(|one| one.model != decision.model).max_by(|a, b| worth(a).total_cmp(&worth(b)));
    match (chosen.and_then(|one| sum(one, decision)), next.and_then(|one| Some((&one.model, sum(one, decision)?)))) {
        (Some(own), Some((next, other))) => format!("{own} at {aim}, against {other} for `{next}`"),
        (Some(own), None) => format!("{own} at {aim}"),
        (None, _) => format!("nothing is worth more at {aim}"),
    }
}

/// A success in percent, what is taken from it in points, and what is left.
fn sum(one: &Considered, decision: &Decision) -> Option<String> {
    let (success, worth) = (one.success?.mean.get(), one.worth?);
    let utility = worth.utility?;
    let charged = success - utility - worth.switching;
    let what = if decision.threshold < 0.0 { "tier" } else { "cost" };
    let sign = if charged < 0.0 { "plus" } else { "less" };
    let leaving = if worth.switching > 0.0 {
        format!(" and {:.1} for leaving the session's model", 100.0 * worth.switching)
    } else {
        String::new()
    };
    let (success, charged, utility) = (100.0 * success, 100.0 * charged.abs(), 100.0 * utility);
    Some(format!("{success:.1} % expected success {sign} {charged:.1} for its {what}{leaving} is worth {utility:.1}"))
}

/// Why a session moves up. At the end of the dial nothing is weighed.
fn raised(decision: &Decision, aim: &str) -> String {
    if decision.threshold == f64::NEG_INFINITY { strongest(aim) } else { arithmetic(decision, aim) }
}

fn strongest(aim: &str) -> String {
    format!("{aim} asks for the strongest eligible tier")
}

/// Why a session keeps its model: what leaving it for the best stronger one would be worth.
fn kept(decision: &Decision, aim: &str) -> String {
    let rank = decision.considered.iter().find(|one| one.model == decision.model).map_or(0, |one| one.rank);
    let weighed = |one: &Considered| one.worth.and_then(|worth| worth.utility);
    let utility = |one: &&Considered| weighed(one).unwrap_or(f64::NEG_INFINITY);
    let stronger = decision.considered.iter().filter(|one| one.rank > rank && weighed(one).is_some());
    match stronger.max_by(|a, b| utility(a).total_cmp(&utility(b))).and_then(|one| Some((one, sum(one, decision)?))) {
        Some((one, other)) => {
            format!("the session keeps its model at {aim}: moving up to `{}`, {other}, does not pay", one.model)
        }
        None => "the session keeps its model, and sessions do not move down".to_owned(),
    }
}

fn exclusions(decision: &Decision) -> String {
    let reasons: Vec<String> = decision
        .considered
        .iter()
        .filter_map(|one| one.excluded.map(|exclusion| format!("`{}` {}", one.model, exclusion.words())))
        .take(3)
        .collect();
    if reasons.is_empty() { String::new() } else { format!(", since {}", reasons.join(" and ")) }
}
