//! The body that the client reads: the upstream's bytes within limits, and the end of the books.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::chat::sse;
use crate::domain::money::{NanoUsd, Usage};
use crate::domain::outcome::Class;
use crate::upstream::books::Books;
use crate::upstream::classify::Trouble;
use crate::upstream::client::Timeouts;
use crate::upstream::source::{EventSource, IntoTrouble};
use crate::upstream::tap::{Passage, Tap};

/// How long and how far an upstream is read past the end of its stream, so that its connection can serve again.
const DRAIN: Duration = Duration::from_millis(250);
const DRAIN_BYTES: usize = 64 << 10;

/// The body of an answer. Never fails: a stream that breaks ends in an error event. Dropping it cancels the upstream's call, closes the
/// books and releases their guard.
pub struct Relay<B = reqwest::Body> {
    content: Content<B>,
    books: Books,
    keeper: Option<Box<dyn Keeper>>,
}

/// Sees an answer on its way to the client, to keep it. Dropped where the answer does not reach its end.
pub trait Keeper: Send {
    /// Bytes that the client is sent. Must not block.
    fn sees(&mut self, frame: &Bytes);

    /// The client was sent the last of them, and the answer is whole. Must not block.
    fn ended_well(self: Box<Self>, bill: Bill, now: std::time::Instant);
}

/// What an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// Its tokens, where they are known.
    pub usage: Option<Usage>,
    /// What they cost, where that is known.
    pub cost: Option<NanoUsd>,
}

enum Content<B> {
    Whole(Bytes),
    Stream(Box<Streaming<B>>),
    /// A stream that was kept.
    Replay(std::vec::IntoIter<Bytes>),
    Over,
}

impl<B> fmt::Debug for Relay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("books", &self.books).finish_non_exhaustive()
    }
}

/// A stream whose first token has arrived.
pub(crate) struct Streaming<B> {
    source: EventSource<B>,
    tap: Tap,
    /// What came up to the first token, for the client.
    held: std::vec::IntoIter<Bytes>,
    limits: Limits,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
}

/// How long a stream may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    /// When the answer must be complete.
    pub(crate) until: Instant,
    /// What it means when it is not.
    late: Late,
}

/// Which limit comes first.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// The upstream's own for one answer.
    Total(Duration),
    /// The deadline of the call.
    Deadline,
}

impl Limits {
    /// The limits of an attempt that begins now.
    pub(crate) fn new(timeouts: &Timeouts, deadline: Instant) -> Self {
        let total = Instant::now() + timeouts.total;
        let late = if total < deadline { Late::Total(timeouts.total) } else { Late::Deadline };
        Self { idle: timeouts.idle, until: total.min(deadline), late }
    }

    pub(crate) const fn late(&self) -> Trouble {
        match self.late {
            Late::Total(total) => Trouble::Slow(total),
            Late::Deadline => Trouble::Deadline,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Events go to the client.
    Passing,
    /// The client has everything; the upstream is read to its end.
    Draining { budget: usize },
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
    pub(crate) const fn usage(&self) -> Option<Usage> {
        self.tap.usage
    }

    pub(crate) const fn output_bytes(&self) -> usize {
        self.tap.output_bytes
    }
}

impl<B> Streaming<B>
where
    B: Body<Data = Bytes, Error: IntoTrouble> + Unpin,
{
    pub(crate) fn new(source: EventSource<B>, tap: Tap, held: Vec<Bytes>, limits: Limits) -> Self {
        let timer = Box::pin(sleep_until(limits.until));
        Self { source, tap, held: held.into_iter(), limits, phase: Phase::Passing, timer, waiting_since: None }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(bytes) = self.held.next() {
            return Poll::Ready(Step::Frame(bytes));
        }
        match &mut self.phase {
            Phase::Passing => self.poll_passing(cx),
            Phase::Draining { budget } => match self.source.poll_end(cx, budget) {
                Poll::Ready(()) => Poll::Ready(Step::Over),
                Poll::Pending => self.timer.as_mut().poll(cx).map(|()| Step::Over),
            },
        }
    }

    fn poll_passing(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if Instant::now() >= self.limits.until {
                return Poll::Ready(Step::Broken(self.limits.late(), None));
            }
            let event = match self.source.poll_event(cx) {
                Poll::Pending => return self.poll_timer(cx).map(|trouble| Step::Broken(trouble, None)),
                Poll::Ready(event) => event,
            };
            self.waiting_since = None;
            let passage = match event {
                Some(event) => event.and_then(|event| self.tap.see(event)),
                None if self.tap.is_complete() => Ok(Passage::Done),
                None => Err(Trouble::Ended),
            };
            return Poll::Ready(match passage {
                Ok(Passage::Nothing) => continue,
                Ok(Passage::Comment(bytes) | Passage::Frame(bytes) | Passage::Token(bytes)) => Step::Frame(bytes),
                Ok(Passage::Done) => {
                    self.phase = Phase::Draining { budget: DRAIN_BYTES };
                    self.timer.as_mut().reset(Instant::now() + DRAIN);
                    Step::Last(sse::DONE)
                }
                Ok(Passage::Failed(trouble, words)) => Step::Broken(trouble, words),
                Err(trouble) => Step::Broken(trouble, None),
            });
        }
    }

    /// Waits for as long as an upstream may be silent. Only time spent waiting counts: a client that reads slowly is not the upstream's fault.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Trouble> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            self.timer.as_mut().reset((now + self.limits.idle).min(self.limits.until));
        }
        self.timer.as_mut().poll(cx).map(|()| {
            if Instant::now() >= self.limits.until { self.limits.late() } else { Trouble::Idle(self.limits.idle) }
        })
    }
}

impl<B> Relay<B> {
    /// An answer that is complete.
    pub(crate) const fn whole(body: Bytes, books: Books) -> Self {
        Self { content: Content::Whole(body), books, keeper: None }
    }

    /// An answer that goes on.
    pub(crate) const fn stream(stream: Box<Streaming<B>>, books: Books) -> Self {
        Self { content: Content::Stream(stream), books, keeper: None }
    }

    /// An answer that was kept, in these frames.
    pub(crate) fn replayed(frames: Vec<Bytes>, books: Books) -> Self {
        match <[Bytes; 1]>::try_from(frames) {
            Ok([body]) => Self::whole(body, books),
            Err(frames) => Self { content: Content::Replay(frames.into_iter()), books, keeper: None },
        }
    }

    /// Has the answer seen by somebody who keeps it.
    pub(crate) fn keep_with(&mut self, keeper: Box<dyn Keeper>) {
        self.keeper = Some(keeper);
    }

    fn show(&mut self, frame: &Bytes) {
        if let Some(keeper) = &mut self.keeper {
            keeper.sees(frame);
        }
    }

    /// The answer is whole.
    fn end_well(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            let (usage, cost) = self.books.bill();
            keeper.ended_well(Bill { usage, cost }, Instant::now().into_std());
        }
        self.close(Class::Success, "");
    }

    /// Ends the books with the frame that is about to be sent.
    fn close(&mut self, class: Class, detail: &str) {
        self.books.sent_a_byte();
        self.books.close(class, detail);
    }
}

impl<B> Body for Relay<B>
where
    B: Body<Data = Bytes, Error: IntoTrouble> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let bytes = match &mut this.content {
            Content::Over => return Poll::Ready(None),
            Content::Whole(body) => {
                let body = std::mem::take(body);
                this.content = Content::Over;
                this.show(&body);
                this.end_well();
                body
            }
            Content::Replay(frames) => {
                let frame = frames.next();
                if frames.len() == 0 {
                    this.content = Content::Over;
                    this.close(Class::Success, "");
                }
                let Some(frame) = frame else { return Poll::Ready(None) };
                this.books.sent_a_byte();
                frame
            }
            Content::Stream(stream) => {
                let step = ready!(stream.poll_step(cx));
                this.books.count(stream.tap.usage, stream.tap.output_bytes);
                match step {
                    Step::Frame(bytes) => {
                        this.show(&bytes);
                        this.books.sent_a_byte();
                        bytes
                    }
                    Step::Last(bytes) => {
                        this.end_well();
                        bytes
                    }
                    Step::Broken(trouble, words) => {
                        this.content = Content::Over;
                        this.close(Class::Truncated, &trouble.to_string());
                        error_event(&trouble, words)
                    }
                    Step::Over => {
                        this.content = Content::Over;
                        return Poll::Ready(None);
                    }
                }
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => SizeHint::with_exact(body.len().try_into().unwrap_or(u64::MAX)),
            Content::Stream(_) | Content::Replay(_) => SizeHint::default(),
            Content::Over => SizeHint::with_exact(0),
        }
    }
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
