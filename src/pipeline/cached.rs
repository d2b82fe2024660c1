//! The response cache around a call: what is looked up before the decision, and what is kept after the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cache::{Cache, Hit, Kept, Likeness, Place, Point};
use crate::chat::dialect::translatable;
use crate::chat::options::CacheControl;
use crate::chat::replay::{UsageChunk, replay};
use crate::domain::api::Told;
use crate::domain::check::CheckReport;
use crate::domain::decide::{Considered, Decision, Reason};
use crate::domain::ids::UpstreamId;
use crate::domain::money::NanoUsd;
use crate::domain::outcome::Class;
use crate::domain::prompt::Prompt;
use crate::domain::recovery::{LastKept, Recovery};
use crate::pipeline::gathered::Gathered;
use crate::pipeline::{App, Call, Routed};
use crate::records;
use crate::upstream::books::Books;
use crate::upstream::dispatch::{self, Answer, StandIn};
use crate::upstream::ledger::{Bill, Keeper};
use crate::upstream::relay::Relay;

/// What the response cache had to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// It is switched off.
    Off,
    /// The request took no part in it.
    Bypassed,
    /// It had no answer.
    Missed,
    /// It answered.
    Answered {
        /// How like the request was to the one that was answered first.
        likeness: Likeness,
        /// How old the answer is.
        age: Duration,
    },
}

impl CacheStatus {
    /// The word used in headers; `None` where there is no cache.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Bypassed => Some("bypass"),
            Self::Missed => Some("miss"),
            Self::Answered { likeness: Likeness::Same, .. } => Some("hit"),
            Self::Answered { likeness: Likeness::Similar, .. } => Some("semantic"),
        }
    }

    /// How old the answer is that was given again.
    #[must_use]
    pub const fn age(self) -> Option<Duration> {
        match self {
            Self::Off | Self::Bypassed | Self::Missed => None,
            Self::Answered { age, .. } => Some(age),
        }
    }
}

/// Why a caller that wants a kept answer or none gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCached {
    /// No answer is kept.
    #[error("no answer to this request is kept; send it without `only-if-cached` to have it answered")]
    Missed,
    /// The request takes no part in the cache.
    #[error(
        "this request is not answered from the cache, because of its temperature or `store`; send it without `only-if-cached`, \
         or see `cache.temperature` in the configuration"
    )]
    Bypassed,
    /// There is no cache.
    #[error(
        "the response cache is switched off; set `cache.responses = \"exact\"`, or send the request without `only-if-cached`"
    )]
    Off,
}

/// A call after the look into the cache.
pub(super) enum Looked {
    /// It is answered.
    Found(Box<(Routed, Answer)>),
    /// It is not; its answer belongs there, if anywhere.
    Open(CacheStatus, Option<Place>),
}

/// Looks for an answer that is kept. `guard` is held until the answer's body is gone, and given back where there is none.
pub(super) fn look<G: Send + 'static>(app: &App, call: &Call, guard: G) -> Result<(Looked, Option<G>), NotCached> {
    let only = call.chat.options.cache == Some(CacheControl::OnlyIfCached);
    let open = |why: NotCached, status, place, guard| {
        if only { Err(why) } else { Ok((Looked::Open(status, place), Some(guard))) }
    };
    let Some(cache) = &app.cache else { return open(NotCached::Off, CacheStatus::Off, None, guard) };
    let Some(mut place) = cache.place(&call.admission.caller, &call.chat) else {
        return open(NotCached::Bypassed, CacheStatus::Bypassed, None, guard);
    };
    let now = call.admission.started.into_std();
    // An answer that only looks like one may be kept for those who want it as it is; it cannot be told anew.
    let is_tellable = |hit: &Hit| match call.admission.api.told() {
        Told::AsItIs => true,
        Told::Anew => translatable(hit.kept.body.clone()).is_ok(),
    };
    let hit = cache.same(&place, now).filter(is_tellable).or_else(|| {
        place_point(app, &mut place, Worth::WhereAlike(cache));
        cache.similar(&place, now).filter(is_tellable)
    });
    let Some(hit) = hit else {
        cache.missed();
        return open(NotCached::Missed, CacheStatus::Missed, Some(place), guard);
    };
    let (routed, body) = (routed(call, &hit), body(call, &hit));
    cache.answered(&hit);
    let mut books = Books::open(call.admission.started, records::note_completion(app, call, &routed)).holding(guard);
    books.serve_kept(&hit.kept.model);
    let answer = Answer {
        upstream: UpstreamId::from("cache"),
        model: hit.kept.model,
        tier: hit.kept.tier,
        attempts: Vec::new(),
        degraded: None,
        checks: CheckReport::default(),
        stream: call.chat.stream,
        usage: None,
        cost: Some(NanoUsd::ZERO),
        body: Relay::whole(body, books),
    };
    Ok((Looked::Found(Box::new((routed, answer))), None))
}

/// Who knows the last answer to this request, where the policy gives it when there is no other.
pub(super) fn last(
    app: &App,
    call: &Call,
    (recovery, place): (&Recovery, Option<&Place>),
) -> Option<Arc<dyn dispatch::LastKept>> {
    if recovery.degraded.cached == LastKept::Left {
        return None;
    }
    let delivery = match (call.chat.stream, call.chat.wants_usage) {
        (false, _) => Delivery::Whole,
        (true, true) => Delivery::Stream(UsageChunk::Sent),
        (true, false) => Delivery::Stream(UsageChunk::Left),
    };
    Some(Arc::new(Last { cache: Arc::clone(app.cache.as_ref()?), place: place?.clone(), delivery }))
}

/// The cache, when no target answered.
#[derive(Debug)]
struct Last {
    cache: Arc<Cache>,
    place: Place,
    delivery: Delivery,
}

#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    Stream(UsageChunk),
}

impl dispatch::LastKept for Last {
    fn last(&self) -> Option<StandIn> {
        let Hit { kept, age, .. } = self.cache.last(&self.place, tokio::time::Instant::now().into_std())?;
        let mut completion: Value = serde_json::from_slice(&kept.body).ok()?;
        let mark = json!({ "degraded": "cached", "age_seconds": age.as_secs() });
        completion.as_object_mut()?.insert("trimtab".to_owned(), mark);
        let body = match self.delivery {
            Delivery::Whole => Bytes::from(completion.to_string()),
            Delivery::Stream(usage) => replay(&completion, usage),
        };
        Some(StandIn { model: kept.model, tier: kept.tier, age, body })
    }
}

/// Has an answer kept once it has reached the client whole, provided that the model answers that was decided for and does so to the policy's
/// satisfaction: what was given in an emergency, for want of better, is not to outlive it.
pub(super) fn keep((app, call): (&App, &Call), place: Option<Place>, (routed, answer): (&Routed, &mut Answer)) {
    let (Some(cache), Some(mut place)) = (&app.cache, place.filter(Place::takes)) else { return };
    // An answer of no use that serves after all is no attempt that succeeded.
    let is_fit = answer.attempts.iter().any(|attempt| attempt.class == Class::Success);
    if answer.model != routed.decision.model || answer.degraded.is_some() || !is_fit {
        return;
    }
    match point(routed, &place, &call.chat.prompt) {
        Some(point) => place.set_point(point),
        None => place_point(app, &mut place, Worth::Anyway),
    }
    let limit = cache.settings().max_answer_bytes;
    let gathered = if answer.stream { Gathered::stream(limit) } else { Gathered::whole() };
    let kept = Kept { body: Bytes::new(), model: answer.model.clone(), tier: answer.tier.clone(), cost: None };
    answer.body.keep_with(Box::new(Filling { cache: Arc::clone(cache), place, kept, gathered }));
}

/// Whether it is worth finding out what a text means.
#[derive(Clone, Copy)]
enum Worth<'a> {
    /// Where an answer is kept to a request that is worded alike.
    WhereAlike(&'a Cache),
    /// In any case.
    Anyway,
}

/// Finds out what the text means that similar requests are found by. Without that, only the same request is.
fn place_point(app: &App, place: &mut Place, worth: Worth<'_>) {
    let Some(text) = place.text() else { return };
    let Some(generation) = app.models.current() else { return };
    let encoder = generation.manifest().encoder.digest.as_str();
    let is_worth = match worth {
        Worth::WhereAlike(cache) => cache.has_alike(place, encoder),
        Worth::Anyway => true,
    };
    if !is_worth {
        return;
    }
    if let Some(embedding) = generation.embed(&Prompt::from_ask(text)) {
        place.set_point(Point { embedding, encoder: Arc::from(encoder) });
    }
}

/// What the text means, where it was embedded for the decision: where it is all that was scored, and was scored whole.
fn point(routed: &Routed, place: &Place, scored: &Prompt) -> Option<Point> {
    let scores = routed.scores.as_ref()?.as_ref().ok()?;
    let is_whole = !scores.truncated && !scored.truncated;
    let is_same = Prompt::from_ask(place.text()?).ask == scored.ask;
    let encoder = routed.encoder.as_deref().filter(|_| is_whole && is_same)?;
    Some(Point { embedding: scores.embedding.clone(), encoder: Arc::from(encoder) })
}

/// The bytes for the client: the whole answer, or a stream that says the same.
fn body(call: &Call, hit: &Hit) -> Bytes {
    if !call.chat.stream {
        return hit.kept.body.clone();
    }
    let usage = if call.chat.wants_usage { UsageChunk::Sent } else { UsageChunk::Left };
    // It could be read when it was kept.
    let completion: Value = serde_json::from_slice(&hit.kept.body).unwrap_or_default();
    replay(&completion, usage)
}

/// A kept answer in place of a decision: nothing was scored and nothing chosen.
fn routed(call: &Call, hit: &Hit) -> Routed {
    let Kept { model, tier, cost, .. } = &hit.kept;
    let like = match hit.likeness {
        Likeness::Same => "the same request",
        Likeness::Similar => "a request that means the same",
    };
    let saved = cost.map_or_else(String::new, |cost| format!(", which saves {cost}"));
    let decision = Decision::only(Considered::unweighed(model.clone(), tier.clone(), 0), Reason::Cached);
    let sentence = format!("What `{model}` answered to {like} {} s ago is given again{saved}.", hit.age.as_secs());
    let cache = CacheStatus::Answered { likeness: hit.likeness, age: hit.age };
    Routed { cache, ..Routed::undecided(decision, sentence, call.admission.started) }
}

/// An answer on its way to the client, gathered for the cache.
struct Filling {
    cache: Arc<Cache>,
    place: Place,
    kept: Kept,
    gathered: Gathered,
}

impl Keeper for Filling {
    fn sees(&mut self, frame: &Bytes) {
        self.gathered.push(frame);
    }

    fn ended_well(self: Box<Self>, bill: Bill, now: Instant) {
        if let Some(body) = self.gathered.finish(bill.usage) {
            self.cache.keep(self.place, Kept { body, cost: bill.cost, ..self.kept }, now);
        }
    }
}
