//! Structural signals of an ask: cheap facts that a length or a shape gives away.
//!
//! A few passes over the text, some microseconds for a long prompt. The names and their order are part of the bundle format: a change needs a
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
        for word in stem.split_ascii_whitespace() {
            signals.count_stem_word(word);
        }
        signals.words = signals.stem_words + signals.option_words;
        signals.blank = stem.contains("__") || !stem.trim_end().ends_with(['.', '?', '!', ':', '。', '？', '！']);
        signals
    }

    /// Counts what single characters say. ASCII is counted byte by byte in any text, since its bytes are in no other character.
    fn count_characters(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.digits = count(bytes, |byte| byte.is_ascii_digit());
        self.uppercase = count(bytes, |byte| byte.is_ascii_uppercase());
        self.punctuation = count(bytes, is_punctuation);
        self.latex = count(bytes, |byte| (byte == b'\\') | (byte == b'$'));
        self.math_symbols = count(bytes, is_math);
        self.questions = count(bytes, |byte| byte == b'?');
        self.sentences = self.questions + count(bytes, |byte| (byte == b'.') | (byte == b'!'));
        if self.digits > 0 {
            self.count_numbers(bytes);
        }
        self.chars = text.chars().count();
        if self.chars < bytes.len() {
            text.chars()
                .filter(|character| !character.is_ascii())
                .for_each(|character| self.count_non_ascii(character));
        }
    }

    /// Counts the groups of digits and finds the longest.
    fn count_numbers(&mut self, bytes: &[u8]) {
        let mut run = 0;
        for piece in bytes.chunks(32) {
            // Most pieces have no digits, and that is found out for all their bytes at once.
            if run == 0 && count(piece, |byte| byte.is_ascii_digit()) == 0 {
                continue;
            }
            for byte in piece {
                if byte.is_ascii_digit() {
                    self.numbers += usize::from(run == 0);
                    run += 1;
                    self.longest_number = self.longest_number.max(run);
                } else if !matches!(byte, b'.' | b',') {
                    // A point or comma inside a number does not end it.
                    run = 0;
                }
            }
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

    /// Counts the lines, finds the lettered options among them and gives back the stem. One option alone is a sentence that starts with an
    /// initial.
    fn split_options<'a>(&mut self, text: &'a str) -> &'a str {
        let mut starts = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            self.count_line(line);
            let option = line.trim_start_matches([' ', '\t']);
            if is_option(option) {
                starts.push(at + line.len() - option.len());
            }
            at += line.len();
        }
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

/// Counts the bytes of a kind. The sum of a short piece fits into a byte; with a test that has no branches, many bytes are then counted at once.
pub(in crate::domain) fn count(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    let piece = |piece: &[u8]| piece.iter().map(|&byte| u8::from(is(byte))).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|bytes| usize::from(piece(bytes))).sum()
}

/// Whether a byte is ASCII but neither a letter, a digit nor white space. This and [`is_math`] have no branches, for [`count`].
const fn is_punctuation(byte: u8) -> bool {
    let is_space = (byte == b' ') | (byte == b'\n') | (byte == b'\r') | (byte == b'\t');
    byte.is_ascii() & !byte.is_ascii_alphanumeric() & !is_space
}

/// Whether a byte is a mathematical symbol.
const fn is_math(byte: u8) -> bool {
    let is_compared = (byte == b'=') | (byte == b'<') | (byte == b'>') | (byte == b'|') | (byte == b'_');
    let is_computed = (byte == b'+') | (byte == b'^') | (byte == b'*') | (byte == b'/') | (byte == b'%');
    is_compared | is_computed | (byte == b'{') | (byte == b'}')
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

    /// Counts what [`Signals::count_characters`] counts in ASCII, one character after the other.
    fn counted_one_by_one(text: &str) -> Signals {
        let (mut signals, mut run) = (Signals::default(), 0);
        for character in text.chars() {
            signals.chars += 1;
            run = match character {
                '0'..='9' => run + 1,
                '.' | ',' => run,
                _ => 0,
            };
            if character.is_ascii_digit() {
                signals.digits += 1;
                signals.numbers += usize::from(run == 1);
                signals.longest_number = signals.longest_number.max(run);
            }
            let is_text = character.is_ascii_alphanumeric() || matches!(character, ' ' | '\n' | '\r' | '\t');
            signals.punctuation += usize::from(character.is_ascii() && !is_text);
            signals.uppercase += usize::from(character.is_ascii_uppercase());
            signals.latex += usize::from("\\$".contains(character));
            signals.math_symbols += usize::from("=+<>^*/%|{}_".contains(character));
            signals.questions += usize::from(character == '?');
            signals.sentences += usize::from(".!?".contains(character));
        }
        signals
    }

    #[test]
    fn options_are_found_behind_white_space_and_after_any_line_end() {
        let signals = Signals::of("Which?\r\n  A. one two\n\n\t(B) three 3\nand more\n   \nC)\tx\n");

        assert_eq!((signals.lines, signals.options, signals.longest_option), (7, 3, 4));
        assert_eq!((signals.stem_words, signals.option_words, signals.numeric_options), (1, 7, 1));
    }

    proptest! {
        #[test]
        fn counts_many_characters_at_once_as_one_by_one(text in "([ -~]{0,40}|[0-9.,]{0,40}|[a-z ]{0,60}|[\\x00-\\x7f]){0,20}") {
            let mut signals = Signals::default();

            signals.count_characters(&text);

            prop_assert_eq!(signals, counted_one_by_one(&text));
        }

        #[test]
        fn ascii_is_counted_among_other_characters_too(text in "([ -~]{0,9}|[0-9.,]{0,40}|[一-丁ぁäπ]{1,3}){0,20}") {
            let (mut signals, one_by_one) = (Signals::default(), counted_one_by_one(&text));

            signals.count_characters(&text);

            prop_assert_eq!((signals.chars, signals.digits, signals.numbers), (one_by_one.chars, one_by_one.digits, one_by_one.numbers));
            prop_assert_eq!(signals.longest_number, one_by_one.longest_number);
            prop_assert_eq!((signals.punctuation, signals.latex), (one_by_one.punctuation, one_by_one.latex));
        }

        #[test]
        fn features_are_finite_for_any_text(text in "(\\PC|\n|A\\) ){0,300}") {
            prop_assert!(Signals::of(&text).features().iter().all(|x| x.is_finite()));
        }
    }
}
