//! Words that give the kind of an ask away. English, since the training data is.

use std::sync::LazyLock;

/// What a word is a sign of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    Constraint,
    Negation,
    Mathematics,
    Creation,
    Reasoning,
    Code,
    Example,
}

/// The words of every kind, in small letters and without blanks between them. No word is of two kinds.
const WORDS: [(WordKind, &str); 7] = [
    (
        WordKind::Constraint,
        "must exactly only without each every should ensure include avoid limit maximum minimum format words bullet step \
         steps most",
    ),
    (WordKind::Negation, "not except false incorrect least never none neither"),
    (
        WordKind::Mathematics,
        "equation solve calculate compute integer integers probability triangle polynomial many much percent average sum \
         product derivative integral prove prime value total remainder",
    ),
    (
        WordKind::Creation,
        "write compose draft story poem essay email blog imagine pretend act describe create generate rewrite summarize \
         summarise translate suggest design role character",
    ),
    (
        WordKind::Reasoning,
        "if then suppose assume therefore because given which following imply implies conclude true who than",
    ),
    (
        WordKind::Code,
        "def import function return const fn void select python javascript sql java rust html regex api code program \
         algorithm script array implement",
    ),
    (WordKind::Example, "example examples input output answer"),
];

/// The words by their ends.
struct Index {
    /// How long the words of each pair of ends are, a bit for every length. Most words of a text are told apart from all of these here.
    lengths: Vec<u16>,
    /// The words of each pair of ends.
    words: Vec<Vec<(&'static [u8], WordKind)>>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { lengths: vec![0; PAIRS], words: vec![Vec::new(); PAIRS] };
    for (kind, words) in WORDS {
        for word in words.split_ascii_whitespace().map(str::as_bytes) {
            let Some(at) = ends(word) else { continue };
            if let (Some(lengths), Some(words)) = (index.lengths.get_mut(at), index.words.get_mut(at)) {
                *lengths |= length(word);
                words.push((word, kind));
            }
        }
    }
    index
});

/// The pairs that five bits of the first and of the last byte make. They are the same for capitals.
const PAIRS: usize = 32 * 32;

/// The pair that the first and last byte of a word make.
fn ends(word: &[u8]) -> Option<usize> {
    Some(usize::from(word.first()? & 31) * 32 + usize::from(word.last()? & 31))
}

/// A bit for the length of a word. No word of the lists has the length that stands for all longer ones.
fn length(word: &[u8]) -> u16 {
    1 << word.len().min(15)
}

/// What a word, as it stands between spaces, is a sign of.
pub(super) fn kind(word: &str) -> Option<WordKind> {
    let bare = bare(word.as_bytes());
    let at = ends(bare)?;
    if INDEX.lengths.get(at)? & length(bare) == 0 {
        return None;
    }
    let words = INDEX.words.get(at)?;
    words.iter().find(|(word, _)| word.eq_ignore_ascii_case(bare)).map(|(_, kind)| *kind)
}

/// A word without the punctuation around it. An underscore is part of a name.
const fn bare(mut word: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = word
        && is_around(*first)
    {
        word = rest;
    }
    while let [rest @ .., last] = word
        && is_around(*last)
    {
        word = rest;
    }
    word
}

const fn is_around(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && byte.is_ascii_graphic() && byte != b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_known_in_any_case_and_between_punctuation() {
        for (expected, words) in WORDS {
            for word in words.split_ascii_whitespace() {
                for written in [word.to_owned(), word.to_uppercase(), format!("(\"{word}\","), format!("*{word}:")] {
                    assert_eq!(kind(&written), Some(expected), "{written}");
                }
                for other in [format!("_{word}"), format!("{word}é"), format!("{word}{}", "y".repeat(14))] {
                    assert_eq!(kind(&other), None, "{other}");
                }
            }
        }
    }

    #[test]
    fn words_that_only_begin_and_end_like_one_are_none() {
        for word in ["", "--", "_", "thin", "moot", "ONLI", "f", "e", "3", "é", "which's"] {
            assert_eq!(kind(word), None, "{word}");
        }
    }
}
