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
        let special: Option<Vec<String>> = added.iter().map(content).collect();
        file.as_object_mut()?.insert("normalizer".to_owned(), Value::Null);
        let pipeline = tokenizers::from_json(&file.to_string()).ok()?;
        Some(Self { pipeline, special: special? })
    }

    /// The text as BERT's normaliser leaves it. `None` where it is not plain enough for this way.
    pub(super) fn normalise(&self, text: &str) -> Option<String> {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
        if !text.bytes().all(is_plain) || self.special.iter().any(|token| text.contains(token.as_str())) {
            return None;
        }
        let spaced = |byte: char| if matches!(byte, '\t' | '\n' | '\r') { ' ' } else { byte.to_ascii_lowercase() };
        Some(text.chars().map(spaced).collect())
    }
}
