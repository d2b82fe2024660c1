//! What an answer must be like, so that no stronger model is asked. Pure.

use std::time::Duration;

use regex::Regex;

use crate::domain::probability::Probability;
use crate::domain::recovery::{Unfit, UnfitSet};

/// The checks of a policy. An answer that fails one of them is not given while a stronger model may be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Escalation {
    /// Faults that an answer may not have.
    pub faults: UnfitSet,
    /// The least mean natural logarithm of the probability of its tokens, zero or below.
    pub mean_logprob: Option<f64>,
    /// The least of any of its tokens.
    pub min_logprob: Option<f64>,
    /// How sure the model must say that it is.
    pub confidence: Option<Probability>,
    /// Patterns that must each be found in the text.
    pub must_match: Vec<Pattern>,
    /// Patterns of which none may be found.
    pub must_not_match: Vec<Pattern>,
    /// Who is asked besides.
    pub verifier: Option<Verifier>,
    /// What a check means that could not be made.
    pub unknown: Unknown,
    /// How often a stronger tier is asked.
    pub times: u32,
}

/// Who judges an answer over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Verifier {
    /// Where it answers: `http` or `https`, without user and password.
    pub url: String,
    /// The longest wait for its whole answer.
    pub timeout: Duration,
    /// The least score that will do.
    pub least_score: Probability,
    /// The share of calls that it escalated of which it is asked about the answer that was given too.
    pub given_share: Probability,
}

/// What a check means that could not be made: an upstream gave no log probabilities, a model did not say how sure it is, the verifier failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// The answer will do.
    #[default]
    Accepted,
    /// A stronger model is asked.
    Escalated,
}

/// A regular expression. Matching takes time in proportion to the text, whatever the pattern.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern; `None` where it is none, or too large.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Regex::new(text).ok().map(Self)
    }

    /// Whether it is found in a text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// That it has no such fault.
    Fault(Unfit),
    /// The mean of the log probabilities.
    MeanLogprob,
    /// The least of them.
    MinLogprob,
    /// What the model says of itself.
    Confidence,
    /// What must be found.
    MustMatch,
    /// What may not be.
    MustNotMatch,
    /// What the verifier says.
    Verifier,
}

impl Check {
    /// The word used in headers, metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.as_str(),
            Self::MeanLogprob => "mean_logprob",
            Self::MinLogprob => "min_logprob",
            Self::Confidence => "confidence",
            Self::MustMatch => "must_match",
            Self::MustNotMatch => "must_not_match",
            Self::Verifier => "verifier",
        }
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The answer will do.
    Passed,
    /// It will not.
    Failed,
    /// It could not be made.
    Unknown,
}

impl Found {
    /// The word used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What the checks of a call found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckReport {
    /// Every check that was made, in order.
    pub found: Vec<(Check, Found)>,
    /// Those for which a stronger model was asked, in order.
    pub failed: Vec<Check>,
    /// What they found of the answer that is given. Empty where it was not checked, and where all that was looked for are faults.
    pub given: Vec<(Check, Found)>,
}

/// What is known of an answer that is to be checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// What it says, without what only the checks asked for.
    pub text: String,
    /// Whether it calls tools. Such an answer is held neither against patterns nor against its confidence.
    pub calls_tools: bool,
    /// The mean and the least log probability of its tokens, where the upstream gave them.
    pub logprobs: Option<(f64, f64)>,
    /// How sure the model says that it is.
    pub confidence: Option<Probability>,
    /// A fault it has.
    pub fault: Option<Unfit>,
}

impl Escalation {
    /// Whether a check needs log probabilities.
    #[must_use]
    pub const fn wants_logprobs(&self) -> bool {
        self.mean_logprob.is_some() || self.min_logprob.is_some()
    }

    /// What the checks find that need nobody else. Those that do not apply are left out.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence) -> Vec<(Check, Found)> {
        let mut found = Vec::new();
        let verdict = |good: bool| if good { Found::Passed } else { Found::Failed };
        for fault in Unfit::ALL.into_iter().filter(|fault| self.faults.has(*fault)) {
            found.push((Check::Fault(fault), verdict(evidence.fault != Some(fault))));
        }
        let (mean, min) = evidence.logprobs.unzip();
        for (check, least, value) in
            [(Check::MeanLogprob, self.mean_logprob, mean), (Check::MinLogprob, self.min_logprob, min)]
        {
            if let Some(least) = least {
                found.push((check, value.map_or(Found::Unknown, |value| verdict(value >= least))));
            }
        }
        if evidence.calls_tools {
            return found;
        }
        if let Some(least) = self.confidence {
            let said = evidence.confidence.map_or(Found::Unknown, |said| verdict(said >= least));
            found.push((Check::Confidence, said));
        }
        if !self.must_match.is_empty() {
            let all = self.must_match.iter().all(|pattern| pattern.is_in(&evidence.text));
            found.push((Check::MustMatch, verdict(all)));
        }
        if !self.must_not_match.is_empty() {
            let any = self.must_not_match.iter().any(|pattern| pattern.is_in(&evidence.text));
            found.push((Check::MustNotMatch, verdict(!any)));
        }
        found
    }

    /// Whether a finding asks for a stronger model.
    #[must_use]
    pub fn escalates(&self, found: Found) -> bool {
        match found {
            Found::Passed => false,
            Found::Failed => true,
            Found::Unknown => self.unknown == Unknown::Escalated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Escalation {
        Escalation {
            faults: UnfitSet::EMPTY,
            mean_logprob: None,
            min_logprob: None,
            confidence: None,
            must_match: Vec::new(),
            must_not_match: Vec::new(),
            verifier: None,
            unknown: Unknown::Accepted,
            times: 1,
        }
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn each_check_finds_what_it_is_for() {
        let said = Evidence {
            text: "I am sorry, 42".to_owned(),
            logprobs: Some((-0.5, -3.0)),
            confidence: Some(Probability::clamped(0.6)),
            fault: Some(Unfit::InvalidJson),
            ..Evidence::default()
        };
        let strict = Escalation {
            faults: [Unfit::InvalidJson].into_iter().collect(),
            mean_logprob: Some(-0.6),
            min_logprob: Some(-2.0),
            confidence: Some(Probability::clamped(0.7)),
            must_match: patterns(&[r"\d", "sorry"]),
            must_not_match: patterns(&["(?i)^i am sorry", "never"]),
            ..none()
        };

        assert_eq!(
            strict.judge(&said),
            [
                (Check::Fault(Unfit::InvalidJson), Found::Failed),
                (Check::MeanLogprob, Found::Passed),
                (Check::MinLogprob, Found::Failed),
                (Check::Confidence, Found::Failed),
                (Check::MustMatch, Found::Passed),
                (Check::MustNotMatch, Found::Failed),
            ]
        );
        assert!(none().judge(&said).is_empty());
    }

    #[test]
    fn what_is_not_known_counts_as_the_policy_says() {
        let wants = Escalation { mean_logprob: Some(-1.0), confidence: Some(Probability::ONE), ..none() };

        let found = wants.judge(&Evidence::default());

        assert_eq!(found, [(Check::MeanLogprob, Found::Unknown), (Check::Confidence, Found::Unknown)]);
        assert!(!wants.escalates(Found::Unknown));
        assert!(Escalation { unknown: Unknown::Escalated, ..wants }.escalates(Found::Unknown));
    }

    #[test]
    fn calls_of_tools_are_not_held_against_patterns() {
        let wants = Escalation { must_match: patterns(&["yes"]), confidence: Some(Probability::ONE), ..none() };

        assert!(wants.judge(&Evidence { calls_tools: true, ..Evidence::default() }).is_empty());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Pattern::parse("(").is_none());
        assert!(Pattern::parse(r"\w{100000}{1000}").is_none());
    }
}
