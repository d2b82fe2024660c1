//! Everything that figures are computed from: scores, costs and predictions of every model on every prompt.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use crate::domain::language::Language;
use crate::domain::prompt::Prompt;
use crate::domain::scores::LabelSpace;
use crate::model::generation::{Generation, PrepareSettings};
use crate::train::error::TrainError;
use crate::train::evaluate::EvalOptions;
use crate::train::evaluate::block::{Block, find};
use crate::train::evaluate::costs::{self, CostNote, Costs};
use crate::train::evaluate::extras::{self, Extras, language_of};
use crate::train::evaluate::judges::{self, Judge, judges};
use crate::train::evaluate::sweep::{self, Choices, Seen};
use crate::train::outcomes::{self, OutcomeOptions, Outcomes};
use crate::train::progress::{Phase, Progress, step};
use crate::train::tiers::Tiers;

/// The outcomes to measure on, whichever bundle is measured.
pub(super) struct Field {
    pub(super) outcomes: Outcomes,
    pub(super) block: Block,
    pub(super) extras: Extras,
    pub(super) costs: Costs,
    pub(super) names: Vec<String>,
    tiers: Option<Tiers>,
}

/// One prompt's slices.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) dataset: String,
    pub(super) task: &'static str,
    pub(super) language: String,
    pub(super) characters: usize,
}

/// What happened while scoring.
#[derive(Clone, Debug, Default)]
pub(super) struct Timing {
    pub(super) micros: Vec<f64>,
    pub(super) unscored: usize,
    pub(super) truncated: usize,
}

/// A bundle on a field.
pub(super) struct Arena {
    pub(super) bundle: String,
    pub(super) models: Vec<Judge>,
    /// The two models whose gap is recovered: the pair asked for, or the cheapest and the best.
    pub(super) weak: usize,
    pub(super) strong: usize,
    /// `[model][prompt]`, as are costs and predictions.
    pub(super) scores: Vec<Vec<f64>>,
    pub(super) costs: Vec<Vec<f64>>,
    pub(super) predicted: Vec<Vec<f64>>,
    /// How much the router wants the strong model, by prompt.
    pub(super) wishes: Vec<f64>,
    pub(super) facts: Vec<Facts>,
    pub(super) choices: Choices,
    pub(super) cost_note: CostNote,
    pub(super) timing: Timing,
}

impl Field {
    /// Reads and checks the outcomes.
    ///
    /// # Errors
    /// Files that do not read, models that are not in them or share no prompt, scores that are all the same, prices for some models only.
    pub(super) fn read(options: &EvalOptions, progress: &dyn Progress) -> Result<Self, TrainError> {
        let tiers = options.tiers.as_deref().map(Tiers::load).transpose()?;
        let reading = OutcomeOptions { filters: options.filters.clone(), ..OutcomeOptions::default() };
        let outcomes = outcomes::read(&options.outcomes, &reading, progress)?;
        let block = match (&options.pair, options.only.as_slice()) {
            (Some(pair), _) => Block::of(&outcomes, &[find(&outcomes, &pair.weak)?, find(&outcomes, &pair.strong)?])?,
            (None, []) => Block::largest(&outcomes, tiers.as_ref())?,
            (None, only) => {
                let found: Result<Vec<u32>, TrainError> = only.iter().map(|name| find(&outcomes, name)).collect();
                let mut models = found?;
                models.sort_unstable();
                models.dedup();
                Block::of(&outcomes, &models)?
            }
        };
        let first = block.scores.iter().flatten().next().copied().unwrap_or(0.0);
        if block.scores.iter().flatten().all(|score| (score - first).abs() < 1e-9) {
            return Err(TrainError::SingleClass { score: first as f32 });
        }
        let extras = extras::read((&options.outcomes, &options.filters), (&outcomes, &block), progress)?;
        let name = |at: &u32| outcomes.models.get(*at as usize).cloned().unwrap_or_default();
        let names: Vec<String> = block.models.iter().map(name).collect();
        let costs = costs::of((&block, &extras.costs), &names, &options.prices)?;
        Ok(Self { outcomes, block, extras, costs, names, tiers })
    }

    /// Scores every prompt with a bundle and decides it at every setting of the dial.
    ///
    /// # Errors
    /// A bundle that does not load, models that nothing places among its tiers, and interruption.
    pub(super) fn arena(
        &self,
        (bundle, options): (&Path, &EvalOptions),
        progress: &dyn Progress,
    ) -> Result<Arena, TrainError> {
        let prepare = PrepareSettings {
            slots: NonZeroUsize::MIN,
            careful: None,
            ..PrepareSettings::new(bundle, &options.models)
        };
        let generation = Generation::prepare(&prepare).map_err(TrainError::model("loading the bundle"))?;
        let (seen, timing) = self.score(&generation, progress)?;
        let places = self.places(generation.labels(), (options, &seen))?;
        let models: Vec<(u32, usize)> = self.block.models.iter().copied().zip(places).collect();
        let judges = judges(generation.labels(), &self.outcomes, &models);
        let predicted: Vec<Vec<f64>> =
            judges.iter().map(|judge| seen.iter().map(|seen| success(seen, judge.position)).collect()).collect();
        let costs = self.costs.per_call.clone().unwrap_or_else(|| self.units(&judges, options));
        let (weak, strong) = if options.pair.is_some() { (0, 1) } else { self.ends(&costs)? };
        let means: Vec<f64> = costs.iter().map(|column| mean(column)).collect();
        let known = self.costs.per_call.as_ref().map(|_| means.as_slice());
        let choices = sweep::of_the_dial(&generation, &judges, known, &seen);
        let wish = |(at, seen): (usize, &Seen)| {
            let p = |model: usize| predicted.get(model).and_then(|column| column.get(at)).copied().unwrap_or(0.5);
            if seen.scores.is_ok() { p(strong) - p(weak) } else { 1.0 }
        };
        Ok(Arena {
            bundle: generation.id().to_string(),
            weak,
            strong,
            wishes: seen.iter().enumerate().map(wish).collect(),
            facts: seen.iter().enumerate().map(|(at, seen)| self.facts(at, seen)).collect(),
            scores: self.block.scores.clone(),
            costs,
            predicted,
            choices,
            models: judges,
            cost_note: self.costs.note.clone(),
            timing,
        })
    }

    fn text(&self, at: usize) -> &str {
        let prompt = self.block.prompts.get(at).and_then(|prompt| self.outcomes.prompts.get(*prompt));
        prompt.map_or("", |prompt| &*prompt.text)
    }

    fn score(&self, generation: &Generation, progress: &dyn Progress) -> Result<(Vec<Seen>, Timing), TrainError> {
        let count = self.block.prompts.len();
        let mut all = Vec::with_capacity(count);
        let mut timing = Timing { micros: Vec::with_capacity(count), ..Timing::default() };
        for at in 0..count {
            if at.is_multiple_of(256) {
                step(progress, Phase::Evaluate, (at, count))?;
            }
            let prompt = Prompt::from_ask(self.text(at));
            let start = Instant::now();
            let mut scores = generation.score(&prompt);
            timing.micros.push(start.elapsed().as_secs_f64() * 1e6);
            match &mut scores {
                Ok(scores) => {
                    timing.truncated += usize::from(scores.truncated);
                    // Nobody asks for the neighbours again, and they are most of the memory.
                    scores.neighbourhood = crate::domain::scores::Neighbourhood::default();
                }
                Err(_) => timing.unscored += 1,
            }
            all.push(Seen { scores, shape: prompt.shape });
        }
        step(progress, Phase::Evaluate, (count, count))?;
        timing.micros.sort_by(f64::total_cmp);
        Ok((all, timing))
    }

    /// The tier of every model: the ends for a pair, else by the file, by cost, or by what the bundle expects.
    fn places(&self, space: &LabelSpace, (options, seen): (&EvalOptions, &[Seen])) -> Result<Vec<usize>, TrainError> {
        if options.pair.is_some() {
            return Ok(vec![0, space.tiers().len().saturating_sub(1)]);
        }
        let expected = |model: &u32| {
            let own = judges::own(space, &self.outcomes, *model);
            own.map_or(f64::NAN, |(at, _)| seen.iter().map(|seen| success(seen, at)).sum::<f64>() / seen.len() as f64)
        };
        let worth: Vec<f64> = match &self.costs.per_call {
            Some(costs) => costs.iter().map(|column| mean(column)).collect(),
            None => self.block.models.iter().map(expected).collect(),
        };
        judges::places((&self.names, &worth), self.tiers.as_ref(), space)
    }

    /// Costs where none are known.
    fn units(&self, judges: &[Judge], options: &EvalOptions) -> Vec<Vec<f64>> {
        let unit = |(at, judge): (usize, &Judge)| {
            let cost = if options.pair.is_some() { at as f64 } else { judge.rank as f64 + 1.0 };
            vec![cost; self.block.prompts.len()]
        };
        judges.iter().enumerate().map(unit).collect()
    }

    /// The cheapest model, of several the best, and the best, of several the cheapest.
    fn ends(&self, costs: &[Vec<f64>]) -> Result<(usize, usize), TrainError> {
        let score = |at: usize| self.block.scores.get(at).map_or(0.0, |column| mean(column));
        let cost = |at: usize| costs.get(at).map_or(0.0, |column| mean(column));
        let by = |a: (f64, f64), b: (f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
        let all = || 0..self.names.len();
        let cheapest = all().min_by(|&a, &b| by((cost(a), -score(a)), (cost(b), -score(b)))).unwrap_or(0);
        let best = all().min_by(|&a, &b| by((-score(a), cost(a)), (-score(b), cost(b)))).unwrap_or(0);
        let name = |at: usize| self.names.get(at).cloned().unwrap_or_default();
        if cheapest == best {
            return Err(TrainError::CheapestIsBest { model: name(best), score: score(best) });
        }
        Ok((cheapest, best))
    }

    fn facts(&self, at: usize, seen: &Seen) -> Facts {
        let prompt = self.block.prompts.get(at).and_then(|prompt| self.outcomes.prompts.get(*prompt));
        let dataset = prompt.and_then(|prompt| self.outcomes.datasets.get(prompt.dataset as usize));
        let column = self.extras.languages.get(at).and_then(Option::as_deref);
        let text = self.text(at);
        let believed = seen.scores.as_ref().map_or_else(|_| Language::of(text), |scores| scores.familiarity.language);
        Facts {
            dataset: dataset.cloned().unwrap_or_default(),
            task: seen.scores.as_ref().map_or("not scored", |scores| scores.task().0.as_str()),
            language: language_of(column, believed),
            characters: text.trim().chars().count(),
        }
    }
}

/// The predicted success at a position; even odds without scores.
fn success(seen: &Seen, position: usize) -> f64 {
    let estimate = seen.scores.as_ref().ok().and_then(|scores| scores.success.get(position));
    estimate.map_or(0.5, |estimate| estimate.mean.get())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
