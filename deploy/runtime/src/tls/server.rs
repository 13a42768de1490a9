//! TLS of a listener.

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::{
    Error, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, sink},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{Authorities, Identity, PROVIDER};
use crate::peer::PeerNames;

/// A client that is refused has this long to read why.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);
/// Bytes of a refused client at most that are read and dropped meanwhile.
const MAX_DROPPED_BYTES: u64 = 64 * 1024;

/// How a listener speaks TLS. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// TLS 1.2 or later by the certificate of `identity`, with clients that have a certificate of
    /// one of `clients`, or with all. HTTP/2 is agreed on (ALPN), and HTTP/1.1 too if `http1`.
    ///
    /// # Errors
    ///
    /// When the cryptography has none of these versions.
    pub fn new(
        identity: &Identity,
        clients: Option<&Authorities>,
        http1: bool,
    ) -> Result<Self, Error> {
        let verifier: Arc<dyn ClientCertVerifier> = match clients {
            Some(authorities) => Arc::new(authorities.clone()),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(identity.clone()));
        if clients.is_some() {
            // A client that resumed a session would not be checked again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let protocols: &[&[u8]] = if http1 {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"h2"]
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Has the handshake with a client; returns also the names in its certificate, if it was asked
    /// for one.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<PeerNames>)> {
        match self.0.accept(stream).into_fallible().await {
            Ok(stream) => {
                let names = names(&stream);
                Ok((stream, names))
            }
            Err((error, stream)) => {
                linger(stream).await;
                Err(error)
            }
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerTls")
    }
}

/// Lets a client read why it is refused: bytes that it has sent and that are not read would have
/// the system reset the connection, and drop what is on its way to the client.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(MAX_DROPPED_BYTES);
        let _ = timeout(REFUSAL_LINGER, tokio::io::copy(&mut rest, &mut sink())).await;
    }
}

/// The DNS and URI names in the client's certificate, which was verified.
fn names(stream: &TlsStream<TcpStream>) -> Option<PeerNames> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let names = alternative
        .iter()
        .flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    });
    Some(PeerNames(names.collect()))
}
