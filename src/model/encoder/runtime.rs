//! Encoders of any kind, computed by ONNX Runtime.

use ort::session::Session;
use ort::value::{TensorElementType, TensorRef};

use crate::domain::embedding::Embedding;
use crate::model::encoder::GRAPH_FILE;
use crate::model::encoder::table::Table;
use crate::model::error::{InferenceError, PrepareError};
use crate::model::session::{self, Device, Expected, Graph, Placement};

/// How far two ways to compute the same number of an embedding may be apart: more than rounding makes of it.
const TOLERANCE: f32 = 1e-5;

/// A session with the buffers of its inputs.
#[derive(Debug)]
pub(super) struct Runtime {
    session: Session,
    dimension: usize,
    ids: Vec<i64>,
    mask: Vec<i64>,
}

impl Runtime {
    /// Opens a session, and says where it computes.
    ///
    /// # Errors
    /// ONNX Runtime is missing or refuses the graph, the device is not there, or the graph has other inputs or outputs.
    pub(super) fn open(bytes: &[u8], device: Device, dimension: usize) -> Result<(Self, Placement), PrepareError> {
        let (session, placement) = session::open(Graph { file: GRAPH_FILE, bytes }, device)?;
        let integers = |name| Expected { name, element: TensorElementType::Int64, last: None };
        session::check(GRAPH_FILE, session.inputs(), &[integers("input_ids"), integers("attention_mask")])?;
        let output = Expected { name: "embedding", element: TensorElementType::Float32, last: Some(dimension) };
        session::check(GRAPH_FILE, session.outputs(), &[output])?;
        Ok((Self { session, dimension, ids: Vec::new(), mask: Vec::new() }, placement))
    }

    /// Embeds a batch of token lists, padded to the longest. An empty list gives `None`: it has no direction.
    ///
    /// # Errors
    /// ONNX Runtime fails, or gives numbers that are not finite.
    pub(super) fn embed(&mut self, batch: &[&[i64]]) -> Result<Vec<Option<Embedding>>, InferenceError> {
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

    /// Whether a table says what the session computes, on lists of many lengths with tokens from all over it.
    pub(super) fn agrees(&mut self, table: &Table) -> bool {
        let mut state = 1_u64;
        // The generator of Knuth's MMIX, of which the upper bits are the better ones.
        let mut token = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as usize % table.tokens().max(1)) as i64
        };
        LENGTHS.into_iter().all(|length| {
            let tokens: Vec<i64> = (0..length).map(|_| token()).collect();
            let (said, computed) = (table.embed(&tokens), self.embed(&[&tokens]));
            match (said, computed.map(|mut batch| batch.pop().flatten())) {
                (Ok(Some(said)), Ok(Some(computed))) => {
                    said.as_slice().iter().zip(computed.as_slice()).all(|(a, b)| (a - b).abs() <= TOLERANCE)
                }
                (Ok(None), Ok(None)) => true,
                (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
            }
        })
    }
}

/// How many tokens the lists have that are tried.
const LENGTHS: [usize; 8] = [1, 2, 3, 5, 8, 33, 130, 509];
