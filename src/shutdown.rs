//! When to stop.

use tokio::signal;

/// Waits for the first request to stop: SIGTERM, or SIGINT from a terminal.
///
/// # Errors
/// Where the operating system gives no signal handlers.
pub async fn requested() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = signal::ctrl_c() => interrupted,
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}
