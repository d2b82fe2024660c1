use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

/// Every event of a stream that arrives as these chunks, the unfinished one included.
fn decode(chunks: &[&[u8]]) -> Result<Vec<SseEvent>, SseError> {
    let mut decoder = SseDecoder::new(LIMIT);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    events.extend(decoder.finish());
    Ok(events)
}

fn data(stream: &[u8]) -> Vec<String> {
    let events = decode(&[stream]).unwrap();
    events.iter().map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect()
}

#[test]
fn splits_at_every_kind_of_line_end() {
    for stream in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
        assert_eq!(data(stream.as_bytes()), ["a", "b"], "{stream:?}");
    }
}

#[test]
fn joins_data_lines_and_drops_one_space() {
    assert_eq!(data(b"data:a\ndata:  b\ndata\ndata: c\n\n"), ["a\n b\n\nc"]);
}

#[test]
fn reads_the_name_and_ignores_foreign_fields() {
    let events = decode(&[b"id: 7\nevent: ping\nretry: 5\nnonsense\ndata: x\n\n"]).unwrap();

    assert_eq!(events[0].name.as_deref(), Some(b"ping".as_slice()));
    assert_eq!(events[0].data, "x");
}

#[test]
fn a_comment_is_an_event_without_data() {
    let events = decode(&[b": keep alive\n\ndata: x\n\n"]).unwrap();

    assert_eq!(events[0].raw, ": keep alive\n\n");
    assert_eq!(events[0].data, "");
    assert_eq!(events[1].data, "x");
}

#[test]
fn drops_the_byte_order_mark_even_when_it_is_cut() {
    let events = decode(&[b"\xef", b"\xbb", b"\xbfdata: x\n\n"]).unwrap();

    assert_eq!(events[0].raw, "data: x\n\n");
    assert_eq!(events[0].data, "x");
}

#[test]
fn gives_an_event_as_soon_as_its_blank_line_is_there() {
    for stream in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
        let mut decoder = SseDecoder::new(LIMIT);
        decoder.push(Bytes::from(stream));

        assert!(decoder.next_event().unwrap().is_some(), "{stream:?}");
    }
}

#[test]
fn events_of_one_chunk_are_slices_of_it() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut decoder = SseDecoder::new(LIMIT);
    decoder.push(chunk.clone());

    let event = decoder.next_event().unwrap().unwrap();

    assert_eq!(event.raw.as_ptr(), chunk.as_ptr());
    assert_eq!(event.data.as_ptr(), chunk.slice(6..).as_ptr());
}

#[test]
fn refuses_an_event_beyond_the_limit_and_stays_refused() {
    for chunk in ["data: 123456789\n\n", "data: 1234567890", ": 1234567890123"] {
        let mut decoder = SseDecoder::new(12);
        decoder.push(Bytes::from(chunk));

        let error = decoder.next_event().unwrap_err();

        assert_eq!(error.to_string(), "one event of the stream is larger than 12 bytes");
        decoder.push(Bytes::from("data: a\n\n"));
        assert_eq!(decoder.next_event(), Err(error));
    }
}

#[test]
fn the_limit_is_for_one_event_and_not_for_a_chunk() {
    let mut decoder = SseDecoder::new(12);
    decoder.push(Bytes::from("data: a\n\n".repeat(50)));

    let count = std::iter::from_fn(|| decoder.next_event().unwrap()).count();

    assert_eq!(count, 50);
}

#[test]
fn completes_a_last_event_without_its_blank_line() {
    for stream in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r\n"] {
        let events = decode(&[stream.as_bytes()]).unwrap();

        assert_eq!(events[0].raw, DONE, "{stream:?}");
        assert_eq!(events[0].data, "[DONE]");
    }
}

#[test]
fn splices_data_and_keeps_everything_else() {
    let events = decode(&[b"id: 1\r\ndata: {\"a\":1}\r\n\r\n", b"data: {\"a\":\ndata: 1}\n\n"]).unwrap();

    assert_eq!(events[0].splice([(5..6, b"22".as_slice())].into_iter()), "id: 1\r\ndata: {\"a\":22}\r\n\r\n");
    assert_eq!(events[1].splice([(6..7, b"22".as_slice())].into_iter()), "data: {\"a\":\ndata: 22}\n\n");
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "data: a", "data:", "event: e", ": c", "id: 1", "\n", "\r\n", "\r", "\n\n", "é", "\u{feff}", "x:",
    ])
}

proptest! {
    #[test]
    fn events_do_not_depend_on_the_chunking(pieces in prop::collection::vec(piece(), 0..40), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let stream = pieces.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();

        let whole = decode(&[&stream]);
        prop_assert_eq!(&decode(&chunks), &whole);
        prop_assert_eq!(&decode(&bytes), &whole);
    }

    #[test]
    fn what_is_encoded_is_decoded(text in "[a-z\\n{}: é]{0,60}") {
        prop_assert_eq!(data(&encode(text.as_bytes())), [text]);
    }

    #[test]
    fn any_bytes_are_split_without_a_crash(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&[&stream]).is_ok());
    }
}
