//! A bundle against the one it was trained from, on verdicts that neither has learned from.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::ids::ItemId;
use crate::domain::scores::LabelSpace;
use crate::domain::task::Task;
use crate::model::index::{NeighbourIndex, SearchScratch};
use crate::train::adapt::Experience;
use crate::train::calibrate::blend::MAX_K;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::influence::Voices;
use crate::train::outcomes::digest;
use crate::train::progress::{Phase, Progress, step};
use crate::train::scorer::{Scorer, apply, neighbours};
use crate::train::tiers::key;

/// One prompt in so many is held out.
const HELD_OUT_PART: u64 = 5;
/// Prompts held out at most; more would only cost time.
const MOST_HELD_OUT: usize = 2_000;
/// A propensity below this was a draw: the choice says nothing about the prompt.
const EXPLORED_BELOW: f32 = 0.999;

/// Which prompts are learned from and which judge.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// To learn from.
    pub fit: Vec<usize>,
    /// To judge by. None shares a question with the others, or with what the parent learned.
    pub held_out: Vec<usize>,
}

impl Trial {
    /// Holds out a fifth of the questions, drawn by their digests, except those that the parent has learned.
    #[must_use]
    pub fn of(experience: &Experience, learned: &HashSet<u64>, seed: u64) -> Self {
        let mut trial = Self::default();
        for (row, stem) in experience.stems.iter().enumerate() {
            let drawn = digest(&format!("trial/{seed}/{stem}")).is_multiple_of(HELD_OUT_PART);
            // A question is held out whole: where the bound cuts it, its later prompts would be learned from.
            let place = if drawn && !learned.contains(stem) { &mut trial.held_out } else { &mut trial.fit };
            place.push(row);
        }
        if trial.held_out.len() > MOST_HELD_OUT {
            let stems: HashSet<u64> = trial
                .held_out
                .iter()
                .take(MOST_HELD_OUT)
                .filter_map(|&row| experience.stems.get(row).copied())
                .collect();
            let is_kept = |row: &usize| experience.stems.get(*row).is_some_and(|stem| stems.contains(stem));
            let (kept, rest): (Vec<usize>, Vec<usize>) = trial.held_out.iter().partition(|row| is_kept(row));
            trial.held_out = kept;
            trial.fit.extend(rest);
            trial.fit.sort_unstable();
        }
        trial
    }
}

/// Some prompts of an experience, in this order.
#[must_use]
pub fn part(experience: &Experience, rows: &[usize]) -> Experience {
    let mut features = Features::new(experience.features.dimension());
    for &row in rows {
        features.push(Some(&experience.features.embedding(row)), experience.features.signals(row));
    }
    let unindexed = rows.iter().enumerate().filter(|(_, row)| experience.unindexed.contains(row)).map(|(at, _)| at);
    Experience {
        features,
        ids: rows.iter().filter_map(|&row| experience.ids.get(row).cloned()).collect(),
        stems: rows.iter().filter_map(|&row| experience.stems.get(row).copied()).collect(),
        tasks: rows.iter().filter_map(|&row| experience.tasks.get(row).copied()).collect(),
        verdicts: rows.iter().filter_map(|&row| experience.verdicts.get(row).cloned()).collect(),
        unindexed: unindexed.collect(),
        ..Experience::default()
    }
}

/// One side: what a bundle scores with.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Heads, calibration, blend and dial.
    pub scorer: &'a Scorer,
    /// What the positions mean.
    pub space: &'a LabelSpace,
    /// Its neighbours.
    pub index: &'a NeighbourIndex,
}

/// One prompt, scored by both sides.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the task is taken for, by the parent.
    pub task: Task,
    /// Success by position, by the parent.
    pub parent: Vec<f64>,
    /// Success by position, by the candidate.
    pub candidate: Vec<f64>,
    /// What was said of it.
    pub verdicts: Vec<JudgedVerdict>,
    /// Whether the model was drawn, so that the verdict speaks for prompts that would have gone elsewhere too.
    pub explored: bool,
}

/// A verdict beside what both sides expected.
#[derive(Clone, Copy, Debug)]
pub struct JudgedVerdict {
    /// Expected by the parent.
    pub parent: f64,
    /// Expected by the candidate.
    pub candidate: f64,
    /// How well it went.
    pub score: f64,
    /// How much it counts.
    pub weight: f64,
    /// The tier of the model.
    pub tier: usize,
}

/// Scores prompts with both sides. A prompt is never its own neighbour.
///
/// # Errors
/// [`TrainError::Interrupted`].
pub fn cases(
    (experience, voices): (&Experience, &Voices),
    rows: &[usize],
    (parent, candidate): (Side<'_>, Side<'_>),
    progress: &dyn Progress,
) -> Result<Vec<Case>, TrainError> {
    let places = Places::of(experience, parent.space);
    let mut scratch = SearchScratch::default();
    let mut cases = Vec::with_capacity(rows.len());
    for (done, &row) in rows.iter().enumerate() {
        if done.is_multiple_of(128) {
            step(progress, Phase::Evaluate, (done, rows.len()))?;
        }
        let mut score = |side: Side<'_>| {
            let own = experience.ids.get(row).map(|id| ItemId::from(format!("{:016x}", digest(id))));
            let mut near = neighbours(side.index, (&experience.features, MAX_K + 1), row, &mut scratch);
            near.retain(|near| Some(&near.item) != own.as_ref());
            let outputs = apply(&side.scorer.heads, &experience.features, row);
            (side.scorer.score(&outputs, &near), outputs.task)
        };
        let ((before, tasks), (after, _)) = (score(parent), score(candidate));
        let verdicts = experience.verdicts.get(row).into_iter().flatten().map(|verdict| {
            let tier = places.tier(&verdict.model, verdict.tier.as_deref());
            let p = |space: &LabelSpace, scores: &[f64]| {
                let at = places.position(space, &verdict.model).unwrap_or(tier);
                scores.get(at).copied().unwrap_or(0.5)
            };
            JudgedVerdict {
                parent: p(parent.space, &before),
                candidate: p(candidate.space, &after),
                score: f64::from(verdict.score),
                weight: f64::from(verdict.weight),
                tier,
            }
        });
        let task = tasks.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(task, _)| task);
        cases.push(Case {
            task: Task::ALL.get(task).copied().unwrap_or(Task::Other),
            verdicts: verdicts.collect(),
            parent: before,
            candidate: after,
            explored: voices.propensities.get(row).is_some_and(|propensity| *propensity < EXPLORED_BELOW),
        });
    }
    Ok(cases)
}

/// Which tier a model of the verdicts stands for: by the verdict, else by the rank of its mean, the best as the strongest tier and the worst as
/// the weakest, so that what is compared are the two ends of a user's own models.
struct Places {
    tiers: Vec<String>,
    by_rank: HashMap<String, usize>,
}

impl Places {
    fn of(experience: &Experience, space: &LabelSpace) -> Self {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for verdict in experience.verdicts.iter().flatten() {
            let sum = sums.entry(verdict.model.as_str()).or_default();
            *sum = (sum.0 + f64::from(verdict.score), sum.1 + 1.0);
        }
        let mut ranked: Vec<(f64, &str)> = sums.iter().map(|(name, (sum, count))| (sum / count, *name)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let tier = |rank| by_rank(rank, ranked.len(), space.tiers().len());
        let place = |(rank, (_, name)): (usize, &(f64, &str))| ((*name).to_owned(), tier(rank));
        Self {
            tiers: space.tiers().iter().map(ToString::to_string).collect(),
            by_rank: ranked.iter().enumerate().map(place).collect(),
        }
    }

    fn tier(&self, model: &str, tier: Option<&str>) -> usize {
        let named = tier.and_then(|tier| self.tiers.iter().position(|known| known == tier));
        named.or_else(|| self.by_rank.get(model).copied()).unwrap_or(0)
    }

    fn position(&self, space: &LabelSpace, model: &str) -> Option<usize> {
        let model = key(model);
        let at = space.models().iter().position(|known| key(known.as_str()) == model);
        at.map(|at| self.tiers.len() + at)
    }
}

/// The tier among so many of the model of this rank among so many, the best at the top. A model alone stands in the middle.
fn by_rank(rank: usize, models: usize, tiers: usize) -> usize {
    let (top, others) = (tiers.saturating_sub(1), models.saturating_sub(1));
    (rank * top + others / 2).checked_div(others).map_or(tiers / 2, |tier| tier.min(top))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_a_users_models_stands_at_the_top_and_the_worst_at_the_bottom() {
        let places = |models: usize| (0..models).map(|rank| by_rank(rank, models, 3)).collect::<Vec<_>>();

        assert_eq!((places(1), places(2), places(3)), (vec![1], vec![0, 2], vec![0, 1, 2]));
        assert_eq!(places(5), [0, 1, 1, 2, 2]);
        assert_eq!((by_rank(0, 0, 3), by_rank(4, 5, 0)), (1, 0));
    }

    fn stems(stems: Vec<u64>) -> Experience {
        Experience { ids: stems.iter().map(ToString::to_string).collect(), stems, ..Experience::default() }
    }

    #[test]
    fn a_fifth_of_the_questions_is_held_out_whole_and_nothing_the_parent_learned() {
        let experience = stems((0..2_000).map(|row| row % 1_000).collect());
        let learned: HashSet<u64> = (0..500).collect();

        let trial = Trial::of(&experience, &learned, 7);

        let stem = |row: &usize| experience.stems[*row];
        let (held, fit): (HashSet<u64>, HashSet<u64>) =
            (trial.held_out.iter().map(stem).collect(), trial.fit.iter().map(stem).collect());
        assert!(held.is_disjoint(&fit) && held.is_disjoint(&learned));
        assert!((70..130).contains(&held.len()), "{}", held.len());
        assert_eq!(trial.held_out.len() + trial.fit.len(), 2_000);
    }

    #[test]
    fn what_is_held_out_is_bounded() {
        let trial = Trial::of(&stems((0..20_000).collect()), &HashSet::new(), 7);

        assert_eq!((trial.held_out.len(), trial.fit.len()), (2_000, 18_000));
    }
}
