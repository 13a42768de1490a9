//! Every setting: a flag, a variable, a default and a range. Only this file reads the environment.
//!
//! An operator can judge each of these; every other number is a constant beside what it is for.

mod callers;
mod commands;
mod terminal;
mod tls;
mod value;

use std::{
    collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration,
};

use clap::{ArgAction, Args};
use secrecy::SecretString;
use service_runtime::{
    config::{Reader, Span, address, collector, count, log_filter, percent, span},
    egress::{EgressProxy, https_proxy, no_proxy},
    telemetry::LogFormat,
    trace::TraceSettings,
};

pub use self::callers::CallerSettings;
pub use self::commands::{
    Cli, Command, KeysCommand, MAX_EVALUATIONS, PolicyCheckSettings, PolicyCommand,
    PolicyExplainSettings, ResealSettings, TokenSettings,
};
pub use self::terminal::{
    DiffSettings, FilterSettings, ListSettings, RefreshSettings, ServerSettings, TerminalCommand,
    WatchSettings,
};
pub use self::tls::{ListenerTls, Plaintext, TlsSettings};
pub use service_runtime::config::ConfigError;

use self::tls::plain_database;
use self::value::{key_ring, policies, postgres_url, postgres_url_file, sign_in};
use crate::{
    accounts::seal::KeyRing,
    authz::{DEFAULT_EVERY, Policies},
    limits::Bounds,
    provider::Providers,
    store::{BESIDE_THE_POOL, PoolOptions},
    sync::LEASE_DURATION,
    web::{origins::Origins, sign_in::SignIn},
};

/// Every variable of this process begins so, but for those of the git hosts.
const PREFIX: &str = "CHAT_";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: usize = 1024 * 1024;

/// How to reach the database.
#[derive(Clone, Default, Args)]
pub struct DatabaseSettings {
    /// URL of the PostgreSQL database, with libpq's sslmode, sslrootcert, sslcert and sslkey;
    /// prefer a file if it holds a password
    #[arg(long, env = "CHAT_DATABASE_URL", hide_env_values = true, value_parser = postgres_url)]
    pub database_url: Option<SecretString>,
    /// File that holds the URL of the PostgreSQL database; read unless the URL itself is set
    #[arg(long, env = "CHAT_DATABASE_URL_FILE", value_parser = postgres_url_file)]
    pub database_url_file: Option<SecretString>,
    /// Where plain text may be spoken with other machines, with commas between: grpc, sync, ops
    /// (the listeners, which then have no TLS), database
    #[arg(long, env = "CHAT_PLAINTEXT", value_enum, value_delimiter = ',')]
    #[arg(value_name = "NAMES", hide_possible_values = true)]
    pub plaintext: Vec<Plaintext>,
}

impl DatabaseSettings {
    /// The database's URL.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Problems`] when neither setting has it, or what is said could be read by
    /// others and that was not asked for.
    pub fn url(&self) -> Result<&SecretString, ConfigError> {
        let url = self.database_url.as_ref();
        let url = url.map(|url| ("CHAT_DATABASE_URL", url)).or_else(|| {
            let url = self.database_url_file.as_ref();
            url.map(|url| ("CHAT_DATABASE_URL_FILE", url))
        });
        let problem = match url {
            Some((name, url)) => match plain_database(name, url, &self.plaintext) {
                None => return Ok(url),
                Some(problem) => problem,
            },
            None => "CHAT_DATABASE_URL or CHAT_DATABASE_URL_FILE is required".to_owned(),
        };
        Err(ConfigError::Problems(vec![problem]))
    }
}

/// Settings of `serve`.
#[derive(Args)]
pub struct Settings {
    /// How to reach the database.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Address that serves gRPC and gRPC-Web to users, services and operators; port 0 is any port
    #[arg(long, env = "CHAT_LISTEN", value_parser = address, default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Address that serves gRPC to gitsync-service only; port 0 is any port
    #[arg(long, env = "CHAT_SYNC_LISTEN", value_parser = address, default_value = "127.0.0.1:50052")]
    pub sync_listen: SocketAddr,
    /// Address that serves KEDA's external scaler, the number of workers that the due work needs,
    /// to everyone who reaches it; not served unless set
    #[arg(long, env = "CHAT_SCALER_LISTEN", value_parser = address)]
    pub scaler_listen: Option<SocketAddr>,
    /// Address that serves /livez, /readyz and /metrics over HTTP; port 0 is any port
    #[arg(long, env = "CHAT_OPS_LISTEN", value_parser = address, default_value = "127.0.0.1:9101")]
    pub ops_listen: SocketAddr,
    /// How the listeners speak TLS.
    #[command(flatten)]
    pub tls: TlsSettings,
    /// Who may call.
    #[command(flatten)]
    pub callers: CallerSettings,
    /// File with the keys that seal credentials, one `id base64` a line; the first one seals
    #[arg(long = "keys-file", env = "CHAT_KEYS_FILE", value_parser = key_ring, value_name = "FILE")]
    pub keys: Arc<KeyRing>,
    /// Directory with the policies in force (*.cedar), read at start [default: those of this
    /// binary]
    #[arg(long = "policy-dir", env = "CHAT_POLICY_DIR", value_parser = policies, value_name = "DIR")]
    pub policies: Option<Arc<Policies>>,

    /// URL of the same database that leads past a pooler, for notifications; required behind one
    #[arg(long, env = "CHAT_DATABASE_DIRECT_URL", hide_env_values = true, value_parser = postgres_url)]
    pub database_direct_url: Option<SecretString>,
    /// File that holds the direct URL; read unless that itself is set
    #[arg(long, env = "CHAT_DATABASE_DIRECT_URL_FILE", value_parser = postgres_url_file)]
    pub database_direct_url_file: Option<SecretString>,
    /// Connections of this process to the database at most, of every kind
    #[arg(long, env = "CHAT_DATABASE_CONNECTIONS", value_parser = count(6..=500_usize))]
    #[arg(default_value_t = PoolOptions::default().size + BESIDE_THE_POOL)]
    pub database_connections: usize,
    /// Timeout of one database statement, enforced by PostgreSQL
    #[arg(long, env = "CHAT_STATEMENT_TIMEOUT", value_parser = span(SECOND / 10, MINUTE))]
    #[arg(default_value_t = PoolOptions::default().statement_timeout.into())]
    pub statement_timeout: Span,
    /// Longest deadline of a call, and the default; its response must be read within as long again
    #[arg(long, env = "CHAT_CALL_TIMEOUT", value_parser = span(SECOND, 5 * MINUTE))]
    #[arg(default_value_t = (30 * SECOND).into())]
    pub call_timeout: Span,
    /// Longest wait of a `RefreshChat` or `GetChatDiff` call for the worker's outcomes
    #[arg(long, env = "CHAT_REFRESH_TIMEOUT", value_parser = span(SECOND, 2 * MINUTE))]
    #[arg(default_value_t = (15 * SECOND).into())]
    pub refresh_timeout: Span,
    /// Life of a worker's lease that is not renewed: how long the git refs of a dead worker wait
    #[arg(long, env = "CHAT_LEASE_DURATION", value_parser = span(2 * SECOND, 10 * MINUTE))]
    #[arg(default_value_t = LEASE_DURATION.into())]
    pub lease_duration: Span,
    /// Duration for which a stopping process still accepts calls after it reports itself as not
    /// ready, so that load balancers notice
    #[arg(long, env = "CHAT_DRAIN_DELAY", value_parser = span(Duration::ZERO, 5 * MINUTE))]
    #[arg(default_value_t = (5 * SECOND).into())]
    pub drain_delay: Span,
    /// Duration for which a stop waits for calls that are under way
    #[arg(long, env = "CHAT_DRAIN_TIMEOUT", value_parser = span(Duration::ZERO, 5 * MINUTE))]
    #[arg(default_value_t = (20 * SECOND).into())]
    pub drain_timeout: Span,
    /// Connections of each gRPC listener at most, further ones are refused; the process needs as
    /// many file descriptors, and a hundred more
    #[arg(long, env = "CHAT_MAX_CONNECTIONS", value_parser = count(1..=1_000_000_usize))]
    #[arg(default_value_t = 800)]
    pub max_connections: usize,
    /// Age at which a client's connection is asked to reconnect, so that calls spread over replicas
    #[arg(long, env = "CHAT_MAX_CONNECTION_AGE", value_parser = span(10 * SECOND, DAY))]
    #[arg(default_value_t = (30 * MINUTE).into())]
    pub max_connection_age: Span,
    /// Calls of one user in flight at most, each until its response is read; watches not counted
    #[arg(long, env = "CHAT_USER_CALLS", value_parser = count(1..=100_000_usize))]
    #[arg(default_value_t = 100)]
    pub user_calls: usize,
    /// Calls of one user a second at most, on the average of two seconds
    #[arg(long, env = "CHAT_USER_CALLS_PER_SECOND", value_parser = count(1..=1_000_000_u32))]
    #[arg(default_value_t = 100)]
    pub user_calls_per_second: u32,
    /// `WatchChats` streams of one user at once at most
    #[arg(long, env = "CHAT_USER_WATCHES", value_parser = count(1..=10_000_usize))]
    #[arg(default_value_t = 20)]
    pub user_watches: usize,
    /// Calls of one user that wait for a worker at most, as `RefreshChat` does
    #[arg(long, env = "CHAT_USER_WAITING_CALLS", value_parser = count(1..=10_000_usize))]
    #[arg(default_value_t = 20)]
    pub user_waiting_calls: usize,
    /// Unread responses of one user in MiB, beyond which further calls of the user are refused
    #[arg(long, env = "CHAT_USER_UNREAD_MIB", value_parser = count(1..=1024_usize))]
    #[arg(default_value_t = 16)]
    pub user_unread_mib: usize,
    /// Number of users whose limits one service has, since it acts for many
    #[arg(long, env = "CHAT_SERVICE_WEIGHT", value_parser = count(1..=1000_usize))]
    #[arg(default_value_t = 20)]
    pub service_weight: usize,
    /// Calls and streams of all callers at once at most
    #[arg(long, env = "CHAT_MAX_CALLS", value_parser = count(100..=1_000_000_usize))]
    #[arg(default_value_t = 20_000)]
    pub max_calls: usize,
    /// Calls of all callers that wait for a worker or for work at most
    #[arg(long, env = "CHAT_MAX_WAITING_CALLS", value_parser = count(10..=100_000_usize))]
    #[arg(default_value_t = 2000)]
    pub max_waiting_calls: usize,
    /// Unread responses of all callers in MiB, beyond which further calls are refused
    #[arg(long, env = "CHAT_MAX_UNREAD_MIB", value_parser = count(1..=65_536_usize))]
    #[arg(default_value_t = 128)]
    pub max_unread_mib: usize,
    /// Interval between calls whose result Cedar checks, among calls that return chats; 0: no
    /// checks
    #[arg(long, env = "CHAT_POLICY_RECHECK", value_parser = count(0..=1_000_000_u64))]
    #[arg(default_value_t = DEFAULT_EVERY)]
    pub policy_recheck: u64,
    /// Whether both gRPC listeners serve reflection, so that clients need no .proto files
    #[arg(long, env = "CHAT_REFLECTION", action = ArgAction::Set, default_value_t = true)]
    pub reflection: bool,
    /// Whether the public listener serves the page with the chat list, at /
    #[arg(long, env = "CHAT_WEB", action = ArgAction::Set, default_value_t = false)]
    pub web: bool,
    /// Comma-separated origins (scheme, host, port) of other pages that may call from a browser
    #[arg(
        long,
        env = "CHAT_WEB_ORIGINS",
        value_name = "ORIGINS",
        default_value = ""
    )]
    pub web_origins: Origins,
    /// File with one-time codes of sign-in links and the token of each, as a JSON object; for
    /// development
    #[arg(long = "web-sign-in-file", env = "CHAT_WEB_SIGN_IN_FILE", value_parser = sign_in)]
    #[arg(value_name = "FILE")]
    pub web_sign_in: Option<Arc<SignIn>>,

    /// URL of the proxy through which https URLs of keys and of token endpoints are reached, as in
    /// `http://proxy.example:3128`
    #[arg(long, env = "CHAT_HTTPS_PROXY", value_parser = https_proxy)]
    #[arg(value_name = "URL", hide_env_values = true)]
    pub https_proxy: Option<SecretString>,
    /// Hosts that are reached without the proxy, as in `.svc,10.0.0.0/8`
    #[arg(long, env = "CHAT_NO_PROXY", value_parser = no_proxy, value_name = "HOSTS")]
    pub no_proxy: Option<String>,

    /// Format of log lines on standard error: json or text
    #[arg(
        long,
        env = "CHAT_LOG_FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// Filter of log lines, as in `info,chat_service=debug`
    #[arg(long, env = "CHAT_LOG", value_parser = log_filter, default_value = "info")]
    pub log: String,
    /// OTLP/gRPC endpoint of a collector that receives traces, as in `http://127.0.0.1:4317`
    /// [default: no traces]
    #[arg(long, env = "CHAT_TRACE_ENDPOINT", value_parser = collector, value_name = "URL")]
    pub trace_endpoint: Option<String>,
    /// Share of the traces started by this process that is exported, in percent; a trace started by
    /// a caller keeps the caller's decision
    #[arg(long, env = "CHAT_TRACE_PERCENT", value_parser = percent, default_value = "100")]
    pub trace_percent: f64,
    /// File that receives the addresses of this process, as JSON, once it is ready
    #[arg(long, env = "CHAT_READY_FILE")]
    pub ready_file: Option<PathBuf>,

    /// The git hosts, from the variables `GIT_PROVIDER_<n>_*`.
    #[arg(skip)]
    pub providers: Providers,
    /// The contents of the TLS files.
    #[arg(skip)]
    pub listener_tls: ListenerTls,
    /// Every setting as it took effect, by variable; of files the name.
    #[arg(skip)]
    pub effective: BTreeMap<String, String>,
}

impl Settings {
    /// The database's URL that leads past a pooler, if there is one.
    #[must_use]
    pub fn database_direct_url(&self) -> Option<&SecretString> {
        let url = self.database_direct_url.as_ref();
        url.or(self.database_direct_url_file.as_ref())
    }

    /// Where traces go, and how many.
    #[must_use]
    pub fn traces(&self) -> TraceSettings {
        TraceSettings {
            endpoint: self.trace_endpoint.clone(),
            percent: self.trace_percent,
        }
    }

    /// What requests to git hosts and identity providers go through.
    #[must_use]
    pub fn proxy(&self) -> Option<EgressProxy> {
        EgressProxy::of(self.https_proxy.as_ref(), self.no_proxy.as_ref())
    }

    /// How the pool is set up.
    #[must_use]
    pub fn pool(&self) -> PoolOptions {
        PoolOptions {
            size: self.database_connections - BESIDE_THE_POOL,
            statement_timeout: *self.statement_timeout,
            ..PoolOptions::default()
        }
    }

    /// The bounds for callers and the process.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            user_calls: self.user_calls,
            user_calls_per_second: self.user_calls_per_second,
            user_watches: self.user_watches,
            user_waiting_calls: self.user_waiting_calls,
            user_unread_bytes: self.user_unread_mib * MIB,
            service_weight: self.service_weight,
            calls: self.max_calls,
            waiting_calls: self.max_waiting_calls,
            unread_bytes: self.max_unread_mib * MIB,
            answer_timeout: *self.call_timeout,
            database_connections: self.database_connections,
        }
    }
}

/// Reads `arguments` (the program's name first), the process's environment, and the git hosts in
/// `environment`.
///
/// # Errors
///
/// See [`ConfigError`]: all problems at once.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &BTreeMap<String, String>,
) -> Result<Command, ConfigError> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    let is_flag = |text: &str| text.starts_with("--") && text != "--help" && text != "--version";
    if arguments.len() == 1 || first.is_some_and(is_flag) {
        arguments.insert(1, "serve".into());
    }
    let mut reader = Reader::new::<Cli>(arguments, environment.keys(), PREFIX)?;
    if reader.subcommand() != Some("serve") {
        return Ok(reader.finish::<Cli>()?.command);
    }
    reader.require_any(&["database_url", "database_url_file"]);
    for field in ["sync_jwt_issuer", "sync_jwks_token_file"] {
        reader.needs(field, "sync_jwt_keys");
    }
    reader.at_least("call_timeout", "statement_timeout");
    reader.at_least("call_timeout", "refresh_timeout");
    let providers = reader.collect(Providers::from_vars(environment));
    let listener_tls = ListenerTls::read(&mut reader);
    let effective = reader.effective();
    let mut command = reader.finish::<Cli>()?.command;
    if let Command::Serve(settings) = &mut command {
        settings.providers = providers;
        settings.listener_tls = listener_tls;
        settings.effective = effective;
    }
    Ok(command)
}

#[cfg(test)]
mod tests;
