//! Embedding and signals to raw scores.

use ort::session::Session;
use ort::value::{TensorElementType, TensorRef};

use crate::domain::signals::SIGNAL_NAMES;
use crate::model::error::{InferenceError, PrepareError};
use crate::model::session::{self, Device, Expected, Graph};

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

/// A heads session with the buffers of its inputs. Owned by one thread at a time: running it needs `&mut`.
#[derive(Debug)]
pub struct Heads {
    session: Session,
    shape: HeadsShape,
    embeddings: Vec<f32>,
    signals: Vec<f32>,
}

impl Heads {
    /// Opens a heads graph. Heads are a few small matrices, so they always compute on the processor.
    ///
    /// # Errors
    /// ONNX Runtime is missing or refuses the graph, or the graph has other inputs, outputs or sizes.
    pub fn open(file: &str, bytes: &[u8], shape: HeadsShape) -> Result<Self, PrepareError> {
        let (session, _) = session::open(Graph { file, bytes }, Device::Cpu)?;
        let numbers = |name, last| Expected { name, element: TensorElementType::Float32, last: Some(last) };
        session::check(file, session.inputs(), &[numbers("embedding", shape.dimension), numbers("signals", SIGNALS)])?;
        let outputs = [
            numbers("task", shape.tasks),
            numbers("difficulty", 1),
            numbers("success", shape.positions),
            numbers("output_tokens", 2),
        ];
        session::check(file, session.outputs(), &outputs)?;
        Ok(Self { session, shape, embeddings: Vec::new(), signals: Vec::new() })
    }

    /// Scores a batch.
    ///
    /// # Errors
    /// An embedding has the wrong length, ONNX Runtime fails, or it gives numbers that are not finite.
    pub fn score(&mut self, batch: &[HeadInput<'_>]) -> Result<Vec<HeadOutput>, InferenceError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let HeadsShape { dimension, tasks, positions } = self.shape;
        self.embeddings.clear();
        self.signals.clear();
        for input in batch {
            if input.embedding.len() != dimension {
                let found = input.embedding.len();
                return Err(InferenceError::Shape { output: "embedding", expected: dimension, found });
            }
            self.embeddings.extend_from_slice(input.embedding);
            self.signals.extend_from_slice(input.signals);
        }
        let rows = batch.len();
        let embeddings = TensorRef::from_array_view(([rows, dimension], self.embeddings.as_slice()))?;
        let signals = TensorRef::from_array_view(([rows, SIGNALS], self.signals.as_slice()))?;
        let outputs = self.session.run(ort::inputs!["embedding" => embeddings, "signals" => signals])?;
        let numbers = |name: &'static str, width: usize| session::numbers(&outputs, name, rows * width);
        let task = numbers("task", tasks)?.chunks_exact(tasks);
        let difficulty = numbers("difficulty", 1)?.iter();
        let success = numbers("success", positions)?.chunks_exact(positions);
        let (output_tokens, _) = numbers("output_tokens", 2)?.as_chunks::<2>();
        let rows = task.zip(difficulty).zip(success).zip(output_tokens);
        Ok(rows
            .map(|(((task, &difficulty), success), &output_tokens)| HeadOutput {
                task: task.to_vec(),
                difficulty,
                success: success.to_vec(),
                output_tokens,
            })
            .collect())
    }
}
