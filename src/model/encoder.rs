//! Token ids to embeddings.

use ort::session::Session;
use ort::value::{TensorElementType, TensorRef};

use crate::domain::embedding::Embedding;
use crate::model::bundle::{EncoderDirectory, EncoderKind};
use crate::model::error::{InferenceError, PrepareError};
use crate::model::session::{self, Device, Expected, Graph, Placement};

/// The name of the graph inside an encoder directory.
pub(crate) const GRAPH_FILE: &str = "encoder.onnx";

/// An encoder session with the buffers of its inputs. Owned by one thread at a time: running it needs `&mut`.
#[derive(Debug)]
pub struct Encoder {
    session: Session,
    placement: Placement,
    dimension: usize,
    ids: Vec<i64>,
    mask: Vec<i64>,
}

impl Encoder {
    /// Opens the graph of an encoder.
    ///
    /// A static encoder always computes on the processor: it takes microseconds there, and less than a copy to a device would.
    ///
    /// # Errors
    /// ONNX Runtime is missing or refuses the graph, the device is not there, or the graph has other inputs or outputs.
    pub fn open(encoder: &EncoderDirectory, device: Device) -> Result<Self, PrepareError> {
        let bytes = encoder.read(GRAPH_FILE)?;
        Self::from_bytes(encoder, device, &bytes)
    }

    /// As [`Encoder::open`] with the graph already read, so that several sessions read it once.
    pub(crate) fn from_bytes(encoder: &EncoderDirectory, device: Device, bytes: &[u8]) -> Result<Self, PrepareError> {
        let device = match encoder.description().kind {
            EncoderKind::Static => Device::Cpu,
            EncoderKind::Transformer => device,
        };
        let dimension = encoder.description().dimension;
        let (session, placement) = session::open(Graph { file: GRAPH_FILE, bytes }, device)?;
        let integers = |name| Expected { name, element: TensorElementType::Int64, last: None };
        session::check(GRAPH_FILE, session.inputs(), &[integers("input_ids"), integers("attention_mask")])?;
        let output = Expected { name: "embedding", element: TensorElementType::Float32, last: Some(dimension) };
        session::check(GRAPH_FILE, session.outputs(), &[output])?;
        Ok(Self { session, placement, dimension, ids: Vec::new(), mask: Vec::new() })
    }

    /// The length of the embeddings.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Where the session computes.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Embeds a batch of token lists, padded to the longest. An empty list gives `None`: it has no direction.
    ///
    /// # Errors
    /// ONNX Runtime fails, or gives numbers that are not finite.
    pub fn embed(&mut self, batch: &[&[i64]]) -> Result<Vec<Option<Embedding>>, InferenceError> {
        let longest = batch.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
        if longest == 0 {
            return Ok(vec![None; batch.len()]);
        }
        self.ids.clear();
        self.mask.clear();
        for tokens in batch {
            let padding = longest - tokens.len();
            self.ids.extend_from_slice(tokens);
            self.ids.extend(std::iter::repeat_n(0, padding));
            self.mask.extend(std::iter::repeat_n(1, tokens.len()));
            self.mask.extend(std::iter::repeat_n(0, padding));
        }
        let shape = [batch.len(), longest];
        let ids = TensorRef::from_array_view((shape, self.ids.as_slice()))?;
        let mask = TensorRef::from_array_view((shape, self.mask.as_slice()))?;
        let outputs = self.session.run(ort::inputs!["input_ids" => ids, "attention_mask" => mask])?;
        let numbers = session::numbers(&outputs, "embedding", batch.len() * self.dimension)?;
        Ok(numbers.chunks_exact(self.dimension).map(|row| Embedding::normalise(row.to_vec())).collect())
    }
}

#[cfg(test)]
mod tests;
