//! Connections that are closed without losing the last word.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The longest that a client is heard out after the last word to it.
const LONGEST: Duration = Duration::from_secs(10);
/// A client that has sent nothing for so long has no more to say.
const SILENCE: Duration = Duration::from_millis(500);

/// A connection that, when it is shut down, reads on for a moment what its client is still sending, and drops it.
///
/// A system that closes a connection with bytes unread resets it, and a reset takes with it what the client has not read yet. One whose body is too
/// large, or whose key is wrong, would get a broken pipe in place of the reason.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    closing: Option<Closing>,
}

#[derive(Debug)]
struct Closing {
    until: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> Lingering<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, closing: None }
    }
}

impl Closing {
    fn begin() -> Self {
        Self { until: Instant::now() + LONGEST, timer: Box::pin(sleep(SILENCE)) }
    }

    /// Notes that the client still sends.
    fn heard(&mut self) {
        let silent = Instant::now() + SILENCE;
        self.timer.as_mut().reset(silent.min(self.until));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { stream, closing } = &mut *self;
        let closing = match closing {
            Some(closing) => closing,
            begun @ None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                begun.insert(Closing::begin())
            }
        };
        let mut dropped = [0; 4_096];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && Instant::now() < closing.until => closing.heard(),
                // It has ended, it broke, or it was heard for long enough: all was said, so that nothing is lost.
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return closing.timer.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_is_heard_out() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Lingering::new(ours);
        let sending = async {
            theirs.write_all(&[7; 10_000]).await.unwrap();
            let mut told = Vec::new();
            theirs.read_to_end(&mut told).await.unwrap();
            told
        };
        let telling = async {
            ours.write_all(b"no").await.unwrap();
            ours.shutdown().await.unwrap();
        };

        let ((), told) = tokio::join!(telling, sending);

        assert_eq!(told, b"no");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_waited_for_briefly() {
        let (ours, _theirs) = duplex(16);
        let began = Instant::now();

        Lingering::new(ours).shutdown().await.unwrap();

        assert_eq!(began.elapsed(), SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_stops_is_cut() {
        let (ours, mut theirs) = duplex(16);
        let began = Instant::now();
        let mut ours = Lingering::new(ours);
        let endless = async {
            loop {
                sleep(SILENCE / 2).await;
                theirs.write_all(&[7; 4]).await.unwrap();
            }
        };

        tokio::select! {
            shut = ours.shutdown() => shut.unwrap(),
            () = endless => {}
        }

        assert!(began.elapsed() >= LONGEST && began.elapsed() < LONGEST + SILENCE, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_gone_is_not_waited_for() {
        let (ours, theirs) = duplex(16);
        let began = Instant::now();
        drop(theirs);

        drop(Lingering::new(ours).shutdown().await);

        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
