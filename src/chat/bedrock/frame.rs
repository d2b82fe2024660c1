//! Frames of AWS's event streams: `application/vnd.amazon.eventstream`.
//!
//! A frame is its length, the length of its headers and a checksum of both, the headers, the payload, and a checksum of everything before.
//! All numbers are big-endian; checksums are CRC-32.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::chat::sse::SseError;

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Whether the frame is an exception or an error and no event.
    pub is_failure: bool,
    /// The name of the event, of the exception, or of the error.
    pub name: String,
    /// The payload, JSON in Bedrock's streams.
    pub payload: Bytes,
}

/// Splits a stream of bytes into frames, however they were cut into chunks. Holds at most one frame and one chunk.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: usize,
    unread: BytesMut,
    failed: Option<SseError>,
}

impl FrameDecoder {
    /// A decoder whose frames are at most `limit` bytes long.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, unread: BytesMut::new(), failed: None }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        self.unread.extend_from_slice(chunk);
    }

    /// The next complete frame, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// When a frame is too large or damaged; the decoder stays in this state.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read().inspect_err(|error| self.failed = Some(*error))
    }

    fn read(&mut self) -> Result<Option<Frame>, SseError> {
        let Some(prelude) = self.unread.get(..PRELUDE) else { return Ok(None) };
        let (lengths, checksum) = prelude.split_at(PRELUDE - CHECKSUM);
        if crc32fast::hash(lengths) != number(checksum)? {
            return Err(SseError::Foreign);
        }
        let (length, headers) = lengths.split_at(4);
        let size = |bytes| number(bytes).and_then(|number| usize::try_from(number).map_err(|_| SseError::Foreign));
        let (length, headers) = (size(length)?, size(headers)?);
        if length > self.limit {
            return Err(SseError::EventTooLarge { limit: self.limit });
        }
        if length < PRELUDE + CHECKSUM || headers > length - PRELUDE - CHECKSUM {
            return Err(SseError::Foreign);
        }
        if self.unread.len() < length {
            return Ok(None);
        }
        let frame = self.unread.split_to(length).freeze();
        let (checked, checksum) = frame.split_at(length - CHECKSUM);
        if crc32fast::hash(checked) != number(checksum)? {
            return Err(SseError::Foreign);
        }
        let payload = frame.slice(PRELUDE + headers..length - CHECKSUM);
        let mut read = Frame { payload, ..Frame::default() };
        read_headers(frame.slice(PRELUDE..PRELUDE + headers), &mut read).ok_or(SseError::Foreign)?;
        Ok(Some(read))
    }
}

fn number(bytes: &[u8]) -> Result<u32, SseError> {
    bytes.try_into().map(u32::from_be_bytes).map_err(|_| SseError::Foreign)
}

/// Reads the headers that say what a frame is. `None` where they are cut or of an unknown type.
fn read_headers(mut bytes: Bytes, frame: &mut Frame) -> Option<()> {
    while !bytes.is_empty() {
        let name = usize::from(bytes.try_get_u8().ok()?);
        let name = take(&mut bytes, name)?;
        let value = match bytes.try_get_u8().ok()? {
            // True and false.
            0 | 1 => Bytes::new(),
            2 => take(&mut bytes, 1)?,
            3 => take(&mut bytes, 2)?,
            4 => take(&mut bytes, 4)?,
            // A long number and a time.
            5 | 8 => take(&mut bytes, 8)?,
            // Bytes and text.
            6 | 7 => {
                let length = usize::from(bytes.try_get_u16().ok()?);
                take(&mut bytes, length)?
            }
            // A UUID.
            9 => take(&mut bytes, 16)?,
            _ => return None,
        };
        match name.as_ref() {
            b":message-type" => frame.is_failure = value.as_ref() != b"event",
            b":event-type" | b":exception-type" | b":error-code" => {
                frame.name = String::from_utf8(value.to_vec()).ok()?;
            }
            _ => {}
        }
    }
    Some(())
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// A frame as bytes, as AWS would send it.
#[cfg(test)]
pub(crate) fn encode(kind: &str, name: &str, payload: &str) -> Vec<u8> {
    let type_header = if kind == "event" { ":event-type" } else { ":exception-type" };
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", kind), (type_header, name), (":content-type", "application/json")] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = u32::try_from(PRELUDE + headers.len() + payload.len() + CHECKSUM).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}
