//! Requests of chat-service to other hosts: to identity providers, and to where tokens are renewed.

use std::time::Duration;

use e2e::stack::{REPOSITORY, Stack};
use proto::chat::v1::PullRequestState;
use testkit::{
    clients::{Caller, KeyPair},
    egress::ConnectProxy,
    file::TempFile,
    github::{Matching, TOKEN_PATH},
    jwks::Provider,
    tls::{Authority, Life, TlsFront},
    wait,
};

/// Names that only the proxy can reach.
const GHES: &str = "ghes.corp.test";
const KEYS: &str = "keys.corp.test";
/// How long the stand-in's access tokens live.
const LIFE: Duration = Duration::from_secs(8 * 60 * 60);

/// A worker whose token is of `key` finds a pull request, and the user's tokens are renewed.
async fn works(stack: &mut Stack, key: &KeyPair, worker: &[(&str, &str)]) {
    let mut claims = serde_json::to_value(&Caller::gitsync().claims).unwrap();
    claims["exp"] = (jiff::Timestamp::now().as_second() + 3600).into();
    let token = TempFile::new(&key.issue(&claims));
    let name = token.name();
    let mut variables = vec![("GITSYNC_TOKEN_FILE", name.as_str())];
    variables.extend(worker);
    let worker = stack.worker_with(&variables).await;
    let user = Caller::user();
    stack.link_expiring(&user, "ann").await;
    stack.github.pull_request(REPOSITORY).head("feature").open();
    let chat = stack.chat(&user).await;
    stack.report(&user, &chat, REPOSITORY, "feature").await;
    stack
        .status_when(&user, &chat, "the pull request is found", |status| {
            status.pull_request_state() == PullRequestState::Open
        })
        .await;
    stack.let_tokens_age(LIFE, LIFE).await;
    wait::until("the tokens are renewed", || async {
        let renewed = stack.github.requests_to(Matching::path(TOKEN_PATH));
        let renewed: Vec<_> = renewed.iter().map(|request| request.status).collect();
        if renewed == [Some(200)] {
            Ok(())
        } else {
            Err(renewed)
        }
    })
    .await;
    worker.process.stop().await;
}

#[tokio::test]
async fn keys_are_loaded_and_tokens_renewed_through_the_configured_proxy() {
    let authority = Authority::new();
    let certified = authority.certify(&[GHES, KEYS], Life::Long);
    let authority = TempFile::new(&authority.pem());
    let key = KeyPair::p256();
    let provider = Provider::start(&[&key]).await;
    let keys = TlsFront::with(provider.address(), &certified, &[]).await;
    let proxy = ConnectProxy::start().await;
    proxy.route(KEYS, keys.address());
    let url = proxy.url();
    let ca = authority.name();
    let base = format!("https://{GHES}");
    let variables = [
        ("SSL_CERT_FILE", ca.clone()),
        ("CHAT_HTTPS_PROXY", url.clone()),
        ("CHAT_NO_PROXY", "localhost".to_owned()),
        ("CHAT_JWKS_CA_FILE", ca.clone()),
        ("CHAT_SYNC_JWT_KEYS", format!("https://{KEYS}/jwks")),
        ("GIT_PROVIDER_0_API_BASE_URL", base.clone()),
        (
            "GIT_PROVIDER_0_OAUTH_TOKEN_URL",
            format!("{base}{TOKEN_PATH}"),
        ),
    ];
    let variables = variables.each_ref().map(|(name, of)| (*name, of.as_str()));
    Stack::run_with(&variables, async |stack| {
        let github = stack.github.address().to_string();
        let front = TlsFront::with(github, &certified, &[]).await;
        proxy.route(GHES, front.address());
        let worker = [
            ("SSL_CERT_FILE", ca.as_str()),
            ("GITSYNC_HTTPS_PROXY", &url),
        ];
        works(stack, &key, &worker).await;
        let tunnels = proxy.tunnels();
        for host in [KEYS, GHES] {
            let tunnel = (format!("{host}:443"), true);
            assert!(tunnels.contains(&tunnel), "{tunnels:?}");
        }
        assert!(tunnels.iter().all(|(_, knows)| *knows), "{tunnels:?}");
        Vec::new()
    })
    .await;
}

/// What the environment of a process names must not decide where secrets go.
#[tokio::test]
async fn hosts_that_need_no_proxy_are_asked_directly_and_the_environments_proxy_is_not_read() {
    let authority = Authority::new();
    let certified = authority.certify(&["localhost"], Life::Long);
    let authority = TempFile::new(&authority.pem());
    let key = KeyPair::p256();
    let provider = Provider::start(&[&key]).await;
    let front = TlsFront::with(provider.address(), &certified, &[]).await;
    let keys = format!("https://localhost:{}/jwks", front.address().port());
    let proxy = ConnectProxy::start().await;
    let url = proxy.url();
    let url = url.as_str();
    let ca = authority.name();
    let own = [
        ("CHAT_HTTPS_PROXY", url),
        ("CHAT_NO_PROXY", ".corp.test,localhost"),
    ];
    let ambient = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|of| (of, url));
    for proxies in [own.as_slice(), ambient.as_slice()] {
        let mut variables = vec![
            ("CHAT_JWKS_CA_FILE", ca.as_str()),
            ("CHAT_SYNC_JWT_KEYS", &keys),
        ];
        variables.extend(proxies);
        Stack::run_with(&variables, async |stack| {
            works(stack, &key, &[]).await;
            Vec::new()
        })
        .await;
        assert_eq!(proxy.tunnels(), [], "{proxies:?}");
    }
}
