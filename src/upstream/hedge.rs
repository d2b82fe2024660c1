//! Asking a second target while the first one is still silent.
//!
//! The first answer wins. The other call is cancelled, and what it will be billed for is entered into the books. How many second calls there
//! may be is a share of all traffic.

use tokio::time::{Instant, timeout};

use crate::domain::outcome::Class;
use crate::upstream::books::Slot;
use crate::upstream::course::{Asked, Course};
use crate::upstream::dispatch::Target;
use crate::upstream::escalate;

impl<'a> Course<'a> {
    /// Asks a target, and a second one where the first is late and that is allowed. Gives the attempt that ended the matter; the other one
    /// is in the books already.
    pub(super) async fn ask(&mut self, target: &'a Target, slot: Slot) -> Asked<'a> {
        let is_first = self.books.attempts().iter().all(|attempt| attempt.class == Class::Skipped);
        let Some(delay) = self.plan.care.hedge_after.filter(|_| is_first && !self.waiting.is_empty()) else {
            let result = Box::pin(escalate::run(target, self.outgoing, (self.manner(target), self.patience()))).await;
            return Asked { target, slot, result };
        };
        self.plan.traffic.hedges.earn();
        let mut first = Box::pin(escalate::run(target, self.outgoing, (self.manner(target), self.patience())));
        if let Ok(result) = timeout(delay, &mut first).await {
            return Asked { target, slot, result };
        }
        let Some((rival, rival_slot)) = self.rival() else {
            return Asked { target, slot, result: first.await };
        };
        let mut second = Box::pin(escalate::run(rival, self.outgoing, (self.manner(rival), self.patience())));
        let early = tokio::select! {
            result = &mut first => Asked { target, slot, result },
            result = &mut second => Asked { target: rival, slot: rival_slot, result },
        };
        let (late_target, late_slot, late) =
            if early.slot == slot { (rival, rival_slot, second) } else { (target, slot, first) };
        match &early.result {
            // The upstream's verdict on the request itself holds for the other one too.
            Err(failure) if failure.trouble.class() != Class::Rejected => {
                self.note(early.target, early.slot, &failure.trouble);
                Asked { target: late_target, slot: late_slot, result: late.await }
            }
            Ok(_) | Err(_) => {
                self.books.outrun(late_slot);
                early
            }
        }
    }

    /// The target that is asked too, where one is ready and the allowance is not used up.
    fn rival(&mut self) -> Option<(&'a Target, Slot)> {
        let now = Instant::now();
        if self.is_late() || !self.plan.traffic.hedges.take(now) {
            return None;
        }
        let (rival, pass) = self.next_ready(now)?;
        Some((rival, self.books.begin(rival, pass)))
    }
}
