//! The way to a git host: through a proxy or past it, and whose certificates are believed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use proto::{chat::v1 as pb, sync::ProblemClass};
use testkit::{process::Process, tls::TlsFront};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    binary::{Keys, configured},
    stack::Stack,
};

/// A name that only the proxy can reach.
const GHES: &str = "ghes.corp.test";
const PASSWORD: &str = "hush-hush";

/// An HTTP proxy that takes `CONNECT` alone, and leads everything to one address.
struct ConnectProxy {
    address: SocketAddr,
    /// The heads of the requests for a tunnel.
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl ConnectProxy {
    async fn start(upstream: SocketAddr) -> Self {
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        let (address, tasks) = serve(move |mut client| {
            let seen = Arc::clone(&seen);
            async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = client.read_u8().await else {
                        return;
                    };
                    head.push(byte);
                }
                seen.lock().unwrap().push(String::from_utf8(head).unwrap());
                let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
                if client.write_all(answer).await.is_ok() {
                    tunnel(client, upstream).await;
                }
            }
        })
        .await;
        Self {
            address,
            heads,
            _tasks: tasks,
        }
    }

    fn url(&self) -> String {
        format!("http://ann:{PASSWORD}@{}", self.address)
    }

    /// The hosts that tunnels were asked for, and whether each request knew the password.
    fn tunnels(&self) -> Vec<(String, bool)> {
        let heads = self.heads.lock().unwrap();
        let names = |head: &String| {
            let host = head.split(' ').nth(1).unwrap().to_owned();
            // `ann:hush-hush`.
            (host, head.contains("Basic YW5uOmh1c2gtaHVzaA=="))
        };
        heads.iter().map(names).collect()
    }
}

async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(answer(client));
        }
    });
    (address, tasks)
}

async fn tunnel(mut client: TcpStream, upstream: SocketAddr) {
    let mut server = TcpStream::connect(upstream).await.unwrap();
    // Either side may break off.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Where a worker finds a GitHub that speaks TLS, and how.
struct Way {
    front: TlsFront,
    proxy: ConnectProxy,
    keys: Keys,
}

impl Way {
    async fn new(stack: &Stack) -> Self {
        stack.github.pull_request("acme/web").head("a").open();
        let upstream = stack.github.address().to_string();
        let front = TlsFront::start(upstream, &[GHES, "localhost"], &[]).await;
        let proxy = ConnectProxy::start(front.address()).await;
        let keys = Keys::new();
        std::fs::write(keys.file("authority.pem"), front.authority()).unwrap();
        Self { front, proxy, keys }
    }

    fn authority(&self) -> PathBuf {
        self.keys.file("authority.pem")
    }

    /// What the real binary, in this environment, makes of a branch of the GitHub at `base`.
    async fn looked_up(
        &self,
        stack: &Stack,
        base: &str,
        environment: &[(&str, &str)],
    ) -> pb::outcome::Result {
        let mut lease = stack.lease("lease", &["a"]);
        let provider = lease.groups[0].provider.as_mut().unwrap();
        base.clone_into(&mut provider.api_base_url);
        stack.chat().queue(lease);
        let mut command = configured(stack, &self.keys);
        command.envs(environment.iter().copied());
        let process = Process::spawn("gitsync-service", command).unwrap();
        let outcome = stack.applied("a").await;
        let log = process.lines().join("\n");
        assert!(log.contains("effective configuration"), "{log}");
        assert!(!log.contains(PASSWORD), "{log}");
        process.stop().await;
        outcome.result.unwrap()
    }
}

#[tokio::test]
async fn a_host_with_a_private_authority_is_asked_through_the_configured_proxy() {
    Stack::run(async |stack| {
        let way = Way::new(stack).await;
        let base = format!("https://{GHES}/api/v3");
        let found = way
            .looked_up(
                stack,
                &base,
                &[
                    ("SSL_CERT_FILE", way.authority().to_str().unwrap()),
                    ("GITSYNC_HTTPS_PROXY", &way.proxy.url()),
                    ("GITSYNC_NO_PROXY", "localhost, 127.0.0.1"),
                ],
            )
            .await;
        assert!(matches!(found, pb::outcome::Result::Found(_)), "{found:?}");
        assert_eq!(way.proxy.tunnels(), [(format!("{GHES}:443"), true)]);
        assert_eq!(stack.github.count("/"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_host_that_needs_no_proxy_is_asked_directly_and_the_environments_proxy_is_not_read() {
    for no_proxy in ["localhost", "*", "example.com, .localhost"] {
        Stack::run(async |stack| {
            let way = Way::new(stack).await;
            let base = format!("https://localhost:{}/api/v3", way.front.address().port());
            let proxy = way.proxy.url();
            let found = way
                .looked_up(
                    stack,
                    &base,
                    &[
                        ("SSL_CERT_FILE", way.authority().to_str().unwrap()),
                        ("GITSYNC_HTTPS_PROXY", &proxy),
                        ("GITSYNC_NO_PROXY", no_proxy),
                    ],
                )
                .await;
            assert!(matches!(found, pb::outcome::Result::Found(_)), "{found:?}");
            assert_eq!(way.proxy.tunnels(), [], "{no_proxy}");
        })
        .await;
    }
    Stack::run(async |stack| {
        let way = Way::new(stack).await;
        let base = format!("https://localhost:{}/api/v3", way.front.address().port());
        let proxy = way.proxy.url();
        let found = way
            .looked_up(
                stack,
                &base,
                &[
                    ("SSL_CERT_FILE", way.authority().to_str().unwrap()),
                    ("HTTPS_PROXY", &proxy),
                    ("https_proxy", &proxy),
                    ("ALL_PROXY", &proxy),
                ],
            )
            .await;
        assert!(matches!(found, pb::outcome::Result::Found(_)), "{found:?}");
        assert_eq!(way.proxy.tunnels(), []);
    })
    .await;
}

/// Promise 8.
#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused_before_a_token_is_sent() {
    Stack::run(async |stack| {
        let way = Way::new(stack).await;
        let base = format!("https://localhost:{}/api/v3", way.front.address().port());
        let outcome = way.looked_up(stack, &base, &[]).await;
        let pb::outcome::Result::Failed(failed) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(failed.class, ProblemClass::HostUnavailable as i32);
        assert_eq!(stack.github.count("/"), 0);
    })
    .await;
}
