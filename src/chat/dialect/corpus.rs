//! What the tests of every inbound dialect share: canonical answers and streams, and how a dialect tells them.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use crate::chat::dialect::{Dialect, StreamTranslator};

/// Canonical answers.
pub(crate) const ANSWERS: &str = include_str!("../fixtures/answers.txt");

/// The cases of a fixture: each a name, and what stands below it.
pub(crate) fn cases(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.trim_start_matches("=== ").split("\n=== ").map(|case| case.split_once('\n').unwrap())
}

/// Canonical streams, each with its name.
pub(crate) fn streams() -> impl Iterator<Item = (&'static str, String)> {
    cases(include_str!("../fixtures/streams.txt")).map(|(name, stream)| (name, format!("{}\n\n", stream.trim_end())))
}

/// The events of a stream that arrives in these pieces.
pub(crate) fn events(writer: impl Dialect, pieces: &[&[u8]]) -> String {
    let mut translator = StreamTranslator::new(writer);
    let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| translator.push(Bytes::copy_from_slice(piece))).collect();
    bytes.extend(translator.finish());
    String::from_utf8(bytes).unwrap()
}

/// The events of the stream of this name.
pub(crate) fn events_of(writer: impl Dialect, wanted: &str) -> String {
    let (_, stream) = streams().find(|(name, _)| *name == wanted).unwrap();
    events(writer, &[stream.as_bytes()])
}

/// The data of events.
pub(crate) fn data(told: &str) -> Vec<Value> {
    let data = told.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// What a dialect makes of every stream.
pub(crate) fn told<D: Dialect>(writer: fn() -> D) -> String {
    streams().map(|(name, stream)| format!("=== {name}\n{}", events(writer(), &[stream.as_bytes()]))).collect()
}

/// What a dialect makes of every answer.
pub(crate) fn answered<D: Dialect>(writer: fn() -> D) -> String {
    let answer = |(name, completion): (_, &str)| {
        let told = String::from_utf8(writer().whole(completion.as_bytes()).unwrap()).unwrap();
        format!("=== {name}\n{told}\n")
    };
    cases(ANSWERS).map(answer).collect()
}

/// Cuts every stream at every byte, which must not change its events.
pub(crate) fn check_cuts<D: Dialect>(writer: fn() -> D) {
    for (name, stream) in streams() {
        let whole = events(writer(), &[stream.as_bytes()]);
        for at in 0..stream.len() {
            let (head, tail) = stream.as_bytes().split_at(at);
            assert_eq!(events(writer(), &[head, tail]), whole, "{name}, cut at byte {at}");
        }
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(events(writer(), &bytes), whole, "{name}, byte by byte");
    }
}

/// JSON of every kind, with these words in it.
pub(crate) fn any_json(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let fields = prop::collection::hash_map(word.clone(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}
