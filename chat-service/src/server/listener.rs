//! One gRPC listener: how its connections and its calls are treated, and how it drains.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use service_runtime::{
    admission::{AdmissionLayer, Authenticate},
    call_metrics::CallMetricsLayer,
    listener::{self, ConnectionOptions, ListenerMetrics},
    services::ServiceSet,
    tls::ServerTls,
    trace::TraceLayer,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{Layer as _, ServiceBuilder};

use super::ServerParts;
use crate::{
    auth::{Auth, Caller, SyncAuth},
    config::Settings,
    error::Error,
    grpc::call::{self, CallLayer},
    limits::{AnswerLayer, LimitLayer},
    web::PageLayer,
};

/// Calls on one connection at once at most.
const MAX_STREAMS: u32 = 1000;
/// Added to the deadline of the calls of a connection that has reached its age: time to have their
/// answers read.
const GRACE_MARGIN: Duration = Duration::from_secs(10);

/// One of the process's gRPC listeners.
pub(super) struct GrpcListener {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<ServerTls>,
    pub(super) served: ServiceSet,
    /// Authenticates the caller.
    pub(super) authenticate: Authenticate<Caller>,
    pub(super) metrics: ListenerMetrics,
    /// Whether browsers call here too.
    pub(super) web: bool,
}

/// Authenticates calls of the public listener.
pub(super) fn public(auth: Auth) -> Authenticate<Caller> {
    Arc::new(move |headers, _| auth.authenticate(headers).map(status).boxed())
}

/// Authenticates calls of workers.
pub(super) fn sync(auth: SyncAuth) -> Authenticate<Caller> {
    Arc::new(move |headers, extensions| auth.authenticate(headers, extensions).map(status).boxed())
}

/// In the call's span, which learns who calls.
fn status(caller: Result<Caller, Error>) -> Result<Caller, Status> {
    let caller = caller.map_err(Status::from)?;
    call::from(&caller.principal.name());
    Ok(caller)
}

impl GrpcListener {
    /// Serves until `close`; then finishes what is under way, within the drain timeout.
    pub(super) async fn serve(
        self,
        settings: &Settings,
        parts: &ServerParts,
        close: &CancellationToken,
    ) {
        let ServiceSet {
            routes, methods, ..
        } = self.served;
        let service = ServiceBuilder::new()
            .layer(TraceLayer::new(methods.clone()))
            .layer(CallMetricsLayer::new(
                parts.metrics.calls.clone(),
                methods.clone(),
            ))
            .layer(CallLayer::new(*settings.call_timeout))
            .layer(AdmissionLayer::new(methods, self.authenticate))
            .layer(LimitLayer::new(parts.limits.clone()))
            .service(routes.prepare());
        let options = ConnectionOptions {
            most: settings.max_connections,
            streams: MAX_STREAMS,
            max_age: *settings.max_connection_age,
            grace: *settings.call_timeout + GRACE_MARGIN,
            http1: self.web,
            tls: self.tls,
        };
        let answers = AnswerLayer::new(parts.limits.clone());
        let (listener, metrics) = (self.listener, self.metrics);
        let serving = async {
            if self.web {
                let web = ServiceBuilder::new()
                    .layer(answers)
                    .layer(PageLayer::new(settings.web, settings.web_sign_in.clone()))
                    .layer(settings.web_origins.layer())
                    .layer(tonic_web::GrpcWebLayer::new());
                let service = web.service(service);
                listener::serve(listener, service, options, metrics, close.clone()).await;
            } else {
                let service = answers.layer(service);
                listener::serve(listener, service, options, metrics, close.clone()).await;
            }
        };
        // A peer that went silent would keep the listener's own end waiting.
        let timeout = *settings.drain_timeout;
        let drained = async {
            close.cancelled().await;
            tokio::time::sleep(timeout).await;
        };
        tokio::select! {
            () = serving => {}
            () = drained => {
                tracing::warn!(timeout_ms = timeout.as_millis(), "the drain took too long; closing");
            }
        }
    }
}
