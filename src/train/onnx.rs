//! The heads as an ONNX graph, written with the few messages of the standard that they need.

mod proto;

use prost::Message;

use crate::train::error::TrainError;
use crate::train::graph::{Affine, FIXED_OUTPUTS, HeadsGraph, LOCAL_MARGIN, Local, MARGIN, SIGNALS, TASKS};
use crate::train::onnx::proto::{
    AttributeProto, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The operator set the graph is written in: old enough for every runtime of the last years.
const OPSET: i64 = 17;
/// The file format version that belongs to it.
const IR_VERSION: i64 = 8;

/// Encodes the heads: inputs `embedding` and `signals`, outputs `task`, `difficulty`, `success` and `output_tokens`, any batch size.
///
/// Two dozen nodes, and a dozen more after adapting: at batch one a graph costs what its nodes cost, so every affine step is one `Gemm`.
#[must_use]
pub fn encode(heads: &HeadsGraph) -> Vec<u8> {
    let positions = heads.positions();
    let mut graph = Builder::default();
    graph.constant("low", &[SIGNALS], &heads.low);
    graph.constant("high", &[SIGNALS], &heads.high);
    graph.node(("Max", None), &["signals", "low"], &["raised"]);
    graph.node(("Min", None), &["raised", "high"], &["bounded"]);
    graph.node(("Concat", Some(("axis", 1))), &["embedding", "bounded"], &["x"]);
    graph.affine("hidden", &heads.hidden, ("x", "units"));
    graph.node(("Relu", None), &["units"], &["active"]);
    graph.affine("tasks", &heads.task, ("active", "task"));
    graph.node(("Softmax", Some(("axis", 1))), &["task"], &["task_probabilities"]);
    graph.node(("Concat", Some(("axis", 1))), &["x", "task_probabilities"], &["features"]);
    graph.affine("outputs", &heads.outputs, ("features", "all"));
    graph.integers("sizes", &[1, 1, 1, 2, positions as i64]);
    let parts = ["ability", "wish", "difficulty", "output_tokens", "residual"];
    graph.node(("Split", Some(("axis", 1))), &["all", "sizes"], &parts);
    graph.node(("Sigmoid", None), &["ability"], &["shared"]);
    graph.constant("least_gain", &[], &[heads.least_gain]);
    graph.constant("largest_gain", &[], &[heads.largest_gain]);
    graph.node(("Clip", None), &["wish", "least_gain", "largest_gain"], &["gain"]);
    graph.node(("Concat", Some(("axis", 1))), &["shared", "gain"], &["pair"]);
    graph.affine("places", &places(heads), ("pair", "places"));
    graph.constant("least", &[], &[MARGIN]);
    graph.constant("largest", &[], &[1.0 - MARGIN]);
    graph.constant("one", &[], &[1.0]);
    graph.node(("Clip", None), &["places", "least", "largest"], &["probability"]);
    graph.node(("Sub", None), &["one", "probability"], &["complement"]);
    graph.node(("Div", None), &["probability", "complement"], &["odds"]);
    graph.node(("Log", None), &["odds"], &["logit"]);
    match &heads.local {
        None => graph.node(("Add", None), &["logit", "residual"], &["success"]),
        Some(local) => {
            graph.node(("Add", None), &["logit", "residual"], &["general"]);
            local_step(&mut graph, local);
        }
    }
    let outputs = [("task", TASKS), ("difficulty", 1), ("success", positions), ("output_tokens", 2)];
    let graph = GraphProto {
        name: "heads".to_owned(),
        input: vec![value("embedding", heads.dimension), value("signals", SIGNALS)],
        output: outputs.into_iter().map(|(name, width)| value(name, width)).collect(),
        node: graph.nodes,
        initializer: graph.constants,
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "trimtab".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
    };
    model.encode_to_vec()
}

/// The last step of adapted heads: see [`Local`].
fn local_step(graph: &mut Builder, local: &Local) {
    let positions = local.slope.len();
    graph.affine("landmarks", &local.landmarks, ("embedding", "log_nearness"));
    graph.node(("Exp", None), &["log_nearness"], &["nearness"]);
    graph.node(("Concat", Some(("axis", 1))), &["bounded", "nearness"], &["local_features"]);
    graph.affine("local_shift", &local.shift, ("local_features", "shift"));
    graph.constant("local_slope", &[positions], &local.slope);
    graph.constant("local_intercept", &[positions], &local.intercept);
    graph.constant("local_keep", &[positions], &local.keep);
    graph.constant("local_least", &[], &[LOCAL_MARGIN]);
    graph.constant("local_largest", &[], &[1.0 - LOCAL_MARGIN]);
    graph.node(("Mul", None), &["general", "local_slope"], &["sloped"]);
    graph.node(("Add", None), &["sloped", "local_intercept"], &["mapped"]);
    graph.node(("Sigmoid", None), &["mapped"], &["prior"]);
    graph.node(("Mul", None), &["prior", "local_keep"], &["kept"]);
    graph.node(("Add", None), &["kept", "shift"], &["moved"]);
    graph.node(("Clip", None), &["moved", "local_least", "local_largest"], &["posterior"]);
    graph.node(("Sub", None), &["one", "posterior"], &["posterior_complement"]);
    graph.node(("Div", None), &["posterior", "posterior_complement"], &["posterior_odds"]);
    graph.node(("Log", None), &["posterior_odds"], &["success"]);
}

/// From shared ability and gain to every position.
fn places(heads: &HeadsGraph) -> Affine {
    Affine {
        inputs: 2,
        weights: heads.place.iter().flat_map(|&place| [1.0, place]).collect(),
        bias: heads.level.clone(),
    }
}

/// Reads heads that [`encode`] wrote, so that a bundle can be the base of another.
///
/// # Errors
/// Anything that is not a graph of that form: the base was made by another program.
pub fn decode(bytes: &[u8]) -> Result<HeadsGraph, TrainError> {
    let foreign = |detail: &str| TrainError::Model {
        doing: "reading the heads of the base bundle",
        detail: format!("{detail}; retrain the base with this version of trimtab"),
    };
    let model = ModelProto::decode(bytes).map_err(|error| foreign(&error.to_string()))?;
    let graph = model.graph.ok_or_else(|| foreign("the file holds no graph"))?;
    let numbers = |name: &str| {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == name);
        tensor.map(floats).ok_or_else(|| foreign(&format!("the constant `{name}` is missing")))
    };
    let affine = |name: &str| {
        let (weights, bias) = (numbers(&format!("{name}_weights"))?, numbers(&format!("{name}_bias"))?);
        let inputs = weights.len() / bias.len().max(1);
        let whole = inputs * bias.len() == weights.len();
        if whole {
            Ok(Affine { inputs, weights, bias })
        } else {
            Err(foreign("the sizes of its constants do not match"))
        }
    };
    let number = |name: &str| numbers(name).map(|numbers| numbers.first().copied().unwrap_or(0.0));
    let (low, high) = (numbers("low")?, numbers("high")?);
    let (hidden, task, outputs, places) = (affine("hidden")?, affine("tasks")?, affine("outputs")?, affine("places")?);
    let positions = places.outputs();
    let dimension = hidden.inputs.checked_sub(SIGNALS).ok_or_else(|| foreign("the heads read too few numbers"))?;
    let fits = low.len() == SIGNALS
        && high.len() == SIGNALS
        && task.inputs == hidden.outputs()
        && task.outputs() == TASKS
        && outputs.inputs == hidden.inputs + TASKS
        && outputs.outputs() == FIXED_OUTPUTS + positions
        && places.inputs == 2;
    if !fits {
        return Err(foreign("the heads read other signals or give other outputs"));
    }
    let place = (0..positions).filter_map(|position| places.row(position).get(1).copied()).collect();
    let (least_gain, largest_gain) = (number("least_gain")?, number("largest_gain")?);
    let local = if graph.initializer.iter().any(|tensor| tensor.name == "local_keep") {
        let (landmarks, shift) = (affine("landmarks")?, affine("local_shift")?);
        let (slope, intercept) = (numbers("local_slope")?, numbers("local_intercept")?);
        let local = Local { landmarks, slope, intercept, keep: numbers("local_keep")?, shift };
        if !local.fits(dimension, positions) {
            return Err(foreign("the sizes of what labels changed do not match"));
        }
        Some(local)
    } else {
        None
    };
    let level = places.bias;
    Ok(HeadsGraph { dimension, low, high, hidden, task, outputs, least_gain, largest_gain, place, level, local })
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    let (chunks, _) = tensor.raw_data.as_chunks::<4>();
    chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A matrix input or output with any number of rows.
fn value(name: &str, width: usize) -> ValueInfoProto {
    let rows = DimensionProto { value: Some(Dimension::Param("n".to_owned())) };
    let columns = DimensionProto { value: Some(Dimension::Value(width as i64)) };
    let shape = TensorShapeProto { dim: vec![rows, columns] };
    let tensor_type = Some(TensorTypeProto { elem_type: TensorProto::FLOAT, shape: Some(shape) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

/// A graph under construction.
#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Builder {
    fn constant(&mut self, name: &str, dims: &[usize], numbers: &[f32]) {
        self.constants.push(TensorProto {
            name: name.to_owned(),
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: TensorProto::FLOAT,
            raw_data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        });
    }

    fn integers(&mut self, name: &str, numbers: &[i64]) {
        self.constants.push(TensorProto {
            name: name.to_owned(),
            dims: vec![numbers.len() as i64],
            data_type: TensorProto::INT64,
            raw_data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        });
    }

    fn node(&mut self, (operator, attribute): (&str, Option<(&str, i64)>), inputs: &[&str], outputs: &[&str]) {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let attribute =
            attribute.map(|(name, i)| AttributeProto { name: name.to_owned(), i, r#type: AttributeProto::INT });
        self.nodes.push(NodeProto {
            input: own(inputs),
            output: own(outputs),
            name: format!("{}_{}", operator.to_lowercase(), self.nodes.len()),
            op_type: operator.to_owned(),
            attribute: attribute.into_iter().collect(),
        });
    }

    fn affine(&mut self, name: &str, affine: &Affine, (input, output): (&str, &str)) {
        let (weights, bias) = (format!("{name}_weights"), format!("{name}_bias"));
        self.constant(&weights, &[affine.outputs(), affine.inputs], &affine.weights);
        self.constant(&bias, &[affine.outputs()], &affine.bias);
        self.node(("Gemm", Some(("transB", 1))), &[input, &weights, &bias], &[output]);
    }
}

#[cfg(test)]
mod tests;
