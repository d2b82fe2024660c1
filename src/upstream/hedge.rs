//! Asking a second target while the first one is still silent.
//!
//! The first answer wins. The other call is cancelled, and what it will be billed for is entered into the books. How many second calls there
//! may be is a share of all traffic.

use tokio::time::{Instant, timeout};

use crate::domain::outcome::Class;
use crate::upstream::books::Slot;
use crate::upstream::classify::Advice;
use crate::upstream::course::{Asked, Course};
use crate::upstream::dispatch::Target;
use crate::upstream::escalate;

impl<'a> Course<'a> {
    /// Asks a target, and a second one where the first is late and that is allowed. Gives the attempt that ended the matter; the other one
    /// is in the books already, and waits to be asked again where it was not heard to its end.
    pub(super) async fn ask(&mut self, target: &'a Target, slot: Slot) -> Asked<'a> {
        let is_first = self.books.attempts().iter().all(|attempt| attempt.class == Class::Skipped);
        let how = (self.manner(target), self.patience());
        let mut first = Box::pin(escalate::run((target, slot), self.outgoing, how));
        let Some(delay) = self.plan.care.hedge_after.filter(|_| is_first && self.ready().next().is_some()) else {
            return first.await;
        };
        self.plan.traffic.hedges.earn();
        if let Ok(asked) = timeout(delay, &mut first).await {
            return asked;
        }
        let Some((rival, rival_slot)) = self.rival() else { return first.await };
        let how = (self.manner(rival), self.patience());
        let mut second = Box::pin(escalate::run((rival, rival_slot), self.outgoing, how));
        let early = tokio::select! {
            asked = &mut first => asked,
            asked = &mut second => asked,
        };
        let (late_target, late_slot, late) =
            if early.slot == slot { (rival, rival_slot, second) } else { (target, slot, first) };
        match &early.result {
            Err(failure) if self.asks_plainly_after(&early) => {
                self.note(early.target, early.slot, &failure.trouble);
                self.waiting.push_front(early.target);
                late.await
            }
            // Only a verdict on the request itself holds for the other one too.
            Err(failure) if self.advice(&failure.trouble) != Advice::GiveUp => {
                self.note(early.target, early.slot, &failure.trouble);
                late.await
            }
            Ok(_) | Err(_) => {
                self.books.outrun(late_slot);
                self.waiting.push_front(late_target);
                early
            }
        }
    }

    /// The target that is asked too, where one is ready and the allowance is not used up.
    fn rival(&mut self) -> Option<(&'a Target, Slot)> {
        let now = Instant::now();
        if self.is_late() || self.ready().next().is_none() {
            return None;
        }
        let leave = self.plan.traffic.hedges.take(now)?;
        let (rival, pass) = self.next_ready(now)?;
        leave.used();
        Some((rival, self.books.begin(rival, pass)))
    }
}
