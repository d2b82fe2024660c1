//! What an ask is freed of before it is scored.

mod junk;

use std::borrow::Cow;

use crate::domain::prompt::tidy::junk::without_junk;

/// Takes away what carries no meaning: control and invisible characters, carriage returns, spaces at line ends and repeated ones inside lines, more
/// than one empty line in a row, a mail signature, and junk at the end. Indentation stays, since code lives by it.
///
/// Each of these moves the signals of a prompt without changing what it asks; taken away here, they cannot steer the choice.
pub(super) fn tidy(text: &str) -> String {
    let mut text = spaced(text);
    // Hardly any text has a signature, and to find that out from the front is many times faster than from the end.
    let is_signed = text.contains(SIGNATURE_START);
    // What stands before a signature or junk may end in one too.
    loop {
        let kept = if is_signed { without_signature(&text) } else { &text };
        let kept = without_junk(kept).trim_end().len();
        if kept == text.len() {
            return text;
        }
        text.truncate(kept);
    }
}

fn spaced(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut empty_lines = 0;
    for line in text.lines() {
        let line = visible(line);
        let line = line.trim_end();
        empty_lines = if line.is_empty() { empty_lines + 1 } else { 0 };
        if empty_lines > 1 || (line.is_empty() && tidied.is_empty()) {
            continue;
        }
        let words = line.trim_start_matches(is_space);
        let has_wide = !line.is_ascii() && WIDE_SPACES.iter().any(|space| line.contains(space));
        if !has_wide && !words.contains("  ") {
            tidied.push_str(line);
            tidied.push('\n');
            continue;
        }
        tidied.extend(std::iter::repeat_n(' ', line.chars().take_while(|c| is_space(*c)).count()));
        for (at, word) in words.split(is_space).filter(|word| !word.is_empty()).enumerate() {
            if at > 0 {
                tidied.push(' ');
            }
            tidied.push_str(word);
        }
        tidied.push('\n');
    }
    // Trimmed in place: a copy would cost more.
    tidied.truncate(tidied.trim_end().len());
    tidied.drain(..tidied.len() - tidied.trim_start().len());
    tidied
}

/// A line without its invisible characters.
fn visible(line: &str) -> Cow<'_, str> {
    // All bytes are looked at, without a branch on any, which is faster than to stop at the first that is not plain.
    let is_plain = line.bytes().fold(true, |so_far, byte| so_far & (matches!(byte, b' '..=b'~') | (byte == b'\t')));
    if is_plain || !line.contains(is_invisible) {
        return Cow::Borrowed(line);
    }
    Cow::Owned(line.chars().filter(|character| !is_invisible(*character)).collect())
}

/// Spaces beyond ASCII.
const WIDE_SPACES: [&str; 2] = ["\u{a0}", "\u{3000}"];

const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\u{a0}' | '\u{3000}')
}

/// Control characters, byte order marks and characters of no width. The joiner that holds emoji together stays.
fn is_invisible(character: char) -> bool {
    match character {
        '\t' | '\u{200d}' => false,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        _ => character.is_control(),
    }
}

/// The line that mail programs put before a signature.
const SIGNATURE_START: &str = "\n--\n";

/// The longest signature, lines.
const SIGNATURE_LINES: usize = 8;

/// The text before a signature, which is one where few lines follow its start.
fn without_signature(text: &str) -> &str {
    let Some((before, signature)) = text.rsplit_once(SIGNATURE_START) else { return text };
    let is_short = signature.lines().count() <= SIGNATURE_LINES && signature.len() <= 80 * SIGNATURE_LINES;
    if is_short && !before.trim().is_empty() { before } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_and_invisible_characters_do_not_count() {
        assert_eq!(tidy("  Why \u{200b} is   the\u{a0}sky\r\n\r\n\r\n\r\nblue?\u{feff} \n"), "Why is the sky\n\nblue?");
        assert_eq!(tidy("\u{200b}\n \u{feff}"), "");
        assert_eq!(tidy(" \n   Où\u{3000} est  la\n  mer\u{ad} bleue ?\n\u{a0}là"), "Où est la\n  mer bleue ?\n là");
    }

    #[test]
    fn code_keeps_its_indentation() {
        let code = "def f(x):\n    if x:\n\treturn 1\n\n    return  2";

        assert_eq!(tidy(code), "def f(x):\n    if x:\n\treturn 1\n\n    return 2");
    }

    #[test]
    fn a_signature_is_no_part_of_the_ask() {
        let ask = "Could you explain the new rate?";

        assert_eq!(tidy(&format!("{ask}\n\n-- \nMaren Vogt | Accounts\n+49 555 0192")), ask);
        let list = format!("{ask}\n--\n{}", "one more line of text\n".repeat(20));
        assert_eq!(tidy(&list), list.trim());
    }

    proptest! {
        #[test]
        fn tidying_twice_changes_nothing_more(text in "(\\PC|\n|\r|\t| |\u{200b}|\u{2003}|--\n|\\]\\]\\( |!|x9Q%v ){0,80}") {
            let once = tidy(&text);

            prop_assert!(once.len() <= text.len());
            prop_assert_eq!(tidy(&once), once);
        }
    }
}
