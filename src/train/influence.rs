//! How much every caller's feedback counts, and that none counts for too much.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::train::adapt::Experience;
use crate::train::outcomes::digest;

/// Callers that a report lists at most, the heaviest first.
const MOST_LISTED: usize = 50;

/// Who judged, beside an [`Experience`]: a list for every prompt with an entry for every verdict.
#[derive(Clone, Debug, Default)]
pub struct Voices {
    /// The callers' names.
    pub names: Vec<String>,
    /// For every verdict of every prompt, the position of its caller.
    pub judges: Vec<Vec<u32>>,
    /// For every prompt, the chance with which its model was chosen.
    pub propensities: Vec<f32>,
}

/// What feedback weighed, by caller. Ids only; nothing of what they said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Influence {
    /// The most that a caller may weigh, as a share of all: what was asked for, or an equal share where there are too few callers.
    pub caller_share: f64,
    /// How many verdicts of equal weight would say as much: fewer than there are, the more uneven propensities and caps make them.
    pub effective_verdicts: f64,
    /// Verdicts whose propensity was below the least that is believed.
    pub clipped: usize,
    /// Prompts that joined the index.
    pub indexed: usize,
    /// Callers in all.
    pub callers_in_all: usize,
    /// Prompts by the bundle that decided. Those of older bundles count like any other.
    pub bundles: BTreeMap<String, u64>,
    /// The heaviest callers.
    pub callers: Vec<CallerInfluence>,
}

/// One caller's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallerInfluence {
    /// The caller's name.
    pub caller: String,
    /// Its verdicts.
    pub verdicts: usize,
    /// Its share of all weight as it was given.
    pub given: f64,
    /// Its share of all weight as it was counted.
    pub counted: f64,
    /// Its prompts that joined the index.
    pub indexed: usize,
}

/// What is believed of feedback.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most that one caller may weigh, as a share of all.
    pub caller_share: f64,
    /// The most prompts that join the index.
    pub indexed: usize,
    /// The least propensity that is believed.
    pub least_propensity: f32,
}

/// Weighs verdicts by inverse propensity, normalised to a mean of one for every model; weighs down whoever is above the bound; and
/// chooses the prompts that join the index, the latest first, under the same bound.
#[must_use]
pub fn bound(experience: &mut Experience, voices: &Voices, bounds: Bounds) -> Influence {
    let clipped = normalise(experience, voices, bounds.least_propensity);
    let callers = voices.names.len();
    let share = bounds.caller_share.max(1.0 / callers.max(1) as f64).min(1.0);
    let given = totals(experience, voices, f64::from);
    let factors = factors(&given, share);
    for (verdicts, judges) in experience.verdicts.iter_mut().zip(&voices.judges) {
        for (verdict, judge) in verdicts.iter_mut().zip(judges) {
            verdict.weight *= factors.get(*judge as usize).copied().unwrap_or(1.0) as f32;
        }
    }
    let counted = totals(experience, voices, f64::from);
    let verdicts = totals(experience, voices, |_| 1.0);
    let indexed = choose_indexed(experience, voices, (&verdicts, share), bounds.indexed);
    let share_of = |totals: &[f64], at: usize| {
        let all: f64 = totals.iter().sum();
        if all > 0.0 { totals.get(at).copied().unwrap_or(0.0) / all } else { 0.0 }
    };
    let mut list: Vec<CallerInfluence> = (0..callers)
        .map(|at| CallerInfluence {
            caller: voices.names.get(at).cloned().unwrap_or_default(),
            verdicts: verdicts.get(at).copied().unwrap_or(0.0) as usize,
            given: share_of(&given, at),
            counted: share_of(&counted, at),
            indexed: indexed.get(at).copied().unwrap_or(0),
        })
        .collect();
    list.sort_by(|a, b| b.given.total_cmp(&a.given).then_with(|| a.caller.cmp(&b.caller)));
    list.truncate(MOST_LISTED);
    Influence {
        caller_share: share,
        effective_verdicts: effective(experience),
        clipped,
        indexed: experience.ids.len() - experience.unindexed.len(),
        callers_in_all: callers,
        bundles: BTreeMap::new(),
        callers: list,
    }
}

/// Divides by the propensity, bounded from below, so that what is rarely chosen speaks for what it was rarely chosen on; then scales
/// every model's weights to a mean of one, so that a log with much exploration weighs no more than one without.
fn normalise(experience: &mut Experience, voices: &Voices, least: f32) -> usize {
    let mut sums: HashMap<String, (f64, f64)> = HashMap::new();
    let mut clipped = 0;
    for (row, verdicts) in experience.verdicts.iter_mut().enumerate() {
        let propensity = voices.propensities.get(row).copied().unwrap_or(1.0);
        clipped += if propensity < least { verdicts.len() } else { 0 };
        for verdict in verdicts {
            verdict.weight /= propensity.max(least);
            match sums.get_mut(&verdict.model) {
                Some(sum) => *sum = (sum.0 + f64::from(verdict.weight), sum.1 + 1.0),
                None => {
                    sums.insert(verdict.model.clone(), (f64::from(verdict.weight), 1.0));
                }
            }
        }
    }
    for verdict in experience.verdicts.iter_mut().flatten() {
        if let Some((sum, count)) = sums.get(&verdict.model)
            && *sum > 0.0
        {
            verdict.weight *= (count / sum) as f32;
        }
    }
    clipped
}

fn totals(experience: &Experience, voices: &Voices, value: impl Fn(f32) -> f64) -> Vec<f64> {
    let mut totals = vec![0.0; voices.names.len()];
    for (verdicts, judges) in experience.verdicts.iter().zip(&voices.judges) {
        for (verdict, judge) in verdicts.iter().zip(judges) {
            if let Some(total) = totals.get_mut(*judge as usize) {
                *total += value(verdict.weight);
            }
        }
    }
    totals
}

/// What every caller's weight is multiplied by, so that none has more than this share of what then remains.
fn factors(totals: &[f64], share: f64) -> Vec<f64> {
    let mut sorted = totals.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut rest: f64 = sorted.iter().sum();
    let mut most = f64::INFINITY;
    for (capped, &total) in sorted.iter().enumerate() {
        // With the heaviest `capped` held to `most` and the others as they are: most = share * (capped * most + rest).
        let free = 1.0 - capped as f64 * share;
        most = if free > 1e-9 { share * rest / free } else { total };
        if total <= most + 1e-9 {
            break;
        }
        rest -= total;
        most = total.min(most);
    }
    totals.iter().map(|&total| if total > most && total > 0.0 { most / total } else { 1.0 }).collect()
}

/// Leaves out of the index what is above a caller's share, drawn by name, and then the oldest beyond the bound. Gives the number that
/// joins, by caller of the first verdict.
fn choose_indexed(
    experience: &mut Experience,
    voices: &Voices,
    (verdicts, share): (&[f64], f64),
    most: usize,
) -> Vec<usize> {
    let keep = factors(verdicts, share);
    let mut joined = vec![0; voices.names.len()];
    let mut unindexed = HashSet::new();
    let mut left = most;
    for row in (0..experience.ids.len()).rev() {
        let judge = voices.judges.get(row).and_then(|judges| judges.first()).copied().unwrap_or(0) as usize;
        let draw = experience.ids.get(row).map_or(0.0, |id| digest(id) as f64 / u64::MAX as f64);
        if left == 0 || draw >= keep.get(judge).copied().unwrap_or(1.0) {
            unindexed.insert(row);
            continue;
        }
        left -= 1;
        if let Some(count) = joined.get_mut(judge) {
            *count += 1;
        }
    }
    experience.unindexed = unindexed;
    joined
}

/// Kish's effective sample size.
fn effective(experience: &Experience) -> f64 {
    let weights = experience.verdicts.iter().flatten().map(|verdict| f64::from(verdict.weight));
    let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::heads::SIGNALS;
    use crate::train::adapt::Verdict;
    use crate::train::features::Features;

    const USUAL: Bounds = Bounds { caller_share: 0.2, indexed: 1_000, least_propensity: 0.05 };

    /// One verdict a prompt: so many of each caller, each with this propensity.
    fn told(callers: &[(&str, usize, f32)]) -> (Experience, Voices) {
        let mut experience = Experience { features: Features::new(2), ..Experience::default() };
        let mut voices = Voices::default();
        for (at, &(name, count, propensity)) in callers.iter().enumerate() {
            voices.names.push(name.to_owned());
            for n in 0..count {
                experience.features.push(Some(&[1.0, 0.0]), [0.0; SIGNALS]);
                experience.ids.push(format!("{name}-{n}"));
                experience.stems.push(n as u64);
                experience.tasks.push(None);
                let verdict = Verdict { model: "m".to_owned(), tier: None, score: 1.0, weight: 1.0 };
                experience.verdicts.push(vec![verdict]);
                voices.judges.push(vec![at as u32]);
                voices.propensities.push(propensity);
            }
        }
        (experience, voices)
    }

    #[test]
    fn a_flood_weighs_no_more_than_the_bound() {
        let (mut experience, voices) = told(&[
            ("a", 50, 1.0),
            ("b", 50, 1.0),
            ("c", 50, 1.0),
            ("d", 50, 1.0),
            ("e", 50, 1.0),
            ("flood", 5_000, 1.0),
        ]);

        let influence = bound(&mut experience, &voices, USUAL);

        let flood = &influence.callers[0];
        assert_eq!((flood.caller.as_str(), flood.verdicts), ("flood", 5_000));
        assert!(flood.given > 0.9 && flood.counted <= 0.2 + 1e-6, "{flood:?}");
        let share = flood.indexed as f64 / influence.indexed as f64;
        assert!(share < 0.3, "{share} of the index is the flood's");
        assert!(influence.callers[1..].iter().all(|caller| caller.indexed == 50), "{influence:?}");
    }

    #[test]
    fn several_floods_are_each_held_to_the_bound() {
        let factors = factors(&[1_000.0, 900.0, 10.0, 10.0, 10.0, 10.0], 0.3);

        let counted: Vec<f64> =
            factors.iter().zip([1_000.0, 900.0, 10.0, 10.0, 10.0, 10.0]).map(|(f, t)| f * t).collect();
        let all: f64 = counted.iter().sum();

        assert!(counted.iter().all(|one| *one <= 0.3 * all + 1e-6), "{counted:?}");
        assert_eq!(factors[2..], [1.0; 4]);
    }

    #[test]
    fn too_few_callers_for_the_bound_weigh_the_same_and_one_alone_is_free() {
        let (mut two, voices) = told(&[("a", 10, 1.0), ("b", 1_000, 1.0)]);
        let influence = bound(&mut two, &voices, USUAL);
        assert!(influence.callers.iter().all(|caller| (caller.counted - 0.5).abs() < 1e-6), "{influence:?}");

        let (mut one, voices) = told(&[("a", 10, 1.0)]);
        let influence = bound(&mut one, &voices, USUAL);
        assert!(one.verdicts.iter().flatten().all(|verdict| (verdict.weight - 1.0).abs() < 1e-6));
        assert!((influence.effective_verdicts - 10.0).abs() < 1e-6);
    }

    #[test]
    fn what_was_rarely_chosen_weighs_more_within_a_bound_and_the_mean_stays_one() {
        let (mut experience, voices) = told(&[("a", 90, 0.9), ("a2", 10, 0.001)]);

        let influence = bound(&mut experience, &voices, Bounds { caller_share: 1.0, ..USUAL });

        let weight = |row: usize| experience.verdicts[row][0].weight;
        assert!((weight(95) / weight(0) - 18.0).abs() < 1e-3, "0.9 against the least that is believed, 0.05");
        let mean: f32 = (0..100).map(weight).sum::<f32>() / 100.0;
        assert!((mean - 1.0).abs() < 1e-4);
        assert_eq!(influence.clipped, 10);
        assert!(influence.effective_verdicts < 40.0, "{influence:?}");
    }

    #[test]
    fn the_latest_join_the_index_first() {
        let (mut experience, voices) = told(&[("a", 100, 1.0)]);

        let influence = bound(&mut experience, &voices, Bounds { indexed: 30, ..USUAL });

        assert_eq!(influence.indexed, 30);
        assert!((70..100).all(|row| !experience.unindexed.contains(&row)));
    }
}
