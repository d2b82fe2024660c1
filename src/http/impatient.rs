//! Connections whose clients must not stop reading.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that breaks when nothing of what is to be written could be for too long. A client that waits for us is never too slow.
#[derive(Debug)]
pub(super) struct Impatient<S> {
    stream: S,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    is_stuck: bool,
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, timer: Box::pin(sleep(limit)), is_stuck: false }
    }

    /// What became of a write.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, result: Poll<Result<T>>) -> Poll<Result<T>> {
        if result.is_ready() {
            self.is_stuck = false;
            return result;
        }
        if !std::mem::replace(&mut self.is_stuck, true) {
            self.timer.as_mut().reset(Instant::now() + self.limit);
        }
        let late = || Err(Error::new(ErrorKind::TimedOut, "the client stopped reading"));
        self.timer.as_mut().poll(cx).map(|()| late())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_pending() { self.wrote(cx, result) } else { result }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::advance;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_loses_its_connection_at_the_limit() {
        let (ours, _theirs) = duplex(16);
        let mut ours = Impatient::new(ours, LIMIT);
        let began = Instant::now();

        let error = ours.write_all(&[0; 64]).await.unwrap_err();

        assert_eq!((error.kind(), began.elapsed()), (ErrorKind::TimedOut, LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_keeps_its_connection_however_long_it_takes() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Impatient::new(ours, LIMIT);
        let reading = async {
            let mut piece = [0; 16];
            for _ in 0..4 {
                advance(LIMIT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut piece).await.unwrap();
            }
        };

        let (written, ()) = tokio::join!(ours.write_all(&[0; 64]), reading);

        assert!(written.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_us_is_not_too_slow() {
        let (ours, _theirs) = duplex(16);
        let mut ours = Impatient::new(ours, LIMIT);
        ours.write_all(&[0; 8]).await.unwrap();
        advance(LIMIT * 5).await;

        assert!(ours.write_all(&[0; 8]).await.is_ok());
    }
}
