//! TLS of tests: authorities that are believed only where a test says so, their certificates, and a
//! proxy that speaks TLS in front of a server that speaks none.

mod authority;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

pub use self::authority::{Authority, Certified, Life};

/// A running proxy that ends TLS. Dropping it closes every connection.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    authority: String,
    _tasks: JoinSet<()>,
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1 with a certificate for `names`, and dials `upstream`
    /// (`host:port`) for each connection. Agrees on one of `protocols` (ALPN), unless that is
    /// empty.
    pub async fn start(upstream: impl Into<String>, names: &[&str], protocols: &[&str]) -> Self {
        let authority = Authority::new();
        let certified = authority.certify(names, Life::Long);
        let front = Self::with(upstream, &certified, protocols).await;
        Self {
            authority: authority.pem(),
            ..front
        }
    }

    /// The same with a certificate of the test's.
    pub async fn with(
        upstream: impl Into<String>,
        certified: &Certified,
        protocols: &[&str],
    ) -> Self {
        let mut config = certified.server();
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
            authority: String::new(),
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that signed its own, as PEM; empty where the test has it.
    pub fn authority(&self) -> &str {
        &self.authority
    }
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
