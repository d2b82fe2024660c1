//! What one caller may have, and whose turn it is.

use super::*;

#[test]
fn the_caller_with_the_fewest_tries_under_way_comes_first() {
    let (queue, now) = (queue(100), Instant::now());
    for number in 1..=3 {
        queue.put(new(number), now).unwrap();
    }
    queue.put(bobs(4), now + MINUTE).unwrap();
    let take = || queue.take(now + 2 * MINUTE, |_| true).map(|taken| taken.id);

    let turns = [take(), take(), take()];
    queue.settle(id(4), Ending::Failed(raw("{}")), now + 2 * MINUTE);
    queue.put(bobs(5), now + MINUTE).unwrap();

    assert_eq!(turns, [Some(id(1)), Some(id(4)), Some(id(2))], "bob does not wait for all that alice asked before");
    assert_eq!([take(), take(), take()], [Some(id(5)), Some(id(3)), None]);
}

#[test]
fn one_caller_has_a_share_and_the_others_have_room() {
    let shared = DeferredSettings { caller_share: 0.25, ..settings(40, 1 << 20) };
    let (queue, now) = (Queue::new(shared), Instant::now());
    for number in 0..10 {
        queue.put(new(number), now).unwrap();
    }

    let full = queue.put(new(10), now).unwrap_err();
    assert_eq!(full, NotDeferred::CallerFull, "a quarter of forty");
    assert!(full.to_string().contains("deferred.caller_share"));
    queue.put(bobs(10), now).unwrap();
    queue.delete(id(3), &alice(), now).unwrap();
    queue.put(new(11), now).unwrap();
    assert_eq!(queue.put(new(12), now), Err(NotDeferred::CallerFull));
    queue.put(New { created_unix_ms: 0, ..new(13) }, now + 60 * MINUTE).unwrap();
    assert_eq!(queue.totals(now + 60 * MINUTE).happened(DeferredEvent::Refused), 2, "what is expired is nobody's");
}

#[test]
fn one_caller_has_a_share_of_the_bytes_but_for_a_single_request() {
    let shared = DeferredSettings { caller_share: 0.1, ..settings(40, 1 << 20) };
    let (queue, now) = (Queue::new(shared), Instant::now());
    let large = |number| New { bytes: 200_000, ..new(number) };

    queue.put(large(1), now).unwrap();
    assert_eq!(queue.put(new(2), now), Err(NotDeferred::CallerFull));
    queue.put(bobs(3), now).unwrap();
    assert_eq!(queue.put(New { caller: bob(), ..large(4) }, now), Err(NotDeferred::CallerFull));

    assert_eq!(queue.take(now + MINUTE, |_| true).unwrap().id, id(1), "the large one has its turn");
}

#[test]
fn eight_entries_are_everybodys_and_few_callers_have_the_same() {
    let few = DeferredSettings { caller_share: 0.01, ..settings(100, 1 << 20) };
    let now = Instant::now();
    let fill = |settings: DeferredSettings| {
        let queue = Queue::new(DeferredSettings { max_bytes: 1 << 30, ..settings });
        (0..100).filter(|&number| queue.put(new(number), now).is_ok()).count()
    };

    assert_eq!(fill(few), 8);
    assert_eq!([fill(few.among(0)), fill(few.among(1)), fill(few.among(4))], [100, 100, 25]);
    let shares = |callers| few.among(callers).caller_share;
    assert!((shares(1_000) - 0.01).abs() < 1e-12);
}

#[test]
fn a_caller_whose_answers_take_its_share_waits_and_the_others_do_not() {
    let shared = DeferredSettings { caller_share: 0.5, ..settings(100, 10 * WAITING) };
    let (queue, now) = (Queue::new(shared), Instant::now());
    queue.put(new(1), now).unwrap();
    queue.put(new(2), now).unwrap();
    queue.put(bobs(3), now + MINUTE).unwrap();
    let later = now + 2 * MINUTE;
    let first = queue.take(now + MINUTE, |_| true).unwrap().id;
    queue.settle(first, answer(&format!("\"{}\"", "x".repeat(5 * WAITING))), later);

    let turns = [0; 2].map(|_| queue.take(later, |_| true).map(|taken| taken.id));

    assert_eq!(turns, [Some(id(3)), None]);
    queue.delete(first, &alice(), later).unwrap();
    assert_eq!(queue.take(later, |_| true).unwrap().id, id(2));
}
