//! What is scored: the human's ask, and the shape of the conversation around it.

mod tidy;

use crate::domain::api::Api;
use crate::domain::ids::AccountId;
use crate::domain::prompt::tidy::tidy;
use crate::domain::signals::Signals;

/// Most characters of an ask that are read. Longer asks keep their head and tail and say so.
pub const MAX_ASK_CHARS: usize = 16_384;

/// The text that is routed on, with what surrounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The last thing the human asked, without harness text. May be empty.
    pub ask: String,
    /// Whether the ask was cut to [`MAX_ASK_CHARS`].
    pub truncated: bool,
    /// Structural signals of the ask.
    pub signals: Signals,
    /// Facts about the whole request.
    pub shape: Shape,
}

impl Prompt {
    /// A prompt that is only an ask, as training rows and the command line have it.
    #[must_use]
    pub fn from_ask(text: &str) -> Self {
        let input_tokens = estimate_tokens(text.len());
        Self::new(text, Shape { turns: 1, input_tokens, ..Shape::default() })
    }

    /// Prepares an ask for scoring. Serving and training both come through here, so that what is learned is what is met.
    #[must_use]
    pub fn new(ask: &str, shape: Shape) -> Self {
        let (ask, truncated) = clip(ask.trim());
        let ask = tidy(&ask);
        Self { signals: Signals::of(&ask), ask, truncated, shape }
    }
}

/// Facts about a request that do not depend on what the ask says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Messages in the conversation.
    pub turns: usize,
    /// Estimated input tokens of the whole request, tools and system prompt included.
    pub input_tokens: u64,
    /// The caller's own limit on output tokens.
    pub max_output_tokens: Option<u64>,
    /// Images in the conversation.
    pub images: usize,
    /// Those of them that are elsewhere: an address stands for them.
    pub remote_images: usize,
    /// Tools on offer.
    pub tools: usize,
    /// Whether one of them must be called.
    pub must_call: bool,
    /// Whether the answer must follow a JSON schema.
    pub json_schema: bool,
    /// A short digest of the system prompt, zero where there is none.
    pub system_digest: u64,
    /// A digest of the system prompt and the first user message, by which a conversation is recognised; zero where there is no user message.
    pub opening_digest: u64,
    /// Whether a model has answered in this conversation before.
    pub is_answered: bool,
    /// The accounts at OpenAI's Responses whose encrypted thoughts are in the conversation, the one that thought last at the end.
    pub thinkers: Vec<AccountId>,
    /// What it asks for that only a provider of the caller's own dialect has.
    pub hosted: Option<Hosted>,
}

/// Something that only providers of one dialect have, such as a tool that runs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// The dialect.
    pub api: Api,
    /// The first field that asks for it.
    pub field: String,
}

/// Estimates tokens from bytes: four bytes to a token, at least one for a text that is not empty.
#[must_use]
pub const fn estimate_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// Cuts a text to [`MAX_ASK_CHARS`], three quarters from the head and one from the tail, since both ends carry the ask.
#[must_use]
pub fn clip(text: &str) -> (String, bool) {
    // A text of few bytes cannot have many characters; this spares the count.
    if text.len() <= MAX_ASK_CHARS || text.chars().count() <= MAX_ASK_CHARS {
        return (text.to_owned(), false);
    }
    let head_chars = MAX_ASK_CHARS / 4 * 3;
    let head_end = text.char_indices().nth(head_chars).map_or(text.len(), |(at, _)| at);
    let tail_start = text.char_indices().rev().nth(MAX_ASK_CHARS - head_chars - 2).map_or(0, |(at, _)| at);
    (format!("{}\n{}", &text[..head_end], &text[tail_start..]), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_long_text_at_character_borders_and_keeps_both_ends() {
        let text = format!("start{}end", "é".repeat(40_000));

        let (clipped, truncated) = clip(&text);

        assert!(truncated);
        assert_eq!(clipped.chars().count(), MAX_ASK_CHARS);
        assert!(clipped.starts_with("start") && clipped.ends_with("end"));
    }

    #[test]
    fn keeps_short_text_whole() {
        assert_eq!(clip("short"), ("short".to_owned(), false));
    }
}
