//! What the policy asks of an answer, for the upstreams.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Place;
use crate::chat::fitness::{Fitness, Form};
use crate::domain::recovery::{Latency, Recovery, Unfit, UnfitSet};
use crate::domain::resilience::RetrySettings;
use crate::pipeline::{App, Asked, Call, cached, deferred};
use crate::upstream::dispatch::Care;
use crate::upstream::escalate::Checking;

/// How long somebody who waits is let wait for the first token, where the policy does not say.
const INTERACTIVE: Duration = Duration::from_secs(10);

/// Whether somebody waits: the caller knows best, while there is one.
fn latency(call: &Call, recovery: &Recovery) -> Option<Latency> {
    match call.asked {
        Asked::Now => call.chat.options.latency.or(recovery.latency),
        Asked::Again => Some(Latency::Batch),
    }
}

/// The bounds of the attempts. Where nobody waits, any target is worth the pause that only the last one is otherwise.
pub(super) fn retry(app: &App, call: &Call, recovery: &Recovery) -> RetrySettings {
    let RetrySettings { patience, last_patience, .. } = app.retry;
    match latency(call, recovery) {
        Some(Latency::Batch) => RetrySettings { patience: patience.max(last_patience), ..app.retry },
        Some(Latency::Interactive) | None => app.retry,
    }
}

/// What answers of a call may not be. The form counts only where a wrong one is a failure: reading it takes time.
pub(super) fn fitness(call: &Call, unfit: UnfitSet) -> Fitness {
    let form = if unfit.has(Unfit::InvalidJson) { Form::of(&call.chat) } else { Form::Free };
    Fitness { unfit, form }
}

/// What the policy asks of the answer, and where one is kept that is better than none. Where an answer is wanted that was not to be had before,
/// nothing stands in for it.
pub(super) fn care(app: &App, call: &Arc<Call>, (recovery, place): (&Recovery, Option<&Place>)) -> Care {
    let place = place.filter(|_| call.asked == Asked::Now);
    let checking = recovery.escalation.as_ref().map(|rules| Checking {
        rules: Arc::clone(rules),
        fitness: fitness(call, rules.faults),
        tiers: app.catalog.tiers(),
        question: rules.verifier.as_ref().map_or_else(String::new, |_| call.chat.prompt.ask.clone()),
    });
    let (first_token, hedge_after) = match latency(call, recovery) {
        None => (recovery.first_token, recovery.hedge_after),
        Some(Latency::Interactive) => (recovery.first_token.or(Some(INTERACTIVE)), recovery.hedge_after),
        Some(Latency::Batch) => (None, None),
    };
    Care {
        first_token,
        hedge_after,
        fitness: fitness(call, recovery.fall_back_on),
        last_kept: cached::last(app, call, (recovery, place)),
        waiting_room: deferred::room(app, call, recovery),
        degraded: recovery.degraded.text.clone().filter(|_| call.asked == Asked::Now),
        checking: checking.map(Box::new),
    }
}
