//! One gRPC listener: how its connections and its calls are treated, and how it drains.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, header};
use service_runtime::{admission::AdmissionLayer, services::Served};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    transport::{Server, server::TcpIncoming},
};
use tower_http::cors::{Any, CorsLayer};

use super::Parts;
use crate::{
    config::Settings,
    grpc::call::{CallLayer, REQUEST_ID},
    limits::{AnswerLayer, LimitLayer},
};

/// HTTP/2 pings this often tell a dead peer from an idle one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping for so long is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls on one connection at once at most.
const MAX_STREAMS: u32 = 1000;

/// Serves until `stop`; then finishes what is under way, within the drain timeout.
pub(super) async fn serve(
    settings: &Settings,
    parts: &Parts,
    served: Served,
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
    let Served {
        routes, methods, ..
    } = served;
    let auth = parts.auth.clone();
    let authenticate = move |headers: &HeaderMap| auth.caller(headers).map_err(Status::from);
    let admission = AdmissionLayer::new(methods, Arc::new(authenticate));
    let answers = AnswerLayer::new(parts.limits.clone());
    let limits = LimitLayer::new(parts.limits.clone());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stopped = stop.clone().cancelled_owned();
    let serving = async move {
        if web {
            server
                .layer(answers)
                .layer(cors())
                .layer(tonic_web::GrpcWebLayer::new())
                .layer(calls)
                .layer(admission)
                .layer(limits)
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, stopped)
                .await
        } else {
            server
                .layer(answers)
                .layer(calls)
                .layer(admission)
                .layer(limits)
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
            HeaderName::from_static(REQUEST_ID),
            HeaderName::from_static("x-grpc-web"),
            HeaderName::from_static("x-user-agent"),
            HeaderName::from_static("grpc-timeout"),
        ])
        .expose_headers([
            HeaderName::from_static(REQUEST_ID),
            HeaderName::from_static("grpc-status"),
            HeaderName::from_static("grpc-message"),
            HeaderName::from_static("grpc-status-details-bin"),
        ])
        .max_age(Duration::from_secs(600))
}
