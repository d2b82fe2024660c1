//! The heads as an ONNX graph, written with the few messages of the standard that they need.

use prost::Message;

use crate::model::heads::SIGNALS;
use crate::model::heads::graph::{Affine, FIXED_OUTPUTS, HeadsGraph, LOCAL_MARGIN, Local, MARGIN, TASKS};
use crate::model::heads::read::added_name;
use crate::model::onnx::{
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
    encode_with(heads, 0)
}

/// The same with the last `added` positions in steps of their own, one by one.
///
/// ONNX Runtime rounds a matrix product of another width differently: only so does a position more leave the others as they are, to the bit,
/// there too.
#[must_use]
pub fn encode_with(heads: &HeadsGraph, added: usize) -> Vec<u8> {
    let all = heads.positions();
    let positions = all.saturating_sub(added);
    let part = |affine: &Affine, from: usize, to: usize| affine.rows(from..to);
    let place = places(heads);
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
    graph.affine("outputs", &part(&heads.outputs, 0, FIXED_OUTPUTS + positions), ("features", "all"));
    graph.integers("sizes", &[1, 1, 1, 2, positions as i64]);
    let parts = ["ability", "wish", "difficulty", "output_tokens", "residual"];
    graph.node(("Split", Some(("axis", 1))), &["all", "sizes"], &parts);
    graph.node(("Sigmoid", None), &["ability"], &["shared"]);
    graph.constant("least_gain", &[], &[heads.least_gain]);
    graph.constant("largest_gain", &[], &[heads.largest_gain]);
    graph.node(("Clip", None), &["wish", "least_gain", "largest_gain"], &["gain"]);
    graph.node(("Concat", Some(("axis", 1))), &["shared", "gain"], &["pair"]);
    graph.affine("places", &part(&place, 0, positions), ("pair", "places"));
    graph.constant("least", &[], &[MARGIN]);
    graph.constant("largest", &[], &[1.0 - MARGIN]);
    graph.constant("one", &[], &[1.0]);
    if let Some(local) = &heads.local {
        nearness(&mut graph, local);
    }
    let rows = |from: usize, to: usize| heads.local.as_ref().map(|local| local.rows(from..to));
    let output = if added == 0 { "success" } else { "known" };
    graph.success(("", output), ("places", "residual"), rows(0, positions).as_ref());
    let mut successes = vec!["known".to_owned()];
    for at in 0..added {
        let (row, name) = (positions + at, added_name(at));
        let (residual, placed) = (format!("{name}_residual"), format!("{name}_placed"));
        let outputs = part(&heads.outputs, FIXED_OUTPUTS + row, FIXED_OUTPUTS + row + 1);
        graph.affine(&format!("{name}_outputs"), &outputs, ("features", &residual));
        graph.affine(&format!("{name}_places"), &part(&place, row, row + 1), ("pair", &placed));
        successes.push(format!("{name}_success"));
        let own = rows(row, row + 1);
        graph.success((&format!("{name}_"), &format!("{name}_success")), (&placed, &residual), own.as_ref());
    }
    if added > 0 {
        let names: Vec<&str> = successes.iter().map(String::as_str).collect();
        graph.node(("Concat", Some(("axis", 1))), &names, &["success"]);
    }
    let outputs = [("task", TASKS), ("difficulty", 1), ("success", all), ("output_tokens", 2)];
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

/// What the last step of adapted heads reads: see [`Local`].
fn nearness(graph: &mut Builder, local: &Local) {
    graph.affine("landmarks", &local.landmarks, ("embedding", "log_nearness"));
    graph.node(("Exp", None), &["log_nearness"], &["nearness"]);
    graph.node(("Concat", Some(("axis", 1))), &["bounded", "nearness"], &["local_features"]);
    graph.constant("local_least", &[], &[LOCAL_MARGIN]);
    graph.constant("local_largest", &[], &[1.0 - LOCAL_MARGIN]);
}

/// From shared ability and gain to every position.
fn places(heads: &HeadsGraph) -> Affine {
    Affine {
        inputs: 2,
        weights: heads.place.iter().flat_map(|&place| [1.0, place]).collect(),
        bias: heads.level.clone(),
    }
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

    /// From places and residuals to success logits, corrected where labels changed them. The prefix keeps the names of the steps apart.
    fn success(&mut self, (prefix, output): (&str, &str), (places, residual): (&str, &str), local: Option<&Local>) {
        let named = |name: &str| format!("{prefix}{name}");
        let [probability, general] = ["probability", "general"].map(named);
        self.node(("Clip", None), &[places, "least", "largest"], &[&probability]);
        self.log_odds(&named(""), &probability, &named("logit"));
        let Some(local) = local else {
            return self.node(("Add", None), &[&named("logit"), residual], &[output]);
        };
        self.node(("Add", None), &[&named("logit"), residual], &[&general]);
        let [shift, slope, intercept, keep] = ["shift", "local_slope", "local_intercept", "local_keep"].map(named);
        self.affine(&named("local_shift"), &local.shift, ("local_features", &shift));
        for (name, numbers) in [(&slope, &local.slope), (&intercept, &local.intercept), (&keep, &local.keep)] {
            self.constant(name, &[numbers.len()], numbers);
        }
        let [sloped, mapped, prior, kept, moved, posterior] =
            ["sloped", "mapped", "prior", "kept", "moved", "posterior"].map(named);
        self.node(("Mul", None), &[&general, &slope], &[&sloped]);
        self.node(("Add", None), &[&sloped, &intercept], &[&mapped]);
        self.node(("Sigmoid", None), &[&mapped], &[&prior]);
        self.node(("Mul", None), &[&prior, &keep], &[&kept]);
        self.node(("Add", None), &[&kept, &shift], &[&moved]);
        self.node(("Clip", None), &[&moved, "local_least", "local_largest"], &[&posterior]);
        self.log_odds(&named("posterior_"), &posterior, output);
    }

    fn log_odds(&mut self, prefix: &str, probability: &str, output: &str) {
        let [complement, odds] = ["complement", "odds"].map(|name| format!("{prefix}{name}"));
        self.node(("Sub", None), &["one", probability], &[&complement]);
        self.node(("Div", None), &[probability, &complement], &[&odds]);
        self.node(("Log", None), &[&odds], &[output]);
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
