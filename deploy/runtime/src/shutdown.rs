//! Turns SIGTERM and SIGINT into one [`CancellationToken`] that everything in the process watches.

use std::convert::Infallible;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Handles signals from now on: the future, which never ends, cancels `stop` at the first one, and
/// exits with 130 at the second, so that a drain that hangs can be ended by hand.
///
/// A process that is stopped while it starts drains too, so that this comes before it says that it
/// listens.
///
/// # Errors
///
/// When a signal handler cannot be installed.
pub fn cancel_on_signal(
    stop: CancellationToken,
) -> std::io::Result<impl Future<Output = Infallible> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let mut seen = false;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if seen {
                tracing::warn!(signal = name, "second signal: exit without draining");
                std::process::exit(130);
            }
            seen = true;
            tracing::info!(signal = name, "draining");
            stop.cancel();
        }
    })
}
