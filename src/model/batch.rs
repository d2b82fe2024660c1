//! Which of the waiting prompts form the next batch. Pure.

use std::num::NonZeroUsize;

/// How large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most tokens a padded batch may cost: longest prompt × number of prompts.
    /// A single prompt is taken whatever it costs, so that none waits for ever.
    pub tokens: NonZeroUsize,
    /// Most prompts in a batch.
    pub prompts: NonZeroUsize,
}

/// How many of the waiting prompts, first come first served, form the next batch, given their lengths in tokens.
///
/// Never zero if any waits. The padded cost is within the limit unless the batch is one prompt. No prompt overtakes another: a
/// cleverer choice would save padding and let a long prompt starve.
#[must_use]
pub fn plan(waiting: impl Iterator<Item = usize>, limits: &BatchLimits) -> usize {
    let mut longest = 0;
    let fits = waiting.take(limits.prompts.get()).enumerate().take_while(|&(already, length)| {
        longest = longest.max(length);
        already == 0 || longest.saturating_mul(already + 1) <= limits.tokens.get()
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(tokens: usize, prompts: usize) -> BatchLimits {
        BatchLimits { tokens: NonZeroUsize::new(tokens).unwrap(), prompts: NonZeroUsize::new(prompts).unwrap() }
    }

    #[test]
    fn counts_padding_and_not_the_sum() {
        assert_eq!(plan([10, 10, 100].into_iter(), &limits(200, 8)), 2);
        assert_eq!(plan([100, 10, 10].into_iter(), &limits(300, 8)), 3);
    }

    proptest! {
        #[test]
        fn a_batch_is_within_budget_makes_progress_and_is_as_long_as_it_can_be(
            lengths in prop::collection::vec(0_usize..600, 0..40), tokens in 1_usize..2000, prompts in 1_usize..20,
        ) {
            let limits = limits(tokens, prompts);
            let cost = |count: usize| lengths[..count].iter().max().copied().unwrap_or(0) * count;

            let taken = plan(lengths.iter().copied(), &limits);

            prop_assert!(taken <= prompts && taken <= lengths.len());
            prop_assert_eq!(taken == 0, lengths.is_empty());
            prop_assert!(taken <= 1 || cost(taken) <= tokens);
            prop_assert!(taken == lengths.len() || taken == prompts || cost(taken + 1) > tokens);
        }
    }
}
