//! Which prompts would teach most about a new model.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::domain::probability::sigmoid;
use crate::model::bundle::Bundle;
use crate::model::session::Device;
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::golden;
use crate::train::onboard::fit::{logits, outputs};
use crate::train::onboard::{encoder_of, scorer_of, stated_tier};
use crate::train::outcomes::digest;
use crate::train::progress::{Phase, Progress, step};
use crate::train::table;

/// How many leading numbers of an embedding take part: enough to tell kinds of prompt apart.
const LEADING: usize = 32;
/// How strongly peculiarities in the embedding are believed to be small, in labels. Ability and discrimination are believed to vary.
const PECULIAR: f64 = 8.0;

/// Where to choose from, and how many.
#[derive(Clone, Debug)]
pub struct AnchorOptions {
    /// A file of candidates with `prompt` and perhaps `prompt_id`; without one the shipped prompts are the candidates.
    pub prompts: Option<PathBuf>,
    /// How many prompts to choose.
    pub count: usize,
    /// The bundle.
    pub bundle: PathBuf,
    /// The models directory, where encoders are looked for last.
    pub models: PathBuf,
    /// The tier the model is thought to belong to. Without one, the middle of the bundle's.
    pub tier: Option<String>,
    /// Threads that embed.
    pub threads: usize,
    /// Where a transformer encoder computes.
    pub device: Device,
}

/// A prompt worth running the new model on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Anchor {
    /// Its name in the file, or a digest of its text.
    pub prompt_id: String,
    /// The prompt.
    pub prompt: String,
    /// What its label would add to what is known, in nats, given the anchors before it.
    pub information: f64,
    /// The success expected of the new model.
    pub expected: f64,
}

/// Chooses prompts one by one so that the determinant of the Fisher information grows most (D-optimal design, greedily).
///
/// The information of a label on prompt `x` is `p(1 − p) · v vᵀ` with `v = (1, difficulty, embedding)`: prompts of middling difficulty teach
/// most about ability, easy and hard ones together about discrimination, and the embedding's part keeps the choice diverse.
///
/// # Errors
/// A bundle or file that cannot be read, a file without prompts, an unknown tier.
pub fn anchors(options: &AnchorOptions, progress: &dyn Progress) -> Result<Vec<Anchor>, TrainError> {
    let bundle = Bundle::open(&options.bundle).map_err(TrainError::model("opening the bundle"))?;
    let (heads, calibration) = scorer_of(&bundle, &bundle.manifest().heads)?;
    let space = bundle.label_space();
    let tier = stated_tier(&space, options.tier.as_deref())?.unwrap_or(space.tiers().len() / 2);
    let mut encoder: TextEncoder = encoder_of(&bundle, &options.models, (options.device, options.threads))?;
    let candidates = match &options.prompts {
        Some(path) => candidates(path)?,
        None => golden::PROMPTS.map(|prompt| (format!("{:016x}", digest(prompt)), prompt.to_owned())).to_vec(),
    };
    let texts: Vec<&str> = candidates.iter().map(|(_, prompt)| prompt.as_str()).collect();
    let features = encoder.features(&texts, progress)?;
    let logits = logits(&outputs(&heads, &features), tier);
    let map = calibration.success.get(tier);
    let expected: Vec<f64> =
        logits.iter().map(|&logit| map.map_or_else(|| sigmoid(logit), |map| map.apply(logit).get())).collect();
    let chosen = choose((&features, &logits, &expected), options.count, progress)?;
    let anchor = |(row, information): (usize, f64)| {
        let (prompt_id, prompt) = candidates.get(row)?.clone();
        Some(Anchor { prompt_id, prompt, information, expected: expected.get(row).copied()? })
    };
    Ok(chosen.into_iter().filter_map(anchor).collect())
}

/// Prompts of a file, each text once.
fn candidates(path: &Path) -> Result<Vec<(String, String)>, TrainError> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let info = table::read(path, &["prompt_id", "prompt", "prompt_core"], &mut |_, cells| {
        let text = |at: usize| cells.get(at).and_then(table::Cell::text).filter(|text| !text.trim().is_empty());
        if let Some(prompt) = text(2).or_else(|| text(1))
            && seen.insert(digest(prompt))
        {
            let id = text(0).map_or_else(|| format!("{:016x}", digest(prompt)), str::to_owned);
            found.push((id, prompt.to_owned()));
        }
        Ok(())
    })?;
    if found.is_empty() {
        return Err(table::missing_column(path, "prompt", &info));
    }
    Ok(found)
}

/// Rows with what each adds, most informative first.
fn choose(
    (features, logits, expected): (&Features, &[f64], &[f64]),
    count: usize,
    progress: &dyn Progress,
) -> Result<Vec<(usize, f64)>, TrainError> {
    let rows: Vec<(Vec<f64>, f64)> = (0..features.len())
        .map(|row| {
            let embedding = features.embedding(row);
            let mut v = vec![1.0, logits.get(row).copied().unwrap_or(0.0)];
            v.extend(embedding.iter().take(LEADING).map(|x| f64::from(*x)));
            let p = expected.get(row).copied().unwrap_or(0.5);
            (v, p * (1.0 - p))
        })
        .collect();
    let width = rows.first().map_or(0, |(v, _)| v.len());
    // The inverse of the information so far: the prior's.
    let mut inverse = vec![0.0; width * width];
    for at in 0..width {
        if let Some(diagonal) = inverse.get_mut(at * width + at) {
            *diagonal = if at < 2 { 1.0 } else { 1.0 / PECULIAR };
        }
    }
    let mut taken = vec![false; rows.len()];
    let mut chosen = Vec::new();
    while chosen.len() < count.min(rows.len()) {
        step(progress, Phase::Calibrate, (chosen.len(), count))?;
        let gain = |(row, (v, weight)): (usize, &(Vec<f64>, f64))| {
            let applied = apply(&inverse, v);
            let reach: f64 = applied.iter().zip(v).map(|(a, b)| a * b).sum();
            (row, (weight * reach).ln_1p())
        };
        let open = rows.iter().enumerate().filter(|(row, _)| taken.get(*row) == Some(&false));
        let Some((row, information)) = open.map(gain).max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        if let (Some((v, weight)), Some(flag)) = (rows.get(row), taken.get_mut(row)) {
            *flag = true;
            learn(&mut inverse, (v, *weight));
        }
        chosen.push((row, information));
    }
    Ok(chosen)
}

fn apply(matrix: &[f64], v: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(v.len().max(1)).map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum()).collect()
}

/// Adds `weight · v vᵀ` to the matrix whose inverse this is (Sherman and Morrison).
fn learn(inverse: &mut [f64], (v, weight): (&[f64], f64)) {
    let applied = apply(inverse, v);
    let reach: f64 = applied.iter().zip(v).map(|(a, b)| a * b).sum();
    let scale = weight / (1.0 + weight * reach);
    for (row, a) in inverse.chunks_exact_mut(v.len().max(1)).zip(&applied) {
        for (to, b) in row.iter_mut().zip(&applied) {
            *to -= scale * a * b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::progress::Silent;
    use crate::train::testing::signals_of;

    #[test]
    fn the_most_telling_prompt_comes_first_and_no_kind_twice_while_another_is_open() {
        let mut features = Features::new(2);
        for embedding in [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]] {
            features.push(Some(&embedding), signals_of("a prompt"));
        }
        // The last is certain to be answered well: its label would say nothing.
        let chosen = choose((&features, &[0.0, 0.0, 0.0, 6.0], &[0.5, 0.5, 0.5, 0.998]), 4, &Silent).unwrap();

        let order: Vec<usize> = chosen.iter().map(|one| one.0).collect();
        assert_eq!(
            order[..2].iter().map(|row| row / 2).collect::<std::collections::HashSet<_>>().len(),
            2,
            "{order:?}"
        );
        assert_eq!(order[3], 3, "{order:?}");
        assert!(chosen.windows(2).take(2).all(|pair| pair[0].1 >= pair[1].1), "{chosen:?}");
    }
}
