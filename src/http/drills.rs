//! `GET` and `POST /admin/drills`: whether each target answers when nobody needs it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::drills::{DrillView, PathState, Schedule, StepView};
use crate::http::admin::body;
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;
use crate::upstream::dispatch::Target;

/// Every target with what its last drill found.
pub async fn show(State(server): State<Arc<Server>>) -> Json<Value> {
    Json(view(&server))
}

/// Makes a drill now, whether or not any are scheduled, and says what it found. Takes as long as the slowest target, within
/// `drills.timeout` for each four of them.
///
/// # Errors
/// 409 while another is under way.
pub async fn run(State(server): State<Arc<Server>>, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let _: Value = body(&server, request, "{}").await?;
    server.drills.round().await.map_err(|busy| ApiError::new(Kind::Conflict, busy.to_string()))?;
    Ok(Json(view(&server)))
}

fn view(server: &Server) -> Value {
    let drills = &server.drills;
    let (settings, now) = (drills.settings(), drills.view());
    let every_s = match settings.schedule {
        Schedule::Off => None,
        Schedule::Every(every, _) => Some(every.as_secs_f64()),
    };
    let targets: Vec<Value> =
        drills.targets().iter().zip(&now.targets).map(|(target, view)| one(target, view)).collect();
    let broken = now.steps.iter().filter(|step| step.state == PathState::Broken);
    let broken: Vec<Value> =
        broken.map(|StepView { policy, step, .. }| json!({ "policy": policy, "step": step })).collect();
    json!({
        "object": "list",
        "enabled": every_s.is_some(),
        "every_s": every_s,
        "running": now.running,
        "spent_usd": now.spent.as_usd(),
        "max_usd_per_day": settings.daily_cap.as_usd(),
        "data": targets,
        "broken_steps": broken,
    })
}

fn one(target: &Target, view: &DrillView) -> Value {
    let now = Instant::now();
    let age = view.age(now);
    json!({
        "upstream": target.upstream.id(),
        "key": target.key,
        "model": target.model,
        "upstream_model": target.upstream_model,
        "tier": target.tier,
        "state": view.state.as_str(),
        "way": age.map(|_| view.way),
        "age_s": age.map(|age| age.as_secs_f64()),
        "last_ok_s": view.last_ok(now).map(|age| age.as_secs_f64()),
        "took_ms": age.map(|_| view.took.as_secs_f64() * 1e3),
        "class": view.class,
        "error": Some(&view.error).filter(|error| !error.is_empty()),
        "cost_usd": view.cost.map(|cost| cost.as_usd()),
        "failures_in_a_row": view.failures,
        "over_budget": view.over_budget,
    })
}
