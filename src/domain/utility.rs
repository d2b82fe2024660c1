//! What each model is worth to one request: its success, less what it costs, less what leaving the session's model loses.
//!
//! Everything is counted in success probability: `utility = success − threshold × relative cost − switching`. With two models this is the
//! dial's own meaning, that the dearer one answers exactly where its gain exceeds the threshold. With more, a model that costs a
//! tenth of the way from the cheapest to the dearest has to earn a tenth of the threshold.

use std::cmp::Ordering;

use crate::domain::calibration::Dial;
use crate::domain::candidate::ExpectedCost;
use crate::domain::decide::Considered;
use crate::domain::policy::Aim;

/// What one eligible model is worth to the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// Where its expected cost lies between that of the cheapest eligible model, 0, and that of the dearest, 1, were nothing cached.
    /// Cached input can bring it below 0. A model without a price stands where its tier does: see [`Scale`].
    pub relative_cost: f64,
    /// Where its tier lies between the weakest eligible one, 0, and the strongest, 1.
    pub strength: f64,
    /// The success probability that it must gain to be worth leaving the session's model; 0 for that model and outside sessions.
    pub switching: f64,
    /// Success, less the price of the cost, less the switching. `None` where nothing is known of its success, or where the aim is an
    /// end of the dial and asks for no success.
    pub utility: Option<f64>,
}

/// What success is traded against, at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade {
    /// The success probability that the whole way from the cheapest to the dearest model must earn. Below zero the cost no longer
    /// counts, and each way up the tiers is rewarded instead: the dial asks for strength even where a little success is lost.
    pub threshold: f64,
    /// The success probability that any other model than the session's must gain.
    pub margin: f64,
}

/// The costs and tiers among which a model's place is found. Costs are those of a call without cached tokens, so that what a session has
/// cached moves a model on the scale and not the scale.
///
/// Only the places between costs count, so the currency and the unit do not. What is unknown is never taken for free: a model without a
/// price stands where its tier does, and not below any priced model of its tier or of a weaker one. Where no two prices differ and
/// some are missing, tiers take the place of costs for all; where all prices are known and equal, cost does not count.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    cheapest: f64,
    span: f64,
    weakest: usize,
    steps: usize,
    /// The tier and place of every eligible model with a price.
    priced: Vec<(usize, f64)>,
    all_priced: bool,
}

impl Scale {
    /// The scale of the models that are eligible.
    #[must_use]
    pub fn of(considered: &[Considered]) -> Self {
        let eligible = || considered.iter().filter(|one| one.excluded.is_none());
        let usd = |cost: ExpectedCost| cost.uncached.as_usd();
        let costs = || eligible().filter_map(|one| one.cost).map(usd);
        let cheapest = costs().reduce(f64::min).unwrap_or(0.0);
        let span = costs().fold(cheapest, f64::max) - cheapest;
        let weakest = eligible().map(|one| one.rank).min().unwrap_or(0);
        let strongest = eligible().map(|one| one.rank).max().unwrap_or(0);
        let place = |cost: ExpectedCost| if span > 0.0 { (usd(cost) - cheapest) / span } else { 0.0 };
        Self {
            cheapest,
            span,
            weakest,
            steps: strongest - weakest,
            priced: eligible().filter_map(|one| Some((one.rank, place(one.cost?)))).collect(),
            all_priced: eligible().all(|one| one.cost.is_some()),
        }
    }

    /// The least gain that justifies the dearest model instead of the cheapest: from the dial, as given, or for an amount of money, the
    /// share of a success's value that the dearest costs more. Without a dial the quality is read as `1 - threshold`.
    #[must_use]
    pub fn threshold(&self, aim: Aim, dial: Option<&Dial>) -> f64 {
        match (aim, dial) {
            (Aim::Threshold(threshold), _) => threshold,
            (Aim::Quality(quality), Some(dial)) => dial.threshold(quality),
            (Aim::Quality(quality), None) => quality.complement().get(),
            // Nothing is worth a dollar where a success is worth none.
            (Aim::Value(value), _) if value.0 == 0 => f64::INFINITY,
            (Aim::Value(value), _) => self.span / value.as_usd(),
        }
    }

    /// The place and the utility of a model. `leaves` says whether choosing it leaves the session's model.
    #[must_use]
    pub fn worth(&self, one: &Considered, trade: Trade, leaves: Leaves) -> Worth {
        let relative_cost = self.relative_cost(one);
        let strength = self.strength(one.rank);
        let switching = match leaves {
            Leaves::Nothing => 0.0,
            Leaves::Session => trade.margin,
        };
        let charged = trade.threshold * if trade.threshold < 0.0 { strength } else { relative_cost };
        let weigh = |success: f64| Some(success - charged - switching).filter(|utility| utility.is_finite());
        Worth { relative_cost, strength, switching, utility: one.success.and_then(|one| weigh(one.mean.get())) }
    }

    fn relative_cost(&self, one: &Considered) -> f64 {
        match one.cost {
            Some(cost) if self.span > 0.0 => (cost.mean.as_usd() - self.cheapest) / self.span,
            Some(_) if self.all_priced => 0.0,
            Some(_) => self.strength(one.rank),
            None => {
                let below = self.priced.iter().filter(|(rank, _)| *rank <= one.rank).map(|(_, place)| *place);
                below.fold(self.strength(one.rank), f64::max)
            }
        }
    }

    fn strength(&self, rank: usize) -> f64 {
        if self.steps == 0 { 0.0 } else { rank.saturating_sub(self.weakest) as f64 / self.steps as f64 }
    }
}

/// Whether choosing a model leaves the session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// It is the session's model, or there is no session.
    Nothing,
    /// The session's model is another one.
    Session,
}

/// The model with the highest utility. Ties go to the cheaper, then to the first in configured order. `None` where nothing is known of any.
#[must_use]
pub fn best<'a>(models: impl Iterator<Item = &'a Considered>) -> Option<&'a Considered> {
    let weighed = models.filter_map(|one| one.worth.and_then(|worth| Some((one, worth, worth.utility?))));
    let better = |(_, a, a_utility): &(&Considered, Worth, f64), (_, b, b_utility): &(&Considered, Worth, f64)| {
        a_utility.total_cmp(b_utility).then(b.relative_cost.total_cmp(&a.relative_cost))
    };
    weighed
        .reduce(|kept, next| if better(&next, &kept) == Ordering::Greater { next } else { kept })
        .map(|(one, ..)| one)
}

/// The cheapest model. Ties go to the weaker tier, then to the first in configured order.
#[must_use]
pub fn cheapest<'a>(models: impl Iterator<Item = &'a Considered>) -> Option<&'a Considered> {
    let cost = |one: &Considered| one.worth.map_or(f64::INFINITY, |worth| worth.relative_cost);
    models.min_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.rank.cmp(&b.rank)))
}
