//! The queue under a clock of its own.

use std::num::{NonZeroU32, NonZeroUsize};

use super::*;
use crate::domain::deferred::DeferredEvent;

mod shares;

const MINUTE: Duration = Duration::from_secs(60);

/// The bytes of an entry that waits with a request of a thousand.
const WAITING: usize = 256 + 4_096 + 1_000;

fn settings(max_entries: usize, max_bytes: usize) -> DeferredSettings {
    DeferredSettings {
        max_entries: NonZeroUsize::new(max_entries).unwrap(),
        max_bytes,
        caller_share: 1.0,
        keep_for: 60 * MINUTE,
        at_once: NonZeroUsize::MIN,
        max_tries: NonZeroU32::new(8).unwrap(),
        pause: Duration::from_secs(5),
        longest_pause: Duration::from_secs(15),
    }
}

fn queue(max_entries: usize) -> Queue<&'static str> {
    Queue::new(settings(max_entries, 1 << 20))
}

fn id(number: u128) -> DeferredId {
    DeferredId::of(DecisionId::from_u128(number))
}

fn alice() -> CallerId {
    CallerId::from("alice")
}

fn bob() -> CallerId {
    CallerId::from("bob")
}

fn new(number: u128) -> New<&'static str> {
    New { id: id(number), caller: alice(), created_unix_ms: 7_000, bytes: 1_000, request: "hello" }
}

fn bobs(number: u128) -> New<&'static str> {
    New { caller: bob(), ..new(number) }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn answer(body: &str) -> Ending {
    let (decision, model) = (DecisionId::from_u128(9), ModelName::from("cheap"));
    Ending::Answered(Answer { body: raw(body), decision, model, cost: Some(NanoUsd(3)) })
}

fn status(queue: &Queue<&'static str>, number: u128, now: Instant) -> Option<DeferredStatus> {
    queue.view(id(number), &alice(), now).map(|view| view.status)
}

#[test]
fn a_request_has_its_turns_after_growing_pauses_until_it_is_answered() {
    let (queue, now) = (queue(10), Instant::now());
    let at = |seconds| now + Duration::from_secs(seconds);
    queue.put(new(1), now).unwrap();

    let mut tries = Vec::new();
    for second in 0..60 {
        if queue.take(at(second), |_| true).is_some() {
            tries.push(second);
            assert_eq!(status(&queue, 1, at(second)), Some(DeferredStatus::Running));
            let ending = if tries.len() < 4 { Ending::Again(raw(r#"{"code":"down"}"#)) } else { answer("{}") };
            queue.settle(id(1), ending, at(second));
        }
    }

    assert_eq!(tries, [5, 15, 30, 45], "5 s, then 10, then 15 and no more");
    let view = queue.view(id(1), &alice(), at(60)).unwrap();
    assert_eq!((view.status, view.tries, view.problem.is_none()), (DeferredStatus::Done, 4, true));
    assert_eq!((view.created_unix_ms, view.expires_unix_ms), (7_000, 3_607_000));
    assert_eq!(view.answer.unwrap().cost, Some(NanoUsd(3)));
}

#[test]
fn what_is_not_worth_a_try_lets_others_go_first() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(New { request: "down", ..new(1) }, now).unwrap();
    queue.put(new(2), now).unwrap();
    let later = now + MINUTE;

    let taken = queue.take(later, |request| *request != "down").unwrap();

    assert_eq!((taken.id, *taken.request), (id(2), "hello"));
    assert!(queue.take(later, |_| panic!("it was just looked at")).is_none());
    assert_eq!(queue.take(later + queue.look_every(), |_| true).unwrap().id, id(1));
}

#[test]
fn a_look_at_many_ends_at_the_first_that_is_worth_a_try() {
    let (queue, now) = (Queue::new(settings(1_000, 1 << 30)), Instant::now());
    for number in 0..500 {
        queue.put(new(number), now).unwrap();
    }
    let looks = std::cell::Cell::new(0);
    let is_worth = |worth: usize| {
        looks.set(0);
        queue.take(now + MINUTE, |_| {
            looks.set(looks.get() + 1);
            looks.get() > worth
        })
    };

    assert_eq!((is_worth(0).unwrap().id, looks.get()), (id(0), 1));
    assert_eq!((is_worth(200).unwrap().id, looks.get()), (id(201), 201), "in several pieces");
    assert_eq!((is_worth(1_000).is_none(), looks.get()), (true, 298), "those that were not worth it are left alone");
}

#[test]
fn a_request_that_was_asked_often_enough_has_failed() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();
    let mut later = now;
    for _ in 0..8 {
        assert_eq!(status(&queue, 1, later), Some(DeferredStatus::Queued));
        later += MINUTE;
        queue.take(later, |_| true).unwrap();
        queue.settle(id(1), Ending::Again(raw(r#"{"code":"down"}"#)), later);
    }

    let view = queue.view(id(1), &alice(), later).unwrap();
    assert_eq!((view.status, view.tries), (DeferredStatus::Failed, 8));
    assert_eq!(view.problem.unwrap().get(), r#"{"code":"down"}"#, "the last try's");
    assert_eq!(queue.totals(later).happened(DeferredEvent::Failed), 1);
    assert!(queue.take(later + 5 * MINUTE, |_| true).is_none());
}

#[test]
fn what_was_taken_by_someone_who_is_gone_waits_again() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();
    let lost = queue.take(now + MINUTE, |_| true).unwrap();

    queue.put_back(now + MINUTE);

    assert!(lost.cancel.is_cancelled());
    assert_eq!(status(&queue, 1, now + MINUTE), Some(DeferredStatus::Queued));
    for minute in 2..=8 {
        assert_eq!(queue.take(now + minute * MINUTE, |_| true).unwrap().id, id(1));
        queue.put_back(now + minute * MINUTE);
    }
    assert_eq!(status(&queue, 1, now + 8 * MINUTE), Some(DeferredStatus::Failed), "those tries count too");
    assert_eq!(queue.totals(now + 8 * MINUTE).happened(DeferredEvent::Failed), 1);
}

#[test]
fn a_look_that_panics_loses_no_request() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();

    let look = std::panic::AssertUnwindSafe(|| queue.take(now + MINUTE, |_| panic!("a fault of the look")));
    assert!(std::panic::catch_unwind(look).is_err());

    assert_eq!(queue.take(now + MINUTE, |_| true).unwrap().id, id(1));
}

#[test]
fn another_caller_neither_sees_nor_deletes_an_entry() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();

    assert!(queue.view(id(1), &bob(), now).is_none() && queue.delete(id(1), &bob(), now).is_none());
    assert_eq!(queue.delete(id(1), &alice(), now), Some(DeferredStatus::Queued));
    assert_eq!(queue.delete(id(1), &alice(), now), None, "it is gone");
    assert_eq!(queue.totals(now).happened(DeferredEvent::Deleted), 1);
}

#[test]
fn a_full_queue_refuses_and_counts_until_an_entry_expires_or_goes() {
    let (queue, now) = (queue(2), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now + MINUTE).unwrap();

    assert_eq!(queue.put(new(3), now + MINUTE), Err(NotDeferred::Full));
    queue.delete(id(2), &alice(), now + MINUTE).unwrap();
    queue.put(new(3), now + MINUTE).unwrap();
    assert_eq!(queue.put(new(4), now + MINUTE), Err(NotDeferred::Full));
    let hour = now + 60 * MINUTE;
    assert_eq!(status(&queue, 1, hour), Some(DeferredStatus::Expired));
    queue.put(new(4), hour).unwrap();
    assert_eq!(status(&queue, 1, hour), None, "what is expired makes room");

    let totals = queue.totals(hour);
    assert_eq!((totals.happened(DeferredEvent::Refused), totals.happened(DeferredEvent::Expired)), (2, 1));
    assert_eq!(totals.standing(DeferredStatus::Queued), 2);
}

#[test]
fn bytes_are_bounded_and_come_back() {
    let (queue, now) = (Queue::new(settings(100, 2 * WAITING + 500)), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now).unwrap();
    assert_eq!(queue.totals(now).bytes, 2 * WAITING);
    assert_eq!(queue.put(new(3), now), Err(NotDeferred::NoRoom));

    let later = now + MINUTE;
    queue.take(later, |_| true).unwrap();
    queue.settle(id(1), Ending::Failed(raw("{}")), later);
    assert_eq!(queue.totals(later).bytes, 256 + 2 + WAITING, "its request is gone");
    queue.put(New { bytes: 100, ..new(3) }, later).unwrap();

    for number in 1..=3 {
        queue.delete(id(number), &alice(), later).unwrap();
    }
    assert!(queue.is_empty());
    assert_eq!(queue.totals(later).bytes, 0);
}

#[test]
fn an_answer_is_never_lost_for_want_of_room_and_then_nothing_is_asked_until_there_is() {
    let (queue, now) = (Queue::new(settings(100, 3 * WAITING)), Instant::now());
    for number in 1..=3 {
        queue.put(new(number), now).unwrap();
    }
    let later = now + MINUTE;
    let taken = [0; 2].map(|_| queue.take(later, |_| true).unwrap().id);
    let large = format!("\"{}\"", "x".repeat(20_000));

    for id in taken {
        queue.settle(id, answer(&large), later);
    }

    assert_eq!([1, 2, 3].map(|number| status(&queue, number, later).unwrap().as_str()), ["done", "done", "queued"]);
    let over = queue.totals(later).bytes;
    assert!(over > 40_000, "one answer for each try that was under way: {over}");
    assert!(queue.take(later, |_| true).is_none());
    assert_eq!(queue.put(new(4), later), Err(NotDeferred::NoRoom));
    queue.delete(id(1), &alice(), later).unwrap();
    assert!(queue.take(later, |_| true).is_none(), "there is still too much");
    queue.delete(id(2), &alice(), later).unwrap();
    assert_eq!(queue.take(later, |_| true).unwrap().id, id(3));
}

#[test]
fn a_full_queue_is_answered_as_long_as_answers_fit_where_their_requests_did() {
    let (queue, now) = (Queue::new(settings(100, 2 * WAITING)), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now).unwrap();
    let body = format!("\"{}\"", "x".repeat(4_000));

    for _ in 0..2 {
        let taken = queue.take(now + MINUTE, |_| true).unwrap();
        queue.settle(taken.id, answer(&body), now + MINUTE);
    }

    assert_eq!(queue.totals(now + MINUTE).standing(DeferredStatus::Done), 2);
}

#[test]
fn what_can_never_fit_is_refused_and_pushes_nothing_out() {
    let (queue, now) = (Queue::new(settings(2, 3 * WAITING)), Instant::now());
    queue.put(new(1), now).unwrap();
    let hour = now + 60 * MINUTE;
    queue.put(new(2), hour - MINUTE).unwrap();

    let refused = queue.put(New { bytes: 3 * WAITING, ..new(3) }, hour).unwrap_err();
    let no_room = queue.put(New { bytes: 2 * WAITING, ..new(3) }, hour).unwrap_err();

    assert_eq!((refused, no_room), (NotDeferred::TooLarge, NotDeferred::NoRoom));
    assert!(refused.to_string().contains("larger than the whole queue"));
    assert_eq!(status(&queue, 1, hour), Some(DeferredStatus::Expired), "it can still be said");
    queue.put(new(3), hour).unwrap();
    assert_eq!(status(&queue, 1, hour), None);
}

#[test]
fn an_entry_expires_with_all_it_holds_and_is_forgotten_later() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now).unwrap();
    let running = queue.take(now + MINUTE, |_| true).unwrap();
    let answered = queue.take(now + MINUTE, |_| true).unwrap();
    queue.settle(answered.id, answer("{}"), now + MINUTE);
    assert_eq!(status(&queue, 2, now + 59 * MINUTE), Some(DeferredStatus::Done), "it waits to be fetched");

    let hour = now + 60 * MINUTE;
    assert_eq!(status(&queue, 1, hour), Some(DeferredStatus::Expired));
    assert!(running.cancel.is_cancelled(), "the call for it ends");
    queue.settle(running.id, answer("{}"), hour);
    let (one, two) = (queue.view(id(1), &alice(), hour).unwrap(), queue.view(id(2), &alice(), hour).unwrap());
    assert_eq!((one.status, two.status), (DeferredStatus::Expired, DeferredStatus::Expired));
    assert!(one.answer.is_none() && two.answer.is_none(), "it comes too late");
    assert_eq!(queue.totals(hour).happened(DeferredEvent::Expired), 1, "one of them had its answer in time");

    assert_eq!(status(&queue, 1, now + 120 * MINUTE), None);
    assert!(queue.is_empty());
}

#[test]
fn a_closed_queue_drops_everything_counts_it_and_takes_nothing() {
    let (queue, now) = (queue(10), Instant::now());
    for number in 1..=3 {
        queue.put(new(number), now).unwrap();
    }
    let done = queue.take(now + MINUTE, |_| true).unwrap();
    queue.settle(done.id, answer("{}"), now + MINUTE);
    let running = queue.take(now + MINUTE, |_| true).unwrap();

    assert_eq!(queue.close(), 2, "those without an answer");

    assert!(queue.is_empty() && running.cancel.is_cancelled());
    assert_eq!(queue.put(new(4), now), Err(NotDeferred::Stopping));
    assert_eq!(queue.totals(now).happened(DeferredEvent::Dropped), 2);
}

#[tokio::test]
async fn what_is_put_wakes_whoever_waits_even_before_it_waits() {
    let queue = queue(10);
    queue.put(new(1), Instant::now()).unwrap();

    tokio::time::timeout(MINUTE, queue.filled()).await.expect("no wake-up is lost");
}
