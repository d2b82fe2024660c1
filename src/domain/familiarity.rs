//! Whether a bundle can judge a prompt at all.
//!
//! A learned score is only worth something for prompts like those that were learned from. Four things give a stranger away: a
//! language that training did not have, words that the encoder does not know, labelled prompts that are all far away, and heads and neighbours that
//! contradict each other. The decision then goes to the safe side and says so.

use serde::Serialize;

use crate::domain::baseline::Baseline;
use crate::domain::language::Language;

/// The share of unknown tokens from which a text is in words that the encoder does not know. English prose has about none.
const MOST_UNKNOWN: f64 = 0.4;

/// A text needs this many tokens before the share of unknown ones says something.
const LEAST_TOKENS: usize = 4;

/// How familiar a prompt is, and what is strange about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Familiarity {
    /// The language of the ask.
    pub language: Language,
    /// The share of its tokens that the encoder does not know, 0 to 1.
    pub unknown_share: f64,
    /// How far the neighbours moved the heads' prediction of any tier, 0 to 1.
    pub disagreement: f64,
    /// Why the bundle cannot judge it, if it cannot.
    pub unfamiliar: Option<Unfamiliar>,
}

/// Why a bundle cannot judge a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfamiliar {
    /// It is in a language that the bundle was not trained on.
    Language,
    /// Its words are not in the encoder's vocabulary.
    UnknownWords,
    /// No labelled prompt is near, and something else is odd too.
    FarAway,
    /// The heads and the labelled prompts nearby contradict each other more than they ever did in training.
    Disagreement,
}

impl Unfamiliar {
    /// A word for JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Language => "language",
            Self::UnknownWords => "unknown_words",
            Self::FarAway => "far_away",
            Self::Disagreement => "disagreement",
        }
    }
}

/// What a bundle was trained on, as far as it bounds what it can judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    languages: Vec<String>,
    far: Option<Far>,
}

/// Quantiles of the calibration prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Far {
    /// Only one prompt in a hundred is less dense.
    density: f64,
    /// Only one in twenty is contradicted more.
    odd_disagreement: f64,
    /// About none is contradicted more.
    most_disagreement: f64,
}

impl Default for Known {
    fn default() -> Self {
        Self { languages: vec![Language::ENGLISH.code().to_owned()], far: None }
    }
}

impl Known {
    /// Reads the bounds off a baseline. Without one, English is what a bundle knows.
    #[must_use]
    pub fn of(baseline: Option<&Baseline>) -> Self {
        let Some(baseline) = baseline else { return Self::default() };
        let far = baseline.is_telling().then(|| Far {
            density: baseline.density(0.01),
            odd_disagreement: baseline.disagreement(0.95),
            most_disagreement: baseline.disagreement(0.999) + 0.05,
        });
        let languages = baseline.trained_languages();
        if languages.is_empty() { Self { far, ..Self::default() } } else { Self { languages, far } }
    }

    /// Judges a prompt by its reading, the density of its neighbourhood and the number of its tokens. The gravest reason is given.
    #[must_use]
    pub fn judge(&self, reading: Familiarity, density: f64, tokens: usize) -> Option<Unfamiliar> {
        let language = reading.language;
        if language != Language::UNKNOWN && self.languages.iter().all(|known| known != language.code()) {
            return Some(Unfamiliar::Language);
        }
        if tokens >= LEAST_TOKENS && reading.unknown_share > MOST_UNKNOWN {
            return Some(Unfamiliar::UnknownWords);
        }
        let far = self.far?;
        if reading.disagreement > far.most_disagreement {
            return Some(Unfamiliar::Disagreement);
        }
        // Distance alone is no reason: most honest prompts of a new user are far from every benchmark.
        let odd = reading.disagreement > far.odd_disagreement || reading.unknown_share > MOST_UNKNOWN / 2.0;
        (density < far.density && odd).then_some(Unfamiliar::FarAway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::drift::{Sighting, Tally};
    use crate::domain::task::Task;

    fn reading(language: &str) -> Familiarity {
        Familiarity { language: Language::of(language), ..Familiarity::default() }
    }

    const GERMAN: &str = "Warum schwimmen Schiffe aus Stahl, obwohl Stahl doch viel schwerer ist als Wasser?";
    const ENGLISH: &str = "Why do ships float although they are made of steel?";

    fn baseline(language: &str) -> Baseline {
        let mut tally = Tally::default();
        for at in 0..1_000 {
            let share = f64::from(at) / 1_000.0;
            tally.add(&Sighting {
                gain: share / 2.0,
                task: Task::OpenQa,
                language: Language::of(language),
                chars: 80,
                density: 0.3 + share / 2.0,
                disagreement: share / 5.0,
            });
        }
        Baseline::new(tally)
    }

    #[test]
    fn a_language_that_training_did_not_have_is_unfamiliar() {
        assert_eq!(Known::default().judge(reading(GERMAN), 0.9, 20), Some(Unfamiliar::Language));
        assert_eq!(Known::default().judge(reading(ENGLISH), 0.9, 20), None);
        assert_eq!(Known::of(Some(&baseline(GERMAN))).judge(reading(GERMAN), 0.9, 20), None);
    }

    #[test]
    fn too_little_text_to_tell_the_language_is_not_unfamiliar() {
        assert_eq!(Known::default().judge(reading("hola"), 0.9, 20), None);
    }

    #[test]
    fn words_that_the_encoder_lacks_are_unfamiliar() {
        let reading = Familiarity { unknown_share: 0.6, ..Familiarity::default() };

        assert_eq!(Known::default().judge(reading, 0.9, 20), Some(Unfamiliar::UnknownWords));
        assert_eq!(Known::default().judge(reading, 0.9, 3), None);
    }

    #[test]
    fn distance_counts_only_with_other_evidence() {
        let known = Known::of(Some(&baseline(ENGLISH)));
        let odd = Familiarity { disagreement: 0.195, ..reading(ENGLISH) };

        assert_eq!(known.judge(reading(ENGLISH), 0.05, 20), None);
        assert_eq!(known.judge(odd, 0.05, 20), Some(Unfamiliar::FarAway));
        assert_eq!(known.judge(odd, 0.6, 20), None);
    }

    #[test]
    fn heads_and_neighbours_that_contradict_each_other_are_unfamiliar() {
        let known = Known::of(Some(&baseline(ENGLISH)));
        let torn = Familiarity { disagreement: 0.4, ..reading(ENGLISH) };

        assert_eq!(known.judge(torn, 0.6, 20), Some(Unfamiliar::Disagreement));
        assert_eq!(Known::default().judge(torn, 0.6, 20), None);
    }
}
