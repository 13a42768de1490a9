//! The HTTP endpoint for Kubernetes and Prometheus: `/livez`, `/readyz`, `/metrics`.
//!
//! Liveness says that the process can answer at all; it never asks a dependency, since restarting a
//! pod does not mend a database. Readiness is the value last set in [`Readiness`].

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock, Once},
    time::Duration,
};

use axum::{
    Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get,
};
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::{net::TcpListener, runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{
    listener::{self, ConnectionOptions, ListenerMetrics},
    tls::ServerTls,
};

/// Probes and scrapers: each keeps one connection at most.
const MAX_CONNECTIONS: usize = 100;
const CALLS_PER_CONNECTION: u32 = 32;
/// Far above the time between two scrapes, below that within which an address is used again.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// An answer is made at once.
const GRACE: Duration = Duration::from_secs(2);

/// Set by each scrape.
static TASKS: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// Whether this process should get traffic, and if not, why.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<Result<(), String>>,
    gauge: Gauge,
}

impl Readiness {
    /// Says that traffic is welcome.
    pub fn ready(&self) {
        self.gauge.set(1);
        self.state.send_modify(|state| *state = Ok(()));
    }

    /// Says that traffic should go elsewhere.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.gauge.set(0);
        self.state.send_modify(|state| *state = Err(why.into()));
    }

    /// The last state that was set.
    ///
    /// # Errors
    ///
    /// The reason, when not ready.
    pub fn state(&self) -> Result<(), String> {
        self.state.borrow().clone()
    }
}

impl Default for Readiness {
    /// Not ready, since the process is starting.
    fn default() -> Self {
        Self {
            state: watch::Sender::new(Err("starting".to_owned())),
            gauge: Gauge::default(),
        }
    }
}

/// Registers what every process says of itself: its release, whether it is ready, and how often
/// something in it panicked, which is counted from the first call on.
pub fn register(registry: &mut Registry, readiness: &Readiness, version: &'static str) {
    static PANICS: LazyLock<Counter> = LazyLock::new(Counter::default);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let then = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.inc();
            then(panic);
        }));
    });
    let build = Family::<[(&str, &str); 1], Gauge>::default();
    build.get_or_create(&[("version", version)]).set(1);
    registry.register("build_info", "1, with the release of this process", build);
    registry.register(
        "ready",
        "1 while this process should get traffic, as /readyz says; else 0",
        readiness.gauge.clone(),
    );
    registry.register(
        "panics",
        "Panics of this process: each is a bug, and ended the task in which it happened",
        PANICS.clone(),
    );
    registry.register(
        "tasks",
        "Tasks of this process: one for each connection, call, stream, and its own work",
        TASKS.clone(),
    );
}

/// Serves the endpoint, over TLS if there is any, until `stop`.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerTls>,
    readiness: Readiness,
    registry: Arc<Registry>,
    metrics: ListenerMetrics,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state((readiness, registry));
    let options = ConnectionOptions {
        most: MAX_CONNECTIONS,
        streams: CALLS_PER_CONNECTION,
        max_age: MAX_CONNECTION_AGE,
        grace: GRACE,
        http1: true,
        tls,
    };
    listener::serve(listener, router, options, metrics, stop).await;
}

/// Binds `address`, and says which address in the error.
///
/// # Errors
///
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("bind {address}: {error}")))
}

/// The URL of a listener, over TLS or not.
#[must_use]
pub fn url(address: SocketAddr, has_tls: bool) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// Writes the URLs of the process's listeners, by name, to a file that is there whole or not at
/// all.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_ready_file(path: &Path, urls: &[(&str, String)]) -> std::io::Result<()> {
    let urls: BTreeMap<_, _> = urls.iter().map(|(name, url)| (*name, url)).collect();
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, format!("{}\n", serde_json::json!(urls)))?;
    std::fs::rename(&partial, path)
}

async fn readyz(State((readiness, _)): State<(Readiness, Arc<Registry>)>) -> impl IntoResponse {
    match readiness.state() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn render(
    State((_, registry)): State<(Readiness, Arc<Registry>)>,
) -> Result<impl IntoResponse, StatusCode> {
    let tasks = Handle::current().metrics().num_alive_tasks();
    TASKS.set(tasks.try_into().unwrap_or(i64::MAX));
    let mut text = String::new();
    encode_registry(&mut text, &registry)
        .and_then(|()| exposition(&text))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
        .map(|text| ([(header::CONTENT_TYPE, TEXT_FORMAT)], text))
}

/// Prometheus' own text format, which all scrapers and `promtool check metrics` read.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same metrics as `open`, which is `OpenMetrics`' text: it has units of their own, and names a
/// counter without the `_total` that its samples end in.
fn exposition(open: &str) -> Result<String, fmt::Error> {
    use fmt::Write as _;

    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, metric_type) = typed.split_once(' ').ok_or(fmt::Error)?;
            let total = if metric_type == "counter" {
                "_total"
            } else {
                ""
            };
            writeln!(text, "# HELP {name}{total} {help}")?;
            writeln!(text, "# TYPE {name}{total} {metric_type}")?;
        } else if !line.starts_with('#') {
            writeln!(text, "{line}")?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_served_in_the_text_format_that_names_counters_as_their_samples() {
        let mut registry = Registry::default();
        let readiness = Readiness::default();
        register(
            registry.sub_registry_with_prefix("chat"),
            &readiness,
            "1.2.3",
        );
        readiness.ready();
        let mut open = String::new();
        encode_registry(&mut open, &registry).unwrap();
        let text = exposition(&open).unwrap();
        for lines in [
            "# TYPE chat_build_info gauge\nchat_build_info{version=\"1.2.3\"} 1\n",
            "# TYPE chat_ready gauge\nchat_ready 1\n",
            "# TYPE chat_panics_total counter\nchat_panics_total ",
        ] {
            assert!(text.contains(lines), "{text}");
        }
        readiness.not_ready("draining");
        assert_eq!(readiness.gauge.get(), 0);
    }

    #[test]
    fn a_panic_is_counted_whatever_becomes_of_its_task() {
        let mut registry = Registry::default();
        register(&mut registry, &Readiness::default(), "1.2.3");
        let panicked = std::thread::spawn(|| panic!("as a bug would")).join();
        assert!(panicked.is_err());
        let mut text = String::new();
        encode_registry(&mut text, &registry).unwrap();
        assert!(!text.contains("panics_total 0\n"), "{text}");
    }
}
