use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Job {
    number: usize,
    tokens: usize,
    dead: Arc<AtomicBool>,
}

impl Job {
    fn new(number: usize, tokens: usize) -> Self {
        Self { number, tokens, dead: Arc::default() }
    }
}

impl Entry for Job {
    fn tokens(&self) -> usize {
        self.tokens
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

fn queue(capacity: usize) -> Queue<Job> {
    Queue::new(NonZeroUsize::new(capacity).unwrap())
}

fn limits(tokens: usize) -> BatchLimits {
    BatchLimits { tokens: NonZeroUsize::new(tokens).unwrap(), prompts: NonZeroUsize::new(64).unwrap() }
}

fn numbers(batch: Option<Vec<Job>>) -> Vec<usize> {
    batch.unwrap().iter().map(|job| job.number).collect()
}

#[test]
fn a_full_queue_refuses_at_once() {
    let queue = queue(2);
    assert!(queue.push(Job::new(0, 1)).is_ok() && queue.push(Job::new(1, 1)).is_ok());

    assert!(matches!(queue.push(Job::new(2, 1)), Err(Refused::Full(Job { number: 2, .. }))));
}

#[test]
fn entries_nobody_waits_for_make_room_and_are_not_worked() {
    let queue = queue(2);
    let abandoned = Job::new(0, 1);
    queue.push(abandoned.clone()).unwrap();
    queue.push(Job::new(1, 1)).unwrap();
    abandoned.dead.store(true, Ordering::SeqCst);

    queue.push(Job::new(2, 1)).unwrap();

    assert_eq!(numbers(queue.take_batch(&limits(100))), [1, 2]);
}

#[test]
fn a_batch_is_what_gathered_while_the_worker_was_busy() {
    let queue = queue(8);
    for number in 0..4 {
        queue.push(Job::new(number, 10)).unwrap();
    }

    assert_eq!(numbers(queue.take_batch(&limits(30))), [0, 1, 2]);
    assert_eq!(numbers(queue.take_batch(&limits(30))), [3]);
}

#[test]
fn an_idle_worker_takes_the_first_entry_as_it_comes() {
    let queue = Arc::new(queue(8));
    let worker = std::thread::spawn({
        let queue = Arc::clone(&queue);
        move || numbers(queue.take_batch(&limits(30)))
    });

    queue.push(Job::new(7, 500)).unwrap();

    assert_eq!(worker.join().unwrap(), [7]);
}

#[test]
fn closing_lets_workers_end_and_drops_what_waited() {
    let queue = Arc::new(queue(8));
    let kept = Job::new(0, 1);
    queue.push(kept.clone()).unwrap();

    queue.close();

    assert!(queue.take_batch(&limits(30)).is_none());
    assert_eq!(Arc::strong_count(&kept.dead), 1);
    assert!(matches!(queue.push(Job::new(1, 1)), Err(Refused::Closed(_))));
    let waiting = std::thread::spawn(move || queue.take_batch(&limits(30)).is_none());
    assert!(waiting.join().unwrap());
}

proptest! {
    #[test]
    fn every_entry_is_taken_once_and_in_order(tokens in prop::collection::vec(1_usize..200, 1..40), budget in 1_usize..500) {
        let queue = queue(64);
        for (number, &tokens) in tokens.iter().enumerate() {
            queue.push(Job::new(number, tokens)).unwrap();
        }

        let mut taken = Vec::new();
        while !queue.is_empty() {
            taken.extend(numbers(queue.take_batch(&limits(budget))));
        }

        prop_assert_eq!(taken, (0..tokens.len()).collect::<Vec<_>>());
    }
}
