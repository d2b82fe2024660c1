//! Whose predictions stand for a model of the outcomes.

use crate::domain::ids::{ModelName, TierId};
use crate::domain::scores::LabelSpace;
use crate::train::error::TrainError;
use crate::train::outcomes::Outcomes;
use crate::train::tiers::{self, Tiers};

/// A model of the outcomes as the bundle sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judge {
    /// The model, as the outcomes name it.
    pub(super) model: String,
    /// The name under which a decision knows it: the bundle's own, where it has one.
    pub(super) name: ModelName,
    /// Whether the bundle knows the model by name.
    pub(super) known: bool,
    /// The position whose predictions stand for it.
    pub(super) position: usize,
    /// Its place among the tiers, 0 the weakest.
    pub(super) rank: usize,
    /// The tier of the bundle that stands for it where the bundle does not know it.
    pub(super) class: TierId,
}

impl Judge {
    /// What judges it, in words: its own name in the bundle, or a tier.
    pub(super) fn words(&self) -> String {
        if self.known { self.name.to_string() } else { format!("tier {}", self.class) }
    }
}

/// The position of a model that the bundle knows by one of its names.
pub(super) fn own(space: &LabelSpace, outcomes: &Outcomes, model: u32) -> Option<(usize, ModelName)> {
    let name = outcomes.models.get(model as usize)?;
    let aliases = outcomes.aliases.iter().filter(|(_, canonical)| *canonical == name).map(|(alias, _)| alias);
    let keys: Vec<String> = aliases.map(|alias| tiers::key(alias)).chain([tiers::key(name)]).collect();
    let at = space.models().iter().position(|known| keys.contains(&tiers::key(known.as_str())))?;
    Some((space.tiers().len() + at, space.models().get(at)?.clone()))
}

/// Judges of models whose tiers are known: places in the bundle's tiers, 0 the weakest.
pub(super) fn judges(space: &LabelSpace, outcomes: &Outcomes, models: &[(u32, usize)]) -> Vec<Judge> {
    let mut judges: Vec<Judge> = Vec::with_capacity(models.len());
    let last = space.tiers().len().saturating_sub(1);
    for &(model, rank) in models {
        let rank = rank.min(last);
        let name = outcomes.models.get(model as usize).cloned().unwrap_or_default();
        // Two models of the outcomes may be one to the bundle; the second is then a stranger.
        let own = own(space, outcomes, model).filter(|(_, own)| judges.iter().all(|judge| judge.name != *own));
        let class = space.tiers().get(rank).cloned().unwrap_or_else(|| TierId::from("none"));
        judges.push(match own {
            Some((position, own)) => Judge { model: name, name: own, known: true, position, rank, class },
            None => {
                Judge { name: ModelName::from(name.as_str()), model: name, known: false, position: rank, rank, class }
            }
        });
    }
    judges
}

/// The tier of every model: by the file, else by what it costs or, where nothing has a price, by what the bundle expects of it.
///
/// `worth` is the mean cost or predicted success of every model; NaN where there is none.
///
/// # Errors
/// A tier of the file that the bundle does not have, and a model that nothing places.
pub(super) fn places(
    (names, worth): (&[String], &[f64]),
    file: Option<&Tiers>,
    space: &LabelSpace,
) -> Result<Vec<usize>, TrainError> {
    let count = space.tiers().len().max(1);
    let mut ranked: Vec<usize> = (0..names.len()).collect();
    let value = |at: usize| worth.get(at).copied().unwrap_or(f64::NAN);
    ranked.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    let place = |(at, name): (usize, &String)| {
        if let Some(tier) = file.and_then(|file| file.named(name)) {
            let known = space.tier(tier);
            return known.ok_or_else(|| TrainError::NoTier { model: name.clone(), tier: tier.to_string() });
        }
        if value(at).is_nan() {
            return Err(TrainError::NoPlace { model: name.clone() });
        }
        let rank = ranked.iter().position(|one| *one == at).unwrap_or(0);
        Ok(rank * count / ranked.len().max(1))
    };
    names.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluate::tests::outcomes;

    fn space() -> LabelSpace {
        let tiers = ["small", "medium", "large"].map(TierId::from).to_vec();
        LabelSpace::new(tiers, vec![ModelName::from("Org/Known"), ModelName::from("other")])
    }

    #[test]
    fn a_model_the_bundle_does_not_know_is_judged_by_its_tier() {
        let outcomes = outcomes(&["known", "stranger"], &[]);

        let judges = judges(&space(), &outcomes, &[(0, 0), (1, 2)]);

        assert_eq!((judges[0].position, judges[0].words()), (3, "Org/Known".to_owned()));
        assert_eq!((judges[1].position, judges[1].words()), (2, "tier large".to_owned()));
    }

    #[test]
    fn two_spellings_of_one_model_stay_two() {
        let outcomes = outcomes(&["known", "x/known"], &[]);

        let judges = judges(&space(), &outcomes, &[(0, 0), (1, 1)]);

        assert!(judges[0].known && !judges[1].known);
        assert_ne!(judges[0].name, judges[1].name);
    }

    #[test]
    fn dearer_models_stand_higher_and_a_model_without_a_price_needs_the_file() {
        let names = ["a", "b", "c"].map(str::to_owned);

        assert_eq!(places((&names, &[3.0, 1.0, 2.0]), None, &space()).unwrap(), [2, 0, 1]);
        let error = places((&names, &[3.0, f64::NAN, 2.0]), None, &space()).unwrap_err().to_string();
        assert!(error.contains("`b`") && error.contains("--tiers"), "{error}");
    }
}
