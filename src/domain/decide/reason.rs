//! Why a model was chosen.

use serde::Serialize;

use crate::domain::familiarity::Unfamiliar;
use crate::domain::scores::ScoreFailure;

/// Why the chosen model was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The highest utility: of two models, the cheaper one unless the other gains more than the threshold.
    CheapestAdequate,
    /// The dial asks for the strongest whatever the scores say.
    StrongestAsked,
    /// The dial asks for the cheapest whatever the scores say.
    CheapestAsked,
    /// Only one model was eligible.
    OnlyEligible,
    /// There were no scores, so the default tier answers.
    ScoringFailed(ScoreFailure),
    /// The bundle cannot judge the prompt, so the safe tier answers.
    Unfamiliar(Unfamiliar),
    /// The bundle predicts nothing for any eligible model or its tier, so the default tier answers.
    NoEstimate,
    /// The session keeps its model: no stronger one gains enough, and sessions do not move down.
    SessionKept,
    /// The session moves up to a stronger tier.
    SessionRaised,
    /// Drawn at random to keep the feedback honest.
    Exploration,
    /// The caller named the model. Nothing was decided.
    Named,
    /// An answer was given again. Nothing was decided.
    Cached,
}

impl Reason {
    /// A word for headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CheapestAdequate => "cheapest_adequate",
            Self::StrongestAsked => "strongest_asked",
            Self::CheapestAsked => "cheapest_asked",
            Self::OnlyEligible => "only_eligible",
            Self::ScoringFailed(_) => "scoring_failed",
            Self::NoEstimate => "no_estimate",
            Self::SessionKept => "session_kept",
            Self::SessionRaised => "session_raised",
            Self::Unfamiliar(_) => "unfamiliar",
            Self::Exploration => "exploration",
            Self::Named => "named",
            Self::Cached => "cached",
        }
    }

    /// Whether a session holds on to a model that was chosen for this reason. A turn that could not be judged moves no session, and the
    /// cheapest end of the dial is an order for one request.
    #[must_use]
    pub const fn settles(self) -> bool {
        match self {
            Self::CheapestAdequate
            | Self::StrongestAsked
            | Self::OnlyEligible
            | Self::SessionKept
            | Self::SessionRaised
            | Self::Exploration => true,
            Self::CheapestAsked
            | Self::ScoringFailed(_)
            | Self::Unfamiliar(_)
            | Self::NoEstimate
            | Self::Named
            | Self::Cached => false,
        }
    }
}
