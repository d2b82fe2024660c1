//! The body that the client reads: the upstream's bytes within limits, and the end of the books.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep};

use crate::chat::sse;
use crate::domain::outcome::Class;
use crate::upstream::books::{Books, Counts};
use crate::upstream::classify::Trouble;
use crate::upstream::ledger::{Keeper, Ledger};
use crate::upstream::source::{EventSource, IntoTrouble};
use crate::upstream::stalled::{self, Stalls};
use crate::upstream::tap::{Passage, Tap};
use crate::upstream::wait::{Limits, Watch};

/// How long and how far an upstream is read past the end of its stream, so that its connection can serve again.
const DRAIN: Duration = Duration::from_millis(250);
const DRAIN_BYTES: usize = 64 << 10;

/// The body of an answer. Never fails: a stream that breaks ends in an error event. Dropping it cancels the upstream's call, closes the
/// books and releases their guard.
pub struct Relay<B = reqwest::Body> {
    content: Content<B>,
}

enum Content<B> {
    Whole(Whole, Box<Ledger>),
    Stream(Arc<Live<B>>),
}

/// A whole answer on its way to the client. It is over when it is asked for more, and not with its last byte: a server lets go of a body that says
/// so, and of its place among the requests in flight, while it still has the bytes to send.
enum Whole {
    /// The bytes, until they are taken.
    Ready(Bytes),
    Taken,
    Over,
}

/// A stream on its way to the client. Whoever finds that the client stopped reading may end it, so it stands behind a lock that nobody
/// else ever waits for.
pub(crate) struct Live<B>(Mutex<Flow<B>>);

struct Flow<B> {
    /// `None` when it was ended because its client stopped reading.
    open: Option<(Box<Streaming<B>>, Ledger)>,
    is_over: bool,
    /// Since when it is the client's turn to take the next piece.
    clients_turn: Option<Instant>,
}

impl<B> fmt::Debug for Relay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.content {
            Content::Whole(..) => "whole",
            Content::Stream(_) => "stream",
        };
        f.debug_struct("Relay").field("content", &kind).finish_non_exhaustive()
    }
}

/// A stream whose first token has arrived.
pub(crate) struct Streaming<B> {
    source: EventSource<B>,
    tap: Tap,
    /// What came up to the first token, for the client.
    held: std::vec::IntoIter<Bytes>,
    watch: Watch,
    phase: Phase,
}

enum Phase {
    /// Events go to the client.
    Passing,
    /// The client has everything; the upstream is read to its end, so far and so long.
    Draining(usize, Pin<Box<Sleep>>),
}

/// What the next poll of a stream gives.
enum Step {
    Frame(Bytes),
    /// The last frame of an answer that ended well. The upstream may be read on.
    Last(Bytes),
    /// The answer broke.
    Broken(Trouble, Option<Bytes>),
    Over,
}

impl<B> Streaming<B> {
    /// What is known of the tokens so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts { usage: self.tap.usage, so_far: self.source.counted(), output_bytes: self.tap.output_bytes }
    }

    /// The event in which the answer itself begins.
    pub(crate) fn beginning(&self) -> Option<&Bytes> {
        self.held.as_slice().last()
    }
}

impl<B> Streaming<B>
where
    B: Body<Data = Bytes, Error: IntoTrouble> + Unpin,
{
    pub(crate) fn new(source: EventSource<B>, tap: Tap, held: Vec<Bytes>, limits: Limits) -> Self {
        Self { source, tap, held: held.into_iter(), watch: Watch::new(limits), phase: Phase::Passing }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(bytes) = self.held.next() {
            return Poll::Ready(Step::Frame(bytes));
        }
        match &mut self.phase {
            Phase::Passing => self.poll_passing(cx),
            Phase::Draining(budget, timer) => match self.source.poll_end(cx, budget) {
                Poll::Ready(()) => Poll::Ready(Step::Over),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| Step::Over),
            },
        }
    }

    fn poll_passing(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(trouble) = self.watch.late() {
                return Poll::Ready(Step::Broken(trouble, None));
            }
            let event = match self.source.poll_event(cx) {
                Poll::Pending => return self.watch.poll(cx).map(|trouble| Step::Broken(trouble, None)),
                Poll::Ready(event) => event,
            };
            let before = self.tap.output_bytes;
            let passage = match event {
                Some(event) => event.and_then(|event| self.tap.see(event)),
                None if self.tap.is_complete() => Ok(Passage::Done),
                None => Err(Trouble::Ended),
            };
            self.watch.came(self.tap.output_bytes - before);
            return Poll::Ready(match passage {
                Ok(Passage::Nothing) => continue,
                Ok(Passage::Comment(bytes) | Passage::Frame(bytes) | Passage::Token(bytes)) => Step::Frame(bytes),
                Ok(Passage::Done) => {
                    self.phase = Phase::Draining(DRAIN_BYTES, Box::pin(sleep(DRAIN)));
                    Step::Last(sse::DONE)
                }
                Ok(Passage::Failed(trouble, words)) => Step::Broken(trouble, words),
                Err(trouble) => Step::Broken(trouble, None),
            });
        }
    }
}

impl<B> Relay<B> {
    /// An answer that is complete, a stream of events too: nobody waits for its client to take it.
    pub(crate) fn whole(body: Bytes, books: Books) -> Self {
        Self { content: Content::Whole(Whole::Ready(body), Box::new(Ledger::new(books))) }
    }

    /// An answer that goes on.
    pub(crate) fn stream(stream: Box<Streaming<B>>, books: Books) -> Self {
        let flow =
            Flow { open: Some((stream, Ledger::new(books))), is_over: false, clients_turn: Some(Instant::now()) };
        Self { content: Content::Stream(Arc::new(Live(Mutex::new(flow)))) }
    }

    /// Whether the answer is known to its end, so that what it costs is known too.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        match &self.content {
            Content::Whole(..) => true,
            Content::Stream(_) => false,
        }
    }

    /// Has the answer seen by somebody who keeps it.
    pub(crate) fn keep_with(&mut self, keeper: Box<dyn Keeper>) {
        match &mut self.content {
            Content::Whole(_, ledger) => ledger.keep_with(keeper),
            Content::Stream(live) => {
                if let Some((_, ledger)) = &mut live.lock().open {
                    ledger.keep_with(keeper);
                }
            }
        }
    }
}

impl<B> Relay<B> {
    /// Ends an answer that cannot be told to the client any further, for which the upstream is to blame. What is closed already stays as it is.
    pub(crate) fn break_off(&mut self) {
        const WHY: &str = "sent something that is no part of an answer";
        match &mut self.content {
            Content::Whole(_, ledger) => ledger.close(Class::Truncated, WHY),
            Content::Stream(live) => {
                let mut flow = live.lock();
                flow.is_over = true;
                if let Some((_, mut ledger)) = flow.open.take() {
                    ledger.close(Class::Truncated, WHY);
                }
            }
        }
    }
}

impl<B: Send + 'static> Relay<B> {
    /// By what the client of a stream can be watched.
    pub(crate) fn watched(&self) -> Option<Weak<dyn Stalls>> {
        match &self.content {
            Content::Whole(..) => None,
            Content::Stream(live) => Some(stalled::weak(live)),
        }
    }
}

impl<B> Live<B> {
    fn lock(&self) -> MutexGuard<'_, Flow<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Send> Stalls for Live<B> {
    fn goes_on(&self, since: Instant) -> bool {
        let ended = {
            let mut flow = self.lock();
            let has_stalled = flow.clients_turn.is_some_and(|turn| turn <= since);
            if !has_stalled || flow.is_over && flow.open.is_none() {
                return flow.open.is_some();
            }
            flow.open.take()
        };
        // The upstream's call ends and the permit is free with this drop.
        if let Some((_, mut ledger)) = ended {
            ledger.books.close(Class::Cancelled, "the client stopped reading");
        }
        false
    }
}

impl<B> Flow<B>
where
    B: Body<Data = Bytes, Error: IntoTrouble> + Unpin,
{
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Some((stream, ledger)) = &mut self.open else {
            self.is_over = true;
            return Poll::Ready(Some(stalled_event()));
        };
        self.clients_turn = None;
        let step = ready!(stream.poll_step(cx));
        self.clients_turn = Some(Instant::now());
        ledger.books.count(stream.counts());
        Poll::Ready(match step {
            Step::Frame(bytes) => {
                ledger.sends(&bytes);
                Some(bytes)
            }
            Step::Last(bytes) => {
                ledger.end_well();
                Some(bytes)
            }
            Step::Broken(trouble, words) => {
                self.is_over = true;
                ledger.books.broke(&trouble);
                ledger.close(Class::Truncated, &trouble.to_string());
                Some(error_event(&trouble, words))
            }
            Step::Over => {
                self.is_over = true;
                None
            }
        })
    }
}

impl<B> Body for Relay<B>
where
    B: Body<Data = Bytes, Error: IntoTrouble> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.content {
            Content::Whole(whole, ledger) => match std::mem::replace(whole, Whole::Taken) {
                Whole::Ready(body) => {
                    ledger.sends(&body);
                    ledger.end_well();
                    Some(body)
                }
                Whole::Taken | Whole::Over => {
                    *whole = Whole::Over;
                    None
                }
            },
            Content::Stream(live) => ready!(live.lock().poll_bytes(cx)),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(whole, _) => matches!(whole, Whole::Over),
            Content::Stream(live) => live.lock().is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(Whole::Ready(body), _) => SizeHint::with_exact(body.len().try_into().unwrap_or(u64::MAX)),
            Content::Whole(Whole::Taken | Whole::Over, _) => SizeHint::with_exact(0),
            Content::Stream(live) if live.lock().is_over => SizeHint::with_exact(0),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

/// What a client reads that stopped reading for too long and comes back.
fn stalled_event() -> Bytes {
    let message = "the answer was cut short: it was left unread for too long; read it as it comes";
    let error = json!({ "message": message, "type": "upstream_error", "param": null, "code": "client_too_slow" });
    sse::encode(&Bytes::from(json!({ "error": error }).to_string()))
}

/// An error in the middle of a stream as OpenAI's clients read it: in the upstream's words where they are fit, else in ours.
fn error_event(trouble: &Trouble, words: Option<Bytes>) -> Bytes {
    let ours = || {
        let message = format!("the answer was cut short: {trouble}");
        let error = json!({ "message": message, "type": "upstream_error", "param": null, "code": trouble.code() });
        Bytes::from(json!({ "error": error }).to_string())
    };
    sse::encode(&words.unwrap_or_else(ours))
}
