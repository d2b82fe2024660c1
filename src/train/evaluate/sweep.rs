//! What is chosen at every setting of the dial, by the code that serves, and by routers that know less or more.

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::domain::candidate::{Candidate, Capability};
use crate::domain::decide::{Learned, Question, decide};
use crate::domain::ids::{PolicyName, TierId};
use crate::domain::money::{NanoUsd, Price};
use crate::domain::policy::{Aim, Limits, Policy};
use crate::domain::probability::Probability;
use crate::domain::prompt::Shape;
use crate::domain::scores::{ScoreFailure, Scores};
use crate::model::generation::Generation;
use crate::train::evaluate::judges::Judge;

/// Settings of the dial that are tried: every fortieth.
pub(super) const STEPS: usize = 41;

/// Which model answers each prompt, at each of some settings: `choices[setting][prompt]`.
pub(super) type Choices = Vec<Vec<u16>>;

/// The dial at a step.
pub(super) fn dial(step: usize) -> f64 {
    step as f64 / (STEPS - 1) as f64
}

/// A prompt as the decision sees it.
pub(super) struct Seen {
    pub(super) scores: Result<Scores, ScoreFailure>,
    pub(super) shape: Shape,
}

/// Decides every prompt at every setting of the dial with [`decide`].
///
/// `costs` are mean costs of a call, where they are known: they become prices per output token in the same proportion. Nothing else
/// tells the models apart: all of them can do everything, and nothing is drawn at random.
pub(super) fn of_the_dial(generation: &Generation, judges: &[Judge], costs: Option<&[f64]>, seen: &[Seen]) -> Choices {
    let tier = |judge: &Judge| TierId::from(format!("{}", judge.rank));
    let lengths = seen.iter().filter_map(|seen| seen.scores.as_ref().ok()).map(|scores| scores.output_tokens.p50);
    let (count, sum) = lengths.fold((0.0, 0.0), |(count, sum), length| (count + 1.0, sum + length));
    let tokens = if sum > 0.0 { sum / count } else { 300.0 };
    let price = |at: usize| {
        let per_mtok = NanoUsd::from_usd(costs?.get(at)? * 1e6 / tokens)?;
        Some(Price { output_per_mtok: per_mtok, ..Price::default() })
    };
    let mut order: Vec<usize> = (0..judges.len()).collect();
    order.sort_by_key(|&at| judges.get(at).map_or(0, |judge| judge.rank));
    let candidate = |&at: &usize| {
        let judge = judges.get(at)?;
        let capability = Capability {
            context_tokens: None,
            tools: true,
            forced_tools: true,
            images: true,
            image_urls: true,
            json_schema: true,
        };
        let (model, class) = (judge.name.clone(), judge.class.clone());
        Some(Candidate { model, tier: tier(judge), rank: judge.rank, class, price: price(at), capability })
    };
    let candidates: Vec<Candidate> = order.iter().filter_map(candidate).collect();
    let safest = order.last().and_then(|&at| judges.get(at)).map_or_else(|| TierId::from("none"), tier);
    let policy = Policy::plain(PolicyName::from("evaluation"), Aim::Quality(Probability::HALF), safest);
    let dial_of_these = generation.dial_for(&candidates);
    let at_step = |step: usize| {
        let limits = Limits { aim: Some(Aim::Quality(Probability::clamped(dial(step)))), ..Limits::default() };
        let choose = |seen: &Seen| {
            let question = Question {
                scores: seen.scores.as_ref().map_err(|failure| *failure),
                learned: Some(Learned { dial: &dial_of_these, ..generation.learned() }),
                candidates: &candidates,
                barred: &[],
                shape: &seen.shape,
                policy: &policy,
                limits: &limits,
                held: None,
                draw: Probability::ONE,
            };
            let chosen = decide(&question).ok().map(|decision| decision.model);
            chosen.and_then(|name| judges.iter().position(|judge| judge.name == name)).unwrap_or(0) as u16
        };
        seen.iter().map(choose).collect()
    };
    (0..STEPS).into_par_iter().map(at_step).collect()
}

/// Sends the first prompts of an order to one model and the rest to another, at so many shares.
pub(super) fn of_an_order(order: &[usize], (weak, strong): (usize, usize), shares: usize) -> Choices {
    let last = shares.max(2) - 1;
    let at_share = |share: usize| {
        let mut choices = vec![weak as u16; order.len()];
        let sent = (share * order.len() + last / 2) / last;
        for &prompt in order.iter().take(sent) {
            if let Some(choice) = choices.get_mut(prompt) {
                *choice = strong as u16;
            }
        }
        choices
    };
    (0..=last).map(at_share).collect()
}

/// What somebody chooses who knows every score beforehand, at several prices of a point: from the cheapest of the best to the cheapest.
pub(super) fn of_the_oracle((scores, costs): (&[Vec<f64>], &[Vec<f64>])) -> Choices {
    let prompts = scores.first().map_or(0, Vec::len);
    let means: Vec<f64> = costs.iter().map(|column| column.iter().sum::<f64>() / column.len().max(1) as f64).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(0.0, f64::max);
    let range = (high - low).max(f64::MIN_POSITIVE);
    // At a price of zero, cost only breaks ties.
    let prices = std::iter::once(1e-9).chain((0..12).map(|step| 0.05 * 2.0_f64.powi(step)));
    let at_price = |price: f64| {
        let choose = |prompt: usize| {
            let cell = |columns: &[Vec<f64>], at: usize| columns.get(at).and_then(|column| column.get(prompt)).copied();
            let worth = |at: usize| {
                let both = cell(scores, at).zip(cell(costs, at));
                both.map_or(f64::NEG_INFINITY, |(score, cost)| score - price * cost / range)
            };
            (0..scores.len()).rev().max_by(|&a, &b| worth(a).total_cmp(&worth(b))).unwrap_or(0) as u16
        };
        (0..prompts).map(choose).collect()
    };
    prices.map(at_price).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_sent_up_from_its_front() {
        assert_eq!(of_an_order(&[2, 0, 1, 3], (0, 1), 3), [vec![0, 0, 0, 0], vec![1, 0, 1, 0], vec![1, 1, 1, 1]]);
    }

    #[test]
    fn the_oracle_takes_the_cheapest_of_the_best_and_saves_when_points_are_dear() {
        let scores = [vec![1.0, 0.0, 0.0], vec![1.0, 1.0, 0.0]];
        let costs = [vec![1.0; 3], vec![2.0; 3]];

        let choices = of_the_oracle((&scores, &costs));

        assert_eq!(choices.first().unwrap(), &[0, 1, 0]);
        assert_eq!(choices.last().unwrap(), &[0, 0, 0]);
    }
}
