//! Structural signals of an ask: cheap facts that a length or a shape gives away.
//!
//! One pass over the text, a few microseconds for a long prompt. The names and their order are part of the bundle format:
//! a change needs a new [`SIGNALS_VERSION`], since heads are trained on these numbers.

use serde::Serialize;

/// The version of the signal definitions, recorded in every bundle.
pub const SIGNALS_VERSION: u32 = 1;

/// The names of [`Signals::features`], in order.
pub const SIGNAL_NAMES: [&str; 20] = [
    "log_chars",
    "log_words",
    "mean_word_chars",
    "digit_share",
    "log_numbers",
    "math_share",
    "latex",
    "code",
    "log_options",
    "log_questions",
    "log_sentences",
    "log_lines",
    "upper_share",
    "non_ascii_share",
    "punctuation_share",
    "long_word_share",
    "log_constraints",
    "log_examples",
    "quotes",
    "list_items",
];

/// What the structure of an ask says about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Signals {
    /// Characters.
    pub chars: usize,
    /// Words, split at white space.
    pub words: usize,
    /// Groups of digits.
    pub numbers: usize,
    /// Digits.
    pub digits: usize,
    /// Mathematical symbols, such as `=`, `+` and `∑`.
    pub math_symbols: usize,
    /// LaTeX commands and dollar signs.
    pub latex: usize,
    /// Signs of program code: fences, braces, semicolons at line ends, keywords.
    pub code: usize,
    /// Lines that look like a lettered choice.
    pub options: usize,
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
    /// Words of nine characters or more.
    pub long_words: usize,
    /// Words that constrain the answer, such as "must" and "exactly".
    pub constraints: usize,
    /// Signs of worked examples, such as "Input:" and "Answer:".
    pub examples: usize,
    /// Double quotation marks.
    pub quotes: usize,
    /// Lines that start like a list item.
    pub list_items: usize,
}

impl Signals {
    /// Reads the signals of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut signals = Self::default();
        signals.count_characters(text);
        for line in text.lines() {
            signals.count_line(line);
        }
        for word in text.split_ascii_whitespace() {
            signals.count_word(word);
        }
        signals
    }

    fn count_characters(&mut self, text: &str) {
        let mut in_number = false;
        for character in text.chars() {
            self.chars += 1;
            let is_digit = character.is_ascii_digit();
            self.numbers += usize::from(is_digit && !in_number);
            in_number = is_digit || (in_number && matches!(character, '.' | ','));
            match character {
                '0'..='9' => self.digits += 1,
                'A'..='Z' => self.uppercase += 1,
                'a'..='z' | ' ' | '\n' | '\r' | '\t' => {}
                '\\' | '$' => {
                    self.latex += 1;
                    self.punctuation += 1;
                }
                '=' | '+' | '<' | '>' | '^' | '*' | '/' | '%' | '|' => {
                    self.math_symbols += 1;
                    self.punctuation += 1;
                }
                '?' => {
                    self.questions += 1;
                    self.sentences += 1;
                    self.punctuation += 1;
                }
                '.' | '!' => {
                    self.sentences += 1;
                    self.punctuation += 1;
                }
                '"' => {
                    self.quotes += 1;
                    self.punctuation += 1;
                }
                _ if character.is_ascii() => self.punctuation += 1,
                _ => self.count_non_ascii(character),
            }
        }
    }

    fn count_non_ascii(&mut self, character: char) {
        self.non_ascii += 1;
        match character {
            '\u{2200}'..='\u{22ff}' | '×' | '÷' | '±' | 'π' | '°' | '²' | '³' => self.math_symbols += 1,
            '？' => self.questions += 1,
            '“' | '”' | '「' | '」' => self.quotes += 1,
            _ => {}
        }
        self.sentences += usize::from(matches!(character, '。' | '？' | '！'));
        self.uppercase += usize::from(character.is_uppercase());
    }

    fn count_line(&mut self, line: &str) {
        self.lines += 1;
        let bytes = line.trim_start().as_bytes();
        match bytes {
            [b'A'..=b'J' | b'a'..=b'j', b')' | b'.' | b':', ..] | [b'(', b'A'..=b'J' | b'a'..=b'j', b')', ..] => {
                self.options += 1;
            }
            [b'-' | b'*', b' ', ..] | [b'0'..=b'9', b'.' | b')', ..] | [b'0'..=b'9', b'0'..=b'9', b'.' | b')', ..] => {
                self.list_items += 1;
            }
            [b'`', b'`', b'`', ..] => self.code += 2,
            _ => {}
        }
        let ends_like_code = matches!(line.trim_end().as_bytes(), [.., b';' | b'{' | b'}']);
        self.code += usize::from(ends_like_code);
    }

    fn count_word(&mut self, word: &str) {
        self.words += 1;
        self.long_words += usize::from(word.len() >= 9 && word.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let mut lowered = [0_u8; 12];
        // Only short words can match, so the rest costs one comparison.
        let Some(lowered) = lowered.get_mut(..bare.len()) else { return };
        lowered.copy_from_slice(bare.as_bytes());
        lowered.make_ascii_lowercase();
        match &*lowered {
            b"must" | b"exactly" | b"only" | b"least" | b"most" | b"without" | b"avoid" | b"ensure" | b"should"
            | b"never" | b"always" | b"limit" | b"within" | b"between" | b"format" | b"json" | b"bullet" | b"words"
            | b"sentences" | b"paragraphs" | b"require" | b"required" => self.constraints += 1,
            b"def" | b"class" | b"import" | b"function" | b"return" | b"const" | b"let" | b"fn" | b"public"
            | b"void" | b"select" | b"python" | b"javascript" | b"sql" | b"java" | b"rust" | b"html" | b"regex"
            | b"api" => self.code += 1,
            b"example" | b"examples" | b"input" | b"output" | b"answer" => {
                self.examples += usize::from(word.ends_with(':'));
            }
            _ => {}
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
            share(self.chars, self.words).min(12.0),
            share(self.digits, self.chars),
            log(self.numbers),
            share(self.math_symbols, self.chars),
            log(self.latex),
            log(self.code),
            log(self.options),
            log(self.questions),
            log(self.sentences),
            log(self.lines),
            share(self.uppercase, self.chars),
            share(self.non_ascii, self.chars),
            share(self.punctuation, self.chars),
            share(self.long_words, self.words),
            log(self.constraints),
            log(self.examples),
            log(self.quotes),
            log(self.list_items),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_multiple_choice_and_numbers() {
        let signals = Signals::of("What is 3.14 times 2?\nA) 6.28\nB) 5\n(C) 1,000");

        assert_eq!(signals.options, 3);
        assert_eq!(signals.numbers, 5);
        assert_eq!(signals.questions, 1);
    }

    #[test]
    fn sees_code() {
        let code = Signals::of("```\nfn main() {\n    let x = 1;\n}\n```");
        let prose = Signals::of("Tell me about the sea.");

        assert!(code.code > 4);
        assert_eq!(prose.code, 0);
    }

    proptest! {
        #[test]
        fn features_are_finite_for_any_text(text in "\\PC{0,300}") {
            prop_assert!(Signals::of(&text).features().iter().all(|x| x.is_finite()));
        }
    }
}
