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
            tracing::error!(error = &error as &dyn std::error::Error, "stopping");
            ExitCode::from(EXIT_FAILED)
        }
    }
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
