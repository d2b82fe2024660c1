//! Everything training needs in one place: outcomes, features, labels, and who is for what.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::model::manifest::TrainedOn;
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::fit::cells::{Misfit, misfits};
use crate::train::labels::{LabelOptions, Labels};
use crate::train::near::{NEARLY_SAME, nearly_same};
use crate::train::outcomes::{self, Filter, OutcomeOptions, Outcomes};
use crate::train::progress::Progress;
use crate::train::split::Split;
use crate::train::tasks::{self, TaskRows};
use crate::train::tiers::Tiers;

/// Fewest rows for a model to have a success head of its own.
pub const LEAST_MODEL_ROWS: usize = 300;

/// Fewest distinct prompts to train on without a base.
pub const LEAST_PROMPTS: usize = 60;

/// Prompts that must stay unseen.
#[derive(Clone, Debug, Default)]
pub struct Unseen {
    /// Outcomes files that hold them.
    pub paths: Vec<PathBuf>,
    /// Which rows of the files.
    pub filters: Vec<Filter>,
}

/// Outcomes with what the heads read and learn of them.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The outcomes.
    pub outcomes: Outcomes,
    /// What the heads read of every prompt.
    pub features: Features,
    /// Labels of every prompt.
    pub labels: Labels,
    /// Cells that were left out.
    pub misfits: Vec<Misfit>,
    /// Prompts that were left out because they, or ones nearly the same, must stay unseen.
    pub left_out: usize,
    /// Which prompts are for what.
    pub split: Split,
}

impl Dataset {
    /// Embeds, removes what must stay unseen, gathers labels and splits.
    ///
    /// # Errors
    /// Outcomes without anything to learn, too few prompts, and failures of the encoder.
    pub fn prepare(
        outcomes: Outcomes,
        encoder: &mut TextEncoder,
        (tiers, unseen, seed): (&Tiers, &Unseen, u64),
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        outcomes.check_learnable()?;
        let features = {
            let texts: Vec<&str> = outcomes.prompts.iter().map(|prompt| &*prompt.text).collect();
            encoder.features(&texts, progress)?
        };
        let before = outcomes.prompts.len();
        let (outcomes, features) = leave_unseen(outcomes, features, (encoder, unseen), progress)?;
        let left_out = before - outcomes.prompts.len();
        if outcomes.prompts.len() < LEAST_PROMPTS {
            return Err(TrainError::TooFew { found: outcomes.prompts.len(), needed: LEAST_PROMPTS });
        }
        let misfits = misfits(&outcomes);
        let options = LabelOptions { tiers, misfits: &misfits, least_rows: least_rows(&outcomes) };
        let labels = Labels::gather(&outcomes, &options);
        let means = labels.means(&(0..labels.prompts()).collect::<Vec<_>>());
        let labelled: Vec<usize> =
            (0..labels.tiers()).filter(|&tier| means.get(tier).copied().flatten().is_some()).collect();
        if let [only] = labelled.as_slice() {
            let tier = tiers.names().get(*only).map_or_else(String::new, ToString::to_string);
            return Err(TrainError::OneTier { tier });
        }
        let stems: Vec<u64> = outcomes.prompts.iter().map(|prompt| prompt.stem).collect();
        let split = Split::by_stem(&stems, seed);
        Ok(Self { outcomes, features, labels, misfits, left_out, split })
    }

    /// Dataset and group of every prompt.
    #[must_use]
    pub fn groups(&self) -> Vec<(u32, u64)> {
        self.outcomes.prompts.iter().map(|prompt| (prompt.dataset, prompt.group)).collect()
    }

    /// Prompts of the fitting part with the tokens of an answer.
    #[must_use]
    pub fn answers(&self) -> Vec<(u32, f32)> {
        let fit: std::collections::HashSet<usize> = self.split.fit.iter().copied().collect();
        let known = self.outcomes.rows.iter().filter(|row| row.output_tokens > 0.0);
        known.filter(|row| fit.contains(&(row.prompt as usize))).map(|row| (row.prompt, row.output_tokens)).collect()
    }

    /// What the manifest says about the data.
    #[must_use]
    pub fn trained_on(&self) -> TrainedOn {
        trained_on(&self.outcomes)
    }
}

/// A model needs enough rows for a head of its own; in a small file a tenth of its prompts is enough.
fn least_rows(outcomes: &Outcomes) -> usize {
    LEAST_MODEL_ROWS.min((outcomes.prompts.len() / 10).max(20))
}

/// What a manifest says about some outcomes: counts, and a digest over the sorted names of rows.
#[must_use]
pub fn trained_on(outcomes: &Outcomes) -> TrainedOn {
    let mut by_dataset = vec![0_u64; outcomes.datasets.len()];
    let mut keys = Vec::with_capacity(outcomes.rows.len());
    for row in &outcomes.rows {
        let (Some(prompt), Some(model)) =
            (outcomes.prompts.get(row.prompt as usize), outcomes.models.get(row.model as usize))
        else {
            continue;
        };
        if let Some(count) = by_dataset.get_mut(prompt.dataset as usize) {
            *count += 1;
        }
        keys.push(outcomes::digest(&format!("{}\0{model}\0{}", prompt.id, row.score)));
    }
    keys.sort_unstable();
    let mut hasher = Sha256::new();
    for key in &keys {
        hasher.update(key.to_le_bytes());
    }
    let digest = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    TrainedOn {
        rows: outcomes.rows.len() as u64,
        prompts: outcomes.prompts.len() as u64,
        datasets: outcomes.datasets.iter().cloned().zip(by_dataset).collect(),
        digest,
    }
}

/// Removes prompts that share a stem with, or are nearly the same as, one that must stay unseen.
fn leave_unseen(
    outcomes: Outcomes,
    features: Features,
    (encoder, unseen): (&mut TextEncoder, &Unseen),
    progress: &dyn Progress,
) -> Result<(Outcomes, Features), TrainError> {
    if unseen.paths.is_empty() {
        return Ok((outcomes, features));
    }
    let options = OutcomeOptions { filters: unseen.filters.clone(), ..OutcomeOptions::default() };
    let others = outcomes::read(&unseen.paths, &options, progress)?;
    let texts: Vec<&str> = others.prompts.iter().map(|prompt| &*prompt.text).collect();
    let near = nearly_same(&features, &encoder.features(&texts, progress)?, NEARLY_SAME, progress)?;
    let stems: std::collections::HashSet<u64> = others.prompts.iter().map(|prompt| prompt.stem).collect();
    let keep: Vec<usize> = (0..outcomes.prompts.len())
        .filter(|at| {
            !near.contains(at) && outcomes.prompts.get(*at).is_some_and(|prompt| !stems.contains(&prompt.stem))
        })
        .collect();
    let mut kept = Features::new(features.dimension());
    for &at in &keep {
        kept.push(Some(&features.embedding(at)), features.signals(at));
    }
    Ok((outcomes.keep(&keep), kept))
}

/// Tasks with what the heads read of them.
#[derive(Clone, Debug)]
pub struct TaskSet {
    /// What the heads read.
    pub features: Features,
    /// The class of every row, as place in the order of tasks.
    pub classes: Vec<usize>,
}

impl TaskSet {
    /// Embeds task rows.
    ///
    /// # Errors
    /// Failures of the encoder.
    pub fn prepare(rows: &TaskRows, encoder: &mut TextEncoder, progress: &dyn Progress) -> Result<Self, TrainError> {
        let texts: Vec<&str> = rows.rows.iter().map(|row| &*row.text).collect();
        let features = encoder.features(&texts, progress)?;
        Ok(Self { features, classes: rows.rows.iter().map(tasks::class).collect() })
    }

    /// Rows with an even place for fitting and every tenth held out, as `(fit, held out)`.
    #[must_use]
    pub fn halves(&self, rows: &TaskRows) -> (Self, Self) {
        let mut parts = [
            Self { features: Features::new(self.features.dimension()), classes: Vec::new() },
            Self { features: Features::new(self.features.dimension()), classes: Vec::new() },
        ];
        for (at, row) in rows.rows.iter().enumerate() {
            let held_out = row.stem % 10 == 0;
            let [fit, rest] = &mut parts;
            let part = if held_out { rest } else { fit };
            part.features.push(Some(&self.features.embedding(at)), self.features.signals(at));
            part.classes.push(self.classes.get(at).copied().unwrap_or(0));
        }
        let [fit, rest] = parts;
        (fit, rest)
    }
}
