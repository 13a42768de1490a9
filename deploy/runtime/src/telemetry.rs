//! Structured logs on standard error; standard output stays free for commands that print.

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    #[default]
    Json,
    /// One line for people.
    Text,
}

/// Installs the process-wide subscriber. `filter` is in the syntax of
/// `tracing_subscriber::EnvFilter`, as in `info,chat_service=debug`.
///
/// # Errors
///
/// When the filter does not parse or a subscriber is installed already.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let registry = tracing_subscriber::registry().with(EnvFilter::try_new(filter)?);
    match format {
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LogFormat::Text => registry
            .with(fmt::layer().with_writer(std::io::stderr))
            .try_init(),
    }?;
    Ok(())
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("the log filter is malformed")]
    Filter(#[from] ParseError),
    /// Telemetry was started twice.
    #[error("a log subscriber is installed already")]
    Installed(#[from] TryInitError),
}
