//! `GET /admin/drift`: whether traffic and verdicts have moved away from what the bundle knows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::domain::drift::Judged;
use crate::http::admission::now_unix_ms;
use crate::http::state::Server;
use crate::store::{DecisionRecord, Learnable, Store};

/// Everything about drift now: dimensions with their shares, feedback, the state, and a proposal where something shifted.
pub async fn report(State(server): State<Arc<Server>>) -> Json<Value> {
    Json(json!(server.app.drift.look(now_unix_ms())))
}

/// Sets a verdict beside what was predicted. A decision that cannot be read back, or was made without scores, tells nothing.
pub(super) async fn judge(server: &Server, store: &Store, learnable: &Learnable) {
    let Some(verdict) = learnable.verdict else { return };
    let recorded = match store.reader().decision(learnable.decision_id).await {
        Ok(recorded) => recorded,
        Err(error) => {
            tracing::warn!(%error, "a verdict was not set beside its prediction");
            return;
        }
    };
    let Some(decision) = recorded.map(|recorded| recorded.decision) else { return };
    if let (Some(bundle), Some(judged)) = (&decision.bundle, judged(&decision, learnable, verdict.get())) {
        server.app.drift.judged(bundle, judged);
    }
}

fn judged(decision: &DecisionRecord, learnable: &Learnable, verdict: f64) -> Option<Judged> {
    let served = decision.considered.iter().find(|one| one.model == learnable.model)?;
    // Models are recorded from the weakest tier up.
    let cheapest = decision.considered.iter().find(|one| one.excluded.is_none())?;
    let escalated = cheapest.tier != served.tier;
    let instead_of = cheapest.p.filter(|_| escalated).map(|p| p.get());
    Some(Judged { predicted: served.p?.get(), verdict, instead_of })
}
