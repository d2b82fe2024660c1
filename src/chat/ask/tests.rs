use proptest::prelude::*;

use super::*;

fn turn(role: &str, text: &str) -> Turn {
    Turn { role: role.to_owned(), text: text.to_owned() }
}

/// A conversation written as `role: text`, turns parted by lines of `---`.
fn conversation(text: &str) -> Vec<Turn> {
    let part = |part: &str| {
        let (role, text) = part.trim_start_matches('\n').split_once(": ").unwrap();
        turn(role, text.trim_end())
    };
    text.split("\n---\n").map(part).collect()
}

#[test]
fn takes_the_last_user_message() {
    let turns = [turn("user", "first"), turn("assistant", "answer"), turn("user", "second"), turn("assistant", "more")];

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

#[test]
fn finds_the_ask_in_the_styles_of_many_harnesses() {
    let found: Vec<(&str, String)> = include_str!("fixtures.txt")
        .split("\n=== ")
        .map(|case| case.trim_start_matches("=== ").split_once('\n').unwrap())
        .map(|(name, text)| (name, ask(&conversation(text))))
        .collect();

    insta::assert_json_snapshot!(found);
}

#[test]
fn a_message_that_points_back_takes_its_topic_along() {
    let topic = "Write a function that merges two sorted lists.";
    for last in ["continue", "Yes, do it.", "ok go on", "try again please", "2", "继续", "ja, mach das"] {
        let turns = [
            turn("user", "Hello there, who are you?"),
            turn("user", topic),
            turn("assistant", "Shall I?"),
            turn("user", "yes"),
            turn("assistant", "Done. More?"),
            turn("user", last),
        ];

        assert_eq!(ask(&turns), format!("{topic}\n{last}"));
    }
}

#[test]
fn a_message_that_says_what_it_is_about_stands_alone() {
    for last in [
        "Thanks!",
        "ok thanks, bye",
        "Now write the same in Rust.",
        "What is the capital of Chad?",
        "Why is the sky blue?",
        "ok, but explain the second step of the proof with an example that a child understands",
    ] {
        let turns = [turn("user", "Prove that there are infinitely many primes."), turn("user", last)];

        assert_eq!(ask(&turns), last);
    }
    assert_eq!(ask(&[turn("user", "continue")]), "continue");
}

#[test]
fn a_long_topic_is_bounded() {
    let turns = [turn("user", &"word ".repeat(5_000)), turn("user", "continue")];

    let found = ask(&turns);

    assert!(found.chars().count() <= TOPIC_CHARS + 10 && found.ends_with("word\ncontinue"), "{}", found.len());
}

#[test]
fn a_long_log_is_cut_and_the_question_stays_before_or_after_it() {
    let log: String =
        (0..400).map(|n| format!("2024-05-03 12:{:02}:{:02} INFO worker {n} took a job\n", n / 60, n % 60)).collect();
    let question = "Why does worker 7 never finish?";

    for text in [format!("{question}\n\n{log}"), format!("{log}\n{question}")] {
        let found = ask(&[turn("user", &text)]);

        assert!(found.contains(question) && found.contains("worker 0 ") && found.contains("worker 399 "), "{found}");
        assert!(found.len() < 2_000, "{}", found.len());
    }
}

#[test]
fn a_long_text_that_is_no_log_stays_whole() {
    let text = "The committee met again on Tuesday and talked about the bridge.\n".repeat(200);

    assert_eq!(ask(&[turn("user", &text)]), text.trim());
}

proptest! {
    #[test]
    fn any_text_can_be_stripped(text in "(<|</|>|system-reminder|task|tool_result|## My request:|\\[a\\] Result:|\\PC|\n){0,60}") {
        prop_assert!(without_harness(&text).len() <= text.len());
    }
}
