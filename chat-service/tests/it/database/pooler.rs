//! A pooler as far as a client's first packet goes: what it asks for does not reach the server.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Length and version come before the parameters of a startup packet.
const HEAD: usize = 8;
/// Version 3.0 of the protocol: what begins otherwise asks for TLS, or cancels.
const VERSION: [u8; 4] = [0, 3, 0, 0];

/// What becomes of the parameter `options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    /// As `PgBouncer` does.
    RefuseOptions,
    /// As it does with `ignore_startup_parameters = options`.
    DropOptions,
}

pub(crate) struct Pooler {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Pooler {
    pub(crate) async fn start(upstream: String, startup: Startup) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, upstream.clone(), startup));
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn connection(mut client: TcpStream, upstream: String, startup: Startup) {
    let mut head = [0; HEAD];
    if client.read_exact(&mut head).await.is_err() {
        return;
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let mut rest = vec![0; usize::try_from(length).unwrap() - HEAD];
    client.read_exact(&mut rest).await.unwrap();
    if head[4..] == VERSION {
        let kept = without_options(&rest);
        if kept != rest && startup == Startup::RefuseOptions {
            client.write_all(&refusal()).await.unwrap();
            return;
        }
        rest = kept;
    }
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let length = u32::try_from(HEAD + rest.len()).unwrap();
    let packet = [&length.to_be_bytes(), &head[4..], &rest].concat();
    server.write_all(&packet).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// The parameters are names and values, each ended by a zero, and a zero after the last.
fn without_options(parameters: &[u8]) -> Vec<u8> {
    let texts: Vec<&[u8]> = parameters.split(|byte| *byte == 0).collect();
    let pairs = texts.chunks_exact(2).filter(|pair| !pair[0].is_empty());
    let kept = pairs.filter(|pair| pair[0] != b"options");
    let mut packet: Vec<u8> = kept
        .flat_map(|pair| [pair[0], &[0], pair[1], &[0]].concat())
        .collect();
    packet.push(0);
    packet
}

fn refusal() -> Vec<u8> {
    let fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
    let length = u32::try_from(4 + fields.len()).unwrap();
    [b"E".as_slice(), &length.to_be_bytes(), fields].concat()
}
