//! The relay in paused time, on bodies that are scripted in memory.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::*;
use crate::chat::native::decoder::Decoder;
use crate::chat::sse::SseDecoder;
use crate::chat::usage::PublicModel;
use crate::domain::timeouts::Throughput;
use crate::upstream::classify::Trouble;
use crate::upstream::relay::{Relay, Streaming};
use crate::upstream::scrub::Scrubber;
use crate::upstream::source::{EventSource, IntoTrouble};
use crate::upstream::tap::Tap;
use crate::upstream::wait::{Limits, Watch};

const WORD: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

/// Pieces that each come after a pause. The last one is followed by silence.
struct Slow {
    pieces: VecDeque<(Duration, &'static str)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl IntoTrouble for Trouble {
    fn into_trouble(self) -> Trouble {
        self
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let Some((pause, piece)) = self.pieces.front().copied() else { return Poll::Pending };
        let sleeping = self.pause.get_or_insert_with(|| Box::pin(sleep(pause)));
        std::task::ready!(sleeping.as_mut().poll(cx));
        self.pieces.pop_front();
        self.pause = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(piece)))))
    }
}

fn relay(pieces: &[(u64, &'static str)], timeouts: Timeouts) -> (Relay<Slow>, Arc<Mutex<Vec<Outcome>>>) {
    let pieces = pieces.iter().map(|(seconds, piece)| (Duration::from_secs(*seconds), *piece)).collect();
    let source = EventSource::new(Slow { pieces, pause: None }, Decoder::OpenAi(SseDecoder::new(1 << 20)));
    let tap = Tap::new(PublicModel::from(&ModelName::from("m")), false, Scrubber::new([]));
    let limits = Limits::new(&timeouts, Instant::now() + Duration::from_secs(3600));
    let (books, reports, _) = books();
    (Relay::stream(Box::new(Streaming::new(source, tap, Vec::new(), limits)), books), reports)
}

#[tokio::test(start_paused = true)]
async fn pauses_within_the_idle_limit_pass() {
    let done = "data: [DONE]\n\n";
    let (relay, reports) = relay(&[(59, WORD), (59, ": alive\n\n"), (59, WORD), (59, done)], Timeouts::default());

    let text = relay.collect().await.unwrap().to_bytes();

    assert_eq!(text, format!("{WORD}: alive\n\n{WORD}{done}"));
    assert_eq!(reports.lock().unwrap()[0].class, Class::Success);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_exactly_the_idle_limit() {
    let started = Instant::now();
    let (relay, reports) = relay(&[(1, WORD), (61, WORD)], Timeouts::default());

    let text = relay.collect().await.unwrap().to_bytes();

    assert!(String::from_utf8_lossy(&text).contains("silent for 60s"));
    assert_eq!(started.elapsed().as_secs(), 61);
    assert_eq!(reports.lock().unwrap()[0].class, Class::Truncated);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_for_ever_ends_at_the_total() {
    let started = Instant::now();
    let (relay, reports) = relay(&[(50, WORD); 20], Timeouts::default());

    let text = relay.collect().await.unwrap().to_bytes();

    assert!(String::from_utf8_lossy(&text).contains("no complete answer within 600s"));
    assert_eq!(started.elapsed().as_secs(), 600);
    assert_eq!(reports.lock().unwrap()[0].class, Class::Truncated);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_the_upstreams_silence() {
    let (mut relay, _) = relay(&[(1, WORD), (1, WORD)], Timeouts::default());
    relay.frame().await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(120)).await;

    let next = relay.frame().await.unwrap().unwrap().into_data().unwrap();

    assert_eq!(next, WORD);
}

#[tokio::test(start_paused = true)]
async fn the_total_holds_for_a_client_that_reads_slowly() {
    let (mut relay, _) = relay(&[(0, WORD), (0, WORD)], Timeouts::default());
    relay.frame().await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(601)).await;

    let next = relay.frame().await.unwrap().unwrap().into_data().unwrap();

    assert!(String::from_utf8_lossy(&next).contains("deadline_exceeded"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_holds_its_connection_open_does_not_hold_the_client() {
    let started = Instant::now();
    let (relay, _) = relay(&[(0, WORD), (0, "data: [DONE]\n\n")], Timeouts::default());

    relay.collect().await.unwrap();

    assert_eq!(started.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn the_books_close_with_the_last_event_and_not_with_the_connection() {
    let (mut relay, reports) = relay(&[(0, WORD), (0, "data: [DONE]\n\n")], Timeouts::default());
    for _ in 0..2 {
        relay.frame().await.unwrap().unwrap();
    }

    drop(relay);

    assert_eq!(reports.lock().unwrap()[0].class, Class::Success);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_cut_off_and_holds_nothing() {
    let (mut relay, reports) = relay(&[(0, WORD), (0, WORD)], Timeouts::default());
    let watched = relay.watched().unwrap().upgrade().unwrap();
    relay.frame().await.unwrap().unwrap();
    let limit = Duration::from_secs(60);
    tokio::time::advance(limit).await;

    assert!(watched.goes_on(Instant::now() - limit - Duration::from_secs(1)));
    assert!(!watched.goes_on(Instant::now() - limit));

    let outcome = reports.lock().unwrap().remove(0);
    assert_eq!((outcome.class, outcome.attempts.len()), (Class::Cancelled, 0));
    let rest = relay.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("client_too_slow"), "who comes back is told");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_the_upstream_is_not_too_slow() {
    let (mut relay, reports) = relay(&[(0, WORD), (50, WORD)], Timeouts::default());
    let watched = relay.watched().unwrap().upgrade().unwrap();
    relay.frame().await.unwrap().unwrap();
    let silence = Duration::from_secs(40);
    assert!(timeout(silence, relay.frame()).await.is_err(), "it is the upstream's turn");

    assert!(watched.goes_on(Instant::now() - Duration::from_secs(10)));

    assert_eq!(relay.frame().await.unwrap().unwrap().into_data().unwrap(), WORD);
    assert!(reports.lock().unwrap().is_empty());
}

/// Four bytes of answer a second over ten seconds.
fn watched() -> Timeouts {
    let throughput = Throughput { bytes_per_second: 4, window: Duration::from_secs(10) };
    Timeouts { throughput: Some(throughput), ..Timeouts::default() }
}

#[tokio::test(start_paused = true)]
async fn a_trickle_ends_when_its_window_is_over() {
    let started = Instant::now();
    let (relay, reports) = relay(&[(1, WORD); 60], watched());

    let text = relay.collect().await.unwrap().to_bytes();

    let text = String::from_utf8_lossy(&text);
    assert_eq!(text.matches("content").count(), 10, "one word a second, of one byte");
    assert!(text.contains("sent less than 4 bytes of answer a second for 10s"), "{text}");
    assert!(text.contains(r#""code":"upstream_slow""#) && text.ends_with("\n\n"), "{text}");
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(reports.lock().unwrap()[0].class, Class::Truncated);
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_no_answer() {
    let (relay, _) = relay(&[(2, ": alive\n\n"); 60], watched());

    let text = relay.collect().await.unwrap().to_bytes();

    assert!(String::from_utf8_lossy(&text).contains("upstream_slow"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_fast_enough_on_average_passes() {
    const BURST: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a long line of forty bytes at the very least\"}}]}\n\n";
    let (relay, reports) = relay(&[(9, BURST), (9, BURST), (9, BURST), (1, "data: [DONE]\n\n")], watched());

    relay.collect().await.unwrap();

    assert_eq!(reports.lock().unwrap()[0].class, Class::Success);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_makes_no_trickle() {
    let (mut relay, reports) = relay(&[(0, WORD), (0, WORD), (0, WORD), (0, "data: [DONE]\n\n")], watched());

    while let Some(frame) = relay.frame().await {
        frame.unwrap();
        tokio::time::advance(Duration::from_secs(30)).await;
    }

    assert_eq!(reports.lock().unwrap()[0].class, Class::Success);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_had_no_time_does_not_make_an_upstream_silent() {
    let limits = Limits::new(&watched(), Instant::now() + Duration::from_secs(3600));
    let mut watch = Watch::new(limits);
    let mut looks = 0;
    while futures_util::poll!(std::future::poll_fn(|cx| watch.poll(cx))).is_pending() {
        // Nobody looks at the connection nor at the clock in time.
        tokio::time::advance(Duration::from_secs(20)).await;
        looks += 1;
    }

    assert_eq!(looks, 2, "a step of 7.5 s, the rest of the window");
    let (mut relay, _) = relay(&[(1, WORD), (30, WORD)], Timeouts::default());
    relay.frame().await.unwrap().unwrap();
    assert!(futures_util::poll!(relay.frame()).is_pending(), "it is the upstream's turn");
    tokio::time::advance(Duration::from_secs(300)).await;

    assert_eq!(relay.frame().await.unwrap().unwrap().into_data().unwrap(), WORD);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_told_ends_as_the_upstreams_failure() {
    let (mut relay, reports) = relay(&[(0, WORD), (0, WORD), (0, "data: [DONE]\n\n")], Timeouts::default());
    relay.frame().await.unwrap().unwrap();

    relay.break_off();

    assert!(relay.frame().await.is_none());
    assert_eq!(reports.lock().unwrap()[0].class, Class::Truncated);
}

#[tokio::test]
async fn a_whole_answer_holds_its_place_until_it_is_asked_for_more() {
    let (books, reports, mut closed) = books();
    let mut relay = Relay::<Slow>::whole(Bytes::from_static(b"{}"), books);

    assert_eq!(relay.frame().await.unwrap().unwrap().into_data().unwrap(), "{}");
    assert!(!relay.is_end_stream(), "a server that is told so lets go of it with the bytes unsent");
    assert_eq!(reports.lock().unwrap().len(), 1, "it is billed with its last byte");
    assert_eq!(closed.try_recv(), Err(oneshot::error::TryRecvError::Empty), "the guard is held");

    assert!(relay.frame().await.is_none());
    assert!(relay.is_end_stream());
    drop(relay);
    assert_eq!(closed.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}
