//! A shorter way for ASCII text through tokenisers that clean and lower-case as BERT does.
//!
//! The library's normaliser looks every character up in Unicode tables, which takes a third of the time of tokenising and cannot change
//! ASCII but for its case and white space. Here that is done byte by byte, and the same tokeniser without its normaliser does the rest.

use serde_json::Value;
use tokenizers::pipeline::PipelineTokenizer;

/// A tokeniser without its normaliser, for texts that are normalised already.
#[derive(Clone)]
pub(super) struct Plain {
    pub(super) pipeline: PipelineTokenizer,
    /// Contents of special tokens. A text with one of them is left to the whole tokeniser, which finds them before it lower-cases.
    special: Vec<String>,
    /// The characters that they begin with, each once. Hardly any text has one of them.
    openings: Vec<char>,
}

impl Plain {
    /// Reads a canonical tokeniser file. `None` if its normaliser does anything else than BERT's for uncased models.
    pub(super) fn of(canonical: &str) -> Option<Self> {
        let mut file: Value = serde_json::from_str(canonical).ok()?;
        let normalizer = file.get("normalizer")?;
        let is = |field: &str| normalizer.get(field).and_then(Value::as_bool).unwrap_or(false);
        let is_bert = normalizer.get("type").and_then(Value::as_str) == Some("BertNormalizer");
        if !(is_bert && is("clean_text") && is("lowercase")) {
            return None;
        }
        let added = file.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let content = |token: &Value| token.get("content").and_then(Value::as_str).map(str::to_owned);
        let special: Vec<String> = added.iter().map(content).collect::<Option<_>>()?;
        // An empty token would be in every text, so that none could go this way.
        let mut openings: Vec<char> = special.iter().map(|token| token.chars().next()).collect::<Option<_>>()?;
        openings.sort_unstable();
        openings.dedup();
        file.as_object_mut()?.insert("normalizer".to_owned(), Value::Null);
        let pipeline = tokenizers::from_json(&file.to_string()).ok()?;
        Some(Self { pipeline, special, openings })
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

    /// Whether a text has the content of a special token in it.
    fn has_special(&self, text: &str) -> bool {
        self.openings.iter().any(|&opening| text.contains(opening))
            && self.special.iter().any(|token| text.contains(token.as_str()))
    }
}

const fn is_space(byte: u8) -> bool {
    (byte == b'\t') | (byte == b'\n') | (byte == b'\r')
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') | is_space(byte)
}
