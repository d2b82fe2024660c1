//! By which of our APIs a call came in.

use serde::{Deserialize, Serialize};

/// The API by which a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's legacy completions.
    Completions,
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// Google's `generateContent`.
    GenerateContent,
    /// A decision without the call, alone or in a batch.
    Route,
    /// Embeddings.
    Embeddings,
}

/// In which words an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// As a chat completion, or as whatever else an upstream of OpenAI's dialect answers, as it comes.
    AsItIs,
    /// In another dialect, for which it must be understood.
    Anew,
}

impl Api {
    const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completions,
        Self::Messages,
        Self::Responses,
        Self::GenerateContent,
        Self::Route,
        Self::Embeddings,
    ];

    /// The word used in logs, exports and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::GenerateContent => "generate_content",
            Self::Route => "route",
            Self::Embeddings => "embeddings",
        }
    }

    /// In which words its answers are told.
    #[must_use]
    pub const fn told(self) -> Told {
        match self {
            Self::Chat | Self::Route | Self::Embeddings => Told::AsItIs,
            Self::Completions | Self::Messages | Self::Responses | Self::GenerateContent => Told::Anew,
        }
    }

    /// Reads the word that [`Api::as_str`] writes.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_again_and_is_the_same_in_json() {
        for api in Api::ALL {
            assert_eq!(Api::parse(api.as_str()), Some(api));
            assert_eq!(serde_json::to_value(api).unwrap(), api.as_str());
        }
        assert_eq!(Api::parse("smoke signals"), None);
    }
}
