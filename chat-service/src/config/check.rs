//! How a setting's text is understood. Problems are collected, not returned, so that all of them are
//! reported together.

use std::{
    collections::BTreeMap, fmt::Display, net::SocketAddr, path::Path, str::FromStr, sync::Arc,
    time::Duration,
};

use clap::ValueEnum as _;
use policy::{LoadError, Policies};
use secrecy::{ExposeSecret as _, SecretString};
use service_runtime::{
    telemetry::{self, LogFormat},
    token::Verifier,
};

use super::{Cli, Config, DatabaseSettings, parse_duration};
use crate::{
    accounts::seal::KeyRing,
    provider::{Providers, VARIABLE_PREFIX},
};

/// Variables that begin like ours and are not: Kubernetes gives every pod `CHAT_SERVICE_PORT` and the
/// like for a Service that is named `chat-service`.
const FOREIGN_PREFIX: &str = "CHAT_SERVICE_";

/// Collects problems; where there is one, it stands in with a value that is never used.
pub(super) struct Check(Vec<String>);

impl Check {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.0
    }

    pub(super) fn into_problems(self) -> Vec<String> {
        self.0
    }

    pub(super) fn unknown(&mut self, vars: &BTreeMap<String, String>) {
        use clap::CommandFactory as _;
        let mut known: Vec<String> = Vec::new();
        let command = Cli::command();
        for command in std::iter::once(&command).chain(command.get_subcommands()) {
            known.extend(command.get_arguments().filter_map(|arg| {
                arg.get_env()
                    .and_then(|name| name.to_str())
                    .map(str::to_owned)
            }));
        }
        for name in vars.keys().filter(|name| name.starts_with("CHAT_")) {
            if !known.contains(name) && !name.starts_with(FOREIGN_PREFIX) {
                self.0.push(format!("{name} is no setting of this service"));
            }
        }
    }

    pub(super) fn database_url(&mut self, settings: &DatabaseSettings) -> SecretString {
        let url = match (&settings.database_url, &settings.database_url_file) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(file)) => self.file("CHAT_DATABASE_URL_FILE", Some(file)),
            (None, None) => {
                self.0.push(
                    "CHAT_DATABASE_URL (--database-url) or CHAT_DATABASE_URL_FILE is required"
                        .to_owned(),
                );
                None
            }
        };
        let url = url.unwrap_or_default();
        if !url.expose_secret().is_empty()
            && tokio_postgres::Config::from_str(url.expose_secret()).is_err()
        {
            // Not the parser's own text, which repeats parts of the URL.
            self.0
                .push("CHAT_DATABASE_URL is not a PostgreSQL URL".to_owned());
        }
        url
    }

    pub(super) fn file(&mut self, name: &str, path: Option<&str>) -> Option<SecretString> {
        let Some(path) = path else {
            self.0.push(format!("{name} ({}) is required", flag(name)));
            return None;
        };
        match std::fs::read_to_string(Path::new(path)) {
            Ok(text) => Some(SecretString::from(text.trim())),
            Err(error) => {
                self.0
                    .push(format!("{name} is {path:?}, which cannot be read: {error}"));
                None
            }
        }
    }

    /// The policies of a directory, whole or not at all.
    pub(super) fn policies(&mut self, directory: Option<&Path>) -> Option<Arc<Policies>> {
        match Policies::directory(directory?) {
            Ok(policies) => Some(Arc::new(policies)),
            Err(LoadError(problems)) => {
                self.0.extend(
                    problems
                        .iter()
                        .map(|problem| format!("CHAT_POLICY_DIR: {problem}")),
                );
                None
            }
        }
    }

    pub(super) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: T,
        what: &str,
    ) -> T {
        match text.as_deref().map(str::parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                self.wrong(name, text.as_deref().unwrap_or_default(), what);
                default
            }
        }
    }

    pub(super) fn address(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: &str,
    ) -> SocketAddr {
        let text = text.as_deref().unwrap_or(default);
        text.parse().unwrap_or_else(|_| {
            self.wrong(name, text, "an address with a port, as in 127.0.0.1:50051");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(super) fn number(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let what = format!("a number from {} to {}", range.start(), range.end());
        let value = self.parsed(name, text, default, &what);
        if !range.contains(&value) {
            self.wrong(name, value, &what);
        }
        value
    }

    pub(super) fn duration(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: &str,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let text = text.as_deref().unwrap_or(default);
        match parse_duration(text) {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) | None => {
                let what = format!(
                    "a duration from {:?} to {:?}, as in 10s",
                    range.start(),
                    range.end()
                );
                self.wrong(name, text, &what);
                *range.start()
            }
        }
    }

    pub(super) fn providers(&mut self, vars: &BTreeMap<String, String>) -> Providers {
        let vars = vars
            .iter()
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        match Providers::from_vars(&vars) {
            Ok(providers) => providers,
            Err(problems) => {
                self.0.extend(problems);
                Providers::default()
            }
        }
    }

    pub(super) fn log_format(&mut self, name: &str, text: Option<&str>) -> LogFormat {
        let Some(text) = text else {
            return LogFormat::default();
        };
        LogFormat::from_str(text, true).unwrap_or_else(|_| {
            self.wrong(name, text, "json or text");
            LogFormat::default()
        })
    }

    pub(super) fn log_filter(&mut self, name: &str, text: Option<&str>) -> String {
        let text = text.unwrap_or("info");
        if let Err(error) = telemetry::check_filter(text) {
            self.0.push(format!("{name} ({}): {error}", flag(name)));
        }
        text.to_owned()
    }

    /// Parsed here only to say so now: it is the service that uses it.
    pub(super) fn public_key(&mut self, name: &str, path: Option<&str>) -> String {
        let Some(text) = self.file(name, path) else {
            return String::new();
        };
        let text = text.expose_secret();
        if let Err(error) = Verifier::from_public_key_pem(text.as_bytes()) {
            self.0.push(format!("{name} ({}): {error}", flag(name)));
        }
        text.to_owned()
    }

    /// As [`Check::public_key`].
    pub(super) fn key_ring(&mut self, name: &str, path: Option<&str>) -> SecretString {
        let text = self.file(name, path);
        if let Some(text) = &text
            && let Err(error) = KeyRing::parse(text.expose_secret())
        {
            self.0.push(format!("{name} ({}): {error}", flag(name)));
        }
        text.unwrap_or_default()
    }

    pub(super) fn relations(&mut self, config: &Config) {
        if config.pool.statement_timeout > config.call_timeout {
            self.0.push(format!(
                "CHAT_STATEMENT_TIMEOUT is {:?}, longer than CHAT_CALL_TIMEOUT, {:?}",
                config.pool.statement_timeout, config.call_timeout
            ));
        }
        if config.refresh_timeout > config.call_timeout {
            self.0.push(format!(
                "CHAT_REFRESH_TIMEOUT is {:?}, longer than CHAT_CALL_TIMEOUT, {:?}",
                config.refresh_timeout, config.call_timeout
            ));
        }
    }

    fn wrong(&mut self, name: &str, value: impl Display, what: &str) {
        self.0.push(format!(
            "{name} ({}) is {:?}; it must be {what}",
            flag(name),
            value.to_string()
        ));
    }
}

/// The flag of a variable.
fn flag(variable: &str) -> String {
    let name = variable.strip_prefix("CHAT_").unwrap_or(variable);
    format!("--{}", name.to_ascii_lowercase().replace('_', "-"))
}
