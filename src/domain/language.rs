//! The language of an ask, from its prose alone.
//!
//! Code, mathematics, numbers, addresses and quotations are no language and are left out first. English is recognised by its
//! small words, which costs a microsecond or two; only what is not English is compared with the letter trigrams of other languages. A text
//! that is too short to tell is [`Language::UNKNOWN`], unless its script gives it away.

mod prose;
mod words;

use serde::{Serialize, Serializer};

use crate::domain::language::prose::Prose;
use crate::domain::language::words::{is_english, is_instruction};

/// How many characters of a text are read: enough to tell, and a bound on the cost of long prompts.
pub const READ_CHARS: usize = 2_000;

/// A language, by its ISO 639-1 code, or 639-3 where it has no shorter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(&'static str);

impl Default for Language {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Serialize for Language {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// A Latin text needs this many words of prose before it can be another language than English.
const LEAST_WORDS: usize = 4;

/// And this many letters.
const LEAST_LETTERS: usize = 18;

/// The share of small English words from which a text is English. Prose has 0.4 to 0.5; other languages share "in", "an", "die".
const ENGLISH_SHARE: f64 = 0.2;

/// Above this share of small English words a text is at most unknown, never foreign.
const HALF_ENGLISH_SHARE: f64 = 0.12;

/// A head of this many letters of another script, counted by their weight, says which language is spoken.
const LEAST_FOREIGN: usize = 8;

/// How sure the trigrams must be of a Latin language, 0 to 1. A wrong guess sends a prompt to a dearer model than it needs.
const LEAST_CONFIDENCE: f64 = 0.55;

impl Language {
    /// English.
    pub const ENGLISH: Self = Self("en");

    /// Too little prose to tell. ISO 639-2's code for undetermined.
    pub const UNKNOWN: Self = Self("und");

    /// The languages that are counted one by one; [`Language::bin`] counts the others together.
    pub const COUNTED: [&'static str; 16] =
        ["en", "zh", "es", "fr", "de", "pt", "ru", "ja", "ko", "ar", "hi", "it", "nl", "pl", "tr", "vi"];

    /// How many bins [`Language::bin`] has: every counted language, the others, and the unknown.
    pub const BINS: usize = Self::COUNTED.len() + 2;

    /// The code, such as `en`; `und` where the language is unknown.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// The English name where it is a language that is counted, else the code.
    #[must_use]
    pub fn name(self) -> &'static str {
        words::NAMES.iter().find(|(code, _)| *code == self.0).map_or(self.0, |(_, name)| name)
    }

    /// Where it is counted: its place in [`Language::COUNTED`], then one place for all others, then one for the unknown.
    #[must_use]
    pub fn bin(self) -> usize {
        let others = Self::COUNTED.len();
        let known = Self::COUNTED.iter().position(|code| *code == self.0);
        known.unwrap_or(if self == Self::UNKNOWN { others + 1 } else { others })
    }

    /// The name of a bin.
    #[must_use]
    pub fn bin_name(bin: usize) -> &'static str {
        let others = Self::COUNTED.len();
        Self::COUNTED.get(bin).copied().unwrap_or(if bin == others { "other" } else { "unknown" })
    }

    /// The language of a text, read from its first [`READ_CHARS`] characters.
    ///
    /// A text that opens with two dozen words of English, or opens or closes with an English instruction, is English, whatever it then quotes: what is asked decides, and not what it is
    /// asked about.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let prose = Prose::of(text);
        let asks_in_english = || prose.tails().any(|tail| is_english_frame(tail, Frame::Asking));
        // ASCII has no foreign letters, and most asks are ASCII: their head is not read a second time.
        let head = (!text.is_ascii()).then(|| Prose::of(prose.head()));
        if let Some(head) = head.filter(|head| head.foreign_letters > head.latin_letters.max(LEAST_FOREIGN)) {
            return if asks_in_english() { Self::ENGLISH } else { by_trigrams(&head.letters, 0.0) };
        }
        let is_framed = || {
            is_english_frame(prose.head(), Frame::Any) || prose.tails().any(|tail| is_english_frame(tail, Frame::Any))
        };
        if prose.foreign_letters > prose.latin_letters / 2 {
            return if is_framed() { Self::ENGLISH } else { by_trigrams(&prose.letters, 0.0) };
        }
        if prose.words == 0 {
            return Self::UNKNOWN;
        }
        let share = prose.english as f64 / prose.words as f64;
        if share >= ENGLISH_SHARE || is_framed() {
            return Self::ENGLISH;
        }
        let too_short = prose.words < LEAST_WORDS || prose.latin_letters < LEAST_LETTERS;
        // Words one by one, each with a comma, are a list and no prose.
        if share >= HALF_ENGLISH_SHARE || too_short || prose.listed * 2 > prose.words {
            return Self::UNKNOWN;
        }
        by_trigrams(&prose.letters, LEAST_CONFIDENCE)
    }
}

/// What is looked for in the part of a text that frames a quotation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// English prose or an English instruction.
    Any,
    /// An English instruction or question.
    Asking,
}

/// Whether a line, or the part of one outside quotations, is English.
fn is_english_frame(text: &str, frame: Frame) -> bool {
    let words = || text.split_whitespace().map(prose::bare).filter(|word| word.chars().any(char::is_alphabetic));
    let (all, small) = (words().count(), words().filter(|word| is_english(word)).count());
    let asks = words().take(3).any(is_instruction) && (all <= 3 || small * 6 >= all);
    all >= 2 && (asks || (frame == Frame::Any && all >= 4 && small * 3 >= all))
}

fn by_trigrams(letters: &str, least: f64) -> Language {
    let found = whatlang::detect(letters).filter(|info| info.confidence() >= least);
    found.map_or(Language::UNKNOWN, |info| Language(words::short_code(info.lang().code())))
}

#[cfg(test)]
mod tests;
