//! chat-service: lists chats, and keeps the status of their pull requests.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use chat_service::{
    command::{key_files, policy_check, token},
    config::{
        Cli, Command, Config, ConfigError, DatabaseSettings, EXIT_USAGE, KeysCommand,
        PolicyCommand, Settings, TokenSettings, database_url, environment,
    },
    server::Service,
};
use clap::Parser as _;
use secrecy::ExposeSecret as _;
use service_runtime::{shutdown, telemetry};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(settings)) => serve(&settings),
        Some(Command::Migrate(settings)) => migrate(&settings),
        Some(Command::Token(settings)) => print_token(&settings),
        Some(Command::Policy { command }) => policy(&command),
        Some(Command::Keys {
            command: KeysCommand::Generate { dir },
        }) => key_files::generate(&dir),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error directly: telemetry may not have begun.
            let _ = writeln!(std::io::stderr(), "chat-service: {error:#}");
            if error.is::<ConfigError>() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn serve(settings: &Settings) -> anyhow::Result<()> {
    let config = Config::new(settings, &environment())?;
    telemetry::init(config.log_format, &config.log)?;
    tracing::info!(?config, "configuration");
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let service = Service::start(config, stop.clone()).await?;
        tokio::select! {
            result = Box::pin(service.run()) => result,
            result = shutdown::cancel_on_signal(stop) => Ok(result?),
        }
    })
}

fn migrate(settings: &DatabaseSettings) -> anyhow::Result<()> {
    let url = database_url(settings)?;
    runtime()?.block_on(async {
        let applied = chat_service::store::migrate(url.expose_secret()).await?;
        writeln!(
            std::io::stdout(),
            "schema version {} (was {}){}",
            applied.to,
            applied.from,
            applied
                .names
                .iter()
                .map(|name| format!("\n  applied {name}"))
                .collect::<String>()
        )?;
        Ok(())
    })
}

fn policy(command: &PolicyCommand) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    runtime()?.block_on(async {
        match command {
            PolicyCommand::Check(settings) => policy_check::check(settings, &mut out).await,
            PolicyCommand::Explain(settings) => policy_check::explain(settings, &mut out).await,
        }
    })
}

fn print_token(settings: &TokenSettings) -> anyhow::Result<()> {
    let token = token::issue(settings)?;
    let mut out = std::io::stdout();
    write!(out, "{}", token.expose_secret())?;
    if out.is_terminal() {
        writeln!(out)?;
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
