//! The `gitsync-service` process: read the settings, start telemetry, run.

use std::process::ExitCode;

use gitsync_service::{config::Settings, server};
use service_runtime::{
    config::{ConfigError, EXIT_FAILURE},
    telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::read(std::env::args_os()) {
        Ok(settings) => settings,
        Err(error) => return error.report(),
    };
    if let Err(error) = telemetry::init(settings.log_format, &settings.log) {
        return ConfigError::Problems(vec![format!("GITSYNC_LOG: {error}")]).report();
    }
    match server::run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %with_sources(&error), "stopping");
            ExitCode::from(EXIT_FAILURE)
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
