//! Opening ONNX graphs: one thread per session, checked names and shapes, the device that was asked for.

use ort::ep;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::{Outlet, TensorElementType};
use serde::{Deserialize, Serialize};

use crate::model::error::{InferenceError, PrepareError};
use crate::model::runtime;

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first CUDA device. Opening fails where there is none.
    Cuda,
    /// The first CUDA device where there is one, the processor otherwise.
    Auto,
}

/// Where a session was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "device")]
pub enum Placement {
    /// The processor, as asked.
    Cpu,
    /// The first CUDA device.
    Cuda,
    /// The processor, because CUDA could not be used.
    CpuInsteadOfCuda {
        /// What ONNX Runtime said.
        reason: String,
    },
}

/// A graph in memory, named for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Graph<'a> {
    /// The file it was read from.
    pub(crate) file: &'a str,
    /// Its content, already verified.
    pub(crate) bytes: &'a [u8],
}

/// Opens a session with one thread.
///
/// Concurrency comes from several sessions: an intra-op pool larger than the free cores makes the slow tail explode, and a pool of
/// one costs no hand-over between threads. Memory patterns are off because every prompt has another length.
pub(crate) fn open(graph: Graph<'_>, device: Device) -> Result<(Session, Placement), PrepareError> {
    let failed = |source: ort::Error| PrepareError::Graph { file: graph.file.to_owned(), source };
    let cuda = || build(Some(ep::CUDA::default().build().error_on_failure()), graph.bytes);
    match device {
        Device::Cpu => Ok((build(None, graph.bytes)?.map_err(failed)?, Placement::Cpu)),
        Device::Cuda => match cuda()? {
            Ok(session) => Ok((session, Placement::Cuda)),
            // A graph that the processor cannot open either is the graph's fault, not the device's.
            Err(source) => match build(None, graph.bytes)? {
                Ok(_) => Err(PrepareError::Device { source }),
                Err(source) => Err(failed(source)),
            },
        },
        Device::Auto => match cuda()? {
            Ok(session) => Ok((session, Placement::Cuda)),
            Err(error) => {
                let reason = error.to_string();
                tracing::info!(graph = graph.file, reason, "CUDA is not available, computing on the processor");
                Ok((build(None, graph.bytes)?.map_err(failed)?, Placement::CpuInsteadOfCuda { reason }))
            }
        },
    }
}

/// The outer error is a missing runtime, the inner one what the runtime said.
fn build(provider: Option<ep::ExecutionProviderDispatch>, bytes: &[u8]) -> Result<ort::Result<Session>, PrepareError> {
    let environment = runtime::environment()?;
    let session = || -> ort::Result<Session> {
        let builder: SessionBuilder = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_memory_pattern(false)?;
        let mut builder = match provider {
            Some(provider) => builder.with_execution_providers([provider])?,
            None => builder,
        };
        builder.commit_from_memory(bytes)
    };
    Ok(session())
}

/// What a graph's input or output must be: its name, its element type and its last dimension where that is fixed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) name: &'static str,
    pub(crate) element: TensorElementType,
    pub(crate) last: Option<usize>,
}

/// Checks that a graph declares exactly these tensors of two dimensions, in any order.
pub(crate) fn check(file: &str, declared: &[Outlet], expected: &[Expected]) -> Result<(), PrepareError> {
    let shape = |problem: String| Err(PrepareError::Shape { file: file.to_owned(), problem });
    for wanted in expected {
        let Some(outlet) = declared.iter().find(|outlet| outlet.name() == wanted.name) else {
            return shape(format!("it has no tensor `{}`", wanted.name));
        };
        if outlet.dtype().tensor_type() != Some(wanted.element) {
            return shape(format!("`{}` is {}, expected {}", wanted.name, outlet.dtype(), wanted.element));
        }
        let dimensions = outlet.dtype().tensor_shape().map(|shape| shape.to_vec()).unwrap_or_default();
        let &[_, last] = dimensions.as_slice() else {
            return shape(format!("`{}` has {} dimensions, expected 2", wanted.name, dimensions.len()));
        };
        if let (Some(expected), Ok(found)) = (wanted.last, usize::try_from(last))
            && expected != found
        {
            let what = format!("`{}` of `{file}`", wanted.name);
            return Err(PrepareError::Dimension { what, expected, found });
        }
    }
    if declared.len() == expected.len() {
        Ok(())
    } else {
        shape(format!("it has {} tensors, expected {}", declared.len(), expected.len()))
    }
}

/// The numbers of an output, checked: as many as expected, and all finite.
pub(crate) fn numbers<'a>(
    outputs: &'a SessionOutputs<'_>,
    output: &'static str,
    expected: usize,
) -> Result<&'a [f32], InferenceError> {
    let absent = || InferenceError::Shape { output, expected, found: 0 };
    let (_, numbers) = outputs.get(output).ok_or_else(absent)?.try_extract_tensor::<f32>()?;
    if numbers.len() != expected {
        return Err(InferenceError::Shape { output, expected, found: numbers.len() });
    }
    if numbers.iter().all(|number| number.is_finite()) {
        Ok(numbers)
    } else {
        Err(InferenceError::NotFinite { output })
    }
}
