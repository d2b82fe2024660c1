//! Embeddings on the line: no decision, for vectors of different models do not compare; otherwise as any call.

use std::sync::Arc;

use tokio::time::Instant;

use crate::chat::embeddings::EmbeddingsRequest;
use crate::domain::decide::{Considered, Decision, Reason};
use crate::domain::ids::{CallerId, DecisionId};
use crate::domain::probability::Probability;
use crate::pipeline::{App, Failed, Routed};
use crate::records;
use crate::upstream::books::Books;
use crate::upstream::dispatch::{Answer, Care, Expects, Outgoing, Plan, Reader, Target, dispatch};

/// One admitted embeddings request.
#[derive(Debug)]
pub struct EmbeddingsCall {
    /// The name it is recorded under, made at the edge.
    pub id: DecisionId,
    /// Who called.
    pub caller: CallerId,
    /// The name of the request in logs.
    pub request_id: String,
    /// When it was admitted.
    pub started: Instant,
    /// The same moment on the wall clock, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// A uniform draw from 0..1, for the pauses before retries.
    pub draw: Probability,
    /// What was asked.
    pub request: EmbeddingsRequest,
}

/// Calls the embedding model and gives its answer. Failures are retried at the same model, never at another.
///
/// # Errors
/// Unknown names, and failures of the upstream.
pub async fn embed(
    app: &App,
    call: EmbeddingsCall,
    guard: impl Send + 'static,
) -> Result<(Routed, Answer), Box<Failed>> {
    let request = &call.request;
    let target = app.catalog.embedding_model(request.model.as_deref());
    let target = target.map_err(|error| Box::new(Failed { routed: None, error: error.into() }))?.clone();
    let routed = routed(&call, &target);
    let books = Books::open(call.started, records::note_embeddings(app, &call, &routed)).holding(guard);
    let plan = Plan {
        targets: vec![target],
        deadline: call.started + app.request_timeout,
        retry: app.retry,
        jitter: call.draw.get(),
        care: Care::NONE,
        traffic: Arc::clone(&app.traffic),
    };
    let body = |upstream_model: &str, _: Reader| request.body_for(upstream_model);
    let outgoing = Outgoing {
        path: "/embeddings",
        expects: Expects::Embeddings,
        stream: false,
        wants_usage: false,
        body: &body,
        request_id: &call.request_id,
        prompt_tokens: request.input_tokens,
    };
    match dispatch(plan, &outgoing, books).await {
        Ok(answer) => Ok((routed, answer)),
        Err(error) => Err(Box::new(Failed { routed: Some(routed), error: error.into() })),
    }
}

fn routed(call: &EmbeddingsCall, target: &Target) -> Routed {
    let considered = Considered::unweighed(target.model.clone(), target.tier.clone(), 0);
    let sentence = format!("`{}` embeds what the request sent.", target.model);
    Routed::undecided(Decision::only(considered, Reason::Named), sentence, call.started)
}
