//! Which models are weak and which are strong.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use crate::domain::ids::TierId;
use crate::train::error::TrainError;
use crate::train::outcomes::Outcomes;

/// Tiers from weak to strong, and the tier of each model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiers {
    names: Vec<TierId>,
    of: HashMap<String, usize>,
    left_out: HashSet<String>,
    prices: HashMap<String, f64>,
}

/// The file form: `order = ["small", "large"]`, models to leave out, a table `[models]` from model to tier, and a table
/// `[prices]` from model to US dollars for a million output tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierFile {
    order: Vec<String>,
    #[serde(default)]
    leave_out: Vec<String>,
    #[serde(default)]
    models: HashMap<String, String>,
    #[serde(default)]
    prices: HashMap<String, f64>,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            names: ["small", "medium", "large"].map(TierId::from).to_vec(),
            of: HashMap::new(),
            left_out: HashSet::new(),
            prices: HashMap::new(),
        }
    }
}

impl Tiers {
    /// Reads a tier file (TOML).
    ///
    /// # Errors
    /// Files that cannot be read, fewer than two tiers, a tier named twice, and models of a tier that is not in the order.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::io("reading", path))?;
        Self::parse(&text).map_err(|detail| TrainError::Tiers { path: path.to_path_buf(), detail })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: TierFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.order.len() < 2 {
            return Err("`order` must name at least two tiers, from weak to strong".to_owned());
        }
        let mut of = HashMap::new();
        for (model, tier) in file.models {
            let at = file.order.iter().position(|name| *name == tier);
            let at = at.ok_or_else(|| format!("model `{model}` has the tier `{tier}`, which `order` does not name"))?;
            of.insert(key(&model), at);
        }
        let mut names = file.order.clone();
        names.sort();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("`order` names a tier twice".to_owned());
        }
        let left_out = file.leave_out.iter().map(|model| key(model)).collect();
        if let Some((model, _)) = file.prices.iter().find(|(_, price)| !(price.is_finite() && **price > 0.0)) {
            return Err(format!(
                "the price of `{model}` must be a positive number of US dollars per million output tokens"
            ));
        }
        let prices = file.prices.into_iter().map(|(model, price)| (key(&model), price)).collect();
        Ok(Self { names: file.order.into_iter().map(TierId::from).collect(), of, left_out, prices })
    }

    /// The tiers, from weak to strong.
    #[must_use]
    pub fn names(&self) -> &[TierId] {
        &self.names
    }

    /// What a model charges for a million output tokens, in US dollars, where the file says so.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<f64> {
        self.prices.get(&key(model)).copied()
    }

    /// The tier that the file gives a model, if it names it.
    #[must_use]
    pub fn named(&self, model: &str) -> Option<&TierId> {
        self.of.get(&key(model)).and_then(|&at| self.names.get(at))
    }

    /// Whether the rows of this model are not used.
    #[must_use]
    pub fn leaves_out(&self, model: &str) -> bool {
        self.left_out.contains(&key(model))
    }

    /// The tier of every model of these outcomes, by position.
    ///
    /// A model that the file does not name gets its place by its mean score on the prompts it shares with others: the weakest
    /// third goes to the weakest tier, and so on.
    #[must_use]
    pub fn assign(&self, outcomes: &Outcomes) -> Vec<usize> {
        let abilities = abilities(outcomes);
        let mut ranked: Vec<usize> = (0..abilities.len()).collect();
        let ability = |at: usize| abilities.get(at).copied().unwrap_or(0.0);
        ranked.sort_by(|&a, &b| ability(a).total_cmp(&ability(b)));
        let mut tiers = vec![0; abilities.len()];
        for (rank, &model) in ranked.iter().enumerate() {
            let by_rank = rank * self.names.len() / ranked.len().max(1);
            let named = outcomes.models.get(model).and_then(|name| self.of.get(&key(name)));
            if let Some(tier) = tiers.get_mut(model) {
                *tier = named.copied().unwrap_or(by_rank);
            }
        }
        tiers
    }
}

/// A model's name however it is written: the last path segment in lower case.
#[must_use]
pub fn key(model: &str) -> String {
    model.rsplit('/').next().unwrap_or(model).trim().to_lowercase()
}

/// How far each model is above the mean of the models that answered the same prompt, on average.
fn abilities(outcomes: &Outcomes) -> Vec<f64> {
    let mut prompt_sums = vec![(0.0_f64, 0.0_f64); outcomes.prompts.len()];
    for row in &outcomes.rows {
        if let Some((sum, count)) = prompt_sums.get_mut(row.prompt as usize) {
            *sum += f64::from(row.score);
            *count += 1.0;
        }
    }
    let mut sums = vec![(0.0_f64, 0.0_f64); outcomes.models.len()];
    for row in &outcomes.rows {
        let (sum, count) = prompt_sums.get(row.prompt as usize).copied().unwrap_or((0.0, 1.0));
        if let Some((above, rows)) = sums.get_mut(row.model as usize) {
            *above += f64::from(row.score) - sum / f64::max(count, 1.0);
            *rows += 1.0;
        }
    }
    sums.into_iter().map(|(above, rows)| above / f64::max(rows, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::outcomes::OutcomeRow;

    fn outcomes(scores: &[(&str, f32)]) -> Outcomes {
        let rows = scores.iter().enumerate().map(|(at, &(_, score))| OutcomeRow {
            prompt: 0,
            model: at as u32,
            score,
            weight: 1.0,
            output_tokens: f32::NAN,
            cost_usd: f32::NAN,
        });
        Outcomes {
            prompts: vec![],
            models: scores.iter().map(|(model, _)| (*model).to_owned()).collect(),
            rows: rows.collect(),
            ..Outcomes::default()
        }
    }

    #[test]
    fn models_are_ranked_by_score_where_nobody_placed_them() {
        let outcomes = outcomes(&[("strong", 0.9), ("weak", 0.1), ("middling", 0.5)]);

        assert_eq!(Tiers::default().assign(&outcomes), [2, 0, 1]);
    }

    #[test]
    fn a_file_places_models_however_their_name_is_written() {
        let tiers = Tiers::parse("order = [\"cheap\", \"dear\"]\n[models]\n\"Org/Model-X\" = \"dear\"").unwrap();
        let outcomes = outcomes(&[("model-x", 0.0), ("other", 0.9)]);

        assert_eq!(tiers.assign(&outcomes), [1, 1]);
    }

    #[test]
    fn prices_are_found_however_the_name_is_written_and_must_be_positive() {
        let tiers = Tiers::parse("order = [\"a\", \"b\"]\n[prices]\n\"Org/Model-X\" = 0.6").unwrap();
        let error = Tiers::parse("order = [\"a\", \"b\"]\n[prices]\nm = nan").unwrap_err();

        assert_eq!((tiers.price("model-x"), tiers.price("other")), (Some(0.6), None));
        assert!(error.contains("`m`"), "{error}");
    }

    #[test]
    fn a_file_with_an_unknown_tier_says_which_model() {
        let error = Tiers::parse("order = [\"a\", \"b\"]\n[models]\nm = \"c\"").unwrap_err();

        assert!(error.contains("`m`") && error.contains("`c`"), "{error}");
    }
}
