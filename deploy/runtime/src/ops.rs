//! The plain-text HTTP endpoint for Kubernetes and Prometheus: `/livez`, `/readyz`, `/metrics`.
//!
//! Liveness says that the process can answer at all; it never asks a dependency, since restarting
//! a pod does not mend a database. Readiness is what [`Readiness`] was last told.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{net::TcpListener, sync::watch};

/// Whether this process should get traffic, and if not, why.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<Result<(), String>>);

impl Readiness {
    /// Says that traffic is welcome.
    pub fn ready(&self) {
        self.0.send_modify(|state| *state = Ok(()));
    }

    /// Says that traffic should go elsewhere.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.0.send_modify(|state| *state = Err(why.into()));
    }

    /// What was said last.
    ///
    /// # Errors
    ///
    /// The reason, when not ready.
    pub fn state(&self) -> Result<(), String> {
        self.0.borrow().clone()
    }
}

impl Default for Readiness {
    /// Not ready, since the process is starting.
    fn default() -> Self {
        Self(watch::Sender::new(Err("starting".to_owned())))
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

/// Writes where the process listens, by name, to a file that is there whole or not at all.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_ready_file(path: &Path, addresses: &[(&str, SocketAddr)]) -> std::io::Result<()> {
    let urls: BTreeMap<_, _> = addresses
        .iter()
        .map(|(name, address)| (*name, format!("http://{address}")))
        .collect();
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

async fn metrics(
    State((_, registry)): State<(Readiness, Arc<Registry>)>,
) -> Result<impl IntoResponse, StatusCode> {
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text))
}
