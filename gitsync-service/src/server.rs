//! Puts the process together: listeners, the worker, and the order in which they start and stop.
//!
//! Start: bind, log the addresses, serve, work, and be ready while chat-service answers. Stop: not
//! ready, drain the worker, then stop serving, so that operators can watch the drain.

use std::{io, sync::Arc, time::Duration};

use futures_util::FutureExt;
use proto::gitsync::v1::worker_service_server::WorkerServiceServer;
use service_runtime::{
    admission::{AdmissionLayer, Authenticate},
    call_metrics::{CallMetrics, CallMetricsLayer},
    listener::{self, ConnectionMetrics, ConnectionOptions, ListenerMetrics},
    ops::{self, Readiness},
    services::{Health, ServiceSet, Services},
    shutdown,
    tls::ServerTls,
    token::{Claims, KeyMetrics},
    trace::{TraceLayer, TracedProcess, Traces},
};
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{Layer as _, ServiceExt as _};

use crate::{
    config::{Plaintext, Settings},
    error::Error,
    grpc::{WorkerApi, authenticate},
    metrics::{self, Metrics},
    sync_client::SyncClient,
    worker::{self, Refresher, RefresherSettings, UpstreamHealth, Worker},
};

/// How often the token file is read without being asked to: well within what is left of a projected
/// Kubernetes token when it is replaced, which is a fifth of ten minutes at least.
const TOKEN_RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// chat-service is called at least once per interval. When it has not answered for this many of
/// them, this process is of no use until it does.
const SILENT_INTERVALS: u32 = 3;
/// How long listeners may take to close: a peer that never answers must not hold the process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Behind a balancer that works on connections, long ones never move to a new pod.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Operators and probes: no one else calls a worker.
const MAX_CONNECTIONS: usize = 100;
const CALLS_PER_CONNECTION: u32 = 32;

/// Runs the process until a signal comes and everything is drained.
///
/// # Errors
///
/// When something cannot be set up or served, or a part of the process panicked.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signals = shutdown::cancel_on_signal(stop.clone())?;
    let grpc_listener = ops::bind(settings.listen).await?;
    let ops_listener = ops::bind(settings.ops_listen).await?;
    let grpc_address = grpc_listener.local_addr()?;
    let ops_address = ops_listener.local_addr()?;
    tracing::info!(
        event = "listening",
        grpc = %grpc_address,
        ops = %ops_address,
        "listening"
    );
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        worker.id = settings.worker_id,
        settings = ?settings.effective,
        "effective configuration"
    );

    let metrics = Arc::new(Metrics::default());
    let sync = SyncClient::new(
        &settings.chat_service_url,
        &settings.tls.chat_service()?,
        settings.token.clone(),
        settings.worker_id.clone(),
        metrics.sync_calls.clone(),
    )?;
    let worker = build_worker(&settings, sync.clone(), Arc::clone(&metrics))?;
    let readiness = Readiness::default();
    let close = CancellationToken::new();

    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    tasks.spawn(async move { match signals.await {} });
    tasks.spawn(reload_token(sync, stop.clone()));
    let mut registry = metrics::registry(&metrics);
    let traced = TracedProcess {
        service: "gitsync-service",
        version: env!("CARGO_PKG_VERSION"),
        instance: settings.worker_id.clone(),
    };
    let own = registry.sub_registry_with_prefix("gitsync");
    let traces = Traces::start(&settings.traces(), &traced, own)?;
    let verifier = settings
        .operators
        .verifier(settings.proxy(), &KeyMetrics::register(own));
    let keeping = verifier.keep(close.clone());
    let certificates = settings.tls.certificates.clone();
    certificates.register(own);
    ops::register(own, &readiness, env!("CARGO_PKG_VERSION"));
    let connections = ConnectionMetrics::register(own);
    let calls = metrics.served_calls.clone();
    let grpc_tls = settings.tls.of(Plaintext::Grpc)?;
    let ops_tls = settings.tls.of(Plaintext::Ops)?;
    let urls = [
        ("grpc", ops::url(grpc_address, grpc_tls.is_some())),
        ("ops", ops::url(ops_address, ops_tls.is_some())),
    ];
    let ops_served = ops::serve(
        ops_listener,
        ops_tls,
        readiness.clone(),
        Arc::new(registry),
        connections.of("ops"),
        close.clone(),
    );
    let mut servers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    servers.spawn(FutureExt::map(ops_served, Ok));
    let watched = certificates.run(close.clone());
    servers.spawn(FutureExt::map(watched, Ok));
    servers.spawn(FutureExt::map(keeping, Ok));
    let api = WorkerApi {
        state: Arc::clone(worker.state()),
        metrics,
    };
    let services = Services::new().with(WorkerServiceServer::new(api));
    let served = services.finish(true).await?;
    let presence = Presence {
        readiness,
        health: served.health.clone(),
    };
    servers.spawn(serve_grpc(
        grpc_listener,
        grpc_tls,
        served,
        authenticate(verifier),
        calls,
        connections.of("grpc"),
        close.clone(),
    ));

    let health = worker.upstream_health();
    let patience = *settings.interval * SILENT_INTERVALS;
    let mut working = JoinSet::new();
    working.spawn(worker.run(stop.clone()));
    let until_stopped = async {
        tokio::select! {
            followed = presence.follow(&health, patience, || match &settings.ready_file {
                Some(path) => ops::write_ready_file(path, &urls),
                None => Ok(()),
            }) => followed,
            () = stop.cancelled() => Ok(()),
        }
    };
    // A task that exits before shutdown is an error.
    let ended = tokio::select! {
        stopped = until_stopped => stopped,
        Some(ended) = tasks.join_next() => flatten(ended),
        Some(ended) = servers.join_next() => flatten(ended),
        Some(ended) = working.join_next() => ended.map_err(anyhow::Error::from),
    };

    stop.cancel();
    presence.not_ready("draining").await;
    let drained = match working.join_next().await {
        Some(drained) => drained.map_err(anyhow::Error::from),
        None => Ok(()),
    };
    close.cancel();
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, async {
        while let Some(ended) = servers.join_next().await {
            flatten(ended)?;
        }
        anyhow::Ok(())
    })
    .await;
    traces.finish().await;
    // A timeout here is not an error: the drain is complete.
    let closed = closed.unwrap_or(Ok(()));
    tracing::info!(event = "stopped", "drained");
    ended.and(drained).and(closed)
}

fn flatten(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended?
}

fn build_worker(
    settings: &Settings,
    sync: SyncClient,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Worker> {
    let refresher = Refresher::new(RefresherSettings {
        concurrency: settings.concurrency,
        request_timeout: *settings.request_timeout,
        schedule: settings.schedule(),
        budget: settings.budget(),
        github: settings.github(),
        metrics,
    })?;
    let settings = worker::Settings {
        interval: *settings.interval,
        batch_size: settings.batch_size,
        tick_timeout: *settings.tick_timeout,
        drain_timeout: *settings.drain_timeout,
    };
    Ok(Worker::new(sync, refresher, settings))
}

/// Serves until `close`.
async fn serve_grpc(
    listener: TcpListener,
    tls: Option<ServerTls>,
    served: ServiceSet,
    authenticate: Authenticate<Claims>,
    calls: CallMetrics,
    metrics: ListenerMetrics,
    close: CancellationToken,
) -> anyhow::Result<()> {
    let traced = TraceLayer::new(served.methods.clone());
    let measured = CallMetricsLayer::new(calls, served.methods.clone());
    let service = AdmissionLayer::new(served.methods, authenticate)
        .layer(served.routes.prepare())
        .map_future(|answer| async {
            let late = |_| Ok(Status::from(Error::Deadline).into_http());
            tokio::time::timeout(CALL_TIMEOUT, answer)
                .await
                .unwrap_or_else(late)
        });
    let options = ConnectionOptions {
        most: MAX_CONNECTIONS,
        streams: CALLS_PER_CONNECTION,
        max_age: MAX_CONNECTION_AGE,
        grace: CALL_TIMEOUT,
        http1: false,
        tls,
    };
    let service = traced.layer(measured.layer(service));
    listener::serve(listener, service, options, metrics, close).await;
    Ok(())
}

async fn reload_token(sync: SyncClient, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TOKEN_RELOAD_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // Never return: `run` treats a finished task as a failure.
                return std::future::pending().await;
            }
            _ = ticks.tick() => sync.reload_token(),
        }
    }
}

/// The health and readiness that this process publishes.
struct Presence {
    readiness: Readiness,
    health: Health,
}

impl Presence {
    /// Says whether chat-service answers, from now on; calls `begun` when it does so first.
    async fn follow(
        &self,
        upstream: &UpstreamHealth,
        patience: Duration,
        begun: impl Fn() -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut first = true;
        loop {
            upstream.healthy().await;
            self.ready().await;
            tracing::info!(event = "ready", "chat-service answered");
            if std::mem::take(&mut first) {
                begun()?;
            }
            upstream.silent_for(patience).await;
            self.not_ready("chat-service does not answer").await;
            tracing::warn!(event = "not_ready", "chat-service does not answer");
        }
    }

    async fn ready(&self) {
        self.readiness.ready();
        self.health.set(true).await;
    }

    async fn not_ready(&self, why: &str) {
        self.readiness.not_ready(why);
        self.health.set(false).await;
    }
}
