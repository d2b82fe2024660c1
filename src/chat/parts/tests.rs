use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Writes down what it is told.
#[derive(Default)]
struct Log(Vec<String>);

impl Parts for Log {
    fn open(&mut self, part: Opening<'_>) {
        self.0.push(format!("open {} {:?} {} {}", part.at, part.kind, part.id, part.name).trim_end().to_owned());
    }

    fn grow(&mut self, piece: Piece<'_>) {
        self.0.push(format!("grow {} {}", piece.at, piece.text));
    }

    fn close(&mut self, at: usize, _: Kind) {
        self.0.push(format!("close {at}"));
    }
}

fn told(pieces: &[serde_json::Value]) -> Vec<String> {
    let (mut assembler, mut log) = (Assembler::new("s".to_owned()), Log::default());
    for piece in pieces {
        assembler.feed(&serde_json::from_value(piece.clone()).unwrap(), &mut log);
    }
    assembler.finish(&mut log);
    log.0
}

fn call(index: u64, id: &str, name: &str, arguments: &str) -> serde_json::Value {
    json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": name, "arguments": arguments } }] })
}

#[test]
fn a_part_closes_before_the_next_opens() {
    let told = told(&[
        json!({ "reasoning": "a" }),
        json!({ "content": "b" }),
        call(0, "x", "f", "{\"a\":\"}\"}"),
        call(1, "y", "g", "{}"),
        json!({ "content": "c" }),
    ]);

    assert_eq!(
        told,
        [
            "open 0 Thinking",
            "grow 0 a",
            "close 0",
            "open 1 Text",
            "grow 1 b",
            "close 1",
            "open 2 Tool x f",
            "grow 2 {\"a\":\"}\"}",
            "close 2",
            "open 3 Tool y g",
            "grow 3 {}",
            "close 3",
            "open 4 Text",
            "grow 4 c",
            "close 4",
        ]
    );
}

#[test]
fn interleaved_calls_stay_open_until_they_are_whole() {
    let told = told(&[
        call(0, "x", "f", "{\"a\":"),
        call(1, "y", "g", "{\"b\":"),
        call(0, "", "", "1}"),
        call(1, "", "", "2}"),
    ]);

    assert_eq!(
        told,
        [
            "open 0 Tool x f",
            "grow 0 {\"a\":",
            "open 1 Tool y g",
            "grow 1 {\"b\":",
            "grow 0 1}",
            "grow 1 2}",
            "close 0",
            "close 1"
        ]
    );
}

#[test]
fn arguments_wait_for_their_name_and_nameless_calls_are_dropped() {
    let late = told(&[call(0, "x", "", "{\"a\":"), call(0, "", "f", "1}")]);
    let never = told(&[call(0, "x", "", "{}")]);

    assert_eq!(late, ["open 0 Tool x f", "grow 0 {\"a\":", "grow 0 1}", "close 0"]);
    assert!(never.is_empty(), "{never:?}");
}

proptest! {
    #[test]
    fn json_is_whole_at_its_last_byte_and_not_before(keys in prop::collection::vec("[a-z{}\"\\\\\\[\\]]{0,6}", 0..5)) {
        let object: serde_json::Map<String, serde_json::Value> =
            keys.iter().map(|key| (key.clone(), json!([key, { "in": key }]))).collect();
        let text = serde_json::Value::Object(object).to_string();
        let mut scan = Scan::default();
        for (at, _) in text.char_indices() {
            prop_assert!(!scan.is_whole(), "{} at {}", text, at);
            scan.read(text.get(at..=at).unwrap());
        }
        prop_assert!(scan.is_whole());
    }
}
