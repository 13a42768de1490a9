//! The running service: listeners, health, background tasks, and a stop that loses nothing.

mod health;
mod listener;
mod routes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use secrecy::ExposeSecret as _;
use service_runtime::{
    ops::{self, Readiness},
    tls::{Certificates, ServerTls},
    token::{KeyMetrics, Verifier},
    trace::{TracedProcess, Traces},
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::listener::GrpcListener;
use crate::{
    accounts::KeyRing,
    auth::{Auth, SyncAuth},
    authz::{Authorizer, DecisionGuard},
    config::{Plaintext, Settings},
    events::{notifier::Notifier, relay, watch::Watchers},
    limits::Limits,
    metrics::Metrics,
    oauth::{Renewals, Renewer, RenewerParts},
    store::{self, Store},
    survey,
    sync::viewed::{Sampler, Views},
};

/// Listeners may close this long before the drain times out.
const CLOSE_MARGIN: Duration = Duration::from_secs(1);

/// A service that listens.
pub struct Service {
    /// Where it listens.
    pub addresses: Addresses,
    settings: Settings,
    listeners: Listeners,
    parts: ServerParts,
    sampler: Sampler,
    /// How the connection for notifications is opened.
    direct: store::Address,
    certificates: Certificates,
}

/// Where the service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Public gRPC.
    pub grpc: SocketAddr,
    /// gRPC for gitsync-service.
    pub sync: SocketAddr,
    /// gRPC for KEDA, if it is served.
    pub scaler: Option<SocketAddr>,
    /// Operations endpoint.
    pub ops: SocketAddr,
}

struct Listeners {
    grpc: (TcpListener, Option<ServerTls>),
    sync: (TcpListener, Option<ServerTls>),
    scaler: Option<(TcpListener, Option<ServerTls>)>,
    ops: (TcpListener, Option<ServerTls>),
}

impl Listeners {
    async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let tls = |place| settings.listener_tls.of(place);
        Ok(Self {
            grpc: (ops::bind(settings.listen).await?, tls(Plaintext::Grpc)?),
            sync: (
                ops::bind(settings.sync_listen).await?,
                tls(Plaintext::Sync)?,
            ),
            scaler: match settings.scaler_listen {
                Some(address) => Some((ops::bind(address).await?, tls(Plaintext::Scaler)?)),
                None => None,
            },
            ops: (ops::bind(settings.ops_listen).await?, tls(Plaintext::Ops)?),
        })
    }

    /// Their URLs, by name.
    fn urls(&self) -> std::io::Result<Vec<(&'static str, String)>> {
        let url = |(listener, tls): &(TcpListener, Option<ServerTls>)| {
            Ok::<_, std::io::Error>(ops::url(listener.local_addr()?, tls.is_some()))
        };
        let mut urls = vec![
            ("grpc", url(&self.grpc)?),
            ("sync", url(&self.sync)?),
            ("ops", url(&self.ops)?),
        ];
        if let Some(scaler) = &self.scaler {
            urls.push(("scaler", url(scaler)?));
        }
        Ok(urls)
    }
}

/// The parts of the service.
struct ServerParts {
    store: Store,
    notifier: Notifier,
    watchers: Watchers,
    views: Views,
    authorizer: Authorizer,
    auth: Auth,
    sync_auth: SyncAuth,
    verifiers: Vec<Verifier>,
    keys: Arc<KeyRing>,
    renewals: Renewals,
    metrics: Metrics,
    readiness: Readiness,
    limits: Limits,
    traces: Traces,
    registry: Arc<Registry>,
    /// The process should end: health reports it to load balancers, and calls are served as before.
    stop: CancellationToken,
    /// Follows `stop` after load balancers have noticed: no further call is accepted.
    close: CancellationToken,
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
        let direct_url = settings.database_direct_url();
        store.require_fit(direct_url.is_some()).await?;
        let direct_url = direct_url.map_or(url, |url| url.expose_secret());
        let direct = store::listener(direct_url, *settings.statement_timeout)?;
        let mut registry = Registry::default();
        let traced = TracedProcess {
            service: "chat-service",
            version: env!("CARGO_PKG_VERSION"),
            instance: Uuid::now_v7().to_string(),
        };
        let own = registry.sub_registry_with_prefix("chat");
        let traces = Traces::start(&settings.traces(), &traced, own)?;
        let keys = KeyMetrics::register(own);
        let readiness = Readiness::default();
        ops::register(own, &readiness, env!("CARGO_PKG_VERSION"));
        let mut certificates = settings.listener_tls.certificates.clone();
        certificates.extend(store.certificates());
        certificates.extend(direct.certificates());
        certificates.register(own);
        let metrics = Metrics::new(&mut registry);
        store.register_metrics(&mut registry);
        let listeners = Listeners::bind(&settings).await?;
        let authorizer = authorizer(&settings, &metrics);
        let store = store.deciding_by(authorizer.deciding_reading());
        let (views, sampler) = Views::new(metrics.sync.clone());
        let addresses = Addresses {
            grpc: listeners.grpc.0.local_addr()?,
            sync: listeners.sync.0.local_addr()?,
            scaler: match &listeners.scaler {
                Some((listener, _)) => Some(listener.local_addr()?),
                None => None,
            },
            ops: listeners.ops.0.local_addr()?,
        };
        let (auth, sync_auth, verifiers) = settings.callers.authentication(settings.proxy(), &keys);
        let parts = ServerParts {
            notifier: Notifier::new(),
            watchers: Watchers::new(&store, metrics.events.clone()).await?,
            store,
            views,
            authorizer,
            auth,
            sync_auth,
            verifiers,
            keys: settings.keys.clone(),
            renewals: Renewals::new(&settings.providers),
            metrics,
            readiness,
            limits: Limits::new(settings.bounds(), &mut registry),
            traces,
            registry: Arc::new(registry),
            stop,
            close: CancellationToken::new(),
        };
        Ok(Self {
            addresses,
            settings,
            listeners,
            parts,
            sampler,
            direct,
            certificates,
        })
    }

    /// Serves until the stop token given to [`Service::start`] is cancelled, then finishes the
    /// calls that are under way, for as long as the drain timeout allows.
    ///
    /// # Errors
    ///
    /// When a part cannot be set up, or the ready file cannot be written.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self {
            addresses,
            settings,
            listeners,
            parts,
            sampler,
            direct,
            certificates,
        } = self;
        let (stop, close) = (parts.stop.clone(), parts.close.clone());
        let readiness = parts.readiness.clone();
        let public = routes::public(&settings, &parts).await?;
        let sync = routes::sync(&settings, &parts).await?;
        let scaler = routes::scaler(&settings, &parts).await?;
        let healths = [&public, &sync, &scaler].map(|served| served.health.clone());

        // Background work outlives the listeners: the last calls still need it.
        let background = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(certificates.run(background.clone()));
        {
            let (notifier, stop) = (parts.notifier.clone(), background.clone());
            tasks.spawn(async move { notifier.run(direct, stop).await });
        }
        for verifier in &parts.verifiers {
            tasks.spawn(verifier.keep(background.clone()));
        }
        let store = parts.store.reserved();
        tasks.spawn(relay::run(
            store.clone(),
            parts.notifier.clone(),
            parts.metrics.events.clone(),
            background.clone(),
        ));
        {
            let (watchers, store) = (parts.watchers.clone(), store.clone());
            let (notifier, stop) = (parts.notifier.clone(), background.clone());
            tasks.spawn(async move { watchers.run(store, notifier, stop).await });
        }
        {
            let (limits, stop) = (parts.limits.clone(), background.clone());
            tasks.spawn(async move { limits.run(stop).await });
        }
        let renewer = Renewer::new(RenewerParts {
            store: store.clone(),
            keys: parts.keys.clone(),
            providers: settings.providers.clone(),
            notifier: parts.notifier.clone(),
            metrics: parts.metrics.oauth.clone(),
            renewals: parts.renewals.clone(),
            proxy: settings.proxy(),
        })?;
        // Nothing is begun during a drain, and what was begun is finished within it.
        let renewing = TaskTracker::new();
        renewing.spawn(renewer.run(stop.clone()));
        renewing.close();
        tasks.spawn(survey::run(
            store.clone(),
            parts.metrics.events.clone(),
            parts.metrics.survey.clone(),
            background.clone(),
        ));
        tasks.spawn(sampler.run(store, parts.notifier.clone(), background.clone()));
        {
            let (store, readiness, stop) = (parts.store.clone(), readiness.clone(), stop.clone());
            let (watchers, metrics) = (parts.watchers.clone(), parts.metrics.events.clone());
            tasks.spawn(async move {
                health::report(&store, &watchers, &metrics, &readiness, &healths, &stop).await;
            });
        }
        {
            let (stop, close, delay) = (stop.clone(), close.clone(), *settings.drain_delay);
            tasks.spawn(async move {
                stop.cancelled().await;
                tokio::time::sleep(delay).await;
                close.cancel();
            });
        }
        let urls = listeners.urls()?;
        let (ops_listener, ops_tls) = listeners.ops;
        tasks.spawn(ops::serve(
            ops_listener,
            ops_tls,
            readiness,
            parts.registry.clone(),
            parts.metrics.connections.of("ops"),
            background.clone(),
        ));

        tracing::info!(
            event = "listening",
            grpc = %addresses.grpc,
            sync = %addresses.sync,
            scaler = addresses.scaler.map(tracing::field::display),
            ops = %addresses.ops,
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        if let Some(path) = &settings.ready_file {
            ops::write_ready_file(path, &urls)?;
        }

        let serve = |listening: GrpcListener| listening.serve(&settings, &parts, &close);
        let public = serve(GrpcListener {
            listener: listeners.grpc.0,
            tls: listeners.grpc.1,
            served: public,
            authenticate: listener::public(parts.auth.clone()),
            metrics: parts.metrics.connections.of("grpc"),
            web: true,
        });
        let sync = serve(GrpcListener {
            listener: listeners.sync.0,
            tls: listeners.sync.1,
            served: sync,
            authenticate: listener::sync(parts.sync_auth.clone()),
            metrics: parts.metrics.connections.of("sync"),
            web: false,
        });
        let scaler = async {
            if let Some((listener, tls)) = listeners.scaler {
                serve(GrpcListener {
                    listener,
                    tls,
                    served: scaler,
                    authenticate: listener::public(parts.auth.clone()),
                    metrics: parts.metrics.connections.of("scaler"),
                    web: false,
                })
                .await;
            }
        };
        tokio::join!(public, sync, scaler);
        if tokio::time::timeout(*settings.drain_timeout, renewing.wait())
            .await
            .is_err()
        {
            tracing::warn!("tokens that were being renewed may be lost");
        }
        background.cancel();
        tasks.close();
        if tokio::time::timeout(CLOSE_MARGIN, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("background tasks did not stop in time");
        }
        parts.traces.finish().await;
        Ok(())
    }
}

/// Decides by the configured policies, and has a sample checked again.
fn authorizer(settings: &Settings, metrics: &Metrics) -> Authorizer {
    let guard = DecisionGuard::new(settings.policy_recheck, metrics.disagreements.clone());
    settings
        .policies
        .clone()
        .map_or_else(Authorizer::new, Authorizer::of)
        .guarded(guard)
}
