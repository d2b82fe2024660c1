//! What a call cost, and where that figure comes from.

use serde::Serialize;

use crate::train::error::TrainError;
use crate::train::evaluate::block::Block;
use crate::train::tiers;

/// What a call to a model costs, in a unit of the user's own: only ratios matter.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPrice {
    /// The model, as the outcomes name it.
    pub model: String,
    /// The price of a call, positive or zero.
    pub price: f64,
}

impl std::str::FromStr for CallPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (model, price) = text.rsplit_once('=').ok_or_else(|| format!("`{text}` is not `model=number`"))?;
        let number = price.trim().parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
        let price = number.ok_or_else(|| format!("`{price}` is not a price; give a number of zero or more"))?;
        Ok(Self { model: model.trim().to_owned(), price })
    }
}

/// Where costs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// The columns `cost_usd` and `cost_est_usd`: US dollars of every call.
    Columns,
    /// Prices given on the command line, the same for every call of a model.
    Prices,
    /// Nothing is known: of two models the strong one costs 1 and the weak one 0; of more, a call costs the place of its tier.
    Unit,
}

/// How costs were found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostNote {
    /// Where they come from.
    pub source: CostSource,
    /// The unit, for axes.
    pub unit: &'static str,
    /// The same in a sentence.
    pub words: String,
}

/// Known costs of a block, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Costs {
    pub(super) note: CostNote,
    /// `per_call[model][prompt]`. `None` where nothing is known.
    pub(super) per_call: Option<Vec<Vec<f64>>>,
}

/// Finds the costs of a block: prices that were given, else the columns, else none.
///
/// A call without a cost gets the mean of its model, if at least half of the model's calls have one.
///
/// # Errors
/// Prices for some models only.
pub(super) fn of(
    (block, estimated): (&Block, &[Vec<f64>]),
    names: &[String],
    prices: &[CallPrice],
) -> Result<Costs, TrainError> {
    if !prices.is_empty() {
        return given((block, names), prices);
    }
    let mut filled = 0_usize;
    let mut columns = Vec::with_capacity(block.costs.len());
    for (model, ((own, estimated), name)) in block.costs.iter().zip(estimated).zip(names).enumerate() {
        let cells: Vec<f64> =
            own.iter().zip(estimated).map(|(own, other)| if own.is_nan() { *other } else { *own }).collect();
        let known: Vec<f64> = cells.iter().copied().filter(|cost| !cost.is_nan()).collect();
        if known.len() * 2 < cells.len() || known.is_empty() {
            let words = match (model, known.len()) {
                (0, 0) => "the outcomes have no cost of a call (`cost_usd`), so costs are in units".to_owned(),
                _ => format!(
                    "`{name}` has costs for {} of {} calls only, so costs are in units",
                    known.len(),
                    cells.len()
                ),
            };
            return Ok(Costs { note: CostNote { source: CostSource::Unit, unit: "units", words }, per_call: None });
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        filled += cells.len() - known.len();
        columns.push(cells.into_iter().map(|cost| if cost.is_nan() { mean } else { cost }).collect());
    }
    let rest = if filled > 0 {
        format!("; {filled} calls without one count as the mean of their model")
    } else {
        String::new()
    };
    let is_own = block.costs.iter().flatten().any(|cost| !cost.is_nan());
    let column = if is_own { "cost_usd" } else { "cost_est_usd" };
    let note = CostNote {
        source: CostSource::Columns,
        unit: "US dollars",
        words: format!("costs are US dollars from the column `{column}`{rest}"),
    };
    Ok(Costs { note, per_call: Some(columns) })
}

fn given((block, names): (&Block, &[String]), prices: &[CallPrice]) -> Result<Costs, TrainError> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let found = prices.iter().find(|price| tiers::key(&price.model) == tiers::key(name));
        let price = found.ok_or_else(|| TrainError::NoPrice { model: name.clone() })?.price;
        columns.push(vec![price; block.prompts.len()]);
    }
    let words = "costs are the prices given with --price, the same for every call of a model".to_owned();
    let note = CostNote { source: CostSource::Prices, unit: "as in --price", words };
    Ok(Costs { note, per_call: Some(columns) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(costs: &[&[f64]]) -> Block {
        let prompts = (0..costs[0].len()).collect();
        Block { prompts, costs: costs.iter().map(|column| column.to_vec()).collect(), ..Block::default() }
    }

    fn find(block: &Block, estimated: &[Vec<f64>], prices: &[&str]) -> Result<Costs, TrainError> {
        let prices: Vec<CallPrice> = prices.iter().map(|text| text.parse().unwrap()).collect();
        of((block, estimated), &["org/Weak".to_owned(), "strong".to_owned()], &prices)
    }

    const NO: f64 = f64::NAN;

    #[test]
    fn real_costs_win_over_estimates_and_gaps_get_the_mean() {
        let block = block(&[&[1.0, NO, 3.0], &[9.0, 9.0, 9.0]]);

        let costs = find(&block, &[vec![5.0, NO, 5.0], vec![NO; 3]], &[]).unwrap();

        assert_eq!(costs.per_call.unwrap()[0], [1.0, 2.0, 3.0]);
        assert_eq!(costs.note.source, CostSource::Columns);
        assert!(costs.note.words.contains("1 calls without one"), "{}", costs.note.words);
    }

    #[test]
    fn without_costs_of_one_model_nothing_is_priced_and_it_says_so() {
        let block = block(&[&[1.0, 1.0], &[NO, NO]]);

        let costs = find(&block, &[vec![NO; 2], vec![NO; 2]], &[]).unwrap();

        assert_eq!((costs.note.source, costs.per_call), (CostSource::Unit, None));
        assert!(costs.note.words.contains("`strong`"), "{}", costs.note.words);
    }

    #[test]
    fn prices_name_every_model() {
        let block = block(&[&[NO], &[NO]]);
        let none = [vec![NO], vec![NO]];

        assert_eq!(find(&block, &none, &["weak=1", "strong=20"]).unwrap().per_call.unwrap(), [vec![1.0], vec![20.0]]);
        assert!(find(&block, &none, &["weak=1"]).unwrap_err().to_string().contains("`strong`"));
        assert!(
            "gpt=NaN".parse::<CallPrice>().is_err()
                && "gpt=-1".parse::<CallPrice>().is_err()
                && "gpt".parse::<CallPrice>().is_err()
        );
    }
}
