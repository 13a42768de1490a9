//! Measures the services against tables of the size that they are made for.
//!
//! `bench list`: what a page of chats costs, for whom, and by which filter. `bench sync`: what it takes to
//! keep statuses fresh. See the README.

mod list;
mod sync;

use std::process::ExitCode;

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
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::List(options) => Box::pin(list::run(options)).await,
        Command::Sync(options) => Box::pin(sync::run(options)).await,
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
