//! What the policy asks of an answer, for the upstreams.

use std::sync::Arc;

use crate::chat::fitness::{Fitness, Form};
use crate::domain::recovery::{Recovery, Unfit, UnfitSet};
use crate::pipeline::{App, Call};
use crate::upstream::dispatch::Care;
use crate::upstream::escalate::Checking;

/// What the policy asks of the answer. The form counts only where a wrong one is a failure: reading it takes time.
pub(super) fn care(app: &App, call: &Call, recovery: &Recovery) -> Care {
    let fitness = |unfit: UnfitSet| {
        let form = if unfit.has(Unfit::InvalidJson) { Form::of(&call.chat) } else { Form::Free };
        Fitness { unfit, form }
    };
    let checking = recovery.escalation.as_ref().map(|rules| Checking {
        rules: Arc::clone(rules),
        fitness: fitness(rules.faults),
        tiers: app.catalog.tiers(),
        question: rules.verifier.as_ref().map_or_else(String::new, |_| call.chat.prompt.ask.clone()),
    });
    Care {
        first_token: recovery.first_token,
        hedge_after: recovery.hedge_after,
        fitness: fitness(recovery.fall_back_on),
        degraded: recovery.degraded.clone(),
        checking: checking.map(Box::new),
    }
}
