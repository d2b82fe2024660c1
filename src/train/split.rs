//! Parts of the data that never share a question.

use crate::train::outcomes::digest;

/// Prompt numbers of the three parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Heads are fitted and neighbours taken from these.
    pub fit: Vec<usize>,
    /// Calibration, blend and dial are fitted on these.
    pub calibration: Vec<usize>,
    /// The report is measured on these.
    pub test: Vec<usize>,
}

impl Split {
    /// The same split with nothing held back for measuring: heads are fitted on the test part too.
    #[must_use]
    pub fn without_test(&self) -> Self {
        let fit = self.fit.iter().chain(&self.test).copied().collect();
        Self { fit, calibration: self.calibration.clone(), test: Vec::new() }
    }

    /// Seventy-five, fifteen and ten per cent of the stems, drawn by the seed. Prompts of one stem stay together, so that no
    /// question is on both sides however often it was asked.
    #[must_use]
    pub fn by_stem(stems: &[u64], seed: u64) -> Self {
        let mut split = Self::default();
        for (prompt, stem) in stems.iter().enumerate() {
            let part = match digest(&format!("{seed}/{stem}")) % 100 {
                0..15 => &mut split.calibration,
                15..25 => &mut split.test,
                _ => &mut split.fit,
            };
            part.push(prompt);
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn no_stem_is_on_two_sides(stems in prop::collection::vec(0_u64..40, 1..300), seed in 0_u64..9) {
            let split = Split::by_stem(&stems, seed);
            let stems_of = |part: &[usize]| part.iter().map(|&at| stems[at]).collect::<std::collections::HashSet<_>>();
            let (fit, calibration, test) = (stems_of(&split.fit), stems_of(&split.calibration), stems_of(&split.test));

            prop_assert!(fit.is_disjoint(&calibration) && fit.is_disjoint(&test) && calibration.is_disjoint(&test));
            prop_assert!(split.fit.len() + split.calibration.len() + split.test.len() == stems.len());
        }
    }

    #[test]
    fn the_parts_have_about_their_share() {
        let stems: Vec<u64> = (0..10_000).collect();
        let split = Split::by_stem(&stems, 1);

        assert!((1_350..1_650).contains(&split.calibration.len()), "{}", split.calibration.len());
        assert!((880..1_120).contains(&split.test.len()), "{}", split.test.len());
    }
}
