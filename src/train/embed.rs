//! Embedding many texts with the tokeniser and encoder that serve.

use std::num::NonZeroUsize;
use std::path::Path;

use crate::domain::embedding::Embedding;
use crate::domain::prompt::Prompt;
use crate::model::embedder::Embedder;
use crate::model::manifest::EncoderRef;
use crate::model::session::Device;
use crate::train::error::TrainError;
use crate::train::features::Features;
use crate::train::progress::{Phase, Progress, step};

/// Texts embedded between two reports of progress.
const CHUNK: usize = 2_048;

/// An encoder and how many threads use it.
#[derive(Debug)]
pub struct TextEncoder {
    embedder: Embedder,
    threads: NonZeroUsize,
}

impl TextEncoder {
    /// Opens and verifies an encoder directory. Zero threads are taken as one.
    ///
    /// # Errors
    /// The directory is missing or damaged, or the runtime is.
    pub fn open(directory: &Path, (device, threads): (Device, usize)) -> Result<Self, TrainError> {
        let embedder = Embedder::open(directory, device).map_err(TrainError::model("opening the encoder"))?;
        Ok(Self { embedder, threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN) })
    }

    /// How a manifest refers to the encoder.
    #[must_use]
    pub fn reference(&self) -> EncoderRef {
        self.embedder.encoder_ref()
    }

    /// The length of an embedding.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.embedder.dimension()
    }

    /// How many tokens a text has.
    ///
    /// # Errors
    /// The tokeniser fails.
    pub fn count_tokens(&self, text: &str) -> Result<usize, TrainError> {
        self.embedder.count_tokens(text).map_err(TrainError::model("tokenising prompts"))
    }

    /// Embeddings and signals of these texts, in order, cut and read as a served prompt is.
    ///
    /// # Errors
    /// The runtime fails, or the caller asks to stop.
    pub fn features(&mut self, texts: &[&str], progress: &dyn Progress) -> Result<Features, TrainError> {
        let mut features = Features::new(self.dimension());
        for chunk in texts.chunks(CHUNK) {
            step(progress, Phase::Embed, (features.len(), texts.len()))?;
            let prompts: Vec<Prompt> = chunk.iter().map(|text| Prompt::from_ask(text)).collect();
            let asks: Vec<&str> = prompts.iter().map(|prompt| prompt.ask.as_str()).collect();
            let embedded = self.embedder.embed_many(&asks, self.threads);
            let embeddings = embedded.map_err(TrainError::model("embedding prompts"))?;
            for (embedding, prompt) in embeddings.iter().zip(&prompts) {
                features.push(embedding.as_ref().map(Embedding::as_slice), prompt.signals.features());
            }
        }
        step(progress, Phase::Embed, (texts.len(), texts.len()))?;
        Ok(features)
    }
}
