//! The labels of the model that is added.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::onboard::fit::Sample;
use crate::train::onboard::{LEAST_LABELS, OnboardOptions};
use crate::train::outcomes::{self, digest};
use crate::train::progress::Progress;
use crate::train::tiers::key;

/// Prompts with how well one model did on them.
#[derive(Clone, Debug)]
pub(super) struct Labelled {
    /// The texts.
    pub(super) texts: Vec<Box<str>>,
    /// The names that an index item of the same text has.
    pub(super) names: Vec<String>,
    /// The questions.
    pub(super) stems: Vec<u64>,
    /// The scores, in 0..1.
    pub(super) scores: Vec<f64>,
    /// How much each counts, one on average.
    pub(super) weights: Vec<f64>,
    /// What the heads read.
    pub(super) features: Features,
}

impl Labelled {
    /// Reads the rows of the model and embeds their prompts.
    ///
    /// # Errors
    /// The outcomes do not read or lack the model, there are too few labels, or all say the same.
    pub(super) fn read(
        options: &OnboardOptions,
        encoder: &mut TextEncoder,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let outcomes = outcomes::read(&options.outcomes, &options.outcome_options, progress)?;
        let wanted = outcomes.aliases.get(&options.model).map_or(options.model.as_str(), String::as_str);
        let at = outcomes.models.iter().position(|name| key(name) == key(wanted));
        let at = at.ok_or_else(|| TrainError::Unknown {
            what: "model",
            name: options.model.clone(),
            known: outcomes.models.iter().take(12).cloned().collect::<Vec<_>>().join(", "),
        })?;
        let mut rows: Vec<_> = outcomes.rows.iter().filter(|row| row.model as usize == at).copied().collect();
        if let Some(most) = options.most_labels.filter(|most| *most < rows.len()) {
            rows.shuffle(&mut StdRng::seed_from_u64(options.seed));
            rows.truncate(most);
        }
        if rows.len() < LEAST_LABELS {
            let detail = format!(
                "{} labels are too few, at least {LEAST_LABELS} are needed; `trimtab onboard --anchors {}` says which prompts teach most",
                rows.len(),
                4 * LEAST_LABELS
            );
            return Err(TrainError::Onboard { model: options.model.clone(), detail });
        }
        let first = rows.first().map_or(0.0, |row| row.score);
        if rows.iter().all(|row| (row.score - first).abs() < 1e-6) {
            return Err(TrainError::SingleClass { score: first });
        }
        let total: f64 = rows.iter().map(|row| f64::from(row.weight)).sum();
        let scale = rows.len() as f64 / total.max(1e-9);
        let prompts: Vec<_> = rows.iter().filter_map(|row| outcomes.prompts.get(row.prompt as usize)).collect();
        let texts: Vec<Box<str>> = prompts.iter().map(|prompt| prompt.text.clone()).collect();
        let borrowed: Vec<&str> = texts.iter().map(|text| &**text).collect();
        Ok(Self {
            features: encoder.features(&borrowed, progress)?,
            names: texts.iter().map(|text| format!("{:016x}", digest(text))).collect(),
            stems: prompts.iter().map(|prompt| prompt.stem).collect(),
            scores: rows.iter().map(|row| f64::from(row.score)).collect(),
            weights: rows.iter().map(|row| f64::from(row.weight) * scale).collect(),
            texts,
        })
    }

    /// The labels as the fit reads them.
    pub(super) fn sample(&self, seed: u64) -> Sample<'_> {
        Sample { features: &self.features, scores: &self.scores, weights: &self.weights, stems: &self.stems, seed }
    }
}
