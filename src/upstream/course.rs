//! The way of one call over its targets: whom to ask next, whom to leave out, and what is left when nobody answers.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::chat::checked::Extras;
use crate::domain::deferred::NotDeferred;
use crate::domain::outcome::Class;
use crate::domain::recovery::Unfit;
use crate::upstream::attempt::{Failure, Patience, Started, StartedAnswer};
use crate::upstream::books::{Aside, Books, Slot};
use crate::upstream::budget::Leave;
use crate::upstream::classify::{Advice, Trouble};
use crate::upstream::dispatch::{Answer, DispatchError, Outgoing, Plan, Target};
use crate::upstream::escalate::Checks;
use crate::upstream::health::{Pass, Why};
use crate::upstream::last_words::{Closing, Said, answer, degraded, give_up, rejected, stale};
use crate::upstream::retry::{Left, Next, RetryPlan};
use crate::upstream::said::Clue;

/// One call on its way.
pub(crate) struct Course<'a> {
    pub(super) plan: &'a Plan,
    pub(super) outgoing: &'a Outgoing<'a>,
    pub(super) books: Books,
    /// The targets that were not asked, best first.
    pub(super) waiting: VecDeque<&'a Target>,
    /// Those that were passed over. They are asked when nothing else is left: to refuse a call that has nowhere else to go would lose it
    /// for certain, and the one attempt shows whether the target works again.
    pub(super) aside: Vec<(Instant, Why, &'a Target)>,
    retries: RetryPlan,
    begun: Instant,
    retry_after: Option<Duration>,
    /// Only a larger context than this will do.
    larger_than: Option<u64>,
    /// The last refusal that another target might not have shared.
    refusal: Option<Failure>,
    /// An answer of no use, in case nothing better comes.
    spare: Option<Spare<'a>>,
    /// What the checks of the policy found so far.
    pub(super) checks: Checks,
}

struct Spare<'a> {
    at: usize,
    target: &'a Target,
    started: Started,
}

/// An attempt that ended.
pub(super) struct Asked<'a> {
    pub(super) target: &'a Target,
    pub(super) slot: Slot,
    pub(super) result: Result<Started, Failure>,
    /// What it was asked for that the client did not ask for.
    pub(super) added: Extras,
}

/// How often a target may be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Allowed,
    /// It is asked although its breaker is open.
    Never,
}

/// What an attempt leads to.
enum Step<'a> {
    /// The same target, after this pause.
    Retry(Duration, Leave<'a>),
    /// The next target.
    Next,
    /// The end: no other target will do better, or it is too late.
    End,
}

impl<'a> Course<'a> {
    pub(super) fn new(plan: &'a Plan, outgoing: &'a Outgoing<'a>, books: Books) -> Self {
        Self {
            plan,
            outgoing,
            books,
            waiting: plan.targets.iter().map(Arc::as_ref).collect(),
            aside: Vec::new(),
            retries: RetryPlan::new(plan.retry, plan.jitter),
            begun: Instant::now(),
            retry_after: None,
            larger_than: None,
            refusal: None,
            spare: None,
            checks: Checks::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<Answer, DispatchError> {
        while let Some((target, pass, again)) = self.next_target() {
            match self.stay_at(target, pass, again).await {
                Ok(Some(asked)) => return Ok(self.serve(asked)),
                Ok(None) => {}
                Err(End) => break,
            }
        }
        self.finish()
    }

    /// Asks one target until it answers or is not to be asked again. `Ok(None)` is for the next target.
    async fn stay_at(
        &mut self,
        target: &'a Target,
        pass: Pass,
        again: Again,
    ) -> Result<Option<(&'a Target, Slot, Started)>, End> {
        let (mut target, mut pass, mut leave) = (target, pass, None::<Leave<'a>>);
        loop {
            if self.is_late() {
                return Err(End);
            }
            if let Some(leave) = leave.take() {
                leave.used();
            }
            let slot = self.books.begin(target, pass);
            let asked = self.ask(target, slot).await;
            target = asked.target;
            let asks_plainly = self.asks_plainly_after(&asked);
            let failure = match asked.result {
                Ok(started) => {
                    let detail = match self.unfit(&started) {
                        Some(why) => why.words().to_owned(),
                        None => match self.check(target, &started).await {
                            Some(check) => {
                                self.escalate(target, check);
                                format!("gave an answer that failed the check `{}`", check.as_str())
                            }
                            None => return Ok(Some((target, asked.slot, started))),
                        },
                    };
                    self.set_aside(target, asked.slot, (started, detail));
                    self.retries.move_on();
                    return Ok(None);
                }
                Err(failure) => failure,
            };
            self.note(target, asked.slot, &failure.trouble);
            if !asks_plainly {
                match self.step(target, failure, again) {
                    Step::Next => return Ok(None),
                    Step::End => return Err(End),
                    Step::Retry(pause, one_more) => {
                        leave = Some(one_more);
                        sleep(pause).await;
                    }
                }
            }
            pass = match target.health.enter(Instant::now()) {
                Ok(pass) => pass,
                // It rests for as long as it was just waited for; a breaker that opened meanwhile ends the matter.
                Err(obstacle) if obstacle.why == Why::Resting => target.health.force(Instant::now()),
                Err(_) => {
                    self.retries.move_on();
                    return Ok(None);
                }
            };
        }
    }

    /// The next target that may be asked; when there is none, those that were passed over, the one first that may be well again first.
    fn next_target(&mut self) -> Option<(&'a Target, Pass, Again)> {
        let now = Instant::now();
        if let Some((target, pass)) = self.next_ready(now) {
            return Some((target, pass, Again::Allowed));
        }
        self.aside.sort_by_key(|(until, _, _)| Reverse(*until));
        while let Some((_, why, target)) = self.aside.pop() {
            if self.is_large_enough(target) {
                let again = if why == Why::Open { Again::Never } else { Again::Allowed };
                return Some((target, target.health.force(now), again));
            }
        }
        None
    }

    /// The next target that nothing speaks against. Those that something speaks against are noted and put aside.
    pub(super) fn next_ready(&mut self, now: Instant) -> Option<(&'a Target, Pass)> {
        while let Some(target) = self.waiting.pop_front() {
            if !self.is_large_enough(target) {
                continue;
            }
            match target.health.enter(now) {
                Ok(pass) => return Some((target, pass)),
                Err(obstacle) => {
                    self.books.skip(target, obstacle.to_string());
                    self.aside.push((obstacle.until, obstacle.why, target));
                }
            }
        }
        None
    }

    /// A context of unknown size may be large enough.
    pub(super) fn is_large_enough(&self, target: &Target) -> bool {
        match (self.larger_than, target.context_tokens) {
            (Some(too_small), Some(context)) => context > too_small,
            (Some(_) | None, _) => true,
        }
    }

    /// Those among the waiting targets that may be asked as things stand: neither too small nor kept from calls by a breaker or a rest. For
    /// the others no target is given up that may yet answer.
    pub(super) fn ready(&self) -> impl Iterator<Item = &'a Target> {
        let now = Instant::now();
        self.waiting.iter().copied().filter(move |target| self.is_large_enough(target) && target.health.lets_in(now))
    }

    pub(super) fn patience(&self) -> Patience {
        let others = self.ready().next().is_some();
        Patience { deadline: self.plan.deadline, first_token: self.plan.care.first_token.filter(|_| others) }
    }

    fn unfit(&self, started: &Started) -> Option<Unfit> {
        let fitness = &self.plan.care.fitness;
        match &started.answer {
            StartedAnswer::Whole(completion) => fitness.of_answer(&completion.body),
            StartedAnswer::Stream(stream) => stream.beginning().and_then(|event| fitness.of_beginning(event)),
        }
    }

    fn set_aside(&mut self, target: &'a Target, slot: Slot, (started, detail): (Started, String)) {
        let aside = Aside { status: started.status, detail, counts: started.answer.counts() };
        let at = self.books.set_aside(slot, aside);
        self.spare = Some(Spare { at, target, started });
    }

    /// Notes a failed attempt in the books and with its target.
    pub(super) fn note(&mut self, target: &Target, slot: Slot, trouble: &Trouble) {
        self.books.fail(slot, trouble, target.upstream.scrubber().text(trouble.to_string()));
        self.retry_after = self.retry_after.into_iter().chain(trouble.hint()).min();
        if let Some(wait) = trouble.rest() {
            target.health.rest(wait, Instant::now());
        }
        if trouble.advice() == Advice::Larger {
            self.larger_than = self.larger_than.max(target.context_tokens);
        }
    }

    /// What to do after a failed attempt under this policy.
    pub(super) fn advice(&self, trouble: &Trouble) -> Advice {
        let evades = self.plan.care.fitness.unfit.has(Unfit::ContentFilter);
        match trouble.advice() {
            Advice::GiveUp if evades && trouble.clue() == Some(Clue::ContentFilter) => Advice::MoveOn,
            advice @ (Advice::GiveUp | Advice::Backoff | Advice::Wait(_) | Advice::MoveOn | Advice::Larger) => advice,
        }
    }

    fn step(&mut self, target: &Target, failure: Failure, again: Again) -> Step<'a> {
        let trouble = &failure.trouble;
        let may_repeat = again == Again::Allowed && self.plan.retry.on.has(trouble.kind());
        let advice = match self.advice(trouble) {
            Advice::Backoff | Advice::Wait(_) if !may_repeat => Advice::MoveOn,
            advice @ (Advice::GiveUp | Advice::Backoff | Advice::Wait(_) | Advice::MoveOn | Advice::Larger) => advice,
        };
        let left = Left {
            time: self.plan.deadline.saturating_duration_since(Instant::now()),
            targets: self.ready().count(),
            spent: self.begun.elapsed(),
            twin: self.ready().any(|other| other.model == target.model),
        };
        let next = self.retries.after(advice, left);
        self.refusal = matches!(trouble.class(), Class::Rejected | Class::TooLong).then_some(failure);
        let plan = self.plan;
        match next {
            Next::Retry(pause) => match plan.traffic.retries.take(Instant::now()) {
                Some(leave) => Step::Retry(pause, leave),
                None => {
                    self.retries.move_on();
                    Step::Next
                }
            },
            Next::NextTarget => Step::Next,
            Next::Stop if advice != Advice::GiveUp => Step::Next,
            Next::Stop => Step::End,
        }
    }

    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.plan.deadline
    }

    fn serve(mut self, (target, slot, started): (&'a Target, Slot, Started)) -> Answer {
        self.books.serve(slot, started.status, started.reached);
        answer(target, started, self.closing())
    }

    fn closing(self) -> Closing<'a> {
        let (plan, outgoing) = (self.plan, self.outgoing);
        Closing { books: self.books, outgoing, traffic: &plan.traffic, checks: self.checks.report }
    }

    /// No target answered.
    fn finish(mut self) -> Result<Answer, DispatchError> {
        if let Some(Spare { at, target, started }) = self.spare.take() {
            self.books.serve_after_all(at, target);
            return Ok(answer(target, started, self.closing()));
        }
        // What one provider has no words for is the caller's to change only where nothing else went wrong.
        let all_refused = |books: &Books| {
            books.attempts().iter().all(|attempt| matches!(attempt.class, Class::Rejected | Class::Skipped))
        };
        let refusal = self.refusal.filter(|failure| failure.trouble.words().is_none() || all_refused(&self.books));
        if let Some(failure) = refusal {
            return Err(rejected(self.books, failure));
        }
        let is_late = Instant::now() >= self.plan.deadline;
        let retry_after = self.retry_after;
        if let Some(stand_in) = self.plan.care.last_kept.as_ref().and_then(|kept| kept.last()) {
            return Ok(stale(self.books, self.outgoing, stand_in));
        }
        let (said, not_deferred) = last_resort(self.plan);
        if let (Some(said), Some(first)) = (said, self.plan.targets.first()) {
            return Ok(degraded(self.books, self.outgoing, (&said, first)));
        }
        Err(give_up(&mut self.books, |attempts| match attempts.as_slice() {
            _ if is_late => DispatchError::Deadline { attempts, not_deferred },
            [] => DispatchError::NoTarget,
            [..] => DispatchError::Exhausted { attempts, retry_after, not_deferred },
        }))
    }
}

/// What is said in place of an answer: that the request waits for one, else the operator's words. And why it does not wait.
fn last_resort(Plan { care, targets, .. }: &Plan) -> (Option<Said>, Option<NotDeferred>) {
    let room = care.waiting_room.as_ref().filter(|_| !targets.is_empty());
    let not_deferred = match room.map(|room| room.defer(targets)) {
        Some(Ok(deferred)) => return (Some(Said::Queued(deferred)), None),
        Some(Err(why)) => Some(why),
        None => None,
    };
    (care.degraded.clone().map(Said::Template), not_deferred)
}

/// No other target is to be asked.
struct End;
