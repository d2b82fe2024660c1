use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: &str) {
    assert_eq!(redact(text), expected, "of {text:?}");
}

#[test]
fn removes_email_addresses() {
    check("write to ann.lee+x@mail.example.co.uk, or bob@x.org.", "write to [email], or [email].");
    check("jörg@bücher.de", "[email]");
    check("ask @ann or root@localhost; a @ b.c", "ask @ann or root@localhost; a @ b.c");
}

#[test]
fn removes_telephone_numbers() {
    for number in [
        "+1 415 555 2671",
        "+4930901820",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "06 12 34 56 78",
        "030/90182034",
        "4155552671",
    ] {
        check(&format!("call {number} now"), "call [phone] now");
    }
}

#[test]
fn removes_card_numbers() {
    for number in ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005"] {
        check(&format!("pay with {number}, please"), "pay with [card], please");
    }
    check("items 10 20 4111 1111 1111 1111 30", "items 10 20 [card] 30");
    check("123-45-6789", "[number]");
    check("no. 123456789012345678901234", "no. [number]");
}

#[test]
fn removes_keys() {
    for key in [
        "sk-proj-abcdefghijklmnop",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AKIAIOSFODNN7EXAMPLE",
        "hf_abcdefghijklmnopqrst",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "550e8400-e29b-41d4-a716-446655440000",
    ] {
        check(&format!("use {key}!"), "use [secret]!");
    }
}

#[test]
fn keeps_ordinary_text_and_arithmetic() {
    for text in [
        "What is 3.14159265358979 times 2, and 1,000,000,000 / 7?",
        "On 2024-01-15 at 10:30:45 the server 192.168.100.200 answered in 12 ms.",
        "Sort 5 3 8 1 9 2 4 7 6 10 and 12 15 18 21 24 27 30.",
        "def internationalisation_of_identifiers_with_long_names(x): return x",
        "The years 1914-1918 and 1939-1945; pages 100-200; 50 % of 300.",
        "Größe: 12 m²; 第二次世界大戦 1939年",
    ] {
        check(text, text);
    }
}

#[test]
fn the_stricter_retention_wins() {
    assert_eq!(PromptRetention::Full.at_most(PromptRetention::Redacted), PromptRetention::Redacted);
    assert_eq!(PromptRetention::None.at_most(PromptRetention::Full), PromptRetention::None);
    assert_eq!(PromptRetention::None.apply("x"), None);
}

proptest! {
    #[test]
    fn redacting_twice_changes_nothing_more(text in "[0-9a-zA-Z@.+()\\-/ _é\\[\\]]{0,120}|\\PC{0,120}") {
        let once = redact(&text);

        prop_assert_eq!(redact(&once), once);
    }

    #[test]
    fn no_long_row_of_digits_remains(before in "\\PC{0,20}", digits in "[0-9]{13,30}", after in "\\PC{0,20}") {
        prop_assume!(!before.ends_with(|c: char| c.is_ascii_digit() || c == '.'));
        let redacted = redact(&format!("{before}{digits}{after}"));

        prop_assert!(!redacted.contains(&digits), "{}", redacted);
    }
}
