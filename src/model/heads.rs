//! Embedding and signals to raw scores.

pub mod graph;
pub mod read;
pub(crate) mod runtime;

use std::sync::Arc;

use crate::domain::signals::SIGNAL_NAMES;
use crate::model::error::{InferenceError, PrepareError};
use crate::model::heads::graph::HeadsGraph;
use crate::model::heads::runtime::Runtime;

/// How many signals the heads read.
pub const SIGNALS: usize = SIGNAL_NAMES.len();

/// The sizes a heads graph must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadsShape {
    /// The length of the embedding it reads.
    pub dimension: usize,
    /// How many tasks it tells apart.
    pub tasks: usize,
    /// How many tiers and models it predicts.
    pub positions: usize,
}

/// What the heads say about one prompt, before calibration. All finite.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadOutput {
    /// One logit per task.
    pub task: Vec<f32>,
    /// The difficulty logit.
    pub difficulty: f32,
    /// One logit per position of the label space.
    pub success: Vec<f32>,
    /// Natural logarithms of the median and the 90th percentile of the answer's tokens.
    pub output_tokens: [f32; 2],
}

/// One prompt as the heads read it.
#[derive(Clone, Copy, Debug)]
pub struct HeadInput<'a> {
    /// The unit embedding by the encoder the heads were trained for.
    pub embedding: &'a [f32],
    /// The structural signals.
    pub signals: &'a [f32; SIGNALS],
}

/// The heads of a bundle. Owned by one thread at a time: scoring needs `&mut`.
#[derive(Debug)]
pub struct Heads {
    way: Way,
    shape: HeadsShape,
}

/// Who computes.
#[derive(Debug)]
enum Way {
    /// We do, with the constants of the graph: a small part of what a run of ONNX Runtime costs.
    Here(Arc<HeadsGraph>),
    /// ONNX Runtime, for graphs of any other form.
    Runtime(Box<Runtime>),
}

impl Heads {
    /// Opens a heads graph. Heads are a few small matrices, so they always compute on the processor.
    ///
    /// A graph of the form that training writes is computed here and not by ONNX Runtime, if both give the same numbers: on one prompt the
    /// runtime takes several times as long to walk its steps as the steps take.
    ///
    /// # Errors
    /// ONNX Runtime is missing or refuses the graph, or the graph has other inputs, outputs or sizes.
    pub fn open(file: &str, bytes: &[u8], shape: HeadsShape) -> Result<Self, PrepareError> {
        let mut runtime = Runtime::open(file, bytes, shape)?;
        let way = match read::decode(bytes).ok().filter(|graph| runtime.agrees(graph)) {
            Some(graph) => Way::Here(Arc::new(graph)),
            None => {
                tracing::info!(file, "the heads have another form: ONNX Runtime computes them");
                Way::Runtime(Box::new(runtime))
            }
        };
        Ok(Self { way, shape })
    }

    /// The same heads for another thread, from the same file and bytes.
    ///
    /// # Errors
    /// As [`Heads::open`].
    pub(crate) fn another(&self, file: &str, bytes: &[u8]) -> Result<Self, PrepareError> {
        let way = match &self.way {
            Way::Here(graph) => Way::Here(Arc::clone(graph)),
            Way::Runtime(_) => Way::Runtime(Box::new(Runtime::open(file, bytes, self.shape)?)),
        };
        Ok(Self { way, shape: self.shape })
    }

    /// Whether they are computed here and not by ONNX Runtime.
    #[cfg(test)]
    pub(crate) const fn is_computed_here(&self) -> bool {
        matches!(self.way, Way::Here(_))
    }

    /// Scores a batch.
    ///
    /// # Errors
    /// An embedding has the wrong length, ONNX Runtime fails, or a number comes out that is not finite.
    pub fn score(&mut self, batch: &[HeadInput<'_>]) -> Result<Vec<HeadOutput>, InferenceError> {
        let expected = self.shape.dimension;
        if let Some(found) = batch.iter().map(|input| input.embedding.len()).find(|found| *found != expected) {
            return Err(InferenceError::Shape { output: "embedding", expected, found });
        }
        match &mut self.way {
            Way::Here(graph) => batch.iter().map(|input| finite(graph.apply(input.embedding, input.signals))).collect(),
            Way::Runtime(runtime) => runtime.score(batch),
        }
    }
}

/// An output without NaN and infinity.
fn finite(found: HeadOutput) -> Result<HeadOutput, InferenceError> {
    let parts: [(&'static str, &[f32]); 4] = [
        ("task", &found.task),
        ("difficulty", std::slice::from_ref(&found.difficulty)),
        ("success", &found.success),
        ("output_tokens", &found.output_tokens),
    ];
    let is_finite = |numbers: &[f32]| numbers.iter().all(|number| number.is_finite());
    let odd = parts.into_iter().find(|(_, numbers)| !is_finite(numbers)).map(|(output, _)| output);
    odd.map_or(Ok(found), |output| Err(InferenceError::NotFinite { output }))
}
