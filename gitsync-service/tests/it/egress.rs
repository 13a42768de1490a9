//! The way to a git host: through a proxy or past it, and whose certificates are believed.

use std::path::PathBuf;

use proto::{chat::v1 as pb, sync::ProblemClass};
use testkit::{egress::ConnectProxy, process::Process, tls::TlsFront};

use crate::{
    binary::{Keys, configured},
    stack::Stack,
};

/// A name that only the proxy can reach.
const GHES: &str = "ghes.corp.test";

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
        let proxy = ConnectProxy::start().await;
        for host in [GHES, "localhost"] {
            proxy.route(host, front.address());
        }
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
