//! The running service: listeners, health, background tasks, and a stop that loses nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderName, header};
use prometheus_client::registry::Registry;
use proto::bounds::MAX_SYNC_BYTES;
use proto::chat::v1::{
    chat_service_server::ChatServiceServer, git_account_service_server::GitAccountServiceServer,
    sync_admin_service_server::SyncAdminServiceServer, sync_service_server::SyncServiceServer,
};
use secrecy::ExposeSecret as _;
use service_runtime::{ops, ops::Readiness};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    service::RoutesBuilder,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_http::cors::{Any, CorsLayer};

use crate::{
    accounts::KeyRing,
    auth::Auth,
    authz::{Authorizer, Guard},
    config::Settings,
    events::{notifier::Notifier, relay, watch::Watchers},
    grpc::{
        call::CallLayer, chat::ChatGrpc, git_account::GitAccountGrpc, sync::SyncGrpc,
        sync_admin::SyncAdminGrpc,
    },
    metrics::Metrics,
    page_token::PageTokens,
    store::Store,
    sync::{
        Dispatcher, DispatcherParts,
        viewed::{Sampler, Views},
    },
};

/// The database is asked this often whether it is there.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// The database answers within this, or it is not there.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// HTTP/2 pings this often tell a dead peer from an idle one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping for so long is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls on one connection at once at most.
const MAX_STREAMS: u32 = 1000;
/// Listeners may close this long before the drain gives up on what is left.
const CLOSE_MARGIN: Duration = Duration::from_secs(1);

/// A service that listens.
pub struct Service {
    /// Where it listens.
    pub addresses: Addresses,
    settings: Settings,
    listeners: Listeners,
    parts: Parts,
    sampler: Sampler,
}

/// Where the service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Public gRPC.
    pub grpc: SocketAddr,
    /// gRPC for gitsync-service.
    pub sync: SocketAddr,
    /// Operations endpoint.
    pub ops: SocketAddr,
}

struct Listeners {
    grpc: TcpListener,
    sync: TcpListener,
    ops: TcpListener,
}

/// What the service is made of.
struct Parts {
    store: Store,
    notifier: Notifier,
    watchers: Watchers,
    views: Views,
    authorizer: Authorizer,
    auth: Auth,
    keys: Arc<KeyRing>,
    metrics: Metrics,
    registry: Arc<Registry>,
    stop: CancellationToken,
}

impl Service {
    /// Checks the schema, and binds the listeners. Nothing is served yet.
    ///
    /// # Errors
    ///
    /// When the schema is too old, or an address cannot be bound.
    pub async fn start(settings: Settings, stop: CancellationToken) -> anyhow::Result<Self> {
        let url = settings.database.url()?.expose_secret();
        let store = Store::new(url, &settings.pool())?;
        store.require_current_schema().await?;
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        store.register_metrics(&mut registry);
        let listeners = Listeners {
            grpc: ops::bind(settings.listen).await?,
            sync: ops::bind(settings.sync_listen).await?,
            ops: ops::bind(settings.ops_listen).await?,
        };
        let (views, sampler) = Views::new(metrics.sync.clone());
        let addresses = Addresses {
            grpc: listeners.grpc.local_addr()?,
            sync: listeners.sync.local_addr()?,
            ops: listeners.ops.local_addr()?,
        };
        let parts = Parts {
            notifier: Notifier::new(),
            watchers: Watchers::new(store.last_position().await?),
            store,
            views,
            authorizer: authorizer(&settings, &metrics),
            auth: Auth::new(settings.verifier.clone()),
            keys: settings.keys.clone(),
            metrics,
            registry: Arc::new(registry),
            stop,
        };
        Ok(Self {
            addresses,
            settings,
            listeners,
            parts,
            sampler,
        })
    }

    /// Serves until the stop token given to [`Service::start`] is cancelled, then finishes the calls
    /// that are under way, for as long as the drain timeout allows.
    ///
    /// # Errors
    ///
    /// When a listener fails, or the ready file cannot be written.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self {
            addresses,
            settings,
            listeners,
            parts,
            sampler,
        } = self;
        let stop = parts.stop.clone();
        let readiness = Readiness::default();
        let (reporter, health) = tonic_health::server::health_reporter();
        let (sync_reporter, sync_health) = tonic_health::server::health_reporter();
        // Registered before anybody can ask, and true from the first answer on.
        let reporters = [reporter, sync_reporter];
        set_status(&reporters, ServingStatus::NotServing).await;
        let mut public = public_routes(&settings, &parts)?;
        let mut sync = sync_routes(&settings, &parts)?;
        public.add_service(health);
        sync.add_service(sync_health);

        // Background work outlives the listeners: the last calls still need it.
        let background = CancellationToken::new();
        let tasks = TaskTracker::new();
        let database_url = settings.database.url()?.clone();
        {
            let (notifier, stop) = (parts.notifier.clone(), background.clone());
            tasks.spawn(async move { notifier.run(database_url.expose_secret(), stop).await });
        }
        tasks.spawn(relay::run(
            parts.store.clone(),
            parts.notifier.clone(),
            background.clone(),
        ));
        {
            let (watchers, store) = (parts.watchers.clone(), parts.store.clone());
            let (notifier, stop) = (parts.notifier.clone(), background.clone());
            tasks.spawn(async move { watchers.run(store, notifier, stop).await });
        }
        tasks.spawn(sampler.run(
            parts.store.clone(),
            parts.notifier.clone(),
            background.clone(),
        ));
        {
            let (store, readiness, stop) = (parts.store.clone(), readiness.clone(), stop.clone());
            tasks.spawn(async move {
                report_health(&store, &readiness, &reporters, &stop).await;
            });
        }
        {
            let stopped = background.clone().cancelled_owned();
            let ops = ops::serve(listeners.ops, readiness, parts.registry.clone(), stopped);
            tasks.spawn(async move {
                if let Err(error) = ops.await {
                    tracing::error!(%error, "the operations endpoint failed");
                }
            });
        }

        tracing::info!(
            event = "listening",
            grpc = %addresses.grpc,
            sync = %addresses.sync,
            ops = %addresses.ops,
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        if let Some(path) = &settings.ready_file {
            let Addresses { grpc, sync, ops } = addresses;
            ops::write_ready_file(path, &[("grpc", grpc), ("sync", sync), ("ops", ops)])?;
        }

        let public = serve(&settings, &parts, public, listeners.grpc, &stop, true);
        let sync = serve(&settings, &parts, sync, listeners.sync, &stop, false);
        let result = tokio::try_join!(public, sync);
        background.cancel();
        tasks.close();
        if tokio::time::timeout(CLOSE_MARGIN, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("background tasks did not stop in time");
        }
        result.map(|_| ())
    }
}

fn public_routes(settings: &Settings, parts: &Parts) -> anyhow::Result<RoutesBuilder> {
    let providers = Arc::new(settings.providers.clone());
    let page_tokens = PageTokens::new(&parts.keys.derive("page-token"));
    let chat = ChatGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        auth: parts.auth.clone(),
        notifier: parts.notifier.clone(),
        watchers: parts.watchers.clone(),
        views: parts.views.clone(),
        page_tokens: page_tokens.clone(),
        providers: providers.clone(),
        refresh_timeout: *settings.refresh_timeout,
        stop: parts.stop.clone(),
    };
    let accounts = GitAccountGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        auth: parts.auth.clone(),
        notifier: parts.notifier.clone(),
        keys: parts.keys.clone(),
        page_tokens,
        providers,
    };
    let admin = SyncAdminGrpc {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        auth: parts.auth.clone(),
    };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(ChatServiceServer::new(chat))
        .add_service(GitAccountServiceServer::new(accounts))
        .add_service(SyncAdminServiceServer::new(admin));
    add_reflection(settings, &mut routes)?;
    Ok(routes)
}

fn sync_routes(settings: &Settings, parts: &Parts) -> anyhow::Result<RoutesBuilder> {
    let dispatcher = Dispatcher::new(DispatcherParts {
        store: parts.store.clone(),
        authorizer: parts.authorizer.clone(),
        notifier: parts.notifier.clone(),
        keys: parts.keys.clone(),
        providers: Arc::new(settings.providers.clone()),
        metrics: parts.metrics.sync.clone(),
        lease_duration: *settings.lease_duration,
        draining: parts.stop.clone(),
    });
    let sync = SyncGrpc {
        dispatcher,
        auth: parts.auth.clone(),
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(SyncServiceServer::new(sync).max_decoding_message_size(MAX_SYNC_BYTES));
    add_reflection(settings, &mut routes)?;
    Ok(routes)
}

/// Decides by the configured policies, and has a sample checked again.
fn authorizer(settings: &Settings, metrics: &Metrics) -> Authorizer {
    let guard = Guard::new(settings.policy_recheck, metrics.disagreements.clone());
    settings
        .policies
        .clone()
        .map_or_else(Authorizer::new, Authorizer::of)
        .guarded(guard)
}

/// Reflection, in both versions that clients ask for.
fn add_reflection(settings: &Settings, routes: &mut RoutesBuilder) -> anyhow::Result<()> {
    if !settings.reflection {
        return Ok(());
    }
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?);
    Ok(())
}

/// Serves `routes` until `stop`; then finishes what is under way, within the drain timeout.
async fn serve(
    settings: &Settings,
    parts: &Parts,
    routes: RoutesBuilder,
    listener: TcpListener,
    stop: &CancellationToken,
    web: bool,
) -> anyhow::Result<()> {
    let calls = CallLayer::new(*settings.call_timeout, parts.metrics.calls.clone());
    let server = Server::builder()
        .accept_http1(web)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .max_connection_age(*settings.max_connection_age);
    let routes = routes.routes();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stopped = stop.clone().cancelled_owned();
    let serving = async move {
        if web {
            server
                .layer(cors())
                .layer(tonic_web::GrpcWebLayer::new())
                .layer(calls)
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, stopped)
                .await
        } else {
            server
                .layer(calls)
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, stopped)
                .await
        }
    };
    // A peer that went silent would keep the server's own shutdown waiting for ever.
    let timeout = *settings.drain_timeout;
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(timeout).await;
    };
    tokio::select! {
        result = serving => Ok(result?),
        () = drained => {
            tracing::warn!(timeout_ms = timeout.as_millis(), "the drain took too long; closing");
            Ok(())
        }
    }
}

/// Browsers may call from anywhere: they authenticate with a token, never with a cookie.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([http::Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-grpc-web"),
            HeaderName::from_static("x-user-agent"),
            HeaderName::from_static("grpc-timeout"),
        ])
        .expose_headers([
            HeaderName::from_static("grpc-status"),
            HeaderName::from_static("grpc-message"),
            HeaderName::from_static("grpc-status-details-bin"),
        ])
        .max_age(Duration::from_secs(600))
}

/// Says what is true about readiness until `stop`, and then that it is over.
async fn report_health(
    store: &Store,
    readiness: &Readiness,
    reporters: &[HealthReporter],
    stop: &CancellationToken,
) {
    loop {
        let ping = stop.run_until_cancelled(tokio::time::timeout(PING_TIMEOUT, store.ping()));
        let status = match ping.await {
            Some(Ok(Ok(()))) => {
                readiness.ready();
                ServingStatus::Serving
            }
            Some(Ok(Err(_)) | Err(_)) | None => {
                readiness.not_ready("the database does not answer");
                ServingStatus::NotServing
            }
        };
        set_status(reporters, status).await;
        if stop
            .run_until_cancelled(tokio::time::sleep(HEALTH_INTERVAL))
            .await
            .is_none()
        {
            readiness.not_ready("draining");
            set_status(reporters, ServingStatus::NotServing).await;
            return;
        }
    }
}

async fn set_status(reporters: &[HealthReporter], status: ServingStatus) {
    const SERVICES: [&str; 5] = [
        "",
        "chat.v1.ChatService",
        "chat.v1.GitAccountService",
        "chat.v1.SyncService",
        "chat.v1.SyncAdminService",
    ];
    for reporter in reporters {
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
    }
}
