//! Reading heads from the ONNX graph that training writes.

use std::cmp::Ordering;

use prost::Message;

use crate::model::heads::graph::{Affine, FIXED_OUTPUTS, HeadsGraph, Local, SIGNALS, TASKS};
use crate::model::onnx::{ModelProto, TensorProto};

/// Why a graph is not of the form of [`HeadsGraph`]: another program made it.
#[derive(Debug, thiserror::Error)]
#[error("{0}; retrain the bundle with this version of trimtab")]
pub struct Foreign(String);

/// How many positions of a graph are in steps of their own.
///
/// # Errors
/// It is no graph.
pub fn added(bytes: &[u8]) -> Result<usize, Foreign> {
    let model = ModelProto::decode(bytes).map_err(|error| Foreign(error.to_string()))?;
    let constants = model.graph.map_or_else(Vec::new, |graph| graph.initializer);
    Ok(count_added(&constants))
}

fn count_added(constants: &[TensorProto]) -> usize {
    let has = |at: &usize| constants.iter().any(|tensor| tensor.name == format!("{}_places_bias", added_name(*at)));
    (0..).take_while(has).count()
}

/// What the constants of an added position are named after.
pub(crate) fn added_name(at: usize) -> String {
    format!("added{at}")
}

/// Reads heads that training wrote, so that they can be computed and a bundle can be the base of another. Only the constants are read: whoever
/// computes with them holds the outcome against the graph's own first.
///
/// # Errors
/// Anything that lacks one of the constants, or has them in other sizes.
pub fn decode(bytes: &[u8]) -> Result<HeadsGraph, Foreign> {
    let foreign = |detail: &str| Foreign(detail.to_owned());
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
    let added = count_added(&graph.initializer);
    let (low, high) = (numbers("low")?, numbers("high")?);
    let (hidden, task) = (affine("hidden")?, affine("tasks")?);
    let (mut outputs, mut places) = (affine("outputs")?, affine("places")?);
    for at in 0..added {
        let name = added_name(at);
        let (own, placed) = (affine(&format!("{name}_outputs"))?, affine(&format!("{name}_places"))?);
        if own.inputs != outputs.inputs || placed.inputs != places.inputs {
            return Err(foreign("the sizes of an added position do not match"));
        }
        outputs.push(own.row(0), own.bias.first().copied().unwrap_or(0.0));
        places.push(placed.row(0), placed.bias.first().copied().unwrap_or(0.0));
    }
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
    // Nothing can be kept between bounds that cross, or between what is no number.
    if least_gain.partial_cmp(&largest_gain).is_none_or(Ordering::is_gt) {
        return Err(foreign("the bounds of its gain are the wrong way round"));
    }
    let local = if graph.initializer.iter().any(|tensor| tensor.name == "local_keep") {
        let (landmarks, shift) = (affine("landmarks")?, affine("local_shift")?);
        let (slope, intercept) = (numbers("local_slope")?, numbers("local_intercept")?);
        let mut local = Local { landmarks, slope, intercept, keep: numbers("local_keep")?, shift };
        for at in 0..added {
            let own = |name: &str| format!("{}_{name}", added_name(at));
            let shift = affine(&own("local_shift"))?;
            local.slope.extend(numbers(&own("local_slope"))?);
            local.intercept.extend(numbers(&own("local_intercept"))?);
            local.keep.extend(numbers(&own("local_keep"))?);
            local.shift.push(shift.row(0), shift.bias.first().copied().unwrap_or(0.0));
        }
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
