//! Streams that are never silent for long.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// How a stream says that it still lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    /// What the dialect's clients take for no event.
    pub(super) bytes: &'static [u8],
    /// After how much silence it is sent.
    pub(super) after: Duration,
}

/// A stream that gives a sign of life in every silence, so that no proxy or client on the way takes it for dead while a model thinks. The sign
/// stands between two frames, which must be whole events.
#[derive(Debug)]
pub(super) struct Alive<B> {
    body: B,
    sign: Sign,
    timer: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl<B> Alive<B> {
    pub(super) fn new(body: B, sign: Sign) -> Self {
        Self { body, sign, timer: Box::pin(sleep(sign.after)), is_waiting: false }
    }
}

impl<B> Body for Alive<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.is_waiting = false;
            return Poll::Ready(frame);
        }
        if !std::mem::replace(&mut self.is_waiting, true) {
            let until = Instant::now() + self.sign.after;
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.is_waiting = false;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.sign.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_gives_signs_of_life() {
        let (feed, mut source) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
        let stream = StreamBody::new(futures_util::stream::poll_fn(move |cx| source.poll_recv(cx)));
        let after = Duration::from_secs(15);
        let mut body = Alive::new(stream, Sign { bytes: b": alive\n\n", after });
        let mut next = async || body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
        let began = Instant::now();
        let event = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));

        feed.send(event("a")).unwrap();
        assert_eq!(next().await.unwrap(), "a");
        assert_eq!(next().await.unwrap(), ": alive\n\n");
        assert_eq!(next().await.unwrap(), ": alive\n\n");
        assert_eq!(began.elapsed(), 2 * after);

        feed.send(event("b")).unwrap();
        assert_eq!(next().await.unwrap(), "b");
        drop(feed);
        assert_eq!(next().await, None);
        assert_eq!(began.elapsed(), 2 * after);
    }
}
