//! Structured logs on standard error; standard output stays free for commands that print.
//!
//! A problem is logged once, where it is handled. A condition that lasts (a database or a host that
//! is down) is logged when it begins and when it ends ([`Failing`]), however often it is met. The
//! `span` of a line identifies its call or turn.

use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, ParseError, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

/// Target of the spans in which lines are written: a call, a turn of a worker. They are there
/// whatever the filter leaves out, so that each line that it lets through has its request's id.
pub const SPAN: &str = "span";
/// Target of the events that say who was let do what, and who was not: `audit=off` in a filter
/// leaves them out, and `off,audit=info` leaves out all others.
pub const AUDIT: &str = "audit";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    #[default]
    Json,
    /// One line for people.
    Text,
}

/// Precedes the configured filter, which may override it. The platform's verifier logs each refused
/// certificate as an error; a refusal is handled and logged where the connection is made.
const QUIET: &str = "rustls_platform_verifier=off";

/// Installs the process-wide subscriber. `filter` is in the syntax of
/// `tracing_subscriber::EnvFilter`, as in `info,chat_service=debug`.
///
/// # Errors
///
/// When the filter does not parse or a subscriber is installed already.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let spans = Targets::new().with_target(SPAN, LevelFilter::INFO);
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))?.or(spans);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            // There is never more than one.
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => lines.with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(lines).try_init()?;
    Ok(())
}

/// Whether something that is tried again and again fails, for one line when that begins and one
/// when it ends.
#[derive(Debug, Default)]
pub struct Failing(AtomicBool);

impl Failing {
    /// It failed. Returns whether it did not before.
    pub fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// It worked. Returns whether it failed before.
    pub fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_failure_and_the_first_success_after_it_are_news() {
        let failing = Failing::default();
        assert!(!failing.ends());
        assert_eq!([failing.begins(), failing.begins()], [true, false]);
        assert_eq!([failing.ends(), failing.ends()], [true, false]);
        assert!(failing.begins());
    }
}
