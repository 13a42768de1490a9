//! Every setting: flag, variable, meaning, default, range. The only place that reads the environment.
//!
//! A value is text until it is understood here, so that all problems are reported together and not
//! one per start.

mod check;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use service_runtime::telemetry::LogFormat;

use self::check::Check;
use crate::{
    authz::{DEFAULT_EVERY, Policies},
    provider::Providers,
    store::PoolOptions,
};

/// Exit code for a configuration that cannot be used: `EX_USAGE` of sysexits.h.
pub const EXIT_USAGE: u8 = 64;

/// Lists chats and keeps the status of their pull requests.
#[derive(Debug, Parser)]
#[command(name = "chat-service", version, about)]
pub struct Cli {
    /// What to do; `serve` when none is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`.
    #[command(flatten)]
    pub serve: Settings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves gRPC until it is told to stop.
    Serve(Box<Settings>),
    /// Brings the database's schema up to this binary's version.
    Migrate(DatabaseSettings),
    /// Prints a bearer token, for development and for services.
    Token(TokenSettings),
    /// Checks and explains policies.
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Makes keys.
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Shows that policies can go live: they load, and Cedar, the predicates in memory and their SQL
    /// decide alike about every abstract chat. Touches no data.
    Check(PolicyCheckSettings),
    /// Says what policies decide about a chat, and why.
    Explain(PolicyExplainSettings),
}

/// Settings of `policy check`.
#[derive(Clone, Debug, Args)]
pub struct PolicyCheckSettings {
    /// Directory with the policies (`*.cedar`). Default: those of this binary.
    pub dir: Option<PathBuf>,
    /// The database in which the SQL runs, over tables of the session's own.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Leaves out the SQL, and so a third of the proof; without it, no database is a failure.
    #[arg(long)]
    pub without_sql: bool,
}

/// Settings of `policy explain`.
#[derive(Clone, Debug, Args)]
pub struct PolicyExplainSettings {
    /// A token, or its claims as JSON (`aud` and `exp` may be left out). Not verified: this tells what
    /// policies say, and does nothing in anybody's name.
    #[arg(long)]
    pub principal: String,
    /// The chat's UUID.
    #[arg(long)]
    pub chat: uuid::Uuid,
    /// The action's name in the schema, as in `readChat`.
    #[arg(long)]
    pub action: String,
    /// Directory with the policies. Default: those of this binary.
    #[arg(long, env = "CHAT_POLICY_DIR")]
    pub policy_dir: Option<PathBuf>,
    /// Where the chat is.
    #[command(flatten)]
    pub database: DatabaseSettings,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Writes `jwt.key` and `jwt.pub` (Ed25519, PEM) and `seal.keys` into a directory. Overwrites
    /// nothing.
    Generate {
        /// Where to write.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// How to reach the database.
#[derive(Clone, Debug, Default, Args)]
pub struct DatabaseSettings {
    /// PostgreSQL URL. It may hold a password: prefer the file.
    #[arg(long, env = "CHAT_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// File that holds the PostgreSQL URL.
    #[arg(long, env = "CHAT_DATABASE_URL_FILE")]
    pub database_url_file: Option<String>,
}

/// Settings of `serve`, as text.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// How to reach the database.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Address of the public gRPC listener. Default: 127.0.0.1:50051.
    #[arg(long, env = "CHAT_LISTEN")]
    pub listen: Option<String>,
    /// Address of the listener for gitsync-service. Default: 127.0.0.1:50052.
    #[arg(long, env = "CHAT_SYNC_LISTEN")]
    pub sync_listen: Option<String>,
    /// Address of /livez, /readyz and /metrics. Default: 127.0.0.1:9101.
    #[arg(long, env = "CHAT_OPS_LISTEN")]
    pub ops_listen: Option<String>,
    /// File with the Ed25519 public key (PEM) that callers' tokens are checked with. Required.
    #[arg(long, env = "CHAT_JWT_PUBLIC_KEY_FILE")]
    pub jwt_public_key_file: Option<String>,
    /// File with the sealing keys, one `id base64` a line; the first one seals. Required.
    #[arg(long, env = "CHAT_KEYS_FILE")]
    pub keys_file: Option<String>,
    /// Database connections at most, 2 to 500. Default: 16.
    #[arg(long, env = "CHAT_DATABASE_CONNECTIONS")]
    pub database_connections: Option<String>,
    /// The server ends a statement that takes longer, 100ms to 60s. Default: 10s.
    #[arg(long, env = "CHAT_STATEMENT_TIMEOUT")]
    pub statement_timeout: Option<String>,
    /// A call's deadline at most, and what it is without one, 1s to 300s. Default: 30s.
    #[arg(long, env = "CHAT_CALL_TIMEOUT")]
    pub call_timeout: Option<String>,
    /// How long `RefreshChat` waits for a worker at most, 1s to 120s. Default: 15s.
    #[arg(long, env = "CHAT_REFRESH_TIMEOUT")]
    pub refresh_timeout: Option<String>,
    /// How long a worker's lease lasts without renewal, 2s to 600s. Default: 60s.
    #[arg(long, env = "CHAT_LEASE_DURATION")]
    pub lease_duration: Option<String>,
    /// How long a stop waits for calls that are under way, 0s to 300s. Default: 20s.
    #[arg(long, env = "CHAT_DRAIN_TIMEOUT")]
    pub drain_timeout: Option<String>,
    /// Connections are asked to reconnect at this age, so that calls spread over replicas, 10s to
    /// 24h. Default: 30m.
    #[arg(long, env = "CHAT_MAX_CONNECTION_AGE")]
    pub max_connection_age: Option<String>,
    /// Whether server reflection is served: true or false. Default: true.
    #[arg(long, env = "CHAT_REFLECTION")]
    pub reflection: Option<String>,
    /// Directory with the policies (`*.cedar`), read at start. Default: those of this binary.
    #[arg(long, env = "CHAT_POLICY_DIR")]
    pub policy_dir: Option<PathBuf>,
    /// One in so many calls that return chats has Cedar decide again about what it returns; 0 means
    /// none, 0 to 1000000. Default: 100.
    #[arg(long, env = "CHAT_POLICY_RECHECK")]
    pub policy_recheck: Option<String>,
    /// File that is written once the service is ready, as JSON with its addresses.
    #[arg(long, env = "CHAT_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// `json` or `text`. Default: json.
    #[arg(long, env = "CHAT_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Which log lines, as in `info,chat_service=debug`. Default: info.
    #[arg(long, env = "CHAT_LOG")]
    pub log: Option<String>,
}

/// Settings of `token`.
#[derive(Clone, Debug, Args)]
pub struct TokenSettings {
    /// File with the Ed25519 private key (PEM).
    #[arg(long, env = "CHAT_JWT_PRIVATE_KEY_FILE")]
    pub private_key_file: PathBuf,
    /// A user's UUID or a service's name.
    #[arg(long)]
    pub sub: String,
    /// `user` or `service`.
    #[arg(long, default_value = "user")]
    pub kind: String,
    /// `UUID` or `UUID=role`, repeatable.
    #[arg(long)]
    pub organization: Vec<String>,
    /// UUID, repeatable.
    #[arg(long)]
    pub group: Vec<String>,
    /// `admin` or `auditor`, repeatable.
    #[arg(long)]
    pub site_role: Vec<String>,
    /// A suspended user may do nothing.
    #[arg(long)]
    pub suspended: bool,
    /// How long the token is good, as in `15m`, `12h`, `30d`.
    #[arg(long, default_value = "1h")]
    pub ttl: String,
}

/// Settings of `serve`, understood.
#[derive(Debug)]
pub struct Config {
    /// PostgreSQL URL.
    pub database_url: SecretString,
    /// Public gRPC listener.
    pub listen: SocketAddr,
    /// Listener for gitsync-service.
    pub sync_listen: SocketAddr,
    /// Operations endpoint.
    pub ops_listen: SocketAddr,
    /// PEM of the key that callers' tokens are checked with.
    pub jwt_public_key: String,
    /// Text of the sealing keys.
    pub keys: SecretString,
    /// How the pool is set up.
    pub pool: PoolOptions,
    /// A call's deadline at most.
    pub call_timeout: Duration,
    /// How long `RefreshChat` waits at most.
    pub refresh_timeout: Duration,
    /// How long a lease lasts.
    pub lease_duration: Duration,
    /// How long a stop waits.
    pub drain_timeout: Duration,
    /// When connections are asked to reconnect.
    pub max_connection_age: Duration,
    /// Whether reflection is served.
    pub reflection: bool,
    /// The git hosts.
    pub providers: Providers,
    /// Who may do what; none for the policies of this binary.
    pub policies: Option<Arc<Policies>>,
    /// One in so many calls is checked again; zero for none.
    pub policy_recheck: u64,
    /// Written once ready.
    pub ready_file: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines.
    pub log: String,
}

/// All that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Understands the settings and the providers in `vars`, the process's environment.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn new(settings: &Settings, vars: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut check = Check::new();
        check.unknown(vars);
        let default = PoolOptions::default();
        let size = check.number(
            "CHAT_DATABASE_CONNECTIONS",
            &settings.database_connections,
            16,
            2..=500,
        );
        let pool = PoolOptions {
            size: usize::try_from(size).unwrap_or(default.size),
            statement_timeout: check.duration(
                "CHAT_STATEMENT_TIMEOUT",
                &settings.statement_timeout,
                "10s",
                Duration::from_millis(100)..=Duration::from_secs(60),
            ),
            ..default
        };
        let seconds = |least, most| Duration::from_secs(least)..=Duration::from_secs(most);
        let config = Self {
            database_url: check.database_url(&settings.database),
            listen: check.address("CHAT_LISTEN", &settings.listen, "127.0.0.1:50051"),
            sync_listen: check.address(
                "CHAT_SYNC_LISTEN",
                &settings.sync_listen,
                "127.0.0.1:50052",
            ),
            ops_listen: check.address("CHAT_OPS_LISTEN", &settings.ops_listen, "127.0.0.1:9101"),
            jwt_public_key: check.public_key(
                "CHAT_JWT_PUBLIC_KEY_FILE",
                settings.jwt_public_key_file.as_deref(),
            ),
            keys: check.key_ring("CHAT_KEYS_FILE", settings.keys_file.as_deref()),
            call_timeout: check.duration(
                "CHAT_CALL_TIMEOUT",
                &settings.call_timeout,
                "30s",
                seconds(1, 300),
            ),
            refresh_timeout: check.duration(
                "CHAT_REFRESH_TIMEOUT",
                &settings.refresh_timeout,
                "15s",
                seconds(1, 120),
            ),
            lease_duration: check.duration(
                "CHAT_LEASE_DURATION",
                &settings.lease_duration,
                "60s",
                seconds(2, 600),
            ),
            drain_timeout: check.duration(
                "CHAT_DRAIN_TIMEOUT",
                &settings.drain_timeout,
                "20s",
                seconds(0, 300),
            ),
            max_connection_age: check.duration(
                "CHAT_MAX_CONNECTION_AGE",
                &settings.max_connection_age,
                "30m",
                seconds(10, 24 * 60 * 60),
            ),
            reflection: check.parsed(
                "CHAT_REFLECTION",
                &settings.reflection,
                true,
                "true or false",
            ),
            providers: check.providers(vars),
            policies: check.policies(settings.policy_dir.as_deref()),
            policy_recheck: check.number(
                "CHAT_POLICY_RECHECK",
                &settings.policy_recheck,
                DEFAULT_EVERY,
                0..=1_000_000,
            ),
            ready_file: settings.ready_file.clone(),
            log_format: check.log_format("CHAT_LOG_FORMAT", settings.log_format.as_deref()),
            log: check.log_filter("CHAT_LOG", settings.log.as_deref()),
            pool,
        };
        check.relations(&config);
        if check.problems().is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(check.into_problems()))
        }
    }
}

/// The URL of the database alone, for `migrate`.
///
/// # Errors
///
/// When there is none.
pub fn database_url(settings: &DatabaseSettings) -> Result<SecretString, ConfigError> {
    let mut check = Check::new();
    let url = check.database_url(settings);
    if check.problems().is_empty() {
        Ok(url)
    } else {
        Err(ConfigError(check.into_problems()))
    }
}

/// Variables of this process that are text.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A duration as in `250ms`, `10s`, `5m`, `12h`, `30d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(60 * 60),
        "d" => seconds(24 * 60 * 60),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_at_once_by_name() {
        let settings = Settings {
            listen: Some("nowhere".to_owned()),
            drain_timeout: Some("soon".to_owned()),
            database_connections: Some("0".to_owned()),
            log_format: Some("xml".to_owned()),
            ..Settings::default()
        };
        let vars = BTreeMap::from([("CHAT_LISTN".to_owned(), "x".to_owned())]);
        let ConfigError(problems) = Config::new(&settings, &vars).unwrap_err();
        for name in [
            "CHAT_LISTN ",
            "CHAT_LISTEN ",
            "CHAT_DRAIN_TIMEOUT ",
            "CHAT_DATABASE_CONNECTIONS ",
            "CHAT_LOG_FORMAT ",
            "CHAT_DATABASE_URL ",
            "CHAT_JWT_PUBLIC_KEY_FILE ",
            "CHAT_KEYS_FILE ",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(name)),
                "{name} is not reported in {problems:#?}"
            );
        }
    }

    #[test]
    fn malformed_keys_and_filters_are_reported_with_the_rest() {
        let file = std::env::temp_dir().join(format!("keys-{}", uuid::Uuid::now_v7()));
        std::fs::write(&file, "no key at all").unwrap();
        let path = Some(file.display().to_string());
        let settings = Settings {
            jwt_public_key_file: path.clone(),
            keys_file: path,
            log: Some("info,=,".to_owned()),
            ..Settings::default()
        };
        let ConfigError(problems) = Config::new(&settings, &BTreeMap::new()).unwrap_err();
        std::fs::remove_file(&file).unwrap();
        for name in [
            "CHAT_JWT_PUBLIC_KEY_FILE ",
            "CHAT_KEYS_FILE ",
            "CHAT_LOG ",
            "CHAT_DATABASE_URL ",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(name)),
                "{name} is not reported in {problems:#?}"
            );
        }
        assert!(!problems.join("").contains("no key at all"));
    }

    /// Kubernetes sets these in every pod beside a Service named `chat-service`.
    #[test]
    fn the_variables_of_a_kubernetes_service_are_no_settings() {
        let vars = BTreeMap::from([
            ("CHAT_SERVICE_PORT_50051_TCP".to_owned(), "x".to_owned()),
            ("CHAT_SERVICE_SERVICE_HOST".to_owned(), "x".to_owned()),
        ]);
        let ConfigError(problems) = Config::new(&Settings::default(), &vars).unwrap_err();
        assert!(
            !problems
                .iter()
                .any(|problem| problem.contains("CHAT_SERVICE_"))
        );
    }

    #[test]
    fn a_malformed_database_url_is_reported_without_its_password() {
        let settings = DatabaseSettings {
            database_url: Some("postgres://ann:hunter2@[::bad".into()),
            database_url_file: None,
        };
        let error = database_url(&settings).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_duration("1d"), Some(Duration::from_secs(86_400)));
        for wrong in ["", "10", "s", "-1s", "1.5s", "99999999999999999999s", "1w"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
