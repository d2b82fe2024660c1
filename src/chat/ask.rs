//! Finds the human's ask in a conversation.
//!
//! The rule: the last user message that still has text once harness text is taken away. Agent harnesses wrap reminders, tool
//! results, environment listings and command output into user messages; they say what the harness did and not what the human
//! wants. If no user message has text of its own, the last text of any message stands in.

/// A message as far as routing reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Who spoke, as the wire says.
    pub role: String,
    /// The texts of its parts, joined by line ends. Tool results are not text.
    pub text: String,
}

/// Elements whose content a harness wrote. Everything between the tags goes.
const HARNESS_ELEMENTS: [&str; 12] = [
    "system-reminder",
    "system_reminder",
    "environment_details",
    "environment_context",
    "local-command-stdout",
    "local-command-stderr",
    "local-command-caveat",
    "command-message",
    "tool_result",
    "function_results",
    "attached_files",
    "additional_data",
];

/// Elements that hold exactly what the human typed. Where one is present, nothing else of the message counts.
const ASK_ELEMENTS: [&str; 3] = ["user_query", "user_message", "task"];

/// The ask of a conversation. Empty if no message has any text.
#[must_use]
pub fn ask(turns: &[Turn]) -> String {
    let own = |turn: &Turn| Some(without_harness(&turn.text)).filter(|text| !text.is_empty());
    let users = || turns.iter().rev().filter(|turn| turn.role == "user");
    let any = || turns.iter().rev().map(|turn| turn.text.trim().to_owned()).find(|text| !text.is_empty());
    users().find_map(own).or_else(any).unwrap_or_default()
}

/// A user message without what its harness wrote.
#[must_use]
pub fn without_harness(text: &str) -> String {
    if !text.contains('<') {
        return text.trim().to_owned();
    }
    for element in ASK_ELEMENTS {
        // Only a message that the element opens or that a harness filled is unwrapped: people write about tags too.
        if let Some(inner) = last_element(text, element) {
            return inner.trim().to_owned();
        }
    }
    let mut kept = text.to_owned();
    for element in HARNESS_ELEMENTS {
        kept = without_element(&kept, element);
    }
    kept.trim().to_owned()
}

/// The content of the last `<name>…</name>` that starts a line.
fn last_element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = text.rmatch_indices(&open).map(|(at, _)| at).find(|&at| {
        let before = text.get(..at).unwrap_or_default();
        before.is_empty() || before.ends_with('\n')
    })?;
    let inner = text.get(start + open.len()..)?;
    let end = inner.find(&close)?;
    inner.get(..end).filter(|inner| !inner.trim().is_empty())
}

/// Drops every `<name …>…</name>`. An element that is never closed drops what follows it, since only harness text does that.
fn without_element(text: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&open) {
        // `<tool_resultant>` is another element.
        if !after.starts_with(['>', ' ', '\n', '/']) {
            kept.push_str(before);
            kept.push_str(&open);
            rest = after;
            continue;
        }
        kept.push_str(before);
        rest = after.split_once(&close).map_or("", |(_, tail)| tail);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(role: &str, text: &str) -> Turn {
        Turn { role: role.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn takes_the_last_user_message() {
        let turns =
            [turn("user", "first"), turn("assistant", "answer"), turn("user", "second"), turn("assistant", "more")];

        assert_eq!(ask(&turns), "second");
    }

    #[test]
    fn skips_user_messages_that_a_harness_wrote() {
        let turns = [
            turn("user", "Fix the login test."),
            turn("assistant", "Looking."),
            turn(
                "user",
                "<system-reminder>Todo list is empty.</system-reminder>\n<tool_result id=\"1\">42 files</tool_result>",
            ),
        ];

        assert_eq!(ask(&turns), "Fix the login test.");
    }

    #[test]
    fn strips_reminders_around_the_ask() {
        let text = "<system-reminder>be brief</system-reminder>\nWhy is the sky blue?\n<environment_details>cwd /x";

        assert_eq!(without_harness(text), "Why is the sky blue?");
    }

    #[test]
    fn unwraps_the_query_element() {
        assert_eq!(
            without_harness("<attached_files>a b</attached_files>\n<user_query>\nRename it.\n</user_query>"),
            "Rename it."
        );
    }

    #[test]
    fn leaves_other_tags_alone() {
        let text = "What does <div class=\"task\"> and <tool_resultant> mean in if a <b?";

        assert_eq!(without_harness(text), text);
    }

    #[test]
    fn falls_back_to_any_text() {
        assert_eq!(ask(&[turn("system", "Say hello."), turn("user", "")]), "Say hello.");
        assert_eq!(ask(&[]), "");
    }

    proptest! {
        #[test]
        fn any_text_can_be_stripped(text in "(<|</|>|system-reminder|task|tool_result|\\PC|\n){0,60}") {
            prop_assert!(without_harness(&text).len() <= text.len());
        }
    }
}
