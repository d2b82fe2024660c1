//! What is noted of a call: its decision when it is made, its outcome when the last byte has gone, however the call ends.

use std::sync::Arc;

use crate::domain::cache::Recall;
use crate::domain::ids::DecisionId;
use crate::domain::outcome::Outcome;
use crate::domain::scores::{Scorer, Scores};
use crate::pipeline::embeddings::EmbeddingsCall;
use crate::pipeline::{App, Call, Routed};
use crate::store::{DecisionKind, DecisionRecord, OutcomeRecord, halves_of_floats};

/// Notes a decision that no model was called for.
pub fn note_route(app: &App, call: &Call, routed: &Routed) {
    note(app, call, routed, DecisionKind::Route);
}

/// Notes a decision that a model is called for, and gives what is to be done with the outcome: one call, from whichever thread ends it.
pub fn note_completion(app: &App, call: &Call, routed: &Routed) -> impl FnOnce(Outcome) + Send + 'static {
    note(app, call, routed, DecisionKind::Completion);
    let ending = ending(app, (call.admission.id, call.admission.at_unix_ms, call.chat.stream));
    let checked = routed.is_checked().then(|| (Arc::clone(&app.metrics), routed.decision.policy.clone()));
    move |outcome: Outcome| {
        if let Some((metrics, policy)) = checked {
            metrics.checked_cost(&policy, &outcome);
        }
        ending(outcome);
    }
}

/// Notes an embeddings call, and gives what is to be done with its outcome. What was embedded is not kept.
pub fn note_embeddings(app: &App, call: &EmbeddingsCall, routed: &Routed) -> impl FnOnce(Outcome) + Send + 'static {
    if let Some(journal) = &app.journal {
        journal.record_decision(DecisionRecord {
            kind: DecisionKind::Embeddings,
            api: Some(call.admission.api),
            caller: call.admission.caller.clone(),
            sentence: routed.sentence.clone(),
            input_tokens: call.request.input_tokens,
            ..DecisionRecord::of(call.admission.id, call.admission.at_unix_ms, &routed.decision)
        });
    }
    ending(app, (call.admission.id, call.admission.at_unix_ms, false))
}

/// What is to be done with the outcome of a call: its id, when it came, and whether its answer is streamed.
fn ending(app: &App, (id, at_unix_ms, stream): (DecisionId, u64, bool)) -> impl FnOnce(Outcome) + Send + 'static {
    let (metrics, journal) = (Arc::clone(&app.metrics), app.journal.clone());
    move |outcome| {
        metrics.outcome(&outcome);
        tracing::info!(
            decision = %id,
            class = outcome.class.as_str(),
            model = outcome.served_by.as_ref().map_or("none", |model| model.as_str()),
            attempts = outcome.attempts.len(),
            total_ms = outcome.total.as_millis() as u64,
            input_tokens = outcome.usage.map(|usage| usage.input_tokens),
            output_tokens = outcome.usage.map(|usage| usage.output_tokens),
            usage_estimated = outcome.usage_estimated,
            cost_usd = outcome.cost.map(|cost| cost.as_usd()),
            "completion ended"
        );
        if let Some(journal) = &journal {
            let ended = at_unix_ms.saturating_add(u64::try_from(outcome.total.as_millis()).unwrap_or(u64::MAX));
            journal.record_outcome(OutcomeRecord { stream, ..OutcomeRecord::of(id, ended, &outcome) });
        }
    }
}

/// Logs and stores a decision.
fn note(app: &App, call: &Call, routed: &Routed, kind: DecisionKind) {
    let decision = &routed.decision;
    tracing::debug!(
        decision = %call.admission.id,
        request = call.admission.request_id,
        api = call.admission.api.as_str(),
        caller = %call.admission.caller,
        model = %decision.model,
        tier = %decision.tier,
        reason = decision.reason.as_str(),
        took_us = routed.took.as_micros() as u64,
        decision_cache = routed.recall.map(Recall::as_str),
        "decided"
    );
    let Some(journal) = &app.journal else { return };
    let scores = routed.scores.as_ref().and_then(|scores| scores.as_deref().ok());
    let task = scores.map(Scores::task);
    let options = &call.chat.options;
    journal.record_decision(DecisionRecord {
        kind,
        api: Some(call.admission.api),
        caller: call.admission.caller.clone(),
        sentence: routed.sentence.clone(),
        encoder: routed.encoder.clone(),
        scorer: scores.map(|scores| scorer_word(scores.scorer).to_owned()),
        task: task.map(|(task, _)| task),
        task_p: task.map(|(_, probability)| probability),
        difficulty: scores.map(|scores| scores.difficulty),
        input_tokens: call.chat.prompt.shape.input_tokens,
        signals: call.chat.prompt.signals.features().to_vec(),
        embedding: scores.map(|scores| halves_of_floats(scores.embedding.as_slice())),
        prompt: Some(call.chat.prompt.ask.clone()).filter(|ask| !ask.is_empty()),
        route_us: u64::try_from(routed.took.as_micros()).unwrap_or(u64::MAX),
        session: options.session.clone(),
        tags: (!options.tags.is_empty()).then(|| options.tags.clone().into()),
        ..DecisionRecord::of(call.admission.id, call.admission.at_unix_ms, decision)
    });
}

const fn scorer_word(scorer: Scorer) -> &'static str {
    match scorer {
        Scorer::Fast => "fast",
        Scorer::Careful => "careful",
    }
}
