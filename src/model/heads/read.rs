//! Reading heads from the ONNX graph that training writes.

use std::cmp::Ordering;

use crate::model::heads::SIGNALS;
use crate::model::heads::graph::{Affine, FIXED_OUTPUTS, HeadsGraph, LOCAL_MARGIN, Local, MARGIN, TASKS};
use crate::model::onnx::Constants;

/// Why a graph is not of the form of [`HeadsGraph`]: another program made it.
#[derive(Debug, thiserror::Error)]
#[error("{0}; retrain the bundle with this version of trimtab")]
pub struct Foreign(String);

impl Foreign {
    fn new(problem: &str) -> Self {
        Self(problem.to_owned())
    }
}

/// How many positions of a graph are in steps of their own.
///
/// # Errors
/// It is no graph.
pub fn added(bytes: &[u8]) -> Result<usize, Foreign> {
    Ok(count_added(&Constants::read(bytes).map_err(Foreign)?))
}

fn count_added(constants: &Constants) -> usize {
    (0..).take_while(|at| constants.has(&format!("{}_places_bias", added_name(*at)))).count()
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
    let constants = Reader(Constants::read(bytes).map_err(Foreign)?);
    let added = count_added(&constants.0);
    let (low, high) = (constants.numbers("low")?, constants.numbers("high")?);
    let (hidden, task) = (constants.affine("hidden")?, constants.affine("tasks")?);
    let (mut outputs, mut places) = (constants.affine("outputs")?, constants.affine("places")?);
    for name in (0..added).map(added_name) {
        constants.push(&mut outputs, &format!("{name}_outputs"))?;
        constants.push(&mut places, &format!("{name}_places"))?;
    }
    let positions = places.outputs();
    let dimension = hidden.inputs.checked_sub(SIGNALS).ok_or_else(|| Foreign::new("the heads read too few numbers"))?;
    let fits = low.len() == SIGNALS
        && high.len() == SIGNALS
        && task.inputs == hidden.outputs()
        && task.outputs() == TASKS
        && outputs.inputs == hidden.inputs + TASKS
        && outputs.outputs() == FIXED_OUTPUTS + positions
        && places.inputs == 2;
    if !fits {
        return Err(Foreign::new("the heads read other signals or give other outputs"));
    }
    constants.expect(&[("least", MARGIN), ("largest", 1.0 - MARGIN), ("one", 1.0)])?;
    if (0..positions).any(|position| places.row(position).first() != Some(&1.0)) {
        return Err(Foreign::new("the shared ability does not count alike for all"));
    }
    let place = (0..positions).filter_map(|position| places.row(position).get(1).copied()).collect();
    let (least_gain, largest_gain) = (constants.number("least_gain")?, constants.number("largest_gain")?);
    // Nothing can be kept between bounds that cross, or between what is no number.
    if least_gain.partial_cmp(&largest_gain).is_none_or(Ordering::is_gt) {
        return Err(Foreign::new("the bounds of its gain are the wrong way round"));
    }
    let local =
        if constants.0.has("local_keep") { Some(constants.local((dimension, positions), added)?) } else { None };
    let level = places.bias;
    Ok(HeadsGraph { dimension, low, high, hidden, task, outputs, least_gain, largest_gain, place, level, local })
}

/// Constants of which none may be missing.
struct Reader(Constants);

impl Reader {
    fn numbers(&self, name: &str) -> Result<Vec<f32>, Foreign> {
        self.0.floats(name).ok_or_else(|| Foreign(format!("the constant `{name}` is missing")))
    }

    fn number(&self, name: &str) -> Result<f32, Foreign> {
        self.numbers(name).map(|numbers| numbers.first().copied().unwrap_or(0.0))
    }

    fn affine(&self, name: &str) -> Result<Affine, Foreign> {
        let (weights, bias) = (self.numbers(&format!("{name}_weights"))?, self.numbers(&format!("{name}_bias"))?);
        let inputs = weights.len() / bias.len().max(1);
        if inputs * bias.len() == weights.len() {
            Ok(Affine { inputs, weights, bias })
        } else {
            Err(Foreign::new("the sizes of its constants do not match"))
        }
    }

    /// Appends the output of an added position, which must be as wide as the others.
    fn push(&self, all: &mut Affine, name: &str) -> Result<(), Foreign> {
        let own = self.affine(name)?;
        if own.inputs != all.inputs {
            return Err(Foreign::new("the sizes of an added position do not match"));
        }
        all.push(own.row(0), own.bias.first().copied().unwrap_or(0.0));
        Ok(())
    }

    /// Constants that are the same in all graphs.
    fn expect(&self, fixed: &[(&str, f32)]) -> Result<(), Foreign> {
        let is_other = |(name, value): &&(&str, f32)| self.number(name).map_or(true, |found| found != *value);
        match fixed.iter().find(is_other) {
            Some((name, _)) => Err(Foreign(format!("the constant `{name}` is another than here"))),
            None => Ok(()),
        }
    }

    /// What labels of a user's own changed.
    fn local(&self, (dimension, positions): (usize, usize), added: usize) -> Result<Local, Foreign> {
        self.expect(&[("local_least", LOCAL_MARGIN), ("local_largest", 1.0 - LOCAL_MARGIN)])?;
        let mut local = Local {
            landmarks: self.affine("landmarks")?,
            slope: self.numbers("local_slope")?,
            intercept: self.numbers("local_intercept")?,
            keep: self.numbers("local_keep")?,
            shift: self.affine("local_shift")?,
        };
        for name in (0..added).map(added_name) {
            self.push(&mut local.shift, &format!("{name}_local_shift"))?;
            local.slope.extend(self.numbers(&format!("{name}_local_slope"))?);
            local.intercept.extend(self.numbers(&format!("{name}_local_intercept"))?);
            local.keep.extend(self.numbers(&format!("{name}_local_keep"))?);
        }
        if local.fits(dimension, positions) {
            Ok(local)
        } else {
            Err(Foreign::new("the sizes of what labels changed do not match"))
        }
    }
}
