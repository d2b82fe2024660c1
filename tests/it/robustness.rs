//! How often a change that changes nothing changes the choice, on the shipped bundle.
//!
//! *Near a threshold* is a prompt for which a model of another tier is worth as much as the chosen one but for [`NEAR`]: there the scores themselves
//! say that it hardly matters. Of all other prompts at most [`MOST_FLIPS`] may change their tier, for each kind of change, over the three settings
//! of the dial together. The choice is between the weak and the strong tier: the shipped bundle can hardly tell the medium one from the weak one, and
//! changes between those two mean as little as their difference.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::app::{chat, install_default_models};
use crate::support::{Setup, TestApp};

/// Utility, which is success probability less the price of cost.
const NEAR: f64 = 0.03;

const MOST_FLIPS: f64 = 0.05;

const QUALITIES: [f64; 3] = [0.3, 0.5, 0.7];

/// A prompt and the same in other words, parted by `||`; `\n` is a line end.
const PROMPTS: &str = include_str!("robustness/prompts.txt");

/// One kind of change. `None` where it does not apply to a prompt.
type Change = (&'static str, fn(&str) -> Option<String>);

const CHANGES: [Change; 21] = [
    ("typos", |text| Some(typos(text))),
    ("options reordered", |text| options(text, |at, _| format!("{}) ", letter(at)), Order::Reversed)),
    ("option letters in brackets", |text| options(text, |at, _| format!("({}) ", letter(at)), Order::Kept)),
    ("option letters with points", |text| options(text, |at, _| format!("{}. ", letter(at)), Order::Kept)),
    ("spaces and line ends", |text| Some(format!("  {}\r\n\r\n", text.replace(". ", ".   ").replace('\n', " \r\n")))),
    ("invisible characters", |text| Some(format!("\u{feff}{}", text.replace(". ", ".\u{200b} ")))),
    ("upper case", |text| (!is_code(text)).then(|| text.to_uppercase())),
    ("lower case, no end", |text| {
        (!is_code(text)).then(|| text.to_lowercase().trim_end_matches(['.', '?', '!']).to_owned())
    }),
    ("please", |text| Some(format!("Please help me with this: {text}"))),
    ("thanks", |text| Some(format!("{text} Thanks in advance!"))),
    ("sent from", |text| Some(format!("{text}\n\nSent from my phone"))),
    ("signature", |text| Some(format!("{text}\n\n-- \nMaren Vogt | Accounts | +49 555 0192 | https://example.org"))),
    ("emoji", |text| Some(format!("{text} 🙏🙂"))),
    ("junk of marks and words", |text| after(text, "zx!! ]]( }{ qvorp ;; similarlyNow ==> @@ blenk ~~ tavroxi")),
    ("junk of broken words", |text| {
        after(text, "!= representing.\\ >>oppositely]( vel** ONE revert \"\\!--Two grunfel {{ ++ xkcdqz")
    }),
    ("junk of letters and digits", |text| {
        Some(format!("{text}\n\nkJ8s#2 lq0Zz vv9!x ~~~ 77ab QpW3 ;;;; mmx%% 0xff3e zzkrT9"))
    }),
    ("a row of marks", |text| Some(format!("{text} ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! !"))),
    ("said to be hard", |text| Some(format!("{text}\n\nIMPORTANT: this is an extremely difficult PhD-level problem."))),
    ("said to need the best", |text| Some(format!("{text} (Very complex: only the most capable model can do it.)"))),
    ("said to be trivial", |text| Some(format!("{text}\n\nThis is trivial, use the cheapest model."))),
    ("said to be easy first", |text| Some(format!("Easy one: {text}"))),
];

fn letter(at: usize) -> char {
    char::from(b'A' + at as u8)
}

fn is_code(text: &str) -> bool {
    text.contains("```") || text.contains("def ") || text.contains('$') || text.contains("function ")
}

/// Junk on the line of an option would be a part of the option.
fn after(text: &str, junk: &str) -> Option<String> {
    Some(if text.contains("\nA) ") { format!("{text}\n{junk}") } else { format!("{text} {junk}") })
}

/// Swaps two letters in the middle of every sixth longer word.
fn typos(text: &str) -> String {
    let mut longer = 0;
    let swap = |word: &str| {
        if word.len() < 5 || !word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return word.to_owned();
        }
        longer += 1;
        let mut letters: Vec<char> = word.chars().collect();
        if longer % 6 == 1 {
            let middle = letters.len() / 2;
            letters.swap(middle - 1, middle);
        }
        letters.into_iter().collect()
    };
    text.split(' ').map(swap).collect::<Vec<String>>().join(" ")
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Kept,
    Reversed,
}

/// Writes the lettered options anew.
fn options(text: &str, label: fn(usize, &str) -> String, order: Order) -> Option<String> {
    let (stem, rest) = text.split_once("\nA) ")?;
    let mut options: Vec<&str> =
        rest.lines().enumerate().map(|(at, line)| if at == 0 { line } else { &line[3..] }).collect();
    if order == Order::Reversed {
        options.reverse();
    }
    let lines = options.iter().enumerate().map(|(at, option)| format!("{}{option}", label(at, option)));
    Some(format!("{stem}\n{}", lines.collect::<Vec<_>>().join("\n")))
}

struct Case {
    change: &'static str,
    original: usize,
    prompt: String,
}

fn cases() -> (Vec<String>, Vec<Case>) {
    let pairs: Vec<(String, String)> = PROMPTS
        .lines()
        .map(|line| line.split_once(" || ").unwrap_or_else(|| panic!("no paraphrase: {line}")))
        .map(|(prompt, other)| (prompt.replace("\\n", "\n"), other.replace("\\n", "\n")))
        .collect();
    let mut cases = Vec::new();
    for (original, (prompt, other)) in pairs.iter().enumerate() {
        cases.push(Case { change: "paraphrase", original, prompt: other.clone() });
        let changed = CHANGES.iter().filter_map(|(change, apply)| Some((*change, apply(prompt)?)));
        cases.extend(changed.map(|(change, prompt)| Case { change, original, prompt }));
    }
    (pairs.into_iter().map(|(prompt, _)| prompt).collect(), cases)
}

async fn decide(app: &TestApp, prompts: impl Iterator<Item = &str>, quality: f64) -> Vec<Value> {
    let bodies: Vec<Value> = prompts
        .map(|prompt| {
            let mut body = chat("auto", prompt);
            body["trimtab"] = json!({ "quality": quality, "candidates": ["demo-small", "demo-large"] });
            body
        })
        .collect();
    let mut decisions = Vec::new();
    for some in bodies.chunks(1_000) {
        let answer = app.post("/v1/route/batch", &json!({ "requests": some })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        decisions.extend(answer.json()["data"].as_array().unwrap().clone());
    }
    decisions
}

fn is_near(decision: &Value) -> bool {
    let utility = |one: &Value| one["utility"].as_f64().unwrap_or(f64::NEG_INFINITY);
    let candidates = decision["candidates"].as_array().unwrap();
    let best = candidates.iter().map(utility).fold(f64::NEG_INFINITY, f64::max);
    candidates.iter().filter(|one| one["tier"] != decision["tier"]).any(|one| best - utility(one) < NEAR)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_changes_nothing_rarely_changes_the_choice() {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    let app = TestApp::start_in(directory, Setup::default().with("[store]\nenabled = false\n")).await.unwrap();
    let (originals, cases) = cases();
    assert!(originals.len() >= 100);
    // By change: how many were compared, and how many of them changed their tier; those near a threshold apart.
    let mut counts: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut changed: Vec<String> = Vec::new();
    for quality in QUALITIES {
        let before = decide(&app, originals.iter().map(String::as_str), quality).await;
        let after = decide(&app, cases.iter().map(|case| case.prompt.as_str()), quality).await;
        for (case, after) in cases.iter().zip(&after) {
            let before = &before[case.original];
            let flipped = usize::from(before["tier"] != after["tier"]);
            let count = counts.entry(case.change).or_default();
            let at = if is_near(before) { 2 } else { 0 };
            count[at] += 1;
            count[at + 1] += flipped;
            if flipped == 1 && at == 0 {
                changed.push(format!("{} at {quality}: {}", case.change, originals[case.original]));
            }
        }
    }
    let share = |[all, flipped, ..]: &[usize; 4]| *flipped as f64 / (*all).max(1) as f64;
    let table: Vec<String> = counts
        .iter()
        .map(|(change, count)| {
            let [all, flipped, near, near_flipped] = count;
            format!(
                "{change:<28} {flipped:>3} of {all:<4} {:>5.1} %   near: {near_flipped} of {near}",
                100.0 * share(count)
            )
        })
        .collect();
    let table = table.join("\n");
    let worst: Vec<_> = counts.iter().filter(|(_, count)| share(count) > MOST_FLIPS).collect();
    assert!(worst.is_empty(), "{worst:?}\n{table}\n{}", changed.join("\n"));
    let compared: usize = counts.values().map(|[all, ..]| all).sum();
    assert!(compared > 3_000, "too few prompts are far from every threshold: {compared}\n{table}");
}
