//! Rooms 3 and 4 for one prompt: its scores, kept or made now, and the choice that is made by them.
//!
//! The choice is made anew every time. It is cheap, and it depends on what a cache could not know: the policy and the limits of this request, the
//! session, prices that apply, the draw for exploration. So a kept score saves the time and changes what is chosen in one case alone: a second look that
//! is kept is used where others wait for one and a new one would be left out.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::decisions::{Ask, Found, ScorePlace};
use crate::domain::cache::Recall;
use crate::domain::decide::{Decision, Held, NoCandidate, Question, decide};
use crate::domain::look::{Size, Stake};
use crate::domain::policy::{CarefulMode, Limits, Policy};
use crate::domain::prompt::Prompt;
use crate::domain::scores::{ScoreFailure, ScoreTimings, Scorer, Scores};
use crate::model::generation::{CarefulStatus, Generation};
use crate::pipeline::{App, Call};
use crate::sessions::HeldModel;
use crate::telemetry::metrics::choice::Look;

/// What both looks at one prompt share.
pub(super) struct Decider<'a> {
    pub(super) app: &'a App,
    pub(super) call: &'a Call,
    pub(super) policy: &'a Policy,
    pub(super) limits: &'a Limits,
    pub(super) generation: Option<&'a Generation>,
    pub(super) held: Option<HeldModel>,
    /// Where the scores are kept, from [`place`].
    pub(super) place: Option<ScorePlace>,
}

/// The scores of a prompt, and what the decision cache had to do with them.
pub(super) struct Scored {
    pub(super) scores: Result<Arc<Scores>, ScoreFailure>,
    pub(super) recall: Option<Recall>,
}

/// Where the scores of a call are kept, if anywhere. To be asked for before anything is scored.
pub(super) fn place(app: &App, call: &Call, generation: Option<&Generation>) -> Option<ScorePlace> {
    app.decisions.as_ref()?.place(&Ask {
        caller: &call.admission.caller,
        prompt: &call.chat.prompt,
        edition: generation?.edition(),
        control: call.chat.options.cache,
    })
}

impl Decider<'_> {
    /// Chooses by a fast look at the prompt, and by a careful one where that is worth it. A second look that fails leaves the first one standing.
    pub(super) async fn choose(&self) -> Result<(Scored, Decision), NoCandidate> {
        let first = self.fast();
        let decision = self.decide(&first.scores)?;
        if !self.wants_second_look(&decision, &first.scores) {
            return Ok((first, decision));
        }
        if let Some(second) = self.kept(Scorer::Careful) {
            let decision = self.decide(&second.scores)?;
            return Ok((second, decision));
        }
        if !self.has_time_for_a_look() {
            return Ok((first, decision));
        }
        let began = Instant::now();
        let (look, chosen) = match self.careful().await {
            second @ Scored { scores: Ok(_), .. } => {
                let again = self.decide(&second.scores)?;
                let look = if again.model == decision.model { Look::Confirmed } else { Look::Changed };
                (look, (second, again))
            }
            Scored { scores: Err(_), .. } => (Look::Failed, (first, decision)),
        };
        self.app.metrics.looked(look, began.elapsed());
        Ok(chosen)
    }

    fn prompt(&self) -> &Prompt {
        &self.call.chat.prompt
    }

    fn fast(&self) -> Scored {
        self.kept(Scorer::Fast).unwrap_or_else(|| {
            let scores = self.generation.ok_or(ScoreFailure::NoBundle);
            self.made(scores.and_then(|generation| generation.score(self.prompt())))
        })
    }

    async fn careful(&self) -> Scored {
        let deadline = Instant::now() + self.app.careful_timeout;
        self.made(match self.generation {
            Some(generation) => generation.score_carefully(self.prompt(), deadline).await,
            None => Err(ScoreFailure::NoBundle),
        })
    }

    /// Scores that were made for an earlier request, with what was learned since worked in.
    fn kept(&self, scorer: Scorer) -> Option<Scored> {
        let (cache, place) = (self.app.decisions.as_ref()?, self.place.as_ref()?);
        let (scores, recall) = match cache.find(place, scorer, self.call.admission.started.into_std())? {
            Found::True(scores) => (scores, Recall::Hit),
            Found::Outrun(scores) => {
                let fresh = Arc::new(self.generation?.refresh(&scores).ok()?);
                self.app.metrics.refreshed(&fresh.timings);
                cache.refresh(place, &fresh);
                (fresh, Recall::Refreshed)
            }
        };
        Some(Scored { scores: Ok(scores), recall: Some(recall) })
    }

    /// Scores that were made for this request: measured, and kept for later ones. A failure is not kept, whether it is the prompt's or the moment's.
    fn made(&self, scores: Result<Scores, ScoreFailure>) -> Scored {
        self.measure(&scores);
        let scores = scores.map(Arc::new);
        let recall = match (&scores, &self.app.decisions, &self.place) {
            (Err(_), _, _) | (Ok(_), None, _) => None,
            (Ok(_), Some(_), None) => Some(Recall::Bypass),
            (Ok(scores), Some(cache), Some(place)) => {
                cache.keep(place, scores, self.call.admission.started.into_std());
                Some(Recall::Miss)
            }
        };
        Scored { scores, recall }
    }

    /// The router's own cost is what scoring took, without waiting: scoring is computation from end to end.
    fn measure(&self, scores: &Result<Scores, ScoreFailure>) {
        match scores {
            Ok(scores) => {
                let ScoreTimings { queue: _, tokenize, encode, heads, neighbours } = scores.timings;
                self.app.metrics.scored(&scores.timings);
                self.app.metrics.router_cpu(tokenize + encode + heads + neighbours);
            }
            Err(failure) => self.app.metrics.score_failed(*failure),
        }
    }

    fn decide(&self, scores: &Result<Arc<Scores>, ScoreFailure>) -> Result<Decision, NoCandidate> {
        decide(&Question {
            scores: scores.as_deref().map_err(|failure| *failure),
            learned: self.generation.map(Generation::learned),
            candidates: self.app.catalog.candidates(),
            barred: &self.app.catalog.barred(&self.prompt().shape),
            shape: &self.prompt().shape,
            policy: self.policy,
            limits: self.limits,
            held: self.held.as_ref().map(|held| Held { model: &held.model, cached_tokens: held.cached_tokens }),
            draw: self.call.admission.draw,
        })
    }

    /// Whether certainty is worth what a look costs. A look that is kept costs nothing and is still only used here, so that what is chosen depends as
    /// little as may be on whether the ask came before.
    fn wants_second_look(&self, decision: &Decision, scores: &Result<Arc<Scores>, ScoreFailure>) -> bool {
        let possible = self
            .generation
            .is_some_and(|generation| matches!(generation.careful_status(), CarefulStatus::Ready { .. }));
        let Some(fast) = scores.as_deref().ok().filter(|_| possible) else { return false };
        match self.policy.careful {
            CarefulMode::Never => false,
            CarefulMode::WhenClose => {
                let size = Size::of(&self.prompt().shape, fast.output_tokens);
                Stake::of(decision).is_some_and(|stake| stake.is_worth(self.policy.careful_cost, size))
            }
            CarefulMode::Always => true,
        }
    }

    /// A look is a luxury: where others wait for one, the fast scores stand, unless the policy always looks.
    fn has_time_for_a_look(&self) -> bool {
        match self.policy.careful {
            CarefulMode::Never => false,
            CarefulMode::WhenClose => self.generation.is_none_or(|generation| generation.careful_waiting() == 0),
            CarefulMode::Always => true,
        }
    }
}
