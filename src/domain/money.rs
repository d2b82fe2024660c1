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
    /// For a million input tokens that the provider wrote into its cache; the input price where it is absent.
    pub cache_write_per_mtok: Option<NanoUsd>,
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
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        part(usage.input_tokens - cached - written, self.input_per_mtok)
            + part(written, self.cache_write_per_mtok.unwrap_or(self.input_per_mtok))
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
    /// The part of the input that the provider wrote into its prompt cache. The store keeps what it cost, not its number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Every output token, reasoning included.
    pub output_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bills_cached_input_at_its_own_price() {
        let price = Price {
            input_per_mtok: NanoUsd(2_000_000_000),
            cached_input_per_mtok: Some(NanoUsd(500_000_000)),
            cache_write_per_mtok: None,
            output_per_mtok: NanoUsd(8_000_000_000),
        };
        let usage = Usage { input_tokens: 1_000, cached_input_tokens: 400, output_tokens: 10, ..Usage::default() };

        assert_eq!(price.cost(&usage), NanoUsd(600 * 2_000 + 400 * 500 + 10 * 8_000));
    }

    #[test]
    fn bills_what_was_written_to_a_cache_at_its_own_price_or_at_that_of_input() {
        let plain = Price { input_per_mtok: NanoUsd(4_000_000_000), ..Price::default() };
        let price = Price { cache_write_per_mtok: Some(NanoUsd(5_000_000_000)), ..plain };
        let usage =
            Usage { input_tokens: 1_000, cached_input_tokens: 400, cache_write_tokens: 500, ..Usage::default() };
        let absurd = Usage { cache_write_tokens: u64::MAX, ..usage };

        assert_eq!(price.cost(&usage), NanoUsd(100 * 4_000 + 400 * 4_000 + 500 * 5_000));
        assert_eq!(plain.cost(&usage), NanoUsd(1_000 * 4_000));
        assert_eq!(price.cost(&absurd), NanoUsd(400 * 4_000 + 600 * 5_000), "never more than the input");
    }

    #[test]
    fn never_overflows_on_absurd_usage() {
        let price = Price { input_per_mtok: NanoUsd(u64::MAX), ..Price::default() };
        let usage = Usage {
            input_tokens: u64::MAX,
            cached_input_tokens: u64::MAX,
            output_tokens: u64::MAX,
            ..Usage::default()
        };

        assert_eq!(price.cost(&usage), NanoUsd(u64::MAX));
    }

    #[test]
    fn refuses_amounts_that_are_not_money() {
        for usd in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(NanoUsd::from_usd(usd), None);
        }
    }
}
