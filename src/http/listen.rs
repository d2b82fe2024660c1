//! Accepting connections, and letting them finish.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::http::impatient::Impatient;
use crate::http::lingering::Lingering;
use crate::http::threads::Threads;

/// A client that has not sent its headers by then is hung up on.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);

/// The pause after a failed accept, so that a process out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long clients are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For those that are connected when it is time to stop.
    pub drain: Duration,
    /// For one that takes nothing of what is ready for it, before its stream is ended. Some time after that its connection is, so that a
    /// client that reads on within it is told why.
    pub client: Duration,
}

impl Waits {
    fn of_connection(self) -> Duration {
        self.client + self.client / 4 + Duration::from_secs(2)
    }
}

/// Serves connections on these threads until `stop`, then lets those that are open finish for a while. A connection whose client takes nothing for
/// long is cut, whatever is being sent.
///
/// Returns whether every connection finished by itself; those that did not go on until their threads end.
pub async fn serve(
    listener: TcpListener,
    (router, threads): (Router, &Threads),
    (stop, waits): (CancellationToken, Waits),
) -> bool {
    let graceful = GracefulShutdown::new();
    while let Some(stream) = accept(&listener, &stop).await {
        // The thread that serves the connection is the one that hears of its events.
        let (Ok(stream), Some(seat)) = (stream.into_std(), threads.seat()) else { continue };
        let (router, watcher) = (router.clone(), graceful.watcher());
        seat.runtime.clone().spawn(async move {
            let _seat = seat;
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
            builder.http2().timer(TokioTimer::new());
            let stream = TokioIo::new(Impatient::new(Lingering::new(stream), waits.of_connection()));
            let connection = builder.serve_connection(stream, TowerToHyperService::new(router)).into_owned();
            // A connection that breaks is the client's affair; what it asked for is recorded by the pipeline.
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    drop(listener);
    tokio::time::timeout(waits.drain, graceful.shutdown()).await.is_ok()
}

/// The next connection, or `None` once it is time to stop.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Small answers must not wait for more; a socket that refuses the option works without it.
                drop(stream.set_nodelay(true));
                return Some(stream);
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
