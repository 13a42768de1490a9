//! A company's proxy, through which alone some hosts are reached.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{lock::lock, secrets};

/// Its user's password.
const PASSWORD: &str = "hush-hush-egress";
/// `ann` with it, as HTTP writes them.
const BASIC: &str = "Basic YW5uOmh1c2gtaHVzaC1lZ3Jlc3M=";

/// An HTTP proxy that takes `CONNECT` alone, and knows where some names are. Dropping it closes
/// every connection.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    routes: BTreeMap<String, SocketAddr>,
    /// The heads of the requests.
    heads: Vec<String>,
}

impl ConnectProxy {
    /// Listens on a free port of 127.0.0.1. Its password is a secret that no process may print.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        secrets::note("a proxy's password", PASSWORD);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::<Mutex<Shared>>::default();
        let of_tasks = Arc::clone(&shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, Arc::clone(&of_tasks)));
            }
        });
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    /// Leads requests for `host`, at whatever port, to `upstream`. Other hosts cannot be reached.
    pub fn route(&self, host: &str, upstream: SocketAddr) {
        lock(&self.shared).routes.insert(host.to_owned(), upstream);
    }

    /// Its address for clients, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://ann:{PASSWORD}@{}", self.address)
    }

    /// What was asked of it, in order: a host with its port, and whether the request knew the
    /// password.
    #[must_use]
    pub fn tunnels(&self) -> Vec<(String, bool)> {
        let request = |head: &String| (target(head).to_owned(), head.contains(BASIC));
        lock(&self.shared).heads.iter().map(request).collect()
    }
}

fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

async fn serve(mut client: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let upstream = {
        let mut shared = lock(&shared);
        let host = target(&head).split(':').next().unwrap_or_default();
        let upstream = shared.routes.get(host).copied();
        let upstream = upstream.filter(|_| head.starts_with("CONNECT "));
        shared.heads.push(head);
        upstream
    };
    let server = match upstream {
        Some(upstream) => TcpStream::connect(upstream).await.ok(),
        None => None,
    };
    let Some(mut server) = server else {
        // The client reads this, or is gone.
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        return;
    };
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    if client.write_all(answer).await.is_ok() {
        // Either side may break off.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
