//! What is kept of prompts, and the removal of what should not be.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How much of prompts and comments is kept. Ordered: a later one keeps less.
///
/// Embeddings and structural signals are kept in every case, since learning needs them. An embedding hints at what a text is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptRetention {
    /// The whole text.
    #[default]
    Full,
    /// The text after [`redact`].
    Redacted,
    /// No text.
    None,
}

impl PromptRetention {
    /// What is kept of one text.
    #[must_use]
    pub fn apply(self, text: &str) -> Option<String> {
        match self {
            Self::Full => Some(text.to_owned()),
            Self::Redacted => Some(redact(text)),
            Self::None => None,
        }
    }

    /// The one of two that keeps less.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Replaces what looks like an email address, a telephone number, a payment card or a key by `[email]`, `[phone]`, `[card]`,
/// `[number]` or `[secret]`.
///
/// Never fails, takes time linear in the text, and redacting twice changes nothing more. It goes by form alone:
/// - email: word characters around an `@` with a dot in the domain;
/// - numbers: groups of digits with up to three spaces, dots, hyphens, slashes or brackets between them. A `+` and 8 to 15 digits, a
///   leading zero or bracket and 9 to 12 digits in groups, 10 to 12 digits in a row, and groups of 3-3-4 are a `[phone]`; 13 to 19 in a
///   row, and groups of 4-4-4-4, 4-6-5 and 4-6-4 are a `[card]`; 20 and more in a row and groups of 3-2-4 are a `[number]`;
/// - keys: sixteen or more characters after a known prefix such as `sk-` or `ghp_`, and twenty or more letters and digits mixed.
///
/// It errs towards removing: a long identifier, a digest or a time in milliseconds goes too. It cannot see names, addresses, short
/// passwords, numbers written in words or in digits other than ASCII, or anything spelt to hide. It is a net, not a guarantee; where
/// text must not be kept, keep none.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut redacted = text.to_owned();
    // A replacement can only join nothing: placeholders are brackets and letters. The loop makes that a law instead of an argument;
    // every round but the last removes an `@`, a digit or a key, so it ends.
    loop {
        let next = redact_numbers(&redact_keys(&redact_emails(&redacted)));
        if next == redacted {
            return redacted;
        }
        redacted = next;
    }
}

fn redact_emails(text: &str) -> String {
    let is_local = |c: char| c.is_alphanumeric() || "._%+-'".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        let head = before.trim_end_matches(is_local);
        let tail = after.trim_start_matches(is_domain);
        let domain = after.strip_suffix(tail).unwrap_or(after).trim_end_matches(['.', '-']);
        let has_dot = domain.trim_start_matches('.').contains('.');
        if head.len() < before.len() && has_dot {
            out.push_str(head);
            out.push_str("[email]");
            rest = after.strip_prefix(domain).unwrap_or(tail);
        } else {
            out.push_str(before);
            out.push('@');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Prefixes that only keys and tokens have.
const KEY_PREFIXES: [&str; 20] = [
    "sk-",
    "pk-",
    "rk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "hf_",
    "AKIA",
    "ASIA",
    "AIza",
    "gsk_",
    "eyJ",
];

fn redact_keys(text: &str) -> String {
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    replace_runs(text, is_key, |run| looks_like_a_key(run).then_some("[secret]"))
}

fn looks_like_a_key(run: &str) -> bool {
    let is_prefixed = run.len() >= 16 && KEY_PREFIXES.iter().any(|prefix| run.starts_with(prefix));
    is_prefixed || is_uuid(run) || run.split(['_', '-']).any(is_mixed)
}

/// Twenty or more letters and digits with at least two of each kind.
fn is_mixed(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    part.len() >= 20 && digits >= 2 && part.len() - digits >= 2
}

fn is_uuid(run: &str) -> bool {
    let groups = run.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && run.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Replaces every run of the characters for which `replace` gives a placeholder.
fn replace_runs(text: &str, is_run: impl Fn(char) -> bool, replace: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(&is_run) {
        let (before, tail) = rest.split_at(start);
        let (run, after) = tail.split_at(tail.find(|c| !is_run(c)).unwrap_or(tail.len()));
        out.push_str(before);
        out.push_str(replace(run).unwrap_or(run));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Most groups of digits that one number is made of.
const MOST_GROUPS: usize = 7;

fn redact_numbers(text: &str) -> String {
    let groups = digit_groups(text);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    let mut at = 0;
    while let Some(first) = groups.get(at) {
        match longest_number(text, groups.get(at..).unwrap_or_default(), done) {
            Some((count, placeholder)) => {
                let end = groups.get(at + count - 1).map_or(first.end, |last| last.end);
                let start = if opener(text, first.start, done).is_some() { first.start - 1 } else { first.start };
                out.push_str(&text[done..start]);
                out.push_str(placeholder);
                done = end;
                at += count;
            }
            None => at += 1,
        }
    }
    out.push_str(&text[done..]);
    out
}

/// Where each run of ASCII digits begins and ends.
fn digit_groups(text: &str) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        match groups.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            Some(_) | None => groups.push(at..at + 1),
        }
    }
    groups
}

/// The `+` or `(` right before a number, where it has not been used by the number before.
fn opener(text: &str, start: usize, done: usize) -> Option<u8> {
    let before = start.checked_sub(1).filter(|&at| at >= done)?;
    text.as_bytes().get(before).copied().filter(|byte| matches!(byte, b'+' | b'('))
}

/// How many groups from the first on form a number that must go, and its placeholder. The longest wins.
fn longest_number(text: &str, groups: &[Range<usize>], done: usize) -> Option<(usize, &'static str)> {
    let first = groups.first()?;
    let joined = groups
        .windows(2)
        .take(MOST_GROUPS - 1)
        .take_while(|pair| matches!(pair, [left, right] if is_separator(&text[left.end..right.start])))
        .count();
    let lengths: Vec<usize> = groups.iter().take(joined + 1).map(Range::len).collect();
    let start = Start {
        opener: opener(text, first.start, done),
        is_zero: text.as_bytes().get(first.start) == Some(&b'0'),
        is_fraction: is_fraction(text, first.start),
    };
    (1..=lengths.len()).rev().find_map(|count| Some((count, judge(start, lengths.get(..count)?)?)))
}

/// One to three characters that people put between the groups of a number.
fn is_separator(between: &str) -> bool {
    between.len() <= 3 && between.bytes().all(|byte| b" .-/()".contains(&byte))
}

/// Whether digits are the fraction of a decimal number: a digit and a dot stand before them.
fn is_fraction(text: &str, start: usize) -> bool {
    matches!(text.as_bytes().get(..start), Some([.., b'0'..=b'9', b'.']))
}

/// How a number begins.
#[derive(Clone, Copy)]
struct Start {
    opener: Option<u8>,
    is_zero: bool,
    is_fraction: bool,
}

/// What a number of groups of these lengths is, if it must go.
fn judge(start: Start, lengths: &[usize]) -> Option<&'static str> {
    let digits: usize = lengths.iter().sum();
    if start.opener == Some(b'+') && (8..=15).contains(&digits) {
        return Some("[phone]");
    }
    match lengths {
        [length] if *length >= 20 => Some("[number]"),
        [10..=12] if !start.is_fraction => Some("[phone]"),
        [13..=19] if !start.is_fraction => Some("[card]"),
        [3, 3, 4] | [1, 3, 3, 4] => Some("[phone]"),
        [4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 4 | 5] => Some("[card]"),
        [3, 2, 4] => Some("[number]"),
        [_, _, ..] if (start.is_zero || start.opener.is_some()) && (9..=12).contains(&digits) => {
            lengths.iter().all(|&length| length >= 2).then_some("[phone]")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
