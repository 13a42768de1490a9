//! Every setting of the process: a flag, a variable of the same name, a default and a range. The
//! only place that reads the environment.
//!
//! Durations are written as a number and a unit: `250ms`, `10s`, `2m`, `24h`. A flag wins over its
//! variable. All problems are reported together, and a variable with our prefix that is no setting
//! is one of them: it is a typo.

mod duration;
mod reader;
mod settings;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum as _;
use service_runtime::{
    telemetry::LogFormat,
    token::{TokenFile, Verifier},
};
use url::Url;
use uuid::Uuid;

use crate::{
    pace::{self, Pauses},
    schedule::Schedule,
};

use reader::Reader;

pub use duration::{format_duration, parse_duration};

/// Every variable of this process begins so.
pub const PREFIX: &str = "GITSYNC_";
/// Variables that begin so are about this service and not for it: Kubernetes announces a Service
/// called `gitsync-service` by them, and a test run names the binary.
pub const FOREIGN_PREFIX: &str = "GITSYNC_SERVICE_";
/// Exit code for a configuration that cannot work (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// The settings, checked. Holds what the files held, so that a missing key stops the process
/// before it binds a port.
pub struct Config {
    /// `GITSYNC_CHAT_SERVICE_URL`: chat-service's listener for `SyncService`. Required; `http://`.
    pub chat_service_url: String,
    /// `GITSYNC_TOKEN_FILE`: a file with this service's own JWT. Required; read again when it is
    /// refused, and from time to time.
    pub token: TokenFile,
    /// `GITSYNC_JWT_PUBLIC_KEY_FILE`: the Ed25519 public key, in PEM, that callers' tokens are
    /// checked against. Required.
    pub verifier: Verifier,
    /// `GITSYNC_LISTEN`: where `WorkerService`, health and reflection are served. Port 0 takes any.
    pub listen: SocketAddr,
    /// `GITSYNC_OPS_LISTEN`: where `/livez`, `/readyz` and `/metrics` are served. Port 0 takes any.
    pub ops_listen: SocketAddr,
    /// `GITSYNC_WORKER_ID`: names this worker for operators; 1 to 100 characters. Default: the
    /// host's name and a random suffix.
    pub worker_id: String,
    /// `GITSYNC_CONCURRENCY`: requests to git hosts at once.
    pub concurrency: usize,
    /// `GITSYNC_BATCH_SIZE`: refs per lease call.
    pub batch_size: usize,
    /// `GITSYNC_INTERVAL`: how long a lease call waits.
    pub interval: Duration,
    /// `GITSYNC_TICK_TIMEOUT`: how long the refs of a lease may be looked up.
    pub tick_timeout: Duration,
    /// `GITSYNC_REQUEST_TIMEOUT`: how long one request to a git host may take.
    pub request_timeout: Duration,
    /// `GITSYNC_GRAPHQL`: whether hosts are asked for many refs at once, where they can be.
    pub graphql: bool,
    /// `GITSYNC_DRAIN_TIMEOUT`: how long a stop may take.
    pub drain_timeout: Duration,
    /// `GITSYNC_DIFF_STATUS_TTL` and the other intervals: when a ref is looked up again.
    pub schedule: Schedule,
    /// `GITSYNC_RESERVE_PERCENT` and those after it: how much of a budget is spent, and how fast.
    pub pace: pace::Settings,
    /// `GITSYNC_LOG_FORMAT`: `json` or `text`.
    pub log_format: LogFormat,
    /// `GITSYNC_LOG_FILTER`: as in `info,gitsync_service=debug`.
    pub log_filter: String,
    /// `GITSYNC_READY_FILE`: written, as JSON, once the process is ready.
    pub ready_file: Option<PathBuf>,
    effective: BTreeMap<&'static str, String>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The flags are not such, or help was asked for: what to print, and the exit code.
    Usage {
        /// To be printed as it is.
        text: String,
        /// 0 when help or the version was asked for.
        exit_code: u8,
    },
    /// Each names its setting and says what is wrong with it.
    Problems(Vec<String>),
}

impl Config {
    /// Reads the process's own arguments and environment.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn from_process() -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self::read(std::env::args_os(), &environment)
    }

    /// Reads `arguments` (the program's name first) and `environment`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`]: all problems at once.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(arguments, environment)?;
        let chat_service_url = reader.required("chat-service-url", chat_service_url);
        let token = reader.required("token-file", token_file);
        let verifier = reader.required("jwt-public-key-file", verifier);
        let listen = reader.parsed("listen", socket_address);
        let ops_listen = reader.parsed("ops-listen", socket_address);
        let worker_id = reader.text("worker-id");
        let worker_id = worker_id.unwrap_or_else(|| default_worker_id(environment));
        if !(1..=100).contains(&worker_id.chars().count()) {
            reader.problem("worker-id", "must have 1 to 100 characters");
        }
        let log_format = reader.parsed("log-format", log_format);
        let log_filter = reader.text("log-filter");
        let ready_file = reader.text("ready-file").map(PathBuf::from);

        let concurrency = reader.count("concurrency");
        let batch_size = reader.count("batch-size");
        let interval = reader.span("interval");
        let tick_timeout = reader.span("tick-timeout");
        let request_timeout = reader.span("request-timeout");
        let graphql = reader.parsed("graphql", switch);
        let drain_timeout = reader.span("drain-timeout");
        let pauses = pauses(&mut reader);
        let schedule = schedule(&mut reader, pauses);
        let pace = pace(&mut reader, pauses);
        reader.at_least(
            "tick-timeout",
            tick_timeout,
            "request-timeout",
            request_timeout,
        );
        reader.at_least(
            "no-pull-request-cap",
            schedule.no_pull_request_cap,
            "no-pull-request-interval",
            schedule.no_pull_request_interval,
        );
        reader.at_least(
            "failure-cap",
            schedule.failure_cap,
            "failure-backoff",
            schedule.failure_backoff,
        );
        reader.at_least(
            "access-cap",
            schedule.access_cap,
            "access-backoff",
            schedule.access_backoff,
        );
        reader.at_least(
            "closed-cap",
            schedule.closed_cap,
            "closed-interval",
            schedule.closed_interval,
        );

        reader.at_least(
            "slow-answer",
            pace.slow_answer,
            "quick-answer",
            pace.quick_answer,
        );
        reader.at_least(
            "host-probe-cap",
            pace.host_probe_cap,
            "host-probe-after",
            pace.host_probe_after,
        );
        reader.at_least(
            "secondary-cap",
            pace.pauses.secondary_cap,
            "secondary-pause",
            pace.pauses.secondary_pause,
        );

        let effective = reader.finish()?;
        // `finish` has refused whatever is missing here.
        let (
            Some(chat_service_url),
            Some(token),
            Some(verifier),
            Some(listen),
            Some(ops_listen),
            Some(log_format),
            Some(log_filter),
            Some(graphql),
        ) = (
            chat_service_url,
            token,
            verifier,
            listen,
            ops_listen,
            log_format,
            log_filter,
            graphql,
        )
        else {
            return Err(ConfigError::Problems(vec![
                "a setting is missing".to_owned(),
            ]));
        };
        Ok(Self {
            chat_service_url,
            token,
            verifier,
            listen,
            ops_listen,
            worker_id,
            concurrency,
            batch_size,
            interval,
            tick_timeout,
            request_timeout,
            graphql,
            drain_timeout,
            schedule,
            pace,
            log_format,
            log_filter,
            ready_file,
            effective,
        })
    }

    /// Every setting as it took effect, by variable; of secrets only the file's name.
    #[must_use]
    pub fn effective(&self) -> &BTreeMap<&'static str, String> {
        &self.effective
    }
}

fn schedule(reader: &mut Reader<'_>, pauses: Pauses) -> Schedule {
    Schedule {
        diff_status_ttl: reader.span("diff-status-ttl"),
        viewed_interval: reader.span("viewed-interval"),
        active_window: reader.span("active-window"),
        open_cap: reader.span("open-cap"),
        quiet_after: reader.span("quiet-after"),
        quiet_cap: reader.span("quiet-cap"),
        draft_factor: small(reader, "draft-factor"),
        no_pull_request_interval: reader.span("no-pull-request-interval"),
        no_pull_request_window: reader.span("no-pull-request-window"),
        no_pull_request_cap: reader.span("no-pull-request-cap"),
        no_pull_request_old_cap: reader.span("no-pull-request-old-cap"),
        abandoned_after: reader.span("abandoned-after"),
        merged_first_confirmation: reader.span("merged-first-confirmation"),
        merged_second_confirmation: reader.span("merged-second-confirmation"),
        closed_interval: reader.span("closed-interval"),
        closed_cap: reader.span("closed-cap"),
        gone_interval: reader.span("gone-interval"),
        failure_backoff: reader.span("failure-backoff"),
        failure_cap: reader.span("failure-cap"),
        no_token_backoff: reader.span("no-token-backoff"),
        access_backoff: reader.span("access-backoff"),
        access_cap: reader.span("access-cap"),
        policy_backoff: reader.span("policy-backoff"),
        jitter_percent: small(reader, "jitter-percent"),
        failure_jitter_percent: small(reader, "failure-jitter-percent"),
        pauses,
    }
}

fn pace(reader: &mut Reader<'_>, pauses: Pauses) -> pace::Settings {
    pace::Settings {
        reserve_percent: small(reader, "reserve-percent"),
        reserve_least: small(reader, "reserve-least"),
        interactive_floor_percent: small(reader, "interactive-floor-percent"),
        burst: small(reader, "burst"),
        burst_gap: reader.span("burst-gap"),
        cautious_gap: reader.span("cautious-gap"),
        local_ceiling: small(reader, "local-ceiling"),
        probe_batch: small(reader, "probe-batch"),
        detail_batch: small(reader, "detail-batch"),
        discover_batch: small(reader, "discover-batch"),
        gap_jitter_percent: small(reader, "gap-jitter-percent"),
        quick_answer: reader.span("quick-answer"),
        slow_answer: reader.span("slow-answer"),
        slow_detail: reader.span("slow-detail"),
        clean_answers: small(reader, "clean-answers"),
        batch_hold: reader.span("batch-hold"),
        host_trouble_keys: small(reader, "host-trouble-keys"),
        host_trouble_window: reader.span("host-trouble-window"),
        host_probe_after: reader.span("host-probe-after"),
        host_probe_cap: reader.span("host-probe-cap"),
        host_pause: reader.span("host-pause"),
        host_ramp: reader.span("host-ramp"),
        capability_ttl: reader.span("capability-ttl"),
        pauses,
    }
}

fn pauses(reader: &mut Reader<'_>) -> Pauses {
    Pauses {
        reset_padding: reader.span("reset-padding"),
        reset_spread: reader.span("reset-spread"),
        secondary_pause: reader.span("secondary-pause"),
        secondary_cap: reader.span("secondary-cap"),
        confirmation: reader.span("confirmation"),
        confirmation_spread: reader.span("confirmation-spread"),
        locked_pause: reader.span("locked-pause"),
        heavy_pause: reader.span("heavy-pause"),
        heavy_spread: reader.span("heavy-spread"),
    }
}

/// A count whose range fits.
fn small(reader: &mut Reader<'_>, name: &'static str) -> u32 {
    u32::try_from(reader.count(name)).unwrap_or(u32::MAX)
}

fn chat_service_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| "must be a URL, as in http://127.0.0.1:50052")?;
    if url.scheme() != "http" || !url.has_host() {
        return Err("must begin with http:// and name a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold credentials".to_owned());
    }
    Ok(text.to_owned())
}

fn token_file(path: &str) -> Result<TokenFile, String> {
    TokenFile::open(Path::new(path)).map_err(|error| format!("cannot be used: {error}"))
}

fn verifier(path: &str) -> Result<Verifier, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    Verifier::from_public_key_pem(&pem).map_err(|error| error.to_string())
}

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an address and a port, as in 0.0.0.0:50061")
}

fn switch(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "must be true or false")
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    LogFormat::from_str(text, true).map_err(|_| "must be json or text")
}

/// Tells workers apart also when several run on one host or under one name.
fn default_worker_id(environment: &BTreeMap<String, String>) -> String {
    let host = environment
        .get("HOSTNAME")
        .filter(|name| !name.is_empty() && name.len() <= 80)
        .map_or("gitsync", String::as_str);
    let suffix = Uuid::new_v4().simple().to_string();
    format!("{host}-{}", suffix.get(..8).unwrap_or_default())
}
