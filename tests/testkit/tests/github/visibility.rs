//! Who may see what, and under which name.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::github::{API_VERSIONS, Caller, GitHub};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;

#[tokio::test]
async fn a_private_repository_does_not_exist_for_those_without_access() {
    let github = GitHub::start().await;
    let (ann, bob) = (github.user("ann"), github.user("bob"));
    let repository = github.repository("acme/web");
    repository.grant(&ann);
    github.pull_request("acme/web").open();
    let ann_client = Client::with(&github, &ann.token());
    let strangers = [
        Client::with(&github, &bob.token()),
        Client::anonymous(&github),
    ];

    let by_id = format!("/repositories/{}/pulls/1", repository.id());
    for path in ["/repos/acme/web", "/repos/acme/web/pulls/1", &by_id] {
        assert_eq!(ann_client.get(path).await.status, 200, "{path}");
        for stranger in &strangers {
            let reply = stranger.get(path).await;
            assert_eq!(
                (reply.status, reply.message().as_str()),
                (404, "Not Found"),
                "{path}"
            );
        }
    }
    repository.withdraw(&ann);
    assert_eq!(ann_client.get("/repos/acme/web").await.status, 404);
    repository.public();
    for client in strangers.iter().chain([&ann_client]) {
        assert_eq!(client.get("/repos/acme/web").await.status, 200);
    }
}

#[tokio::test]
async fn names_are_found_in_any_case_and_shown_as_written() {
    let github = GitHub::start().await;
    github.repository("Acme/Web").public();
    let body = Client::anonymous(&github)
        .get("/repos/ACME/web")
        .await
        .json();
    assert_eq!(body["full_name"], "Acme/Web");
}

#[tokio::test]
async fn unknown_and_revoked_tokens_are_bad_credentials() {
    let github = GitHub::start().await;
    github.repository("acme/web").public();
    let token = github.user("ann").token();
    let client = Client::with(&github, &token);
    assert_eq!(client.get("/user").await.json()["login"], "ann");

    assert!(github.revoke(&token));
    assert!(!github.revoke(&token));

    for client in [client, Client::with(&github, "gho_made_up")] {
        for path in ["/user", "/repos/acme/web"] {
            let reply = client.get(path).await;
            assert_eq!(
                (reply.status, reply.message().as_str()),
                (401, "Bad credentials")
            );
        }
    }
    assert_eq!(Client::anonymous(&github).get("/user").await.status, 401);
}

#[tokio::test]
async fn a_renamed_repository_redirects_until_its_old_name_is_taken() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    let repository = github.repository("acme/web");
    repository.grant(&ann);
    github.pull_request("acme/web").head("a/b").open();
    let client = Client::with(&github, &ann.token());
    github.rename("acme/web", "acme/site");
    assert_eq!(repository.full_name(), "acme/site");

    for base in [github.api_base_url(), github.enterprise_base_url()] {
        let path = "/repos/acme/WEB/pulls?state=open&head=acme%3Aa%2Fb";
        let reply = client.get(&format!("{base}{path}")).await;
        let location = reply.header("location");
        let id = repository.id();
        assert_eq!(reply.status, 301);
        assert_eq!(
            location,
            format!("{base}/repositories/{id}/pulls?state=open&head=acme%3Aa%2Fb")
        );
        let followed = client.get(location).await;
        assert_eq!(followed.numbers(), [1]);
        assert_eq!(followed.json()[0]["base"]["repo"]["full_name"], "acme/site");
    }
    let stranger = Client::with(&github, &github.user("bob").token());
    assert_eq!(stranger.get("/repos/acme/web").await.status, 404);

    github.repository("acme/web").grant(&ann);
    assert_ne!(
        client.get("/repos/acme/web").await.json()["id"],
        repository.id()
    );
}

#[tokio::test]
async fn a_request_without_a_user_agent_is_forbidden() {
    let github = GitHub::start().await;
    let answer = raw(
        github.address(),
        "GET /rate_limit HTTP/1.1\r\nHost: github\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("User-Agent header"), "{answer}");
}

async fn raw(address: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    tokio::time::timeout(Duration::from_secs(20), exchange)
        .await
        .expect("the stand-in answers in time")
        .expect("the connection holds")
}

#[tokio::test]
async fn only_known_api_versions_are_taken() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    let cases = [
        ("2022-11-28", 200),
        ("2026-03-10", 200),
        ("2019-01-01", 400),
    ];
    for (version, status) in cases {
        let headers = [("x-github-api-version", version)];
        let reply = client.get_with("/rate_limit", &headers).await;
        assert_eq!(reply.status, status, "{version}");
    }
    github.set_api_versions(&API_VERSIONS[..1]);
    for (version, status) in [(API_VERSIONS[0], 200), (API_VERSIONS[1], 400)] {
        let headers = [("x-github-api-version", version)];
        let reply = client.get_with("/rate_limit", &headers).await;
        assert_eq!(reply.status, status, "{version}");
    }
}

#[tokio::test]
async fn the_newer_version_lacks_what_github_took_away() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    github.repository("acme/web").grant(&ann);
    let number = github.pull_request("acme/web").head("a").open();
    github.merge("acme/web", number);
    let client = Client::with(&github, &ann.token());
    for (version, has) in [(API_VERSIONS[0], true), (API_VERSIONS[1], false)] {
        let headers = [("x-github-api-version", version)];
        for (path, member) in [
            ("/repos/acme/web/pulls/1", "/merge_commit_sha"),
            ("/repos/acme/web/pulls/1", "/assignee"),
            ("/repos/acme/web/pulls/1", "/base/repo/has_downloads"),
            ("/repos/acme/web/pulls?state=all", "/0/merge_commit_sha"),
            ("/repos/acme/web", "/has_downloads"),
            ("/rate_limit", "/rate"),
        ] {
            let reply = client.get_with(path, &headers).await;
            assert_eq!(
                reply.json().pointer(member).is_some(),
                has,
                "{version} {path}"
            );
        }
        let pull = client.get_with("/repos/acme/web/pulls/1", &headers).await;
        assert_eq!(pull.json()["merged"], true, "{version}");
    }
}

#[tokio::test]
async fn requests_are_recorded_without_their_tokens() {
    let github = GitHub::start().await;
    let ann = github.user("ann");
    let token = ann.token();
    github.repository("acme/web").grant(&ann);
    let client = Client::with(&github, &token);

    client
        .get("/repos/acme/web/pulls?head=acme%3Aa&per_page=1")
        .await;
    client.get("/repos/acme/web/pulls/7").await;
    Client::with(&github, "gho_made_up").get("/user").await;
    Client::anonymous(&github).get("/user").await;

    let requests = github.requests();
    let callers: Vec<&Caller> = requests.iter().map(|request| &request.caller).collect();
    let ann = Caller::User("ann".to_owned());
    assert_eq!(callers, [&ann, &ann, &Caller::Unknown, &Caller::Anonymous]);
    let statuses: Vec<Option<u16>> = requests.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(200), Some(404), Some(401), Some(401)]);
    assert_eq!(requests[0].query_value("head"), Some("acme:a"));
    assert_eq!(requests[0].header("user-agent"), Some("testkit"));
    assert_eq!(github.count("/pulls$"), 1);
    assert_eq!(github.requests_to("/pulls/*$")[0].sequence, 1);
    let shown = format!("{github:?} {requests:?}");
    assert!(!shown.contains(&token) && !shown.contains("gho_made_up"));

    github.clear_requests();
    assert_eq!(github.count("/"), 0);
}

#[tokio::test]
async fn requests_without_an_endpoint_are_unexpected() {
    let github = GitHub::start().await;
    let client = Client::anonymous(&github);
    client.get("/repos/acme/web").await;
    assert!(github.unexpected().is_empty());

    assert_eq!(client.get("/repos/acme/web/issues").await.status, 404);

    let unexpected = github.unexpected();
    assert_eq!(unexpected.len(), 1);
    assert_eq!(unexpected[0].path, "/repos/acme/web/issues");
}

#[tokio::test]
async fn a_stopped_stand_in_gives_its_port_back() {
    let github = GitHub::start().await;
    let address = github.address();
    let client = Client::anonymous(&github);
    assert_eq!(client.get("/rate_limit").await.status, 200);

    github.stop().await;
    assert!(client.try_get("/rate_limit").await.is_err());

    let again = GitHub::start_on(address)
        .await
        .expect("the port is free again");
    assert_eq!(again.address(), address);
    assert_eq!(client.get("/rate_limit").await.status, 200);
    assert!(GitHub::start_on(address).await.is_err());
}
