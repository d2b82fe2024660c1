//! Answers that are checked before the client has them: a stronger model is asked where one fails.
//!
//! An answer is checked while the policy allows one more escalation and a stronger tier is left; only then is it asked for whole and read to
//! its end. The answer that is given in the end is the last one, good or not. Answers whose form counts are read to their end likewise while
//! another target is left.

use std::sync::Arc;

use crate::chat::checked::{Added, Extras, prepare, read};
use crate::chat::fitness::Fitness;
use crate::domain::check::{Check, CheckReport, Escalation, Found};
use crate::domain::ids::TierId;
use crate::domain::outcome::Class;
use crate::upstream::attempt::{self, Failure, Patience, Started, StartedAnswer};
use crate::upstream::books::Slot;
use crate::upstream::course::{self, Course};
use crate::upstream::dispatch::{Outgoing, Reader, Target};
use crate::upstream::verifier::Asked;

/// What answers of one call are held against.
#[derive(Clone, Debug)]
pub struct Checking {
    /// The checks of the policy.
    pub rules: Arc<Escalation>,
    /// The faults among them, with the form that the request asks for.
    pub fitness: Fitness,
    /// Every tier, weakest first.
    pub tiers: Arc<[TierId]>,
    /// The ask, for the verifier.
    pub question: String,
}

/// How the checks of a call stand.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) report: CheckReport,
    logprobs: Logprobs,
}

/// Whether upstreams are asked for log probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Logprobs {
    #[default]
    Asked,
    /// One refused a request with them.
    Left,
}

/// How a target is asked.
#[derive(Clone, Copy)]
pub(super) enum Manner<'a> {
    /// As the client asked.
    Plain,
    /// For a whole answer, whose form can be seen.
    Whole,
    /// For a whole answer that can be checked.
    Checked(&'a Fitness, Extras),
}

/// Asks a target in this manner.
pub(super) async fn run<'a>(
    (target, slot): (&'a Target, Slot),
    outgoing: &Outgoing<'_>,
    (manner, patience): (Manner<'_>, Patience),
) -> course::Asked<'a> {
    let (fitness, wanted) = match manner {
        Manner::Plain => {
            let result = attempt::run(target, outgoing, patience).await;
            return course::Asked { target, slot, result, added: Extras::default() };
        }
        Manner::Whole => (None, Extras::default()),
        Manner::Checked(fitness, wanted) => (Some(fitness), wanted),
    };
    let plain = (outgoing.body)(&target.upstream_model, target.upstream.reader());
    let (asked, added) = prepare(plain, wanted);
    let body = |_: &str, _: Reader| asked.clone();
    let whole = Outgoing { stream: false, body: &body, ..*outgoing };
    let mut result = attempt::run(target, &whole, patience).await;
    if let (Some(fitness), Ok(Started { answer: StartedAnswer::Whole(completion), evidence, .. })) =
        (fitness, &mut result)
    {
        let (body, found) = read(std::mem::take(&mut completion.body), added, fitness);
        completion.body = body;
        *evidence = Some(found);
    }
    course::Asked { target, slot, result, added }
}

impl<'a> Course<'a> {
    /// How a target is asked that was taken out of those that wait.
    pub(super) fn manner(&self, target: &Target) -> Manner<'a> {
        let checking = self.plan.care.checking.as_ref().filter(|checking| self.may_escalate(target, checking));
        let Some(checking) = checking else { return self.unchecked_manner() };
        let logprobs = checking.rules.wants_logprobs() && self.checks.logprobs == Logprobs::Asked;
        let confidence = checking.rules.confidence.is_some();
        let extras = Extras { logprobs: logprobs.then_some(Added), confidence: confidence.then_some(Added) };
        Manner::Checked(&checking.fitness, extras)
    }

    fn unchecked_manner(&self) -> Manner<'a> {
        let mut left = self.waiting.iter().copied().chain(self.aside.iter().map(|(_, _, other)| *other));
        let wants_whole = self.outgoing.stream && self.plan.care.fitness.wants_whole();
        if wants_whole && left.any(|other| self.is_large_enough(other)) { Manner::Whole } else { Manner::Plain }
    }

    /// Whether a refusal may be for the log probabilities that the client did not ask for: some models give none and say so. They are asked
    /// without them then.
    pub(super) fn asks_plainly_after(&mut self, asked: &course::Asked<'_>) -> bool {
        let was_refused =
            |failure: &Failure| failure.trouble.class() == Class::Rejected && failure.trouble.status().is_some();
        let may_help = asked.added.logprobs == Some(Added) && asked.result.as_ref().is_err_and(was_refused);
        if may_help {
            self.checks.logprobs = Logprobs::Left;
        }
        may_help
    }

    /// Checks an answer. Gives the check for which a stronger model is to be asked.
    pub(super) async fn check(&mut self, target: &Target, started: &Started) -> Option<Check> {
        let checking = self.plan.care.checking.as_ref()?;
        let evidence = started.evidence.as_ref()?;
        if !self.may_escalate(target, checking) {
            return None;
        }
        let rules = &checking.rules;
        let first_bad =
            |found: &[(Check, Found)]| found.iter().find(|(_, one)| rules.escalates(*one)).map(|(one, _)| *one);
        let mut found = rules.judge(evidence);
        let mut bad = first_bad(&found);
        if let (None, Some(verifier), Some(verifiers)) = (bad, &rules.verifier, &self.plan.traffic.verifiers) {
            let asked = Asked {
                question: &checking.question,
                answer: &evidence.text,
                calls_tools: evidence.calls_tools,
                model: &target.model,
                request_id: self.outgoing.request_id,
            };
            found.push((Check::Verifier, verifiers.ask(verifier, &asked, self.plan.deadline).await));
            bad = first_bad(&found);
        }
        self.checks.report.given = if bad.is_none() { found.clone() } else { Vec::new() };
        self.checks.report.found.append(&mut found);
        bad
    }

    /// Leaves stronger targets alone to be asked.
    pub(super) fn escalate(&mut self, target: &Target, check: Check) {
        self.checks.report.failed.push(check);
        let Some(checking) = &self.plan.care.checking else { return };
        self.waiting.retain(|other| is_stronger(checking, other, target));
        self.aside.retain(|(_, _, other)| is_stronger(checking, other, target));
    }

    fn may_escalate(&self, target: &Target, checking: &Checking) -> bool {
        let made = u32::try_from(self.checks.report.failed.len()).unwrap_or(u32::MAX);
        let mut left = self.waiting.iter().copied().chain(self.aside.iter().map(|(_, _, other)| *other));
        made < checking.rules.times
            && left.any(|other| self.is_large_enough(other) && is_stronger(checking, other, target))
    }
}

fn is_stronger(checking: &Checking, other: &Target, target: &Target) -> bool {
    let rank = |tier: &TierId| checking.tiers.iter().position(|one| one == tier);
    rank(&other.tier) > rank(&target.tier)
}
