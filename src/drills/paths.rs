//! What is drilled, and what that means for the chains of policies.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::domain::ids::{ModelName, PolicyName};
use crate::drills::OUTPUT_TOKENS;
use crate::drills::table::{DrillView, PathState, Way};
use crate::upstream::dispatch::Target;

/// What is drilled.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// Each place and key of each chat model.
    pub chat: Vec<Arc<Target>>,
    /// Those of each embedding model.
    pub embeddings: Vec<Arc<Target>>,
    /// The chains of those policies that have one of their own.
    pub chains: Vec<Chain>,
}

/// The models that a policy asks after the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The policy.
    pub policy: PolicyName,
    /// Its models in order.
    pub steps: Vec<ModelName>,
}

/// A step of a policy's chain, as drills found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// The policy.
    pub policy: PolicyName,
    /// The model.
    pub step: ModelName,
    /// Broken where no place of the model works, untried while there is none that was tried.
    pub state: PathState,
}

/// Every step of every chain.
pub(super) fn steps(chains: &[Chain], (targets, views): (&[Arc<Target>], &[DrillView])) -> Vec<StepView> {
    let state_of = |model: &ModelName| {
        let found = targets.iter().zip(views).filter(|(target, _)| target.model == *model).map(|(_, view)| view.state);
        let tried = found.filter(|state| *state != PathState::Untried);
        tried.reduce(|one, other| if one == PathState::Ok { one } else { other }).unwrap_or_default()
    };
    let step = |chain: &Chain, step: &ModelName| StepView {
        policy: chain.policy.clone(),
        step: step.clone(),
        state: state_of(step),
    };
    chains.iter().flat_map(|chain| chain.steps.iter().map(move |model| step(chain, model))).collect()
}

/// What a drill asks of a chat model.
pub(super) fn question(upstream_model: &str, way: Way) -> Bytes {
    let mut body = json!({
        "model": upstream_model,
        "messages": [{ "role": "user", "content": "Say OK." }],
        "max_completion_tokens": OUTPUT_TOKENS,
    });
    if let (Way::Stream, Some(fields)) = (way, body.as_object_mut()) {
        fields.insert("stream".to_owned(), json!(true));
        fields.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    Bytes::from(body.to_string())
}

/// What a drill asks of an embedding model.
pub(super) fn text(upstream_model: &str) -> Bytes {
    Bytes::from(json!({ "model": upstream_model, "input": "OK" }).to_string())
}
