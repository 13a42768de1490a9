//! A gRPC client's channel over TLS. tonic's own keeps the certificates that it begins with.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{AlertDescription, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};
use tower::{BoxError, Service};

use super::ClientTls;

/// A URL that is no address of a gRPC server.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address of a gRPC server")]
pub struct ChannelError(String);

/// Why a server ended the last connection of a channel, if it did so by TLS. Cheap to clone.
///
/// In TLS 1.3 a server verifies the client's certificate after the client's handshake has
/// completed: the client sees a connection that breaks, and gRPC reports that the call was
/// cancelled.
#[derive(Clone, Debug, Default)]
pub struct Refusal(Arc<Mutex<Option<AlertDescription>>>);

impl Refusal {
    fn set(&self, alert: Option<AlertDescription>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = alert;
    }

    /// The sentence, if there is one.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let alert = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alert.map(|alert| format!("the server ended the connection: TLS alert {alert:?}"))
    }
}

/// A channel to `url` that connects with the first call, and again whenever the connection is lost:
/// over TLS by `tls` if the URL begins with `https://`. `configure` says how long things may take.
///
/// # Errors
///
/// When `url` is no address.
pub fn channel(
    url: &str,
    tls: &ClientTls,
    configure: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<(Channel, Refusal), ChannelError> {
    let wrong = || ChannelError(url.to_owned());
    let origin: Uri = url.parse().map_err(|_| wrong())?;
    let refusal = Refusal::default();
    if origin.scheme_str() != Some("https") {
        let endpoint = Endpoint::from(origin);
        return Ok((configure(endpoint).connect_lazy(), refusal));
    }
    let host = origin.host().ok_or_else(wrong)?;
    let port = origin.port_u16().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| wrong())?;
    // tonic leaves an address that begins with http:// to the connector; requests have the origin.
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}")).map_err(|_| wrong())?;
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    let connector = Connector {
        http,
        tls: TlsConnector::from(tls.config()),
        name,
        refusal: refusal.clone(),
    };
    let endpoint = configure(endpoint.origin(origin));
    Ok((endpoint.connect_with_connector_lazy(connector), refusal))
}

/// Makes connections to one server.
#[derive(Clone)]
struct Connector {
    http: HttpConnector,
    tls: TlsConnector,
    name: ServerName<'static>,
    refusal: Refusal,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<AlertStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.http.call(address);
        let Self {
            tls, name, refusal, ..
        } = self.clone();
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            let stream = tls
                .connect(name, stream)
                .await
                .map_err(|error| explained(&error))?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err("the server does not speak HTTP/2 over TLS".into());
            }
            Ok(TokioIo::new(AlertStream { stream, refusal }))
        })
    }
}

/// A failed handshake in words that say what to look at.
fn explained(error: &io::Error) -> io::Error {
    let why = match tls_error(error) {
        Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS there".to_owned(),
        Some(cause) => cause.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection".to_owned()
        }
        None => error.to_string(),
    };
    io::Error::new(error.kind(), format!("the TLS handshake failed: {why}"))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A connection, of which the alert is kept by which the server ends it.
struct AlertStream {
    stream: TlsStream<TcpStream>,
    refusal: Refusal,
}

impl fmt::Debug for AlertStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AlertStream")
    }
}

impl AsyncRead for AlertStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        match &read {
            Ok(()) => self.refusal.set(None),
            Err(error) => {
                if let Some(rustls::Error::AlertReceived(alert)) = tls_error(error) {
                    self.refusal.set(Some(*alert));
                }
            }
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for AlertStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
