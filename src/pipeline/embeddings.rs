//! Embeddings on the line: no decision, for vectors of different models do not compare; otherwise as any call.

use std::sync::Arc;

use tokio::time::Instant;

use crate::catalog::EMBEDDINGS;
use crate::chat::embeddings::EmbeddingsRequest;
use crate::domain::api::Api;
use crate::domain::decide::{Considered, Decision, Reason};
use crate::domain::ids::{ModelName, TierId};
use crate::pipeline::{Admission, App, Failed, Routed};
use crate::records;
use crate::upstream::books::Books;
use crate::upstream::dispatch::{Answer, Care, Expects, Outgoing, Plan, Reader, dispatch};

/// One admitted embeddings request.
#[derive(Debug)]
pub struct EmbeddingsCall {
    /// What is known of it beside what was asked.
    pub admission: Admission,
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
    let place = app.catalog.embedding_model(request.model.as_deref());
    let place = place.map_err(|error| Box::new(Failed { routed: None, error: error.into() }))?;
    let routed = routed(&call, &place.model);
    let books = Books::open(call.admission.started, records::note_embeddings(app, &call, &routed)).holding(guard);
    let plan = Plan {
        targets: place.pool.ordered(Instant::now()),
        deadline: call.admission.deadline(app),
        retry: app.retry,
        jitter: call.admission.draw.get(),
        care: Care::NONE,
        traffic: Arc::clone(&app.traffic),
    };
    let body = |upstream_model: &str, _: Reader| request.body_for(upstream_model);
    let outgoing = Outgoing {
        path: "/embeddings",
        expects: Expects::Embeddings,
        api: Api::Embeddings,
        stream: false,
        wants_usage: false,
        body: &body,
        request_id: &call.admission.request_id,
        prompt_tokens: request.input_tokens,
    };
    match dispatch(plan, &outgoing, books).await {
        Ok(answer) => Ok((routed, answer)),
        Err(error) => Err(Box::new(Failed { routed: Some(routed), error: error.into() })),
    }
}

fn routed(call: &EmbeddingsCall, model: &ModelName) -> Routed {
    let considered = Considered::unweighed(model.clone(), TierId::from(EMBEDDINGS), 0);
    let sentence = format!("`{model}` embeds what the request sent.");
    Routed::undecided(Decision::only(considered, Reason::Named), sentence, call.admission.started)
}
