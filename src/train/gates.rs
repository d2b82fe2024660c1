//! What a bundle has to show before it serves. A gate that cannot be judged says so and passes.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::train::contest::Case;
use crate::train::held_out::HeldOut;
use crate::train::metrics::bootstrap;

/// Rounds of the bootstrap.
const ROUNDS: usize = 300;
/// Fewest prompts that a comparison is made on.
pub const LEAST_CASES: usize = 20;
/// How much worse the calibration error may be than the parent's.
const MORE_ECE: f64 = 0.01;
/// The largest calibration error, over what chance alone would show.
const MOST_ECE: f64 = 0.15;

/// A condition that a bundle should meet before it serves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// What is asked.
    pub name: &'static str,
    /// Whether it is met.
    pub passed: bool,
    /// The figures, for people.
    pub detail: String,
}

impl Gate {
    fn unjudged(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, passed: true, detail: format!("not judged: {}", why.into()) }
    }
}

/// The gates of a bundle against its parent, on prompts that neither has learned from.
#[must_use]
pub fn against_parent(cases: &[Case], tiers: usize, seed: u64) -> Vec<Gate> {
    if cases.len() < LEAST_CASES {
        let why = format!("{} prompts that neither bundle learned from, {LEAST_CASES} are needed", cases.len());
        return ["predicts no worse", "calibrated", "quality at equal cost", "not worse than a fixed mix"]
            .map(|name| Gate::unjudged(name, why.clone()))
            .to_vec();
    }
    let mut gates = vec![predicts_no_worse(cases, seed), calibrated(cases, seed)];
    gates.extend(routes_no_worse(cases, tiers, seed));
    gates
}

/// A bundle without a parent must at least be calibrated and beat mixing weak and strong at random on prompts it has not seen.
#[must_use]
pub fn alone(held_out: &HeldOut) -> Vec<Gate> {
    let routing = &held_out.routing;
    let (apgr, random) = (routing.apgr.unwrap_or(0.5), routing.random_apgr.unwrap_or(0.5));
    let interval = routing.apgr_interval.map_or(String::new(), |[low, high]| format!(" ({low:.3} to {high:.3})"));
    let (sum, labels) = held_out.positions.iter().fold((0.0, 0.0), |(sum, labels), position| {
        (sum + position.ece * position.labels as f64, labels + position.labels as f64)
    });
    let ece: f64 = if labels > 0.0 { sum / labels } else { 0.0 };
    vec![
        Gate {
            name: "not worse than a fixed mix",
            passed: routing.apgr.is_none() || apgr >= random,
            detail: format!("APGR {apgr:.3}{interval} on {} held-out prompts, by mixing {random:.3}", routing.prompts),
        },
        Gate {
            name: "calibrated",
            passed: ece <= MOST_ECE,
            detail: format!("ECE {ece:.3} on {labels} held-out labels, at most {MOST_ECE}"),
        },
    ]
}

/// The log-loss of both, by verdict.
fn predicts_no_worse(cases: &[Case], seed: u64) -> Gate {
    let loss = |p: f64, y: f64| {
        let p = p.clamp(1e-4, 1.0 - 1e-4);
        -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
    };
    let mean = |cases: &[Case], of: &dyn Fn(f64, f64) -> f64| {
        let verdicts = || cases.iter().flat_map(|case| &case.verdicts);
        let weight: f64 = verdicts().map(|verdict| verdict.weight).sum();
        let sum = |sum: f64, verdict: &crate::train::contest::JudgedVerdict| {
            let (parent, candidate) = (loss(verdict.parent, verdict.score), loss(verdict.candidate, verdict.score));
            sum + verdict.weight * of(parent, candidate)
        };
        (weight > 0.0).then(|| verdicts().fold(0.0, sum) / weight)
    };
    let interval = bootstrap(cases, (ROUNDS, seed), |sample| mean(sample, &|parent, candidate| candidate - parent));
    let [low, high] = interval.unwrap_or([0.0, 0.0]);
    let parent = mean(cases, &|parent, _| parent).unwrap_or(0.0);
    let candidate = mean(cases, &|_, candidate| candidate).unwrap_or(0.0);
    Gate {
        name: "predicts no worse",
        passed: low <= 1e-9,
        detail: format!(
            "log-loss {candidate:.4} on {} prompts that neither learned from, the parent's {parent:.4}; difference {low:+.4} to {high:+.4}",
            cases.len()
        ),
    }
}

fn calibrated(cases: &[Case], seed: u64) -> Gate {
    let items = |cases: &[Case], of: fn(&crate::train::contest::JudgedVerdict) -> f64| -> Vec<(f64, f64)> {
        cases.iter().flat_map(|case| &case.verdicts).map(|verdict| (of(verdict), verdict.score)).collect()
    };
    let both = |cases: &[Case]| {
        (ece(&items(cases, |verdict| verdict.parent)), ece(&items(cases, |verdict| verdict.candidate)))
    };
    let (parent, candidate) = both(cases);
    let difference = |sample: &[Case]| {
        let (parent, candidate) = both(sample);
        Some(candidate - parent)
    };
    let [low, high] = bootstrap(cases, (ROUNDS, seed), difference).unwrap_or([0.0, 0.0]);
    let chance = by_chance(&items(cases, |verdict| verdict.candidate), seed);
    let within = candidate - chance <= MOST_ECE || candidate <= parent;
    Gate {
        name: "calibrated",
        passed: low <= MORE_ECE && within,
        detail: format!(
            "ECE {candidate:.3} ({chance:.3} by chance alone), the parent's {parent:.3}; difference {low:+.3} to {high:+.3}, at most {MORE_ECE} beyond noise and {MOST_ECE} over chance"
        ),
    }
}

/// Expected calibration error over bins of equal mass, as many as there are items for.
fn ece(items: &[(f64, f64)]) -> f64 {
    let bins = (items.len() / 20).clamp(1, 15);
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let error = (0..bins).map(|bin| {
        let members = sorted.get(bin * sorted.len() / bins..(bin + 1) * sorted.len() / bins).unwrap_or_default();
        members.iter().map(|(predicted, observed)| predicted - observed).sum::<f64>().abs()
    });
    error.sum::<f64>() / items.len().max(1) as f64
}

/// The error that perfect predictions would show on as many items.
fn by_chance(items: &[(f64, f64)], seed: u64) -> f64 {
    const DRAWS: usize = 20;
    let mut random = StdRng::seed_from_u64(seed);
    let mut draw = || {
        let drawn: Vec<(f64, f64)> =
            items.iter().map(|&(p, _)| (p, f64::from(u8::from(random.random_bool(p.clamp(0.0, 1.0)))))).collect();
        ece(&drawn)
    };
    (0..DRAWS).map(|_| draw()).sum::<f64>() / DRAWS as f64
}

/// One prompt that says what going up is worth.
#[derive(Clone, Copy, Debug)]
struct Route {
    /// The wish of the parent and of the candidate to go up.
    gains: [f64; 2],
    /// The score if it stays down, where it is known.
    down: Option<f64>,
    /// The score if it goes up, where it is known.
    up: Option<f64>,
    weight: f64,
}

/// Mean quality when the share that goes up is varied from none to all, at equal cost for both, and for mixing at random.
fn routes_no_worse(cases: &[Case], tiers: usize, seed: u64) -> [Gate; 2] {
    const NAMES: [&str; 2] = ["quality at equal cost", "not worse than a fixed mix"];
    let (pairs, explored) = (routes(cases, tiers, Case::has_both), routes(cases, tiers, |case| case.explored));
    let (kind, routes) =
        if pairs.len() >= LEAST_CASES { ("answered by both ends", pairs) } else { ("explored", explored) };
    let has = |known: fn(&Route) -> bool| routes.iter().filter(|route| known(route)).count() >= LEAST_CASES / 2;
    if routes.len() < LEAST_CASES || !has(|route| route.up.is_some()) || !has(|route| route.down.is_some()) {
        let why = "too few prompts say how the other choice would have done; set `exploration` in a policy, or give outcomes of several models";
        return NAMES.map(|name| Gate::unjudged(name, why));
    }
    let mix = |routes: &[Route]| {
        let value = |known: fn(&Route) -> Option<f64>| {
            let known = routes.iter().filter_map(|route| Some((known(route)?, route.weight)));
            let (sum, weight) =
                known.fold((0.0, 0.0), |(sum, all), (score, weight)| (sum + score * weight, all + weight));
            (weight > 0.0).then(|| sum / weight)
        };
        Some((value(|route| route.up)? + value(|route| route.down)?) / 2.0)
    };
    let [parent, candidate] = [0, 1].map(|side| quality(&routes, side).unwrap_or(0.0));
    let fixed = mix(&routes).unwrap_or(0.0);
    let against = |sample: &[Route]| Some(quality(sample, 1)? - quality(sample, 0)?);
    let over_mix = |sample: &[Route]| Some(quality(sample, 1)? - mix(sample)?);
    let [low, high] = bootstrap(&routes, (ROUNDS, seed), against).unwrap_or([0.0, 0.0]);
    let [mix_low, mix_high] = bootstrap(&routes, (ROUNDS, seed), over_mix).unwrap_or([0.0, 0.0]);
    let [first, second] = NAMES;
    let count = routes.len();
    [
        Gate {
            name: first,
            passed: high >= -1e-9,
            detail: format!(
                "mean quality over all shares {candidate:.4} on {count} prompts {kind}, the parent's {parent:.4}; difference {low:+.4} to {high:+.4}"
            ),
        },
        Gate {
            name: second,
            passed: mix_high >= -1e-9,
            detail: format!(
                "{candidate:.4}, by mixing at random {fixed:.4}; difference {mix_low:+.4} to {mix_high:+.4}"
            ),
        },
    ]
}

impl Case {
    /// Whether both the weakest tier and a stronger one were judged on it.
    fn has_both(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.tier == 0) && self.verdicts.iter().any(|verdict| verdict.tier > 0)
    }
}

fn routes(cases: &[Case], tiers: usize, wanted: fn(&Case) -> bool) -> Vec<Route> {
    let route = |case: &Case| {
        let gain = |scores: &[f64]| {
            let best = scores.iter().take(tiers).copied().fold(0.0, f64::max);
            best - scores.first().copied().unwrap_or(0.0)
        };
        let mean = |is_in: fn(usize) -> bool| {
            let verdicts = || case.verdicts.iter().filter(|verdict| is_in(verdict.tier));
            let count = verdicts().count();
            (count > 0).then(|| verdicts().map(|verdict| verdict.score).sum::<f64>() / count as f64)
        };
        Route {
            gains: [gain(&case.parent), gain(&case.candidate)],
            down: mean(|tier| tier == 0),
            up: mean(|tier| tier > 0),
            weight: case.verdicts.iter().map(|verdict| verdict.weight).fold(0.0, f64::max),
        }
    };
    cases.iter().filter(|case| wanted(case)).map(route).collect()
}

/// The mean over nine shares of the quality when that share goes up, those with the largest gain first: by what is known of the
/// choice made, weighted and normalised by its weights.
fn quality(routes: &[Route], side: usize) -> Option<f64> {
    let gain = |route: &Route| route.gains.get(side).copied().unwrap_or(0.0);
    let mut order: Vec<&Route> = routes.iter().collect();
    order.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    let mut sum = 0.0;
    for tenth in 1..10 {
        let ups = order.len() * tenth / 10;
        let known = order.iter().enumerate().filter_map(|(at, route)| {
            let score = if at < ups { route.up } else { route.down };
            Some((score? * route.weight, route.weight))
        });
        let (score, weight) = known.fold((0.0, 0.0), |(score, weight), one| (score + one.0, weight + one.1));
        sum += if weight > 0.0 { score / weight } else { return None };
    }
    Some(sum / 9.0)
}

#[cfg(test)]
mod tests;
