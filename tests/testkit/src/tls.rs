//! TLS in front of a server that speaks none, with a certificate that clients trust only if told to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// A running proxy that ends TLS. Dropping it closes every connection.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    authority: String,
    _tasks: JoinSet<()>,
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1 with a certificate for `names`, and dials `upstream`
    /// (`host:port`) for each connection. Agrees on one of `protocols` (ALPN), unless that is empty.
    ///
    /// # Panics
    ///
    /// When there is no free port, or a name fits no certificate.
    pub async fn start(upstream: impl Into<String>, names: &[&str], protocols: &[&str]) -> Self {
        let (mut config, authority) = certified(names);
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let mut tasks = JoinSet::new();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tasks.spawn(accept(listener, acceptor, upstream.into()));
        Self {
            address,
            authority,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that signed its own, as PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// A server's settings with a certificate for `names`, and the certificate of its new authority.
fn certified(names: &[&str]) -> (ServerConfig, String) {
    let generate = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, generate()).expect("an authority");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = generate();
    let certificate = CertificateParams::new(names)
        .and_then(|params| params.signed_by(&key, &authority))
        .expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key in DER"),
        )
        .expect("the key of the certificate");
    (config, authority.pem())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: String) {
    // Owned here, so that the connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        connections.spawn(async move {
            // A client that does not trust the certificate ends here.
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            if let Ok(mut server) = TcpStream::connect(upstream).await {
                // Either side may break off.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
