//! Embedding many texts, for training: the same tokeniser, graph and normalisation as serving.

use std::num::NonZeroUsize;
use std::path::Path;

use rayon::prelude::*;

use crate::domain::embedding::Embedding;
use crate::model::bundle::{EncoderDirectory, EncoderKind};
use crate::model::encoder::{Encoder, GRAPH_FILE};
use crate::model::error::{InferenceError, PrepareError};
use crate::model::manifest::EncoderRef;
use crate::model::session::Device;
use crate::model::tokenize::{TokenBuffer, Tokenizer};

/// Texts that a transformer embeds at once. They are sorted by length first, so that padding costs little.
const BATCH: usize = 32;

/// An encoder for batch work.
#[derive(Debug)]
pub struct Embedder {
    directory: EncoderDirectory,
    device: Device,
    graph: Vec<u8>,
    tokenizer: Tokenizer,
    sessions: Vec<Encoder>,
}

impl Embedder {
    /// Opens an encoder directory, verifies it and opens one session.
    ///
    /// # Errors
    /// The directory is damaged, ONNX Runtime is missing, or the graph does not fit.
    pub fn open(directory: &Path, device: Device) -> Result<Self, PrepareError> {
        let directory = EncoderDirectory::open(directory)?;
        let graph = directory.read(GRAPH_FILE)?;
        let tokenizer = Tokenizer::open(&directory)?;
        let sessions = vec![Encoder::from_bytes(&directory, device, &graph)?];
        Ok(Self { directory, device, graph, tokenizer, sessions })
    }

    /// The length of the embeddings.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.directory.description().dimension
    }

    /// How a manifest refers to this encoder.
    #[must_use]
    pub fn encoder_ref(&self) -> EncoderRef {
        self.directory.reference()
    }

    /// How many tokens a text has, after cutting, special tokens not counted.
    ///
    /// # Errors
    /// As [`Embedder::embed_many`].
    pub fn count_tokens(&self, text: &str) -> Result<usize, InferenceError> {
        let mut buffer = TokenBuffer::default();
        self.tokenizer.tokenize(text, &mut buffer)?;
        Ok(buffer.text_tokens())
    }

    /// Embeds texts on that many threads, each with a session of its own, in the order given. A text without tokens gives `None`.
    ///
    /// The result of a text does not depend on the number of threads, nor, for a static encoder, on the texts around it. Texts go
    /// through the encoder as they are: cut them with `Prompt::from_ask` to see what serving sees.
    ///
    /// # Errors
    /// The tokeniser or the encoder fails, or a further session cannot be opened.
    pub fn embed_many(
        &mut self,
        texts: &[&str],
        threads: NonZeroUsize,
    ) -> Result<Vec<Option<Embedding>>, InferenceError> {
        while let Some(first) = self.sessions.first().filter(|_| self.sessions.len() < threads.get()) {
            // The first session opened, so only memory or the device can be short now.
            let another = first.another(self.device, &self.graph);
            self.sessions.push(another.map_err(|error| InferenceError::Session(Box::new(error)))?);
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        let batch = match self.directory.description().kind {
            // One by one: each takes microseconds, and padding would only add work.
            EncoderKind::Static => 1,
            EncoderKind::Transformer => {
                order.sort_by_key(|&at| texts.get(at).map_or(0, |text| text.len()));
                BATCH
            }
        };
        let share = order.len().div_ceil(threads.get()).max(1).next_multiple_of(batch);
        let tokenizer = &self.tokenizer;
        let shares = self.sessions.par_iter_mut().zip(order.par_chunks(share));
        let embedded: Vec<Vec<(usize, Option<Embedding>)>> = shares
            .map(|(session, share)| embed_share(Share { session, tokenizer, texts, batch }, share))
            .collect::<Result<_, InferenceError>>()?;
        let mut embeddings = vec![None; texts.len()];
        for (at, embedding) in embedded.into_iter().flatten() {
            if let Some(slot) = embeddings.get_mut(at) {
                *slot = embedding;
            }
        }
        Ok(embeddings)
    }
}

struct Share<'a> {
    session: &'a mut Encoder,
    tokenizer: &'a Tokenizer,
    texts: &'a [&'a str],
    batch: usize,
}

fn embed_share(work: Share<'_>, share: &[usize]) -> Result<Vec<(usize, Option<Embedding>)>, InferenceError> {
    let Share { session, tokenizer, texts, batch } = work;
    let mut buffers: Vec<TokenBuffer> = (0..batch).map(|_| TokenBuffer::default()).collect();
    let mut embedded = Vec::with_capacity(share.len());
    for chunk in share.chunks(batch) {
        for (&at, buffer) in chunk.iter().zip(&mut buffers) {
            tokenizer.tokenize(texts.get(at).copied().unwrap_or_default(), buffer)?;
        }
        let filled = buffers.iter().take(chunk.len());
        // A text without tokens is no text, even where the encoder would add its special tokens.
        let ids: Vec<&[i64]> =
            filled.map(|buffer| if buffer.text_tokens() == 0 { &[][..] } else { buffer.ids() }).collect();
        embedded.extend(chunk.iter().copied().zip(session.embed(&ids)?));
    }
    Ok(embedded)
}

#[cfg(test)]
mod tests;
