//! Server-sent events: bytes to events and back, whatever the chunking.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// The event that ends an OpenAI stream, as it is sent.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The event as it arrived, blank line included: what a relay forwards.
    pub raw: Bytes,
    /// The data lines joined by LF. Empty for an event that has none, such as a comment.
    pub data: Bytes,
    /// The value of its `event:` line.
    pub name: Option<Bytes>,
    /// Where `data` stands in `raw`, if it is one line.
    data_at: Option<usize>,
}

impl SseEvent {
    /// An event with this data.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        const FIELD: usize = b"data: ".len();
        let raw = encode(data);
        let is_line = raw.len() == FIELD + data.len() + 2;
        let data = if is_line { raw.slice(FIELD..FIELD + data.len()) } else { Bytes::copy_from_slice(data) };
        Self { raw, data, name: None, data_at: is_line.then_some(FIELD) }
    }

    /// A comment: a sign of life without meaning.
    #[must_use]
    pub const fn comment() -> Self {
        Self { raw: Bytes::from_static(b":\n\n"), data: Bytes::new(), name: None, data_at: None }
    }

    /// The event as bytes with parts of its data replaced, which are given in order, and every other byte as it arrived. The new parts must
    /// hold no line break. A range outside the data counts as its end. Data of several lines becomes the data of an otherwise bare event.
    #[must_use]
    pub fn splice<'e>(&self, edits: impl Iterator<Item = (Range<usize>, &'e [u8])> + Clone) -> Bytes {
        let (source, at) = match self.data_at {
            Some(at) => (&self.raw, at),
            None => (&self.data, 0),
        };
        let more: usize = edits.clone().map(|(_, with)| with.len()).sum();
        let (mut bytes, mut copied) = (BytesMut::with_capacity(source.len() + more), 0);
        for (range, with) in edits {
            bytes.extend_from_slice(source.get(copied..at + range.start).unwrap_or_default());
            bytes.extend_from_slice(with);
            copied = at + range.end;
        }
        bytes.extend_from_slice(source.get(copied..).unwrap_or_default());
        match self.data_at {
            Some(_) => bytes.freeze(),
            None => encode(&bytes),
        }
    }
}

/// Why a stream could not be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SseError {
    /// One event is larger than it may be.
    #[error("one event of the stream is larger than {limit} bytes")]
    EventTooLarge {
        /// The most bytes of one event.
        limit: usize,
    },
    /// What came is not what the provider's API has in its streams.
    #[error("the stream holds something that the provider's API does not have")]
    Foreign,
}

/// Data as an event, one `data:` line per line.
#[must_use]
pub fn encode(data: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(data.len() + 8);
    for line in data.split(|byte| is_line_break(*byte)) {
        bytes.extend_from_slice(b"data: ");
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\n");
    }
    bytes.extend_from_slice(b"\n");
    bytes.freeze()
}

/// Splits a stream of bytes into events by the WHATWG rules: lines end with LF, CRLF or CR, a leading byte order mark is dropped, and
/// several data lines are joined by LF. The events do not depend on how the bytes were cut into chunks.
///
/// Holds at most one event and one chunk. An event within one chunk is a slice of it; one that spans chunks is copied once. Call
/// [`SseDecoder::next_event`] until it gives `None`, then push the next chunk.
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    /// Whether the place of the byte order mark is behind us.
    started: bool,
    /// The unread part of the newest chunk. Empty while `carry` is not.
    chunk: Bytes,
    /// The start of an event whose end had not arrived with its chunk, and all that came after.
    carry: BytesMut,
    scan: Scan,
    failed: Option<SseError>,
}

impl SseDecoder {
    /// A decoder whose events are at most `limit` bytes long, line ends included.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let (chunk, carry) = (Bytes::new(), BytesMut::new());
        Self { limit, started: false, chunk, carry, scan: Scan::default(), failed: None }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if self.unread().is_empty() {
            self.chunk = chunk;
        } else {
            self.keep_rest();
            self.carry.extend_from_slice(&chunk);
        }
    }

    /// The next complete event, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// When an event is larger than the limit; the decoder stays in this state.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.reaches_an_event() {
            self.keep_rest();
            return Ok(None);
        }
        let unread = if self.carry.is_empty() { self.chunk.as_ref() } else { self.carry.as_ref() };
        let end = self.scan.find_end(unread);
        if end.unwrap_or(unread.len()) > self.limit {
            let error = SseError::EventTooLarge { limit: self.limit };
            self.failed = Some(error);
            return Err(error);
        }
        let Some(end) = end else {
            self.keep_rest();
            return Ok(None);
        };
        let raw = self.take(end);
        Ok(Some(std::mem::take(&mut self.scan).fields.into_event(raw)))
    }

    /// What is left when the stream has ended: the last event, if its blank line never came. It may have been cut, which only its
    /// reader can tell. Its `raw` is completed to a whole event.
    #[must_use]
    pub fn finish(mut self) -> Option<SseEvent> {
        if self.failed.is_some() {
            return None;
        }
        self.keep_rest();
        let text = self.carry.iter().rposition(|byte| !is_line_break(*byte)).map_or(0, |last| last + 1);
        if text == 0 {
            return None;
        }
        self.carry.truncate(text);
        self.carry.extend_from_slice(b"\n\n");
        let mut scan = Scan::default();
        let end = scan.find_end(&self.carry)?;
        Some(scan.fields.into_event(self.carry.split_to(end).freeze()))
    }

    fn unread(&self) -> &[u8] {
        if self.carry.is_empty() { &self.chunk } else { &self.carry }
    }

    /// Drops the byte order mark at the start of the stream and blank lines that end nothing. False while the mark may still be coming.
    fn reaches_an_event(&mut self) -> bool {
        if !self.started {
            let unread = self.unread();
            if unread.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(unread) {
                return false;
            }
            if unread.starts_with(BYTE_ORDER_MARK) {
                self.take(BYTE_ORDER_MARK.len());
            }
            self.started = true;
        }
        if self.scan.at == 0 {
            let breaks = self.unread().iter().take_while(|byte| is_line_break(**byte)).count();
            self.take(breaks);
        }
        true
    }

    /// Takes bytes that are known to be there off the front.
    fn take(&mut self, length: usize) -> Bytes {
        if self.carry.is_empty() { self.chunk.split_to(length) } else { self.carry.split_to(length).freeze() }
    }

    /// Makes room for the next chunk: copies what is left of this one.
    fn keep_rest(&mut self) {
        if self.carry.is_empty() {
            self.carry.extend_from_slice(&self.chunk);
            self.chunk.clear();
        }
    }
}

/// What is known of the unfinished event at the front of the unread bytes.
#[derive(Debug, Default)]
struct Scan {
    /// Everything before this offset was looked at.
    at: usize,
    /// Where the current line starts.
    line: usize,
    /// Whether the line before ended with a CR that no LF followed.
    bare_cr: bool,
    fields: Fields,
}

impl Scan {
    /// Reads on; the length of the event once its blank line is there. A CR that is the last byte so far may be half of a CRLF, so its
    /// line ends with the next byte, except where the line before shows that this stream ends lines with CR alone.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let Some(offset) = bytes.get(self.at..)?.iter().position(|byte| is_line_break(*byte)) else {
                self.at = bytes.len();
                return None;
            };
            let end = self.at + offset;
            let is_blank = end == self.line;
            let is_cr_style = is_blank && self.bare_cr;
            let width = match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'\n'), _) => 1,
                (_, Some(b'\n')) if !is_cr_style => 2,
                (_, None) if !is_cr_style => {
                    self.at = end;
                    return None;
                }
                (_, _) => 1,
            };
            if is_blank {
                return Some(end + width);
            }
            self.fields.read_line(bytes, self.line..end);
            self.bare_cr = width == 1 && bytes.get(end) == Some(&b'\r');
            self.line = end + width;
            self.at = self.line;
        }
    }
}

#[derive(Debug, Default)]
struct Fields {
    data: Data,
    name: Option<Range<usize>>,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    Line(Range<usize>),
    Lines(BytesMut),
}

impl Fields {
    fn read_line(&mut self, bytes: &[u8], line: Range<usize>) {
        let text = bytes.get(line.clone()).unwrap_or_default();
        let colon = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        let (field, value) = text.split_at(colon);
        let lead = match value {
            [b':', b' ', ..] => 2,
            [b':', ..] => 1,
            _ => 0,
        };
        let value = line.start + colon + lead..line.end;
        match field {
            b"data" => self.data.push(bytes, value),
            b"event" => self.name = Some(value),
            _ => {}
        }
    }

    fn into_event(self, raw: Bytes) -> SseEvent {
        let name = self.name.map(|range| raw.slice(range));
        let (data, data_at) = match self.data {
            Data::None => (Bytes::new(), None),
            Data::Line(range) => (raw.slice(range.clone()), Some(range.start)),
            Data::Lines(lines) => (lines.freeze(), None),
        };
        SseEvent { raw, data, name, data_at }
    }
}

impl Data {
    fn push(&mut self, bytes: &[u8], value: Range<usize>) {
        let line = |range: Range<usize>| bytes.get(range).unwrap_or_default();
        match self {
            Self::None => *self = Self::Line(value),
            Self::Line(first) => {
                let mut lines = BytesMut::from(line(first.clone()));
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(line(value));
                *self = Self::Lines(lines);
            }
            Self::Lines(lines) => {
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(line(value));
            }
        }
    }
}

const fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
