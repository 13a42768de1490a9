//! Turns SIGTERM and SIGINT into one [`CancellationToken`] that everything in the process watches.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first signal, and exits with 130 at the second, so that a drain that
/// hangs can be ended by hand.
///
/// # Errors
///
/// When a signal handler cannot be installed.
pub async fn cancel_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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
}
