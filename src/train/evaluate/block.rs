//! Which models and prompts are compared: every model on every prompt, so that nothing is compared across prompts.

use crate::train::error::TrainError;
use crate::train::outcomes::Outcomes;
use crate::train::tiers::{self, Tiers};

/// Models that answered the same prompts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    /// Positions in the outcomes.
    pub(super) models: Vec<u32>,
    /// Positions in the outcomes, in file order.
    pub(super) prompts: Vec<usize>,
    /// `scores[model][prompt]`.
    pub(super) scores: Vec<Vec<f64>>,
    /// `costs[model][prompt]` as the column `cost_usd` has them; NaN where it does not.
    pub(super) costs: Vec<Vec<f64>>,
    /// Models of the outcomes that are not compared.
    pub(super) models_left_out: usize,
    /// Prompts of the outcomes that are not compared, since not every model answered them.
    pub(super) prompts_left_out: usize,
}

impl Block {
    /// The prompts that all of these models answered.
    ///
    /// # Errors
    /// Fewer than two models, or models that share no prompt.
    pub(super) fn of(outcomes: &Outcomes, models: &[u32]) -> Result<Self, TrainError> {
        let name = |at: usize| {
            models.get(at).and_then(|model| outcomes.models.get(*model as usize)).cloned().unwrap_or_default()
        };
        let place = places(outcomes, models);
        let mut cells = vec![vec![(f64::NAN, f64::NAN); outcomes.prompts.len()]; models.len()];
        for row in &outcomes.rows {
            let place = place.get(row.model as usize).copied().flatten();
            let cell = place.and_then(|at| cells.get_mut(at)).and_then(|column| column.get_mut(row.prompt as usize));
            if let Some(cell) = cell {
                *cell = (f64::from(row.score), f64::from(row.cost_usd));
            }
        }
        let answered =
            |&prompt: &usize| cells.iter().all(|column| column.get(prompt).is_some_and(|cell| !cell.0.is_nan()));
        let prompts: Vec<usize> = (0..outcomes.prompts.len()).filter(answered).collect();
        if prompts.is_empty() || models.len() < 2 {
            return Err(TrainError::NoPairs { weak: name(0), strong: name(models.len().saturating_sub(1)) });
        }
        let column = |value: fn(&(f64, f64)) -> f64| {
            let of = |column: &Vec<(f64, f64)>| prompts.iter().filter_map(|&at| column.get(at)).map(value).collect();
            cells.iter().map(of).collect::<Vec<Vec<f64>>>()
        };
        Ok(Self {
            scores: column(|cell| cell.0),
            costs: column(|cell| cell.1),
            models: models.to_vec(),
            models_left_out: outcomes.models.len() - models.len(),
            prompts_left_out: outcomes.prompts.len() - prompts.len(),
            prompts,
        })
    }

    /// The largest block of the outcomes: models by the number of prompts they answered, as many as give the most cells. Models that
    /// the tier file leaves out are left out.
    ///
    /// # Errors
    /// One model only, or models that share no prompt.
    pub(super) fn largest(outcomes: &Outcomes, tiers: Option<&Tiers>) -> Result<Self, TrainError> {
        if let [only] = outcomes.models.as_slice() {
            return Err(TrainError::OneModel { model: only.clone() });
        }
        let mut answers = vec![0_usize; outcomes.models.len()];
        for row in &outcomes.rows {
            if let Some(count) = answers.get_mut(row.model as usize) {
                *count += 1;
            }
        }
        let wanted = |model: &u32| {
            let name = outcomes.models.get(*model as usize);
            !tiers.zip(name).is_some_and(|(tiers, name)| tiers.leaves_out(name))
        };
        let mut models: Vec<u32> = (0..outcomes.models.len() as u32).filter(wanted).collect();
        models.sort_by_key(|&model| std::cmp::Reverse(answers.get(model as usize).copied().unwrap_or(0)));
        let place = places(outcomes, &models);
        let mut answered = vec![vec![false; models.len()]; outcomes.prompts.len()];
        for row in &outcomes.rows {
            let at = place.get(row.model as usize).copied().flatten();
            let flag = answered.get_mut(row.prompt as usize).zip(at).and_then(|(flags, at)| flags.get_mut(at));
            if let Some(flag) = flag {
                *flag = true;
            }
        }
        let leading: Vec<usize> = answered.iter().map(|flags| flags.iter().take_while(|flag| **flag).count()).collect();
        let cells = |count: usize| count * leading.iter().filter(|&&models| models >= count).count();
        let count = (2..=models.len()).max_by_key(|&count| (cells(count), std::cmp::Reverse(count))).unwrap_or(2);
        models.truncate(count);
        models.sort_unstable();
        Self::of(outcomes, &models)
    }
}

/// The place of every model of the outcomes in a list, where it is in it.
fn places(outcomes: &Outcomes, models: &[u32]) -> Vec<Option<usize>> {
    (0..outcomes.models.len() as u32).map(|model| models.iter().position(|one| *one == model)).collect()
}

/// The position of a model in the outcomes, by its name, another name of it, or its last path segment in any case.
///
/// # Errors
/// A model that the outcomes do not have.
pub(super) fn find(outcomes: &Outcomes, name: &str) -> Result<u32, TrainError> {
    let canonical = outcomes.aliases.get(name).map_or(name, String::as_str);
    let exact = outcomes.models.iter().position(|model| model == canonical);
    let loose = || outcomes.models.iter().position(|model| tiers::key(model) == tiers::key(name));
    let found = exact.or_else(loose).map(|at| at as u32);
    found.ok_or_else(|| {
        let known: Vec<&str> = outcomes.models.iter().take(12).map(String::as_str).collect();
        TrainError::Unknown { what: "model", name: name.to_owned(), known: known.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluate::tests::outcomes;

    #[test]
    fn a_prompt_counts_if_every_model_answered_it() {
        let outcomes = outcomes(&["a", "b"], &[(0, 0, 1.0), (0, 1, 0.5), (1, 0, 1.0), (3, 1, 0.0), (3, 0, 0.25)]);

        let block = Block::of(&outcomes, &[0, 1]).unwrap();

        assert_eq!(block.prompts, [0, 3]);
        assert_eq!(block.scores, [vec![1.0, 0.25], vec![0.5, 0.0]]);
        assert_eq!(block.prompts_left_out, 2);
    }

    #[test]
    fn the_largest_block_leaves_out_who_answered_little() {
        let rows: Vec<(u32, u32, f32)> =
            (0..4).flat_map(|prompt| [(prompt, 0, 1.0), (prompt, 1, 0.0)]).chain([(2, 2, 1.0)]).collect();

        let block = Block::largest(&outcomes(&["a", "b", "rare"], &rows), None).unwrap();

        assert_eq!(block.models, [0, 1]);
        assert_eq!((block.prompts.len(), block.models_left_out), (4, 1));
    }

    #[test]
    fn models_without_a_shared_prompt_are_named() {
        let outcomes = outcomes(&["a", "b"], &[(0, 0, 1.0), (1, 1, 0.5)]);

        let error = Block::of(&outcomes, &[0, 1]).unwrap_err().to_string();

        assert!(error.contains("`a`") && error.contains("`b`") && error.contains("share no prompt"), "{error}");
    }

    #[test]
    fn a_model_is_found_by_any_of_its_names() {
        let mut outcomes = outcomes(&["mixtral-8x7b"], &[]);
        outcomes.aliases.insert("mistralai/Mixtral-8x7B-Instruct".to_owned(), "mixtral-8x7b".to_owned());

        for name in ["mixtral-8x7b", "mistralai/Mixtral-8x7B-Instruct", "x/MIXTRAL-8x7b"] {
            assert_eq!(find(&outcomes, name).unwrap(), 0, "{name}");
        }
        assert!(find(&outcomes, "other").unwrap_err().to_string().contains("mixtral-8x7b"));
    }
}
