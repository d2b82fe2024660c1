//! What is believed of a model that nobody has labels for: its tier's success, moved by its family and its price, and less sure.

use serde::{Deserialize, Serialize};

use crate::domain::estimate::Estimate;
use crate::domain::ids::ModelName;
use crate::domain::probability::{Probability, logit, sigmoid};

/// How far models of one tier lie apart where too few are known to tell, in logits.
const TIER_SPREAD: f64 = 0.7;
/// How far a model may be from a member of its family whose name differs only in numbers, such as a date.
const SAME_SPREAD: f64 = 0.3;
/// What every word that only one of two names has adds to that.
const WORD_SPREAD: f64 = 0.35;
/// Leading parts of a name that two of a family share at least.
const LEAST_SHARED: usize = 2;
/// Half the width of a 90 % interval, in deviations.
const REACH: f64 = 1.645;

/// Where an estimate of a model's success comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Labels of its own.
    Own,
    /// Its tier, and a known model with nearly the same name.
    Family(ModelName),
    /// Its tier, and what models of its price can do.
    Price,
    /// Its tier alone.
    Tier,
}

impl Origin {
    /// A word for JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Family(_) => "family",
            Self::Price => "price",
            Self::Tier => "tier",
        }
    }
}

/// A model that a bundle has labels for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownModel {
    /// Its name.
    pub name: String,
    /// Its tier, 0 the weakest.
    pub tier: usize,
    /// Its mean success on prompts that are the same for all, as a logit.
    pub ability: f64,
    /// US dollars for a million output tokens, where that is known.
    pub price: Option<f64>,
}

/// The models a bundle knows, as points of comparison for those it does not. Fitted by training, stored in the bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Market {
    /// The models.
    pub models: Vec<KnownModel>,
    /// The ability of every tier, weakest first, on the same prompts.
    pub tiers: Vec<f64>,
    /// Ability by price: intercept, slope on the natural logarithm of the price, and the deviation around it. `None` where too few prices
    /// are known or dearer models are no better.
    pub by_price: Option<(f64, f64, f64)>,
    /// The names of the models, taken apart here so that no decision does it again.
    #[serde(skip)]
    names: Vec<NameParts>,
}

/// A market as it is stored.
#[derive(Deserialize)]
struct Stored {
    models: Vec<KnownModel>,
    tiers: Vec<f64>,
    by_price: Option<(f64, f64, f64)>,
}

impl From<Stored> for Market {
    fn from(Stored { models, tiers, by_price }: Stored) -> Self {
        let names = models.iter().map(|model| NameParts::of(&model.name)).collect();
        Self { models, tiers, by_price, names }
    }
}

/// Fewest models with prices behind a regression.
const LEAST_PRICED: usize = 6;

impl Market {
    /// Fits ability on price.
    #[must_use]
    pub fn of(models: Vec<KnownModel>, tiers: Vec<f64>) -> Self {
        let priced =
            models.iter().filter_map(|model| Some((model.price.filter(|price| *price > 0.0)?.ln(), model.ability)));
        let points: Vec<(f64, f64)> = priced.filter(|point| point.0.is_finite() && point.1.is_finite()).collect();
        let by_price = line(&points).filter(|(_, slope, _)| points.len() >= LEAST_PRICED && *slope > 0.0);
        Self::from(Stored { models, tiers, by_price })
    }

    /// Whether every number is one.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let model = |one: &KnownModel| {
            one.ability.is_finite() && one.price.is_none_or(|price| price.is_finite() && price > 0.0)
        };
        let sound = |(a, b, s): (f64, f64, f64)| a.is_finite() && b.is_finite() && s.is_finite() && s > 0.0;
        self.models.iter().all(model) && self.tiers.iter().all(|x| x.is_finite()) && self.by_price.is_none_or(sound)
    }

    /// How far models of a tier lie apart, in logits. At least a third of what is assumed where few are known.
    fn spread(&self, tier: usize) -> f64 {
        let Some(level) = self.tiers.get(tier) else { return TIER_SPREAD };
        let (mut squares, mut count) = (TIER_SPREAD * TIER_SPREAD, 1.0);
        for model in self.models.iter().filter(|model| model.tier == tier) {
            squares += (model.ability - level).powi(2);
            count += 1.0;
        }
        (squares / count).sqrt().max(TIER_SPREAD / 3.0)
    }

    /// What models of a tier charge, as the geometric mean. `None` where no price is known.
    fn usual_price(&self, tier: usize) -> Option<f64> {
        let of_tier = self.models.iter().filter(|model| model.tier == tier);
        let logarithms: Vec<f64> = of_tier.filter_map(|model| model.price).map(f64::ln).collect();
        (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
    }

    /// The known model with the nearest name, and how far apart such two may be.
    fn relative(&self, name: &str) -> Option<(&KnownModel, f64)> {
        let name = NameParts::of(name);
        let apart = |other: &NameParts| {
            let shared = name.shared(other);
            let related = shared >= LEAST_SHARED.min(name.0.len());
            related.then(|| (SAME_SPREAD + WORD_SPREAD * name.words_apart(other) as f64, shared))
        };
        let found = self.models.iter().zip(&self.names).filter_map(|(model, other)| Some((model, apart(other)?)));
        let nearest = found.min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(b.1.1.cmp(&a.1.1)));
        nearest.map(|(model, (spread, _))| (model, spread))
    }
}

/// The parts of a name: what stands before a slash and case do not matter.
#[derive(Clone, Debug, PartialEq)]
struct NameParts(Vec<String>);

impl NameParts {
    fn of(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
        Self(name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// How many leading parts are the same.
    fn shared(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).take_while(|(a, b)| a == b).count()
    }

    /// How many words only one of the two has. Numbers, such as dates, are no words.
    fn words_apart(&self, other: &Self) -> usize {
        let alone = |these: &Self, those: &Self| {
            let words = these.0.iter().filter(|part| part.chars().any(char::is_alphabetic));
            words.filter(|part| !those.0.contains(part)).count()
        };
        alone(self, other) + alone(other, self)
    }
}

/// What is known of a model without labels.
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// Its name.
    pub name: &'a str,
    /// The place of the tier it stands in, in the bundle.
    pub tier: usize,
    /// US dollars for a million output tokens.
    pub price: Option<f64>,
}

/// The success of a model that has no labels, given its tier's on the same prompt.
///
/// Family and price are evidence about how far the model is from its tier, each as sure as such evidence has been for known models; the
/// tier's own spread is the prior they are shrunk to. A price counts against what is usual in the tier: which tier a model belongs to is the
/// operator's word, and the dial is defined on gains between tiers. The interval covers both what the tier's estimate leaves open and this distance.
/// Without a market the tier's estimate is taken, widened by a spread that is assumed.
#[must_use]
pub fn believe(market: Option<&Market>, stranger: &Stranger<'_>, tier: Estimate) -> (Estimate, Origin) {
    let nothing = Market::default();
    let market = market.unwrap_or(&nothing);
    let level = market.tiers.get(stranger.tier).copied();
    let (mut precision, mut sum) = (market.spread(stranger.tier).powi(-2), 0.0);
    let mut origin = Origin::Tier;
    let mut learn = |distance: f64, spread: f64| {
        precision += spread.powi(-2);
        sum += distance * spread.powi(-2);
    };
    let price = stranger.price.filter(|price| *price > 0.0 && price.is_finite());
    if let (Some((_, slope, spread)), Some(price), Some(usual)) =
        (market.by_price, price, market.usual_price(stranger.tier))
    {
        learn(slope * (price / usual).ln(), spread);
        origin = Origin::Price;
    }
    if let (Some(level), Some((relative, spread))) = (level, market.relative(stranger.name)) {
        learn(relative.ability - level, spread);
        origin = Origin::Family(ModelName::from(relative.name.as_str()));
    }
    let (shift, spread) = (sum / precision, precision.powf(-0.5));
    (moved(tier, shift, spread), origin)
}

/// Moves an estimate by a shift in logits that is itself uncertain.
///
/// The mean is not drawn towards one half for that: a tier's estimate is the mean over its models already, and the dial's thresholds are
/// fitted on gains between such means.
fn moved(estimate: Estimate, shift: f64, spread: f64) -> Estimate {
    let of = |p: Probability| logit(p.get());
    let centre = of(estimate.mean) + shift;
    let down = (of(estimate.mean) - of(estimate.low)).hypot(REACH * spread);
    let up = (of(estimate.high) - of(estimate.mean)).hypot(REACH * spread);
    Estimate {
        mean: Probability::clamped(sigmoid(centre)),
        low: Probability::clamped(sigmoid(centre - down)),
        high: Probability::clamped(sigmoid(centre + up)),
    }
}

/// Intercept, slope and deviation of a least-squares line.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let count = points.len() as f64;
    if points.len() < 3 {
        return None;
    }
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if squares < 1e-9 {
        return None;
    }
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / squares;
    let intercept = y - slope * x;
    let rest: f64 = points.iter().map(|point| (point.1 - intercept - slope * point.0).powi(2)).sum();
    Some((intercept, slope, (rest / (count - 2.0)).sqrt().max(0.1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn market() -> Market {
        let model =
            |name: &str, tier, ability, price| KnownModel { name: name.to_owned(), tier, ability, price: Some(price) };
        Market::of(
            vec![
                model("tiny-1", 0, -1.0, 0.1),
                model("acme-small-2024-05-13", 0, -0.5, 0.3),
                model("acme-pro-2024-05-13", 1, 1.6, 15.0),
                model("mid-7", 0, 0.0, 1.0),
                model("mid-9", 1, 0.5, 3.0),
                model("great-1", 1, 1.4, 30.0),
            ],
            vec![-0.5, 1.0],
        )
    }

    fn tier() -> Estimate {
        Estimate::from_beta(12.0, 8.0)
    }

    #[test]
    fn a_dearer_stranger_is_believed_to_be_better() {
        let market = market();
        let of = |price| believe(Some(&market), &Stranger { name: "newcomer", tier: 1, price }, tier());

        let (cheap, dear) = (of(Some(0.2)), of(Some(60.0)));

        assert!(dear.0.mean.get() > cheap.0.mean.get() + 0.1, "{cheap:?} {dear:?}");
        assert_eq!((cheap.1, dear.1), (Origin::Price, Origin::Price));
        assert_eq!(of(None).1, Origin::Tier);
        assert_eq!(of(Some(f64::NAN)).1, Origin::Tier);
        let usual = of(Some((15.0_f64 * 3.0 * 30.0).cbrt())).0.mean.get();
        assert!((usual - tier().mean.get()).abs() < 1e-9, "a usual price moves nothing: {usual}");
    }

    #[test]
    fn a_newer_date_of_a_known_model_is_nearly_that_model() {
        let market = market();
        let of = |name| believe(Some(&market), &Stranger { name, tier: 0, price: None }, tier());

        let (relative, origin) = of("vendor/Acme-Pro-2025-01-31");

        assert_eq!(origin, Origin::Family("acme-pro-2024-05-13".into()));
        assert!(relative.mean.get() > 0.85, "two logits above its tier, nearly: {relative:?}");
        assert_eq!(of("acme-pro").1, Origin::Family("acme-pro-2024-05-13".into()));
        assert_eq!(of("another-pro-2024").1, Origin::Tier);
    }

    proptest! {
        #[test]
        fn a_stranger_is_never_surer_than_its_tier(
            alpha in 0.5_f64..60.0, beta in 0.5_f64..60.0, price in prop::option::of(0.01_f64..100.0), known in any::<bool>(),
        ) {
            let (market, estimate) = (market(), Estimate::from_beta(alpha, beta));
            let stranger = Stranger { name: "new-1", tier: 1, price };

            let (believed, _) = believe(known.then_some(&market), &stranger, estimate);

            let width = |e: &Estimate| logit(e.high.get()) - logit(e.low.get());
            prop_assert!(width(&believed) >= width(&estimate) - 1e-9 || estimate.high.get() > 0.999_99 || estimate.low.get() < 1e-5);
            prop_assert!(believed.low <= believed.mean && believed.mean <= believed.high);
        }
    }

    #[test]
    fn where_nothing_else_is_known_the_tier_speaks_and_is_less_sure() {
        let (believed, origin) = believe(None, &Stranger { name: "new", tier: 0, price: Some(3.0) }, tier());

        assert_eq!(origin, Origin::Tier);
        assert!((believed.mean.get() - tier().mean.get()).abs() < 1e-9);
        assert!(believed.reach() > 1.2 * tier().reach(), "{believed:?}");
    }

    #[test]
    fn prices_that_say_nothing_are_not_used() {
        let model = |at: u32| KnownModel {
            name: format!("m{at}"),
            tier: 0,
            ability: -f64::from(at),
            price: Some(f64::from(at + 1)),
        };

        assert_eq!(Market::of((0..9).map(model).collect(), vec![0.0]).by_price, None);
        assert_eq!(Market::of((0..2).map(model).collect(), vec![0.0]).by_price, None);
    }
}
