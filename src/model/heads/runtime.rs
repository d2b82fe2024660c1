//! Heads of any form, computed by ONNX Runtime.

use ort::session::Session;
use ort::value::{TensorElementType, TensorRef};

use crate::domain::embedding::Embedding;
use crate::model::error::{InferenceError, PrepareError};
use crate::model::heads::graph::HeadsGraph;
use crate::model::heads::{HeadInput, HeadOutput, HeadsShape, SIGNALS};
use crate::model::session::{self, Device, Expected, Graph};

/// How far two ways to compute the same logit may be apart: more than rounding makes of it, and so little that it hardly ever changes a choice.
const TOLERANCE: f32 = 1e-3;

/// A session with the buffers of its inputs.
#[derive(Debug)]
pub(crate) struct Runtime {
    session: Session,
    shape: HeadsShape,
    embeddings: Vec<f32>,
    signals: Vec<f32>,
}

impl Runtime {
    /// Opens a session.
    ///
    /// # Errors
    /// ONNX Runtime is missing or refuses the graph, or the graph has other inputs, outputs or sizes.
    pub(crate) fn open(file: &str, bytes: &[u8], shape: HeadsShape) -> Result<Self, PrepareError> {
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

    /// Scores a batch whose embeddings have the right length.
    ///
    /// # Errors
    /// ONNX Runtime fails, or gives numbers that are not finite.
    pub(crate) fn score(&mut self, batch: &[HeadInput<'_>]) -> Result<Vec<HeadOutput>, InferenceError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let HeadsShape { dimension, tasks, positions } = self.shape;
        self.embeddings.clear();
        self.signals.clear();
        for input in batch {
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

    /// Whether plain numbers say what the session computes, on inputs from all over, and on those that adapted heads are most particular about.
    pub(crate) fn agrees(&mut self, graph: &HeadsGraph) -> bool {
        let anywhere = (0..PROBES).filter_map(|number| Some((probe(number, self.shape.dimension)?, signals(number))));
        let landmarks = graph.local.iter().map(|local| &local.landmarks);
        let rows = landmarks.flat_map(|landmarks| (0..landmarks.outputs()).map(|at| landmarks.row(at)));
        let there = rows.take(MOST_LANDMARKS).enumerate();
        let there = there.filter_map(|(at, row)| Some((Embedding::normalise(row.to_vec())?, signals(at))));
        let probes: Vec<(Embedding, [f32; SIGNALS])> = anywhere.chain(there).collect();
        let inputs: Vec<HeadInput<'_>> =
            probes.iter().map(|(embedding, signals)| HeadInput { embedding: embedding.as_slice(), signals }).collect();
        let Ok(computed) = self.score(&inputs) else { return false };
        let is_tried = !inputs.is_empty() && inputs.len() == computed.len();
        is_tried
            && inputs.iter().zip(&computed).all(|(input, computed)| {
                let said = graph.apply(input.embedding, input.signals);
                is_near(&said.task, &computed.task)
                    && is_near(&[said.difficulty], &[computed.difficulty])
                    && is_near(&said.success, &computed.success)
                    && is_near(&said.output_tokens, &computed.output_tokens)
            })
    }
}

/// How many inputs are tried.
const PROBES: usize = 16;
/// At how many landmarks of adapted heads, where a nearness is 1 that is next to nothing elsewhere.
const MOST_LANDMARKS: usize = 128;

fn wave(number: usize, at: usize) -> f32 {
    ((number * 37 + at) as f32 * 0.61).sin()
}

/// A unit vector.
fn probe(number: usize, dimension: usize) -> Option<Embedding> {
    Embedding::normalise((0..dimension).map(|at| wave(number, at)).collect())
}

/// Signals of which some are within the usual range and some outside.
fn signals(number: usize) -> [f32; SIGNALS] {
    std::array::from_fn(|at| 6.0 + 9.0 * wave(number, at + 1_000))
}

fn is_near(a: &[f32], b: &[f32]) -> bool {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    a.len() == b.len() && a.iter().zip(b).all(near)
}
