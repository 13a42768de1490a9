//! chat-service: lists chats, and keeps the status of their pull requests.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use chat_service::{
    command::{keys, policy_check, terminal, token},
    config::{
        self, Command, ConfigError, DatabaseSettings, KeysCommand, PolicyCommand, ResealSettings,
        Settings, TerminalCommand, TokenSettings,
    },
    server::Service,
    store::{PoolOptions, Store},
};
use secrecy::ExposeSecret as _;
use service_runtime::{
    config::{EXIT_FAILURE, EXIT_USAGE, environment},
    shutdown, telemetry, tls,
};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    tls::install_provider();
    let command = match config::read(std::env::args_os(), &environment()) {
        Ok(command) => command,
        Err(error) => return error.report(),
    };
    let is_policy = matches!(command, Command::Policy { .. });
    let result = match command {
        Command::Serve(settings) => serve(*settings),
        Command::Migrate(settings) => migrate(&settings),
        Command::NewGeneration(settings) => new_generation(&settings),
        Command::Token(settings) => print_token(&settings),
        Command::Policy { command } => policy(&command),
        Command::Keys { command } => match command {
            KeysCommand::Generate { dir } => keys::generate(&dir),
            KeysCommand::Reseal(settings) => reseal(&settings),
        },
        Command::Terminal(command) => ask(&command),
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Standard error directly: telemetry may not have begun.
    let _ = writeln!(std::io::stderr(), "chat-service: {error:#}");
    if let Some(failure) = error.downcast_ref::<terminal::Failure>() {
        return ExitCode::from(failure.exit_code());
    }
    match error.downcast_ref::<ConfigError>() {
        Some(_) => ExitCode::from(EXIT_USAGE),
        // Policies that differ are an answer, not a failure of the process.
        None if is_policy => ExitCode::FAILURE,
        None => ExitCode::from(EXIT_FAILURE),
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    telemetry::init(settings.log_format, &settings.log)?;
    tracing::info!(
        settings = ?settings.effective,
        providers = ?settings.providers,
        "effective configuration"
    );
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let signals = shutdown::cancel_on_signal(stop.clone())?;
        let service = Service::start(settings, stop).await?;
        tokio::select! {
            result = Box::pin(service.run()) => result,
            never = signals => match never {},
        }
    })
}

fn migrate(settings: &DatabaseSettings) -> anyhow::Result<()> {
    // Logs show what the process waits for.
    telemetry::init(telemetry::LogFormat::default(), "info")?;
    let url = settings.url()?;
    runtime()?.block_on(async {
        let applied = chat_service::store::migrate(url.expose_secret()).await?;
        writeln!(
            std::io::stdout(),
            "schema version {} (was {}){}",
            applied.from + applied.names.len(),
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

fn new_generation(settings: &DatabaseSettings) -> anyhow::Result<()> {
    let url = settings.url()?;
    runtime()?.block_on(async {
        let store = Store::new(url.expose_secret(), &PoolOptions::default())?;
        store.require_current_schema().await?;
        store.begin_generation(None).await?;
        writeln!(std::io::stdout(), "all watchers will list again")?;
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

fn reseal(settings: &ResealSettings) -> anyhow::Result<()> {
    let (mut out, mut notes) = (std::io::stdout(), std::io::stderr());
    runtime()?.block_on(keys::reseal(settings, &mut out, &mut notes))
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

fn ask(command: &TerminalCommand) -> anyhow::Result<()> {
    let (mut out, mut notes) = (std::io::stdout(), std::io::stderr());
    let colors = terminal::shows_colors(out.is_terminal(), &environment());
    let json = command.server().json;
    let mut output = terminal::Output::new(&mut out, &mut notes, json, colors)?;
    runtime()?.block_on(terminal::run(command, &mut output))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
