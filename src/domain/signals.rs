//! Structural signals of an ask: cheap facts that a length or a shape gives away.
//!
//! Two passes over the text, a few microseconds for a long prompt. The names and their order are part of the bundle format: a change needs a
//! new [`SIGNALS_VERSION`], since heads are trained on these numbers.

mod words;

use serde::Serialize;

use crate::domain::signals::words::{WordKind, kind};

/// The version of the signal definitions, recorded in every bundle.
pub const SIGNALS_VERSION: u32 = 1;

/// The names of [`Signals::features`], in order.
pub const SIGNAL_NAMES: [&str; 30] = [
    "log_chars",
    "log_words",
    "log_stem_words",
    "multiple_choice",
    "options",
    "log_option_words",
    "log_longest_option",
    "option_number_share",
    "digit_share",
    "log_numbers",
    "log_longest_number",
    "math_share",
    "log_latex",
    "log_code",
    "log_questions",
    "log_sentences",
    "log_lines",
    "mean_word_chars",
    "long_word_share",
    "upper_share",
    "non_ascii_share",
    "punctuation_share",
    "log_constraints",
    "log_negations",
    "log_math_words",
    "log_creative_words",
    "log_reasoning_words",
    "log_examples",
    "log_list_items",
    "blank",
];

/// What the structure of an ask says about it. The stem is the text before lettered options, or all of it where there are none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Signals {
    /// Characters.
    pub chars: usize,
    /// Words, split at white space.
    pub words: usize,
    /// Words of the stem.
    pub stem_words: usize,
    /// Lines that open a lettered choice, such as `B)`. Fewer than two count as none.
    pub options: usize,
    /// Words in all options together.
    pub option_words: usize,
    /// Words in the longest option.
    pub longest_option: usize,
    /// Options with a digit in them.
    pub numeric_options: usize,
    /// Groups of digits.
    pub numbers: usize,
    /// Digits.
    pub digits: usize,
    /// Digits of the longest group.
    pub longest_number: usize,
    /// Mathematical symbols, such as `=`, `+` and `∑`.
    pub math_symbols: usize,
    /// Backslashes and dollar signs.
    pub latex: usize,
    /// Signs of program code: fences, line ends such as `;` and `{`, keywords.
    pub code: usize,
    /// Question marks.
    pub questions: usize,
    /// Ends of sentences.
    pub sentences: usize,
    /// Lines.
    pub lines: usize,
    /// Upper-case letters.
    pub uppercase: usize,
    /// Characters beyond ASCII.
    pub non_ascii: usize,
    /// ASCII punctuation.
    pub punctuation: usize,
    /// Words of nine letters or more.
    pub long_words: usize,
    /// Words that constrain the answer, such as "must".
    pub constraints: usize,
    /// Words that turn a question round, such as "except".
    pub negations: usize,
    /// Words of mathematics.
    pub math_words: usize,
    /// Words that ask for a text to be made.
    pub creative_words: usize,
    /// Words that connect premises.
    pub reasoning_words: usize,
    /// Signs of worked examples, such as "Input:".
    pub examples: usize,
    /// Lines that start like a list item.
    pub list_items: usize,
    /// Whether the stem leaves a blank to fill, or stops without an end of sentence.
    pub blank: bool,
}

impl Signals {
    /// Reads the signals of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut signals = Self::default();
        signals.count_characters(text);
        let stem = signals.split_options(text);
        for line in text.lines() {
            signals.count_line(line);
        }
        for word in stem.split_ascii_whitespace() {
            signals.count_stem_word(word);
        }
        signals.words = signals.stem_words + signals.option_words;
        signals.blank = stem.contains("__") || !stem.trim_end().ends_with(['.', '?', '!', ':', '。', '？', '！']);
        signals
    }

    fn count_characters(&mut self, text: &str) {
        let mut run = 0;
        for character in text.chars() {
            self.chars += 1;
            if character.is_ascii_digit() {
                self.digits += 1;
                self.numbers += usize::from(run == 0);
                run += 1;
                self.longest_number = self.longest_number.max(run);
                continue;
            }
            // A point or comma inside a number does not end it.
            if !(run > 0 && matches!(character, '.' | ',')) {
                run = 0;
            }
            match character {
                'A'..='Z' => self.uppercase += 1,
                'a'..='z' | ' ' | '\n' | '\r' | '\t' => {}
                _ if character.is_ascii() => self.count_punctuation(character),
                _ => self.count_non_ascii(character),
            }
        }
    }

    fn count_punctuation(&mut self, character: char) {
        self.punctuation += 1;
        match character {
            '\\' | '$' => self.latex += 1,
            '=' | '+' | '<' | '>' | '^' | '*' | '/' | '%' | '|' | '{' | '}' | '_' => self.math_symbols += 1,
            '?' => {
                self.questions += 1;
                self.sentences += 1;
            }
            '.' | '!' => self.sentences += 1,
            _ => {}
        }
    }

    fn count_non_ascii(&mut self, character: char) {
        self.non_ascii += 1;
        match character {
            '\u{2200}'..='\u{22ff}' | '×' | '÷' | '±' | 'π' | '°' | '²' | '³' => self.math_symbols += 1,
            '？' => self.questions += 1,
            _ => {}
        }
        self.sentences += usize::from(matches!(character, '。' | '？' | '！'));
        self.uppercase += usize::from(character.is_uppercase());
    }

    /// Finds the lettered options and gives back the stem. One option alone is a sentence that starts with an initial.
    fn split_options<'a>(&mut self, text: &'a str) -> &'a str {
        let starts: Vec<usize> =
            line_starts(text).filter(|&at| is_option(text.get(at..).unwrap_or_default())).collect();
        let Some(&first) = starts.first().filter(|_| starts.len() >= 2) else {
            return text;
        };
        self.options = starts.len();
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        for (&start, end) in starts.iter().zip(ends) {
            let option = text.get(start..end).unwrap_or_default();
            // The letter is not a word of the option.
            let words = option.split_ascii_whitespace().count().saturating_sub(1);
            self.option_words += words;
            self.longest_option = self.longest_option.max(words);
            self.numeric_options += usize::from(option.bytes().any(|byte| byte.is_ascii_digit()));
        }
        text.get(..first).unwrap_or_default()
    }

    fn count_line(&mut self, line: &str) {
        self.lines += 1;
        match line.trim_start().as_bytes() {
            [b'-' | b'*', b' ', ..]
            | [b'0'..=b'9', b'.' | b')', b' ', ..]
            | [b'0'..=b'9', b'0'..=b'9', b'.' | b')', b' ', ..] => self.list_items += 1,
            [b'`', b'`', b'`', ..] => self.code += 2,
            _ => {}
        }
        self.code += usize::from(matches!(line.trim_end().as_bytes(), [.., b';' | b'{' | b'}']));
    }

    fn count_stem_word(&mut self, word: &str) {
        self.stem_words += 1;
        self.long_words += usize::from(word.len() >= 9 && word.bytes().all(|byte| byte.is_ascii_alphabetic()));
        match kind(word) {
            Some(WordKind::Constraint) => self.constraints += 1,
            Some(WordKind::Negation) => self.negations += 1,
            Some(WordKind::Mathematics) => self.math_words += 1,
            Some(WordKind::Creation) => self.creative_words += 1,
            Some(WordKind::Reasoning) => self.reasoning_words += 1,
            Some(WordKind::Code) => self.code += 1,
            Some(WordKind::Example) => self.examples += usize::from(word.ends_with(':')),
            None => {}
        }
    }

    /// The numbers that the heads are given, in the order of [`SIGNAL_NAMES`]. All finite, roughly in `0.0..=12.0`.
    #[must_use]
    pub fn features(&self) -> [f32; SIGNAL_NAMES.len()] {
        let log = |count: usize| (count as f32).ln_1p();
        let share = |count: usize, whole: usize| count as f32 / whole.max(1) as f32;
        [
            log(self.chars),
            log(self.words),
            log(self.stem_words),
            f32::from(u8::from(self.options >= 2)),
            share(self.options.min(20), 10),
            share(self.option_words, self.options).ln_1p(),
            log(self.longest_option),
            share(self.numeric_options, self.options),
            share(self.digits, self.chars),
            log(self.numbers),
            log(self.longest_number),
            share(self.math_symbols, self.chars),
            log(self.latex),
            log(self.code),
            log(self.questions),
            log(self.sentences),
            log(self.lines),
            share(self.chars, self.words).min(15.0) / 5.0,
            share(self.long_words, self.stem_words),
            share(self.uppercase, self.chars),
            share(self.non_ascii, self.chars),
            share(self.punctuation, self.chars),
            log(self.constraints),
            log(self.negations),
            log(self.math_words),
            log(self.creative_words),
            log(self.reasoning_words),
            log(self.examples),
            log(self.list_items),
            f32::from(u8::from(self.blank)),
        ]
    }
}

/// Where lines start, without their indentation.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after_breaks).map(|at| {
        let line = text.get(at..).unwrap_or_default();
        at + line.len() - line.trim_start_matches([' ', '\t']).len()
    })
}

/// Whether a line opens a lettered option: `A)`, `(B)`, `C.` or `D:` and a space.
fn is_option(line: &str) -> bool {
    matches!(
        line.as_bytes(),
        [b'A'..=b'P', b')' | b'.' | b':', b' ' | b'\t', ..] | [b'(', b'A'..=b'P', b')' | b'.' | b':', b' ' | b'\t', ..]
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_multiple_choice_and_numbers() {
        let signals = Signals::of("What is 3.14 times 2?\nA) 6.28\nB) five or so\n(C) 1,000");

        assert_eq!((signals.options, signals.longest_option, signals.numeric_options), (3, 3, 2));
        assert_eq!((signals.stem_words, signals.words), (5, 10));
        assert_eq!((signals.numbers, signals.longest_number), (4, 4));
        assert_eq!(signals.questions, 1);
        assert!(!signals.blank);
    }

    #[test]
    fn an_initial_is_not_an_option() {
        assert_eq!(Signals::of("A. Lincoln was born where?").options, 0);
    }

    #[test]
    fn sees_code() {
        let code = Signals::of("```\nfn main() {\n    let x = 1;\n}\n```");
        let prose = Signals::of("Tell me about the sea.");

        assert!(code.code > 4);
        assert_eq!(prose.code, 0);
    }

    #[test]
    fn counts_words_by_what_they_ask_for() {
        let signals = Signals::of("Write a poem. Suppose the integer is not prime; it must be exactly 4.\nInput: x");

        assert_eq!((signals.creative_words, signals.math_words, signals.negations), (2, 2, 1));
        assert_eq!((signals.constraints, signals.reasoning_words, signals.examples), (2, 1, 1));
    }

    proptest! {
        #[test]
        fn features_are_finite_for_any_text(text in "(\\PC|\n|A\\) ){0,300}") {
            prop_assert!(Signals::of(&text).features().iter().all(|x| x.is_finite()));
        }
    }
}
