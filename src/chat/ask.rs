//! Finds the human's ask in a conversation.
//!
//! The rule: the last user message that still has text once harness text is taken away. Agent harnesses wrap reminders, tool
//! results, environment listings and command output into user messages; they say what the harness did and not what the human
//! wants. A last message that only points back, such as "yes, do it", takes its topic from the user message before it. If no user
//! message has text of its own, the last text of any message stands in.

mod dump;
mod follow_up;
mod harness;

use crate::chat::ask::dump::shorten;
use crate::chat::ask::follow_up::points_back;
pub use crate::chat::ask::harness::without_harness;

/// A message as far as routing reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Who spoke, as the wire says.
    pub role: String,
    /// The texts of its parts, joined by line ends. Tool results are not text.
    pub text: String,
}

/// How many user messages back a topic is looked for.
const TOPIC_WITHIN: usize = 20;

/// The most characters of a topic that join a message that points back to it.
const TOPIC_CHARS: usize = 2_000;

/// The ask of a conversation. Empty if no message has any text.
#[must_use]
pub fn ask(turns: &[Turn]) -> String {
    let mut own = turns
        .iter()
        .rev()
        .filter(|turn| turn.role == "user")
        .map(|turn| without_harness(&turn.text))
        .filter(|text| !text.is_empty());
    let any = || turns.iter().rev().map(|turn| turn.text.trim().to_owned()).find(|text| !text.is_empty());
    let Some(last) = own.next() else { return shorten(&any().unwrap_or_default()) };
    if !points_back(&last) {
        return shorten(&last);
    }
    match own.take(TOPIC_WITHIN).find(|text| !points_back(text)) {
        Some(topic) => format!("{}\n{last}", head(&shorten(&topic))),
        None => last,
    }
}

/// The start of a topic, to the last whole word.
fn head(topic: &str) -> &str {
    let Some((end, _)) = topic.char_indices().nth(TOPIC_CHARS) else { return topic };
    let start = topic.get(..end).unwrap_or(topic);
    start.rfind(char::is_whitespace).and_then(|at| start.get(..at)).unwrap_or(start)
}

#[cfg(test)]
mod tests;
