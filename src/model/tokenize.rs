//! Text to token ids, cut to what the encoder reads.

mod plain;

use std::fmt;

use tokenizers::pipeline::{EncodeOptions, Override, PipelineTokenizer};

use crate::model::bundle::EncoderDirectory;
use crate::model::error::{InferenceError, PrepareError};
use crate::model::tokenize::plain::Plain;

/// The name of the tokeniser file inside an encoder directory.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// Bytes that are tokenised at a time for each token that still fits. English prose has four to five.
const BYTES_PER_TOKEN: usize = 6;

/// A loaded tokeniser. Shared by all threads; each brings its own [`TokenBuffer`].
#[derive(Clone)]
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    /// The shorter way for ASCII, where the tokeniser allows one.
    plain: Option<Plain>,
    options: EncodeOptions,
    /// `[CLS]` and `[SEP]`, where the encoder wants them.
    specials: Option<(i64, i64)>,
    max_tokens: usize,
    /// The token that stands for words that the vocabulary lacks, if there is one.
    unknown: Option<i64>,
}

/// The token ids of one text, with room that is used again for the next.
#[derive(Debug, Default)]
pub struct TokenBuffer {
    ids: Vec<i64>,
    text_tokens: usize,
    unknown: usize,
    truncated: bool,
    head: Vec<u32>,
    tail: Vec<u32>,
}

impl TokenBuffer {
    /// The ids as the encoder reads them, special tokens included. Empty if the text has no tokens and the encoder adds none.
    #[must_use]
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// How many tokens of the text there are, special tokens not counted.
    #[must_use]
    pub const fn text_tokens(&self) -> usize {
        self.text_tokens
    }

    /// How many of them stand for words that the vocabulary lacks.
    #[must_use]
    pub const fn unknown(&self) -> usize {
        self.unknown
    }

    /// Whether the text had more tokens than the encoder reads.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.truncated
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("max_tokens", &self.max_tokens)
            .field("specials", &self.specials)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Loads the tokeniser of an encoder.
    ///
    /// # Errors
    /// The file is missing or is not a tokeniser, or it lacks `[CLS]` and `[SEP]` where the encoder wants them.
    pub fn open(encoder: &EncoderDirectory) -> Result<Self, PrepareError> {
        let bytes = encoder.read(TOKENIZER_FILE)?;
        let shape = |problem: String| PrepareError::Shape { file: TOKENIZER_FILE.to_owned(), problem };
        let text = String::from_utf8(bytes).map_err(|error| shape(error.to_string()))?;
        let canonical = tokenizers::canonicalize_str(&text).map_err(|error| shape(error.to_string()))?;
        let pipeline = tokenizers::from_json(&canonical).map_err(|error| shape(error.to_string()))?;
        // Padding, truncation and special tokens are ours, whatever the file says: a cut made there would lose the tail unseen.
        let options =
            EncodeOptions { truncation: Override::Off, padding: Override::Off, ..EncodeOptions::no_specials() };
        let description = encoder.description();
        let plain = Plain::of(&canonical);
        let mut tokenizer =
            Self { pipeline, plain, options, specials: None, max_tokens: description.max_tokens, unknown: None };
        tokenizer.unknown = tokenizer.special("[UNK]");
        if description.add_special_tokens {
            let (first, last) = (tokenizer.special("[CLS]"), tokenizer.special("[SEP]"));
            let missing =
                || shape("the encoder adds special tokens but the tokeniser has no `[CLS]` and `[SEP]`".to_owned());
            tokenizer.specials = Some(first.zip(last).ok_or_else(missing)?);
        }
        Ok(tokenizer)
    }

    fn special(&self, name: &str) -> Option<i64> {
        let mut tokens = Vec::new();
        self.pipeline.encode_into(name, &self.options, &mut tokens).ok()?;
        match tokens.as_slice() {
            [only] => Some(i64::from(only.id())),
            _ => None,
        }
    }

    /// Most tokens the encoder reads, special tokens included.
    #[must_use]
    pub const fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Tokenises a text into `buffer`.
    ///
    /// A text with more tokens than fit keeps the first three quarters and the last quarter of what fits, since both ends carry the
    /// ask, and is marked as truncated. It is tokenised piece by piece from the head until the room is full, then from the tail, so
    /// that the cost follows what is kept and not what was sent. `[CLS]` and `[SEP]` always stay.
    ///
    /// # Errors
    /// The tokeniser fails, which no text is known to cause.
    pub fn tokenize(&self, text: &str, buffer: &mut TokenBuffer) -> Result<(), InferenceError> {
        let room = self.max_tokens - if self.specials.is_some() { 2 } else { 0 };
        self.fill_head(text, room, buffer)?;
        buffer.truncated = buffer.head.len() > room;
        buffer.tail.clear();
        if buffer.truncated {
            let tail_room = room / 4;
            buffer.head.truncate(room - tail_room);
            self.fill_tail(text, tail_room, buffer)?;
        }
        let TokenBuffer { ids, text_tokens, head, tail, .. } = buffer;
        *text_tokens = head.len() + tail.len();
        ids.clear();
        ids.extend(self.specials.map(|(first, _)| first));
        ids.extend(head.iter().chain(tail.iter()).map(|&id| i64::from(id)));
        ids.extend(self.specials.map(|(_, last)| last));
        buffer.unknown = buffer.ids.iter().filter(|id| Some(**id) == self.unknown).count();
        Ok(())
    }

    /// Tokenises from the start until there are more tokens than `room` or the text ends.
    fn fill_head(&self, text: &str, room: usize, buffer: &mut TokenBuffer) -> Result<(), InferenceError> {
        buffer.head.clear();
        let mut rest = text;
        while !rest.is_empty() && buffer.head.len() <= room {
            let missing = room + 1 - buffer.head.len();
            let (piece, later) = split_after(rest, missing.max(16) * BYTES_PER_TOKEN);
            self.encode(piece, &mut buffer.head)?;
            rest = later;
        }
        Ok(())
    }

    /// Tokenises the end of the text and keeps its last `room` tokens.
    fn fill_tail(&self, text: &str, room: usize, buffer: &mut TokenBuffer) -> Result<(), InferenceError> {
        let mut bytes = room.max(16) * BYTES_PER_TOKEN;
        loop {
            let piece = last_bytes(text, bytes);
            buffer.tail.clear();
            self.encode(piece, &mut buffer.tail)?;
            if buffer.tail.len() >= room || piece.len() == text.len() {
                break;
            }
            bytes *= 2;
        }
        let surplus = buffer.tail.len().saturating_sub(room);
        buffer.tail.drain(..surplus);
        Ok(())
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), InferenceError> {
        let plain = self.plain.as_ref().and_then(|plain| Some((plain, plain.normalise(text)?)));
        let encoded = match plain {
            Some((plain, normalised)) => plain.encode(&normalised, &self.options, ids),
            None => {
                let mut tokens = Vec::new();
                let encoded = self.pipeline.encode_into(text, &self.options, &mut tokens);
                ids.extend(tokens.iter().map(|token| token.id()));
                encoded
            }
        };
        encoded.map_err(|error| InferenceError::Tokenizer(error.to_string()))
    }
}

/// Splits off about `bytes` bytes and at least one character, at white space where there is some in the second half, so that words stay
/// whole.
fn split_after(text: &str, bytes: usize) -> (&str, &str) {
    if text.len() <= bytes {
        return (text, "");
    }
    let end = text.floor_char_boundary(bytes).max(text.ceil_char_boundary(1));
    let (piece, _) = text.split_at(end);
    let border = piece.rfind(char::is_whitespace).filter(|&at| at > 0 && at >= end / 2).unwrap_or(end);
    text.split_at(border)
}

/// About the last `bytes` bytes, starting at white space where there is some in the first half.
fn last_bytes(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let start = text.ceil_char_boundary(text.len() - bytes);
    let (_, piece) = text.split_at(start);
    let border = piece.find(char::is_whitespace).filter(|&at| at <= piece.len() / 2).unwrap_or(0);
    piece.split_at(border).1
}

#[cfg(test)]
mod tests;
