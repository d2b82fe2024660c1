//! The queue under a clock of its own.

use super::*;
use crate::domain::deferred::DeferredEvent;

const MINUTE: Duration = Duration::from_secs(60);

fn settings(max_entries: usize, max_bytes: usize) -> QueueSettings {
    QueueSettings {
        max_entries: NonZeroUsize::new(max_entries).unwrap(),
        max_bytes,
        keep_for: 60 * MINUTE,
        at_once: NonZeroUsize::MIN,
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

fn new(number: u128) -> New<&'static str> {
    New { id: id(number), caller: alice(), created_unix_ms: 7_000, bytes: 1_000, request: "hello" }
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
            queue.settle(id(1), ending, at(second)).unwrap();
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
    assert!(queue.take(later, |request| *request != "down").is_none());
    assert_eq!(queue.take(later, |_| true).unwrap().id, id(1));
}

#[test]
fn another_caller_neither_sees_nor_deletes_an_entry() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();
    let bob = CallerId::from("bob");

    assert!(queue.view(id(1), &bob, now).is_none() && queue.delete(id(1), &bob, now).is_none());
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
    let (queue, now) = (Queue::new(settings(100, 3_000)), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now).unwrap();
    assert_eq!(queue.totals(now).bytes, 2 * 1_256);
    assert_eq!(queue.put(new(3), now), Err(NotDeferred::TooLarge));

    let later = now + MINUTE;
    queue.take(later, |_| true).unwrap();
    let large = format!("\"{}\"", "x".repeat(2_000));
    assert_eq!(queue.settle(id(1), answer(&large), later), Err(NotDeferred::TooLarge));
    assert_eq!(status(&queue, 1, later), Some(DeferredStatus::Running), "nothing was said");
    queue.settle(id(1), Ending::Failed(raw("{}")), later).unwrap();
    assert_eq!(queue.totals(later).bytes, 256 + 2 + 1_256, "its request is gone");
    queue.put(new(3), later).unwrap();

    for number in 1..=3 {
        queue.delete(id(number), &alice(), later).unwrap();
    }
    assert!(queue.is_empty());
    assert_eq!(queue.totals(later).bytes, 0);
}

#[test]
fn an_entry_expires_with_all_it_holds_and_is_forgotten_later() {
    let (queue, now) = (queue(10), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now).unwrap();
    let running = queue.take(now + MINUTE, |_| true).unwrap();
    let answered = queue.take(now + MINUTE, |_| true).unwrap();
    queue.settle(answered.id, answer("{}"), now + MINUTE).unwrap();
    assert_eq!(status(&queue, 2, now + 59 * MINUTE), Some(DeferredStatus::Done), "it waits to be fetched");

    let hour = now + 60 * MINUTE;
    assert_eq!(status(&queue, 1, hour), Some(DeferredStatus::Expired));
    assert!(running.cancel.is_cancelled(), "the call for it ends");
    queue.settle(running.id, answer("{}"), hour).unwrap();
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
    queue.settle(done.id, answer("{}"), now + MINUTE).unwrap();
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
