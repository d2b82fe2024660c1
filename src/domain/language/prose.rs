//! The prose of a text: what is left without code, mathematics, numbers, addresses and quotations.

use crate::domain::language::READ_CHARS;
use crate::domain::language::words::is_english;
use crate::domain::signals::count;

/// After so many words of prose, and each time after as many more, a text is English if enough of them are small English words.
const CLEAR_WORDS: usize = 24;

/// Enough are one in three of the first words and one in four of more. English prose has two or three in six words.
const CLEAR_ONE_IN: (usize, usize) = (3, 4);

/// Letters of prose, and what was counted on the way.
pub(super) struct Prose<'a> {
    text: &'a str,
    /// The words of prose, a space between them.
    pub(super) letters: String,
    /// How many words there are in Latin letters.
    pub(super) words: usize,
    /// How many of them are small English words.
    pub(super) english: usize,
    /// Latin letters.
    pub(super) latin_letters: usize,
    /// Letters of other scripts. A character of a script that needs few of them counts for more.
    pub(super) foreign_letters: usize,
    /// Words that a comma ends.
    pub(super) listed: usize,
}

impl<'a> Prose<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut unread = text.chars();
        let rest = unread.nth(READ_CHARS - 1).map_or("", |_| unread.as_str());
        let text = text.get(..text.len() - rest.len()).unwrap_or(text);
        let mut prose = Self {
            text,
            letters: String::with_capacity(text.len().min(4 * READ_CHARS)),
            words: 0,
            english: 0,
            latin_letters: 0,
            foreign_letters: 0,
            listed: 0,
        };
        let mut spans = Spans::default();
        for line in prose_lines(text) {
            for word in line.split_whitespace() {
                if !spans.is_open() && word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                    prose.push_letters(word);
                } else if !word.is_ascii() && word.contains(is_ideograph) {
                    // Ideographs stand without spaces: a whole sentence with its numbers, quotations and names is one piece.
                    prose.push_ideographs(word);
                    continue;
                } else if spans.inside_after(word) {
                    continue;
                } else {
                    prose.push(word);
                }
                if prose.is_clearly_english() {
                    return prose;
                }
            }
            spans.end_of_line();
        }
        prose
    }

    /// Whether a text opens with so much English prose that it is taken for English, whatever follows.
    const fn is_clearly_english(&self) -> bool {
        let (first, later) = CLEAR_ONE_IN;
        let one_in = if self.words <= CLEAR_WORDS { first } else { later };
        let is_time = self.words > 0 && self.words.is_multiple_of(CLEAR_WORDS);
        is_time && self.foreign_letters == 0 && self.english * one_in >= self.words
    }

    fn push_ideographs(&mut self, piece: &str) {
        for character in piece.chars().filter(|c| is_common_ideograph(*c) || (c.is_alphabetic() && !is_latin(*c))) {
            self.letters.push(character);
            self.foreign_letters += weight(character);
        }
        self.letters.push(' ');
    }

    /// Does what [`Prose::push`] does, for a word of ASCII letters alone, as most words of an English text are. Such a word has nothing around
    /// it and all its letters are Latin, so that little is left to look for.
    fn push_letters(&mut self, word: &str) {
        let has_inner_capital = word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
        let is_camel = has_inner_capital && word.bytes().any(|byte| byte.is_ascii_lowercase());
        if is_camel || word.len() > 200 {
            return;
        }
        self.letters.push_str(word);
        self.letters.push(' ');
        self.latin_letters += word.len();
        self.words += 1;
        self.english += usize::from(is_english(word));
    }

    fn push(&mut self, word: &str) {
        let bare = bare(word);
        if !(if bare.is_ascii() { is_plain_ascii(bare.as_bytes()) } else { is_plain(bare) }) {
            return;
        }
        let mut latin = 0;
        let start = self.letters.len();
        for character in word.chars().filter(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-')) {
            let character = if character == '-' { ' ' } else { character };
            self.letters.push(character);
            if is_latin(character) {
                latin += 1;
            } else if character.is_alphabetic() {
                self.foreign_letters += weight(character);
            }
        }
        if self.letters.len() > start {
            self.letters.push(' ');
        }
        if latin > 0 {
            self.latin_letters += latin;
            self.words += 1;
            self.listed += usize::from(word.ends_with(','));
            self.english += usize::from(is_english(bare));
        }
    }

    /// What stands before the first quotation: the first line of prose up to a colon or quotation mark.
    pub(super) fn head(&self) -> &'a str {
        let line = self.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        line.split([':', '"', '“', '«', '「', '：']).next().unwrap_or(line)
    }

    /// What stands after the last quotation: the last line where there are several, and what follows the last quotation mark.
    pub(super) fn tails(&self) -> impl Iterator<Item = &'a str> {
        let mut lines = self.text.lines().filter(|line| !line.trim().is_empty());
        let (first, last) = (lines.next(), lines.next_back());
        let after = last.or(first).and_then(|line| line.rsplit_once(['"', '”', '»', '」'])).map(|(_, after)| after);
        [last, after].into_iter().flatten()
    }
}

/// The lines that are not code, a table or data.
fn prose_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            fenced = !fenced;
            return false;
        }
        !fenced && !is_code(line)
    })
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    let ends = line.ends_with([';', '{', '}', '[', '(', '\\']) || line.ends_with("=>") || line.ends_with("->");
    let opens = line.starts_with(['{', '}', '[', '<', '|', '#', '@', '\\', '$'])
        && line.chars().filter(char::is_ascii_punctuation).count() * 5 > line.len();
    let marks = count(line.as_bytes(), is_code_mark);
    (ends && marks >= 1) || opens || marks * 8 > line.chars().count()
}

/// Whether a byte is one of the marks that code and data are full of. It has no branches, so that many bytes are told at once.
const fn is_code_mark(byte: u8) -> bool {
    let is_bracket =
        (byte == b'{') | (byte == b'}') | (byte == b'[') | (byte == b']') | (byte == b'<') | (byte == b'>');
    let is_stroke = (byte == b'|') | (byte == b'_') | (byte == b'\\') | (byte == b'/');
    is_bracket | is_stroke | (byte == b'=') | (byte == b';') | (byte == b'"')
}

/// Follows inline code, formulas and quotations over the words of a line.
#[derive(Default)]
struct Spans {
    closes: Option<char>,
    words: usize,
}

impl Spans {
    /// Whether a span has begun and not ended.
    const fn is_open(&self) -> bool {
        self.closes.is_some()
    }

    /// Whether a word lies inside a span, its first and last word included.
    fn inside_after(&mut self, word: &str) -> bool {
        if let Some(close) = self.closes {
            self.words += 1;
            let ends = word.contains(close);
            if ends || self.words > 200 {
                self.closes = None;
            }
            return true;
        }
        let Some((at, open)) = word.char_indices().find(|(_, c)| closing(*c).is_some()) else { return false };
        let close = closing(open).unwrap_or(open);
        let after = word.get(at + open.len_utf8()..).unwrap_or_default();
        if !after.contains(close) {
            self.closes = Some(close);
            self.words = 0;
        }
        true
    }

    /// A span that is still open at the end of a line was none, or a quotation whose lines are each read by themselves.
    fn end_of_line(&mut self) {
        self.closes = None;
    }
}

const fn closing(open: char) -> Option<char> {
    match open {
        '"' | '`' | '$' => Some(open),
        '“' => Some('”'),
        '«' => Some('»'),
        '「' => Some('」'),
        _ => None,
    }
}

/// Whether a word without the punctuation around it is one that people speak: no identifier, path, address, number or formula.
pub(super) fn is_plain(bare: &str) -> bool {
    let odd = |c: char| {
        c.is_numeric()
            || matches!(
                c,
                '_' | '/'
                    | '\\'
                    | '@'
                    | '='
                    | '<'
                    | '>'
                    | '{'
                    | '}'
                    | '['
                    | ']'
                    | '|'
                    | '^'
                    | '#'
                    | '+'
                    | '*'
                    | '~'
                    | '%'
            )
    };
    let dotted = bare.char_indices().any(|(at, c)| {
        matches!(c, '.' | ':' | '(')
            && bare.get(at + c.len_utf8()..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    });
    let camel = bare.chars().skip(1).any(char::is_uppercase) && bare.chars().any(char::is_lowercase);
    !bare.is_empty() && !bare.contains(odd) && !dotted && !camel && bare.chars().count() <= 200
}

/// The same for words in ASCII, in one pass.
pub(super) fn is_plain_ascii(bare: &[u8]) -> bool {
    let (mut joint, mut upper, mut lower) = (false, false, false);
    for (at, &byte) in bare.iter().enumerate() {
        match byte {
            b'a'..=b'z' => lower = true,
            b'A'..=b'Z' => upper |= at > 0,
            b'0'..=b'9'
            | b'_'
            | b'/'
            | b'\\'
            | b'@'
            | b'='
            | b'<'
            | b'>'
            | b'{'
            | b'}'
            | b'['
            | b']'
            | b'|'
            | b'^'
            | b'#'
            | b'+'
            | b'*'
            | b'~'
            | b'%' => return false,
            _ => {}
        }
        if joint && byte.is_ascii_alphanumeric() {
            return false;
        }
        joint = matches!(byte, b'.' | b':' | b'(');
    }
    !(bare.is_empty() || (upper && lower) || bare.len() > 200)
}

/// A word without the punctuation around it.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Whether a character is of a script that is written without spaces between words.
const fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// Whether a character is of the block of ideographs that most Chinese is written in. All of them are letters and none is Latin, which spares
/// them the look into Unicode's tables.
const fn is_common_ideograph(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fff}')
}

const fn is_latin(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// How many Latin letters a letter stands for: ideographs and syllables say more than letters.
const fn weight(character: char) -> usize {
    match character {
        '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}' => 4,
        '\u{ac00}'..='\u{d7af}' => 3,
        // Greek letters and the like stand alone in formulas.
        '\u{370}'..='\u{3ff}' => 1,
        '\u{2100}'..='\u{214f}' | '\u{1d400}'..='\u{1d7ff}' => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_ideographs_are_letters_and_not_latin() {
        assert!(('\0'..=char::MAX).filter(|c| is_common_ideograph(*c)).all(|c| c.is_alphabetic() && !is_latin(c)));
    }

    proptest! {
        #[test]
        fn the_short_way_for_words_of_letters_agrees_with_the_long_one(word in "[a-zA-Z]{1,14}|[A-Z]{1,8}|[a-z]{195,205}|the|You") {
            let (mut short, mut long) = (Prose::of(""), Prose::of(""));

            short.push_letters(&word);
            long.push(&word);

            let counts = |prose: &Prose<'_>| (prose.words, prose.english, prose.latin_letters, prose.foreign_letters, prose.listed);
            prop_assert_eq!(counts(&short), counts(&long), "{}", word);
            prop_assert_eq!(short.letters, long.letters);
        }
    }
}
