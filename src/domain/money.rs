//! Money in whole nano-dollars, so that sums never drift.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar. Additions saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Rounds dollars to nano-dollars. `None` for a negative, infinite or NaN amount.
    #[must_use]
    pub fn from_usd(usd: f64) -> Option<Self> {
        (usd.is_finite() && usd >= 0.0).then(|| Self((usd * 1e9).round() as u64))
    }

    /// The amount in dollars, for people and JSON.
    #[must_use]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.6}", self.as_usd())
    }
}

/// What a model charges, per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// For a million input tokens.
    pub input_per_mtok: NanoUsd,
    /// For a million input tokens that the provider had cached; the input price where it is absent.
    pub cached_input_per_mtok: Option<NanoUsd>,
    /// For a million output tokens.
    pub output_per_mtok: NanoUsd,
}

impl Price {
    /// The cost of a call, rounded up to a whole nano-dollar per part.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> NanoUsd {
        let part = |tokens: u64, per_mtok: NanoUsd| {
            let product = u128::from(tokens) * u128::from(per_mtok.0);
            NanoUsd(u64::try_from(product.div_ceil(1_000_000)).unwrap_or(u64::MAX))
        };
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        part(usage.input_tokens - cached, self.input_per_mtok)
            + part(cached, self.cached_input_per_mtok.unwrap_or(self.input_per_mtok))
            + part(usage.output_tokens, self.output_per_mtok)
    }
}

/// The tokens of one call, as the upstream counted them or as we estimated them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Every input token, cached or not.
    pub input_tokens: u64,
    /// The part of the input that the provider served from its prompt cache.
    pub cached_input_tokens: u64,
    /// Every output token, reasoning included.
    pub output_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_cached_input_at_its_own_price() {
        let price = Price {
            input_per_mtok: NanoUsd(2_000_000_000),
            cached_input_per_mtok: Some(NanoUsd(500_000_000)),
            output_per_mtok: NanoUsd(8_000_000_000),
        };
        let usage = Usage { input_tokens: 1_000, cached_input_tokens: 400, output_tokens: 10 };

        assert_eq!(price.cost(&usage), NanoUsd(600 * 2_000 + 400 * 500 + 10 * 8_000));
    }

    #[test]
    fn never_overflows_on_absurd_usage() {
        let price = Price { input_per_mtok: NanoUsd(u64::MAX), ..Price::default() };
        let usage = Usage { input_tokens: u64::MAX, cached_input_tokens: u64::MAX, output_tokens: u64::MAX };

        assert_eq!(price.cost(&usage), NanoUsd(u64::MAX));
    }

    #[test]
    fn refuses_amounts_that_are_not_money() {
        for usd in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(NanoUsd::from_usd(usd), None);
        }
    }
}
