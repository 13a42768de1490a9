//! A listener and its connections: how many there are, how long each lives, and how they end.
//!
//! tonic's own server has no limit of connections, tries again at once when no descriptor is left,
//! and cuts calls without notice when an age and a grace are both set.

mod begun;
mod call_end;
mod metrics;

use std::{
    convert::Infallible,
    io, mem,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::HttpBody;
use http::{Request, Response};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::CancellationToken};
use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt as _};

use self::{begun::PrefacedStream, call_end::CallExecutor};
pub use self::{
    call_end::CallEnd,
    metrics::{ConnectionMetrics, ListenerMetrics},
};
use crate::{jitter::jittered, peer::PeerNames, tls::ServerTls, token::MAX_TOKEN_BYTES};

/// By this share the ages of connections differ from the one that is set.
const AGE_JITTER: f64 = 0.1;
/// How long a peer that has connected may take until TLS and HTTP have begun, in which it holds one
/// of the listener's places. Generous: three lost packets take seven seconds.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Backoff when the system has no descriptor or memory for a connection: some end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// Connections are accepted again when this has passed without a failure since one was: a
/// descriptor that becomes free lets one in, after which there may be none again.
const ACCEPT_RECOVERY: Duration = ACCEPT_PAUSE.saturating_mul(2);
/// Refused connections, and handshakes that fail, are logged this often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Interval of HTTP/2 pings, which distinguish a dead peer from an idle one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping within this is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one connection that are cancelled before they are accepted, at most. h2's default of 20
/// ends the other calls of a proxy's connection when a few short deadlines pass at once; each costs
/// some hundred bytes.
const MAX_PENDING_RESETS: usize = 1000;
/// Bytes of a request's headers at most. Above the bound of a token, so that a longer one is
/// refused by name and not with HTTP status 431.
const MAX_HEADER_BYTES: u32 = 128 * 1024;
const _: () = assert!(
    MAX_TOKEN_BYTES + 8 * 1024 < MAX_HEADER_BYTES as usize,
    "a token of the greatest length fits beside other headers"
);

/// How the connections of a listener are treated.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Connections at once at most; further ones are closed as they come.
    pub most: usize,
    /// Calls on one connection at once at most.
    pub streams: u32,
    /// Age at which the client is asked to connect again; up to a tenth more or less, so that the
    /// clients of a replica that has just started do not all move at once.
    pub max_age: Duration,
    /// How long calls in flight have after that; then the connection is closed.
    pub grace: Duration,
    /// Whether HTTP/1.1 is spoken too, for gRPC-Web and operations.
    pub http1: bool,
    /// How TLS is spoken; without it, what is said can be read on the way.
    pub tls: Option<ServerTls>,
}

/// Cancelled when the connection of a call should end: at its age, as the process drains, or since
/// its peer does not take what it is sent.
///
/// In the extensions of each request; a stream without an end of its own ends with it.
#[derive(Clone, Debug)]
pub struct ConnectionEnd(pub CancellationToken);

/// Serves `service` until `close`, and then until no connection is left. Dropping the future closes
/// all. When no connection can be accepted, it tries again.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    options: ConnectionOptions,
    metrics: ListenerMetrics,
    close: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let slots = Arc::new(Semaphore::new(options.most));
    let mut connections = JoinSet::new();
    let (refusals, handshakes) = (Seldom::default(), Arc::new(Seldom::default()));
    let mut acceptance = Acceptance::default();
    loop {
        let accepted = tokio::select! {
            () = close.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
            () = acceptance.recovered() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                acceptance.failed(&error);
                tokio::select! {
                    () = close.cancelled() => break,
                    () = sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        acceptance.succeeded();
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            metrics.refused.inc();
            if refusals.is_now() {
                tracing::warn!(most = options.most, "too many connections; refusing more");
            }
            continue;
        };
        let connection = Connection {
            options: options.clone(),
            closing: ConnectionEnd(close.child_token()),
            slot: Slot::new(slot, metrics.clone()),
            handshakes: Arc::clone(&handshakes),
        };
        connections.spawn(connection.serve(stream, service.clone()));
    }
    // Closed first, so that the system refuses new clients while the others drain.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whether connections can be accepted, for one line when that ends and one when it is back.
#[derive(Default)]
struct Acceptance {
    failing: bool,
    /// When it has recovered, if nothing fails until then.
    recovers_at: Option<Instant>,
}

impl Acceptance {
    fn failed(&mut self, error: &io::Error) {
        self.recovers_at = None;
        if !mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "no connection can be accepted; trying again");
        }
    }

    fn succeeded(&mut self) {
        if self.failing && self.recovers_at.is_none() {
            self.recovers_at = Some(Instant::now() + ACCEPT_RECOVERY);
        }
    }

    /// Ends when it has recovered; while nothing fails, never.
    async fn recovered(&mut self) {
        let Some(at) = self.recovers_at else {
            return std::future::pending().await;
        };
        sleep_until(at).await;
        *self = Self::default();
        tracing::info!("connections are accepted again");
    }
}

/// The error is of one connection: the next one may well be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A place among the connections; counted as open while it lasts.
struct Slot {
    metrics: ListenerMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    fn new(permit: OwnedSemaphorePermit, metrics: ListenerMetrics) -> Self {
        metrics.open.inc();
        Self {
            metrics,
            _permit: permit,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

/// Says when something may be logged again.
#[derive(Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn is_now(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_now = last.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if is_now {
            *last = Some(Instant::now());
        }
        is_now
    }
}

/// A connection as it is served: bytes come from its first ones on.
type Stream = PrefacedStream<Either<TcpStream, TlsStream<TcpStream>>>;

struct Connection {
    options: ConnectionOptions,
    /// Of this connection alone; the listener's close ends it too.
    closing: ConnectionEnd,
    slot: Slot,
    /// When a handshake that failed was logged.
    handshakes: Arc<Seldom>,
}

impl Connection {
    async fn serve<S, B>(self, stream: TcpStream, service: S)
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let begun = tokio::select! {
            begun = timeout(BEGIN_TIMEOUT, self.begin(stream)) => begun,
            () = self.closing.0.cancelled() => return,
        };
        let Ok(Some((stream, names))) = begun else {
            return;
        };
        let closing = self.closing.clone();
        let service = service.map_request(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(closing.clone());
            if let Some(names) = &names {
                request.extensions_mut().insert(names.clone());
            }
            request
        });
        let builder = self.protocol();
        let served =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut served = pin!(served);
        // Over HTTP/1.1 the connection is what polls its calls.
        let call = CallEnd::new(self.closing.clone());
        tokio::select! {
            result = call.scope(served.as_mut()) => return log(result),
            () = sleep(jittered(self.options.max_age, AGE_JITTER)) => {}
            () = self.closing.0.cancelled() => {}
        }
        self.closing.0.cancel();
        served.as_mut().graceful_shutdown();
        match timeout(self.options.grace, call.scope(served)).await {
            Ok(result) => log(result),
            Err(_) => tracing::debug!("a connection was closed with calls under way"),
        }
    }

    /// Has the handshake, if TLS is spoken, and waits until the peer speaks.
    async fn begin(&self, stream: TcpStream) -> Option<(Stream, Option<PeerNames>)> {
        // Only a peer that has gone already can make it fail.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.options.tls else {
            return Some((PrefacedStream::wait(Either::Left(stream)).await?, None));
        };
        let peer = stream.peer_addr();
        match tls.accept(stream).await {
            Ok((stream, names)) => {
                Some((PrefacedStream::wait(Either::Right(stream)).await?, names))
            }
            // A balancer that only looks whether the port is open.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => {
                self.slot.metrics.handshakes_failed.inc();
                if self.handshakes.is_now() {
                    tracing::info!(%error, peer = ?peer.ok(), "a TLS handshake failed");
                }
                None
            }
        }
    }

    fn protocol(&self) -> auto::Builder<CallExecutor> {
        let mut builder = auto::Builder::new(CallExecutor(self.closing.clone()));
        if !self.options.http1 {
            builder = builder.http2_only();
        }
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.options.streams)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_header_list_size(MAX_HEADER_BYTES);
        // With a timer, hyper waits 30 s at most for the head of a request.
        builder
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(MAX_HEADER_BYTES as usize);
        builder
    }
}

/// Logs how a connection ended. One whose call was ended has no result.
fn log(result: Option<Result<(), BoxError>>) {
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(error, "a connection failed"),
        None => tracing::debug!("a connection was closed since its peer took no answer"),
    }
}
