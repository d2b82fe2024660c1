//! Messages that only point back: what they are about was said before.

/// Longer messages say themselves what they are about.
const MOST_WORDS: usize = 8;

/// Messages of a script without spaces are counted in characters.
const MOST_CHARS: usize = 48;

/// Words that say nothing without what came before. A message of these alone points back.
const POINTING: [&str; 117] = [
    "a",
    "again",
    "ahead",
    "all",
    "also",
    "alright",
    "and",
    "another",
    "apply",
    "as",
    "both",
    "but",
    "can",
    "carry",
    "change",
    "changes",
    "commit",
    "confirm",
    "confirmed",
    "continue",
    "correct",
    "could",
    "do",
    "done",
    "else",
    "ensure",
    "everything",
    "exactly",
    "expand",
    "file",
    "files",
    "finish",
    "first",
    "fix",
    "fixed",
    "for",
    "go",
    "going",
    "good",
    "great",
    "how",
    "i",
    "in",
    "instead",
    "is",
    "it",
    "its",
    "just",
    "keep",
    "let's",
    "lets",
    "lgtm",
    "like",
    "longer",
    "looks",
    "make",
    "more",
    "next",
    "no",
    "nope",
    "not",
    "now",
    "of",
    "ok",
    "okay",
    "on",
    "one",
    "ones",
    "only",
    "option",
    "other",
    "others",
    "perfect",
    "please",
    "pls",
    "previous",
    "proceed",
    "redo",
    "remaining",
    "repeat",
    "rest",
    "resume",
    "retry",
    "revert",
    "right",
    "run",
    "same",
    "second",
    "shorter",
    "simpler",
    "so",
    "sounds",
    "step",
    "still",
    "stop",
    "sure",
    "tests",
    "that",
    "the",
    "them",
    "then",
    "these",
    "thing",
    "third",
    "this",
    "those",
    "to",
    "too",
    "try",
    "two",
    "undo",
    "up",
    "what",
    "why",
    "with",
    "work",
    "yes",
];

/// Words of other languages that do the same.
const POINTING_ELSEWHERE: [&str; 30] = [
    "weiter",
    "mach",
    "ja",
    "genau",
    "bitte",
    "das",
    "nochmal",
    "oui",
    "continue",
    "vas-y",
    "encore",
    "sí",
    "si",
    "sigue",
    "continúa",
    "hazlo",
    "sim",
    "continua",
    "да",
    "продолжай",
    "дальше",
    "继续",
    "好的",
    "是的",
    "可以",
    "続けて",
    "はい",
    "계속",
    "네",
    "dale",
];

/// Others that close a conversation: they point nowhere, and want no answer worth the topic's model.
const CLOSING: [&str; 7] = ["thanks", "thank", "thx", "ty", "bye", "cheers", "danke"];

/// Whether a message only points back to what was said before it.
pub(super) fn points_back(text: &str) -> bool {
    if text.chars().nth(MOST_CHARS).is_some() {
        return false;
    }
    let words = || {
        let pieces =
            text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '.' | '!' | '?' | ';' | ':' | '。' | '，'));
        pieces
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
            .filter(|word| !word.is_empty())
    };
    let is_pointing = |word: &str| {
        POINTING.contains(&word)
            || POINTING_ELSEWHERE.contains(&word)
            || matches!(word, "yep" | "yeah" | "yup" | "y" | "n" | "k" | "you")
            || word.chars().all(|c| c.is_ascii_digit())
    };
    let count = words().count();
    let closes = words().any(|word| CLOSING.contains(&word.as_str()));
    // A number alone may be an answer to a question of the model's, and so may a letter: both point back.
    (1..=MOST_WORDS).contains(&count) && !closes && words().all(|word| is_pointing(&word))
}
