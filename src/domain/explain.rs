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
    };
    let because = match decision.reason {
        Reason::CheapestAdequate => adequate(decision, &aim),
        Reason::StrongestAsked => format!("{aim} asks for the strongest eligible tier"),
        Reason::CheapestAsked => format!("{aim} asks for the cheapest eligible model"),
        Reason::OnlyEligible => format!("it is the only eligible model{}", exclusions(decision)),
        Reason::ScoringFailed(failure) => format!("{failure}, so the default tier `{}` answers", decision.tier),
        Reason::Unfamiliar(why) => unfamiliar(why, decision, scores),
        Reason::Exploration => "it was drawn at random to keep feedback honest".to_owned(),
        Reason::Named => "the request named it".to_owned(),
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

fn adequate(decision: &Decision, aim: &str) -> String {
    let mean = |one: &&Considered| one.success.map_or(0.0, |success| success.mean.get());
    let eligible = || decision.considered.iter().filter(|one| one.excluded.is_none());
    let chosen = eligible().find(|one| one.model == decision.model);
    let best = eligible().max_by(|a, b| mean(a).total_cmp(&mean(b)));
    match (chosen, best) {
        (Some(chosen), Some(best)) if chosen.model == best.model => {
            format!("at {:.0} % expected success it is the cheapest that {aim} accepts", 100.0 * mean(&chosen))
        }
        (Some(chosen), Some(best)) => format!(
            "its {:.0} % expected success is close enough to the {:.0} % of `{}` at {aim}, and it is cheaper",
            100.0 * mean(&chosen),
            100.0 * mean(&best),
            best.model,
        ),
        (None, _) | (_, None) => format!("it is the cheapest that {aim} accepts"),
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
