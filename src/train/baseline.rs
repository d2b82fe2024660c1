//! What the calibration prompts look like to the finished scorer: the bundle's baseline.

use crate::domain::baseline::Baseline;
use crate::domain::drift::{Sighting, Tally};
use crate::domain::embedding::Embedding;
use crate::domain::language::Language;
use crate::domain::neighbour::{Evidence, Neighbour};
use crate::domain::prompt::Prompt;
use crate::domain::task::Task;
use crate::model::index::{NeighbourIndex, SearchScratch};
use crate::train::fit::gain::Part;
use crate::train::scorer::{Scorer, apply};

/// How many of the nearest neighbours say how familiar a prompt is; as serving has it.
const DENSITY_NEIGHBOURS: usize = 10;

/// Counts the prompts of a part as serving would see them, with an index that they are not in. `None` where there are none.
pub(crate) fn baseline<'a>(
    scorer: &Scorer,
    part: Part<'_>,
    (index, text_of): (&NeighbourIndex, &dyn Fn(usize) -> &'a str),
) -> Option<Baseline> {
    let mut tally = Tally::default();
    let mut scratch = SearchScratch::default();
    for &prompt in part.prompts {
        let outputs = apply(&scorer.heads, part.features, prompt);
        let embedding = Embedding::normalise(part.features.embedding(prompt));
        let near = embedding.map_or_else(Vec::new, |embedding| index.nearest(&embedding, scorer.blend.k, &mut scratch));
        let priors = scorer.priors(&outputs);
        let evidence = Evidence::gather(&near, &scorer.blend, priors.len());
        let posterior = priors
            .iter()
            .zip(&evidence)
            .map(|(prior, evidence)| (prior.get(), evidence.update(*prior, scorer.blend.prior_strength).mean.get()));
        let tiers: Vec<(f64, f64)> = posterior.take(part.labels.tiers()).collect();
        let weakest = tiers.first().map_or(0.0, |(_, after)| *after);
        let task = outputs.task.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(task, _)| task);
        let asked = Prompt::from_ask(text_of(prompt));
        tally.add(&Sighting {
            gain: tiers.iter().map(|(_, after)| *after).fold(weakest, f64::max) - weakest,
            task: Task::ALL.get(task).copied().unwrap_or(Task::Other),
            language: Language::of(&asked.ask),
            chars: asked.signals.chars,
            density: density(&near),
            disagreement: tiers.iter().map(|(before, after)| (after - before).abs()).fold(0.0, f64::max),
        });
    }
    (tally.total() > 0).then(|| Baseline::new(tally))
}

fn density(near: &[Neighbour]) -> f64 {
    let nearest = near.iter().take(DENSITY_NEIGHBOURS);
    let count = nearest.len().max(1) as f64;
    nearest.map(|neighbour| f64::from(neighbour.similarity)).sum::<f64>() / count
}
