//! What must agree between two texts before one may have the other's answer, however near their embeddings are.
//!
//! An embedding is nearly blind to what turns an answer round: a number, a name, a `not`, which of two things comes first. So the wording is
//! compared too, without the words around an ask that say nothing: greetings, courtesies, articles, `what is`.
//!
//! How blind: of the 62 pairs with different answers in `guard/pairs.txt`, the shipped encoder puts 8 at a cosine of 1.000 and 25 at 0.95 and
//! more, where only 6 of the 30 pairs with one answer are (`tests/it/caches.rs` counts them). No threshold tells them apart, so the wording
//! decides and the cosine may only object: none of the 62 pairs agrees in wording, and 7 of the 30.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A text as far as its wording counts. Holds digests, no text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wording {
    words: Box<[u64]>,
}

/// What an ask may begin with without being another one. Longer ones first where one begins with another.
const OPENINGS: [&[&str]; 22] = [
    &["i", "would", "like", "to", "know"],
    &["i", "would", "like", "you", "to"],
    &["i", "want", "to", "know"],
    &["i", "want", "you", "to"],
    &["i", "need", "you", "to"],
    &["i", "need", "to", "know"],
    &["i", "was", "wondering"],
    &["please", "let", "me", "know"],
    &["do", "you", "know"],
    &["let", "me", "know"],
    &["tell", "me"],
    &["what", "is"],
    &["what", "are"],
    &["kindly"],
    &["please"],
    &["hello"],
    &["hey"],
    &["hi"],
    &["ok"],
    &["okay"],
    &["so"],
    &["quick", "question"],
];

/// Questions that are a request where what is asked for follows, and elsewhere ask what they say: `Can you speak French?`
const REQUESTS: [&[&str]; 4] = [&["can", "you"], &["could", "you"], &["would", "you"], &["will", "you"]];

/// What is asked for.
const REQUESTED: [&str; 8] = ["please", "kindly", "tell", "explain", "give", "show", "help", "write"];

/// What an ask may end with.
const CLOSINGS: [&[&str]; 5] =
    [&["thank", "you"], &["thanks"], &["please"], &["thanks", "in", "advance"], &["for", "me"]];

/// Ways to ask for a way.
const WAYS: [&[&str]; 7] = [
    &["how", "do", "i"],
    &["how", "can", "i"],
    &["how", "could", "i"],
    &["how", "do", "you"],
    &["how", "do", "we"],
    &["how", "can", "we"],
    &["how", "to"],
];

/// What does not count before another word.
const SILENT: [&str; 4] = ["a", "an", "the", "there"];

/// What letters tell apart, so that `a` after it is a name.
const LETTERED: [&str; 14] = [
    "case",
    "class",
    "column",
    "grade",
    "group",
    "hepatitis",
    "influenza",
    "option",
    "plan",
    "point",
    "team",
    "type",
    "variable",
    "vitamin",
];

impl Wording {
    /// Reads a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let words = words(text);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut rest = words.as_slice();
        while let Some(shorter) = after_opening(rest) {
            rest = shorter;
        }
        while let Some(shorter) = CLOSINGS.iter().find_map(|closing| rest.strip_suffix(*closing)) {
            rest = shorter;
        }
        // A text of nothing but courtesies is compared by them.
        let rest = if rest.is_empty() { &words } else { rest };
        let (way, rest) = match WAYS.iter().find_map(|way| rest.strip_prefix(*way)) {
            Some(rest) => (Some("how to"), rest),
            None => (None, rest),
        };
        Self { words: way.into_iter().chain(rest.iter().copied()).map(digest).collect() }
    }

    /// Whether two texts may share an answer: the same words in the same order.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self == other
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }
}

/// What follows the opening of an ask, where it has one.
fn after_opening<'a, 'b>(words: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let request = REQUESTS.iter().find_map(|request| words.strip_prefix(*request));
    let request = request.filter(|rest| rest.first().is_some_and(|first| REQUESTED.contains(first)));
    request.or_else(|| OPENINGS.iter().find_map(|opening| words.strip_prefix(*opening)))
}

/// The words of a text in small letters, contractions written out, articles left out. What is in quotes or in code, and signs that mean
/// something, are words as they stand.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let quote = quoted(rest);
        let length = match quote {
            Some(quote) => quote.len(),
            None if is_sign(first) => rest.find(|character| !is_sign(character)).unwrap_or(rest.len()),
            None => word_length(rest),
        };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let counts = match quote {
            Some(_) => true,
            None if is_word(first) => !is_article(piece, after, &words),
            None if is_sign(first) => !is_silent(piece, before, after),
            None => !first.is_whitespace(),
        };
        match quote {
            None if counts && is_word(first) => push_word(&mut words, piece),
            Some(_) | None if counts => words.push(piece.to_owned()),
            Some(_) | None => {}
        }
        before = piece.chars().next_back();
        rest = after;
    }
    words
}

/// Whether a word is an article and no name: it stands before another word, in small letters but at the start of the text, and not where a
/// letter tells things apart.
fn is_article(piece: &str, after: &str, words: &[String]) -> bool {
    let is_named = piece.starts_with(char::is_uppercase) && !words.is_empty();
    let is_lettered = words.last().is_some_and(|word| LETTERED.contains(&word.as_str()));
    let mut next = after.trim_start().chars();
    let leads = match (next.next(), next.next()) {
        (Some(first), Some(second)) => is_quote(first) || (first.is_alphabetic() && second.is_alphabetic()),
        (Some(_) | None, _) => false,
    };
    leads && !is_named && !is_lettered && SILENT.contains(&piece.to_lowercase().as_str())
}

/// A quotation or piece of code at the start of a text, its marks included.
fn quoted(text: &str) -> Option<&str> {
    let mark = text.chars().next().filter(|mark| is_quote(*mark))?;
    let end = match mark {
        '“' => '”',
        '«' => '»',
        same => same,
    };
    let length = text.get(mark.len_utf8()..)?.find(end)?;
    text.get(..mark.len_utf8() + length + end.len_utf8())
}

/// The length of the word, or of the one character, at the start of a text. A point or comma between digits belongs to the number.
fn word_length(text: &str) -> usize {
    let mut length = 0;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let next = || text.get(at + character.len_utf8()..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
        let in_number = matches!(character, '.' | ',') && before.is_ascii_digit() && next().is_ascii_digit();
        let in_word = matches!(character, '\'' | '’') && before.is_alphabetic() && next().is_alphabetic();
        if !is_word(character) && !in_number && !in_word {
            break;
        }
        before = character;
        length = at + character.len_utf8();
    }
    if length == 0 { text.chars().next().map_or(0, char::len_utf8) } else { length }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '`' | '“' | '«')
}

fn closes(character: char) -> bool {
    matches!(character, '"' | '\'' | '”' | '’' | '»')
}

/// What parts sentences and their parts, where it stands as it does there.
fn is_sign(character: char) -> bool {
    matches!(character, '.' | ',' | '?' | '!' | ':' | '…')
}

/// Whether a run of signs may be left out or put in without changing an ask: it follows a letter, and a space, a closing quote or the end
/// follows it. Elsewhere it says something: `5!`, `3:4`, `!ok`, `a.b`. A `?` or `!` must end a sentence, since names may end in one (`save!`).
fn is_silent(signs: &str, before: Option<char>, after: &str) -> bool {
    let Some(before) = before else { return false };
    let next = after.chars().find(|character| !character.is_whitespace() && !closes(*character));
    let ends_sentence = next.is_none_or(char::is_uppercase);
    let parts = after.chars().next().is_none_or(|first| first.is_whitespace() || closes(first));
    let is_full_stop = next.is_none() && signs.chars().all(|sign| matches!(sign, '.' | '?'));
    let ends_anything = is_full_stop && (before.is_alphanumeric() || closes(before) || matches!(before, ')' | '`'));
    ends_anything || (before.is_alphabetic() && parts && (ends_sentence || !signs.contains(['?', '!'])))
}

fn push_word(words: &mut Vec<String>, piece: &str) {
    let word = piece.replace('’', "'").to_lowercase();
    let (stem, tail) = word.split_once('\'').unwrap_or((&word, ""));
    match (stem, tail) {
        ("can", "t") => words.extend(["can", "not"].map(str::to_owned)),
        ("won", "t") => words.extend(["will", "not"].map(str::to_owned)),
        ("shan", "t") => words.extend(["shall", "not"].map(str::to_owned)),
        (stem, "t") if stem.ends_with('n') => {
            words.extend([stem.strip_suffix('n').unwrap_or(stem), "not"].map(str::to_owned));
        }
        ("cannot", "") => words.extend(["can", "not"].map(str::to_owned)),
        (stem, "m") => words.extend([stem, "am"].map(str::to_owned)),
        (stem, "re") => words.extend([stem, "are"].map(str::to_owned)),
        (stem, "ve") => words.extend([stem, "have"].map(str::to_owned)),
        (stem, "ll") => words.extend([stem, "will"].map(str::to_owned)),
        (stem, "d") => words.extend([stem, "would"].map(str::to_owned)),
        ("there", "s") => words.push("is".to_owned()),
        (stem @ ("what" | "who" | "where" | "when" | "how" | "why" | "that" | "it" | "here"), "s") => {
            words.extend([stem, "is"].map(str::to_owned));
        }
        // British and American spelling of one word.
        _ => words.push(match word.strip_suffix("ise").filter(|stem| stem.len() >= 4) {
            Some(stem) => format!("{stem}ize"),
            None => word,
        }),
    }
}

fn digest(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
