//! How a call ends: with an answer, with words that stand in for one, or with an error that names every attempt.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;

use crate::chat::degraded::StandIn as Words;
use crate::chat::replay::{UsageChunk, replay};
use crate::domain::check::CheckReport;
use crate::domain::ids::UpstreamId;
use crate::domain::outcome::{Attempt, Class};
use crate::upstream::attempt::{Failure, Started, StartedAnswer};
use crate::upstream::books::Books;
use crate::upstream::budget::Traffic;
use crate::upstream::dispatch::{Answer, Deferred, Degraded, DispatchError, Outgoing, StandIn, Target};
use crate::upstream::relay::Relay;

/// What a call that is answered leaves behind.
pub(super) struct Closing<'a> {
    pub(super) books: Books,
    pub(super) outgoing: &'a Outgoing<'a>,
    pub(super) traffic: &'a Arc<Traffic>,
    pub(super) checks: CheckReport,
}

/// A target's answer.
pub(super) fn answer(target: &Target, started: Started, closing: Closing<'_>) -> Answer {
    let Closing { mut books, outgoing, traffic, checks } = closing;
    let attempts = books.attempts().to_vec();
    books.count(started.answer.counts());
    let (usage, cost) = books.bill();
    let body = match started.answer {
        StartedAnswer::Whole(completion) if outgoing.stream => {
            Relay::whole(replayed(&completion.body, outgoing), books)
        }
        StartedAnswer::Whole(completion) => Relay::whole(completion.body, books),
        StartedAnswer::Stream(stream) => traffic.clients.watching(Relay::stream(stream, books)),
    };
    Answer {
        upstream: target.upstream.id().clone(),
        model: target.model.clone(),
        tier: target.tier.clone(),
        attempts,
        degraded: None,
        checks,
        stream: outgoing.stream,
        usage,
        cost,
        body,
    }
}

/// A whole answer as the stream that the client wants.
fn replayed(body: &[u8], outgoing: &Outgoing<'_>) -> Bytes {
    let usage = if outgoing.wants_usage { UsageChunk::Sent } else { UsageChunk::Left };
    // It was read as a completion before.
    replay(&serde_json::from_slice(body).unwrap_or_default(), usage)
}

/// What is said where no target answered.
pub(super) enum Said {
    /// The operator's words.
    Template(Arc<str>),
    /// That the request waits for its answer.
    Queued(Deferred),
}

/// Words where no target answered. The books say how the call really ended.
pub(super) fn degraded(mut books: Books, outgoing: &Outgoing<'_>, (said, first): (&Said, &Target)) -> Answer {
    let (words, kind) = match said {
        Said::Template(words) => (words, Degraded::Template),
        Said::Queued(deferred) => (&deferred.words, Degraded::Queued(deferred.id)),
    };
    let reference = kind.reference().map(|id| id.to_string());
    let attempts = books.attempts().to_vec();
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let model = first.model.as_str();
    let reference = reference.as_deref();
    let words = Words { text: words, reference, request_id: outgoing.request_id, model, created };
    let body = if outgoing.stream { words.stream() } else { words.whole() };
    let (_, cost) = books.bill();
    close(&mut books);
    Answer {
        upstream: UpstreamId::from("none"),
        model: first.model.clone(),
        tier: first.tier.clone(),
        attempts,
        degraded: Some(kind),
        checks: CheckReport::default(),
        stream: outgoing.stream,
        usage: None,
        cost,
        body: Relay::whole(body, books),
    }
}

/// An answer that is too old, where no target answered. The books say how the call really ended.
pub(super) fn stale(mut books: Books, outgoing: &Outgoing<'_>, stand_in: StandIn) -> Answer {
    let attempts = books.attempts().to_vec();
    let (_, cost) = books.bill();
    close(&mut books);
    let StandIn { model, tier, age, body } = stand_in;
    Answer {
        upstream: UpstreamId::from("cache"),
        model,
        tier,
        attempts,
        degraded: Some(Degraded::Cached(age)),
        checks: CheckReport::default(),
        stream: outgoing.stream,
        usage: None,
        cost,
        body: Relay::whole(body, books),
    }
}

/// Closes the books of a call without an answer, as its last attempt ended.
pub(super) fn give_up(books: &mut Books, error: impl FnOnce(Vec<Attempt>) -> DispatchError) -> DispatchError {
    let attempts = books.attempts().to_vec();
    close(books);
    error(attempts)
}

fn close(books: &mut Books) {
    let made = books.attempts().iter().rev().find(|attempt| attempt.class != Class::Skipped);
    let class = made.map_or(Class::Transient, |attempt| attempt.class);
    books.close(class, "");
}

/// The upstream's own refusal, in its words where they are fit for the client.
pub(super) fn rejected(mut books: Books, failure: Failure) -> DispatchError {
    let status = failure.trouble.status().unwrap_or(400);
    let ours = || {
        let message = format!("the upstream refused the request with status {status}");
        let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
        Bytes::from(json!({ "error": error }).to_string())
    };
    let body = failure.words.or_else(|| failure.trouble.words()).unwrap_or_else(ours);
    give_up(&mut books, |attempts| DispatchError::Rejected { attempts, status, body })
}
