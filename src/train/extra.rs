//! The optional files of a bundle: what a training adds to it, and what it hands on.

use std::collections::BTreeMap;

use crate::domain::operating::OperatingPoints;
use crate::domain::probability::logit;
use crate::domain::unknown::{KnownModel, Market};
use crate::model::bundle::{BASELINE_FILE, Bundle, MARKET_FILE, OPERATING_FILE};
use crate::train::build::TrainOptions;
use crate::train::dataset::Dataset;
use crate::train::derive::json;
use crate::train::directions::{DIRECTIONS_FILE, Directions};
use crate::train::error::TrainError;
use crate::train::fit::gain::Part;
use crate::train::held_out::HeldOut;
use crate::train::operating::with_costs;
use crate::train::progress::Progress;
use crate::train::scorer::{Scorer, apply};
use crate::train::tiers::Tiers;

/// Files that stay true when a bundle is adapted: its encoder and the order of its positions stay.
const INHERITED: [&str; 3] = [BASELINE_FILE, DIRECTIONS_FILE, MARKET_FILE];

/// What a training from nothing adds.
pub(super) fn learned(
    (scorer, held_out): (&Scorer, &HeldOut),
    (part, options): (Part<'_>, &TrainOptions),
    (data, tiers): (&Dataset, &Tiers),
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let mut files = BTreeMap::new();
    if let Some(directions) = Directions::fit(&scorer.heads, part, options.seed, progress)? {
        files.insert(DIRECTIONS_FILE.to_owned(), json(&directions)?);
    }
    files.insert(MARKET_FILE.to_owned(), json(&market(scorer, data, tiers))?);
    let relative = relative_price(data, tiers);
    let points = with_costs(held_out.operating.clone(), (relative, held_out.routing.prompts));
    if !points.is_empty() {
        let measured_on = format!("{} prompts held out from training", held_out.routing.prompts);
        files.insert(OPERATING_FILE.to_owned(), json(&OperatingPoints { measured_on, points })?);
    }
    Ok(files)
}

/// What the weakest tier charges for output relative to the strongest, by the mean list price of its models in logarithms.
fn relative_price(data: &Dataset, tiers: &Tiers) -> Option<f64> {
    let mean = |tier: usize| {
        let models = data.labels.space.models().iter().zip(data.labels.tier_of.iter().skip(data.labels.tiers()));
        let of_tier = models.filter(|(_, own)| **own == tier);
        let logarithms: Vec<f64> = of_tier.filter_map(|(model, _)| tiers.price(model.as_str())).map(f64::ln).collect();
        (!logarithms.is_empty()).then(|| logarithms.iter().sum::<f64>() / logarithms.len() as f64)
    };
    Some((mean(0)? - mean(data.labels.tiers().checked_sub(1)?)?).exp())
}

/// The ability of every tier and model on the calibration prompts: the mean of its calibrated logits, so that all are compared on the same.
fn market(scorer: &Scorer, data: &Dataset, tiers: &Tiers) -> Market {
    let mut sums = vec![0.0; scorer.heads.positions()];
    for &prompt in &data.split.calibration {
        let priors = scorer.priors(&apply(&scorer.heads, &data.features, prompt));
        for (sum, prior) in sums.iter_mut().zip(priors) {
            *sum += logit(prior.get());
        }
    }
    let count = data.split.calibration.len().max(1) as f64;
    let mut abilities = sums.into_iter().map(|sum| sum / count);
    let levels: Vec<f64> = abilities.by_ref().take(data.labels.tiers()).collect();
    let models = data.labels.space.models().iter().zip(abilities).zip(data.labels.tier_of.iter().skip(levels.len()));
    let known = models.map(|((name, ability), &tier)| KnownModel {
        name: name.to_string(),
        tier,
        ability,
        price: tiers.price(name.as_str()),
    });
    Market::of(known.collect(), levels)
}

/// What an adapted bundle takes over from its base, and the operating points that were counted for it.
pub(super) fn inherited(
    base: &Bundle,
    operating: Option<&OperatingPoints>,
) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
    let listed = INHERITED.into_iter().filter(|file| base.lists(file));
    let read = |file: &str| base.read(file).map_err(TrainError::model("reading the base bundle"));
    let files = listed.map(|file| Ok((file.to_owned(), read(file)?)));
    let counted = operating.map(|points| Ok((OPERATING_FILE.to_owned(), json(points)?)));
    files.chain(counted).collect()
}
