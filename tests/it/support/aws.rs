//! Answers as AWS sends them.

/// A frame of an event stream.
pub(crate) fn frame(name: &str, payload: &str) -> Vec<u8> {
    message(("event", ":event-type", name), payload)
}

/// A frame that ends an event stream with an error.
pub(crate) fn exception(name: &str, payload: &str) -> Vec<u8> {
    message(("exception", ":exception-type", name), payload)
}

fn message((kind, of, name): (&str, &str, &str), payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", kind), (of, name), (":content-type", "application/json")] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}
