//! The `gitsync-service` process: read the settings, start telemetry, run.

use std::process::ExitCode;

use gitsync_service::{
    config::{Config, ConfigError, EXIT_USAGE},
    server,
};
use service_runtime::telemetry;

/// Exit code for a process that could not start or had to end (`EX_SOFTWARE`).
const EXIT_FAILED: u8 = 70;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(error) => return refuse(error),
    };
    if let Err(error) = telemetry::init(config.log_format, &config.log_filter) {
        return refuse(ConfigError::Problems(vec![format!(
            "GITSYNC_LOG_FILTER: {error}"
        )]));
    }
    match server::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %with_sources(&error), "stopping");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// An error with everything below it: the sentence on top rarely says which port or which file.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Says what is wrong before there is a log to say it in.
#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "there is no log yet"
)]
fn refuse(error: ConfigError) -> ExitCode {
    match error {
        ConfigError::Usage { text, exit_code: 0 } => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        ConfigError::Usage { text, exit_code } => {
            eprint!("{text}");
            ExitCode::from(exit_code)
        }
        ConfigError::Problems(problems) => {
            eprintln!("the configuration cannot work:");
            for problem in problems {
                eprintln!("  {problem}");
            }
            ExitCode::from(EXIT_USAGE)
        }
    }
}
