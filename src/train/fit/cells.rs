//! Finding outcomes that say more about a test harness than about a model.

use std::collections::HashMap;

use crate::domain::probability::logit;
use crate::train::outcomes::Outcomes;

/// Fewest rows of a model in a dataset that are judged.
const LEAST_ROWS: f64 = 30.0;
/// How far below expectation, in logits, a model must be in one dataset to be left out there.
const TOLERANCE: f64 = 0.7;
/// Sweeps of the median polish; it settles within a few.
const SWEEPS: usize = 20;

/// A model in a dataset whose rows are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Position of the dataset.
    pub dataset: u32,
    /// Position of the model.
    pub model: u32,
    /// How far below expectation, in logits.
    pub residual: f64,
}

/// Models that do far worse in one dataset than their other results and the other models there explain: a wrong answer format, a
/// cut answer, a broken parser. Their rows would teach that such prompts are hard.
///
/// By median polish of the logits of mean scores over datasets and models. With few models or datasets nothing stands out.
#[must_use]
pub fn misfits(outcomes: &Outcomes) -> Vec<Misfit> {
    let mut sums: HashMap<(u32, u32), (f64, f64)> = HashMap::new();
    for row in &outcomes.rows {
        let dataset = outcomes.prompts.get(row.prompt as usize).map_or(0, |prompt| prompt.dataset);
        let (sum, count) = sums.entry((dataset, row.model)).or_default();
        *sum += f64::from(row.score);
        *count += 1.0;
    }
    let mut cells: Vec<((u32, u32), f64)> = sums
        .into_iter()
        .filter(|&(_, (_, count))| count >= LEAST_ROWS)
        .map(|(place, (sum, count))| (place, logit((sum / count).clamp(0.02, 0.98))))
        .collect();
    cells.sort_by_key(|&(place, _)| place);
    for _ in 0..SWEEPS {
        sweep(&mut cells, |(dataset, _)| dataset);
        sweep(&mut cells, |(_, model)| model);
    }
    let below = cells.into_iter().filter(|&(_, residual)| residual < -TOLERANCE);
    below.map(|((dataset, model), residual)| Misfit { dataset, model, residual }).collect()
}

/// Subtracts the median of each line, dataset or model.
fn sweep(cells: &mut [((u32, u32), f64)], line: impl Fn((u32, u32)) -> u32) {
    let mut lines: HashMap<u32, Vec<f64>> = HashMap::new();
    for &(place, value) in cells.iter() {
        lines.entry(line(place)).or_default().push(value);
    }
    let medians: HashMap<u32, f64> = lines.into_iter().map(|(at, values)| (at, median(values))).collect();
    for (place, value) in cells {
        *value -= medians.get(&line(*place)).copied().unwrap_or(0.0);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::outcomes::{OutcomeRow, PromptRow};

    #[test]
    fn a_model_that_fails_in_one_dataset_alone_is_found() {
        let mut outcomes = Outcomes::default();
        for dataset in 0..5_u32 {
            for number in 0..40_u32 {
                let prompt = outcomes.prompts.len() as u32;
                outcomes.prompts.push(PromptRow {
                    id: format!("{prompt}").into(),
                    text: "t".into(),
                    stem: u64::from(prompt),
                    dataset,
                    task: None,
                    group: 0,
                });
                for model in 0..5_u32 {
                    let share = if (dataset, model) == (3, 2) { 2 } else { 16 + 3 * model + dataset };
                    let score = f32::from(u8::from(number < share));
                    let (weight, output_tokens, cost_usd) = (1.0, f32::NAN, f32::NAN);
                    outcomes.rows.push(OutcomeRow { prompt, model, score, weight, output_tokens, cost_usd });
                }
            }
        }

        let found = misfits(&outcomes);

        assert_eq!(found.iter().map(|misfit| (misfit.dataset, misfit.model)).collect::<Vec<_>>(), [(3, 2)]);
    }
}
