//! The `gitsync-service` process: read the settings, start telemetry, run.

use std::process::ExitCode;

use gitsync_service::{config::Settings, server};
use service_runtime::{
    config::{ConfigError, EXIT_FAILURE},
    telemetry, tls,
};

#[tokio::main]
async fn main() -> ExitCode {
    tls::install_provider();
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
            tracing::error!(error = format!("{error:#}"), "stopping");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
