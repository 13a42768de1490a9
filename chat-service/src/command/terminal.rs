//! `chat-service list`, `watch`, `refresh`, `diff` and `sync-state`: commands that call a running
//! server, for people at a terminal and for scripts.
//!
//! They are clients like any other: they speak the contract over gRPC, and policy decides what the
//! bearer of their token may see.

mod connection;
mod diff;
mod failure;
mod json;
mod list;
mod merging;
mod name;
mod output;
mod printable;
mod refresh;
mod row;
mod sync_state;
mod table;
mod time;
mod watch;

use std::io;

use service_runtime::shutdown;
use tokio_util::sync::CancellationToken;

pub use self::{
    failure::{EXIT_DENIED, EXIT_NOT_FOUND, EXIT_RETRY, EXIT_UNAVAILABLE, Failure},
    output::{Output, shows_colors},
};
use crate::config::TerminalCommand;

/// Runs a command; a watch until SIGINT or SIGTERM. A closed pipe is no failure: the reader of the
/// output has seen enough.
///
/// # Errors
///
/// [`Failure`] when the server refuses or is not reached,
/// [`ConfigError`](crate::config::ConfigError) when a setting cannot be used, and what writing to
/// `output` fails with.
pub async fn run(command: &TerminalCommand, output: &mut Output<'_>) -> anyhow::Result<()> {
    let done = match command {
        TerminalCommand::List(settings) => list::list(settings, output).await,
        TerminalCommand::Watch(settings) => {
            let stop = CancellationToken::new();
            let signals = shutdown::cancel_on_signal(stop.clone())?;
            tokio::select! {
                done = watch::watch(settings, output, &stop) => done,
                never = signals => match never {},
            }
        }
        TerminalCommand::Refresh(settings) => refresh::refresh(settings, output).await,
        TerminalCommand::Diff(settings) => diff::diff(settings, output).await,
        TerminalCommand::SyncState(settings) => sync_state::show(settings, output).await,
    };
    done.or_else(|error| match error.downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Some(_) | None => Err(error),
    })
}
