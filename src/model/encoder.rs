//! Token ids to embeddings.

mod runtime;
mod table;

use std::sync::Arc;

use crate::domain::embedding::Embedding;
use crate::model::bundle::{EncoderDirectory, EncoderKind};
use crate::model::encoder::runtime::Runtime;
use crate::model::encoder::table::Table;
use crate::model::error::{InferenceError, PrepareError};
use crate::model::session::{Device, Placement};

/// The name of the graph inside an encoder directory.
pub(crate) const GRAPH_FILE: &str = "encoder.onnx";

/// An encoder. Owned by one thread at a time: running it needs `&mut`.
#[derive(Debug)]
pub struct Encoder {
    way: Way,
    placement: Placement,
    dimension: usize,
}

/// Who computes.
#[derive(Debug)]
enum Way {
    /// We do, from the table that the graph holds: a part of what a run of ONNX Runtime costs.
    Here(Arc<Table>),
    /// ONNX Runtime.
    Runtime(Box<Runtime>),
}

impl Encoder {
    /// Opens the graph of an encoder.
    ///
    /// A static encoder always computes on the processor: it takes microseconds there, and less than a copy to a device would. Its sum is
    /// computed here and not by ONNX Runtime, if both give the same embeddings.
    ///
    /// # Errors
    /// ONNX Runtime is missing or refuses the graph, the device is not there, or the graph has other inputs or outputs.
    pub fn open(encoder: &EncoderDirectory, device: Device) -> Result<Self, PrepareError> {
        let bytes = encoder.read(GRAPH_FILE)?;
        Self::from_bytes(encoder, device, &bytes)
    }

    /// As [`Encoder::open`] with the graph already read, so that several sessions read it once.
    pub(crate) fn from_bytes(encoder: &EncoderDirectory, device: Device, bytes: &[u8]) -> Result<Self, PrepareError> {
        let description = encoder.description();
        let dimension = description.dimension;
        let device = match description.kind {
            EncoderKind::Static => Device::Cpu,
            EncoderKind::Transformer => device,
        };
        let (mut runtime, placement) = Runtime::open(bytes, device, dimension)?;
        let way = match description.kind {
            EncoderKind::Transformer => Way::Runtime(Box::new(runtime)),
            EncoderKind::Static => match Table::read(bytes, dimension).filter(|table| runtime.agrees(table)) {
                Some(table) => Way::Here(Arc::new(table)),
                None => {
                    tracing::info!(encoder = description.name, "it has another form: ONNX Runtime computes it");
                    Way::Runtime(Box::new(runtime))
                }
            },
        };
        Ok(Self { way, placement, dimension })
    }

    /// The same encoder for another thread, from the same bytes and for the same device.
    ///
    /// # Errors
    /// As [`Encoder::open`].
    pub(crate) fn another(&self, device: Device, bytes: &[u8]) -> Result<Self, PrepareError> {
        match &self.way {
            Way::Here(table) => Ok(Self {
                way: Way::Here(Arc::clone(table)),
                placement: self.placement.clone(),
                dimension: self.dimension,
            }),
            Way::Runtime(_) => {
                let (runtime, placement) = Runtime::open(bytes, device, self.dimension)?;
                Ok(Self { way: Way::Runtime(Box::new(runtime)), placement, dimension: self.dimension })
            }
        }
    }

    /// Whether it is computed here and not by ONNX Runtime.
    #[cfg(test)]
    pub(crate) const fn is_computed_here(&self) -> bool {
        matches!(self.way, Way::Here(_))
    }

    /// The length of the embeddings.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Where the encoder computes.
    #[must_use]
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Embeds a batch of token lists. An empty list gives `None`: it has no direction.
    ///
    /// # Errors
    /// ONNX Runtime fails, a token is none of the encoder's, or numbers come out that are not finite.
    pub fn embed(&mut self, batch: &[&[i64]]) -> Result<Vec<Option<Embedding>>, InferenceError> {
        match &mut self.way {
            Way::Here(table) => batch.iter().map(|tokens| table.embed(tokens)).collect(),
            Way::Runtime(runtime) => runtime.embed(batch),
        }
    }
}

#[cfg(test)]
mod tests;
