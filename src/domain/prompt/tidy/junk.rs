//! Junk at the end of an ask: strings of odd tokens that say nothing and are put there to steer a scorer.

/// Words that are looked at, from the end.
const WITHIN: usize = 80;

/// So many odd words are needed; a formula or a path has fewer.
const LEAST_ODD: usize = 4;

/// At least one word in so many is odd.
const ODD_IN: usize = 3;

/// So many sound words in a row end the junk.
const SOUND_WORDS: usize = 3;

/// So many single marks in a row are junk.
const LEAST_MARKS: usize = 5;

/// A text without the junk at its end. Only the last line is looked at, and not if it is code, a formula, a list or an option; a text of less than
/// two sound words stays as it is.
pub(super) fn without_junk(text: &str) -> &str {
    let kept = junk_start(text).and_then(|at| text.get(..at)).map_or(text, str::trim_end);
    if kept.split_whitespace().nth(1).is_some() { kept } else { text }
}

fn junk_start(text: &str) -> Option<usize> {
    marks_start(text).or_else(|| {
        let line = text.rfind('\n').map_or(0, |at| at + 1);
        let last = text.get(line..)?;
        // Most lines have no odd words, and that is found out after a few of them.
        odd_start(last).filter(|_| !is_formal(last, text)).map(|at| line + at)
    })
}

/// Where a row of single marks at the end begins, such as `! ! ! ! !`.
fn marks_start(text: &str) -> Option<usize> {
    let mark = |word: &&str| word.len() == 1 && !word.starts_with(|c: char| c.is_alphanumeric());
    let marks: Vec<&str> = text.split_whitespace().rev().take_while(mark).collect();
    let first = marks.last().filter(|_| marks.len() >= LEAST_MARKS)?;
    Some(offset(text, first))
}

fn odd_start(line: &str) -> Option<usize> {
    let (mut odd, mut sound, mut start) = (0, 0, None);
    for (at, word) in line.split_whitespace().rev().take(WITHIN).enumerate() {
        if is_odd(word) {
            (odd, sound) = (odd + 1, 0);
            if odd >= LEAST_ODD && odd * ODD_IN > at {
                start = Some(offset(line, word));
            }
        } else {
            sound += 1;
            if sound > SOUND_WORDS {
                break;
            }
        }
    }
    start
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Whether a line follows rules of its own: code, a formula, a reaction, an entry of a list or an option of a question.
fn is_formal(line: &str, text: &str) -> bool {
    let bytes = line.trim_start().as_bytes();
    let opens = matches!(
        bytes,
        [b'A'..=b'P', b')' | b'.' | b':', b' ', ..]
            | [b'(', b'A'..=b'P', b')', ..]
            | [b'-' | b'*', b' ', ..]
            | [b'>', b'>', b'>', ..]
            | [b'|' | b'{' | b'[' | b'$' | b'#' | b'<', ..]
    );
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_numbered = digits > 0 && matches!(bytes.get(digits..), Some([b'.' | b')', b' ', ..]));
    let has_command = line
        .as_bytes()
        .windows(3)
        .any(|w| matches!(w, [b'\\', a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic()));
    let marks = ["->", "→", "\"\"\"", "```"].iter().any(|mark| line.contains(mark));
    let is_fenced = text.matches("```").count() % 2 == 1;
    opens || is_numbered || has_command || marks || is_fenced || line.matches('$').count() >= 2
}

/// Marks that people do write.
const USUAL: [&str; 42] = [
    "!=", "==", "=>", "->", "<-", "-->", "<--", "==>", "<=>", "<=", ">=", "&&", "||", "//", "/*", "*/", "$$", "::",
    "+=", "-=", "?!", "!?", "\"\"", "''", "()", "[]", "{}", "://", "<3", ":)", ":-)", ":(", ":/", ";)", ").", "),",
    ");", "].", "):", "};", "})", "\\\\",
];

/// Whether a word is none that a person would write in a sentence.
fn is_odd(word: &str) -> bool {
    let is_address = word.contains("://") || word.starts_with("www.") || (word.contains('@') && word.contains('.'));
    if is_address || !word.is_ascii() {
        return false;
    }
    let core = word.trim_matches(['.', ',', ';', ':', '!', '?', '(', ')', '"', '\'']);
    if !word.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        let first = word.as_bytes().first();
        let is_row = word.bytes().all(|byte| Some(&byte) == first)
            && !word.starts_with(['{', '}', '[', ']', ';', '@', '~', '+', '%']);
        return word.len() >= 2 && !is_row && !USUAL.contains(&word);
    }
    let letters = core.bytes().filter(u8::is_ascii_alphabetic).count();
    if letters == 0 || is_compound(core) {
        return false;
    }
    is_broken(word, core) || is_mixed(core) || (letters == core.len() && letters >= 5 && !has_vowel(core))
}

/// Letters beside marks that do not stand beside letters: `rep.\`, `>>opp](`, `x%%`.
fn is_broken(word: &str, core: &str) -> bool {
    const EDGES: [char; 11] = ['\\', '{', '}', '<', '>', '|', '~', '^', '=', '@', '%'];
    let edge = core.starts_with(EDGES)
        || core.ends_with(['\\', '{', '<', '>', '|', '~', '^', '=', '@'])
        || core.ends_with("%%");
    let inside = core.as_bytes().windows(3).any(|w| {
        matches!(w, [a, b'!' | b'#' | b'%' | b'~' | b'^' | b'\\' | b';', b] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
    });
    let is_escaped = word.contains("\\!") || word.contains("](") && !core.contains("](/") && word.ends_with('(');
    let is_power = core.contains('^') && core.bytes().filter(u8::is_ascii_alphabetic).count() <= 3;
    (edge || inside || is_escaped) && !is_power
}

/// Letters and digits in a jumble: `kJ8s2`, `77ab9`.
fn is_mixed(core: &str) -> bool {
    let pairs = || core.as_bytes().windows(2).filter_map(|w| <&[u8; 2]>::try_from(w).ok());
    let turns = pairs()
        .filter(|[a, b]| {
            a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && a.is_ascii_digit() != b.is_ascii_digit()
        })
        .count();
    let both_cases = core.bytes().any(|b| b.is_ascii_uppercase()) && core.bytes().any(|b| b.is_ascii_lowercase());
    core.len() >= 4 && core.bytes().any(|b| b.is_ascii_digit()) && (turns >= 2 || both_cases)
}

/// Whether a word is a chemical formula or the like: capitals with at most one small letter each, and numbers.
fn is_compound(core: &str) -> bool {
    let plain = core.bytes().all(|b| b.is_ascii_alphanumeric() || b"()[]-=+.,:/".contains(&b));
    let small_after_small = core.as_bytes().windows(2).any(|w| w.iter().all(u8::is_ascii_lowercase));
    plain
        && !small_after_small
        && core.starts_with(|c: char| c.is_ascii_uppercase() || "([".contains(c))
        && core.bytes().filter(u8::is_ascii_uppercase).count() >= 2
}

fn has_vowel(core: &str) -> bool {
    core.bytes().any(|b| b"aeiouyAEIOUY".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_at_the_end_goes() {
        let ask = "What is the capital of Mongolia?";
        for junk in [
            "zx!! ]]( }{ qvorp ;; similarlyNow ==> @@ blenk ~~ tavroxi",
            "!= representing.\\ >>oppositely]( vel** ONE revert \"\\!--Two grunfel {{ ++ xkcdqz",
            "kJ8s#2 lq0Zz vv9!x ~~~ 77ab QpW3 ;;;; mmx%% 0xff3e zzkrT9",
            "! ! ! ! ! ! ! ! !",
        ] {
            let kept = without_junk(&format!("{ask} {junk}")).to_owned();
            assert!(kept.starts_with(ask) && kept.len() <= ask.len() + 8, "{kept}");
            assert_eq!(without_junk(&format!("{ask}\n\n{junk}")).lines().next(), Some(ask));
        }
    }

    #[test]
    fn what_only_looks_odd_stays() {
        for text in [
            "Why does this fail?\nlet x: Vec<Option<&str>> = a.iter().map(|x| x?).collect::<Vec<_>>();",
            "How do I read (a != b && c == d || e <= f) in Python?",
            "Balance the reaction: Fe2O3 + CO gives Fe + CO2, and then CH3CH2OH + O2 gives CO2 + H2O",
            "Compute $\\frac{a}{b} + \\sqrt{x_1^2}$ for $a = 3$, $b = 4$",
            "Which is right?\nA) 2.5 m/s^2\nB) 4.9 m/s^2\nC) 8.5 m/s^2\nD) 9.8 m/s^2",
            "Install k8s v1.29, x86_64, on ubuntu22 with i18n and the GPT4 and LLaMA2 models",
            "What is in this repository? https://example.org/a?b=c&d=e%20f#g",
            "Are ### and *** and ~~ and ___ valid markdown rules?",
            "aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "!!! ??? ... --- ### $$$ %%% &&& *** (((",
            "xkcdqz ;;{ ]]( @@! ~~%",
            "Great!!! Thanks a lot :) <3",
            "Find x with 3^x + 4^x + 5^x = 6^x, and y with 2^y = 8^z",
        ] {
            assert_eq!(without_junk(text), text);
        }
    }
}
