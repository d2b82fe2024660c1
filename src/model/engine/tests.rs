use super::*;

fn settings(waiting: usize) -> EngineSettings {
    EngineSettings { waiting: NonZeroUsize::new(waiting).unwrap(), ..EngineSettings::default() }
}

fn request(deadline: Instant) -> CarefulRequest {
    CarefulRequest { tokens: vec![2, 10, 3], signals: [0.0; SIGNALS], deadline }
}

/// An engine whose workers are for ever busy with something else.
fn stuck(waiting: usize) -> Engine {
    Engine::start(Vec::new(), &settings(waiting)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_waiting_ends_at_the_deadline() {
    let engine = stuck(1);
    let start = Instant::now();
    let deadline = start + Duration::from_millis(50);

    let (first, second) = tokio::join!(biased; engine.ask(request(deadline)), async {
        let refused = engine.ask(request(deadline)).await;
        (refused, start.elapsed())
    });

    assert_eq!(first.unwrap_err(), ScoreFailure::Deadline);
    assert_eq!(second.0.unwrap_err(), ScoreFailure::Overloaded);
    assert!(second.1 < Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn callers_that_left_make_room() {
    let engine = stuck(1);
    let deadline = Instant::now() + Duration::from_millis(50);
    drop(tokio::time::timeout(Duration::from_millis(1), engine.ask(request(deadline))).await);

    assert_eq!(engine.ask(request(deadline)).await.unwrap_err(), ScoreFailure::Deadline);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_fails_its_callers_at_once() {
    let engine = stuck(4);
    let deadline = Instant::now() + Duration::from_secs(3600);

    let (waiting, ()) = tokio::join!(biased; engine.ask(request(deadline)), async {
        drop(CloseOnEnd(&engine.queue));
    });

    assert_eq!(waiting.unwrap_err(), ScoreFailure::Inference);
    assert_eq!(engine.ask(request(deadline)).await.unwrap_err(), ScoreFailure::Inference);
    assert!(Instant::now() < deadline);
}
