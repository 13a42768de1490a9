//! The plain-text HTTP endpoint for Kubernetes and Prometheus: `/livez`, `/readyz`, `/metrics`.
//!
//! Liveness says that the process can answer at all; it never asks a dependency, since restarting
//! a pod does not mend a database. Readiness is what [`Readiness`] was last told.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, RwLock},
};

use axum::{
    Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;

/// Whether this process should get traffic, and if not, why.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Result<(), String>>>);

impl Readiness {
    /// Starts as not ready.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(RwLock::new(Err("starting".to_owned()))))
    }

    /// Says that traffic is welcome.
    pub fn ready(&self) {
        *self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Ok(());
    }

    /// Says that traffic should go elsewhere.
    pub fn not_ready(&self, why: impl Into<String>) {
        *self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Err(why.into());
    }

    /// What was said last.
    ///
    /// # Errors
    ///
    /// The reason, when not ready.
    pub fn state(&self) -> Result<(), String> {
        self.0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// Serves the endpoint until `stop` resolves.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: Arc<Registry>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((readiness, registry));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
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

async fn readyz(State((readiness, _)): State<(Readiness, Arc<Registry>)>) -> impl IntoResponse {
    match readiness.state() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State((_, registry)): State<(Readiness, Arc<Registry>)>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => (
            StatusCode::OK,
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        ),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            "metrics cannot be encoded\n".to_owned(),
        ),
    }
}
