//! Operating points: named settings of the dial, and what each bought on prompts that training never saw.

use serde::{Deserialize, Serialize};

/// What one setting of the dial did on the held-out prompts. Intervals are at 95 %, by bootstrap over prompts at a fixed threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// `share-30` for a share of 0.3.
    pub name: String,
    /// The share of prompts sent to the strongest tier, 0..1.
    pub share: f64,
    /// The least gain that was sent up.
    pub threshold: f64,
    /// The mean score relative to that of the strongest tier alone.
    pub quality: f64,
    /// Its interval.
    pub quality_interval: [f64; 2],
    /// The cost relative to that of the strongest tier alone, by list prices of output; `None` where a tier has no priced model.
    pub cost: Option<f64>,
    /// Its interval: that of the share, since prices are known.
    pub cost_interval: Option<[f64; 2]>,
}

/// The points of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoints {
    /// What they were measured on.
    pub measured_on: String,
    /// The points, by share.
    pub points: Vec<OperatingPoint>,
}

impl OperatingPoint {
    /// What it buys, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        let [low, high] = self.quality_interval.map(|end| 100.0 * end);
        let cost = self.cost.map_or(String::new(), |cost| format!(" at {:.0} % of its cost", 100.0 * cost));
        format!(
            "{:.0} % of prompts to the strongest tier: {:.1} % [{low:.1}, {high:.1}] of its quality{cost}",
            100.0 * self.share,
            100.0 * self.quality
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_buys_and_no_cost_where_none_is_known() {
        let point = OperatingPoint {
            name: "share-30".to_owned(),
            share: 0.301,
            threshold: 0.2,
            quality: 0.861,
            quality_interval: [0.84, 0.882],
            cost: Some(0.37),
            cost_interval: None,
        };

        let words = "30 % of prompts to the strongest tier: 86.1 % [84.0, 88.2] of its quality";
        assert_eq!(point.words(), format!("{words} at 37 % of its cost"));
        assert_eq!(OperatingPoint { cost: None, ..point }.words(), words);
    }
}
