//! Whether escalations helped: the answer that is given is held against the check that a cheaper one failed.
//!
//! It is looked at when the client has it, so that nobody waits for it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::chat::checked::{Extras, read};
use crate::chat::fitness::Fitness;
use crate::domain::check::{Check, Escalation, Evidence, Found, Verifier};
use crate::domain::ids::{ModelName, PolicyName};
use crate::pipeline::gathered::Gathered;
use crate::pipeline::{App, Call, Routed, care};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::checks::Escalated;
use crate::upstream::dispatch::Answer;
use crate::upstream::ledger::{Bill, Keeper};
use crate::upstream::verifier::{Asked, Verifiers};

/// A stream of more bytes is not looked at.
const MOST_BYTES: usize = 16 << 20;

/// Counts what is known of an answer when it begins: whether it stands in for one, and what its checks found.
pub(super) fn note(app: &App, routed: &Routed, answer: &Answer) {
    if let Some(degraded) = answer.degraded {
        app.metrics.degraded(&routed.decision.policy, degraded.as_str());
    }
    if routed.is_checked() {
        app.metrics.checked(&routed.decision.policy, &answer.checks);
    }
}

/// Has an answer judged that a stronger model was asked for. Has nothing to do where none was.
pub(super) fn watch(app: &App, call: &Call, (routed, answer): (&Routed, &mut Answer)) {
    let Some(rules) = routed.recovery.escalation.as_ref().filter(|_| !answer.checks.failed.is_empty()) else { return };
    let judge = Judge {
        metrics: Arc::clone(&app.metrics),
        policy: routed.decision.policy.clone(),
        failed: answer.checks.failed.clone(),
    };
    if !answer.checks.given.is_empty() {
        // It was checked before it was given.
        judge.count(&answer.checks.given);
        return;
    }
    let Ok(permit) = Arc::clone(&app.traffic.judging).try_acquire_owned() else {
        return;
    };
    let asked = rules.verifier.as_ref().filter(|verifier| is_drawn(call, verifier));
    let verifier = asked.zip(app.traffic.verifiers.as_ref()).map(|(_, verifiers)| Again {
        verifiers: verifiers.clone(),
        question: call.chat.prompt.ask.clone(),
        model: answer.model.clone(),
        request_id: call.admission.request_id.clone(),
    });
    let case = Case { rules: Arc::clone(rules), fitness: care::fitness(call, rules.faults), verifier, _permit: permit };
    let gathered = if answer.stream { Gathered::stream(MOST_BYTES) } else { Gathered::whole() };
    answer.body.keep_with(Box::new(Watching { judge, case, gathered }));
}

/// Whether this call is among the share of those whose last answer the verifier is asked about. The digits of the draw that choose are not
/// those that explore.
fn is_drawn(call: &Call, verifier: &Verifier) -> bool {
    (call.admission.draw.get() * 1_000.0).fract() < verifier.given_share.get()
}

/// What is counted in the end.
struct Judge {
    metrics: Arc<Metrics>,
    policy: PolicyName,
    /// The checks for which a stronger model was asked.
    failed: Vec<Check>,
}

impl Judge {
    /// Counts each escalation by what its check finds of the answer that was given. A fault is only found where there is one.
    fn count(mut self, found: &[(Check, Found)]) {
        for check in std::mem::take(&mut self.failed) {
            let finding = found.iter().find(|(one, _)| *one == check).map(|(_, finding)| *finding);
            let became = match (finding, check) {
                (Some(Found::Passed), _) | (None, Check::Fault(_)) => Escalated::Helped,
                (Some(Found::Failed), _) => Escalated::InVain,
                (Some(Found::Unknown) | None, _) => Escalated::Unknown,
            };
            self.metrics.escalated(&self.policy, check, became);
        }
    }
}

/// An answer that broke off says nothing of the escalation.
impl Drop for Judge {
    fn drop(&mut self) {
        for check in std::mem::take(&mut self.failed) {
            self.metrics.escalated(&self.policy, check, Escalated::Unknown);
        }
    }
}

/// What an answer is held against.
struct Case {
    rules: Arc<Escalation>,
    fitness: Fitness,
    verifier: Option<Again>,
    _permit: OwnedSemaphorePermit,
}

/// The verifier, who is asked once more.
struct Again {
    verifiers: Verifiers,
    question: String,
    model: ModelName,
    request_id: String,
}

/// An answer on its way to the client.
struct Watching {
    judge: Judge,
    case: Case,
    gathered: Gathered,
}

impl Keeper for Watching {
    fn sees(&mut self, frame: &Bytes) {
        self.gathered.push(frame);
    }

    fn ended_well(self: Box<Self>, _: Bill, _: std::time::Instant) {
        let Self { judge, case, gathered } = *self;
        // Off the way of the last bytes. Where the server stops meanwhile, the drop counts.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(conclude(judge, case, gathered));
        }
    }
}

async fn conclude(judge: Judge, case: Case, gathered: Gathered) {
    let Some(body) = gathered.finish(None) else { return };
    let (_, evidence) = read(body, Extras::default(), &case.fitness);
    let mut found = case.rules.judge(&evidence);
    if judge.failed.contains(&Check::Verifier)
        && let (Some(again), Some(verifier)) = (&case.verifier, &case.rules.verifier)
    {
        found.push((Check::Verifier, again.ask(verifier, &evidence).await));
    }
    judge.count(&found);
}

impl Again {
    async fn ask(&self, verifier: &Verifier, evidence: &Evidence) -> Found {
        let asked = Asked {
            question: &self.question,
            answer: &evidence.text,
            calls_tools: evidence.calls_tools,
            model: &self.model,
            request_id: &self.request_id,
        };
        self.verifiers.ask(verifier, &asked, Instant::now() + verifier.timeout).await
    }
}
