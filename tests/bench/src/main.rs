//! Measures the services against tables of the size that they are made for.
//!
//! `bench list`: the cost of a page of chats, by caller and filter. `bench sync`: the cost of
//! keeping statuses fresh. `bench accounts`: the cost of a budget with very many accounts. `bench
//! ledger`: whether every acknowledged report is looked up while workers die. `bench abuse`: what
//! one tenant can do to another. `bench watch`: how long a change is on its way to watchers. `bench
//! soak`: whether the processes grow while they work, and what they cost when idle. See the README.

mod abuse;
mod accounts;
mod figures;
mod ledger;
mod list;
mod soak;
mod sync;
mod watch;

use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures the services")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a page of chats costs.
    List(list::Options),
    /// What it takes to keep statuses fresh.
    Sync(sync::Options),
    /// What a budget with very many accounts or refs costs.
    Accounts(accounts::Options),
    /// Whether every acknowledged report is looked up while workers are killed.
    Ledger(ledger::Options),
    /// What one tenant can do to another, and to the processes.
    Abuse(abuse::Options),
    /// How long a change is on its way to watchers, and what they cost.
    Watch(watch::Options),
    /// Whether the processes grow under a load that does not, and what they cost when idle.
    Soak(soak::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::List(options) => Box::pin(list::run(options)).await,
        Command::Sync(options) => Box::pin(sync::run(options)).await,
        Command::Accounts(options) => Box::pin(accounts::run(options)).await,
        Command::Ledger(options) => Box::pin(ledger::run(options)).await,
        Command::Abuse(options) => Box::pin(abuse::run(options)).await,
        Command::Watch(options) => Box::pin(watch::run(options)).await,
        Command::Soak(options) => Box::pin(soak::run(options)).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the binaries for release and runs this again with them; none if they are named already.
pub(crate) fn in_release() -> anyhow::Result<Option<ExitStatus>> {
    const NAMES: [(&str, &str); 2] = [
        ("CHAT_SERVICE_BIN", "chat-service"),
        ("GITSYNC_SERVICE_BIN", "gitsync-service"),
    ];
    if NAMES
        .iter()
        .all(|(variable, _)| std::env::var_os(variable).is_some())
    {
        return Ok(None);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--release", "--locked"]);
    for (_, package) in NAMES {
        build.args(["-p", package]);
    }
    anyhow::ensure!(build.status()?.success(), "the services do not build");
    let this = std::env::current_exe()?;
    let directory = this.parent().context("the directory of this program")?;
    let mut again = std::process::Command::new(&this);
    again.args(std::env::args_os().skip(1));
    for (variable, name) in NAMES {
        let binary = directory.join(name);
        anyhow::ensure!(binary.exists(), "{} was not built", binary.display());
        again.env(variable, binary);
    }
    Ok(Some(again.status()?))
}
