//! A shorter way for ASCII text through tokenisers that clean and lower-case as BERT does.
//!
//! The library's normaliser looks every character up in Unicode tables, which takes a third of the time of tokenising and cannot change
//! ASCII but for its case and white space. Here that is done byte by byte. BERT then splits at white space and punctuation, and takes the longest
//! token that a word begins with: a word that is a token as a whole is that token, which one look in a table tells. For all other words the same
//! tokeniser without its normaliser does the rest.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;
use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, PipelineToken, PipelineTokenizer};

/// A tokeniser without its normaliser, for texts that are normalised already.
#[derive(Clone)]
pub(super) struct Plain {
    pipeline: PipelineTokenizer,
    /// Contents of special tokens. A text with one of them is left to the whole tokeniser, which finds them before it lower-cases.
    special: Vec<String>,
    /// The characters that they begin with, each once. Hardly any text has one of them.
    openings: Vec<char>,
    /// Tokens that are a whole word or a sign of punctuation. Empty where the tokeniser splits or looks for tokens in another way.
    words: HashMap<Box<[u8]>, u32, FixedState>,
}

impl Plain {
    /// Reads a canonical tokeniser file. `None` if its normaliser does anything else than BERT's for uncased models.
    pub(super) fn of(canonical: &str) -> Option<Self> {
        let mut file: Value = serde_json::from_str(canonical).ok()?;
        let normalizer = file.get("normalizer")?;
        let is = |field: &str| normalizer.get(field).and_then(Value::as_bool).unwrap_or(false);
        let is_bert = kind(normalizer) == Some("BertNormalizer");
        if !(is_bert && is("clean_text") && is("lowercase")) {
            return None;
        }
        let added = file.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // A token that is looked for after normalising is in texts that do not have it as it is written.
        let is_literal = |token: &&Value| token.get("normalized").and_then(Value::as_bool) == Some(false);
        let content = |token: &Value| Some(token).filter(is_literal)?.get("content")?.as_str().map(str::to_owned);
        let special: Vec<String> = added.iter().map(content).collect::<Option<_>>()?;
        // An empty token would be in every text, so that none could go this way.
        let mut openings: Vec<char> = special.iter().map(|token| token.chars().next()).collect::<Option<_>>()?;
        openings.sort_unstable();
        openings.dedup();
        let words = whole_words(&file).unwrap_or_default();
        file.as_object_mut()?.insert("normalizer".to_owned(), Value::Null);
        let pipeline = tokenizers::from_json(&file.to_string()).ok()?;
        Some(Self { pipeline, special, openings, words })
    }

    /// Appends the tokens of a text that [`Plain::normalise`] gave.
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn encode(&self, text: &str, options: &EncodeOptions, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        let mut tokens: Vec<PipelineToken> = Vec::new();
        let mut by_library = |unknown: Range<usize>, ids: &mut Vec<u32>| {
            tokens.clear();
            self.pipeline.encode_into(text.get(unknown).unwrap_or_default(), options, &mut tokens)?;
            ids.extend(tokens.iter().map(|token| token.id()));
            tokenizers::Result::Ok(())
        };
        // Words that the table lacks are gathered up to the next one that it has, so that the library is asked once for all of them.
        let mut unknown = 0..0;
        for word in (Words { text, at: 0 }) {
            match self.words.get(text.get(word.clone()).unwrap_or_default().as_bytes()) {
                Some(&id) => {
                    if !unknown.is_empty() {
                        by_library(std::mem::take(&mut unknown), ids)?;
                    }
                    ids.push(id);
                }
                None if unknown.is_empty() => unknown = word,
                None => unknown.end = word.end,
            }
        }
        if unknown.is_empty() { Ok(()) } else { by_library(unknown, ids) }
    }

    /// The text as BERT's normaliser leaves it. `None` where it is not plain enough for this way.
    pub(super) fn normalise(&self, text: &str) -> Option<String> {
        // Both passes look at every byte without a branch on any, so that many bytes are done at once.
        if !text.bytes().fold(true, |so_far, byte| so_far & is_plain(byte)) || self.has_special(text) {
            return None;
        }
        let mut bytes = text.as_bytes().to_vec();
        for byte in &mut bytes {
            *byte = if is_space(*byte) { b' ' } else { byte.to_ascii_lowercase() };
        }
        String::from_utf8(bytes).ok()
    }

    /// Whether a word is a token as a whole.
    #[cfg(test)]
    pub(super) fn knows(&self, word: &str) -> bool {
        self.words.contains_key(word.as_bytes())
    }

    /// Whether a text has the content of a special token in it.
    fn has_special(&self, text: &str) -> bool {
        self.openings.iter().any(|&opening| text.contains(opening))
            && self.special.iter().any(|token| text.contains(token.as_str()))
    }
}

fn kind(part: &Value) -> Option<&str> {
    part.get("type").and_then(Value::as_str)
}

/// The tokens of a vocabulary that are a whole word or a sign of punctuation in ASCII. `None` where words are not split and looked up as BERT does.
fn whole_words(file: &Value) -> Option<HashMap<Box<[u8]>, u32, FixedState>> {
    let model = file.get("model").filter(|model| kind(model) == Some("WordPiece"))?;
    file.get("pre_tokenizer").filter(|splitter| kind(splitter) == Some("BertPreTokenizer"))?;
    let vocabulary = model.get("vocab")?.as_object()?;
    let longest = usize::try_from(model.get("max_input_chars_per_word")?.as_u64()?).ok()?;
    let is_word = |token: &str| Words { text: token, at: 0 }.next() == Some(0..token.len());
    let is_whole = |token: &str| token.is_ascii() && token.len() <= longest && is_word(token);
    let whole = vocabulary.iter().filter(|(token, _)| is_whole(token));
    whole.map(|(token, id)| Some((token.as_bytes().into(), u32::try_from(id.as_u64()?).ok()?))).collect()
}

/// Where the words of an ASCII text are, and the signs of punctuation between them, as BERT splits it: white space goes.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let mut rest = self.text.as_bytes().iter().enumerate().skip(self.at);
        let (start, first) = rest.find(|(_, byte)| !byte.is_ascii_whitespace())?;
        let ends = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_punctuation();
        let next = if ends(first) { rest.next() } else { rest.find(|(_, byte)| ends(byte)) };
        self.at = next.map_or(self.text.len(), |(at, _)| at);
        Some(start..self.at)
    }
}

const fn is_space(byte: u8) -> bool {
    (byte == b'\t') | (byte == b'\n') | (byte == b'\r')
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') | is_space(byte)
}
