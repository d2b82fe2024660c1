//! A request as a turn of its session: what the session holds before the decision, and what is remembered after it.

use std::time::Instant;

use crate::domain::decide::{Decision, Reason};
use crate::domain::policy::{Policy, SessionMode};
use crate::pipeline::{App, Call};
use crate::sessions::{HeldModel, SessionKey, Sessions, Standing, Thread, Turn};

/// What became of a request's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTurn {
    /// How the session was found.
    pub found_by: FoundBy,
    /// What became of it.
    pub event: SessionEvent,
    /// The input tokens that the session's model has probably cached.
    pub cached_tokens: u64,
}

/// How a session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// By the name that the caller gave.
    Name,
    /// By how the conversation opened.
    Opening,
}

impl FoundBy {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Opening => "opening",
        }
    }
}

/// What became of a session in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionEvent {
    /// It holds this turn's model from now on.
    Started,
    /// The model it holds answers.
    Kept,
    /// It moved up to a stronger tier.
    Raised,
    /// Another model answers this turn, because the session's may not or because the turn could not be judged.
    Away,
}

impl SessionEvent {
    /// The word used in JSON, headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Kept => "kept",
            Self::Raised => "raised",
            Self::Away => "away",
        }
    }
}

/// The session of one request, found before the decision.
pub(super) struct Conversation<'a> {
    sessions: &'a Sessions,
    key: SessionKey,
    found_by: FoundBy,
    standing: Standing,
    /// What it holds.
    pub(super) held: Option<HeldModel>,
}

/// Finds the session of a call: by its name, or by the opening of a conversation in which a model has answered. The first request of a
/// conversation without a name is decided by itself and remembered, so that the second finds its model. `None` where sessions are off.
pub(super) fn conversation<'a>(app: &'a App, call: &Call, policy: &Policy) -> Option<Conversation<'a>> {
    let sessions = match policy.sessions {
        SessionMode::Sticky => app.sessions.as_ref()?,
        SessionMode::Off => return None,
    };
    let shape = &call.chat.prompt.shape;
    let (thread, found_by) = match &call.chat.options.session {
        Some(name) => (Thread::Named(name), FoundBy::Name),
        None if shape.opening_digest == 0 => return None,
        None => (Thread::Opening(shape.opening_digest), FoundBy::Opening),
    };
    let goes_on = found_by == FoundBy::Name || shape.is_answered;
    let key = sessions.key(&call.admission.caller, thread);
    let held = if goes_on { sessions.held(&key, moment(call)) } else { None };
    let standing = if goes_on { Standing::Session } else { Standing::Opening };
    Some(Conversation { sessions, key, found_by, standing, held })
}

impl Conversation<'_> {
    /// Remembers the decision, and says what became of the session. `None` where there is nothing to tell: a first request without a name,
    /// or a decision that looked past the session.
    pub(super) fn note(self, app: &App, call: &Call, decision: &Decision) -> Option<SessionTurn> {
        let event = event(self.held.as_ref(), decision);
        if decision.reason.settles() {
            let rank = decision.considered.iter().find(|one| one.model == decision.model).map_or(0, |one| one.rank);
            let input_tokens = call.chat.prompt.shape.input_tokens;
            let turn = Turn { model: decision.model.clone(), rank, input_tokens, standing: self.standing };
            let noted = self.sessions.note(self.key, turn, moment(call));
            app.metrics.sessions(noted.live, noted.reset, noted.evicted);
        }
        let event = event.filter(|_| self.standing == Standing::Session)?;
        app.metrics.session_turn(event.as_str());
        let cached_tokens = self.held.map_or(0, |held| held.cached_tokens);
        Some(SessionTurn { found_by: self.found_by, event, cached_tokens })
    }
}

fn event(held: Option<&HeldModel>, decision: &Decision) -> Option<SessionEvent> {
    match (held, decision.reason) {
        (_, Reason::CheapestAsked | Reason::Named | Reason::Cached) => None,
        (None, reason) => reason.settles().then_some(SessionEvent::Started),
        (Some(_), Reason::SessionRaised) => Some(SessionEvent::Raised),
        (Some(held), _) if held.model == decision.model => Some(SessionEvent::Kept),
        (Some(_), _) => Some(SessionEvent::Away),
    }
}

/// The time of a call, on the clock of the sessions.
fn moment(call: &Call) -> Instant {
    call.admission.started.into_std()
}
