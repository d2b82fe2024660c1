//! Labels by position of the label space: tiers first, then the models that have enough rows.

use std::collections::HashSet;

use crate::domain::ids::ModelName;
use crate::domain::scores::LabelSpace;
use crate::train::fit::cells::Misfit;
use crate::train::outcomes::Outcomes;
use crate::train::tiers::Tiers;

/// One label of one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// The position in the label space.
    pub position: u16,
    /// The score, in 0..1.
    pub score: f32,
    /// How much it counts.
    pub weight: f32,
}

/// The labels of every prompt, by position.
#[derive(Clone, Debug)]
pub struct Labels {
    /// What the positions mean.
    pub space: LabelSpace,
    /// The tier of every position: its own for a tier, the model's for a model.
    pub tier_of: Vec<usize>,
    /// Labels of prompt after prompt.
    entries: Vec<Label>,
    /// Where each prompt's labels start; one more than there are prompts.
    starts: Vec<usize>,
}

/// What is left out, and from which count a model gets a position of its own.
#[derive(Clone, Debug)]
pub struct LabelOptions<'a> {
    /// Tiers and who belongs where.
    pub tiers: &'a Tiers,
    /// Rows that say more about a harness than a model.
    pub misfits: &'a [Misfit],
    /// Fewest rows for a model's own position.
    pub least_rows: usize,
}

impl Labels {
    /// Gathers labels. A tier's label is the mean of its models' scores, weighted as the rows are.
    #[must_use]
    pub fn gather(outcomes: &Outcomes, options: &LabelOptions<'_>) -> Self {
        let tier_of_model = options.tiers.assign(outcomes);
        let misfits: HashSet<(u32, u32)> =
            options.misfits.iter().map(|misfit| (misfit.dataset, misfit.model)).collect();
        let dataset_of = |prompt: u32| outcomes.prompts.get(prompt as usize).map_or(0, |prompt| prompt.dataset);
        let used = |model: u32, prompt: u32| {
            let left_out = outcomes.models.get(model as usize).is_some_and(|name| options.tiers.leaves_out(name));
            !left_out && !misfits.contains(&(dataset_of(prompt), model))
        };
        let mut counts = vec![0_usize; outcomes.models.len()];
        for row in outcomes.rows.iter().filter(|row| used(row.model, row.prompt)) {
            if let Some(count) = counts.get_mut(row.model as usize) {
                *count += 1;
            }
        }
        let tiers = options.tiers.names().len();
        let mut position_of = vec![None; outcomes.models.len()];
        let (mut models, mut tier_of) = (Vec::new(), (0..tiers).collect::<Vec<_>>());
        for (model, &count) in counts.iter().enumerate() {
            if count >= options.least_rows.max(1)
                && let (Some(position), Some(name)) = (position_of.get_mut(model), outcomes.models.get(model))
            {
                *position = Some((tiers + models.len()) as u16);
                models.push(ModelName::from(name.as_str()));
                tier_of.push(tier_of_model.get(model).copied().unwrap_or(0));
            }
        }
        let mut by_prompt: Vec<Vec<Label>> = vec![Vec::new(); outcomes.prompts.len()];
        for row in outcomes.rows.iter().filter(|row| used(row.model, row.prompt)) {
            let Some(labels) = by_prompt.get_mut(row.prompt as usize) else { continue };
            let tier = tier_of_model.get(row.model as usize).copied().unwrap_or(0) as u16;
            let own = position_of.get(row.model as usize).copied().flatten();
            labels.extend(own.map(|position| Label { position, score: row.score, weight: row.weight }));
            match labels.iter_mut().find(|label| label.position == tier) {
                Some(label) => {
                    label.weight += row.weight;
                    label.score += (row.score - label.score) * row.weight / label.weight;
                }
                None => labels.push(Label { position: tier, score: row.score, weight: row.weight }),
            }
        }
        let mut labels = Self::empty(LabelSpace::new(options.tiers.names().to_vec(), models), tier_of);
        for mut prompt in by_prompt {
            // A tier's mean of many models is one label, only a firmer one: it counts once.
            for label in prompt.iter_mut().filter(|label| usize::from(label.position) < tiers) {
                label.weight = label.weight.min(1.0).max(label.weight / 8.0);
            }
            prompt.sort_by_key(|label| label.position);
            labels.push(&prompt);
        }
        labels
    }

    /// No prompts yet.
    #[must_use]
    pub fn empty(space: LabelSpace, tier_of: Vec<usize>) -> Self {
        Self { space, tier_of, entries: Vec::new(), starts: vec![0] }
    }

    /// Appends the labels of the next prompt.
    pub fn push(&mut self, labels: &[Label]) {
        self.entries.extend_from_slice(labels);
        self.starts.push(self.entries.len());
    }

    /// How many prompts there are.
    #[must_use]
    pub fn prompts(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many tiers there are.
    #[must_use]
    pub fn tiers(&self) -> usize {
        self.space.tiers().len()
    }

    /// The labels of a prompt, by position; none beyond the last.
    #[must_use]
    pub fn of(&self, prompt: usize) -> &[Label] {
        match (self.starts.get(prompt), self.starts.get(prompt + 1)) {
            (Some(&start), Some(&end)) => self.entries.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The score of a position on a prompt.
    #[must_use]
    pub fn score(&self, prompt: usize, position: usize) -> Option<f32> {
        self.of(prompt).iter().find(|label| usize::from(label.position) == position).map(|label| label.score)
    }

    /// The weighted mean score of every position over some prompts; `None` where it has no label.
    #[must_use]
    pub fn means(&self, prompts: &[usize]) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0_f64, 0.0_f64); self.space.len()];
        for label in prompts.iter().flat_map(|&prompt| self.of(prompt)) {
            if let Some((sum, weight)) = sums.get_mut(usize::from(label.position)) {
                *sum += f64::from(label.score) * f64::from(label.weight);
                *weight += f64::from(label.weight);
            }
        }
        sums.into_iter().map(|(sum, weight)| (weight > 0.0).then(|| sum / weight)).collect()
    }
}
