//! `cargo up`: the whole system on this machine, in one command.
//!
//! Starts PostgreSQL, migrates, starts both services as processes and a stand-in for GitHub with a
//! sample organization, creates chats as an internal service would, waits until the worker has
//! found their pull requests, and prints how to call what runs. Everything listens on loopback
//! only, and ends with this process, however that ends.

mod answers;
mod certificates;
mod files;
mod host;
mod options;
mod page;
mod people;
mod ports;
mod ready;
mod sample;
mod say;
mod services;
mod stack;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{options::Options, stack::Stack};

/// How long what blocks a thread may go on after everything else is stopped.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let options = Options::parse_from(arguments(std::env::args_os()));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::problem(&error.into());
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(options));
    runtime.shutdown_timeout(LEAVE_TIMEOUT);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::problem(&error);
            ExitCode::FAILURE
        }
    }
}

/// The alias `cargo up` ends in `--`, so that `cargo up --flag` works; in `cargo up -- --flag`
/// there are then two of them, and the second one arrives here.
fn arguments(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments
        .enumerate()
        .filter(|(position, argument)| *position != 1 || argument != "--")
        .map(|(_, argument)| argument)
}

/// Starts everything, waits for a signal or for a part that ends, and stops what was started.
async fn run(options: Options) -> anyhow::Result<()> {
    options.check()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut stack = Stack::default();
    let result = {
        let work = async {
            Box::pin(stack.start(&options)).await?;
            stack.watch().await
        };
        tokio::select! {
            result = Box::pin(work) => result,
            name = first(&mut interrupt, &mut terminate) => {
                say::line(&format!("\n{name}: stopping"));
                Ok(())
            }
        }
    };
    tokio::select! {
        () = stack.stop() => result,
        name = first(&mut interrupt, &mut terminate) => {
            Err(anyhow::anyhow!("{name} again: stopped without order"))
        }
    }
}

async fn first(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_come_after_two_dashes_or_without() {
        for given in [&["up", "--", "--log", "--"][..], &["up", "--log", "--"]] {
            let given = given.iter().map(OsString::from);
            let kept: Vec<OsString> = arguments(given).collect();
            assert_eq!(kept, ["up", "--log", "--"]);
        }
    }
}
