//! Every setting: a flag, a variable, a default and a range. Only this file reads the environment.
//!
//! An operator can judge each of these; every other number is a constant beside what it is for.

mod operators;
mod tls;
mod value;

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Parser};
use proto::bounds::{LEASE_DURATION, MAX_OUTCOMES};
use secrecy::SecretString;
use service_runtime::{
    config::{
        ConfigError, Reader, Span, address, collector, count, environment, log_filter, percent,
        span, token_file,
    },
    egress::{EgressProxy, https_proxy, no_proxy},
    telemetry::LogFormat,
    token::TokenFile,
    trace::TraceSettings,
};

pub use self::operators::OperatorSettings;
pub use self::tls::{Plaintext, Tls};
use self::value::{chat_service_url, default_worker_id, worker_id};
use crate::{
    budget::{self, ceiling, host_state, pause},
    host::github::{self, REQUEST_TIMEOUT},
    schedule::Schedule,
    worker::{BATCH_SIZE, CONCURRENCY, DRAIN_TIMEOUT, INTERVAL, TICK_TIMEOUT},
};

/// Every variable of this process begins so.
const PREFIX: &str = "GITSYNC_";

const TENTH: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Leases due git refs from chat-service and looks up their pull requests.
#[derive(Parser)]
#[command(name = "gitsync-service", version)]
pub struct Settings {
    /// URL of chat-service's listener for workers, as in `https://chat.example:50052`
    #[arg(long, env = "GITSYNC_CHAT_SERVICE_URL", value_parser = chat_service_url)]
    pub chat_service_url: String,
    /// File with the token (JWT) by which this worker calls chat-service; read again when replaced
    #[arg(long = "token-file", env = "GITSYNC_TOKEN_FILE", value_parser = token_file)]
    #[arg(value_name = "FILE")]
    pub token: Option<TokenFile>,
    /// Which operators may call.
    #[command(flatten)]
    pub operators: OperatorSettings,
    /// Address that serves `WorkerService`, health and reflection to operators; port 0 is any port
    #[arg(long, env = "GITSYNC_LISTEN", value_parser = address, default_value = "127.0.0.1:50061")]
    pub listen: SocketAddr,
    /// Address that serves /livez, /readyz and /metrics over HTTP; port 0 is any port
    #[arg(long, env = "GITSYNC_OPS_LISTEN", value_parser = address, default_value = "127.0.0.1:9061")]
    pub ops_listen: SocketAddr,
    /// File with the authorities (PEM), one of which must have signed chat-service's certificate
    /// [default: those of the system]
    #[arg(long, env = "GITSYNC_CHAT_SERVICE_CA_FILE", value_name = "FILE")]
    pub chat_service_ca_file: Option<PathBuf>,
    /// File with the certificate chain (PEM) of this worker, for its listeners and for a
    /// chat-service that requires client certificates; read again when it is replaced
    #[arg(long, env = "GITSYNC_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with the key (PEM) of the certificate
    #[arg(long, env = "GITSYNC_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// Where plain text may be spoken with other machines, with commas between: grpc, ops (the
    /// listeners, which then have no TLS), chat-service
    #[arg(long, env = "GITSYNC_PLAINTEXT", value_enum, value_delimiter = ',')]
    #[arg(value_name = "NAMES", hide_possible_values = true)]
    pub plaintext: Vec<Plaintext>,
    /// Name of this worker in logs and for operators [default: host name and a random suffix]
    #[arg(long, env = "GITSYNC_WORKER_ID", value_parser = worker_id)]
    #[arg(default_value_t = default_worker_id(), hide_default_value = true)]
    pub worker_id: String,

    /// Requests of this worker to git hosts in flight at once
    #[arg(long, env = "GITSYNC_CONCURRENCY", value_parser = count(1..=1_000_usize))]
    #[arg(default_value_t = CONCURRENCY)]
    pub concurrency: usize,
    /// Git refs that one lease call asks for at most
    #[arg(long, env = "GITSYNC_BATCH_SIZE", value_parser = count(1..=MAX_OUTCOMES))]
    #[arg(default_value_t = BATCH_SIZE)]
    pub batch_size: usize,
    /// Duration for which one lease call waits until a git ref is due
    #[arg(long, env = "GITSYNC_INTERVAL", value_parser = span(TENTH, LEASE_DURATION / 2))]
    #[arg(default_value_t = INTERVAL.into())]
    pub interval: Span,
    /// Duration for which the git refs of one lease may be looked up; reports are not bounded by it
    #[arg(long, env = "GITSYNC_TICK_TIMEOUT", value_parser = span(TENTH, HOUR))]
    #[arg(default_value_t = TICK_TIMEOUT.into())]
    pub tick_timeout: Span,
    /// Timeout of one HTTP request to a git host
    #[arg(long, env = "GITSYNC_REQUEST_TIMEOUT", value_parser = span(TENTH, HOUR))]
    #[arg(default_value_t = REQUEST_TIMEOUT.into())]
    pub request_timeout: Span,
    /// Duration for which a stop waits for lookups and reports that are under way
    #[arg(long, env = "GITSYNC_DRAIN_TIMEOUT", value_parser = span(TENTH, HOUR))]
    #[arg(default_value_t = DRAIN_TIMEOUT.into())]
    pub drain_timeout: Span,
    /// Whether GitHub is asked over GraphQL, for many git refs at once; if false, over REST only
    #[arg(long, env = "GITSYNC_GRAPHQL", action = ArgAction::Set, default_value_t = true)]
    pub graphql: bool,

    /// URL of the proxy that git hosts and https URLs of keys are reached through, as in
    /// `http://proxy.example:3128`
    #[arg(long, env = "GITSYNC_HTTPS_PROXY", value_parser = https_proxy)]
    #[arg(value_name = "URL", hide_env_values = true)]
    pub https_proxy: Option<SecretString>,
    /// Hosts that are reached without the proxy, as in `.corp.example,10.0.0.0/8`
    #[arg(long, env = "GITSYNC_NO_PROXY", value_parser = no_proxy)]
    #[arg(value_name = "HOSTS")]
    pub no_proxy: Option<String>,

    /// Interval between lookups of an open pull request whose chat is active
    #[arg(long, env = "GITSYNC_DIFF_STATUS_TTL", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.diff_status_ttl.into())]
    pub diff_status_ttl: Span,
    /// Duration for which a chat counts as active after something happened in it
    #[arg(long, env = "GITSYNC_ACTIVE_WINDOW", value_parser = span(Duration::ZERO, MONTH))]
    #[arg(default_value_t = Schedule::DEFAULT.active_window.into())]
    pub active_window: Span,
    /// Longest interval between lookups of an open pull request of a chat that is not active
    #[arg(long, env = "GITSYNC_OPEN_CAP", value_parser = span(TENTH, MONTH))]
    #[arg(default_value_t = Schedule::DEFAULT.open_cap.into())]
    pub open_cap: Span,
    /// Longest interval between lookups of an open pull request of a chat unused for 7 days
    #[arg(long, env = "GITSYNC_QUIET_CAP", value_parser = span(TENTH, MONTH))]
    #[arg(default_value_t = Schedule::DEFAULT.quiet_cap.into())]
    pub quiet_cap: Span,
    /// Interval until a branch without a pull request is looked up again after a push; doubles
    #[arg(long, env = "GITSYNC_NO_PULL_REQUEST_INTERVAL", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.no_pull_request_interval.into())]
    pub no_pull_request_interval: Span,
    /// Longest interval between lookups of a branch without a pull request in the hour after a push
    #[arg(long, env = "GITSYNC_NO_PULL_REQUEST_CAP", value_parser = span(TENTH, MONTH))]
    #[arg(default_value_t = Schedule::DEFAULT.no_pull_request_cap.into())]
    pub no_pull_request_cap: Span,
    /// Interval until a closed pull request is looked up again, as it can be reopened; doubles
    #[arg(long, env = "GITSYNC_CLOSED_INTERVAL", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.closed_interval.into())]
    pub closed_interval: Span,
    /// Difference between the shortest and the longest interval of different accounts, in percent
    #[arg(long, env = "GITSYNC_JITTER_PERCENT", value_parser = count(0..=100_u32))]
    #[arg(default_value_t = Schedule::DEFAULT.jitter_percent)]
    pub jitter_percent: u32,

    /// Backoff of a git ref after a failed lookup, such as a timeout; doubles each time
    #[arg(long, env = "GITSYNC_FAILURE_BACKOFF", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.failure_backoff.into())]
    pub failure_backoff: Span,
    /// Longest backoff of a git ref whose lookups fail
    #[arg(long, env = "GITSYNC_FAILURE_CAP", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.failure_cap.into())]
    pub failure_cap: Span,
    /// Backoff of a git ref whose owner has no linked git account; linking one ends it
    #[arg(long, env = "GITSYNC_NO_TOKEN_BACKOFF", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.no_token_backoff.into())]
    pub no_token_backoff: Span,
    /// Backoff of a git ref whose repository the account may not read; doubles with each refusal
    #[arg(long, env = "GITSYNC_ACCESS_BACKOFF", value_parser = span(TENTH, DAY))]
    #[arg(default_value_t = Schedule::DEFAULT.access_backoff.into())]
    pub access_backoff: Span,
    /// Longest backoff of a git ref whose repository the account may not read
    #[arg(long, env = "GITSYNC_ACCESS_CAP", value_parser = span(TENTH, MONTH))]
    #[arg(default_value_t = Schedule::DEFAULT.access_cap.into())]
    pub access_cap: Span,

    /// Share of an account's rate limit that background lookups leave to its owner, in percent
    #[arg(long, env = "GITSYNC_RESERVE_PERCENT", value_parser = count(0..=100_u32))]
    #[arg(default_value_t = budget::RESERVE_PERCENT)]
    pub reserve_percent: u32,
    /// Requests a minute for one account at a git host that states no rate limit; 0: unlimited
    #[arg(long, env = "GITSYNC_LOCAL_CEILING", value_parser = count(0..=1_000_000_u32))]
    #[arg(default_value_t = ceiling::LOCAL_CEILING)]
    pub local_ceiling: u32,
    /// Pause that is added to the end of an account's rate limit window, against differing clocks
    #[arg(long, env = "GITSYNC_RESET_PADDING", value_parser = span(Duration::ZERO, HOUR))]
    #[arg(default_value_t = pause::RESET_PADDING.into())]
    pub reset_padding: Span,
    /// Duration over which accounts resume whose rate limit windows end at the same time
    #[arg(long, env = "GITSYNC_RESET_SPREAD", value_parser = span(Duration::ZERO, HOUR))]
    #[arg(default_value_t = pause::RESET_SPREAD.into())]
    pub reset_spread: Span,
    /// Shortest pause of an account after a secondary rate limit; doubles each time, to 30m
    #[arg(long, env = "GITSYNC_SECONDARY_PAUSE", value_parser = span(TENTH, pause::SECONDARY_CAP))]
    #[arg(default_value_t = pause::SECONDARY.into())]
    pub secondary_pause: Span,
    /// Pause of a git host that is down, until one request tries it; doubles each time, to 1m
    #[arg(long, env = "GITSYNC_HOST_PROBE_AFTER", value_parser = span(TENTH, host_state::PROBE_CAP))]
    #[arg(default_value_t = host_state::PROBE_AFTER.into())]
    pub host_probe_after: Span,

    /// Format of log lines on standard error: json or text
    #[arg(
        long,
        env = "GITSYNC_LOG_FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// Filter of log lines, as in `info,gitsync_service=debug`
    #[arg(long, env = "GITSYNC_LOG", value_parser = log_filter, default_value = "info")]
    pub log: String,
    /// OTLP/gRPC endpoint of a collector that receives traces, as in `http://127.0.0.1:4317`
    /// [default: no traces]
    #[arg(long, env = "GITSYNC_TRACE_ENDPOINT", value_parser = collector, value_name = "URL")]
    pub trace_endpoint: Option<String>,
    /// Share of the traces started by this process that is exported, in percent; a trace started by
    /// a caller keeps the caller's decision
    #[arg(long, env = "GITSYNC_TRACE_PERCENT", value_parser = percent, default_value = "100")]
    pub trace_percent: f64,
    /// File that receives the addresses of this process, as JSON, once it is ready
    #[arg(long, env = "GITSYNC_READY_FILE")]
    pub ready_file: Option<PathBuf>,

    /// The contents of the TLS files.
    #[arg(skip)]
    pub tls: Tls,
    /// Every setting as it took effect, by variable; of files the name.
    #[arg(skip)]
    pub effective: BTreeMap<String, String>,
}

impl Settings {
    /// Reads `arguments` (the program's name first) and the process's environment.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`]: all problems at once.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new::<Self>(arguments, environment().keys(), PREFIX)?;
        reader.require_any(&["token", "tls_cert_file"]);
        reader.at_least("tick_timeout", "request_timeout");
        reader.at_least("open_cap", "diff_status_ttl");
        reader.at_least("quiet_cap", "open_cap");
        reader.at_least("no_pull_request_cap", "no_pull_request_interval");
        reader.at_least("failure_cap", "failure_backoff");
        reader.at_least("access_cap", "access_backoff");
        let tls = Tls::read(&mut reader);
        let effective = reader.effective();
        Ok(Self {
            tls,
            effective,
            ..reader.finish()?
        })
    }

    /// Where traces go, and how many.
    #[must_use]
    pub fn traces(&self) -> TraceSettings {
        TraceSettings {
            endpoint: self.trace_endpoint.clone(),
            percent: self.trace_percent,
        }
    }

    /// When a ref is looked up again.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule {
            diff_status_ttl: *self.diff_status_ttl,
            active_window: *self.active_window,
            open_cap: *self.open_cap,
            quiet_cap: *self.quiet_cap,
            no_pull_request_interval: *self.no_pull_request_interval,
            no_pull_request_cap: *self.no_pull_request_cap,
            closed_interval: *self.closed_interval,
            failure_backoff: *self.failure_backoff,
            failure_cap: *self.failure_cap,
            no_token_backoff: *self.no_token_backoff,
            access_backoff: *self.access_backoff,
            access_cap: *self.access_cap,
            jitter_percent: self.jitter_percent,
            ..Schedule::default()
        }
    }

    /// What requests to other hosts than chat-service go through.
    #[must_use]
    pub fn proxy(&self) -> Option<EgressProxy> {
        EgressProxy::of(self.https_proxy.as_ref(), self.no_proxy.as_ref())
    }

    /// How git hosts are asked.
    #[must_use]
    pub fn github(&self) -> github::Settings {
        github::Settings {
            graphql: self.graphql,
            proxy: self.proxy(),
            ..github::Settings::default()
        }
    }

    /// How much of an account's rate limit is spent, and how long pauses are.
    #[must_use]
    pub fn budget(&self) -> budget::Settings {
        budget::Settings {
            reserve_percent: self.reserve_percent,
            local_ceiling: self.local_ceiling,
            host_probe_after: *self.host_probe_after,
            reset_padding: *self.reset_padding,
            reset_spread: *self.reset_spread,
            secondary_pause: *self.secondary_pause,
            ..budget::Settings::default()
        }
    }
}
