//! A TCP proxy that breaks on command: the network between a client and a server.
//!
//! Put it in front of PostgreSQL or of a service, and give its address to the client.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What the proxy does to connections, the ones that are open and new ones alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Closes open connections at once, and new ones as soon as they are accepted.
    Cut,
    /// Keeps connections open and passes nothing on, either way: a partition, or a host that hangs.
    /// What was held back is passed on after [`Mode::Pass`].
    Stall,
    /// Passes everything on after this long, either way.
    Delay(Duration),
    /// Ends each connection when this number of bytes of the server was passed on.
    CutAfter(usize),
}

/// A running proxy. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepted: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1, and dials `upstream` (`host:port`) for each connection.
    pub async fn start(upstream: impl Into<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (mode, watched) = watch::channel(Mode::Pass);
        let accepted = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(
            listener,
            upstream.into(),
            watched,
            Arc::clone(&accepted),
        ));
        Self {
            address,
            mode,
            accepted,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Changes what it does, from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Closes all connections, and refuses new ones until [`Proxy::restore`].
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Holds everything back until [`Proxy::restore`].
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Passes everything on again.
    pub fn restore(&self) {
        self.set(Mode::Pass);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: String,
    mode: watch::Receiver<Mode>,
    accepted: Arc<AtomicU64>,
) {
    // Owned here, so that the connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        if *mode.borrow() != Mode::Cut {
            connections.spawn(connection(client, upstream.clone(), mode.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(client: TcpStream, upstream: String, mode: watch::Receiver<Mode>) {
    let mut cut = mode.clone();
    let passing = async {
        let Ok(server) = TcpStream::connect(&upstream).await else {
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::join!(
            pass(client_read, server_write, mode.clone(), false),
            pass(server_read, client_write, mode.clone(), true),
        );
    };
    tokio::select! {
        () = passing => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

/// Copies one direction. An end is passed on too, so that half-closed connections work.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_answer: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // The guard that `wait_for` returns ends with the statement.
        let (mut delay, mut most) = (Duration::ZERO, usize::MAX);
        match mode.wait_for(|mode| *mode != Mode::Stall).await.as_deref() {
            Ok(Mode::Delay(by)) => delay = *by,
            Ok(Mode::CutAfter(bytes)) if is_answer => most = *bytes,
            Ok(Mode::Pass | Mode::Cut | Mode::Stall | Mode::CutAfter(_)) => {}
            Err(_) => return,
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let next = read.min(most.saturating_sub(passed));
        passed += next;
        if to.write_all(&buffer[..next]).await.is_err() || passed >= most {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    /// A server that says everything back.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        (address, tasks)
    }

    async fn says_back(stream: &mut TcpStream, text: &[u8]) -> bool {
        let mut answer = vec![0; text.len()];
        stream.write_all(text).await.is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && answer == text
    }

    #[tokio::test]
    async fn a_cut_closes_what_is_open_and_refuses_what_is_new_until_restored() {
        let (upstream, _server) = echo().await;
        let proxy = Proxy::start(upstream.to_string()).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says_back(&mut stream, b"one").await);
        proxy.cut();
        assert!(!says_back(&mut stream, b"two").await);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(!says_back(&mut refused, b"three").await);
        proxy.restore();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says_back(&mut stream, b"four").await);
        assert_eq!(proxy.accepted(), 3);
    }

    #[tokio::test]
    async fn a_stall_keeps_the_connection_and_loses_nothing() {
        let (upstream, _server) = echo().await;
        let proxy = Proxy::start(upstream.to_string()).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says_back(&mut stream, b"one").await);
        proxy.stall();
        stream.write_all(b"two").await.unwrap();
        let mut answer = [0; 3];
        assert!(
            timeout(SHORT, stream.read_exact(&mut answer))
                .await
                .is_err()
        );
        proxy.restore();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"two");
    }

    #[tokio::test]
    async fn a_database_behind_it_is_lost_and_found() {
        let db = crate::postgres::database().await;
        let proxy = Proxy::start(db.address()).await;
        let url = db.url_through(proxy.address());
        let connect = || tokio_postgres::connect(&url, tokio_postgres::NoTls);
        assert!(connect().await.is_ok());
        proxy.cut();
        assert!(connect().await.is_err());
        proxy.restore();
        assert!(connect().await.is_ok());
    }
}
