//! What callers say about answers.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{DecisionId, ModelName};
use crate::domain::probability::Probability;
use crate::domain::task::Task;

/// One report about one decision. At least one of the verdicts is present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// Which decision.
    pub decision_id: DecisionId,
    /// Whether the answer did its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// How well it did its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Probability>,
    /// Stars, 1 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// The model whose answer was better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_model: Option<ModelName>,
    /// What the task really was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Task>,
    /// Who or what judged, for example `human`, `verifier` or `judge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A note. Stored, never logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One to five stars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Rating(u8);

impl TryFrom<u8> for Rating {
    type Error = String;

    fn try_from(stars: u8) -> Result<Self, String> {
        if (1..=5).contains(&stars) { Ok(Self(stars)) } else { Err(format!("{stars} is not a rating from 1 to 5")) }
    }
}

impl From<Rating> for u8 {
    fn from(rating: Rating) -> Self {
        rating.0
    }
}

impl Feedback {
    /// How well the model that served did, from 0 to 1, by the most direct verdict given: score, then success, then rating,
    /// then preference (another model preferred counts as 0, the same model as 1). `None` if only a task label was given.
    #[must_use]
    pub fn verdict(&self, served_by: &ModelName) -> Option<Probability> {
        let success = self.success.map(|success| if success { Probability::ONE } else { Probability::ZERO });
        let rating = self.rating.map(|rating| Probability::clamped(f64::from(u8::from(rating) - 1) / 4.0));
        let preference = self
            .preferred_model
            .as_ref()
            .map(|model| if model == served_by { Probability::ONE } else { Probability::ZERO });
        self.score.or(success).or(rating).or(preference)
    }

    /// Whether any verdict or label is present.
    #[must_use]
    pub const fn says_something(&self) -> bool {
        self.success.is_some()
            || self.score.is_some()
            || self.rating.is_some()
            || self.preferred_model.is_some()
            || self.label.is_some()
    }
}
